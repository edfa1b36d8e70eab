//! The commands around a run: looking at it, stopping it, landing by hand, cleaning up.

#![allow(clippy::disallowed_methods)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::{Sandbox, wait_until};
use serde_json::{Value, json};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// An agent that is up until the test opens its gate, or for ever.
fn waiting_agent(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.agent(r#"echo "$task" > "$task.txt"; commit; mark "up-$task"; await "go-$task""#)
}

#[test]
fn status_json_has_exactly_the_fields_of_the_manual() {
    let sandbox = Sandbox::new();
    sandbox.run(&["a"], &sandbox.simple_agent()).expect(0);
    let status = sandbox.parallel_in(&sandbox.repo.join("src"), &["status", "--json"]).expect(0);
    assert_eq!(status.stderr, "");
    let status = status.json();
    assert_eq!(keys(&status), ["version", "run", "supervisor", "tasks", "counts"]);
    assert_eq!(status["version"], 1);
    assert_eq!(
        keys(&status["run"]),
        ["id", "state", "target", "base", "tip", "jobs", "atomic", "started_at", "finished_at", "usage"]
    );
    assert_eq!(keys(&status["supervisor"]), ["alive", "pid"]);
    assert_eq!(
        keys(&status["tasks"][0]),
        [
            "name",
            "branch",
            "worktree",
            "state",
            "attempt",
            "depends_on",
            "group",
            "pid",
            "runner",
            "job",
            "host",
            "started_at",
            "finished_at",
            "exit_code",
            "tip",
            "landed",
            "undone",
            "commits",
            "files",
            "insertions",
            "deletions",
            "conflicts",
            "log",
            "reason",
            "usage",
        ]
    );
    let main = sandbox.oid("main");
    let task = &status["tasks"][0];
    assert_eq!(
        (&status["run"]["tip"], &task["landed"], &task["tip"]),
        (&json!(main), &json!(main), &json!(main))
    );
    assert_eq!(status["run"]["state"], "finished");
    assert_eq!(status["supervisor"], json!({"alive": false, "pid": null}));
    assert_eq!(task["worktree"], sandbox.worktree("a").to_str().unwrap());
    assert_eq!([&task["commits"], &task["files"], &task["insertions"], &task["deletions"]], [1, 1, 1, 0]);
    for time in [&status["run"]["started_at"], &status["run"]["finished_at"], &task["started_at"]] {
        assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
    }
    let all = [
        "aborted",
        "blocked",
        "conflicted",
        "failed",
        "finished",
        "held",
        "integrating",
        "landed",
        "preparing",
        "queued",
        "rate-limited",
        "rejected",
        "rolled-back",
        "running",
        "skipped",
        "timed-out",
        "unchanged",
    ];
    assert_eq!(keys(&status["counts"]), all);
}

#[test]
fn status_tells_a_run_while_it_goes_on() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["-j1", "a", "b"], &waiting_agent(&sandbox));
    sandbox.await_mark("up-a");
    // The state follows the process by an instant.
    wait_until("a is known to run", || sandbox.state("a") == "running");
    let other = sandbox.root.join("elsewhere");
    sandbox.git(&["worktree", "add", "-q", "--detach", other.to_str().unwrap()]);
    for dir in [&sandbox.repo, &sandbox.repo.join("src"), &sandbox.worktree("a"), &other] {
        let status = sandbox.parallel_in(dir, &["status", "--json"]).expect(0).json();
        assert_eq!(status["run"]["state"], "running", "{}", dir.display());
        assert_eq!(status["run"]["finished_at"], Value::Null);
        assert_eq!(status["supervisor"], json!({"alive": true, "pid": running.pid()}));
        assert_eq!(status["tasks"][1]["state"], "queued");
        assert_eq!(status["tasks"][1]["pid"], Value::Null);
        let pid = status["tasks"][0]["pid"].as_u64().unwrap();
        assert!(Path::new("/proc").join(pid.to_string()).exists());
    }
    sandbox.git(&["worktree", "remove", other.to_str().unwrap()]);
    sandbox.parallel(&["status"]).expect(0).tells(&["running", "1 running, 1 queued"]);
    sandbox.mark("go-a");
    sandbox.mark("go-b");
    let output = running.wait().expect(0);
    sandbox.check_run(&before, &output);
}

#[test]
fn nothing_is_told_in_words_where_there_was_no_run() {
    let sandbox = Sandbox::new();
    for command in ["status", "logs", "land", "abort", "cleanup"] {
        sandbox.parallel(&[command]).expect(1).tells(&["no run", "git parallel run"]);
    }
    assert_eq!(sandbox.parallel(&["list"]).expect(0).all(), "");
    assert_eq!(sandbox.parallel(&["list", "--json"]).expect(0).json(), json!({"version": 1, "runs": []}));
    let outside = sandbox.root.join("home");
    for command in ["status", "list", "doctor"] {
        let output = sandbox.parallel_in(&outside, &[command]);
        assert_eq!(output.code, 3, "{}", output.all());
        output.tells(&["not a git repository"]);
    }
}

#[test]
fn list_tells_all_runs_the_latest_last() {
    let sandbox = Sandbox::new();
    sandbox.run(&["a"], &sandbox.simple_agent()).expect(0);
    sandbox.run(&["b", "c"], &sandbox.agent("exit 1")).expect(1);
    let list = sandbox.parallel(&["list", "--json"]).expect(0).json();
    assert_eq!(keys(&list), ["version", "runs"]);
    let runs = list["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!(keys(&runs[0]), ["id", "state", "target", "started_at", "counts", "undone"]);
    assert_eq!((&runs[0]["counts"]["landed"], &runs[1]["counts"]["failed"]), (&json!(1), &json!(2)));
    let first = runs[0]["id"].as_str().unwrap();
    let human = sandbox.parallel(&["list"]).expect(0).tells(&["1 landed", "2 failed", first]);
    assert_eq!(human.stdout.lines().count(), 3);
    let status = sandbox.parallel(&["status", first, "--json"]).expect(0).json();
    assert_eq!(status["run"]["id"], first);
    assert_eq!(status["tasks"][0]["name"], "a");
    sandbox.parallel(&["status", "nonsense"]).expect(1).tells(&["no run 'nonsense'"]);
}

/// Seen elsewhere 22.
#[test]
fn logs_are_safe_to_print_and_raw_ones_exact() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(
        r#"printf 'caf\303\251\n\n\033[2J\033]0;title\007red \033[31mtext\033[0m\r\n\377\000end'; echo err >&2; exit 1"#,
    );
    sandbox.run(&["a"], &agent).expect(1);
    let mut raw = sandbox.command(&sandbox.repo, common::PROGRAM);
    let raw = raw.args(["logs", "--raw", "a"]).output().unwrap().stdout;
    let expected: &[u8] = b"caf\xc3\xa9\n\n\x1b[2J\x1b]0;title\x07red \x1b[31mtext\x1b[0m\r\n\xff\0enderr\n";
    assert_eq!(raw, expected);
    let clean = sandbox.parallel(&["logs", "a"]).expect(0).stdout;
    assert!(clean.starts_with("café\n\n"), "blank lines stay: {clean:?}");
    let bad = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!clean.contains(bad), "{clean:?}");
    assert!(clean.contains("text") && clean.contains("end"), "{clean:?}");
    sandbox.parallel(&["logs", "b"]).expect(1).tells(&["no task 'b'"]);
}

#[test]
fn logs_of_all_tasks_have_their_names_above() {
    let sandbox = Sandbox::new();
    sandbox.run(&["a", "b"], &sandbox.agent(r#"echo "I am $task""#)).expect(0);
    let logs = sandbox.parallel(&["logs"]).expect(0);
    assert_eq!(logs.stdout, "==> a <==\nI am a\n\n==> b <==\nI am b\n");
}

#[test]
fn logs_can_be_followed_to_the_agents_end() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"echo one; mark one; await go; echo two; echo x > x; commit"#);
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["a"], &agent);
    sandbox.await_mark("one");
    let following = sandbox.spawn(&["logs", "-f", "a"]);
    wait_until("the first line is there", || following.so_far().0 == "one\n");
    sandbox.mark("go");
    let followed = following.wait().expect(0);
    assert_eq!(followed.stdout, "one\ntwo\n");
    let output = running.wait().expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(
        sandbox.parallel(&["logs", "-f", "a"]).expect(0).stdout,
        "one\ntwo\n",
        "it is over: no waiting"
    );
}

/// Seen elsewhere: `| head` panics.
#[test]
fn a_reader_that_goes_away_breaks_nothing() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"head -c 300000 /dev/zero | tr '\0' 'x'; echo x > "$task"; commit"#);
    sandbox.run(&["a"], &agent).expect(0);
    for command in ["status", "status --json", "list", "logs a", "logs --raw", "-h", "run -n b -- true"] {
        let script = format!("(trap '' PIPE; git parallel {command}; echo \"code $?\" >&2) | true");
        let output = sandbox.run_in(&sandbox.repo, "sh", &["-c", &script]).expect(0);
        assert_eq!(output.stderr, "code 0\n", "{command}");
        let script = format!("git parallel {command} >&-; git parallel {command} >/dev/null 2>&-");
        let output = sandbox.run_in(&sandbox.repo, "sh", &["-c", &script]);
        assert!(!output.all().contains("panicked"), "{command}: {}", output.all());
    }
    // A run goes on and lands though nobody reads what it tells.
    let before = sandbox.snapshot();
    for (task, redirect) in [("b", "2>&1 | true"), ("c", ">/dev/full 2>&1"), ("d", ">&- 2>&-")] {
        let script = format!("git parallel run -y {task} -- '{}' {redirect}", agent.display());
        sandbox.run_in(&sandbox.repo, "sh", &["-c", &script]);
        wait_until("it is over", || {
            sandbox.parallel(&["status"]).code == 0 && sandbox.status()["run"]["state"] == "finished"
        });
        sandbox.check(&before);
        sandbox.expect_states(&[(task, "landed")]);
    }
}

/// Seen elsewhere 2 and 6. The agent and its child ignore TERM.
#[test]
fn abort_ends_a_whole_run_from_another_terminal() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(
        r#"trap '' TERM; echo "$task" > "$task"; commit; echo more > more
           (trap '' TERM; while :; do sleep 0.1; done) & mark "up-$task"; await never"#,
    );
    let before = sandbox.snapshot();
    let old = sandbox.oid("main");
    let running = sandbox.spawn_run(&["-j2", "a", "b", "c"], &agent);
    sandbox.await_mark("up-a");
    sandbox.await_mark("up-b");
    let abort = sandbox.parallel_in(&sandbox.repo.join("src"), &["abort"]).expect(0);
    abort.tells(&["its work is kept"]);
    let output = running.wait().expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "aborted"), ("b", "aborted"), ("c", "aborted")]);
    assert_eq!(sandbox.status()["run"]["state"], "aborted");
    assert_eq!(sandbox.oid("main"), old);
    for task in ["a", "b"] {
        assert_eq!(sandbox.show(&format!("feature/{task}"), task), format!("{task}\n"));
        assert!(sandbox.worktree(task).join("more").exists());
    }
    assert!(!sandbox.has_ref("refs/heads/feature/c"), "c was never begun");
    output.tells(&["Not started: c"]);
    sandbox.parallel(&["abort"]).expect(1).tells(&["nothing to stop"]);
    sandbox.check(&before);
}

#[test]
fn abort_of_one_task_lets_the_others_go_on() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["-j2", "a", "b", "queued"], &waiting_agent(&sandbox));
    sandbox.await_mark("up-a");
    sandbox.await_mark("up-b");
    sandbox.parallel(&["abort", "nobody"]).expect(1).tells(&["no task 'nobody'"]);
    sandbox.parallel(&["abort", "queued"]).expect(0);
    sandbox.parallel(&["abort", "a"]).expect(0).tells(&["a: aborted", "shop.worktrees/a"]);
    assert_eq!(sandbox.state("b"), "running");
    sandbox.mark("go-b");
    let output = running.wait().expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "aborted"), ("b", "landed"), ("queued", "aborted")]);
    assert!(sandbox.has("b.txt") && !sandbox.has("a.txt"));
}

#[test]
fn abort_with_cleanup_removes_only_what_is_safe() {
    let sandbox = Sandbox::new();
    let agent =
        sandbox.agent(r#"[ "$task" = made ] && { echo x > x; commit; }; mark "up-$task"; await never"#);
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["made", "none"], &agent);
    sandbox.await_mark("up-made");
    sandbox.await_mark("up-none");
    sandbox.parallel(&["abort", "--cleanup"]).expect(0).tells(&["kept made", "removed none"]);
    running.wait().expect(1);
    sandbox.check(&before);
    assert!(sandbox.has_ref("refs/heads/feature/made") && !sandbox.has_ref("refs/heads/feature/none"));
}

#[test]
fn land_works_during_a_run() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent = sandbox.agent(r#"echo x > "$task"; commit; mark "up-$task"; [ "$task" = a ] || await go"#);
    let running = sandbox.spawn_run(&["--no-land", "a", "b"], &agent);
    sandbox.await_mark("up-b");
    wait_until("a is finished", || sandbox.state("a") == "finished");
    sandbox.parallel(&["land", "b"]).expect(1).tells(&["b", "running"]);
    let landed = sandbox.parallel(&["land", "a"]);
    assert_eq!(landed.code, 0, "{}", landed.all());
    assert!(sandbox.has("a"), "it is there when the command returns");
    assert_eq!(sandbox.status()["run"]["state"], "running");
    sandbox.mark("go");
    let output = running.wait().expect(0);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "landed"), ("b", "finished")]);
}

/// A run whose tasks end in every way that cleanup must look at; gives the agent's names for them.
fn leave_much_behind(sandbox: &Sandbox) {
    let agent = sandbox.agent(
        r#"case $task in
           landed) echo x > "$task"; commit ;;
           unlanded) echo x > "$task"; commit; exit 1 ;;
           untracked) echo precious > notes; exit 1 ;;
           edited) echo precious >> README.md; exit 1 ;;
           ignored) echo precious > x.log; exit 1 ;;
           empty) exit 1 ;;
           esac"#,
    );
    sandbox.run(&["-j6", "landed", "unlanded", "untracked", "edited", "ignored", "empty"], &agent).expect(1);
}

/// Fault 58; seen elsewhere 2.
#[test]
fn cleanup_keeps_what_is_worth_something_and_says_why() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    leave_much_behind(&sandbox);
    let dry = sandbox.parallel(&["cleanup", "-n"]).expect(0);
    dry.tells(&["would remove empty"]);
    assert!(sandbox.worktree("empty").exists(), "-n changes nothing");
    let refs = sandbox.refs();
    let output = sandbox.parallel(&["cleanup"]).expect(0);
    sandbox.check(&before);
    output.tells(&[
        "kept unlanded: ",
        "it has commits that did not land",
        "kept untracked: ",
        "untracked files: notes",
        "kept edited: ",
        "uncommitted changes: README.md",
        "kept ignored: ",
        "ignored files: x.log",
        "removed empty: ",
        "kept the record of run",
    ]);
    assert!(!sandbox.worktree("empty").exists() && !sandbox.has_ref("refs/heads/feature/empty"));
    for (task, file) in [("unlanded", "unlanded"), ("untracked", "notes"), ("ignored", "x.log")] {
        assert!(sandbox.worktree(task).join(file).exists(), "{task}");
        assert!(sandbox.has_ref(&format!("refs/heads/feature/{task}")));
    }
    let gone: Vec<_> = refs.keys().filter(|name| !sandbox.refs().contains_key(*name)).cloned().collect();
    assert_eq!(gone, ["refs/heads/feature/empty"]);
    let again = sandbox.parallel(&["cleanup"]).expect(0);
    assert!(!again.all().contains("removed"), "{}", again.all());
    sandbox.check(&before);
}

#[test]
fn a_dry_cleanup_changes_nothing_at_all() {
    let sandbox = Sandbox::new();
    leave_much_behind(&sandbox);
    let (refs, before) = (sandbox.refs(), common::tree(&sandbox.worktrees()));
    let journal = fs::read(sandbox.record().join("journal.jsonl")).unwrap();
    sandbox.parallel(&["cleanup", "-n", "--all"]).expect(0);
    sandbox.parallel(&["cleanup", "-n", "--force", "edited"]).expect(0);
    assert_eq!(refs, sandbox.refs());
    assert_eq!(before, common::tree(&sandbox.worktrees()));
    assert_eq!(journal, fs::read(sandbox.record().join("journal.jsonl")).unwrap());
}

/// Fault 58: force names the task, and its commits stay pinned.
#[test]
fn cleanup_by_force_takes_the_named_task_alone_and_pins_its_commits() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    leave_much_behind(&sandbox);
    sandbox.parallel(&["cleanup", "--force"]).expect(2);
    let tip = sandbox.oid("feature/unlanded");
    sandbox.parallel(&["cleanup", "--force", "unlanded", "edited"]).expect(0);
    sandbox.check(&before);
    for task in ["unlanded", "edited"] {
        assert!(!sandbox.worktree(task).exists() && !sandbox.has_ref(&format!("refs/heads/feature/{task}")));
    }
    for task in ["untracked", "ignored"] {
        assert!(sandbox.worktree(task).exists(), "{task}");
    }
    let id = sandbox.runs()[0].1["id"].as_str().unwrap().to_owned();
    assert_eq!(sandbox.oid(&format!("refs/parallel/{id}/unlanded/tip")), tip);
    // Even when nothing else is left, the record that explains the pin is.
    sandbox.parallel(&["cleanup", "--force", "untracked", "ignored", "empty"]).expect(0);
    sandbox.parallel(&["cleanup"]).expect(0).tells(&["kept the record", "only refs/parallel/"]);
    sandbox.check(&before);
}

#[test]
fn cleanup_of_a_run_that_left_nothing_removes_its_record() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    sandbox.run(&["a"], &sandbox.simple_agent()).expect(0);
    sandbox.run(&["--keep", "b"], &sandbox.simple_agent()).expect(0);
    sandbox.parallel(&["cleanup", "--all"]).expect(0).tells(&["removed b", "removed the record"]);
    assert_eq!(sandbox.runs().len(), 0);
    assert_eq!(sandbox.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    assert!(!sandbox.worktrees().exists());
    sandbox.check_repository(&before);
    sandbox.check_commits();
    // Nothing is in the way of the next run.
    let output = sandbox.run(&["a"], &sandbox.agent("echo again > again; commit")).expect(0);
    sandbox.check_run(&before, &output);
}

/// Seen elsewhere 3: clean-up replays old records and deletes a *new* user branch of that name.
#[test]
fn cleanup_never_removes_a_new_branch_of_the_users() {
    let sandbox = Sandbox::new();
    sandbox.run(&["a", "b"], &sandbox.simple_agent()).expect(0);
    // Both are gone; the user makes them anew, one with work of its own, one at the target's tip.
    sandbox.git(&["branch", "feature/b"]);
    sandbox.git(&["worktree", "add", "-q", "-b", "feature/a", sandbox.worktree("a").to_str().unwrap()]);
    fs::write(sandbox.worktree("a").join("mine"), "mine\n").unwrap();
    sandbox.git_in(&sandbox.worktree("a"), &["add", "mine"]);
    sandbox.git_in(&sandbox.worktree("a"), &["commit", "-q", "-m", "Mine"]);
    let refs = sandbox.refs();
    for args in [&["cleanup"][..], &["cleanup", "--all"], &["cleanup", "a"]] {
        sandbox.parallel(args);
        let now = sandbox.refs();
        for name in ["refs/heads/feature/a", "refs/heads/feature/b"] {
            assert_eq!(refs.get(name), now.get(name), "{args:?} took {name}");
        }
        assert!(sandbox.worktree("a").join("mine").exists());
    }
}

/// After `git worktree remove`, nothing else would have commits of a detached HEAD.
#[test]
fn cleanup_by_force_pins_what_a_detached_head_holds() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent("git checkout -q --detach; echo x > x; commit; exit 1");
    let before = sandbox.snapshot();
    sandbox.run(&["a"], &agent).expect(1);
    sandbox.check(&before);
    let detached = sandbox.worktree("a");
    let pin = sandbox.git(&["for-each-ref", "--format=%(objectname)", "refs/parallel/**/detached"]);
    assert_eq!(pin, sandbox.read_io("commits").trim(), "as soon as the agent ended");
    sandbox.script(&sandbox.root.join("bin/later"), "echo y > y; commit");
    sandbox.run_in(&detached, sandbox.root.join("bin/later"), &[] as &[&str]).expect(0);
    sandbox.parallel(&["cleanup"]).expect(0).tells(&["kept a"]);
    sandbox.parallel(&["cleanup", "--force", "a"]).expect(0);
    sandbox.check(&before);
    assert!(!detached.exists());
}

/// The pin of what the agent made is not given up for what the branch is now.
#[test]
fn cleanup_by_force_keeps_what_was_pinned_before() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    sandbox.run(&["a"], &sandbox.agent("echo x > x; commit; exit 1")).expect(1);
    sandbox.git_in(&sandbox.worktree("a"), &["reset", "-q", "--hard", "main"]);
    sandbox.script(&sandbox.root.join("bin/anew"), "echo y > y; commit");
    sandbox.run_in(&sandbox.worktree("a"), sandbox.root.join("bin/anew"), &[] as &[&str]).expect(0);
    sandbox.parallel(&["cleanup", "--force", "a"]).expect(0);
    sandbox.check(&before);
    assert_eq!(sandbox.read_io("commits").lines().count(), 2);
}

/// Fault 59.
#[test]
fn cleanup_stays_out_of_where_somebody_stands() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    sandbox.run(&["--keep", "a"], &sandbox.simple_agent()).expect(0);
    let output = sandbox.parallel_in(&sandbox.worktree("a"), &["cleanup"]).expect(0);
    output.tells(&["kept a", "the current directory is in it"]);
    sandbox.parallel_in(&sandbox.worktree("a"), &["cleanup", "--force", "a"]).tells(&["current directory"]);
    sandbox.check(&before);
    assert!(sandbox.worktree("a").join("a.txt").exists());
    sandbox.git(&["worktree", "lock", sandbox.worktree("a").to_str().unwrap()]);
    sandbox.parallel(&["cleanup"]).expect(0).tells(&["kept a", "locked"]);
    assert!(sandbox.worktree("a").join("a.txt").exists());
    sandbox.git(&["worktree", "unlock", sandbox.worktree("a").to_str().unwrap()]);
    sandbox.parallel(&["cleanup"]).expect(0).tells(&["removed a"]);
    assert!(!sandbox.worktrees().exists());
}

/// Fault 60.
#[test]
fn cleanup_follows_no_symbolic_link() {
    let sandbox = Sandbox::new();
    let precious = sandbox.root.join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "precious\n").unwrap();
    let agent = sandbox.agent(&format!(
        r#"mkdir target; ln -s '{0}' target/inside; ln -s '{0}' tracked; echo x > "$task"; commit"#,
        precious.display()
    ));
    sandbox.run(&["--keep", "a", "b"], &agent).expect(0);
    // One worktree holds links; the other one is replaced by a link.
    let aside = sandbox.root.join("aside");
    fs::rename(sandbox.worktree("b"), &aside).unwrap();
    symlink(&precious, sandbox.worktree("b")).unwrap();
    sandbox.parallel(&["cleanup"]).expect(0).tells(&["removed a", "kept b", "symbolic link"]);
    sandbox.parallel(&["cleanup", "--force", "b"]).tells(&["symbolic link"]);
    assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "precious\n");
    assert!(aside.join("b").exists());
    assert!(sandbox.has_ref("refs/heads/feature/b"));
}

/// Faults 59 and 61: what is at the path is no worktree of the run's any more.
#[test]
fn cleanup_leaves_foreign_directories_alone() {
    let sandbox = Sandbox::new();
    sandbox.run(&["--keep", "a"], &sandbox.simple_agent()).expect(0);
    sandbox.git(&["worktree", "remove", sandbox.worktree("a").to_str().unwrap()]);
    fs::create_dir_all(sandbox.worktree("a")).unwrap();
    fs::write(sandbox.worktree("a").join("mine"), "mine\n").unwrap();
    sandbox.parallel(&["cleanup"]).expect(0).tells(&["kept a"]);
    sandbox.parallel(&["cleanup", "--force", "a"]);
    assert_eq!(fs::read_to_string(sandbox.worktree("a").join("mine")).unwrap(), "mine\n");
}

/// Fault 62: what landed is judged by what landed, not by what the target is now.
#[test]
fn cleanup_knows_what_landed_though_the_target_went_back() {
    let sandbox = Sandbox::new();
    let old = sandbox.oid("main");
    sandbox.run(&["--keep", "a"], &sandbox.simple_agent()).expect(0);
    sandbox.git(&["reset", "-q", "--hard", &old]);
    sandbox.parallel(&["cleanup"]).expect(0);
    sandbox.check_commits();
    let tip = sandbox.read_io("commits");
    let refs = sandbox.git(&["for-each-ref", "--contains", tip.trim(), "--format=%(refname)"]);
    assert_ne!(refs, "", "I1: the only copy of a task's work");
}

#[test]
fn doctor_tells_whether_a_run_could_start() {
    let sandbox = Sandbox::new();
    let ready = sandbox.parallel(&["doctor"]).expect(0);
    ready.tells(&["Ready", "main (", "../shop.worktrees/"]);
    assert!(!sandbox.common_dir().join("parallel").exists());
    sandbox.write("README.md", "edited\n");
    sandbox.parallel(&["doctor"]).expect(3).tells(&["README.md", "--allow-dirty"]);
    sandbox.git(&["checkout", "-q", "--", "."]);
    let running = sandbox.spawn_run(&["a"], &waiting_agent(&sandbox));
    sandbox.await_mark("up-a");
    sandbox.parallel(&["doctor"]).expect(4).tells(&["git parallel status"]);
    sandbox.mark("go-a");
    running.wait().expect(0);
}

/// Fault 65, I8; seen elsewhere 15 and 16.
#[test]
fn a_second_run_is_told_who_holds_the_repository() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["a"], &waiting_agent(&sandbox));
    sandbox.await_mark("up-a");
    let refs = sandbox.refs();
    let id = sandbox.runs()[0].1["id"].as_str().unwrap().to_owned();
    let pid = format!("process {}", running.pid());
    for dir in [sandbox.repo.clone(), sandbox.repo.join("src"), sandbox.worktree("a")] {
        let args = sandbox.run_args(&["b"], &sandbox.simple_agent());
        let output = sandbox.parallel_in(&dir, &args).expect(4);
        output.tells(&[&id, &pid, "git parallel status", "--wait", "git parallel abort"]);
    }
    sandbox.parallel(&["cleanup"]).expect(4).tells(&[&id]);
    assert_eq!(refs, sandbox.refs());
    assert_eq!(sandbox.runs().len(), 1);
    sandbox.mark("go-a");
    let output = running.wait().expect(0);
    sandbox.check_run(&before, &output);
}

#[test]
fn a_run_may_wait_for_another() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["a"], &waiting_agent(&sandbox));
    sandbox.await_mark("up-a");
    let waiting = sandbox.spawn_run(&["--wait", "b"], &sandbox.simple_agent());
    wait_until("it says that it waits", || waiting.so_far().1.contains("waiting"));
    assert!(!sandbox.has_ref("refs/heads/feature/b"));
    sandbox.mark("go-a");
    running.wait().expect(0);
    let output = waiting.wait().expect(0);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("b", "landed")]);
    assert!(sandbox.has("a.txt") && sandbox.has("b.txt"));
}

#[test]
fn a_run_may_take_over_from_another() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["a"], &waiting_agent(&sandbox));
    sandbox.await_mark("up-a");
    let mut args = sandbox.run_args(&["--takeover", "b"], &sandbox.simple_agent());
    args.remove(1);
    let refused = sandbox.parallel(&args);
    assert_eq!(refused.code, 3, "nobody can be asked: {}", refused.all());
    assert!(sandbox.state("a") == "running");
    let output = sandbox.run(&["--takeover", "b"], &sandbox.simple_agent()).expect(0);
    running.wait().expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("b", "landed")]);
    assert_eq!(sandbox.show("feature/a", "a.txt"), "a\n", "its work is kept");
    assert!(!sandbox.has("a.txt"));
}

#[test]
fn help_and_version_are_answers() {
    let sandbox = Sandbox::new();
    for args in [&["-h"][..], &["--version"], &[], &["run", "-h"], &["status", "-h"]] {
        let output = sandbox.parallel_in(&sandbox.root, args).expect(0);
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}
