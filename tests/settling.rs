//! Conflicts that settle themselves, and those that don't.

#![allow(clippy::disallowed_methods)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Output, Sandbox, journal, processes, wait_until};
use rustix::process::Signal;

/// Edits the same line as the others, and commits.
const EDITS_DB: &str = r#"sed -i "s/^five$/five by $task/" src/db.rs; commit"#;

/// `first` lands, `second` collides with it.
fn collide(sandbox: &Sandbox) -> Output {
    sandbox.run(&["--sequential", "first", "second"], &sandbox.agent(EDITS_DB))
}

/// Resolves `second`, which records how.
fn resolve(sandbox: &Sandbox) {
    let both = "sed -i '/^[<|=>]\\{7\\}/d' src/db.rs && git add .";
    sandbox.parallel(&["resolve", "second", "--with", both]).expect(0);
}

fn recorded(sandbox: &Sandbox) -> usize {
    let cache = fs::read_dir(sandbox.common_dir().join("rr-cache")).into_iter().flatten().flatten();
    cache.filter(|conflict| conflict.path().join("postimage").exists()).count()
}

fn settled(sandbox: &Sandbox, task: &str) -> String {
    let events = journal(&sandbox.record());
    let landed = events.iter().rev().find(|e| e["event"] == "landed" && e["task"] == task);
    landed.expect("it landed")["landing"]["settled"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_a_person_resolved_once_settles_itself_the_next_time() {
    let sandbox = Sandbox::new();
    sandbox.git(&["config", "rerere.enabled", "true"]);
    let before = sandbox.snapshot();
    collide(&sandbox).expect(1);
    sandbox.check(&before);
    resolve(&sandbox);
    assert_eq!(recorded(&sandbox), 1, "git could record it");
    // The same conflict again, from the base.
    let output = sandbox.parallel(&["retry", "--fresh", "second"]).expect(0);
    output.tells(&["second: landed on main (merge, settled by rerere in src/db.rs, 1 commit"]);
    assert_eq!(settled(&sandbox, "second"), "settled by rerere in src/db.rs");
    let text = sandbox.read("src/db.rs");
    assert!(
        text.contains("five by first\nfive by second\nsix")
            || text.contains("five by second\nfive by first\nsix")
    );
    assert_eq!(sandbox.git(&["log", "-1", "--format=%s"]), "Merge branch 'feature/second' into main");
    sandbox.check(&before);
    assert_eq!(recorded(&sandbox), 1, "nothing was recorded by the way");
}

/// A resolution that the user recorded in their own checkout serves as well, under git's own default.
#[test]
fn recordings_made_anywhere_in_the_repository_are_used() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.common_dir().join("rr-cache")).unwrap();
    let old = sandbox.oid("main");
    for task in ["first", "second"] {
        sandbox.git(&["switch", "-q", "-c", task, &old]);
        sandbox.write("src/db.rs", sandbox.read("src/db.rs").replace("five", &format!("five by {task}")));
        sandbox.commit_all(task);
    }
    assert_eq!(sandbox.run_in(&sandbox.repo, "git", &["merge", "-q", "first"]).code, 1);
    let text = sandbox.read("src/db.rs");
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| !["<<<<<<<", "=======", ">>>>>>>"].iter().any(|m| line.starts_with(m)))
        .collect();
    sandbox.write("src/db.rs", kept.join("\n") + "\n");
    sandbox.commit_all("by hand");
    sandbox.git(&["switch", "-q", "main"]);
    let before = sandbox.snapshot();
    let output = collide(&sandbox).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(settled(&sandbox, "second"), "settled by rerere in src/db.rs");
}

#[test]
fn rerere_that_is_off_settles_nothing() {
    let sandbox = Sandbox::new();
    sandbox.git(&["config", "rerere.enabled", "true"]);
    collide(&sandbox).expect(1);
    resolve(&sandbox);
    sandbox.git(&["config", "rerere.enabled", "false"]);
    sandbox.parallel(&["retry", "--fresh", "second"]).expect(1);
    sandbox.expect_states(&[("first", "landed"), ("second", "conflicted")]);
    let before = sandbox.snapshot();
    sandbox.check(&before);
}

/// One of two conflicts is known: the task stays a person's, whole.
#[test]
fn what_is_settled_only_in_part_stays_a_conflict() {
    let sandbox = Sandbox::new();
    sandbox.git(&["config", "rerere.enabled", "true"]);
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"sed -i "s/^five$/five by $task/" src/db.rs
        [ ! -e "$IO/more" ] || echo "$task" > README.md
        commit"#,
    );
    sandbox.run(&["--sequential", "first", "second"], &agent).expect(1);
    resolve(&sandbox);
    sandbox.write("README.md", "mine\n");
    sandbox.commit_all("Mine");
    sandbox.mark("more");
    sandbox.parallel(&["retry", "--fresh", "second"]).expect(1);
    let task = sandbox.task("second");
    assert_eq!(task["conflicts"], serde_json::json!(["README.md", "src/db.rs"]));
    sandbox.check(&before);
}

/// A lock file made from `deps`, by a command that stands for a package manager.
const LOCKS: &str = r#"{ cat deps/* | cksum; cat deps/* | sort; } > app.lock"#;

/// Adds a dependency and makes the lock file anew, as an agent would.
const ADDS_DEP: &str =
    r#"echo "$task" > "deps/$task"; { cat deps/* | cksum; cat deps/* | sort; } > app.lock; commit"#;

fn locked(cmd: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("deps/base", "m\n");
    sandbox.write("app.lock", "generated\nm\n");
    sandbox.commit_all("Dependencies");
    sandbox.git(&["config", "parallel.regenerate.app.pattern", "*.lock"]);
    sandbox.git(&["config", "parallel.regenerate.app.cmd", cmd]);
    sandbox
}

/// The lock file less its check sum, on which any two changes collide.
fn lock(sandbox: &Sandbox) -> String {
    sandbox.read("app.lock").split_once('\n').expect("two lines").1.to_owned()
}

fn add_deps(sandbox: &Sandbox) -> Output {
    sandbox.run(&["--sequential", "a", "b"], &sandbox.agent(ADDS_DEP))
}

#[test]
fn generated_files_are_made_anew() {
    let sandbox = locked(&format!(
        "echo x > junk; test \"$PWD\" = \"$GIT_PARALLEL_WORKTREE\" && \
        test \"$GIT_PARALLEL_TASK:$(echo $GIT_PARALLEL_CONFLICTS)\" = 'b:app.lock' && {LOCKS}"
    ));
    let before = sandbox.snapshot();
    let output = add_deps(&sandbox).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(lock(&sandbox), "a\nb\nm\n");
    assert!(!sandbox.has("junk") && sandbox.has("deps/a") && sandbox.has("deps/b"));
    assert_eq!(settled(&sandbox, "b"), "regenerated app.lock");
    output.tells(&["b: landed on main (merge, regenerated app.lock, 1 commit"]);
}

/// Told, and left: only what the pattern matches lands.
#[test]
fn what_the_command_writes_elsewhere_does_not_land() {
    let sandbox = locked(&format!(
        "{LOCKS}; echo spoilt > README.md; echo more > more.lock; mkdir new; echo x > new/x"
    ));
    let before = sandbox.snapshot();
    let output = add_deps(&sandbox).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read("README.md"), "A shop.\n");
    assert_eq!(sandbox.read("more.lock"), "more\n", "it matches");
    assert!(!sandbox.has("new"));
    assert!(
        settled(&sandbox, "b").contains("wrote to README.md does not land)"),
        "{}",
        settled(&sandbox, "b")
    );
}

/// A file that one side deleted is the target's to have or not; other conflicts are not settled by it.
#[test]
fn other_conflicts_are_left_and_deleted_files_made() {
    let sandbox = locked(LOCKS);
    let before = sandbox.snapshot();
    let agent = sandbox.agent(&format!(
        "case $task in a) git rm -q app.lock; echo a >deps/a; commit;; b) {ADDS_DEP};; esac"
    ));
    let output = sandbox.run(&["--sequential", "a", "b"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(lock(&sandbox), "a\nb\nm\n");

    let agent = sandbox.agent(&format!("echo $task > README.md; {ADDS_DEP}"));
    let output = sandbox.run(&["--sequential", "c", "d"], &agent).expect(1);
    assert_eq!(sandbox.task("d")["conflicts"], serde_json::json!(["README.md", "app.lock"]));
    sandbox.check_run(&before, &output);
}

#[test]
fn a_command_that_fails_leaves_the_conflict_and_tells() {
    let sandbox = locked("echo one; echo two; echo no network >&2; exit 7");
    let before = sandbox.snapshot();
    let output = add_deps(&sandbox).expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "landed"), ("b", "conflicted")]);
    assert_eq!(sandbox.task("b")["conflicts"], serde_json::json!(["app.lock"]));
    output.tells(&["parallel.regenerate.app.cmd", "failed: exit 7: one | two | no network", "resolve b"]);
    // It can be tried again once it can work; the setting is the run's.
    assert_eq!(lock(&sandbox), "a\nm\n");
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_it_started() {
    let sandbox = locked("sleep 1000 & sleep 1000");
    sandbox.git(&["config", "parallel.regenerate.app.timeout", "1s"]);
    let before = sandbox.snapshot();
    let output = add_deps(&sandbox).expect(1).tells(&["ran for more than 1 s"]);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "landed"), ("b", "conflicted")]);
}

/// A command that says that it runs, and waits.
fn waits(sandbox: &Sandbox) -> String {
    let io = sandbox.root.join("io");
    let io = io.display();
    format!("echo x > junk; : > {io}/at-work; until [ -e {io}/go ]; do sleep 0.02; done; {LOCKS}")
}

fn waiting() -> Sandbox {
    let sandbox = locked("true");
    sandbox.git(&["config", "parallel.regenerate.app.cmd", &waits(&sandbox)]);
    sandbox
}

#[test]
fn whoever_stops_the_run_stops_the_command() {
    for signal in [Signal::INT, Signal::TERM] {
        let sandbox = waiting();
        let before = sandbox.snapshot();
        let agent = sandbox.agent(ADDS_DEP);
        let running = sandbox.spawn_run(&["--sequential", "a", "b"], &agent);
        sandbox.await_mark("at-work");
        assert!(scratch(&sandbox).exists());
        running.signal(signal);
        let output = running.wait();
        assert_eq!(output.code, 128 + signal.as_raw(), "{}", output.all());
        output.tells(&["was stopped"]);
        sandbox.expect_states(&[("a", "landed"), ("b", "conflicted")]);
        sandbox.check(&before);
    }
}

fn scratch(sandbox: &Sandbox) -> PathBuf {
    sandbox.worktrees().join(".settle")
}

/// All is killed while the command is at work: nothing of it stays, and what it was for is done.
#[test]
fn nothing_stays_behind_after_a_kill() {
    for (all, next) in [(false, "resume"), (true, "resume"), (false, "abort"), (true, "abort")] {
        let sandbox = waiting();
        let before = sandbox.snapshot();
        let agent = sandbox.agent(ADDS_DEP);
        let running = sandbox.spawn_run(&["--sequential", "a", "b"], &agent);
        sandbox.await_mark("at-work");
        running.signal(Signal::KILL);
        running.wait();
        if all {
            wait_until("all are dead", || {
                let living = processes(&sandbox.root);
                for id in &living {
                    let _ = rustix::process::kill_process(common::pid(*id), Signal::KILL);
                }
                living.is_empty()
            });
        }
        assert!(scratch(&sandbox).join("junk").exists());
        if next == "resume" {
            sandbox.mark("go");
            sandbox.parallel(&["resume"]).expect(0);
            sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
            assert_eq!(lock(&sandbox), "a\nb\nm\n");
        } else {
            sandbox.parallel(&["abort"]);
            assert_eq!(sandbox.state("a"), "landed");
            assert_ne!(sandbox.state("b"), "landed");
        }
        assert!(!scratch(&sandbox).exists(), "{next}");
        sandbox.check(&before);
    }
}

/// What is not ours is neither used nor removed.
#[test]
fn something_else_in_the_scratch_worktrees_place_stays() {
    let sandbox = locked(LOCKS);
    fs::create_dir_all(scratch(&sandbox)).unwrap();
    fs::write(scratch(&sandbox).join("mine"), "x").unwrap();
    let output = add_deps(&sandbox).expect(1);
    output.tells(&["it could not settle itself", "is in the way"]);
    sandbox.expect_states(&[("a", "landed"), ("b", "conflicted")]);
    assert!(scratch(&sandbox).join("mine").exists());
}

#[test]
fn several_generators_and_rerere_settle_one_merge() {
    let sandbox = locked(LOCKS);
    sandbox.git(&["config", "rerere.enabled", "true"]);
    sandbox.git(&["config", "parallel.regenerate.Sum.pattern", ":(glob)**/*.sum"]);
    sandbox.git(&["config", "parallel.regenerate.Sum.cmd", "ls deps | wc -l > gen/count.sum"]);
    sandbox.write("gen/count.sum", "1\n");
    sandbox.commit_all("Sums");
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"echo "$task" > "deps/$task"; { cat deps/* | cksum; cat deps/* | sort; } > app.lock
        echo "by $task" > gen/count.sum; sed -i "s/^five$/five by $task/" src/db.rs; commit"#,
    );
    sandbox.run(&["--sequential", "first", "second"], &agent).expect(1);
    let with = "sed -i '/^[<|=>]\\{7\\}/d' src/db.rs app.lock gen/count.sum && git add .";
    sandbox.parallel(&["resolve", "second", "--with", with]).expect(0);
    let output = sandbox.parallel(&["retry", "--fresh", "second"]).expect(0);
    sandbox.check(&before);
    output.tells(&["settled by rerere in src/db.rs, regenerated app.lock, regenerated gen/count.sum"]);
    assert_eq!(lock(&sandbox), "first\nm\nsecond\n", "not what rerere had for it");
    assert_eq!(sandbox.read("gen/count.sum").trim(), "3");
}

#[test]
fn half_a_generator_is_refused_before_anything_is_made() {
    let cases = [
        ("pattern", "x.lock", "'parallel.regenerate.x.cmd' is not set"),
        ("cmd", "true", "'parallel.regenerate.x.pattern' is not set"),
        ("timeout", "soon", "bad value 'soon' for 'parallel.regenerate.x.timeout'"),
        ("pattern", ":(bogus)x", "Invalid pathspec magic"),
    ];
    for (variable, value, words) in cases {
        let sandbox = Sandbox::new();
        sandbox.git(&["config", &format!("parallel.regenerate.x.{variable}"), value]);
        sandbox.run(&["a"], &sandbox.simple_agent()).expect(3).tells(&[words]);
        sandbox.parallel(&["doctor"]).expect(3).tells(&[words]);
        assert!(!sandbox.worktrees().exists());
    }
}
