//! The check of what would land: nothing reaches the target that did not pass, many at a time.

#![allow(clippy::disallowed_methods)]

mod common;
#[path = "faults/support.rs"]
mod support;

use std::collections::BTreeSet;

use common::{Output, Running, Sandbox, Snapshot, journal, wait_until};
use rustix::process::Signal;

/// A check that logs every tree it sees, and those that pass.
fn check(sandbox: &Sandbox, body: &str) -> String {
    let body = format!(
        "tree=$(git rev-parse HEAD^{{tree}})\necho \"$tree\" >> $IO/seen\n( {body} )\necho \"$tree\" >> $IO/passed"
    );
    sandbox.script(&sandbox.root.join("bin/check"), &body).to_str().unwrap().to_owned()
}

/// What passes unless a file `bad` is there.
const NO_BAD: &str = "test ! -e bad";

/// I3: every tip that the target had since `old` has a tree that passed.
#[track_caller]
fn only_checked_trees(sandbox: &Sandbox, old: &str) {
    let passed = sandbox.read_io("passed");
    let passed: BTreeSet<&str> = passed.lines().collect();
    let range = format!("{old}..main");
    let tips = sandbox.git(&["log", "--first-parent", "--format=%T", &range]);
    for tree in tips.lines() {
        assert!(passed.contains(tree), "{tree} was published and had not passed: {passed:?}");
    }
    assert_eq!(sandbox.git(&["reflog", "show", "--format=%T", "main"]).lines().next(), tips.lines().next());
}

fn lines(sandbox: &Sandbox, name: &str) -> usize {
    if sandbox.io(name).exists() { sandbox.read_io(name).lines().count() } else { 0 }
}

/// Runs these tasks under a check; each makes a file of its name, in the order given.
fn run(sandbox: &Sandbox, options: &[&str], check: &str, agent: &str) -> Output {
    spawn(sandbox, options, check, agent).wait()
}

fn spawn(sandbox: &Sandbox, options: &[&str], check: &str, agent: &str) -> Running {
    let agent = sandbox.agent(agent);
    sandbox.spawn_run(&[&["--verify", check], options].concat(), &agent)
}

const FILE: &str = "echo $task >$task; commit";

#[test]
fn a_failing_check_rejects_its_task_alone() {
    let sandbox = Sandbox::new();
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    let check = check(&sandbox, "test ! -e bad || { echo 'bad is bad' >&2; exit 3; }");
    let output = run(&sandbox, &["a", "bad", "c"], &check, FILE).expect(1);
    output.clone().tells(&[
        "rejected: the check failed: exit 3",
        "| bad is bad",
        "git parallel retry bad",
        "log ",
    ]);
    sandbox.expect_states(&[("a", "landed"), ("bad", "rejected"), ("c", "landed")]);
    assert!(!sandbox.has("bad"), "I3");
    only_checked_trees(&sandbox, &old);
    sandbox.check_run(&before, &output);
    assert!(sandbox.worktree("bad").exists() && sandbox.has_ref("refs/heads/feature/bad"));
    let status = sandbox.parallel(&["status"]).expect(0).tells(&["| bad is bad"]);
    let log = status.stdout.lines().find_map(|line| line.trim().strip_prefix("log ")).unwrap();
    assert!(std::fs::read_to_string(sandbox.repo.join(log)).unwrap().contains("bad is bad"));

    // Mended in its worktree, it lands; and only after it passed.
    let bad = sandbox.worktree("bad");
    sandbox.git_in(&bad, &["mv", "bad", "good"]);
    sandbox.git_in(&bad, &["commit", "-qm", "Mend"]);
    sandbox.parallel(&["land", "bad"]).expect(0);
    assert!(sandbox.has("good"));
    only_checked_trees(&sandbox, &old);
    sandbox.check(&before);
}

/// Never in the user's checkout, never in the agent's; a clean checkout of that commit, with warm caches.
#[test]
fn a_check_runs_in_a_checkout_of_its_own() {
    let sandbox = Sandbox::new();
    sandbox.write("mine", "untracked\n");
    let before = sandbox.snapshot();
    let check = check(
        &sandbox,
        r#"git status --porcelain >> $IO/status
        git symbolic-ref -q HEAD && exit 1
        env | grep -E '^(GIT_|PWD)' | sort > $IO/env-$task
        test "$PWD" = "$GIT_PARALLEL_WORKTREE" && pwd >> $IO/places
        test -d target && echo warm >> $IO/warm
        mkdir -p target && touch target/cache
        echo junk > junk; echo more >> README.md; git add junk; git commit -q -m "from the check"; rm src/db.rs"#,
    );
    let output = run(&sandbox, &["--verify-jobs=1", "-j1", "a", "b"], &check, FILE).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read_io("status"), "", "clean each time");
    let place = sandbox.worktrees().join(".verify-0");
    assert_eq!(sandbox.read_io("places"), format!("{0}\n{0}\n", place.display()), "the same for both");
    assert_eq!(lines(&sandbox, "warm"), 1, "what git ignores stays");
    assert!(!place.exists(), "gone with the run");
    assert!(!sandbox.has("junk") && sandbox.has("src/db.rs"), "what a check writes does not land");
    let env = sandbox.read_io("env-b");
    for expected in ["GIT_PARALLEL_SLOT=1\n", "GIT_PARALLEL_TASK=b\n", "GIT_PARALLEL_TARGET=main\n"] {
        assert!(env.contains(expected), "{expected} {env}");
    }
    assert!(!env.contains("GIT_DIR=") && !env.contains("GIT_INDEX_FILE="), "{env}");
}

#[test]
fn no_verdict_holds_the_task() {
    let cases = [
        ("exit 125", "can't tell"),
        ("kill -9 $$", "killed by signal 9"),
        ("exit 137", "killed by signal 9"),
        ("no-such-command", "could not be run (exit 127)"),
    ];
    for (body, words) in cases {
        let sandbox = Sandbox::new();
        let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
        let check = format!("test -e {} || {{ {body}; }}", sandbox.io("settled").display());
        let output =
            run(&sandbox, &["a"], &check, FILE).expect(1).tells(&[words, "held", "git parallel land a"]);
        sandbox.expect_states(&[("a", "held")]);
        assert_eq!(sandbox.oid("main"), old);
        sandbox.check_run(&before, &output);
        sandbox.mark("settled");
        sandbox.parallel(&["land", "a"]).expect(0);
        assert!(sandbox.has("a"), "{body}");
        sandbox.check(&before);
    }
}

#[test]
fn a_check_that_takes_too_long_is_ended_with_all_it_started() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let check = check(&sandbox, "sleep 1000 & trap '' TERM; await never");
    let output = run(&sandbox, &["--verify-timeout=200ms", "a"], &check, FILE).expect(1);
    output.clone().tells(&["rejected: the check did not end within 200ms"]);
    sandbox.expect_states(&[("a", "rejected")]);
    sandbox.check_run(&before, &output);
}

#[test]
fn a_tree_that_passed_is_not_checked_again() {
    let sandbox = Sandbox::new();
    let check = check(&sandbox, "true");
    run(&sandbox, &["--no-land", "a"], &check, FILE).expect(0);
    sandbox.parallel(&["land", "a"]).expect(0);
    assert_eq!(lines(&sandbox, "seen"), 1);
    // The same tree by another way, in another run.
    sandbox.git(&["reset", "-q", "--hard", "HEAD^"]);
    run(&sandbox, &["--existing=overwrite", "other"], &check, "echo a >a; commit")
        .expect(0)
        .tells(&["did so before"]);
    assert_eq!(lines(&sandbox, "seen"), 1);
    // Another check knows nothing of it.
    sandbox.git(&["reset", "-q", "--hard", "HEAD^"]);
    run(&sandbox, &["third"], &format!("{check} again"), "echo a >a; commit").expect(0);
    assert_eq!(lines(&sandbox, "seen"), 2);
}

/// A failure in the middle of five that are checked at once: those behind it are made again without it.
#[test]
fn speculation_lands_only_what_was_checked_on_its_real_parent() {
    let sandbox = Sandbox::new();
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    // No check ends before all five run: they are at work at once, each on top of the one before.
    let check =
        check(&sandbox, "ls > $IO/ls-$task; mv $IO/ls-$task $IO/at-work-$task; await go; test ! -e bad");
    let running = spawn(&sandbox, &["-j5", "--verify-jobs=5", "a", "b", "bad", "d", "e"], &check, FILE);
    for task in ["a", "b", "bad", "d", "e"] {
        sandbox.await_mark(&format!("at-work-{task}"));
    }
    assert_eq!(sandbox.oid("main"), old);
    let most = ["a", "b", "bad", "d", "e"].map(|t| sandbox.read_io(&format!("at-work-{t}")).lines().count());
    assert_eq!(most.iter().max(), Some(&7), "README.md, src and five files: {most:?}");
    sandbox.mark("go");
    let output = running.wait().expect(1);
    sandbox.expect_states(&[
        ("a", "landed"),
        ("b", "landed"),
        ("bad", "rejected"),
        ("d", "landed"),
        ("e", "landed"),
    ]);
    only_checked_trees(&sandbox, &old);
    assert!(!sandbox.has("bad"));
    // Those ahead of it are not checked again, those behind it are.
    let order: Vec<String> = journal(&sandbox.record())
        .iter()
        .filter(|event| event["event"] == "begun" && event["step"] == "verify")
        .map(|event| event["task"].as_str().unwrap().to_owned())
        .collect();
    let bad = order.iter().position(|task| task == "bad").unwrap();
    assert_eq!(order.len(), 5 + (4 - bad), "{order:?}");
    sandbox.check_run(&before, &output);
}

/// Each squashed tree is that of the merge with all before it, and each of them passed.
/// Runs four tasks whose checks pass all but the first's; then that does.
fn passed_behind_the_first(sandbox: &Sandbox) -> Output {
    let check = check(sandbox, "if [ $(ls [abcd] | wc -l) = 1 ]; then await go; fi");
    let running = spawn(sandbox, &["-j4", "--verify-jobs=4", "a", "b", "c", "d"], &check, FILE);
    let verified = |event: &serde_json::Value| event["event"] == "verified";
    wait_until("the others pass", || {
        let events = sandbox.io("seen").exists().then(|| journal(&sandbox.record()));
        events.is_some_and(|events| events.into_iter().filter(verified).count() == 3)
    });
    sandbox.mark("go");
    running.wait()
}

#[test]
fn what_has_passed_lands_in_one_step() {
    let sandbox = Sandbox::new();
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    let output = passed_behind_the_first(&sandbox).expect(0);
    sandbox.check_run(&before, &output);
    only_checked_trees(&sandbox, &old);
    moved_once(&sandbox, &old);
    let landings = sandbox.git(&["rev-list", "--count", "--first-parent", &format!("{old}..main")]);
    assert_eq!((landings.as_str(), sandbox.io("seen").exists()), ("4", true));
    assert_eq!(lines(&sandbox, "seen"), 4, "none was checked again");
}

#[test]
fn what_is_in_the_way_of_one_keeps_the_others_from_nothing() {
    for held in ["a", "b", "c", "d"] {
        let sandbox = Sandbox::new();
        let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
        sandbox.write(held, "the user's\n");
        let output = passed_behind_the_first(&sandbox).expect(1);
        output.tells(&[&format!("{held}: held: files that git does not track")]);
        for task in ["a", "b", "c", "d"] {
            assert_eq!(sandbox.state(task), if task == held { "held" } else { "landed" });
        }
        assert_eq!(std::fs::read_to_string(sandbox.repo.join(held)).unwrap(), "the user's\n");
        only_checked_trees(&sandbox, &old);
        std::fs::remove_file(sandbox.repo.join(held)).unwrap();
        sandbox.parallel(&["land"]).expect(0);
        sandbox.check(&before);
    }
}

#[test]
fn several_squashes_in_a_row_are_each_checked() {
    let sandbox = Sandbox::new();
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    let check = check(&sandbox, NO_BAD);
    let agent = r#"case $task in a) l=one;; b) l=three;; bad) l=five; echo > bad;; d) l=seven;; e) l=nine;; esac
        sed -i "s/^$l$/$l by $task/" src/db.rs; commit; echo $task >$task; commit more"#;
    let options = ["-j5", "--strategy=squash", "--verify-jobs=3", "a", "b", "bad", "d", "e"];
    let output = run(&sandbox, &options, &check, agent).expect(1);
    for (task, state) in
        [("a", "landed"), ("b", "landed"), ("bad", "rejected"), ("d", "landed"), ("e", "landed")]
    {
        assert_eq!(sandbox.state(task), state);
    }
    only_checked_trees(&sandbox, &old);
    assert_eq!(sandbox.git(&["rev-list", "--count", &format!("{old}..main")]), "4");
    sandbox.check_run(&before, &output);
    let text = sandbox.read("src/db.rs");
    assert!(
        ["one by a", "three by b", "seven by d", "nine by e"].iter().all(|line| text.contains(line)),
        "{text}"
    );
}

#[test]
fn a_full_disk_is_no_verdict() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let check = check(&sandbox, "echo 'write error: No space left on device' >&2; exit 1");
    let output =
        run(&sandbox, &["a"], &check, FILE).expect(1).tells(&["held", "failed (exit 1) on a full disk"]);
    sandbox.expect_states(&[("a", "held")]);
    sandbox.check_run(&before, &output);
}

#[test]
fn a_target_that_moves_meanwhile_is_merged_and_checked_again() {
    let sandbox = Sandbox::new();
    let old = sandbox.oid("main");
    let check = check(&sandbox, "mark checking; await go");
    let running = spawn(&sandbox, &["-j2", "--verify-jobs=2", "a", "b"], &check, FILE);
    sandbox.await_mark("checking");
    wait_until("both are checked", || lines(&sandbox, "seen") == 2);
    sandbox.write("users", "own work\n");
    let users = sandbox.commit_all("The user's");
    sandbox.mark("go");
    running.wait().expect(0).tells(&["moved to", "merging again"]);
    let passed = sandbox.read_io("passed");
    for tip in sandbox.git(&["rev-list", "--first-parent", &format!("{old}..main")]).lines() {
        let tree = sandbox.oid(&format!("{tip}^{{tree}}"));
        assert!(tip == users || passed.contains(&tree), "I3: {tip}");
    }
    assert!(sandbox.has("a") && sandbox.has("b") && sandbox.has("users"));
    assert_eq!(lines(&sandbox, "seen"), 4, "both once more");
}

/// What had landed before is not on the target any more, and that is somebody's doing: it is told.
#[test]
fn a_target_that_goes_back_meanwhile_is_told() {
    let sandbox = Sandbox::new();
    let old = sandbox.oid("main");
    let check = check(&sandbox, "if [ -e b ]; then mark up; await go; fi");
    let running = spawn(&sandbox, &["-j1", "a", "b"], &check, FILE);
    sandbox.await_mark("up");
    wait_until("a has landed", || sandbox.state("a") == "landed");
    let landed = sandbox.oid("main");
    sandbox.git(&["reset", "-q", "--hard", &old]);
    sandbox.mark("go");
    let told = format!("b: somebody moved main back from {} to {}; merging again", &landed[..7], &old[..7]);
    running.wait().expect(0).tells(&[&told]);
    only_checked_trees(&sandbox, &old);
    assert!(sandbox.has("b") && !sandbox.has("a"));
}

#[test]
fn a_flaky_check_gets_its_tries() {
    let flaky = "test -e $IO/tried-$task || { mark tried-$task; exit 1; }";
    let sandbox = Sandbox::new();
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    let output = run(&sandbox, &["--verify-retries=1", "a", "b"], &check(&sandbox, flaky), FILE).expect(0);
    output.clone().tells(&["passed the check only at try 2"]);
    only_checked_trees(&sandbox, &old);
    sandbox.check_run(&before, &output);
    let sandbox = Sandbox::new();
    run(&sandbox, &["a"], &check(&sandbox, flaky), FILE).expect(1);
    sandbox.expect_states(&[("a", "rejected")]);
    run(&sandbox, &["--verify-retries=2", "b"], &check(&sandbox, "exit 1"), FILE)
        .expect(1)
        .tells(&["(3 tries)"]);
}

/// A conflict with something that has not landed yet is no conflict until it has.
#[test]
fn what_collides_with_a_candidate_lands_if_that_does_not() {
    for passes in [true, false] {
        let sandbox = Sandbox::new();
        let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
        let check = check(&sandbox, "if grep -q first src/db.rs; then await go; test -e $IO/good; fi");
        let agent =
            r#"test $task = first || await first-checks; sed -i "s/^five$/five by $task/" src/db.rs; commit"#;
        let agent = if passes { format!("{agent}; mark good") } else { agent.to_owned() };
        let running = spawn(&sandbox, &["--verify-jobs=3", "first", "second"], &check, &agent);
        wait_until("the first is being checked", || lines(&sandbox, "seen") == 1);
        sandbox.mark("first-checks");
        wait_until("the second is known to collide", || {
            journal(&sandbox.record()).iter().any(|event| event["event"] == "conflicted")
        });
        sandbox.mark("go");
        let output = running.wait().expect(1);
        let states = if passes {
            [("first", "landed"), ("second", "conflicted")]
        } else {
            [("first", "rejected"), ("second", "landed")]
        };
        sandbox.expect_states(&states);
        only_checked_trees(&sandbox, &old);
        sandbox.check_run(&before, &output);
    }
}

#[test]
fn ctrl_c_ends_checks_and_what_waits_can_be_landed() {
    let sandbox = Sandbox::new();
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    let check = check(&sandbox, "mark checking; trap '' INT; await go");
    let running = spawn(&sandbox, &["--verify-jobs=2", "a", "b"], &check, FILE);
    wait_until("both are checked", || lines(&sandbox, "seen") == 2);
    running.signal(Signal::INT);
    let output = running.wait().expect(130).tells(&["git parallel land"]);
    sandbox.expect_states(&[("a", "finished"), ("b", "finished")]);
    assert_eq!(sandbox.oid("main"), old);
    sandbox.check_run(&before, &output);
    sandbox.mark("go");
    sandbox.parallel(&["land"]).expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
    only_checked_trees(&sandbox, &old);
    sandbox.check(&before);
}

#[test]
fn a_second_ctrl_c_kills_checks() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let check = check(&sandbox, "trap '' TERM INT; mark up; await never");
    let running = spawn(&sandbox, &["a"], &check, FILE);
    sandbox.await_mark("up");
    running.signal(Signal::INT);
    wait_until("it is told", || running.so_far().1.contains("stopping 1 check, work is kept"));
    running.signal(Signal::INT);
    let output = running.wait().expect(130).tells(&["killing 1 check"]);
    let (run, _) = sandbox.runs().pop().unwrap();
    let killed = |event: &serde_json::Value| event["event"] == "stop-sent" && event["stop"] == "kill";
    assert!(journal(&run).iter().any(killed), "{}", output.all());
    sandbox.expect_states(&[("a", "finished")]);
    sandbox.check_run(&before, &output);
}

/// Whoever stops an atomic run that is about to land comes too late, and is told so: all of it landed.
#[test]
fn an_atomic_landing_that_was_begun_is_brought_to_its_end() {
    for (moment, dies) in [("prepared", false), ("committed", false), ("committed", true)] {
        let sandbox = Sandbox::new();
        sandbox.hook(
            "reference-transaction",
            &format!(
                "if [ $1 = {moment} ] && grep -q refs/heads/main && [ ! -e $IO/go ]; then mark held; until [ -e $IO/go ]; do sleep 0.01; done; fi"
            ),
        );
        let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
        let check = check(&sandbox, "true");
        let running = spawn(&sandbox, &["--atomic", "a", "b"], &check, FILE);
        sandbox.await_mark("held");
        let code = if dies {
            support::kill_tree(running);
            sandbox.mark("go");
            sandbox.parallel(&["abort"]).expect(0).code
        } else {
            running.signal(Signal::INT);
            wait_until("it is told", || running.so_far().1.contains("stopping"));
            sandbox.mark("go");
            running.wait().code
        };
        assert!(matches!(code, 0 | 130), "{moment}: {code}");
        sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
        moved_once(&sandbox, &old);
        sandbox.check(&before);
    }
}

/// Of an atomic run nothing lands because of the one whose own work fails, not of one that stands on it.
#[test]
fn an_atomic_run_blames_the_task_that_fails() {
    let sandbox = Sandbox::new();
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    let check = check(&sandbox, "[ -e b ] || { mark a; await go; }; test ! -e bad");
    let agent = "if [ $task = a ]; then echo >bad; else await a; echo >b; fi; commit";
    let running = spawn(&sandbox, &["--verify-jobs=2", "--atomic", "a", "b"], &check, agent);
    let rejected = |task: &str| {
        let (run, _) = sandbox.runs().pop().unwrap();
        journal(&run).iter().any(|event| event["event"] == "rejected" && event["task"] == task)
    };
    wait_until("the one on top has failed", || !sandbox.runs().is_empty() && rejected("b"));
    sandbox.mark("go");
    let output = running.wait().expect(1).tells(&["a: did not land, so nothing does", "retry a"]);
    sandbox.expect_states(&[("a", "rejected"), ("b", "rolled-back")]);
    assert_eq!(sandbox.oid("main"), old);
    sandbox.check_run(&before, &output);
}

/// What keeps an atomic run from landing may be settled without another attempt of its agent.
#[test]
fn an_atomic_run_with_a_file_in_the_way_lands_by_land() {
    let sandbox = Sandbox::new();
    sandbox.write("b", "of the user's");
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    let check = check(&sandbox, "true");
    let output = run(&sandbox, &["--atomic", "a", "b"], &check, FILE).expect(1);
    assert_eq!((sandbox.oid("main"), sandbox.read("b")), (old.clone(), "of the user's".to_owned()));
    sandbox.check_run(&before, &output);
    let told = output.all();
    let next = told.lines().find_map(|line| line.split_once("-> ").map(|(_, next)| next)).unwrap();
    let also = format!("-> {next}   takes the others up again, too");
    assert!(next.starts_with("git parallel land ") && told.contains(&also), "{told}");
    std::fs::remove_file(sandbox.repo.join("b")).unwrap();
    sandbox.run_in(&sandbox.repo, "sh", &["-c", next]).expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
    moved_once(&sandbox, &old);
}

#[test]
fn abort_takes_one_task_out_of_the_queue() {
    let sandbox = Sandbox::new();
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    let check = check(&sandbox, "await go");
    let running = spawn(&sandbox, &["--verify-jobs=2", "-j1", "a", "b"], &check, FILE);
    wait_until("both are checked", || lines(&sandbox, "seen") == 2);
    sandbox.parallel(&["abort", "a"]).expect(0);
    sandbox.mark("go");
    let output = running.wait().expect(1);
    sandbox.expect_states(&[("a", "held"), ("b", "landed")]);
    assert!(!sandbox.has("a"));
    only_checked_trees(&sandbox, &old);
    sandbox.check_run(&before, &output);
    sandbox.parallel(&["land", "a"]).expect(0);
    only_checked_trees(&sandbox, &old);
}

/// The check of a dead supervisor is ended, not trusted, and run again.
/// One that waits for its turn is stopped just as well, and does not land after all.
#[test]
fn abort_takes_one_task_out_of_the_line() {
    let sandbox = Sandbox::new();
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    let check = check(&sandbox, "mark up; await go");
    let agent = "if [ $task = a ]; then mark a; else await a; await up; fi; echo $task >$task; commit";
    let running = spawn(&sandbox, &["--verify-jobs=1", "a", "b"], &check, agent);
    sandbox.await_mark("up");
    wait_until("it is in line", || sandbox.state("b") == "finished" && sandbox.task("b")["tip"].is_string());
    sandbox.parallel(&["abort", "b"]).expect(0).tells(&["b: held"]);
    sandbox.mark("go");
    let output = running.wait().expect(1).tells(&["its landing was stopped", "git parallel land b"]);
    sandbox.expect_states(&[("a", "landed"), ("b", "held")]);
    sandbox.check_run(&before, &output);
    sandbox.parallel(&["land", "b"]).expect(0);
    only_checked_trees(&sandbox, &old);
    sandbox.check(&before);
}

#[test]
fn ctrl_c_ends_a_landing_of_several() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let check = check(&sandbox, "mark up; await go");
    let agent = sandbox.agent(FILE);
    sandbox.run(&["--verify", &check, "--verify-jobs=1", "--no-land", "a", "b"], &agent).expect(0);
    let running = sandbox.spawn(&["land"]);
    sandbox.await_mark("up");
    running.signal_group(Signal::INT);
    running.wait().expect(130);
    sandbox.expect_states(&[("a", "held"), ("b", "held")]);
    sandbox.check(&before);
    sandbox.mark("go");
    sandbox.parallel(&["land"]).expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
    sandbox.check(&before);
}

#[test]
fn a_run_that_died_while_checking_is_resumed() {
    for settle in ["resume", "abort"] {
        let sandbox = Sandbox::new();
        let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
        let check = check(&sandbox, "echo junk >junk; trap '' TERM; await go");
        let running = spawn(&sandbox, &["--verify-jobs=2", "a", "b"], &check, FILE);
        wait_until("both are checked", || lines(&sandbox, "seen") == 2);
        running.signal(Signal::KILL);
        running.wait();
        let settling = sandbox.spawn(&[settle]);
        if settle == "resume" {
            wait_until("both are checked again", || lines(&sandbox, "seen") == 4);
            assert_eq!(lines(&sandbox, "passed"), 0, "the old ones are over");
        }
        sandbox.mark("go");
        settling.wait().expect(0);
        let state = if settle == "resume" { "landed" } else { "finished" };
        sandbox.expect_states(&[("a", state), ("b", state)]);
        if settle == "resume" {
            only_checked_trees(&sandbox, &old);
        } else {
            assert_eq!(sandbox.oid("main"), old);
        }
        sandbox.check(&before);
    }
}

#[test]
fn configuration_and_bad_values() {
    let sandbox = Sandbox::new();
    let check = check(&sandbox, NO_BAD);
    sandbox.git(&["config", "parallel.verify", &check]);
    let agent = sandbox.agent(FILE);
    sandbox.run(&["bad"], &agent).expect(1);
    sandbox.expect_states(&[("bad", "rejected")]);
    sandbox.parallel(&["run", "-n", "x", "--", "true"]).expect(0).tells(&["check what would land with"]);
    // An empty command is none.
    sandbox.run(&["--verify=", "--existing=overwrite", "none"], &agent).expect(0);
    assert_eq!(lines(&sandbox, "seen"), 1);
    for args in [
        &["--verify-jobs=0"][..],
        &["--verify-timeout=soon"],
        &["--verify-retries=101"],
        &["--keep-going"],
        &["--atomic", "--no-land"],
    ] {
        sandbox.run(&[args, &["y"]].concat(), &agent).expect(2);
    }
    for (key, value) in [("verifyJobs", "0"), ("verifyTimeout", "soon"), ("verifyRetries", "-1")] {
        let setting = format!("parallel.{key}={value}");
        let mut command = sandbox.command(&sandbox.repo, "git");
        command.args(["-c", &setting, "parallel"]).args(sandbox.run_args(&["y"], &agent));
        sandbox.start(command).wait().expect(3).tells(&[key, "Nothing was created or changed"]);
    }
    assert!(!sandbox.has_ref("refs/heads/feature/y"));
}

// Atomic runs

/// I7: the target was only ever at its old tip or at this one.
#[track_caller]
fn moved_once(sandbox: &Sandbox, old: &str) {
    let reflog = sandbox.git(&["reflog", "show", "--format=%H", "main"]);
    let tips: Vec<&str> = reflog.lines().collect();
    assert_eq!(tips.get(1), Some(&old), "I7: {reflog}");
    assert_eq!(tips[0], sandbox.oid("main"));
}

#[test]
fn an_atomic_run_lands_all_in_one_step() {
    for check_it in [true, false] {
        let sandbox = Sandbox::new();
        let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
        let check = check(&sandbox, NO_BAD);
        let check = if check_it { check.as_str() } else { "" };
        let agent = "test $task = c || { echo $task >$task; commit; }";
        let output = run(&sandbox, &["--atomic", "-j2", "a", "b", "c", "d"], check, agent).expect(0);
        sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "unchanged"), ("d", "landed")]);
        moved_once(&sandbox, &old);
        if check_it {
            only_checked_trees(&sandbox, &old);
        }
        sandbox.check_run(&before, &output);
        assert_eq!(sandbox.status()["run"]["atomic"], true);
    }
}

/// Whichever task does not land, and why: nothing does, all is kept, and mended it all lands.
#[test]
fn an_atomic_run_lands_nothing_if_one_does_not_land() {
    let whys = [
        ("fails", "failed", "test -e $IO/mended || exit 7"),
        (
            "rejected",
            "rejected",
            "test -e $IO/mended || { echo bad >bad; commit; }; test -e bad && test -e $IO/mended && { git rm -q bad; commit mend; }",
        ),
        (
            "conflicts",
            "conflicted",
            "test -e $IO/mended && { git checkout -q main~0 -- src/db.rs 2>/dev/null || :; } || { sed -i \"s/^five$/five by $task/\" src/db.rs; commit; }",
        ),
    ];
    std::thread::scope(|scope| {
        for (why, state, body) in whys {
            for k in 0..3 {
                scope.spawn(move || spoilt(why, state, body, ["a", "b", "c"][k]));
            }
        }
    });
}

fn spoilt(why: &str, state: &str, body: &str, spoiler: &str) {
    let sandbox = Sandbox::new();
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    if why == "conflicts" {
        // With what the user did meanwhile.
        sandbox.hook("post-checkout", "exit 0");
    }
    let check = check(&sandbox, NO_BAD);
    let agent = format!(
        "test -e $task || {{ echo $task >$task; commit; }}; if [ $task = {spoiler} ]; then {body}; fi; exit 0"
    );
    let agent =
        if why == "conflicts" { agent.replace("exit 0", "mark done-$task; await go; exit 0") } else { agent };
    let running = spawn(&sandbox, &["--atomic", "-j3", "a", "b", "c"], &check, &agent);
    let mut now = old.clone();
    if why == "conflicts" {
        for task in ["a", "b", "c"] {
            sandbox.await_mark(&format!("done-{task}"));
        }
        sandbox.write("src/db.rs", "the user's\n");
        now = sandbox.commit_all("The user's own");
        sandbox.mark("go");
    }
    let place = format!("{why} {spoiler}");
    let output = running.wait();
    assert_eq!(output.code, 1, "{place}: {}", output.all());
    output.tells(&[&format!("because {spoiler} did not"), "Nothing landed", "main is as it was"]);
    for task in ["a", "b", "c"] {
        let expected = if task == spoiler { state } else { "rolled-back" };
        assert_eq!(sandbox.state(task), expected, "{place}: {task}");
        assert!(sandbox.has_ref(&format!("refs/heads/feature/{task}")), "{place}: kept");
        assert!(sandbox.worktree(task).exists(), "{place}: kept");
    }
    assert_eq!(sandbox.oid("main"), now, "{place}: I7");
    if why == "conflicts" {
        return;
    }
    sandbox.check(&before);
    // One that is mended, and all land.
    sandbox.mark("mended");
    sandbox.parallel(&["land"]);
    assert_eq!(sandbox.oid("main"), now, "{place}: not one without the others");
    sandbox.parallel(&["retry", spoiler]).expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "landed")]);
    moved_once(&sandbox, &old);
    sandbox.check(&before);
}

#[test]
fn the_others_are_stopped_or_finish() {
    for keep_going in [false, true] {
        let sandbox = Sandbox::new();
        let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
        let agent = sandbox.agent("case $task in bad) await b-runs; exit 1;; b) mark b-runs; await go;; esac; echo $task >$task; commit");
        let options: &[&str] = if keep_going { &["--atomic", "--keep-going"] } else { &["--atomic"] };
        let running = sandbox.spawn_run(&[options, &["-j2", "bad", "b", "late"]].concat(), &agent);
        if keep_going {
            wait_until("the last one is done", || {
                sandbox.has_ref("refs/heads/feature/late") && sandbox.read_io("commits").lines().count() == 1
            });
            sandbox.mark("go");
        }
        let output = running.wait().expect(1);
        sandbox.expect_states(&[("bad", "failed"), ("b", "rolled-back"), ("late", "rolled-back")]);
        assert_eq!(sandbox.oid("main"), old);
        assert_eq!(lines(&sandbox, "commits"), if keep_going { 2 } else { 0 });
        sandbox.check_run(&before, &output);
    }
}

#[test]
fn an_atomic_chain_is_made_again_when_the_target_moves() {
    let sandbox = Sandbox::new();
    let old = sandbox.oid("main");
    let check = check(&sandbox, "await go");
    let running = spawn(&sandbox, &["--atomic", "--verify-jobs=2", "a", "b"], &check, FILE);
    wait_until("both are checked", || lines(&sandbox, "seen") == 2);
    sandbox.write("users", "own work\n");
    let users = sandbox.commit_all("The user's");
    sandbox.mark("go");
    running.wait().expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
    moved_once(&sandbox, &users);
    only_checked_trees(&sandbox, &users);
    assert_eq!(sandbox.git(&["rev-parse", "main~2"]), users);
    assert_eq!(sandbox.git(&["rev-parse", "main~3"]), old);
}

/// Interrupted with all its work done: all of it or none can be landed later.
#[test]
fn an_interrupted_atomic_run_lands_as_a_whole_later() {
    let sandbox = Sandbox::new();
    let (before, old): (Snapshot, String) = (sandbox.snapshot(), sandbox.oid("main"));
    let check = check(&sandbox, "await go");
    let running = spawn(&sandbox, &["--atomic", "--verify-jobs=2", "a", "b"], &check, FILE);
    wait_until("both are checked", || lines(&sandbox, "seen") == 2);
    running.signal(Signal::TERM);
    running.wait().expect(143);
    assert_eq!(sandbox.oid("main"), old);
    sandbox.mark("go");
    sandbox.parallel(&["land", "a"]).expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
    moved_once(&sandbox, &old);
    sandbox.check(&before);
}
