//! What happens around an agent: ignored files that its worktree gets, setup, hooks, notices.

#![allow(clippy::disallowed_methods)]

mod common;
#[path = "faults/terminal.rs"]
mod terminal;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Sandbox, journal, wait_until};
use rustix::process::Signal;
use terminal::Terminal;

/// A sandbox whose repository ignores `.env` as well.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(".gitignore", "*.log\n/target/\n/secret/\nnode_modules/\n.env\n");
    sandbox.commit_all("Ignore .env");
    sandbox
}

/// A command for a shell: a script of the test's.
fn command(sandbox: &Sandbox, name: &str, body: &str) -> String {
    sandbox.script(&sandbox.root.join("bin").join(name), body).to_str().unwrap().to_owned()
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

// Ignored files

#[test]
fn ignored_files_that_are_named_come_along() {
    let sandbox = sandbox();
    sandbox.write(
        ".worktreeinclude",
        "# what builds need\n.env\nnode_modules/\n!node_modules/skipped/\nnotes.txt\nREADME.md\n",
    );
    sandbox.commit_all("Include");
    sandbox.write(".env", "KEY=1\n");
    sandbox.write("notes.txt", "not ignored\n");
    sandbox.write("secret/key", "2\n");
    sandbox.write("other.log", "");
    sandbox.write("node_modules/a b/run", "#!/bin/sh\n");
    fs::set_permissions(sandbox.repo.join("node_modules/a b/run"), fs::Permissions::from_mode(0o755))
        .unwrap();
    symlink("a b/run", sandbox.repo.join("node_modules/link")).unwrap();
    fs::write(sandbox.repo.join("node_modules").join(std::ffi::OsStr::from_bytes(b"\xff\n.js")), "odd")
        .unwrap();
    sandbox.git(&["config", "parallel.include", "/secret/"]);
    let before = sandbox.snapshot();
    let agent =
        sandbox.agent("find . -name .git -prune -o -print | sort >$IO/seen-$task; echo x >$task.txt; commit");
    let output = sandbox.run(&["--keep", "a"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    let there = sandbox.worktree("a");
    assert_eq!(fs::read_to_string(there.join(".env")).unwrap(), "KEY=1\n");
    assert_eq!(fs::read_to_string(there.join("secret/key")).unwrap(), "2\n");
    let (run, original) = (there.join("node_modules/a b/run"), sandbox.repo.join("node_modules/a b/run"));
    let look =
        |path: &Path| path.metadata().map(|meta| (meta.mode(), meta.mtime(), meta.mtime_nsec())).unwrap();
    assert_eq!(look(&run), look(&original));
    assert_eq!(fs::read_link(there.join("node_modules/link")).unwrap(), Path::new("a b/run"));
    assert!(there.join("node_modules").join(std::ffi::OsStr::from_bytes(b"\xff\n.js")).exists());
    assert!(!there.join("notes.txt").exists(), "it would have been committed");
    assert!(!there.join("other.log").exists());
    assert!(sandbox.read_io("seen-a").contains("./.env\n"), "it was there before the agent");
    assert_eq!(sandbox.git_in(&there, &["status", "--porcelain"]), "");
    assert_eq!(sandbox.git(&["diff", "--name-only", &format!("{}..main", before_tip(&sandbox))]), "a.txt");
}

/// Where `main` was when the run started.
fn before_tip(sandbox: &Sandbox) -> String {
    sandbox.status()["run"]["base"].as_str().unwrap().to_owned()
}

#[test]
fn from_a_linked_worktree_they_come_from_the_main_one() {
    let sandbox = sandbox();
    sandbox.git(&["config", "parallel.include", ".env"]);
    sandbox.write(".env", "main\n");
    let linked = sandbox.root.join("linked");
    sandbox.git(&["worktree", "add", "-q", "-b", "other", linked.to_str().unwrap()]);
    fs::write(linked.join(".env"), "linked\n").unwrap();
    let agent = sandbox.agent("cp .env $IO/env; echo x >x; commit");
    let args = sandbox.run_args(&["a"], &agent);
    sandbox.parallel_in(&linked, &args).expect(0);
    assert_eq!(sandbox.read_io("env"), "main\n");
}

#[test]
fn a_bare_repository_has_none_to_bring() {
    let sandbox = sandbox();
    let bare = sandbox.root.join("bare.git");
    sandbox.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    sandbox.identify(&bare);
    sandbox.git_in(&bare, &["config", "parallel.include", "*"]);
    let agent = sandbox.simple_agent();
    let args = sandbox.run_args(&["--into", "main", "a"], &agent);
    sandbox.parallel_in(&bare, &args).expect(0);
}

/// What was brought and is as it was goes with the worktree; what the agent changed, or made, stays.
#[test]
fn a_worktree_goes_with_what_was_brought_and_stays_for_what_the_agent_made() {
    let sandbox = sandbox();
    sandbox.git(&["config", "parallel.include", ".env"]);
    sandbox.write(".env", "1\n");
    let agent = sandbox.agent(
        "case $task in changed) echo 2 >.env;; made) echo x >new.log;; same) cat .env >/dev/null;; esac
         echo $task >$task.txt; commit",
    );
    let before = sandbox.snapshot();
    let output = sandbox.run(&["same", "changed", "made"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert!(!sandbox.worktree("same").exists(), "{}", output.all());
    assert_eq!(fs::read_to_string(sandbox.worktree("changed").join(".env")).unwrap(), "2\n");
    assert!(sandbox.worktree("made").join("new.log").exists());
    output.tells(&["ignored files: .env", "ignored files: new.log"]);
    sandbox.parallel(&["cleanup"]);
    assert!(sandbox.worktree("changed").exists() && sandbox.worktree("made").exists());
}

#[test]
fn odd_things_that_a_pattern_names_harm_nobody() {
    let sandbox = sandbox();
    let outside = sandbox.root.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "s").unwrap();
    sandbox.write("target/plain", "x");
    symlink(&outside, sandbox.repo.join("target/out")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, sandbox.repo.join("target/fifo"), mode).unwrap();
    sandbox.git(&["init", "-q", sandbox.repo.join("target/nested").to_str().unwrap()]);
    sandbox.write("target/nested/f", "x");
    sandbox.git(&["config", "parallel.include", "target/"]);
    let agent = sandbox.agent("echo more >target/plain; echo x >x; commit");
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--keep", "a"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    let there = sandbox.worktree("a").join("target");
    assert_eq!(fs::read_link(there.join("out")).unwrap(), outside);
    assert!(!there.join("fifo").exists() && !there.join("nested").exists());
    assert_eq!(fs::read_to_string(there.join("plain")).unwrap(), "more\n");
    assert_eq!(sandbox.read("target/plain"), "x", "a copy, not the file itself");
}

#[test]
fn a_file_that_can_not_be_read_is_told_and_the_rest_comes() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may read everything");
        return;
    }
    let sandbox = sandbox();
    sandbox.git(&["config", "parallel.include", "target/"]);
    sandbox.write("target/closed", "x");
    sandbox.write("target/open", "x");
    fs::set_permissions(sandbox.repo.join("target/closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let agent = sandbox.agent("ls target >$IO/seen; echo x >x; commit");
    sandbox.run(&["a"], &agent).expect(0).tells(&["a: not brought along: target/closed"]);
    assert_eq!(sandbox.read_io("seen"), "open\n");
}

/// What the target ignores counts, not what the user's checkout does: else it would be committed.
#[test]
fn what_only_the_users_checkout_ignores_stays_out() {
    let sandbox = sandbox();
    sandbox.write(".gitignore", ".env\nnew.key\n");
    sandbox.write("new.key", "secret\n");
    sandbox.write(".env", "1\n");
    sandbox.git(&["config", "--add", "parallel.include", "*.key"]);
    sandbox.git(&["config", "--add", "parallel.include", ".env"]);
    let agent = sandbox.agent("ls -A >$IO/seen; echo x >x");
    sandbox.run(&["--allow-dirty", "a"], &agent).expect(0);
    assert!(lines(&sandbox.read_io("seen")).contains(&".env"));
    assert!(!lines(&sandbox.read_io("seen")).contains(&"new.key"));
}

#[test]
fn ten_thousand_files_are_no_burden() {
    let sandbox = sandbox();
    for dir in 0..100 {
        let dir = sandbox.repo.join(format!("node_modules/p{dir}/lib"));
        fs::create_dir_all(&dir).unwrap();
        (0..100).for_each(|file| fs::write(dir.join(format!("{file}.js")), "x").unwrap());
    }
    sandbox.write(".worktreeinclude", "node_modules\n");
    sandbox.commit_all("Include");
    let agent =
        sandbox.agent("find node_modules -type f | wc -l >$IO/count-$task; echo x >$task.txt; commit");
    let begun = Instant::now();
    let output = sandbox.run(&["a", "b"], &agent).expect(0);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!([sandbox.read_io("count-a").trim(), sandbox.read_io("count-b").trim()], ["10000", "10000"]);
    assert!(!sandbox.worktrees().exists(), "{}", output.all());
}

#[test]
fn an_include_file_that_can_not_be_read_is_refused() {
    let sandbox = sandbox();
    fs::create_dir(sandbox.repo.join(".worktreeinclude")).unwrap();
    let agent = sandbox.simple_agent();
    sandbox.run(&["a"], &agent).expect(3).tells(&[".worktreeinclude", "patterns as in .gitignore"]);
}

// Setup

#[test]
fn the_setup_runs_once_in_each_new_worktree_before_its_agent() {
    let sandbox = sandbox();
    sandbox.git(&["config", "parallel.include", ".env"]);
    sandbox.write(".env", "1\n");
    let setup = command(
        &sandbox,
        "setup",
        "test -f README.md; test -f .env; test \"$PWD\" = \"$GIT_PARALLEL_WORKTREE\"
         echo $GIT_PARALLEL_SLOT/$GIT_PARALLEL_ATTEMPT/$1 >>$IO/setup-$task; echo PORT=1 >>.env; mkdir -p target; echo x >target/x; echo x >made.log",
    );
    let agent = sandbox.agent(
        "test -f target/x; test $(wc -l <.env) = 2; echo x >>$IO/tries-$task
         test $(wc -l <$IO/tries-$task) = 2; echo x >$task.txt; commit",
    );
    let before = sandbox.snapshot();
    let output =
        sandbox.run(&["-j1", "--retries=1", "--setup", &format!("{setup} {{task}}"), "a"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read_io("setup-a"), "0/1/a\n", "not for the second attempt");
    // What it made and git ignores is not the agent's.
    assert!(!sandbox.worktrees().exists(), "{}", output.all());
    output.tells(&["a: being set up"]);
}

#[test]
fn a_setup_that_fails_fails_its_task_alone_and_is_run_again_by_retry() {
    let sandbox = sandbox();
    let setup = command(
        &sandbox,
        "setup",
        "if [ $task = bad ] && [ ! -e $IO/mended ]; then echo no such thing; exit 3; fi; echo x >>$IO/setup-$task",
    );
    sandbox.git(&["config", "parallel.setup", &setup]);
    let agent = sandbox.simple_agent();
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--retries=2", "bad", "good"], &agent).expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("bad", "failed"), ("good", "landed")]);
    let reason = sandbox.task("bad")["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("setup failed: exit 3: no such thing (its output: "), "{reason}");
    let log = sandbox.record().join("tasks/bad/setup/output.log");
    assert!(reason.contains(log.to_str().unwrap()) && log.exists(), "{reason}");
    assert!(sandbox.worktree("bad").join("README.md").exists() && sandbox.has_ref("refs/heads/feature/bad"));
    output.tells(&["-> git parallel logs bad   then   git parallel retry bad"]);
    assert_eq!(sandbox.parallel(&["logs", "bad"]).expect(0).stdout, "no such thing\n");
    let begun = |step: &str| {
        journal(&sandbox.record()).iter().filter(|e| e["step"] == step && e["task"] == "bad").count()
    };
    assert_eq!((begun("setup"), begun("start")), (1, 0), "a setup is not tried again unasked");

    sandbox.mark("mended");
    let output = sandbox.parallel(&["retry", "bad"]).expect(0);
    sandbox.expect_states(&[("bad", "landed"), ("good", "landed")]);
    assert_eq!(
        (sandbox.read_io("setup-bad"), sandbox.read_io("setup-good")),
        ("x\n".to_owned(), "x\n".to_owned())
    );
    assert!(!sandbox.worktrees().exists(), "{}", output.all());
    sandbox.check(&before);
}

#[test]
fn a_worktree_whose_setup_failed_can_be_cleaned_up() {
    let sandbox = sandbox();
    let agent = sandbox.simple_agent();
    let before = sandbox.snapshot();
    sandbox.run(&["--setup", "exit 1", "a"], &agent).expect(1);
    sandbox.parallel(&["cleanup"]).expect(0);
    assert!(!sandbox.worktrees().exists() && !sandbox.has_ref("refs/heads/feature/a"));
    sandbox.check_repository(&before);
}

#[test]
fn a_slow_setup_holds_up_no_other_task_and_keeps_its_slot() {
    let sandbox = sandbox();
    sandbox.gate("slow");
    let setup = command(&sandbox, "setup", "case $task in slow*) mark up-$task; await go;; esac");
    let agent = sandbox.simple_agent();
    let tasks = ["slow1", "slow2", "slow3", "quick1", "quick2"];
    let running = sandbox.spawn_run(&[&["-j4", "--setup", &setup][..], &tasks].concat(), &agent);
    ["slow1", "slow2", "slow3"].iter().for_each(|task| sandbox.await_mark(&format!("up-{task}")));
    wait_until("the others have landed", || {
        ["quick1", "quick2"].iter().all(|task| sandbox.has(&format!("{task}.txt")))
    });
    for task in ["slow1", "slow2", "slow3"] {
        assert_eq!(sandbox.state(task), "preparing");
    }
    sandbox.mark("go");
    running.wait().expect(0);
}

#[test]
fn what_a_setup_leaves_running_ends_with_it() {
    let sandbox = sandbox();
    let daemon = "setsid sh -c \"trap '' HUP; echo \\$\\$ >'$IO/pid'; : >'$IO/forked'; exec sleep 300\" </dev/null >/dev/null 2>&1 &";
    let setup = command(&sandbox, "setup", &format!("{daemon}\nawait forked"));
    let agent = sandbox.agent("if kill -0 $(cat $IO/pid); then exit 1; fi; echo x >x; commit");
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--setup", &setup, "a"], &agent).expect(0);
    sandbox.check_run(&before, &output);
}

#[test]
fn a_setup_has_the_time_of_an_agent() {
    let sandbox = sandbox();
    let agent = sandbox.simple_agent();
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--timeout=1s", "--setup", "sleep 300", "a"], &agent).expect(1);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.state("a"), "failed");
    output.tells(&["setup failed: ran for more than 1 s"]);
}

#[test]
fn abort_stops_the_setup_of_one_task_and_leaves_the_others() {
    let sandbox = sandbox();
    let setup = command(
        &sandbox,
        "setup",
        "trap 'mark told; exit 1' TERM; mark up-$task; if [ $task = a ]; then while :; do sleep 0.05; done; fi; await go",
    );
    let agent = sandbox.simple_agent();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["--setup", &setup, "a", "b"], &agent);
    sandbox.await_mark("up-a");
    sandbox.await_mark("up-b");
    sandbox.parallel(&["abort", "a"]).expect(0);
    sandbox.await_mark("told");
    wait_until("a is aborted", || sandbox.state("a") == "aborted");
    assert_eq!(sandbox.state("b"), "preparing");
    sandbox.mark("go");
    let output = running.wait().expect(1);
    sandbox.expect_states(&[("a", "aborted"), ("b", "landed")]);
    sandbox.check_run(&before, &output);
    output.tells(&["a: aborted while it was set up"]);
    assert!(sandbox.worktree("a").exists());
}

#[test]
fn ctrl_c_stops_setups_and_a_second_one_kills_them() {
    let sandbox = sandbox();
    let setup = command(&sandbox, "setup", "trap '' TERM; mark up-$task; while :; do sleep 0.05; done");
    let agent = sandbox.simple_agent();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["--setup", &setup, "a"], &agent);
    sandbox.await_mark("up-a");
    let begun = Instant::now();
    running.signal(Signal::INT);
    wait_until("it is told", || running.so_far().1.contains("stopping 1 setup"));
    running.signal(Signal::INT);
    let output = running.wait().expect(130);
    assert!(begun.elapsed() < Duration::from_secs(4), "the grace was skipped");
    sandbox.expect_states(&[("a", "aborted")]);
    sandbox.check_run(&before, &output);
}

#[test]
fn a_setup_whose_supervisor_died_is_ended_and_run_again() {
    let sandbox = sandbox();
    let setup =
        command(&sandbox, "setup", "echo $$ >>$IO/pids; if [ ! -e $IO/again ]; then mark up; sleep 300; fi");
    let agent = sandbox.simple_agent();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["--setup", &setup, "a"], &agent);
    sandbox.await_mark("up");
    running.signal(Signal::KILL);
    running.wait();
    sandbox.mark("again");
    let output = sandbox.parallel(&["resume"]).expect(0);
    assert_eq!(lines(&sandbox.read_io("pids")).len(), 2);
    sandbox.expect_states(&[("a", "landed")]);
    sandbox.check_run(&before, &output);
    let fresh = journal(&sandbox.record()).iter().filter(|e| e["event"] == "prepared").count();
    assert_eq!(fresh, 1, "its worktree was whole");
}

#[test]
fn an_interrupted_run_can_be_aborted_while_a_setup_lives() {
    let sandbox = sandbox();
    let setup = command(&sandbox, "setup", "mark up; sleep 300");
    let agent = sandbox.simple_agent();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["--setup", &setup, "a"], &agent);
    sandbox.await_mark("up");
    running.signal(Signal::KILL);
    running.wait();
    sandbox.parallel(&["abort"]);
    sandbox.expect_states(&[("a", "aborted")]);
    sandbox.check(&before);
}

#[test]
fn an_atomic_run_that_is_called_off_stops_setups() {
    let sandbox = sandbox();
    let setup = command(&sandbox, "setup", "if [ $task = slow ]; then mark up; sleep 300; else await up; fi");
    let agent = sandbox.agent("exit 1");
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--atomic", "--setup", &setup, "bad", "slow"], &agent).expect(1);
    sandbox.expect_states(&[("bad", "failed"), ("slow", "rolled-back")]);
    sandbox.check_run(&before, &output);
}

#[test]
fn a_worktree_that_is_reused_is_not_set_up() {
    let sandbox = sandbox();
    let there = sandbox.worktree("a");
    sandbox.git(&["worktree", "add", "-q", "-b", "feature/a", there.to_str().unwrap()]);
    let agent = sandbox.simple_agent();
    sandbox.run(&["--existing=reuse", "--setup", "exit 1", "a"], &agent).expect(0);
}

// Hooks

#[test]
fn after_land_runs_in_the_main_worktree_before_the_clean_up_for_what_landed_alone() {
    let sandbox = sandbox();
    let hook = command(
        &sandbox,
        "hook",
        "test \"$PWD\" = \"$GIT_PARALLEL_ROOT\"; test -d \"$GIT_PARALLEL_WORKTREE\"; test -f $1.txt
         git log -1 --format=%s >/dev/null; echo $1 $task $GIT_PARALLEL_BRANCH >>$IO/hook; test $task != two",
    );
    sandbox.git(&["config", "parallel.afterLand", &format!("{hook} {{task}}; exit $?")]);
    let agent = sandbox
        .agent("test $task != bad; if [ $task = same ]; then exit 0; fi; echo $task >$task.txt; commit");
    let before = sandbox.snapshot();
    let output = sandbox.run(&["-j1", "one", "two", "bad", "same"], &agent).expect(1);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read_io("hook"), "one one feature/one\ntwo two feature/two\n");
    sandbox.expect_states(&[("one", "landed"), ("two", "landed"), ("bad", "failed"), ("same", "unchanged")]);
    assert!(!sandbox.worktree("two").exists());
    output.tells(&["two: the afterLand hook failed: exit 1"]);
}

/// A name, as a text for a shell, is what the user made of it. None is put into the hook itself.
#[test]
fn no_value_becomes_a_part_of_a_hook() {
    let sandbox = sandbox();
    sandbox.git(&["config", "parallel.afterLand", "printf %s \"{branch}|{worktree}\" >\"$OUT\""]);
    let mut sandbox = sandbox;
    let out = sandbox.io("out");
    sandbox.set_env("OUT", &out);
    let odd = sandbox.root.join("w `touch owned` $(touch owned) ;touch owned");
    sandbox.git(&["config", "parallel.worktreeDir", odd.to_str().unwrap()]);
    sandbox.git(&["config", "parallel.branchPrefix", "$(touch${IFS}owned)/"]);
    let agent = sandbox.simple_agent();
    sandbox.run(&["a"], &agent).expect(0);
    assert_eq!(sandbox.read_io("out"), format!("$(touch${{IFS}}owned)/a|{}/a", odd.display()));
    assert!(!sandbox.has("owned"));
}

#[test]
fn a_slow_hook_holds_up_no_landing() {
    let sandbox = sandbox();
    let hook = command(&sandbox, "hook", "mark up-$task; await go");
    sandbox.git(&["config", "parallel.afterLand", &hook]);
    let agent = sandbox.simple_agent();
    let tasks: Vec<String> = (0..5).map(|n| format!("t{n}")).collect();
    let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let running = sandbox.spawn_run(&tasks, &agent);
    wait_until("all have landed", || tasks.iter().all(|task| sandbox.has(&format!("{task}.txt"))));
    sandbox.mark("go");
    running.wait().expect(0);
    assert!(tasks.iter().all(|task| sandbox.io(&format!("up-{task}")).exists()));
}

#[test]
fn after_land_that_a_crash_cut_off_runs_when_the_run_is_resumed() {
    let sandbox = sandbox();
    let hook = command(
        &sandbox,
        "hook",
        "echo $task >>$IO/hook; if [ ! -e $IO/again ]; then mark up; sleep 300; fi",
    );
    sandbox.git(&["config", "parallel.afterLand", &hook]);
    let agent = sandbox.simple_agent();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["a"], &agent);
    sandbox.await_mark("up");
    running.signal(Signal::KILL);
    running.wait();
    sandbox.mark("again");
    let output = sandbox.parallel(&["resume"]).expect(0);
    assert_eq!(sandbox.read_io("hook"), "a\na\n");
    sandbox.check_run(&before, &output);
    assert!(!sandbox.worktrees().exists());
    sandbox.parallel(&["resume"]);
    assert_eq!(sandbox.read_io("hook"), "a\na\n", "once it has run, it has");
}

#[test]
fn a_hook_that_hangs_ends_with_ctrl_c() {
    let sandbox = sandbox();
    let hook = command(&sandbox, "hook", "mark up; sleep 300");
    sandbox.git(&["config", "parallel.afterLand", &hook]);
    let agent = sandbox.simple_agent();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["a"], &agent);
    sandbox.await_mark("up");
    running.signal(Signal::INT);
    let output = running.wait().expect(130);
    sandbox.expect_states(&[("a", "landed")]);
    sandbox.check_run(&before, &output);
    output.tells(&["the afterLand hook failed: was stopped"]);
}

/// The record of a run whose supervisor has died, as a plan with stages would have made it.
fn give_stages(sandbox: &Sandbox, stages: &[(&str, u64, Option<&str>)]) {
    let path = sandbox.record().join("run.json");
    let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for task in spec["tasks"].as_array_mut().unwrap() {
        let (_, stage, group) = stages.iter().find(|(name, ..)| task["name"] == *name).unwrap();
        task["stage"] = (*stage).into();
        task["group"] = (*group).map_or(serde_json::Value::Null, Into::into);
    }
    fs::write(path, spec.to_string()).unwrap();
}

#[test]
fn before_group_runs_once_before_the_first_task_of_a_stage() {
    let sandbox = sandbox();
    let hook = command(
        &sandbox,
        "hook",
        "echo $(echo \"$GIT_PARALLEL_GROUP\" | tr '\\n' ,) $(git ls-files '*.txt') >>$IO/groups
         if [ \"$1\" = 3 ] && [ ! -e $IO/again ]; then mark in-hook; sleep 300; fi
         test \"$1\" != 3",
    );
    sandbox.git(&["config", "parallel.beforeGroup", &format!("{hook} \"{{group}}\"")]);
    let agent = sandbox.agent("if [ $task = a ]; then mark up; await go; fi; echo $task >$task.txt; commit");
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["-j1", "a", "b", "c", "d"], &agent);
    sandbox.await_mark("up");
    running.signal(Signal::KILL);
    running.wait();
    give_stages(
        &sandbox,
        &[("a", 1, Some("x")), ("b", 2, Some("data base")), ("c", 2, Some("y")), ("d", 3, None)],
    );
    sandbox.mark("go");
    let running = sandbox.spawn(&["resume"]);
    sandbox.await_mark("in-hook");
    assert_eq!(sandbox.state("d"), "queued", "it waits for the hook");
    running.signal(Signal::KILL);
    running.wait();
    sandbox.mark("again");
    let output = sandbox.parallel(&["resume"]).expect(0);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "landed"), ("d", "landed")]);
    let third = "3, a.txt b.txt c.txt";
    assert_eq!(lines(&sandbox.read_io("groups")), ["data base,y, a.txt", third, third]);
    output.tells(&["before group 3: running the beforeGroup hook", "the beforeGroup hook failed: exit 1"]);
}

#[test]
fn before_group_that_hangs_ends_with_ctrl_c() {
    let sandbox = sandbox();
    sandbox.git(&["config", "parallel.beforeGroup", &command(&sandbox, "hook", "mark in-hook; sleep 300")]);
    let agent = sandbox.agent("if [ $task = a ]; then mark up; await go; fi; echo $task >$task.txt; commit");
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["-j1", "a", "b"], &agent);
    sandbox.await_mark("up");
    running.signal(Signal::KILL);
    running.wait();
    give_stages(&sandbox, &[("a", 1, None), ("b", 2, None)]);
    sandbox.mark("go");
    let running = sandbox.spawn(&["resume"]);
    sandbox.await_mark("in-hook");
    running.signal(Signal::INT);
    let output = running.wait().expect(130);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "landed"), ("b", "aborted")]);
}

#[test]
fn all_of_an_atomic_run_have_their_hook() {
    let sandbox = sandbox();
    let hook = command(&sandbox, "hook", "test -f a.txt; test -f b.txt; echo $task >>$IO/hook");
    sandbox.git(&["config", "parallel.afterLand", &hook]);
    let agent = sandbox.simple_agent();
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--atomic", "a", "b"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    let told = sandbox.read_io("hook");
    let mut names = lines(&told);
    names.sort_unstable();
    assert_eq!(names, ["a", "b"]);
    assert!(!output.all().contains("hook failed"), "{}", output.all());
}

#[test]
fn on_finish_runs_once_an_end() {
    let sandbox = sandbox();
    let hook = command(
        &sandbox,
        "hook",
        "echo $GIT_PARALLEL_EXIT_CODE landed $GIT_PARALLEL_LANDED failed $GIT_PARALLEL_FAILED in ${PWD##*/} >>$IO/ends
         git parallel status >/dev/null; exit 9",
    );
    sandbox.git(&["config", "parallel.onFinish", &hook]);
    let agent = sandbox.agent("case $task in bad*) test -e $IO/mended;; esac; echo x >$task.txt; commit");
    let before = sandbox.snapshot();
    let output = sandbox.run(&["-j1", "a", "b", "bad1", "bad2"], &agent).expect(1);
    sandbox.check_run(&before, &output);
    output.tells(&["warning: the onFinish hook failed: exit 9"]);
    assert_eq!(sandbox.read_io("ends"), "1 landed a b failed bad1 bad2 in shop\n");
    sandbox.mark("mended");
    sandbox.parallel(&["retry", "bad1"]).expect(0);
    sandbox.parallel(&["retry", "bad2"]).expect(0);
    let ends = sandbox.read_io("ends");
    assert_eq!(
        lines(&ends)[1..],
        ["1 landed a b bad1 failed bad2 in shop", "0 landed a b bad1 bad2 failed in shop"]
    );
}

#[test]
fn on_finish_that_hangs_ends_with_ctrl_c_and_the_exit_code_stays() {
    let sandbox = sandbox();
    for (body, presses) in
        [("mark up; sleep 300", 1), ("trap '' TERM; mark up; while :; do sleep 0.05; done", 2)]
    {
        let _ = fs::remove_file(sandbox.io("up"));
        let hook = command(&sandbox, "hook", body);
        sandbox.git(&["config", "parallel.onFinish", &hook]);
        let agent = sandbox.simple_agent();
        let before = sandbox.snapshot();
        let task = format!("t{presses}");
        let running = sandbox.spawn_run(&[&task], &agent);
        sandbox.await_mark("up");
        assert!(running.so_far().0.contains("1 landed"), "the summary is there already");
        assert_eq!(sandbox.status()["run"]["state"], "finished");
        running.signal(Signal::INT);
        wait_until("it is told", || running.so_far().1.contains("stopping the hook"));
        if presses == 2 {
            running.signal(Signal::INT);
        }
        let output = running.wait().expect(0);
        sandbox.check_run(&before, &output);
        output.tells(&["the onFinish hook failed: was stopped"]);
    }
}

#[test]
fn on_finish_also_comes_after_ctrl_c() {
    let sandbox = sandbox();
    let hook = command(&sandbox, "hook", "echo $GIT_PARALLEL_EXIT_CODE >>$IO/ends");
    sandbox.git(&["config", "parallel.onFinish", &hook]);
    let agent = sandbox.agent("mark up; sleep 300");
    let running = sandbox.spawn_run(&["a"], &agent);
    sandbox.await_mark("up");
    running.signal(Signal::INT);
    running.wait().expect(130);
    assert_eq!(sandbox.read_io("ends"), "130\n");
}

// Notices

#[test]
fn a_notice_is_given_when_a_person_is_needed_and_at_the_end() {
    let sandbox = sandbox();
    let notify = command(&sandbox, "notify", "echo \"$1\" >>$IO/notices; mark noticed");
    sandbox.git(&["config", "parallel.notify", &format!("{notify} \"{{message}}\"")]);
    let agent = sandbox.agent("case $task in bad*) exit 1;; esac; await noticed; echo x >$task.txt; commit");
    let before = sandbox.snapshot();
    let output = sandbox.run(&["bad1", "good"], &agent).expect(1);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read_io("notices"), "shop: bad1 needs you (failed)\nshop: 1 landed, 1 failed\n");
}

#[test]
fn a_notice_that_fails_is_told_and_changes_nothing() {
    let sandbox = sandbox();
    sandbox.git(&["config", "parallel.notify", "echo oh; exit 4"]);
    let agent = sandbox.simple_agent();
    sandbox.run(&["a"], &agent).expect(0).tells(&["warning: parallel.notify failed: exit 4: oh"]);
}

#[test]
fn the_bell_rings_on_a_terminal_alone() {
    let sandbox = sandbox();
    let agent = sandbox.simple_agent();
    let bells = |options: &[&str]| {
        let (code, text) = Terminal::run(&sandbox, options, &agent).wait(Duration::from_secs(20));
        assert_eq!(code, 0, "{text}");
        text.matches('\x07').count()
    };
    assert_eq!(bells(&["-y", "a"]), 1);
    assert_eq!(bells(&["-y", "-q", "b"]), 0);
    sandbox.git(&["config", "parallel.notify", "none"]);
    assert_eq!(bells(&["-y", "c"]), 0);
    sandbox.git(&["config", "--unset", "parallel.notify"]);
    assert!(!sandbox.run(&["d"], &agent).expect(0).all().contains('\x07'));
}

/// A desktop that shows notices is asked; where it can't, the bell rings.
#[test]
fn the_desktop_is_asked_and_else_the_bell_rings() {
    let sandbox = sandbox();
    sandbox.git(&["config", "parallel.notify", "desktop"]);
    let show = command(&sandbox, "show", "echo \"$*\" >>$IO/shown; test ! -e $IO/broken");
    let tools: PathBuf = Path::new(common::PROGRAM).parent().unwrap().into();
    let mut sandbox = sandbox;
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let bin = sandbox.root.join("desktop");
    fs::create_dir(&bin).unwrap();
    symlink(show, bin.join("notify-send")).unwrap();
    let path = [bin, tools].into_iter().chain(std::env::split_paths(&inherited));
    sandbox.set_env("PATH", std::env::join_paths(path).unwrap());
    let agent = sandbox.simple_agent();
    sandbox.run(&["a"], &agent).expect(0);
    assert_eq!(sandbox.read_io("shown"), "--app-name=git parallel -- git parallel shop: 1 landed\n");
    sandbox.mark("broken");
    let (_, text) = Terminal::run(&sandbox, &["-y", "b"], &agent).wait(Duration::from_secs(20));
    assert_eq!(text.matches('\x07').count(), 1, "{text}");
}
