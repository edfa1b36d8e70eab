//! Landing: the target gets exactly the merge, the user's checkout loses nothing, conflicts are escalated.

#![allow(clippy::disallowed_methods)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use common::{Sandbox, journal, wait_until};

/// Appends a line to the file that its task's name ends with, and commits.
const EDITS_DB: &str = r#"sed -i "s/^five$/five by $task/" src/db.rs; commit"#;

/// One that lands, then one that collides with it: `first` and `second`, both edit the same line.
fn collide(sandbox: &Sandbox) -> common::Output {
    let agent = sandbox.agent(EDITS_DB);
    sandbox.run(&["--sequential", "first", "second"], &agent)
}

#[test]
fn tasks_land_in_the_order_they_finish_in() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent = sandbox.agent(r#"await "go-$task"; echo "$task" > "$task"; commit"#);
    let running = sandbox.spawn_run(&["a", "b", "c"], &agent);
    for task in ["c", "a", "b"] {
        sandbox.mark(&format!("go-{task}"));
        wait_until("it lands", || sandbox.has(task));
    }
    let output = running.wait().expect(0);
    sandbox.check_run(&before, &output);
    let events = journal(&sandbox.record());
    let landed: Vec<(&str, &str)> = events
        .iter()
        .filter(|event| event["event"] == "landed")
        .map(|event| (event["task"].as_str().unwrap(), event["landing"]["how"].as_str().unwrap()))
        .collect();
    assert_eq!(landed, [("c", "fast-forward"), ("a", "merge"), ("b", "merge")]);
    let subjects = sandbox.git(&["log", "--first-parent", "--format=%s", "-n3"]);
    let expected = "Merge branch 'feature/b' into main\nMerge branch 'feature/a' into main\nwork of c";
    assert_eq!(subjects, expected);
}

#[test]
fn merges_are_the_users_own_commits() {
    let sandbox = Sandbox::new();
    sandbox.git(&["config", "author.name", "Ann Author"]);
    sandbox.git(&["config", "committer.email", "committer@example.org"]);
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--no-ff", "a"], &sandbox.simple_agent()).expect(0);
    sandbox.check_run(&before, &output);
    let people = sandbox.git(&["show", "-s", "--format=%an <%ae>%n%cn <%ce>"]);
    assert_eq!(people, "Ann Author <ann@example.org>\nAnn User <committer@example.org>");
}

/// The environment names who commits, as for git itself; agents see the same.
#[test]
fn the_identity_may_come_from_the_environment() {
    let mut sandbox = Sandbox::new();
    sandbox.git(&["config", "--unset", "user.name"]);
    sandbox.git(&["config", "--unset", "user.email"]);
    for (key, value) in [
        ("GIT_AUTHOR_NAME", "Env"),
        ("GIT_AUTHOR_EMAIL", "env@example.org"),
        ("GIT_COMMITTER_NAME", "Env"),
        ("GIT_COMMITTER_EMAIL", "env@example.org"),
        ("GIT_AUTHOR_DATE", "2020-01-02T03:04:05Z"),
        ("GIT_COMMITTER_DATE", "2020-01-02T03:04:05Z"),
    ] {
        sandbox.set_env(key, value);
    }
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--no-ff", "a"], &sandbox.simple_agent()).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(
        sandbox.git(&["show", "-s", "--format=%cn %ce %cI"]),
        "Env env@example.org 2020-01-02T03:04:05Z"
    );
}

/// Fault 51: what the landing does not touch is not touched.
#[test]
fn edited_staged_and_untracked_files_of_the_user_survive() {
    let sandbox = Sandbox::new();
    sandbox.write("staged", "old\n");
    sandbox.commit_all("Second");
    sandbox.write("stashed", "stashed\n");
    sandbox.git(&["stash", "push", "-q", "--include-untracked"]);
    sandbox.write("README.md", "edited\n");
    sandbox.write("staged", "staged\n");
    sandbox.git(&["add", "staged"]);
    sandbox.write("staged", "staged, then edited\n");
    sandbox.write("untracked", "untracked\n");
    sandbox.write("secret/key", "ignored\n");
    sandbox.git(&["rm", "-q", "--cached", ".gitignore"]);
    let before = sandbox.snapshot();
    let agent = sandbox.agent(EDITS_DB);
    sandbox.run(&["a"], &agent).expect(3).tells(&["--allow-dirty", ".gitignore and 2 more"]);
    let output = sandbox.run(&["--allow-dirty", "a"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert!(sandbox.read("src/db.rs").contains("five by a"), "a clean file follows");
    assert!(!sandbox.has("stashed"));
}

/// Faults 51 and 52.
#[test]
fn files_in_the_way_are_named_and_left_alone_and_the_task_lands_later() {
    let agent = r#"case $task in
        edited) echo new > README.md ;;
        untracked) echo new > mine ;;
        ignored) echo new > mine.log; git add -f mine.log ;;
        folder) mkdir mine; echo new > mine/file ;;
        gone) git rm -q src/db.rs ;;
        esac; commit"#;
    let cases = [
        ("edited", "README.md"),
        ("untracked", "mine"),
        ("ignored", "mine.log"),
        ("folder", "mine"),
        ("gone", "src/db.rs"),
    ];
    for (task, path) in cases {
        let sandbox = Sandbox::new();
        sandbox.write(path, "the user's\n");
        let before = sandbox.snapshot();
        let old = sandbox.oid("main");
        let output = sandbox.run(&["--allow-dirty", task], &sandbox.agent(agent)).expect(1);
        sandbox.check_run(&before, &output);
        sandbox.expect_states(&[(task, "held")]);
        assert_eq!(sandbox.oid("main"), old, "{task}");
        assert_eq!(sandbox.read(path), "the user's\n", "{task}");
        let asked = format!("git parallel land {task}");
        output.tells(&[path, &asked]);
        sandbox.parallel(&["land", task]).expect(1).tells(&[path]);
        sandbox.check(&before);

        if ["edited", "gone"].contains(&task) {
            sandbox.git(&["checkout", "-q", "--", path]);
        } else {
            fs::remove_file(sandbox.repo.join(path)).unwrap();
        }
        let before = sandbox.snapshot();
        sandbox.parallel(&["land", task]).expect(0);
        sandbox.check(&before);
        sandbox.expect_states(&[(task, "landed")]);
        assert_ne!(sandbox.oid("main"), old, "{task}");
        assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
    }
}

/// Seen elsewhere 11: the target is fixed when the run starts.
#[test]
fn a_target_that_is_not_checked_out_moves_alone() {
    let sandbox = Sandbox::new();
    sandbox.git(&["branch", "develop"]);
    sandbox.git(&["switch", "-q", "-c", "mine"]);
    sandbox.write("README.md", "edited\n");
    let before = sandbox.snapshot();
    let mine = sandbox.oid("mine");
    let output = sandbox.run(&["--into", "develop", "--allow-dirty", "a", "b"], &sandbox.simple_agent());
    let output = output.expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.show("develop", "a.txt"), "a\n");
    assert!(!sandbox.has("a.txt"));
    assert_eq!(sandbox.oid("mine"), mine);
}

/// Seen elsewhere 11.
#[test]
fn the_user_may_switch_branch_or_detach_during_the_run() {
    let sandbox = Sandbox::new();
    sandbox.git(&["branch", "mine"]);
    let old = sandbox.oid("main");
    let before = sandbox.snapshot();
    let agent = sandbox.agent(r#"mark "up-$task"; await "go-$task"; echo "$task" > "$task"; commit"#);
    let running = sandbox.spawn_run(&["a", "b", "c"], &agent);
    // Any git fails that reads `.git/worktrees` while a `git worktree add` writes there.
    ["a", "b", "c"].iter().for_each(|task| sandbox.await_mark(&format!("up-{task}")));
    sandbox.git(&["switch", "-q", "mine"]);
    sandbox.mark("go-a");
    wait_until("a lands", || sandbox.oid("main") != old);
    assert!(!sandbox.has("a"), "a is not for this checkout");
    assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
    sandbox.git(&["switch", "-q", "--detach", "main"]);
    let now = sandbox.oid("main");
    sandbox.mark("go-b");
    wait_until("b lands", || sandbox.oid("main") != now);
    assert_eq!(sandbox.oid("HEAD"), now, "a detached HEAD stays");
    assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
    sandbox.git(&["switch", "-q", "main"]);
    sandbox.mark("go-c");
    let output = running.wait().expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.oid("mine"), old);
    assert!(sandbox.has("a") && sandbox.has("b") && sandbox.has("c"), "the checkout follows again");
}

/// Fault 45.
#[test]
fn what_the_user_commits_meanwhile_is_merged_with() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"mark up; await go; sed -i "s/^one$/uno/" src/db.rs; commit"#);
    let running = sandbox.spawn_run(&["a"], &agent);
    sandbox.await_mark("up");
    sandbox.write("mine", "mine\n");
    sandbox.write("src/db.rs", sandbox.read("src/db.rs").replace("nine", "ten"));
    let mine = sandbox.commit_all("Meanwhile");
    let before = sandbox.snapshot();
    sandbox.mark("go");
    let output = running.wait().expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.oid("main^1"), mine);
    let text = sandbox.read("src/db.rs");
    assert!(text.starts_with("uno\n") && text.ends_with("ten\n"), "{text}");
    assert_eq!(sandbox.read("mine"), "mine\n");
}

#[test]
fn a_target_in_another_linked_worktree_is_followed_there() {
    let sandbox = Sandbox::new();
    let other = sandbox.root.join("other");
    sandbox.git(&["worktree", "add", "-q", "-b", "dev", other.to_str().unwrap()]);
    fs::write(other.join("README.md"), "edited there\n").unwrap();
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--into", "dev", "--allow-dirty", "a"], &sandbox.simple_agent()).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(fs::read_to_string(other.join("a.txt")).unwrap(), "a\n");
    assert_eq!(fs::read_to_string(other.join("README.md")).unwrap(), "edited there\n");
    assert_eq!(sandbox.git_in(&other, &["status", "--porcelain"]), " M README.md");
    assert!(!sandbox.has("a.txt"));
}

/// Fault 47; seen elsewhere: a task whose merge failed marked completed.
#[test]
fn a_conflict_is_escalated_and_touches_nothing() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let output = collide(&sandbox).expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("first", "landed"), ("second", "conflicted")]);
    let task = sandbox.task("second");
    assert_eq!(task["conflicts"], serde_json::json!(["src/db.rs"]));
    assert!(!sandbox.read("src/db.rs").contains("<<<<"));
    assert!(!fs::read_to_string(sandbox.worktree("second").join("src/db.rs")).unwrap().contains("<<<<"));
    assert_eq!(sandbox.git_in(&sandbox.worktree("second"), &["status", "--porcelain"]), "");
    output.tells(&[
        "second: conflict with first in src/db.rs",
        "conflict in src/db.rs (landed by first)",
        "git parallel resolve second   then   git parallel land second",
    ]);
}

#[test]
fn a_conflict_with_the_user_is_not_blamed_on_a_task() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(&format!("mark up; await go; {EDITS_DB}"));
    let running = sandbox.spawn_run(&["a"], &agent);
    sandbox.await_mark("up");
    sandbox.write("src/db.rs", sandbox.read("src/db.rs").replace("five", "fünf"));
    sandbox.commit_all("Meanwhile");
    let before = sandbox.snapshot();
    sandbox.mark("go");
    let output = running.wait().expect(1);
    sandbox.check_run(&before, &output);
    output.tells(&["conflict in src/db.rs (on main)"]);
}

#[test]
fn a_resolved_conflict_lands() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    collide(&sandbox).expect(1);
    let old = sandbox.oid("main");
    let with = r#"env | grep ^GIT_PARALLEL_ | cut -d= -f1 | sort > ../../io/env; pwd > ../../io/pwd
                  printf %s "$GIT_PARALLEL_CONFLICTS" > ../../io/conflicts
                  grep -q '^<<<<<<<' src/db.rs && sed -i '/^[<=>]\{7\}/d' src/db.rs && git add -A"#;
    let with = with.replace("../../io", sandbox.root.join("io").to_str().unwrap());
    let output = sandbox.parallel(&["resolve", "second", "--with", &with]).expect(0);
    output.tells(&["git parallel land second"]);
    sandbox.check(&before);
    assert_eq!(sandbox.oid("main"), old, "resolving lands nothing");
    assert_eq!(sandbox.read_io("pwd").trim(), sandbox.worktree("second").to_str().unwrap());
    assert_eq!(sandbox.read_io("conflicts"), "src/db.rs\n");
    assert!(sandbox.read_io("env").contains("GIT_PARALLEL_TASK\n"), "{}", sandbox.read_io("env"));
    sandbox.parallel(&["land", "second"]).expect(0);
    sandbox.check(&before);
    sandbox.expect_states(&[("first", "landed"), ("second", "landed")]);
    let text = sandbox.read("src/db.rs");
    assert!(text.contains("five by second\nfive by first\n"), "{text}");
    assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
    assert!(!sandbox.worktrees().exists());
    sandbox.parallel(&["resolve", "second", "--with", "true"]).expect(1).tells(&["landed"]);
}

/// The order of parents tells which side was the target: also for a merge that was made by resolving.
#[test]
fn the_targets_first_parents_stay_the_targets() {
    let sandbox = Sandbox::new();
    collide(&sandbox).expect(1);
    let old = sandbox.oid("main");
    sandbox
        .parallel(&["resolve", "second", "--with", "git checkout -q --ours . && git commit -qam done"])
        .expect(0);
    sandbox.parallel(&["land", "second"]).expect(0);
    let line = sandbox.git(&["rev-list", "--first-parent", "main"]);
    assert!(line.lines().any(|commit| commit == old), "{line}");
}

/// Fault 48.
#[test]
fn land_refuses_markers_and_an_unfinished_merge() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    collide(&sandbox).expect(1);
    let old = sandbox.oid("main");
    // A resolver that does nothing, one that fails, one that stages the markers.
    sandbox
        .parallel(&["resolve", "second", "--with", "true"])
        .expect(1)
        .tells(&["not resolved", "src/db.rs"]);
    sandbox.parallel(&["resolve", "second", "--with", "exit 3"]).expect(1);
    sandbox.parallel(&["resolve", "second", "--with", "git add -A"]).expect(1).tells(&["src/db.rs"]);
    sandbox.parallel(&["land", "second"]).expect(1).tells(&["a merge is not finished"]);
    sandbox.check(&before);
    assert_eq!(sandbox.oid("main"), old);
    sandbox.git_in(&sandbox.worktree("second"), &["commit", "-q", "-a", "-m", "Markers and all"]);
    sandbox.parallel(&["land", "second"]).expect(1).tells(&["conflict markers", "src/db.rs"]);
    sandbox.check(&before);
    assert_eq!(sandbox.oid("main"), old);
    let fix = "sed -i '/^[<=>]\\{7\\}/d' src/db.rs && git commit -qam 'Better'";
    sandbox.run_in(&sandbox.worktree("second"), "sh", &["-c", fix]).expect(0);
    sandbox.parallel(&["land", "second"]).expect(0);
    sandbox.check(&before);
    assert!(sandbox.read("src/db.rs").contains("five by second"));
}

#[test]
fn a_conflict_that_is_none_any_more_needs_no_resolver() {
    let sandbox = Sandbox::new();
    collide(&sandbox).expect(1);
    sandbox.git(&["revert", "--no-edit", "HEAD"]);
    let before = sandbox.snapshot();
    let output = sandbox.parallel(&["resolve", "second", "--with", "exit 9"]).expect(0);
    output.tells(&["merges cleanly", "git parallel land second"]);
    sandbox.parallel(&["land", "second"]).expect(0);
    sandbox.check(&before);
    assert!(sandbox.read("src/db.rs").contains("five by second"));
}

/// A second `land` without resolving is the same conflict again, and nothing worse.
#[test]
fn landing_an_unresolved_conflict_again_changes_nothing() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    collide(&sandbox).expect(1);
    let refs = sandbox.refs();
    for _ in 0..2 {
        sandbox.parallel(&["land"]).expect(1).tells(&["conflict", "src/db.rs"]);
        sandbox.check(&before);
        sandbox.expect_states(&[("first", "landed"), ("second", "conflicted")]);
        assert_eq!(sandbox.refs(), refs);
    }
}

/// What lands is the tree of `git merge-tree`, and the checkout has it: [`Sandbox::check`] compares.
#[test]
fn all_kinds_of_changes_land_as_git_merges_them() {
    let sandbox = Sandbox::new();
    sandbox.write("tool", "#!/bin/sh\n");
    sandbox.write("plain", "plain\n");
    sandbox.write("moved/one", "one, and long enough to be known again\n");
    sandbox.write("moved/two", "two, and long enough to be known again\n");
    sandbox.write("becomes-dir", "file\n");
    sandbox.write("becomes-file/x", "x\n");
    sandbox.write("binary", [0u8, 159, 146, 150, 0, 10]);
    symlink("plain", sandbox.repo.join("link")).unwrap();
    let library = sandbox.root.join("library");
    sandbox.git(&["init", "-q", "-b", "main", library.to_str().unwrap()]);
    sandbox.identify(&library);
    sandbox.git_in(&library, &["commit", "-q", "--allow-empty", "-m", "One"]);
    let one = sandbox.git_in(&library, &["rev-parse", "HEAD"]);
    sandbox.git_in(&library, &["commit", "-q", "--allow-empty", "-m", "Two"]);
    let two = sandbox.git_in(&library, &["rev-parse", "HEAD"]);
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{one},lib")]);
    sandbox.git(&["commit", "-q", "-m", "All kinds"]);
    fs::create_dir(sandbox.repo.join("lib")).unwrap();
    let agent = sandbox.agent(&format!(
        r#"save() {{ git commit -q -m "$task"; log_commit; }}
        case $task in
        modes) chmod +x plain; git add plain; save ;;
        links) ln -sf tool link; ln -s nowhere dangling; git add link dangling; save ;;
        renames) git mv moved elsewhere; git mv elsewhere/one elsewhere/uno; save ;;
        edits) echo more >> moved/one; git add moved; save ;;
        binary) printf '\000\001\002' > binary; printf '\377\000' > fresh; git add binary fresh; save ;;
        kinds) git rm -q becomes-dir becomes-file/x; mkdir becomes-dir; echo d > becomes-dir/d
               echo f > becomes-file; git add becomes-dir becomes-file; save ;;
        module) git update-index --cacheinfo 160000,{two},lib; save ;;
        names) echo 1 > 'a b'; echo 2 > "$(printf 'caf\303\251')"; echo 3 > "$(printf 'bad\377')"
               echo 4 > "$(printf 'new\nline')"; echo 5 > -dash; git add -- 'a b' caf* bad* new* -dash; save ;;
        esac"#
    ));
    let before = sandbox.snapshot();
    let tasks = ["-j8", "modes", "links", "renames", "edits", "binary", "kinds", "module", "names"];
    let output = sandbox.run(&tasks, &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.task("module")["state"], "landed");
    assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
    assert_eq!(fs::metadata(sandbox.repo.join("plain")).unwrap().permissions().mode() & 0o111, 0o111);
    assert_eq!(fs::read_link(sandbox.repo.join("link")).unwrap().to_str(), Some("tool"));
    assert!(sandbox.read("elsewhere/uno").ends_with("more\n"), "an edit follows a rename");
    assert!(!sandbox.has("moved"));
    assert_eq!(fs::read(sandbox.repo.join("binary")).unwrap(), [0, 1, 2]);
    assert_eq!(sandbox.read("becomes-dir/d"), "d\n");
    assert_eq!(sandbox.read("becomes-file"), "f\n");
    assert_eq!(sandbox.git(&["ls-tree", "main", "lib"]), format!("160000 commit {two}\tlib"));
    assert_eq!(sandbox.read("new\nline"), "4\n");
}

/// The conflicts that have no markers.
#[test]
fn conflicts_of_other_kinds_are_escalated_too() {
    let cases = [
        ("deleted", "src/db.rs", r#"git rm -q src/db.rs; commit"#),
        ("binary", "blob", r#"printf '\000task' > blob; commit"#),
        ("kinds", "README.md", r#"rm README.md; mkdir README.md; echo x > README.md/x; commit"#),
        ("added", "fresh", r#"echo task > fresh; commit"#),
    ];
    for (task, path, body) in cases {
        let sandbox = Sandbox::new();
        sandbox.write("blob", [0u8, 1]);
        sandbox.commit_all("Second");
        let running = sandbox.spawn_run(&[task], &sandbox.agent(&format!("mark up; await go; {body}")));
        sandbox.await_mark("up");
        sandbox.write("src/db.rs", "mine\n");
        sandbox.write("blob", [0u8, 2]);
        sandbox.write("README.md", "mine\n");
        sandbox.write("fresh", "mine\n");
        sandbox.commit_all("Meanwhile");
        let before = sandbox.snapshot();
        sandbox.mark("go");
        let output = running.wait().expect(1);
        sandbox.check_run(&before, &output);
        sandbox.expect_states(&[(task, "conflicted")]);
        output.tells(&[path]);
        sandbox.parallel(&["resolve", task, "--with", "true"]).expect(1);
        sandbox.check_commits();
    }
}

/// Seen elsewhere 12. None of these is a hook that landing needs to ask.
#[test]
fn failing_merge_hooks_do_no_harm() {
    let sandbox = Sandbox::new();
    for hook in ["post-merge", "pre-merge-commit", "commit-msg", "pre-commit"] {
        sandbox.hook(hook, &format!("[ \"$(git rev-parse --git-dir)\" = .git ] && mark {hook}; exit 1"));
    }
    let before = sandbox.snapshot();
    let agent =
        sandbox.agent(r#"echo "$task" > "$task"; git add -A; git commit -q -n -m "$task"; log_commit"#);
    let output = sandbox.run(&["a", "b"], &agent);
    sandbox.check_run(&before, &output);
    assert!(!sandbox.has_ref("MERGE_HEAD"));
    assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
    for task in ["a", "b"] {
        assert!(["landed", "held"].contains(&sandbox.state(task).as_str()), "{}", output.all());
    }
}

/// Seen elsewhere 12: a hook that forbids the ref to move is obeyed, and nothing is half done.
#[test]
fn a_reference_transaction_hook_may_refuse() {
    let sandbox = Sandbox::new();
    let agent = sandbox.simple_agent();
    sandbox.hook(
        "reference-transaction",
        r#"[ "$1" = prepared ] || exit 0
           while read -r old new ref; do
               if [ "$ref" = refs/heads/main ]; then echo "main is closed" >&2; exit 1; fi
           done"#,
    );
    let before = sandbox.snapshot();
    let old = sandbox.oid("main");
    let output = sandbox.run(&["a"], &agent).expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "held")]);
    assert_eq!(sandbox.oid("main"), old);
    assert!(!sandbox.has("a.txt"));
    output.tells(&["main is closed"]);
    fs::remove_file(sandbox.repo.join(".git/hooks/reference-transaction")).unwrap();
    let before = sandbox.snapshot();
    sandbox.parallel(&["land"]).expect(0);
    sandbox.check(&before);
    assert_eq!(sandbox.read("a.txt"), "a\n");
}

/// Fault 58.
#[test]
fn ignored_files_keep_a_landed_worktree_unless_they_are_disposable() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(
        r#"mkdir -p target/debug node_modules/x; echo o > target/debug/o; echo n > node_modules/x/n
           [ "$task" = precious ] && { mkdir secret; echo key > secret/key; }
           echo x > "$task"; commit"#,
    );
    let before = sandbox.snapshot();
    let output = sandbox.run(&["precious", "plain"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert!(!sandbox.worktree("plain").exists());
    assert_eq!(fs::read_to_string(sandbox.worktree("precious").join("secret/key")).unwrap(), "key\n");
    output.tells(&["precious", "kept", "ignored files: secret/"]);
}

#[test]
fn what_is_disposable_can_be_configured() {
    let sandbox = Sandbox::new();
    sandbox.git(&["config", "parallel.disposable", "*.log"]);
    let agent = sandbox.agent(
        r#"[ "$task" = log ] && echo l > x.log || { mkdir target; echo o > target/o; }
           echo x > "$task"; commit"#,
    );
    let before = sandbox.snapshot();
    let output = sandbox.run(&["log", "build"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert!(!sandbox.worktree("log").exists());
    assert!(sandbox.worktree("build").join("target/o").exists());
}

/// The branch is worth more than its name: what was rewritten lands as it is now.
#[test]
fn a_task_that_merged_the_target_itself_lands_by_fast_forward() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(
        r#"echo "$task" > "$task"; commit
           [ "$task" = first ] && exit; git merge -q -m "Catch up" main; log_commit"#,
    );
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--sequential", "first", "second"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("first", "landed"), ("second", "landed")]);
    assert!(sandbox.has("first") && sandbox.has("second"));
}
