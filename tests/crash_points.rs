//! The supervisor is killed before every call that may change something (a write is torn in half first);
//! then `resume`, twice. Whatever the instant, the job gets done, nothing is lost and nothing lands twice.
//!
//! The calls are counted by a small library that is preloaded (`crash/kill_at.c`). The suite visits some of
//! the instants, `--ignored` all of them.

#![allow(clippy::disallowed_methods)]

mod common;

use std::path::{Path, PathBuf};

use common::{Output, Sandbox};

/// What is asked of the run that dies.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Flavour {
    /// To land what it can.
    Plain,
    /// To land each as one commit.
    Squash,
    /// To land them commit by commit.
    Rebase,
    /// To check what lands first, two at a time.
    Checked,
    /// To check it, and to land all in one step.
    Atomic,
    /// To bring ignored files along, set worktrees up, and run a hook for each landing.
    Around,
}

impl Flavour {
    const ALL: [Flavour; 6] = [
        Flavour::Plain,
        Flavour::Squash,
        Flavour::Rebase,
        Flavour::Checked,
        Flavour::Atomic,
        Flavour::Around,
    ];

    fn options(self, check: &str) -> Vec<&str> {
        match self {
            Flavour::Plain => vec!["-j2"],
            Flavour::Squash => vec!["-j2", "--strategy=squash"],
            Flavour::Rebase => vec!["-j2", "--strategy=rebase"],
            Flavour::Checked => vec!["-j2", "--verify-jobs=2", "--verify", check],
            Flavour::Atomic => vec!["-j2", "--verify-jobs=2", "--atomic", "--verify", check],
            Flavour::Around => vec!["-j2", "--setup", "cat dir/brought.log >set-up.log"],
        }
    }
}

/// Three tasks: two commit, one leaves its work uncommitted; one of the two collides with nobody but has
/// an ignored file that keeps its worktree.
fn scene(flavour: Flavour) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    sandbox.write(".gitignore", "*.log\n");
    sandbox.commit_all("Ignore logs");
    if flavour == Flavour::Around {
        sandbox.write("dir/brought.log", "whole\n");
        sandbox.git(&["config", "parallel.include", "brought.log"]);
        let hook = sandbox.script(&sandbox.root.join("bin/hook"), "echo $task >> $IO/hook");
        sandbox.git(&["config", "parallel.afterLand", hook.to_str().expect("UTF-8")]);
        sandbox.mark("around");
    }
    let agent = sandbox.agent(
        r#"if [ -e $IO/around ]; then test "$(cat set-up.log dir/brought.log | sort -u)" = whole; fi
        case $task in
            left) echo left > left.txt;;
            kept) echo kept > kept.txt; commit; echo log > kept.log;;
            *) echo "$task" > "$task.txt"; commit;;
        esac"#,
    );
    (sandbox, agent)
}

/// Logs every tree that it saw, and so passed.
fn check(sandbox: &Sandbox) -> String {
    let body = "test -e .gitignore; git rev-parse HEAD^{tree} >> $IO/checked; echo junk > junk";
    sandbox.script(&sandbox.root.join("bin/check"), body).to_str().expect("UTF-8").to_owned()
}

fn run(sandbox: &Sandbox, agent: &Path, library: &Path, kill_at: u64, flavour: Flavour) -> Output {
    let mut command = sandbox.command(&sandbox.repo, env!("CARGO_BIN_EXE_git-parallel"));
    let check = check(sandbox);
    let options = [&flavour.options(&check)[..], &["plain", "left", "kept"]].concat();
    command.args(sandbox.run_args(&options, agent));
    command.env("LD_PRELOAD", library).env("KILL_AT", kill_at.to_string());
    command.env("KILL_COUNT", sandbox.io("count"));
    sandbox.start(command).wait()
}

/// Kills at one instant and looks at all that was promised.
fn visit(library: &Path, kill_at: u64, flavour: Flavour) {
    let (sandbox, agent) = scene(flavour);
    let before = sandbox.snapshot();
    let old = sandbox.oid("main");
    let died = run(&sandbox, &agent, library, kill_at, flavour);
    let at = format!("{flavour:?}, killed before call {kill_at}\n{}", died.all());
    let status = sandbox.parallel(&["status", "--json"]);
    if status.code != 0 {
        // There was no run yet: nothing of it is there, and one can start.
        assert!(status.stderr.contains("no run"), "{at}{}", status.all());
        sandbox.check_users_things(&before);
        run(&sandbox, &agent, library, 0, flavour).expect(0);
        sandbox.check(&before);
        return;
    }
    let first = sandbox.parallel(&["resume"]);
    assert_eq!(first.code, 0, "{at}{}", first.all());
    sandbox.check(&before);
    let states = ["plain", "left", "kept"].map(|task| sandbox.state(task));
    assert_eq!(states, ["landed"; 3], "{at}{}", first.all());
    if matches!(flavour, Flavour::Checked | Flavour::Atomic) {
        // I3: nothing got there that was not looked at.
        let looked_at = sandbox.read_io("checked");
        let range = format!("{old}..main");
        for tree in sandbox.git(&["log", "--first-parent", "--format=%T", &range]).lines() {
            assert!(looked_at.lines().any(|line| line == tree), "{tree} was not checked: {at}");
        }
    }
    if flavour == Flavour::Around {
        let hooked = sandbox.read_io("hook");
        assert!(
            ["plain", "left", "kept"].iter().all(|task| hooked.lines().any(|l| l == *task)),
            "{at}{hooked}"
        );
        let names = std::fs::read_dir(sandbox.worktrees()).expect("one is kept");
        let names: Vec<_> = names.map(|entry| entry.expect("it can be read").file_name()).collect();
        assert_eq!(names, ["kept"], "{at}");
    }
    if flavour == Flavour::Atomic {
        // I7: it moved once. Its reflog is written before it moves, as git does it, and so perhaps twice.
        let tips = sandbox.git(&["reflog", "show", "--format=%H", "main"]);
        let mut tips: Vec<&str> = tips.lines().collect();
        tips.dedup();
        assert_eq!(tips.get(1), Some(&old.as_str()), "{at}");
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
fn count(library: &Path, flavour: Flavour) -> u64 {
    let (sandbox, agent) = scene(flavour);
    run(&sandbox, &agent, library, 0, flavour).expect(0);
    sandbox.read_io("count").trim().parse().expect("a number")
}

fn visit_every(step: usize) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Some(library) = common::kill_library(dir.path()) else { return };
    let mut instants = Vec::new();
    for (n, flavour) in Flavour::ALL.into_iter().enumerate() {
        let last = count(&library, flavour);
        assert!(last > 100, "the library counts too little: {last}");
        instants.extend(
            (1..=last).skip(n * step / Flavour::ALL.len()).step_by(step).map(|kill_at| (kill_at, flavour)),
        );
        println!("{flavour:?}: {last} calls");
    }
    let count = instants.len();
    common::two_at_a_time(instants.into_iter(), |(kill_at, flavour)| visit(&library, kill_at, flavour));
    println!("killed at {count} of them");
}

#[test]
fn killed_at_some_calls() {
    visit_every(67);
}

#[test]
#[ignore = "long: visits every call"]
fn killed_at_every_call() {
    visit_every(1);
}
