//! The checks that all other tests end with would notice: each promise is broken once, by hand.

#![allow(clippy::disallowed_methods)]

mod common;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::Sandbox;

/// Breaks something after a good run; the check must name the promise.
#[track_caller]
fn noticed(promise: &str, before: impl FnOnce(&Sandbox), break_it: impl FnOnce(&Sandbox)) {
    let sandbox = Sandbox::new();
    before(&sandbox);
    let snapshot = sandbox.snapshot();
    sandbox.run(&["--allow-dirty", "--keep", "a"], &sandbox.simple_agent()).expect(0);
    sandbox.check(&snapshot);
    break_it(&sandbox);
    let found = catch_unwind(AssertUnwindSafe(|| sandbox.check(&snapshot)));
    let Err(payload) = found else { panic!("{promise} was broken, and nobody noticed") };
    let told = payload.downcast_ref::<String>().map(String::as_str);
    let told = told.or_else(|| payload.downcast_ref::<&str>().copied()).expect("a message");
    assert!(told.contains(promise), "{promise} was broken, and this was told: {told}");
}

fn nothing(_: &Sandbox) {}

#[test]
fn lost_work_is_noticed() {
    noticed("I1", nothing, |sandbox| {
        fs::write(sandbox.io("commits"), format!("{}\n", "1".repeat(40))).unwrap();
    });
}

#[test]
fn a_target_that_went_back_is_noticed() {
    noticed("I2", nothing, |sandbox| drop(sandbox.git(&["reset", "-q", "--hard", "HEAD~1"])));
}

#[test]
fn another_tree_than_the_merge_is_noticed() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    sandbox.run(&["--no-ff", "a"], &sandbox.simple_agent()).expect(0);
    let journal = sandbox.record().join("journal.jsonl");
    let (merge, tree) = (sandbox.oid("main"), sandbox.oid("main~1^{tree}"));
    let wrong = sandbox.git(&["commit-tree", "-m", "Wrong", "-p", "main^1", "-p", "main^2", &tree]);
    sandbox.git(&["reset", "-q", "--hard", &wrong]);
    fs::write(&journal, fs::read_to_string(&journal).unwrap().replace(&merge, &wrong)).unwrap();
    let found = catch_unwind(AssertUnwindSafe(|| sandbox.check_landings(&before)));
    assert!(found.unwrap_err().downcast_ref::<String>().unwrap().contains("I3"));
}

#[test]
fn touched_things_of_the_users_are_noticed() {
    let mine = |sandbox: &Sandbox| {
        sandbox.write("untracked", "mine\n");
        sandbox.write("x.log", "mine\n");
        sandbox.write("README.md", "mine\n");
        sandbox.git(&["branch", "other"]);
    };
    noticed("I4", mine, |sandbox| sandbox.write("untracked", "theirs\n"));
    noticed("I4", mine, |sandbox| sandbox.write("x.log", "theirs\n"));
    noticed("I4", mine, |sandbox| sandbox.write("README.md", "theirs\n"));
    noticed("I4", mine, |sandbox| sandbox.write("new", "theirs\n"));
    noticed("I4", mine, |sandbox| drop(sandbox.git(&["add", "README.md"])));
    noticed("I4", mine, |sandbox| drop(sandbox.git(&["branch", "-f", "other", "main"])));
    noticed("I4", mine, |sandbox| drop(sandbox.git(&["config", "a.b", "c"])));
    noticed("I4", mine, |sandbox| drop(sandbox.git(&["stash", "push", "-q"])));
    noticed("I4", mine, |sandbox| sandbox.hook("pre-push", "exit 0"));
    noticed("I4", mine, |sandbox| drop(sandbox.git(&["checkout", "-q", "--detach"])));
}

#[test]
fn a_process_that_lives_on_is_noticed() {
    let sandbox = Sandbox::new();
    let running = sandbox.start(sandbox.command(&sandbox.repo, "cat"));
    drop(running.wait());
    let mut command = sandbox.command(&sandbox.repo, "sh");
    command.args(["-c", "read x < \"$0\""]);
    sandbox.gate("gate");
    let running = sandbox.start({
        command.arg(sandbox.io("gate"));
        command
    });
    let found = catch_unwind(AssertUnwindSafe(|| sandbox.check_processes()));
    assert!(found.unwrap_err().downcast_ref::<String>().unwrap().contains("I5"));
    sandbox.open_gate("gate");
    running.wait();
    sandbox.check_processes();
}

#[test]
fn what_lies_about_is_noticed() {
    noticed("I6", nothing, |sandbox| fs::write(sandbox.repo.join(".git/packed-refs.lock"), "").unwrap());
    noticed("I6", nothing, |sandbox| drop(sandbox.git(&["update-ref", "refs/parallel/x/y", "main"])));
    noticed("I6", nothing, |sandbox| drop(sandbox.git(&["branch", "unknown"])));
    noticed("I6", nothing, |sandbox| fs::create_dir(sandbox.worktree("b")).unwrap());
    noticed("I6", nothing, |sandbox| fs::remove_dir_all(sandbox.worktree("a")).unwrap());
}
