//! Going on: retries, runs in the background, waiting, Ctrl-Z, and what is kept of agents that failed.

#![allow(clippy::disallowed_methods)]

mod common;

use std::time::Duration;

use common::{Sandbox, wait_until};
use rustix::process::Signal;

/// Fails until `$IO/well` is there, and leaves a file uncommitted when it does.
const ILL: &str = r#"echo "$task" > "$task.txt"; commit; echo more > uncommitted
    [ -e "$IO/well" ] || exit 3
    rm -f uncommitted"#;

#[test]
fn what_a_failed_agent_left_is_pinned_and_untouched() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent = sandbox
        .agent("echo new > new.txt; git add new.txt; echo newer > new.txt; echo edited > README; exit 3");
    let output = sandbox.run(&["bad"], &agent).expect(1);
    sandbox.check(&before);
    let path = sandbox.worktree("bad");
    let status = sandbox.git_in(&path, &["status", "--porcelain"]);
    assert!(status.contains("AM new.txt"), "the index is as the agent left it: {status}");
    // The command that is printed brings it back, wherever it is typed.
    let line = output.all();
    let command = line.lines().find_map(|line| line.split("to get back: ").nth(1)).expect("it is told");
    let elsewhere = sandbox.root.join("elsewhere");
    sandbox.git(&["worktree", "add", "-q", "--detach", elsewhere.to_str().unwrap()]);
    sandbox.run_in(&elsewhere, "sh", &["-c", command]).expect(0);
    assert_eq!(std::fs::read_to_string(elsewhere.join("new.txt")).unwrap(), "newer\n");
}

#[test]
fn retry_goes_on_where_the_last_attempt_ended() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent = sandbox.agent(ILL);
    sandbox.run(&["a", "b"], &agent).expect(1);
    sandbox.expect_states(&[("a", "failed"), ("b", "failed")]);
    sandbox.parallel(&["retry", "nobody"]).expect(1).tells(&["no task 'nobody'"]);
    sandbox.mark("well");
    sandbox.parallel(&["retry", "a"]).expect(0).tells(&["attempt 2", "landed"]);
    sandbox.expect_states(&[("a", "landed"), ("b", "failed")]);
    sandbox.check(&before);
    sandbox.parallel(&["retry", "a"]).expect(1).tells(&["is not to be run again"]);
    sandbox.parallel(&["retry", "b"]).expect(0);
    sandbox.check(&before);
    assert!(sandbox.has("a.txt") && sandbox.has("b.txt") && !sandbox.has("uncommitted"));
    let log = sandbox.parallel(&["logs", "b"]).expect(0);
    assert!(log.stdout.contains("--- attempt 2 ---"), "{}", log.stdout);
}

#[test]
fn a_fresh_retry_starts_from_the_base_and_loses_nothing() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"[ -e old.txt ] && exit 9
           [ -e "$IO/well" ] && { echo new > new.txt; commit; exit 0; }
           echo old > old.txt; commit; echo more > uncommitted; exit 3"#,
    );
    sandbox.run(&["a"], &agent).expect(1);
    let old = sandbox.oid("feature/a");
    sandbox.mark("well");
    sandbox.parallel(&["retry", "--fresh", "a"]).expect(0);
    sandbox.check(&before);
    assert!(sandbox.has("new.txt") && !sandbox.has("old.txt"));
    let pins = sandbox.git(&["for-each-ref", "--format=%(refname) %(objectname)", "refs/parallel"]);
    assert!(pins.lines().any(|pin| pin.contains("/a/attempt-1 ") && pin.ends_with(&old)), "{pins}");
    let leftovers = pins.lines().find(|pin| pin.contains("/a/leftovers ")).expect("they are pinned");
    let commit = leftovers.split(' ').nth(1).unwrap();
    assert_eq!(sandbox.show(commit, "uncommitted"), "more\n");
}

#[test]
fn a_run_retries_by_itself_as_often_as_it_was_told() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"echo "$task $GIT_PARALLEL_ATTEMPT" >> "$IO/attempts"
           case $task in
               third) [ "$GIT_PARALLEL_ATTEMPT" = 3 ] || exit 1; echo x > third.txt; commit;;
               never) exit 1;;
               *) echo x > first.txt; commit;;
           esac"#,
    );
    sandbox.run(&["--retries", "2", "first", "third", "never"], &agent).expect(1);
    sandbox.expect_states(&[("first", "landed"), ("third", "landed"), ("never", "failed")]);
    let attempts = sandbox.read_io("attempts");
    let count = |task: &str| attempts.lines().filter(|line| line.starts_with(task)).count();
    assert_eq!((count("first"), count("third"), count("never")), (1, 3, 3), "{attempts}");
    sandbox.check(&before);
}

#[test]
fn a_run_in_the_background_goes_on_by_itself() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent = sandbox.agent(r#"await go; echo "$task" > "$task.txt"; commit"#);
    let mut args = sandbox.run_args(&["--detach", "a", "b"], &agent);
    let started = sandbox.parallel(&args).expect(0);
    let id = started.stdout.trim().to_owned();
    assert_eq!(sandbox.status()["run"]["id"], id.as_str());
    assert_eq!(sandbox.status()["run"]["state"], "running");
    sandbox.parallel(&["wait", "--timeout", "100ms"]).expect(124);
    let watching = sandbox.spawn(&["status", "--watch"]);
    let waiting = sandbox.spawn(&["wait", &id]);
    // A second one is refused, and one that waits for it starts when it is over.
    args.retain(|arg| arg != "--detach");
    sandbox.parallel(&args).expect(4);
    sandbox.mark("go");
    waiting.wait().expect(0);
    assert!(watching.wait().expect(0).stdout.contains("2 landed"));
    sandbox.check(&before);
    assert!(sandbox.has("a.txt") && sandbox.has("b.txt"));
}

#[test]
fn a_background_supervisor_that_dies_is_resumed() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent = sandbox.agent(r#"mark "up-$task"; await go; echo "$task" > "$task.txt"; commit"#);
    sandbox.parallel(&sandbox.run_args(&["--detach", "-j2", "a", "b", "c"], &agent)).expect(0);
    ["up-a", "up-b"].iter().for_each(|mark| sandbox.await_mark(mark));
    let pid = sandbox.status()["supervisor"]["pid"].as_u64().expect("it lives");
    let pid = common::pid(u32::try_from(pid).unwrap());
    rustix::process::kill_process(pid, Signal::KILL).expect("it is ours");
    wait_until("it is gone", || sandbox.status()["run"]["state"] == "interrupted");
    sandbox.parallel(&["wait"]).expect(3).tells(&[
        "interrupted",
        "git parallel resume",
        "git parallel abort",
    ]);
    sandbox.parallel(&["land"]).expect(3).tells(&["git parallel resume"]);
    sandbox.mark("go");
    sandbox.parallel(&["resume"]).expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "landed")]);
    sandbox.check(&before);
}

/// The state letter of a process, as `/proc` tells it.
fn state_of(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('-')
}

#[test]
fn ctrl_z_stops_agents_and_their_clocks() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent = sandbox.agent("echo $$ > $IO/pid; await go; echo x > a.txt; commit");
    let running = sandbox.spawn_run(&["--timeout", "1500ms", "a"], &agent);
    wait_until("the agent runs", || sandbox.read_io("pid").ends_with('\n'));
    let pid: u32 = sandbox.read_io("pid").trim().parse().unwrap();
    running.signal(Signal::TSTP);
    // Stopped, or about to be: a shell that waits for a child it forked by vfork shows as D.
    wait_until("both are stopped", || state_of(running.pid()) == 'T' && matches!(state_of(pid), 'T' | 'D'));
    std::thread::sleep(Duration::from_secs(2));
    running.signal(Signal::CONT);
    sandbox.mark("go");
    running.wait().expect(0);
    sandbox.expect_states(&[("a", "landed")]);
    sandbox.check(&before);
}

#[test]
fn a_lock_of_the_users_git_is_waited_for_and_then_named() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let lock = sandbox.common_dir().join("index.lock");
    let agent = sandbox.agent(r#"echo "$task" > "$task.txt"; commit; mark done; await "land-$task""#);
    let running = sandbox.spawn_run(&["short", "long"], &agent);
    sandbox.await_mark("done");
    std::fs::write(&lock, "").unwrap();
    sandbox.mark("land-short");
    std::thread::sleep(Duration::from_millis(300));
    std::fs::remove_file(&lock).unwrap();
    wait_until("short landed", || sandbox.state("short") == "landed");
    std::fs::write(&lock, "").unwrap();
    sandbox.mark("land-long");
    let output = running.wait().expect(1).tells(&["index.lock"]);
    assert_eq!(sandbox.state("long"), "held", "{}", output.all());
    std::fs::remove_file(&lock).unwrap();
    sandbox.parallel(&["land", "long"]).expect(0);
    sandbox.check(&before);
}

#[test]
fn what_was_interrupted_long_ago_can_be_landed_and_retried() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"[ "$task" = quick ] && { echo x > quick.txt; commit; exit 0; }
           mark "up-$task-$GIT_PARALLEL_ATTEMPT"; await go; echo x > "$task.txt"; commit"#,
    );
    let running = sandbox.spawn_run(&["--no-land", "quick", "slow"], &agent);
    sandbox.await_mark("up-slow-1");
    wait_until("quick is finished", || sandbox.state("quick") == "finished");
    running.signal(Signal::INT);
    running.wait().expect(130);
    sandbox.expect_states(&[("quick", "finished"), ("slow", "aborted")]);
    sandbox.check(&before);
    // The exit code is of what was asked now, not of what was interrupted then.
    sandbox.parallel(&["land", "quick"]).expect(0);
    // One Ctrl-C asks politely, also in a run that was stopped before.
    let again = sandbox.spawn(&["retry", "slow"]);
    sandbox.await_mark("up-slow-2");
    again.signal(Signal::INT);
    let output = again.wait().expect(130);
    assert!(!output.all().contains("killing"), "{}", output.all());
    sandbox.mark("go");
    sandbox.parallel(&["retry", "slow"]).expect(0);
    sandbox.expect_states(&[("quick", "landed"), ("slow", "finished")]);
    sandbox.parallel(&["land"]).expect(0);
    sandbox.check(&before);
}
