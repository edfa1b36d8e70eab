//! `--on-conflict`: a command settles conflicts, if what it makes counts; else all is as it was.

#![allow(clippy::disallowed_methods)]

mod common;

use common::{Output, Running, Sandbox, wait_until};
use rustix::process::Signal;

/// Two that change the same line; the second one waits until the first has landed.
const COLLIDE: &str = r#"
    if [ $task = second ]; then until git cat-file -e main:first-landed 2>/dev/null; do sleep 0.02; done; fi
    test $task = second || echo x > first-landed
    sed -i "s/^five$/five by $task/" src/db.rs; echo $task > $task.txt; commit"#;

/// Takes both sides, as a person would.
const BOTH: &str = r"sed -i '/^[<|=>]\{7\}/d' src/db.rs";

fn resolver(sandbox: &Sandbox, body: &str) -> String {
    let body = format!("mark resolving; echo x >> $IO/tries; {body}");
    sandbox.script(&sandbox.root.join("bin/resolver"), &body).to_str().unwrap().to_owned()
}

fn spawn(sandbox: &Sandbox, options: &[&str], resolver: &str) -> Running {
    let agent = sandbox.agent(COLLIDE);
    sandbox.spawn_run(&[&["--on-conflict", resolver], options, &["first", "second"]].concat(), &agent)
}

fn run(sandbox: &Sandbox, options: &[&str], body: &str) -> Output {
    spawn(sandbox, options, &resolver(sandbox, body)).wait()
}

/// The second task is a person's now, as if nobody had tried.
#[track_caller]
fn is_as_it_was(sandbox: &Sandbox) {
    assert_eq!(sandbox.state("second"), "conflicted");
    let worktree = sandbox.worktree("second");
    assert_eq!(sandbox.git_in(&worktree, &["status", "--porcelain"]), "");
    assert_eq!(sandbox.git_in(&worktree, &["symbolic-ref", "HEAD"]), "refs/heads/feature/second");
    assert_eq!(sandbox.git_in(&worktree, &["log", "-1", "--format=%s"]), "work of second");
    assert!(!sandbox.git_in(&worktree, &["rev-parse", "--git-dir"]).is_empty());
    assert!(!sandbox.has("second.txt"), "not landed");
    assert_eq!(sandbox.task("second")["conflicts"][0], "src/db.rs");
}

#[test]
fn what_it_settles_is_landed_as_a_merge() {
    for (options, body) in [
        (&[][..], BOTH.to_owned()),
        (&[], format!("{BOTH}; git add -A")),
        (&[], format!("{BOTH}; git commit -q -a -m 'by hand'")),
        (&["--strategy=squash"], BOTH.to_owned()),
        (&["--atomic"], BOTH.to_owned()),
    ] {
        let sandbox = Sandbox::new();
        let before = sandbox.snapshot();
        let agent = if options == ["--atomic"] {
            COLLIDE.replace("until git cat-file -e main:first-landed 2>/dev/null; do sleep 0.02; done", ":")
        } else {
            COLLIDE.to_owned()
        };
        let agent = sandbox.agent(&agent);
        let resolver = resolver(&sandbox, &body);
        let output = sandbox
            .run(&[&["--on-conflict", &resolver], options, &["first", "second"]].concat(), &agent)
            .expect(0)
            .tells(&["its conflict is being settled", "its conflict is settled", "settled by the resolver"]);
        sandbox.check_run(&before, &output);
        let text = sandbox.read("src/db.rs");
        assert!(
            text.contains("five by first\n") && text.contains("five by second\n") && !text.contains("<<<"),
            "{text}"
        );
        assert!(sandbox.has("first.txt") && sandbox.has("second.txt"));
        assert_eq!(sandbox.read_io("tries").lines().count(), 1, "{options:?}");
        assert!(!sandbox.worktrees().exists(), "all is cleaned up");
    }
}

#[test]
fn what_does_not_count_is_kept_and_the_conflict_is_a_persons() {
    let cases = [
        ("true", "left the conflict in src/db.rs"),
        ("echo said >&2; exit 3", "failed: exit 3"),
        ("kill -9 $$", "failed: exit 137"),
        ("git add -A", "left the conflict in src/db.rs"),
        ("git merge --abort; echo more >> README.md; git commit -qam other", "committed something else"),
        ("git merge --abort; git switch -q --detach", "left the worktree on something else"),
        ("await never", "ran out of time"),
    ];
    std::thread::scope(|scope| {
        for (body, words) in cases {
            scope.spawn(move || {
                let sandbox = Sandbox::new();
                let before = sandbox.snapshot();
                let body = format!("echo precious > made-by-it; {body}");
                let options: &[&str] = if words == "ran out of time" { &["--timeout=2s"] } else { &[] };
                let output = run(&sandbox, options, &body).expect(1);
                output.clone().tells(&["its conflict is not settled", words, "git parallel resolve second"]);
                is_as_it_was(&sandbox);
                sandbox.check_run(&before, &output);
                let pins = sandbox.git(&["for-each-ref", "--format=%(refname)", "refs/parallel"]);
                let pin = pins
                    .lines()
                    .find(|pin| pin.ends_with("/second/resolver"))
                    .unwrap_or_else(|| panic!("{body}: {pins}"));
                assert_eq!(sandbox.show(pin, "made-by-it"), "precious\n", "{body}");
                // And so a person settles it.
                let status = sandbox.parallel(&["status"]).expect(0);
                status.tells(&[words]);
                sandbox
                    .parallel(&["resolve", "second", "--with", BOTH])
                    .expect(1)
                    .tells(&["not resolved yet"]);
                sandbox.parallel(&["resolve", "second", "--with", &format!("{BOTH}; git add -u")]).expect(0);
                sandbox.parallel(&["land", "second"]).expect(0);
                assert!(sandbox.has("second.txt"));
            });
        }
    });
}

/// A conflict without markers has to be settled in the index: leaving it alone is no answer.
#[test]
fn a_file_that_one_side_deleted_needs_a_decision() {
    let agent = r#"
        if [ $task = second ]; then until git cat-file -e main:first-landed 2>/dev/null; do sleep 0.02; done; echo more >> README.md
        else echo x > first-landed; git rm -q README.md; fi
        echo $task > $task.txt; commit"#;
    for (body, code) in [("true", 1), ("git rm -q README.md", 0), ("git add README.md", 0)] {
        let sandbox = Sandbox::new();
        let before = sandbox.snapshot();
        let resolver = resolver(&sandbox, body);
        let agent = sandbox.agent(agent);
        let output = sandbox.run(&["--on-conflict", &resolver, "first", "second"], &agent).expect(code);
        sandbox.check_run(&before, &output);
        assert_eq!(sandbox.has("README.md"), body == "git add README.md", "{body}");
    }
}

#[test]
fn what_it_changes_beside_the_conflict_is_told() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let body =
        format!("{BOTH}; echo adapted >> README.md; echo junk > untracked; echo new > new; git add new");
    let output = run(&sandbox, &[], &body).expect(0).tells(&["also changed README.md, new", "Worth knowing"]);
    assert!(sandbox.read("README.md").contains("adapted") && sandbox.has("new") && !sandbox.has("untracked"));
    sandbox.check_commits();
    sandbox.check_users_things(&before);
    sandbox.check_processes();
    assert_eq!(output.code, 0);
}

#[test]
fn what_it_made_is_checked_like_any_other() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let body = format!("{BOTH}; echo bad > bad; git add bad");
    let output = run(&sandbox, &["--verify", "test ! -e bad"], &body).expect(1);
    sandbox.expect_states(&[("first", "landed"), ("second", "rejected")]);
    sandbox.check_run(&before, &output);
}

#[test]
fn it_finds_what_it_needs_to_know() {
    let sandbox = Sandbox::new();
    let body = format!(
        r#"pwd > $IO/pwd; cat $GIT_PARALLEL_CONFLICTS_FILE > $IO/conflicts; printf %s "$GIT_PARALLEL_CONFLICTS" > $IO/paths
        cat $GIT_PARALLEL_OUR_LOG > $IO/ours; cat $GIT_PARALLEL_THEIR_LOG > $IO/theirs; cat $GIT_PARALLEL_PROMPT_FILE > $IO/prompt
        echo $GIT_PARALLEL_OTHER_TASK > $IO/other; cat $GIT_PARALLEL_OTHER_PROMPT_FILE > $IO/other-prompt; echo $GIT_PARALLEL_ONTO > $IO/onto
        git status --porcelain > $IO/status; {BOTH}"#
    );
    let agent = sandbox.agent(COLLIDE);
    let resolver = resolver(&sandbox, &body);
    let old = sandbox.oid("main");
    sandbox.git(&["config", "parallel.onConflict", &resolver]);
    sandbox.run(&["first=Do the first", "second=Do the second"], &agent).expect(0);
    assert_eq!(sandbox.read_io("pwd").trim(), sandbox.worktree("second").to_str().unwrap());
    assert_eq!(sandbox.read_io("conflicts"), "src/db.rs\n");
    assert_eq!(sandbox.read_io("paths"), "src/db.rs\n");
    assert!(
        sandbox.read_io("ours").contains("work of second")
            && !sandbox.read_io("ours").contains("work of first")
    );
    assert!(sandbox.read_io("theirs").contains("work of first"));
    assert_eq!(sandbox.read_io("other").trim(), "first");
    assert!(sandbox.read_io("other-prompt").contains("Do the first"));
    assert!(sandbox.read_io("prompt").contains("Do the second"));
    assert_eq!(sandbox.read_io("onto").trim(), sandbox.oid("main^1"));
    assert!(sandbox.read_io("status").contains("UU src/db.rs"));
    assert_ne!(sandbox.oid("main^1"), old);
}

#[test]
fn it_is_stopped_with_the_run_and_taken_up_again() {
    for (signal, settle) in [(Signal::INT, ""), (Signal::KILL, "resume"), (Signal::KILL, "abort")] {
        let sandbox = Sandbox::new();
        let before = sandbox.snapshot();
        let body = format!("echo precious > made-by-it; trap '' INT; await go; {BOTH}");
        let running = spawn(&sandbox, &[], &resolver(&sandbox, &body));
        sandbox.await_mark("resolving");
        running.signal(signal);
        let output = running.wait();
        if settle.is_empty() {
            assert_eq!(output.code, 130, "{}", output.all());
            is_as_it_was(&sandbox);
            sandbox.check_run(&before, &output);
            continue;
        }
        let settling = sandbox.spawn(&[settle]);
        if settle == "resume" {
            wait_until("it is tried again", || sandbox.read_io("tries").lines().count() == 2);
        }
        sandbox.mark("go");
        let output = settling.wait().expect(0);
        if settle == "resume" {
            assert!(sandbox.read("src/db.rs").contains("five by second"), "{}", output.all());
            sandbox.expect_states(&[("first", "landed"), ("second", "landed")]);
        } else {
            is_as_it_was(&sandbox);
        }
        sandbox.check(&before);
    }
}

/// The target moved into the same place again while it was at work: once more, on what is there now.
#[test]
fn a_target_that_moves_meanwhile_is_settled_anew() {
    let sandbox = Sandbox::new();
    let body = format!("test -e $IO/moved || {{ mark ready; await moved; }}; {BOTH}");
    let running = spawn(&sandbox, &[], &resolver(&sandbox, &body));
    sandbox.await_mark("ready");
    sandbox.write("src/db.rs", sandbox.read("src/db.rs").replace("five by first", "five by the user"));
    sandbox.commit_all("The user's");
    sandbox.mark("moved");
    running.wait().expect(0);
    let text = sandbox.read("src/db.rs");
    assert!(text.contains("five by the user") && text.contains("five by second"), "{text}");
    assert_eq!(sandbox.read_io("tries").lines().count(), 2);
}

#[test]
fn linear_strategies_have_no_merge_to_settle() {
    let sandbox = Sandbox::new();
    for strategy in ["rebase", "ff-only"] {
        let options = ["--strategy", strategy, "--on-conflict", "true", "a"];
        sandbox.run(&options, &sandbox.simple_agent()).expect(2).tells(&["--on-conflict can't be used"]);
    }
    assert!(!sandbox.has_ref("refs/heads/feature/a"));
}
