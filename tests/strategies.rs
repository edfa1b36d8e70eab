//! `--strategy`: whatever commits are made of it, what lands is git's own merge, lands once, and nothing that
//! an agent committed gets lost.

#![allow(clippy::disallowed_methods)]

mod common;

use std::fs;

use common::{Output, Sandbox, journal, wait_until};
use rustix::process::Signal;

const STRATEGIES: [&str; 4] = ["merge", "ff-only", "squash", "rebase"];

/// Two commits in a task: a file of its own, and a line of `src/db.rs` that no other task edits.
const TWO_COMMITS: &str = r#"
    echo "$task" > "$task.txt"; commit "Add $task"
    case $task in a) at=one;; b) at=five;; *) at=nine;; esac
    sed -i "s/^$at\$/$at by $task/" src/db.rs; commit "Edit $at"
"#;

/// Runs tasks one after the other under a strategy and looks at all that was promised.
#[track_caller]
fn run(sandbox: &Sandbox, strategy: &str, tasks: &[&str], agent: &str, code: i32) -> Output {
    let before = sandbox.snapshot();
    let options = [&["--sequential", "--strategy", strategy], tasks].concat();
    let output = sandbox.run(&options, &sandbox.agent(agent)).expect(code);
    sandbox.check_run(&before, &output);
    output
}

/// How the tasks of the latest run landed, in order.
fn hows(sandbox: &Sandbox) -> Vec<String> {
    let events = journal(&sandbox.record());
    let landed = events.iter().filter(|event| event["event"] == "landed");
    landed.map(|event| event["landing"]["how"].as_str().unwrap().to_owned()).collect()
}

fn subjects(sandbox: &Sandbox, range: &str) -> Vec<String> {
    sandbox.git(&["log", "--format=%s", range]).lines().map(str::to_owned).collect()
}

#[test]
fn several_tasks_in_a_row_come_to_the_same_files() {
    let mut trees = Vec::new();
    for strategy in ["merge", "squash", "rebase"] {
        let sandbox = Sandbox::new();
        let old = sandbox.oid("main");
        let output = run(&sandbox, strategy, &["a", "b", "c"], TWO_COMMITS, 0);
        sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "landed")]);
        trees.push(sandbox.oid("main^{tree}"));
        assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
        assert_eq!(sandbox.git(&["branch", "--list", "feature/*"]), "", "{strategy}: all branches are gone");
        assert!(!sandbox.worktrees().exists(), "{strategy}");
        let all = subjects(&sandbox, &format!("{old}..main"));
        match strategy {
            "squash" => {
                assert_eq!(hows(&sandbox), ["squash"; 3]);
                let expected = ["c", "b", "a"].map(|t| format!("Squash branch 'feature/{t}' into main"));
                assert_eq!(all, expected);
                output.tells(&["c: landed on main (squash, 2 commits, 2 files +2 -1)"]);
            }
            "rebase" => {
                // Tasks start from the target as it was when the run began; the first is in its place.
                assert_eq!(hows(&sandbox), ["fast-forward", "rebase", "rebase"]);
                assert_eq!(all, ["Edit nine", "Add c", "Edit five", "Add b", "Edit one", "Add a"]);
                output.tells(&["c: landed on main (rebase, 2 commits, 2 files +2 -1)"]);
            }
            _ => assert_eq!(hows(&sandbox), ["fast-forward", "merge", "merge"]),
        }
    }
    assert!(trees.windows(2).all(|pair| pair[0] == pair[1]), "{trees:?}");
}

#[test]
fn ff_only_lands_what_is_on_top_and_says_what_to_do_with_the_rest() {
    let sandbox = Sandbox::new();
    let output = run(&sandbox, "ff-only", &["a", "b", "c"], TWO_COMMITS, 1);
    sandbox.expect_states(&[("a", "landed"), ("b", "held"), ("c", "held")]);
    for task in ["b", "c"] {
        let path = sandbox.worktree(task);
        let why = format!("Not possible to fast-forward main to feature/{task}");
        let first = format!("first: git -C {} rebase main", path.display());
        output.clone().tells(&[&why, &first, &format!("git parallel land {task}")]);
        let before = sandbox.snapshot();
        sandbox.parallel(&["land", task]).expect(1).tells(&[&why]);
        // What it says, as it says it.
        sandbox.run_in(&path, "sh", &["-c", first.strip_prefix("first: ").unwrap()]).expect(0);
        sandbox.parallel(&["land", task]).expect(0);
        sandbox.check(&before);
    }
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "landed")]);
    assert_eq!(hows(&sandbox), ["fast-forward"; 3]);
    assert_eq!(sandbox.git(&["rev-list", "--merges", "main"]), "");
}

#[test]
fn the_strategy_may_be_configured_and_the_option_goes_first() {
    let sandbox = Sandbox::new();
    sandbox.git(&["config", "parallel.strategy", "squash"]);
    let plan = |args: &[&str]| {
        let all = [&["run", "-n"], args, &["a", "--", "true"]].concat();
        sandbox.parallel(&all)
    };
    plan(&[]).expect(0).tells(&["when it finishes, as one commit\n"]);
    plan(&["--strategy", "rebase"]).expect(0).tells(&["when it finishes, rebased\n"]);
    plan(&["--strategy", "merge", "--no-ff"]).expect(0).tells(&["with a merge commit\n"]);
    for args in [&["--no-ff"][..], &["--no-ff", "--strategy", "rebase"], &["--no-ff", "--strategy=ff-only"]] {
        plan(args).expect(2).tells(&["--no-ff asks for merge commits", "--strategy merge"]);
    }
    plan(&["--strategy", "octopus"]).expect(2).tells(&["merge, ff-only, squash, rebase"]);
    sandbox.git(&["config", "parallel.strategy", "Squash"]);
    let expected = "bad value 'Squash' for 'parallel.strategy': it must be merge, ff-only, squash or rebase";
    plan(&[]).expect(3).tells(&[expected]);
}

/// Fault 49.
#[test]
fn squashes_in_a_row_of_one_file() {
    let sandbox = Sandbox::new();
    let edit = r#"
        case $task in a) at=one;; b) at=four;; c) at=seven;; d) at=nine;; esac
        sed -i "s/^$at\$/$at by $task/" src/db.rs; commit
    "#;
    run(&sandbox, "squash", &["a", "b", "c", "d"], edit, 0);
    let expected = "one by a\ntwo\nthree\nfour by b\nfive\nsix\nseven by c\neight\nnine by d\n";
    assert_eq!(sandbox.read("src/db.rs"), expected);
    let changed = sandbox.git(&["log", "--format=%s", "--numstat", "-n4", "main"]);
    assert_eq!(changed.matches("1\t1\tsrc/db.rs").count(), 4, "each brings its own line: {changed}");
}

/// Fault 56: a branch that goes on after its squash, in another run.
#[test]
fn a_branch_lands_again_and_brings_only_what_is_new() {
    for strategy in ["squash", "rebase"] {
        let sandbox = Sandbox::new();
        // Behind a commit of the user's, so that even a rebase makes new commits.
        let base = sandbox.oid("main");
        sandbox.write("ahead", "ahead\n");
        sandbox.commit_all("Ahead");
        let agent =
            r#"sed -i "s/^five/five, then six/" src/db.rs; commit "Edit"; echo x >> src/db.rs; commit "Add""#;
        run(&sandbox, strategy, &["--keep", "--base", &base, "first"], agent, 0);
        assert_eq!(hows(&sandbox), [strategy]);
        let tip = sandbox.oid("feature/first");
        sandbox.write("other", "the user's\n");
        sandbox.commit_all("Meanwhile");
        let old = sandbox.oid("main");

        // With nothing new, there is nothing to land.
        let reuse = ["--keep", "--existing", "reuse", "first"];
        run(&sandbox, strategy, &reuse, "true", 0);
        sandbox.expect_states(&[("first", "unchanged")]);
        assert_eq!(sandbox.oid("main"), old, "{strategy}: not twice");

        let on = r#"sed -i "s/^five, then/five at last/" src/db.rs; commit "Go on""#;
        run(&sandbox, strategy, &reuse, on, 0).tells(&[&format!("({strategy}, 1 commit, 1 file +1 -1)")]);
        sandbox.expect_states(&[("first", "landed")]);
        assert_eq!(subjects(&sandbox, &format!("{old}..main")), ["Go on"], "{strategy}");
        assert!(sandbox.read("src/db.rs").contains("five at last six\n"), "{}", sandbox.read("src/db.rs"));
        let body = sandbox.git(&["show", "-s", "--format=%b", "main"]);
        assert!(!body.contains(&tip), "{strategy}: what landed before is not told again: {body}");
    }
}

/// A task that builds on another's branch does not bring its commits a second time.
#[test]
fn a_task_that_has_anothers_commits() {
    for strategy in ["squash", "rebase"] {
        let sandbox = Sandbox::new();
        sandbox.write("moved", "on\n");
        let agent = r#"
            if [ "$task" = base ]; then
                echo 1 > f; commit "Base one"; echo 2 >> f; commit "Base two"; exit
            fi
            git merge -q --ff-only feature/base; sed -i s/2/two/ f; commit "On top"
        "#;
        // Behind a commit of the user's, so that even a rebase makes new commits.
        let base = sandbox.oid("main");
        sandbox.commit_all("Moved on");
        let old = sandbox.oid("main");
        run(&sandbox, strategy, &["--keep", "--base", &base, "base", "top"], agent, 0);
        assert_eq!(hows(&sandbox), [strategy, strategy]);
        let all = subjects(&sandbox, &format!("{old}..main"));
        match strategy {
            "squash" => assert_eq!(all, ["On top", "Squash branch 'feature/base' into main"]),
            _ => assert_eq!(all, ["On top", "Base two", "Base one"]),
        }
        assert_eq!(sandbox.read("f"), "1\ntwo\n");
    }
}

#[test]
fn a_squash_keeps_authors() {
    let sandbox = Sandbox::new();
    let agent = r#"
        echo "$task" > f; git add f; git commit -q --author "Bot One <one@example.org>" -m "One"; log_commit
        [ "$task" = single ] && exit
        echo 2 > f; git commit -qa --author "Bot Two <two@example.org>" -m "Two

Co-authored-by: Pair <pair@example.org>
Co-authored-by: bot one <ONE@example.org>"; log_commit
        echo 3 > f; git commit -qa -m "By the user"; log_commit
    "#;
    run(&sandbox, "squash", &["single"], agent, 0);
    let people = "%an <%ae>|%cn|%(trailers:key=Co-authored-by,separator=%x2C)";
    let show = |rev: &str| sandbox.git(&["show", "-s", &format!("--format={people}"), rev]);
    assert_eq!(show("main"), "Bot One <one@example.org>|Ann User|");
    run(&sandbox, "squash", &["several"], agent, 0);
    assert_eq!(
        show("main"),
        "Ann User <ann@example.org>|Ann User|Co-authored-by: Bot One <one@example.org>,\
         Co-authored-by: Bot Two <two@example.org>,Co-authored-by: Pair <pair@example.org>"
    );
}

/// The tree is git's, with renames, merge drivers, attributes, modes and links, and as it is configured.
#[test]
fn the_files_are_those_of_gits_own_merge() {
    let prepare = |sandbox: &Sandbox| {
        let long: String = (0..40).map(|n| format!("line {n}\n")).collect();
        sandbox.write("old/name", &long);
        sandbox.write("old/other", long.replace("line", "word"));
        sandbox.write("counter", "1\n");
        sandbox.write("list", "a\n");
        sandbox.write("dos.txt", "one\r\ntwo\r\nthree\r\n");
        sandbox.write("tool", "#!/bin/sh\n");
        sandbox.write(".gitattributes", "counter merge=count\nlist merge=union\ndos.txt text eol=crlf\n");
        sandbox.git(&["config", "merge.count.driver", "cat %B >> %A"]);
        sandbox.git(&["config", "merge.renormalize", "true"]);
        sandbox.commit_all("All kinds");
    };
    let agent = r#"
        case $task in
            renames) git mv old new; chmod +x tool; ln -s tool link; echo 2 > counter; echo r >> list ;;
            edits) sed -i 's/line 7/LINE 7/' old/name; echo new > old/third; echo 3 > counter; echo e >> list
                printf 'one\r\nTWO\r\nthree\r\n' > dos.txt ;;
        esac; commit "$task"
    "#;
    let follow = "merge.directoryRenames=true";
    let cases: [(&str, &[&str]); 9] = [
        ("merge", &[follow]),
        ("squash", &[follow]),
        ("rebase", &[follow]),
        ("squash", &[]),
        ("rebase", &["merge.directoryRenames=false"]),
        ("squash", &["merge.renames=false"]),
        ("rebase", &[follow, "merge.renameLimit=1"]),
        ("squash", &[follow, "merge.default=union"]),
        ("rebase", &[follow, "merge.conflictStyle=diff3"]),
    ];
    let mut clean = 0;
    for (strategy, settings) in cases {
        let sandbox = Sandbox::new();
        prepare(&sandbox);
        for (key, value) in settings.iter().filter_map(|setting| setting.split_once('=')) {
            sandbox.git(&["config", key, value]);
        }
        let before = sandbox.snapshot();
        let options = ["--sequential", "--keep", "--strategy", strategy, "renames", "edits"];
        let output = sandbox.run(&options, &sandbox.agent(agent));
        sandbox.check_run(&before, &output);
        // The same by hand, in a clone.
        let clone = sandbox.root.join("clone");
        sandbox.git_in(&sandbox.root, &["clone", "-q", "shop", "clone"]);
        fs::copy(sandbox.repo.join(".git/config"), clone.join(".git/config")).unwrap();
        let onto = if output.code == 0 { "main^" } else { "main" };
        let (onto, tip) = (sandbox.oid(onto), sandbox.oid("feature/edits"));
        let told = format!("{strategy}, {settings:?}:\n{}", output.all());
        sandbox.git_in(&clone, &["checkout", "-q", "--detach", &onto]);
        let merged = sandbox.run_in(&clone, "git", &["merge", "-q", "-m", "by hand", &tip]);
        assert_eq!(merged.code, output.code, "{told}{}", merged.all());
        if output.code != 0 {
            // Where `old/third` belongs, or what was renamed, is not clear then.
            assert!(!settings.contains(&follow) || settings.contains(&"merge.renameLimit=1"), "{told}");
            sandbox.expect_states(&[("renames", "landed"), ("edits", "conflicted")]);
            continue;
        }
        clean += 1;
        let by_hand = sandbox.git_in(&clone, &["rev-parse", "HEAD^{tree}"]);
        assert_eq!(sandbox.oid("main^{tree}"), by_hand, "{told}");
        assert!(sandbox.read("new/name").contains("LINE 7"), "{told}");
        assert_eq!(sandbox.has("new/third"), settings.contains(&follow), "{told}");
        assert_eq!(sandbox.read("list"), "a\nr\ne\n", "{told}");
        assert_eq!(sandbox.show("main", "counter"), "2\n3\n", "{told}");
        assert!(sandbox.git(&["ls-tree", "main", "tool"]).starts_with("100755"), "{told}");
    }
    assert!(clean >= 6, "{clean}");
}

/// What the user has cherry-picked already is not landed a second time.
#[test]
fn a_rebase_leaves_out_what_is_there() {
    let sandbox = Sandbox::new();
    let agent =
        sandbox.agent(r#"echo 1 > one; commit "One"; echo 2 > two; commit "Two"; mark done-$task; await go"#);
    let running = sandbox.spawn_run(&["--strategy", "rebase", "a"], &agent);
    sandbox.await_mark("done-a");
    sandbox.write("mine", "mine\n");
    sandbox.commit_all("Mine");
    sandbox.git(&["cherry-pick", "feature/a^"]);
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    sandbox.mark("go");
    let output = running.wait().expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(subjects(&sandbox, &format!("{old}..main")), ["Two"]);
    assert_eq!(hows(&sandbox), ["rebase"]);
}

/// It merges as a whole, but not commit by commit: then a person is asked, and told how.
#[test]
fn a_rebase_that_gets_stuck_is_held() {
    let sandbox = Sandbox::new();
    let agent = r#"
        sed -i "s/^five/five by $task/" src/db.rs; commit "Edit"
        [ "$task" = first ] || { sed -i "s/^five by $task/five/" src/db.rs; commit "Edit back"; }
        echo "$task" > "$task"; commit "Add $task"
    "#;
    let output = run(&sandbox, "rebase", &["first", "second"], agent, 1);
    sandbox.expect_states(&[("first", "landed"), ("second", "held")]);
    let first = format!("first: git -C {} rebase main", sandbox.worktree("second").display());
    output.tells(&["(Edit) has a conflict in src/db.rs", &first, "git parallel land second"]);
    let skip = "git rebase main || git rebase --skip || git rebase --skip";
    sandbox.run_in(&sandbox.worktree("second"), "sh", &["-c", skip]).expect(0);
    let before = sandbox.snapshot();
    sandbox.parallel(&["land", "second"]).expect(0);
    sandbox.check(&before);
    assert_eq!(hows(&sandbox).last().unwrap(), "fast-forward");
    assert!(sandbox.read("src/db.rs").contains("five by first\n") && sandbox.has("second"));
}

#[test]
fn a_conflict_is_resolved_and_lands_by_the_runs_strategy() {
    let agent = r#"
        sed -i "s/^five$/five by $task/" src/db.rs; commit "Five by $task"
        sed -i "s/^nine$/nine by $task/" src/db.rs; commit "Nine by $task"
    "#;
    for strategy in ["merge", "squash", "rebase"] {
        let sandbox = Sandbox::new();
        run(&sandbox, strategy, &["first", "second"], agent, 1);
        sandbox.expect_states(&[("first", "landed"), ("second", "conflicted")]);
        let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
        let io = sandbox.root.join("io");
        let with = format!(
            "echo once >> {}/resolver; sed -i '/^[<|=>]\\{{7\\}}/d' src/db.rs && git add -A",
            io.display()
        );
        sandbox.parallel(&["resolve", "second", "--with", "exit 3"]).expect(1).tells(&["--abort"]);
        sandbox.check(&before);
        let output = sandbox.parallel(&["resolve", "second", "--with", &with]).expect(0);
        output.tells(&["git parallel land second"]);
        // For each commit of its own.
        let times = if strategy == "rebase" { 2 } else { 1 };
        assert_eq!(sandbox.read_io("resolver").lines().count(), times, "{strategy}");
        assert_eq!(sandbox.oid("main"), old);
        sandbox.parallel(&["land", "second"]).expect(0);
        sandbox.check(&before);
        sandbox.expect_states(&[("first", "landed"), ("second", "landed")]);
        let all = subjects(&sandbox, &format!("{old}..main"));
        match strategy {
            "squash" => assert_eq!(all, ["Squash branch 'feature/second' into main"]),
            "rebase" => assert_eq!(all, ["Nine by second", "Five by second"]),
            _ => {
                assert_eq!(all.len(), 4, "two commits, the merge that resolved, the one that landed: {all:?}")
            }
        }
        assert!(sandbox.read("src/db.rs").contains("five by second\n"), "{}", sandbox.read("src/db.rs"));
        assert!(!sandbox.worktrees().exists(), "{strategy}");
    }
}

/// Fault 5, 56: the supervisor dies with the candidate made and the target about to move, or just moved.
#[test]
fn death_between_candidate_and_landing() {
    for strategy in ["squash", "rebase"] {
        for moves in [true, false] {
            let sandbox = Sandbox::new();
            sandbox.hook(
                "reference-transaction",
                r#"refs=$(cat); [ ! -e "$IO/over" ] && [ $1 = prepared ] || exit 0
                   case $refs in *refs/heads/main*) mark held; await go; [ -e "$IO/moves" ];; esac"#,
            );
            let before = sandbox.snapshot();
            let old = sandbox.oid("main");
            let agent = sandbox.agent(&format!("{TWO_COMMITS}\nmark done-$task"));
            // A base behind the target, so that a rebase has something to do.
            let running = {
                sandbox.mark("over");
                sandbox.write("ahead", "ahead\n");
                sandbox.commit_all("Ahead");
                fs::remove_file(sandbox.io("over")).unwrap();
                sandbox.spawn_run(&["--strategy", strategy, "--base", &old, "a"], &agent)
            };
            let old = sandbox.oid("main");
            sandbox.await_mark("held");
            running.signal(Signal::KILL);
            running.wait();
            if moves {
                sandbox.mark("moves");
            }
            sandbox.mark("go");
            sandbox.mark("over");
            wait_until("the orphaned git is through", || {
                let lock = sandbox.repo.join(".git/refs/heads/main.lock");
                (sandbox.oid("main") != old) == moves && !lock.exists()
            });
            sandbox.parallel(&["resume"]).expect(0);
            sandbox.check_commits();
            sandbox.check_processes();
            sandbox.check_landings(&before);
            sandbox.expect_states(&[("a", "landed")]);
            assert_eq!(hows(&sandbox), [strategy]);
            let times = if strategy == "squash" { 1 } else { 2 };
            assert_eq!(subjects(&sandbox, &format!("{old}..main")).len(), times, "{strategy}, {moves}");
            assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
            assert!(!sandbox.has_ref("refs/heads/feature/a") && !sandbox.worktrees().exists());
            let refs = sandbox.refs();
            sandbox.parallel(&["resume"]).expect(0);
            assert_eq!(sandbox.refs(), refs);
        }
    }
}

/// I1: the branch goes, its commits stay, until somebody says otherwise.
#[test]
fn cleaning_up_after_a_squash_keeps_what_the_agent_committed() {
    let sandbox = Sandbox::new();
    run(&sandbox, "squash", &["--keep", "a", "b"], TWO_COMMITS, 0);
    let before = sandbox.snapshot();
    // One of them went on: its branch is not what landed any more.
    let b = sandbox.worktree("b");
    sandbox.write("../shop.worktrees/b/more", "more\n");
    sandbox.git_in(&b, &["add", "-A"]);
    sandbox.git_in(&b, &["commit", "-q", "-m", "More"]);
    let dry = sandbox.parallel(&["cleanup", "-n"]).expect(0);
    dry.tells(&["would remove a", "kept branch feature/b: it has commits that did not land"]);
    sandbox.parallel(&["cleanup"]).expect(0).tells(&["removed a", "it has commits that did not land"]);
    assert!(!sandbox.has_ref("refs/heads/feature/a") && sandbox.has_ref("refs/heads/feature/b"));
    assert!(!sandbox.worktree("a").exists());
    sandbox.check_commits();
    sandbox.git(&["branch", "-q", "-D", "feature/b"]);
    let kept =
        sandbox.parallel(&["cleanup"]).expect(0).tells(&["it alone has the commits that landed by squash"]);
    sandbox.check_commits();
    sandbox.check_users_things(&before);
    let all = kept.all();
    let command = all.split_once("the record: ").unwrap().1;
    sandbox.run_in(&sandbox.repo, "sh", &["-c", command]).expect(0);
    sandbox.parallel(&["cleanup"]).expect(0).tells(&["removed the record"]);
    assert_eq!(sandbox.git(&["for-each-ref", "refs/parallel/"]), "");
}

#[test]
fn retry_keeps_the_strategy() {
    let sandbox = Sandbox::new();
    let agent = r#"echo "$task" > "$task"; commit "One"; echo 2 >> "$task"; commit "Two"; [ -e "$IO/go" ]"#;
    run(&sandbox, "squash", &["a"], agent, 1);
    sandbox.mark("go");
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    sandbox.parallel(&["retry", "a"]).expect(0);
    sandbox.check(&before);
    assert_eq!(hows(&sandbox), ["squash"]);
    assert_eq!(sandbox.git(&["rev-list", "--count", &format!("{old}..main")]), "1");
}

#[test]
fn nothing_is_landed_that_changes_nothing() {
    let sandbox = Sandbox::new();
    let old = sandbox.oid("main");
    let agent = r#"echo x > x; commit "Do"; git rm -q x; commit "Undo""#;
    run(&sandbox, "squash", &["a"], agent, 0);
    sandbox.expect_states(&[("a", "unchanged")]);
    assert_eq!(sandbox.oid("main"), old);
    assert!(sandbox.has_ref("refs/heads/feature/a"), "its commits are nowhere else");
}

#[test]
fn sha256_repositories() {
    for strategy in STRATEGIES {
        let sandbox = Sandbox::with("shop", &["--object-format=sha256"]);
        let code = if strategy == "ff-only" { 1 } else { 0 };
        run(&sandbox, strategy, &["a", "b", "c"], TWO_COMMITS, code);
        assert_eq!(sandbox.oid("main").len(), 64);
    }
}

#[test]
fn a_bare_repository() {
    for strategy in ["squash", "rebase"] {
        let source = Sandbox::new();
        source.write(".gitattributes", "log merge=union\n");
        source.write("log", "x\n");
        source.commit_all("Attributes");
        let bare = source.root.join("bare.git");
        source.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
        source.identify(&bare);
        let agent = source.agent(r#"echo "$task" >> log; commit"#);
        let mut args = vec!["run", "-y", "--sequential", "--into", "main", "--strategy", strategy, "a", "b"];
        args.extend(["--", agent.to_str().unwrap()]);
        source.parallel_in(&bare, &args).expect(0);
        assert_eq!(source.git_in(&bare, &["show", "main:log"]), "x\na\nb");
        assert_eq!(source.git_in(&bare, &["rev-list", "--merges", "main"]), "");
    }
}

#[test]
fn signing_is_asked_for_each_commit() {
    for strategy in ["squash", "rebase"] {
        let sandbox = Sandbox::new();
        let old = sandbox.oid("main");
        sandbox.write("ahead", "ahead\n");
        sandbox.commit_all("Ahead");
        let agent = sandbox.agent(&format!("git config --worktree x.y z 2>/dev/null || :; {TWO_COMMITS}"));
        // A signer that counts; git wants a status line and a signature of it.
        let signer = sandbox.script(
            &sandbox.root.join("bin/signer"),
            r#"cat > /dev/null; echo signed >> "$IO/signed"
               echo "[GNUPG:] SIG_CREATED D 1 8 00 0 0" >&2; echo "-----BEGIN PGP SIGNATURE-----"; echo x
               echo "-----END PGP SIGNATURE-----""#,
        );
        sandbox.git(&["config", "gpg.program", signer.to_str().unwrap()]);
        sandbox.git(&["config", "commit.gpgSign", "true"]);
        let before = sandbox.snapshot();
        let range = format!("{}..main", sandbox.oid("main"));
        let output = sandbox.run(&["--strategy", strategy, "--base", &old, "a"], &agent).expect(0);
        sandbox.check_run(&before, &output);
        let landed = sandbox.git(&["rev-list", &range]);
        for commit in landed.lines() {
            assert!(sandbox.git(&["cat-file", "-p", commit]).contains("gpgsig"), "{strategy}: {commit}");
        }
        assert!(
            sandbox.read_io("signed").lines().count() > landed.lines().count(),
            "the agent's are signed too"
        );
    }
}
