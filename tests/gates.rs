//! What holds finished work for a person though it could be landed, and what must not.

#![allow(clippy::disallowed_methods)]

mod common;

use std::path::{Path, PathBuf};

use common::{Output, Running, Sandbox};
use rustix::process::Signal;

/// Waits until the test has looked, then commits; what `$1` says is done in between.
fn waiting_agent(sandbox: &Sandbox, meanwhile: &str) -> PathBuf {
    sandbox.agent(&format!(
        r#"echo "$task" > "$task.txt"; commit; {meanwhile}
        mark "up-$task"; await "go-$task""#
    ))
}

/// Starts a run whose agents are at work when this returns.
fn at_work(sandbox: &Sandbox, tasks: &[&str], agent: &Path) -> Running {
    let running = sandbox.spawn_run(&[&["-j9"], tasks].concat(), agent);
    for task in tasks {
        sandbox.await_mark(&format!("up-{task}"));
    }
    running
}

fn go(sandbox: &Sandbox, tasks: &[&str]) {
    for task in tasks {
        sandbox.mark(&format!("go-{task}"));
    }
}

fn reason(sandbox: &Sandbox, task: &str) -> String {
    sandbox.task(task)["reason"].as_str().unwrap_or_default().to_owned()
}

/// A repository whose user has more than one branch and a tag, and a remote.
fn scene() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.git(&["branch", "dev"]);
    sandbox.write("more", "more\n");
    sandbox.commit_all("Second");
    sandbox.git(&["branch", "topic"]);
    sandbox.git(&["tag", "v1"]);
    let remote = sandbox.root.join("remote.git");
    sandbox.git(&["clone", "-q", "--bare", ".", remote.to_str().unwrap()]);
    sandbox.identify(&remote);
    sandbox.git(&["remote", "add", "origin", remote.to_str().unwrap()]);
    sandbox.git(&["fetch", "-q", "origin"]);
    sandbox
}

/// What a user does while agents run, one thing each; none of it may hold a task.
const USERS_WORK: [(&str, &str); 18] = [
    ("commits on the target", "echo x >mine; git add mine; git commit -qm mine"),
    ("commits on another branch", "git switch -q dev; echo x >mine; git add mine; git commit -qm mine"),
    ("and comes back", "git switch -q dev; git commit -q --allow-empty -m mine; git switch -q main"),
    ("amends", "git switch -q topic; git commit -q --amend -m again"),
    ("resets", "git switch -q topic; git reset -q --hard HEAD~1"),
    (
        "rebases",
        "git switch -q -c side dev; git commit -q --allow-empty -m s; git rebase -q main; git switch -q main",
    ),
    ("merges", "git switch -q dev; git merge -q main"),
    (
        "creates, moves and deletes branches",
        "git branch new; git branch -f new dev; git branch -m new newer; git branch -D newer",
    ),
    ("renames a branch", "git branch -m topic theme"),
    ("moves branches to what was there", "git branch -f dev v1; git branch -f topic main"),
    (
        "goes back",
        "git switch -q topic; git commit -q --allow-empty -m x; git switch -q main; git branch -f topic main",
    ),
    ("deletes what is merged", "git branch -d dev"),
    ("moves a tag", "git tag -f v1; git tag new; git tag -d new"),
    ("deletes a tag", "git tag -d v1"),
    (
        "fetches",
        "git -C ../remote.git update-ref refs/heads/topic $(git -C ../remote.git commit-tree -p topic -m there topic^{tree}); \
      git fetch -q origin topic:topic",
    ),
    (
        "works in a worktree",
        "git worktree add -q ../other dev; cd ../other; git commit -q --allow-empty -m there",
    ),
    ("stashes and notes", "echo x >>more; git stash -q; git notes add -m note HEAD"),
    (
        "drops what was tried",
        "git switch -q topic; git commit -q --allow-empty -m t; git switch -q main; git branch -D topic",
    ),
];

#[test]
fn what_the_user_does_meanwhile_holds_nothing() {
    std::thread::scope(|scope| {
        for slice in USERS_WORK.chunks(4) {
            scope.spawn(move || {
                for (what, script) in slice {
                    let sandbox = scene();
                    let agent = waiting_agent(&sandbox, "");
                    let running = at_work(&sandbox, &["a", "b"], &agent);
                    sandbox.run_in(&sandbox.repo, "sh", &["-ec", script]).expect(0);
                    go(&sandbox, &["a", "b"]);
                    let output = running.wait();
                    assert_eq!(output.code, 0, "{what}: {}", output.all());
                    sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
                }
            });
        }
    });
}

/// The agent that moved a ref is told from the others by what its worktree's HEAD was on.
#[test]
fn a_branch_that_an_agent_moved_holds_it_alone() {
    let sandbox = scene();
    let before = sandbox.snapshot();
    let old = sandbox.oid("dev");
    let agent = waiting_agent(&sandbox, r#"[ "$task" != bad ] || git branch -f dev HEAD"#);
    let running = at_work(&sandbox, &["bad", "good"], &agent);
    let moved = sandbox.oid("dev");
    go(&sandbox, &["good", "bad"]);
    let output = running.wait().expect(1);
    sandbox.expect_states(&[("bad", "held"), ("good", "landed")]);
    let (from, to) = (&old[..7], &moved[..7]);
    let back = format!("git update-ref refs/heads/dev {} {}", &old[..12], &moved[..12]);
    output.tells(&[
        &format!("its agent moved branch 'dev' from {from} to {to}; to put it back: {back}"),
        "git parallel land bad",
    ]);
    sandbox.run_in(&sandbox.repo, "sh", &["-ec", &back]).expect(0);
    assert_eq!(sandbox.oid("dev"), old);
    sandbox.parallel(&["land", "bad"]).expect(0);
    sandbox.expect_states(&[("bad", "landed"), ("good", "landed")]);
    sandbox.check(&before);
}

/// Work that went elsewhere is not "nothing to land".
#[test]
fn an_agent_that_committed_on_another_branch_and_came_back_is_held() {
    let sandbox = scene();
    let agent = sandbox.agent("git checkout -q topic; echo x >x; commit; git checkout -q feature/bad");
    let output = sandbox.run(&["bad"], &agent).expect(1);
    sandbox.expect_states(&[("bad", "held")]);
    output.tells(&["its agent moved branch 'topic'"]);
    sandbox.check_commits();
    sandbox.parallel(&["land", "bad"]).expect(0);
    sandbox.expect_states(&[("bad", "unchanged")]);
}

/// Nothing tells whose doing it was: all that ran meanwhile are held, one that began later isn't.
#[test]
fn a_move_that_nobody_can_be_named_for_holds_all_that_ran() {
    let sandbox = scene();
    let meanwhile = r#"[ "$task" != a ] || {
        git update-ref refs/heads/dev $(git commit-tree -p dev -m evil dev^{tree})
        git update-ref refs/tags/v1 $(git commit-tree -p v1 -m evil v1^{tree}); }"#;
    let agent = waiting_agent(&sandbox, meanwhile);
    let running = sandbox.spawn_run(&["-j2", "a", "b", "c"], &agent);
    sandbox.await_mark("up-a");
    sandbox.await_mark("up-b");
    go(&sandbox, &["a", "b", "c"]);
    let output = running.wait().expect(1);
    sandbox.expect_states(&[("a", "held"), ("b", "held"), ("c", "landed")]);
    output.tells(&["while its agent ran, branch 'dev' moved from", "tag 'v1' moved from"]);
    // Seen, they land, named or not.
    sandbox.parallel(&["land"]).expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "landed")]);
}

/// What was on it and on nothing else can be got back.
#[test]
fn a_branch_that_an_agent_deleted_holds_it_and_is_kept() {
    let sandbox = scene();
    let lost = sandbox.git(&["commit-tree", "-p", "main", "-m", "precious", "main^{tree}"]);
    sandbox.git(&["branch", "precious", &lost]);
    let agent = sandbox.agent("echo x >x; commit; git branch -qD precious");
    let output = sandbox.run(&["bad"], &agent).expect(1);
    sandbox.expect_states(&[("bad", "held")]);
    let back = format!("git update-ref refs/heads/precious {}", &lost[..12]);
    output.tells(&["branch 'precious' (at", "was deleted", &back]);
    let kept = sandbox.git(&["for-each-ref", "--contains", &lost, "--format=%(refname)"]);
    assert!(kept.ends_with("/bad/moved"), "{kept}");
    sandbox.git(&["gc", "-q", "--prune=now"]);
    sandbox.run_in(&sandbox.repo, "sh", &["-ec", &back]).expect(0);
    assert_eq!(sandbox.oid("precious"), lost);

    // Where it is gone for good there is no way back to tell.
    let sweeps = "git branch -qD precious; git for-each-ref --format='delete %(refname)' refs/parallel |
        git update-ref --stdin; git reflog expire --expire=now --all; git gc -q --prune=now";
    let output = sandbox.run(&["worse"], &sandbox.agent(sweeps)).expect(1);
    output.tells(&["branch 'precious' (at", "was deleted, and git has thrown it away"]);
}

/// What it had is gone, though what it has now was the user's long before.
#[test]
fn a_branch_that_loses_its_commits_holds_and_one_that_loses_none_does_not() {
    let sandbox = scene();
    let lost = sandbox.git(&["commit-tree", "-p", "main", "-m", "precious", "main^{tree}"]);
    sandbox.git(&["branch", "precious", &lost]);
    // All of that is long ago.
    let log = sandbox.common_dir().join("logs/HEAD");
    let sed = ["-i", r"s/ [0-9]\{10\} / 1700000000 /", log.to_str().unwrap()];
    sandbox.run_in(&sandbox.root, "sed", &sed).expect(0);
    let agent = sandbox.agent(
        r#"echo "$task" >"$task"; commit
        case $task in loses) git branch -qf precious v1;; *) git branch -qf dev v1;; esac"#,
    );
    let output = sandbox.run(&["--sequential", "harmless", "loses"], &agent).expect(1);
    sandbox.expect_states(&[("harmless", "landed"), ("loses", "held")]);
    let kept = sandbox.git(&["for-each-ref", "--contains", &lost, "--format=%(refname)"]);
    assert!(kept.ends_with("/loses/moved"), "{kept}");
    output.tells(&[
        "branch 'precious' moved from",
        &format!("git update-ref refs/heads/precious {}", &lost[..12]),
    ]);
}

/// The record of where refs were outlives the supervisor.
#[test]
fn it_is_noticed_after_the_supervisor_died() {
    let sandbox = scene();
    let agent = waiting_agent(&sandbox, r#"[ "$task" != bad ] || git branch -f dev HEAD"#);
    let running = at_work(&sandbox, &["bad", "good"], &agent);
    running.signal(Signal::KILL);
    running.wait();
    sandbox.git(&["branch", "-f", "topic", "main"]);
    sandbox.git(&["commit", "-q", "--allow-empty", "-m", "mine"]);
    go(&sandbox, &["bad", "good"]);
    sandbox.parallel(&["resume"]).expect(1).tells(&["its agent moved branch 'dev'"]);
    sandbox.expect_states(&[("bad", "held"), ("good", "landed")]);
    sandbox.parallel(&["land", "bad"]).expect(0);
    sandbox.check_status();
}

/// In a bare repository others push at any time.
#[test]
fn pushes_to_a_bare_repository_hold_nothing() {
    let sandbox = Sandbox::empty("shop.git", &["--bare"]);
    let work = sandbox.root.join("work");
    let repo = sandbox.repo.to_str().unwrap().to_owned();
    sandbox.run_in(&sandbox.root, "git", &["clone", "-q", &repo, "work"]).expect(0);
    sandbox.identify(&work);
    sandbox.git_in(&work, &["checkout", "-q", "-B", "main"]);
    sandbox.git_in(&work, &["commit", "-q", "--allow-empty", "-m", "first"]);
    sandbox.git_in(&work, &["push", "-q", "origin", "main", "main:dev"]);
    let agent = waiting_agent(&sandbox, "");
    let running = sandbox.spawn_run(&["--into", "main", "a"], &agent);
    sandbox.await_mark("up-a");
    sandbox.git_in(&work, &["commit", "-q", "--allow-empty", "-m", "second"]);
    sandbox.git_in(&work, &["push", "-q", "origin", "main:dev"]);
    go(&sandbox, &["a"]);
    running.wait().expect(0);
    sandbox.expect_states(&[("a", "landed")]);
}

fn sized(sandbox: &Sandbox) -> Output {
    let agent = sandbox.agent(
        r#"case $task in
        big) head -c 2049 /dev/zero >data.bin; echo x >small; commit;;
        left) head -c 2049 /dev/zero >left.bin;;
        exact) head -c 2048 /dev/zero >exact.bin; commit;;
        gone) git rm -q old.bin; head -c 5000 /dev/zero >tmp; commit; git rm -q tmp; commit;;
        esac"#,
    );
    sandbox.run(&["big", "left", "exact", "gone"], &agent)
}

#[test]
fn a_file_that_is_too_large_holds_its_task() {
    let sandbox = Sandbox::new();
    sandbox.write("old.bin", "x".repeat(5000));
    sandbox.commit_all("Large already");
    sandbox.git(&["config", "parallel.maxFileSize", "2k"]);
    let before = sandbox.snapshot();
    let output = sized(&sandbox).expect(1);
    sandbox.check_run(&before, &output);
    let states = [("big", "held"), ("left", "held"), ("exact", "landed"), ("gone", "landed")];
    sandbox.expect_states(&states);
    assert_eq!(reason(&sandbox, "big"), "larger than parallel.maxFileSize (2 KiB): data.bin (2.0 KiB)");
    output.tells(&["left.bin (2.0 KiB)", "git parallel land big"]);
    // Not named, it is not seen; an agent that changes the limit changes nothing.
    sandbox.git(&["config", "parallel.maxFileSize", "1g"]);
    let before = sandbox.snapshot();
    sandbox.parallel(&["land"]).expect(1).tells(&["data.bin"]);
    sandbox.expect_states(&states);
    sandbox.parallel(&["land", "big"]).expect(0);
    sandbox.expect_states(&[("big", "landed"), ("left", "held"), ("exact", "landed"), ("gone", "landed")]);
    sandbox.check(&before);
}

#[test]
fn without_a_limit_size_does_not_matter() {
    for limit in [None, Some("0")] {
        let sandbox = Sandbox::new();
        sandbox.write("old.bin", "x");
        sandbox.commit_all("Second");
        if let Some(limit) = limit {
            sandbox.git(&["config", "parallel.maxFileSize", limit]);
        }
        sized(&sandbox).expect(0);
    }
}

#[test]
fn a_protected_path_holds_its_task() {
    let sandbox = Sandbox::new();
    sandbox.write("ci/deploy.yml", "x\n");
    sandbox.write("moved.key", "x\n");
    sandbox.commit_all("Second");
    for pathspec in ["ci/", ":(icase)*.KEY", ":(exclude)ci/docs"] {
        sandbox.git(&["config", "--add", "parallel.protected", pathspec]);
    }
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"case $task in
        ci) echo y >ci/deploy.yml;;
        key) git mv moved.key elsewhere;;
        docs) mkdir -p ci/docs; echo y >ci/docs/x;;
        back) echo y >ci/deploy.yml; commit; echo x >ci/deploy.yml; echo z >z;;
        esac; commit"#,
    );
    let output = sandbox.run(&["ci", "key", "docs", "back"], &agent).expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("ci", "held"), ("key", "held"), ("docs", "landed"), ("back", "landed")]);
    assert_eq!(reason(&sandbox, "ci"), "changes what parallel.protected names: ci/deploy.yml");
    assert!(reason(&sandbox, "key").ends_with("names: moved.key"));
    sandbox.parallel(&["land"]).expect(1);
    sandbox.parallel(&["land", "ci", "key"]).expect(0);
    sandbox.expect_states(&[("ci", "landed"), ("key", "landed"), ("docs", "landed"), ("back", "landed")]);
    sandbox.check(&before);
}

/// All that is to be looked at is told at once; an agent that runs again is looked at again.
#[test]
fn several_gates_tell_all_and_ask_anew_after_a_retry() {
    let sandbox = scene();
    sandbox.git(&["config", "parallel.maxFileSize", "10"]);
    sandbox.git(&["config", "parallel.protected", "more"]);
    let agent = sandbox.agent(
        r#"echo "$GIT_PARALLEL_ATTEMPT times more than enough" >more; commit; git branch -f dev HEAD"#,
    );
    sandbox.run(&["a"], &agent).expect(1).tells(&["moved branch 'dev'", "larger than", "parallel.protected"]);
    sandbox.parallel(&["retry", "a"]).expect(1);
    sandbox.expect_states(&[("a", "held")]);
    sandbox.parallel(&["land", "a"]).expect(0);
    assert!(sandbox.read("more").starts_with("2 times"));
}

#[test]
fn bad_values_are_refused_before_anything_is_made() {
    let cases = [
        ("parallel.maxFileSize", "large", "bad numeric config value 'large'"),
        ("parallel.maxFileSize", "-1", "it must be 0 or more"),
        ("parallel.protected", ":(bogus)x", "Invalid pathspec magic 'bogus'"),
        ("parallel.protected", "../x", "outside repository"),
    ];
    for (key, value, words) in cases {
        let sandbox = Sandbox::new();
        sandbox.git(&["config", key, value]);
        let output = sandbox.run(&["a"], &sandbox.simple_agent()).expect(3).tells(&[words, key]);
        assert!(output.stderr.contains("Nothing was created"), "{}", output.stderr);
        sandbox.parallel(&["doctor"]).expect(3).tells(&[words]);
        assert!(!sandbox.worktrees().exists() && !sandbox.has_ref("refs/heads/feature/a"));
    }
}
