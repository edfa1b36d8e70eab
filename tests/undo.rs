//! Undo: what a run landed comes off the target again by new commits, all of it or nothing.

#![allow(clippy::disallowed_methods)]

mod common;

use common::{Output, Running, Sandbox, journal, wait_until};
use rustix::process::Signal;

/// Two commits and a change of a file that is there.
const WORK: &str =
    r#"echo "$task" > "$task"; commit "one of $task"; echo more >> "$task"; commit "two of $task""#;

/// Goes on when it is its turn.
const WAITS: &str = r#"mark "up-$task"; await "go-$task"; echo "$task" > "$task"; commit"#;

fn landed(options: &[&str], tasks: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.run(&[options, tasks].concat(), &sandbox.agent(WORK)).expect(0);
    sandbox
}

fn tree_of(sandbox: &Sandbox, revision: &str) -> String {
    sandbox.oid(&format!("{revision}^{{tree}}"))
}

/// The task's revert, as status tells it.
#[track_caller]
fn undone(sandbox: &Sandbox, task: &str) -> String {
    let task = sandbox.task(task);
    assert_eq!(task["state"], "landed", "{task:#}");
    task["undone"].as_str().unwrap_or_else(|| panic!("not undone: {task:#}")).to_owned()
}

/// Doing it again changes nothing, and says so.
#[track_caller]
fn again_changes_nothing(sandbox: &Sandbox) {
    let (refs, status) = (sandbox.refs(), sandbox.status());
    sandbox.parallel(&["undo"]).expect(0).tells(&["Nothing is left to undo", "undone by"]);
    assert_eq!((sandbox.refs(), sandbox.status()), (refs, status));
}

fn count(sandbox: &Sandbox, range: &str) -> usize {
    sandbox.git(&["rev-list", "--count", "--first-parent", range]).parse().expect("a number")
}

#[test]
fn whatever_the_way_it_landed_one_commit_each_takes_it_back() {
    for options in
        [&["-j1"][..], &["-j1", "--no-ff"], &["-j1", "--strategy=squash"], &["-j1", "--strategy=rebase"]]
    {
        let sandbox = Sandbox::new();
        let before = sandbox.snapshot();
        let first = tree_of(&sandbox, "main");
        sandbox.run(&[options, &["a", "b", "c"]].concat(), &sandbox.agent(WORK)).expect(0);
        let old = sandbox.oid("main");
        let output = sandbox.parallel(&["undo"]).expect(0);
        output.tells(&["Reverted on main, now at ", "git revert"]);
        assert_eq!(tree_of(&sandbox, "main"), first, "{options:?}");
        assert_eq!(count(&sandbox, &format!("{old}..main")), 3, "{options:?}");
        assert!(!sandbox.has("a") && !sandbox.has("c"), "the checkout follows");
        for (task, revision) in [("a", "main"), ("b", "main~1"), ("c", "main~2")] {
            assert_eq!(undone(&sandbox, task), sandbox.oid(revision), "the latest first: {options:?}");
        }
        assert_eq!(sandbox.status()["run"]["tip"], sandbox.oid("main"));
        sandbox.check(&before);
        again_changes_nothing(&sandbox);
        sandbox.check(&before);

        // What is told brings it back.
        sandbox.git(&["revert", "--no-edit", &format!("{old}..main")]);
        assert_eq!(tree_of(&sandbox, "main"), tree_of(&sandbox, &old), "{options:?}");
    }
}

#[test]
fn the_reverts_read_as_those_of_git() {
    let sandbox = Sandbox::new();
    let agent =
        sandbox.agent(&format!("case $task in one) echo 1 > one; commit 'Just one';; *) {WORK};; esac"));
    sandbox.run(&["-j1", "one", "two", "three"], &agent).expect(0);
    let merge = sandbox.oid("main");
    sandbox.parallel(&["undo"]).expect(0);
    let message =
        |revision: &str| sandbox.git(&["show", "-s", "--format=%B", revision]).trim_end().to_owned();
    // By -j1 each is based on what the run began with, so the first lands by fast-forward and the rest by merges.
    let (three, two) = (message("main~2"), message("main~1"));
    assert!(three.starts_with("Revert \"Merge branch 'feature/three' into main\"\n\n"), "{three}");
    let (parent, tail) = (sandbox.oid(&format!("{merge}^")), three.split("\n\n").nth(1).unwrap().to_owned());
    assert_eq!(tail, format!("This reverts commit {merge}, reversing\nchanges made to {parent}."));
    assert!(two.starts_with("Revert \"Merge branch 'feature/two' into main\""), "{two}");
    let one = sandbox.oid(&format!("{merge}~2"));
    assert_eq!(message("main"), format!("Revert \"Just one\"\n\nThis reverts commit {one}."));

    let sandbox = landed(&[], &["a"]);
    let tip = sandbox.oid("main");
    sandbox.parallel(&["undo"]).expect(0);
    let expected = format!(
        "Revert the landing of 'feature/a'\n\nThis reverts the commits that landed together:\n\n    {tip} two of a\n    {} one of a",
        sandbox.oid("main~2")
    );
    assert_eq!(sandbox.git(&["show", "-s", "--format=%B"]).trim_end(), expected);
}

/// Between the landings and after them the user commits; a branch that lands has a merge in it.
#[test]
fn commits_of_others_in_between_stay() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(
        r#"mark "up-$task"; await "go-$task"; git switch -q -c side-$task; echo s > "side-$task"; commit
        git switch -q -; echo "$task" > "$task"; commit; git merge -q --no-edit side-$task; log_commit
        git branch -q -D side-$task"#,
    );
    let running = sandbox.spawn_run(&["a", "b", "c"], &agent);
    ["a", "b", "c"].iter().for_each(|task| sandbox.await_mark(&format!("up-{task}")));
    for task in ["a", "b", "c"] {
        sandbox.mark(&format!("go-{task}"));
        wait_until("it lands", || sandbox.state(task) == "landed");
        let users = format!("users-{task}");
        sandbox.write(&users, "the user's\n");
        sandbox.git(&["add", &users]);
        sandbox.git(&["commit", "-q", "-m", &users, "--", &users]);
    }
    running.wait().expect(0);
    let before = sandbox.snapshot();
    sandbox.parallel(&["undo"]).expect(0);
    for task in ["a", "b", "c"] {
        assert!(!sandbox.has(task) && !sandbox.has(&format!("side-{task}")), "{task}");
        assert!(sandbox.has(&format!("users-{task}")), "{task}");
    }
    sandbox.check(&before);
    again_changes_nothing(&sandbox);
}

#[test]
fn what_landed_later_by_name_belongs_to_the_run() {
    let sandbox = Sandbox::new();
    let first = tree_of(&sandbox, "main");
    sandbox.run(&["--no-land", "a", "b"], &sandbox.agent(WORK)).expect(0);
    sandbox.parallel(&["undo"]).expect(1).tells(&["landed anything", "nothing to undo"]);
    sandbox.parallel(&["land", "b"]).expect(0);
    sandbox.parallel(&["land", "a"]).expect(0);
    sandbox.parallel(&["undo"]).expect(0);
    assert_eq!(tree_of(&sandbox, "main"), first);
    assert_eq!(undone(&sandbox, "b"), sandbox.oid("main"), "what landed first is reverted last");
}

#[test]
fn an_atomic_run_is_undone_as_a_whole() {
    let sandbox = landed(&["--atomic"], &["a", "b", "c"]);
    let before = sandbox.snapshot();
    let old = sandbox.oid("main");
    sandbox.parallel(&["undo"]).expect(0);
    assert!(["a", "b", "c"].iter().all(|task| !sandbox.has(task)));
    assert_eq!(
        sandbox.git(&["reflog", "show", "--format=%H", "main"]).lines().nth(1),
        Some(old.as_str()),
        "in one step"
    );
    assert!(sandbox.git(&["reflog", "-1", "--format=%gs", "main"]).starts_with("parallel: undo 2"));
    sandbox.check(&before);
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let sandbox = landed(&["-j1", "--verify", "test -e README.md"], &["a", "b"]);
    sandbox.git(&["config", "commit.gpgSign", "true"]);
    let (before, refs, status) = (sandbox.snapshot(), sandbox.refs(), sandbox.status());
    let told = sandbox.parallel(&["undo", "-n"]).expect(0);
    let text = &told.stdout;
    assert!(text.starts_with("This would revert on main (at "), "{text}");
    assert!(text.find("\n  b  merge").unwrap() < text.find("\n  a  fast-forward").unwrap(), "{text}");
    assert!(text.ends_with("if the result passes: test -e README.md\n"), "{text}");
    assert_eq!((sandbox.refs(), sandbox.status()), (refs, status));
    sandbox.check(&before);
}

#[test]
fn status_and_list_tell_of_it() {
    let sandbox = landed(&["-j1"], &["a", "b"]);
    sandbox.parallel(&["undo"]).expect(0);
    let by = undone(&sandbox, "a")[..7].to_owned();
    sandbox.parallel(&["status"]).expect(0).tells(&[
        "2 undone",
        ". a  undone",
        &format!("by {by}, fast-forward"),
    ]);
    sandbox.parallel(&["list"]).expect(0).tells(&["2 undone"]);
    assert_eq!(sandbox.parallel(&["list", "--json"]).expect(0).json()["runs"][0]["undone"], 2);
    let events = journal(&sandbox.record());
    assert_eq!(events.iter().filter(|event| event["event"] == "undone").count(), 1);
}

/// To git the branch is merged: nothing of it would land, so that is said, with what helps.
#[test]
fn what_was_undone_does_not_land_again_by_itself() {
    for strategy in ["merge", "squash"] {
        let sandbox = Sandbox::new();
        let before = sandbox.snapshot();
        sandbox.run(&["--keep", "--strategy", strategy, "a"], &sandbox.agent(WORK)).expect(0);
        sandbox.parallel(&["undo"]).expect(0);
        let (old, by) = (sandbox.oid("main"), undone(&sandbox, "a"));
        for command in ["land", "retry"] {
            let told = sandbox.parallel(&[command, "a"]).expect(1);
            told.tells(&["undone by", &format!("git revert {}", &by[..7])]);
        }
        assert_eq!(sandbox.oid("main"), old);
        // A new run with that branch: what git takes for merged brings nothing, a squash lands again.
        let again =
            sandbox.parallel(&["run", "-y", "--strategy", strategy, "--existing=reuse", "a", "--", "true"]);
        again.expect(0);
        assert_eq!(sandbox.has("a"), strategy == "squash", "{strategy}");
        sandbox.check(&before);
        if strategy == "merge" {
            sandbox.git(&["revert", "--no-edit", &by]);
            assert_eq!(sandbox.read("a"), "a\nmore\n");
        }
    }
}

#[test]
fn what_was_built_upon_is_not_undone() {
    let sandbox = landed(&["-j1"], &["a", "b"]);
    sandbox.write("a", "changed\n");
    let culprit = sandbox.commit_all("Build on a");
    sandbox.write("unrelated", "x\n");
    sandbox.commit_all("Unrelated");
    let (before, refs, status) = (sandbox.snapshot(), sandbox.refs(), sandbox.status());
    let landing = sandbox.task("a")["landed"].as_str().unwrap()[..7].to_owned();
    for args in [&["undo"][..], &["undo", "-n"]] {
        let told = sandbox.parallel(args).expect(1);
        assert!(!told.all().contains("Unrelated"), "{}", told.all());
        let changed = format!("changed there since by {} Build on a", &culprit[..7]);
        let first = &sandbox.oid("main~4^1")[..7].to_owned();
        let merge = &sandbox.oid("main~2")[..7].to_owned();
        told.tells(&[
            &format!("what 'a' landed ({landing}) was built upon later, in a"),
            "Nothing was changed",
            &changed,
            &format!("git revert -m 1 {merge} && git revert {first}..{landing}"),
        ]);
    }
    assert_eq!((sandbox.refs(), sandbox.status()), (refs, status));
    sandbox.check(&before);
    // By hand, as told; then there is nothing left of it.
    sandbox.git(&["revert", "--no-edit", "-m", "1", "main~2"]);
    sandbox.git(&["rm", "-q", "a"]);
    sandbox.commit_all("By hand");
    sandbox.parallel(&["undo"]).expect(0).tells(&["Nothing is left to undo", "nothing of its landing"]);
}

#[test]
fn edited_files_in_the_way_are_named_and_left_alone() {
    let sandbox = landed(&["-j1"], &["a", "b"]);
    sandbox.write("b", "edited\n");
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    sandbox.parallel(&["undo"]).expect(1).tells(&[": b\n", "main is as it was", "git parallel undo 2"]);
    assert_eq!((sandbox.oid("main"), sandbox.read("b")), (old, "edited\n".to_owned()));
    sandbox.check(&before);
    sandbox.git(&["checkout", "-q", "--", "b"]);
    sandbox.write("README.md", "edited, and not in the way\n");
    let before = sandbox.snapshot();
    sandbox.parallel(&["undo"]).expect(0);
    sandbox.check(&before);
    assert!(!sandbox.has("b"));
}

#[test]
fn a_landing_that_is_not_on_the_target_any_more_is_left_alone() {
    let sandbox = landed(&["-j1"], &["a", "b"]);
    sandbox.git(&["reset", "-q", "--hard", "HEAD^"]);
    sandbox.parallel(&["undo"]).expect(0).tells(&["Left alone", "b  its landing", "is not on main"]);
    assert!(!sandbox.has("a"));
    assert_eq!(sandbox.task("b")["undone"], serde_json::Value::Null);
    // The undo itself is reset away: then it counts no more.
    sandbox.git(&["reset", "-q", "--hard", "HEAD^"]);
    sandbox.parallel(&["undo"]).expect(0).tells(&["Reverted on main"]);
    assert!(!sandbox.has("a"));
}

/// A check that logs the trees it saw, and passes unless a file `no` is in the tests' own directory.
fn check(sandbox: &Sandbox, body: &str) -> String {
    let body = format!("git rev-parse HEAD^{{tree}} >> $IO/seen; {body}");
    sandbox.script(&sandbox.root.join("bin/check"), &body).to_str().unwrap().to_owned()
}

fn checked(body: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let check = check(&sandbox, body);
    sandbox.run(&["-j1", "--verify", &check, "a", "b"], &sandbox.agent(WORK)).expect(0);
    std::fs::remove_file(sandbox.io("seen")).unwrap();
    // Another user's commit: the reverts come to a tree that nobody has checked.
    sandbox.write("users", "x\n");
    sandbox.commit_all("The user's");
    sandbox
}

#[test]
fn the_result_must_pass_the_runs_check() {
    let sandbox = checked("test ! -e $IO/no || { echo 'no is no' >&2; exit 3; }");
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    sandbox.mark("no");
    let told = sandbox.parallel(&["undo"]).expect(1);
    told.tells(&[
        "would not pass its check: the check failed: exit 3",
        "| no is no",
        "main is as it was",
        "git parallel undo --no-verify 2",
        "hint: what the check wrote: ",
    ]);
    assert_eq!(sandbox.oid("main"), old);
    assert_eq!(sandbox.status()["run"]["state"], "finished");
    sandbox.check(&before);
    std::fs::remove_file(sandbox.io("no")).unwrap();
    sandbox.parallel(&["undo"]).expect(0).tells(&["checking "]);
    let seen = sandbox.read_io("seen");
    assert_eq!(seen.lines().last(), Some(tree_of(&sandbox, "main").as_str()), "I3");
    assert_eq!(seen.lines().count(), 2);
    sandbox.check(&before);
}

#[test]
fn without_a_verdict_nothing_moves_and_the_check_can_be_left_out() {
    let sandbox = checked("test ! -e $IO/no || exit 125");
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    sandbox.mark("no");
    sandbox.parallel(&["undo"]).expect(1).tells(&["can't tell (exit 125)", "main is as it was"]);
    assert_eq!(sandbox.oid("main"), old);
    sandbox.parallel(&["undo", "--no-verify"]).expect(0);
    assert!(!sandbox.has("a") && sandbox.has("users"));
    sandbox.check(&before);
}

/// What the user sets today is for runs to come.
#[test]
fn a_run_without_a_check_is_undone_without_one() {
    let sandbox = landed(&[], &["a"]);
    sandbox.git(&["config", "parallel.verify", "false"]);
    sandbox.parallel(&["undo"]).expect(0);
}

#[test]
fn a_target_that_moves_meanwhile_is_reverted_and_checked_again() {
    let sandbox = checked("test ! -e $IO/hold || { mark checking; await go; }");
    sandbox.mark("hold");
    let running = sandbox.spawn(&["undo"]);
    sandbox.await_mark("checking");
    assert_eq!(sandbox.status()["run"]["state"], "running");
    sandbox.parallel(&["undo"]).expect(4).tells(&["'git parallel undo'", "is going here"]);
    sandbox.write("meanwhile", "x\n");
    let users = sandbox.commit_all("Meanwhile");
    sandbox.mark("go");
    running.wait().expect(0).tells(&["moved to", "reverting again"]);
    assert_eq!(sandbox.oid("main~2"), users);
    assert!(sandbox.has("meanwhile") && !sandbox.has("a") && !sandbox.has("b"));
    assert_eq!(sandbox.read_io("seen").lines().last(), Some(tree_of(&sandbox, "main").as_str()), "I3");
    again_changes_nothing(&sandbox);
}

fn held_in_its_check() -> (Sandbox, Running) {
    let sandbox = checked("test ! -e $IO/hold || { mark checking; await go; }");
    sandbox.mark("hold");
    let running = sandbox.spawn(&["undo"]);
    sandbox.await_mark("checking");
    (sandbox, running)
}

#[test]
fn ctrl_c_and_abort_stop_it_and_nothing_has_changed() {
    for by_signal in [true, false] {
        let (sandbox, running) = held_in_its_check();
        let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
        if by_signal {
            running.signal(Signal::INT);
            running.wait().expect(130).tells(&["was stopped", "main is as it was"]);
        } else {
            sandbox.parallel(&["abort"]).expect(0);
            running.wait().expect(1).tells(&["was stopped", "main is as it was"]);
        }
        assert_eq!(sandbox.oid("main"), old);
        assert_eq!(sandbox.status()["run"]["state"], "finished");
        sandbox.check(&before);
    }
}

/// Killed while its check runs: that is known, nothing else starts, and undo or resume settles it.
#[test]
fn one_that_died_is_gone_on_with_or_left() {
    for settle in ["undo", "resume"] {
        let (sandbox, running) = held_in_its_check();
        let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
        running.signal(Signal::KILL);
        running.wait();
        sandbox.parallel(&["status"]).expect(0).tells(&["interrupted while", "git parallel undo"]);
        for args in [&["land"][..], &["cleanup"]] {
            sandbox.parallel(args).expect(3).tells(&["an undo of run", "git parallel undo 2"]);
        }
        sandbox.run(&["c"], &sandbox.simple_agent()).expect(3).tells(&["interrupted"]);
        std::fs::remove_file(sandbox.io("hold")).unwrap();
        let settled = sandbox.parallel(&[settle]).expect(0);
        if settle == "undo" {
            assert!(!sandbox.has("a"));
        } else {
            settled.tells(&["was cut off before main moved", "git parallel undo 2"]);
            assert_eq!(sandbox.oid("main"), old);
        }
        assert_eq!(sandbox.status()["run"]["state"], "finished");
        sandbox.check(&before);
    }
}

/// Killed right after the target has moved.
#[test]
fn one_that_died_after_the_move_is_known() {
    for settle in ["undo", "resume"] {
        let sandbox = landed(&["-j1"], &["a", "b"]);
        let before = sandbox.snapshot();
        sandbox.hook(
            "reference-transaction",
            "refs=$(cat); if [ ! -e $IO/go ] && [ $1 = committed ] && echo \"$refs\" | grep -q refs/heads/main; \
             then mark held; until [ -e $IO/go ]; do sleep 0.02; done; fi; exit 0",
        );
        let running = sandbox.spawn(&["undo"]);
        sandbox.await_mark("held");
        running.signal_group(Signal::KILL);
        running.wait();
        sandbox.mark("go");
        let moved = sandbox.oid("main");
        sandbox.parallel(&[settle]).expect(0);
        assert_eq!(sandbox.oid("main"), moved, "nothing twice");
        assert_eq!(undone(&sandbox, "a"), moved);
        assert!(!sandbox.has("a") && !sandbox.has("b"));
        assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
        std::fs::remove_file(sandbox.repo.join(".git/hooks/reference-transaction")).unwrap();
        again_changes_nothing(&sandbox);
        sandbox.check(&before);
    }
}

#[test]
fn after_cleanup_it_says_what_is_missing() {
    let sandbox = landed(&[], &["a"]);
    let older = sandbox.status()["run"]["id"].as_str().unwrap().to_owned();
    sandbox.run(&["b"], &sandbox.agent(WORK)).expect(0);
    let id = sandbox.status()["run"]["id"].as_str().unwrap().to_owned();
    sandbox.parallel(&["cleanup"]).expect(0).tells(&["removed the record"]);
    let old = sandbox.oid("main");
    sandbox.parallel(&["undo", &id]).expect(1).tells(&["no record of a run", "git revert"]);
    // It is not the older run that was meant.
    let told = sandbox.parallel(&["undo"]).expect(1);
    told.tells(&["has no record any more", &format!("git parallel undo {older}")]);
    assert_eq!(sandbox.oid("main"), old);
    sandbox.parallel(&["undo", &older]).expect(0);
    assert!(!sandbox.has("a") && sandbox.has("b"));
    sandbox.parallel(&["cleanup"]).expect(0).tells(&["removed the record"]);
    sandbox.parallel(&["undo"]).expect(1).tells(&["no run that has a record here has landed anything"]);
}

/// A record that can't be read may well be the one that is meant.
#[test]
fn a_record_of_a_newer_version_is_not_passed_over() {
    let sandbox = landed(&[], &["a"]);
    sandbox.run(&["b"], &sandbox.agent(WORK)).expect(0);
    let (file, old) = (sandbox.record().join("run.json"), sandbox.oid("main"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"version\": ", "\"version\": 9", 1)).unwrap();
    sandbox.parallel(&["undo"]).expect(1).tells(&["newer git-parallel"]);
    assert_eq!(sandbox.oid("main"), old);
}

#[test]
fn a_target_that_is_checked_out_nowhere_or_elsewhere() {
    let sandbox = Sandbox::new();
    let other = sandbox.root.join("other");
    sandbox.git(&["branch", "develop"]);
    sandbox.git(&["worktree", "add", "-q", "-b", "there", other.to_str().unwrap()]);
    for target in ["develop", "there"] {
        let first = tree_of(&sandbox, target);
        sandbox.run(&["--into", target, "a", "b"], &sandbox.agent(WORK)).expect(0);
        let before = sandbox.snapshot();
        sandbox.parallel(&["undo"]).expect(0).tells(&[&format!("Reverted on {target}")]);
        assert_eq!(tree_of(&sandbox, target), first);
        assert_eq!(sandbox.git_in(&other, &["status", "--porcelain"]), "");
        sandbox.check(&before);
    }
    sandbox.git(&["branch", "-D", "develop"]);
    let id = sandbox.runs()[0].1["id"].as_str().unwrap().to_owned();
    sandbox.parallel(&["undo", &id]).expect(1).tells(&["branch 'develop' is gone"]);
}

#[test]
fn sha_256_works() {
    let sandbox = Sandbox::with("shop", &["--object-format=sha256"]);
    let (before, first) = (sandbox.snapshot(), tree_of(&sandbox, "main"));
    sandbox.run(&["-j1", "a", "b"], &sandbox.agent(WORK)).expect(0);
    sandbox.parallel(&["undo"]).expect(0);
    assert_eq!(tree_of(&sandbox, "main"), first);
    sandbox.check(&before);
    again_changes_nothing(&sandbox);
}

#[test]
fn a_bare_repository_works() {
    let sandbox = Sandbox::new();
    let bare = sandbox.root.join("bare.git");
    sandbox.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    sandbox.identify(&bare);
    let mut sandbox = sandbox;
    sandbox.repo = bare;
    let (before, first) = (sandbox.snapshot(), tree_of(&sandbox, "main"));
    let check = check(&sandbox, "test -e README.md");
    sandbox.run(&["--into", "main", "--verify", &check, "a", "b"], &sandbox.agent(WORK)).expect(0);
    sandbox.parallel(&["undo"]).expect(0);
    assert_eq!(tree_of(&sandbox, "main"), first);
    sandbox.check(&before);
    again_changes_nothing(&sandbox);
}

/// As for merges: who commits is git's to say, and a signature that can't be had stops it.
#[test]
fn reverts_are_the_users_own_commits() {
    let sandbox = landed(&[], &["a"]);
    sandbox.git(&["config", "author.name", "Ann Author"]);
    let old = sandbox.oid("main");
    sandbox.git(&["config", "commit.gpgSign", "true"]);
    sandbox.git(&["config", "gpg.program", "false"]);
    sandbox.parallel(&["undo"]).expect(1).tells(&["cannot sign", "commit.gpgSign"]);
    assert_eq!(sandbox.oid("main"), old);
    sandbox.git(&["config", "commit.gpgSign", "false"]);
    sandbox.parallel(&["undo"]).expect(0);
    assert_eq!(sandbox.git(&["show", "-s", "--format=%an %cn"]), "Ann Author Ann User");
}

#[test]
fn while_a_run_goes_on_there_is_no_undo() {
    let sandbox = landed(&[], &["a"]);
    let running = sandbox.spawn_run(&["b"], &sandbox.agent(WAITS));
    sandbox.await_mark("up-b");
    sandbox.parallel(&["undo"]).expect(4).tells(&["is going here", "Nothing was created or changed"]);
    running.signal(Signal::KILL);
    running.wait();
    let id = sandbox.runs()[0].1["id"].as_str().unwrap().to_owned();
    sandbox.parallel(&["undo", &id]).expect(3).tells(&["was interrupted", "git parallel resume"]);
    sandbox.mark("go-b");
    sandbox.parallel(&["resume"]).expect(0);
    sandbox.parallel(&["undo"]).expect(0);
    assert!(sandbox.has("a") && !sandbox.has("b"));
}

// Killed at some of its calls

/// An undo that is killed before that call; the sandbox, its tree before the run, and what it said.
fn killed(kill_at: u64) -> Option<(Sandbox, String, Output)> {
    let sandbox = checked("true");
    let library = common::kill_library(&sandbox.root)?;
    let mut command = sandbox.command(&sandbox.repo, common::PROGRAM);
    command.arg("undo").env("LD_PRELOAD", library).env("KILL_AT", kill_at.to_string());
    command.env("KILL_COUNT", sandbox.io("count"));
    let old = sandbox.oid("main");
    let output = sandbox.start(command).wait();
    Some((sandbox, old, output))
}

fn visit(kill_at: u64, settle: &str) {
    let Some((sandbox, old, died)) = killed(kill_at) else { return };
    let before = sandbox.snapshot();
    let at = format!("killed before call {kill_at}, {settle}\n{}", died.all());
    if settle == "resume" {
        let resumed = sandbox.parallel(&["resume"]);
        assert_eq!(resumed.code, 0, "{at}{}", resumed.all());
        sandbox.check_repository(&before);
        sandbox.check_status();
    }
    let moved = sandbox.oid("main");
    let undo = sandbox.parallel(&["undo"]);
    assert_eq!(undo.code, 0, "{at}{}", undo.all());
    assert!(moved == old || moved == sandbox.oid("main"), "twice: {at}");
    assert_eq!(sandbox.git(&["diff", "--name-only", &old, "main"]), "a\nb", "{at}");
    assert_eq!(count(&sandbox, &format!("{old}..main")), 2, "{at}");
    assert_eq!(undone(&sandbox, "a"), sandbox.oid("main"), "{at}");
    assert_eq!(sandbox.git(&["status", "--porcelain"]), "", "{at}");
    assert!(!sandbox.has("a") && !sandbox.has("b") && sandbox.has("users"), "{at}");
    again_changes_nothing(&sandbox);
    sandbox.check_repository(&before);
    sandbox.check_processes();
    sandbox.check_status();
}

fn visit_every(step: usize) {
    let Some((sandbox, _, output)) = killed(0) else { return };
    output.expect(0);
    let last: u64 = sandbox.read_io("count").trim().parse().expect("a number");
    assert!(last > 30, "the library counts too little: {last}");
    println!("{last} calls");
    let instants = (1..=last).step_by(step).enumerate();
    let next = std::sync::Mutex::new(instants);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((n, kill_at)) = { next.lock().expect("no panic").next() } {
                    visit(kill_at, if n % 2 == 0 { "undo" } else { "resume" });
                }
            });
        }
    });
}

#[test]
fn killed_at_some_calls() {
    visit_every(9);
}

#[test]
#[ignore = "long: visits every call"]
fn killed_at_every_call() {
    visit_every(1);
}
