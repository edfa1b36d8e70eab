//! Agents that leave processes behind, don't stop, or shoot at ours.

use std::time::{Duration, Instant};

use crate::common::wait_until;
use crate::support::{Story, hostile, is_kept, lives, scene, tell, tell_in};

#[test]
fn a_daemon_that_goes_on_writing_is_ended_before_the_landing() {
    // 25, 30: setsid and double fork, in the worktree.
    let bad = "echo x >x; commit; (setsid sh -c 'echo $$ >>$0/pids; while :; do date >>late; sleep 0.01; done' $IO & ) >/dev/null 2>&1; \
               until [ -e late ]; do sleep 0.01; done; exit 0";
    let story = tell(bad, &[]).bad_is("landed", &["it left behind"]).kept();
    let daemon = story.sandbox.read_io("pids").trim().parse().unwrap();
    assert!(!lives(daemon));
}

#[test]
fn a_daemon_that_ignores_term_and_hides_its_environment_is_ended() {
    // 25
    let bad = "echo x >x; commit; (setsid env -i sh -c 'trap \"\" TERM HUP INT; cd /; echo $$ >'$IO'/pids; sleep 300; sleep 300' & ) >/dev/null 2>&1; \
               until [ -s $IO/pids ]; do sleep 0.01; done";
    let story = tell(bad, &[]).bad_is("landed", &["it left behind"]).kept();
    assert!(!lives(story.sandbox.read_io("pids").trim().parse().unwrap()));
}

#[test]
fn a_grandchild_that_holds_the_output_open_is_not_waited_for() {
    // 24
    let begun = Instant::now();
    let story = tell("echo x >x; commit; sleep 300 & exit 0", &[]);
    assert!(begun.elapsed() < Duration::from_secs(20));
    story.bad_is("landed", &["ended 1 process it left behind"]).kept();
}

#[test]
fn a_child_that_commits_late_is_seen_or_ended() {
    // 30: within the time that the tail of a pipeline gets, its commit lands too.
    let bad = "echo x >x; commit; (sleep 0.02; echo y >y; commit late) & exit 0";
    let story = tell(bad, &[]);
    let story = story.good_landed().kept_by_us();
    let sandbox = &story.sandbox;
    assert_eq!(sandbox.state("bad"), "landed");
    assert!(sandbox.has("x"));
    assert_eq!(sandbox.has("y"), is_kept(sandbox, "late"), "what it committed landed");
}

#[test]
fn an_agent_that_ignores_term_is_killed_after_the_grace() {
    // 29
    let story = tell(
        "echo x >x; commit stubborn-work; trap '' TERM; while :; do sleep 0.1; done",
        &["--timeout", "500ms"],
    );
    let story = story.bad_is("timed-out", &["timed out after", "output.log"]).kept();
    assert!(is_kept(&story.sandbox, "stubborn-work"));
}

#[test]
fn an_agent_that_reads_its_input_sees_the_end() {
    // 23
    let story = tell("cat >read; [ ! -s read ]; rm read; echo x >x; commit", &["--timeout", "20s"]);
    story.bad_is("landed", &[]).kept();
}

#[test]
fn an_agent_that_stops_itself_meets_its_time_limit() {
    let story = tell("echo x >x; commit; kill -STOP $$", &["--timeout", "500ms"]);
    story.bad_is("timed-out", &[]).kept();
}

#[test]
fn an_agent_that_can_not_be_started_fails_alone() {
    // 26
    let sandbox = scene();
    sandbox.agent("true");
    let bin = sandbox.root.join("bin");
    let write = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(bin.join(name), text).unwrap();
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write("interpreter", "#!/nonexistent/sh\n", 0o755);
    write("binary", "\u{7f}ELF garbage", 0o755);
    write("plain", "#!/bin/sh\n", 0o644);
    std::fs::create_dir(bin.join("folder")).unwrap();
    sandbox.script(&bin.join("good"), "echo good >good.txt; commit");
    let before = sandbox.snapshot();
    let tasks = ["-j6", "interpreter", "binary", "plain", "folder", "missing", "good"];
    let output = sandbox.run(&tasks, &bin.join("{task}")).expect(1);
    let output = output.tells(&[
        "its interpreter '/nonexistent/sh' does not exist",
        "not executable",
        "it is a directory",
    ]);
    let story = Story { sandbox, before, output }.good_landed().kept();
    for task in &tasks[1..6] {
        assert_eq!(story.sandbox.state(task), "failed", "{task}");
    }
}

#[test]
fn an_agent_kills_its_own_shim() {
    // I5: it and its child must not live on unseen.
    let bad = "echo x >x; commit shimless-work; echo y >uncommitted; sleep 300 & echo $! $$ >$IO/pids; kill -9 $PPID; sleep 300";
    let story = tell(bad, &[]).bad_is("failed", &["its exit was not seen"]).kept();
    assert!(is_kept(&story.sandbox, "shimless-work"));
    assert!(story.sandbox.worktree("bad").join("uncommitted").exists());
    for id in story.sandbox.read_io("pids").split_whitespace() {
        assert!(!lives(id.parse().unwrap()));
    }
}

#[test]
fn an_agent_kills_the_supervisor() {
    // 1: the one whose process id is in the lock. The agents end under their shims, and `abort` closes the run.
    let sandbox = scene();
    let lock = sandbox.common_dir().join("parallel/lock");
    let bad = format!(
        "echo x >x; commit; kill -9 $(sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p' '{}'); echo y >y; commit after",
        lock.display()
    );
    let agent = hostile(&sandbox, &bad);
    let before = sandbox.snapshot();
    let output = sandbox.run(&["bad", "good"], &agent).expect(137);
    sandbox.parallel(&["status"]).expect(0).tells(&["interrupted", "abort"]);
    wait_until("the agents have ended", || is_kept(&sandbox, "after"));
    sandbox.parallel(&["abort"]).expect(0);
    sandbox.check(&before);
    assert!(!output.all().contains("panicked"));
}

#[test]
fn an_agent_signals_its_whole_session() {
    // TERM to its own group and session must not reach us or a sibling.
    let story = tell("echo x >x; commit; trap '' TERM; kill -TERM 0; kill -TERM -$$; exit 0", &[]);
    story.bad_is("landed", &[]).kept();
}

#[test]
fn a_fork_storm_is_ended() {
    // 25: processes that keep replacing themselves.
    let bad = "echo x >x; commit; echo 'sleep 0.01; sh \"$0\" & ' >$IO/hop; for i in 1 2 3; do (setsid sh $IO/hop & ) ; done >/dev/null 2>&1; exit 0";
    let sandbox = scene();
    let agent = hostile(&sandbox, bad);
    tell_in(sandbox, &agent, &[]).bad_is("landed", &[]).kept();
}
