//! The supervisor is killed before every call that may change something (a write is torn in half first);
//! then `resume`, twice. Whatever the instant, the job gets done, nothing is lost and nothing lands twice.
//!
//! The calls are counted by a small library that is preloaded (`crash/kill_at.c`). The suite visits some of
//! the instants, `--ignored` all of them.

#![allow(clippy::disallowed_methods)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Output, Sandbox};

/// Builds the library; `None`, said aloud, where there is no C compiler.
fn library(dir: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/kill_at.c");
    let library = dir.join("kill_at.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    match cc.status() {
        Ok(status) => {
            assert!(status.success(), "the library does not compile");
            Some(library)
        }
        Err(error) => {
            eprintln!("skipped: no C compiler ({error})");
            None
        }
    }
}

/// Three tasks: two commit, one leaves its work uncommitted; one of the two collides with nobody but has
/// an ignored file that keeps its worktree. With `checked`, a hook of the user's looks at every tip that the
/// target is to get, before it gets it.
fn scene(checked: bool) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    sandbox.write(".gitignore", "*.log\n");
    sandbox.commit_all("Ignore logs");
    let agent = sandbox.agent(
        r#"case $task in
            left) echo left > left.txt;;
            kept) echo kept > kept.txt; commit; echo log > kept.log;;
            *) echo "$task" > "$task.txt"; commit;;
        esac"#,
    );
    if checked {
        sandbox.hook(
            "reference-transaction",
            r#"[ "$1" = prepared ] || exit 0
               while read -r old new name; do
                   [ "$name" = refs/heads/main ] || continue
                   git cat-file -e "$new:.gitignore" && ! git grep -q '^<<<<<<< ' "$new" -- || exit 1
                   echo "$new" >> "$IO/checked"
               done"#,
        );
    }
    (sandbox, agent)
}

fn run(sandbox: &Sandbox, agent: &Path, library: &Path, strategy: &str, kill_at: u64) -> Output {
    let mut command = sandbox.command(&sandbox.repo, env!("CARGO_BIN_EXE_git-parallel"));
    command.args(sandbox.run_args(&["-j2", "--strategy", strategy, "plain", "left", "kept"], agent));
    command.env("LD_PRELOAD", library).env("KILL_AT", kill_at.to_string());
    command.env("KILL_COUNT", sandbox.io("count"));
    sandbox.start(command).wait()
}

/// Kills at one instant and looks at all that was promised.
fn visit(library: &Path, strategy: &str, kill_at: u64) {
    // Every other instant with a check of each tip.
    let checked = kill_at.is_multiple_of(2);
    let (sandbox, agent) = scene(checked);
    let before = sandbox.snapshot();
    let old = sandbox.oid("main");
    let died = run(&sandbox, &agent, library, strategy, kill_at);
    let at = format!("{strategy}: killed before call {kill_at}\n{}", died.all());
    let status = sandbox.parallel(&["status", "--json"]);
    if status.code != 0 {
        // There was no run yet: nothing of it is there, and one can start.
        assert!(status.stderr.contains("no run"), "{at}{}", status.all());
        sandbox.check_users_things(&before);
        run(&sandbox, &agent, library, strategy, 0).expect(0);
        sandbox.check(&before);
        return;
    }
    let first = sandbox.parallel(&["resume"]);
    assert_eq!(first.code, 0, "{at}{}", first.all());
    sandbox.check(&before);
    sandbox.expect_states(&[("plain", "landed"), ("left", "landed"), ("kept", "landed")]);
    if checked {
        // I3: nothing got there that was not looked at.
        let looked_at = sandbox.read_io("checked");
        let range = format!("{old}..main");
        for tip in sandbox.git(&["rev-list", "--first-parent", &range]).lines() {
            assert!(looked_at.lines().any(|line| line == tip), "{tip} was not checked: {at}");
        }
    }
    let landed: Vec<_> =
        sandbox.git(&["log", "--format=%s", "--first-parent"]).lines().map(str::to_owned).collect();
    let refs = sandbox.refs();
    let second = sandbox.parallel(&["resume"]);
    assert_eq!(second.code, 0, "{at}{}", second.all());
    assert_eq!(refs, sandbox.refs(), "resumed twice: {at}");
    assert!(sandbox.has("plain.txt") && sandbox.has("left.txt") && sandbox.has("kept.txt"), "{at}");
    let mut subjects = landed.clone();
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), landed.len(), "landed twice: {landed:#?} {at}");
    assert!(sandbox.worktree("kept").join("kept.log").exists(), "{at}");
    assert!(!sandbox.worktree("plain").exists() && !sandbox.worktree("left").exists(), "{at}");
}

/// How many calls there are to be killed at.
fn count(library: &Path, strategy: &str) -> u64 {
    // Without the hook this process makes more calls of its own: refs are written in it.
    let (sandbox, agent) = scene(false);
    run(&sandbox, &agent, library, strategy, 0).expect(0);
    sandbox.read_io("count").trim().parse().expect("a number")
}

fn visit_every(step: usize, strategy: &str) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Some(library) = library(dir.path()) else { return };
    let last = count(&library, strategy);
    assert!(last > 100, "the library counts too little: {last}");
    let next = std::sync::Mutex::new((1..=last).step_by(step));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(kill_at) = { next.lock().expect("no panic").next() } {
                    visit(&library, strategy, kill_at);
                }
            });
        }
    });
    println!("{strategy}: killed at {} of {last} calls", (1..=last).step_by(step).count());
}

#[test]
fn killed_at_some_calls() {
    visit_every(23, "merge");
}

#[test]
fn killed_at_some_calls_of_a_squash() {
    visit_every(41, "squash");
}

#[test]
fn killed_at_some_calls_of_a_rebase() {
    visit_every(43, "rebase");
}

#[test]
#[ignore = "long: visits every call"]
fn killed_at_every_call() {
    for strategy in ["merge", "squash", "rebase"] {
        visit_every(1, strategy);
    }
}
