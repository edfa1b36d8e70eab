//! Branches, HEAD, the target, the stash and the configuration, in the hands of an agent.

use crate::support::{Story, is_kept, reason, scene, sound, tell, tell_in};

#[test]
fn commits_on_a_detached_head_are_pinned_and_named() {
    // 32
    let story = tell("git checkout -q --detach; echo x >x; commit detached-work", &[]);
    let story = story.bad_is("held", &["detached HEAD"]).kept();
    assert!(is_kept(&story.sandbox, "detached-work"));
    assert!(!story.sandbox.has("x"), "not landed");
}

#[test]
fn commits_on_another_branch_are_pinned_and_named() {
    // 33
    let story = tell("git checkout -q -b elsewhere; echo x >x; commit other-work", &[]);
    let story = story.bad_is("held", &["is on 'elsewhere'"]).kept_by_us();
    assert!(is_kept(&story.sandbox, "other-work"));
    // Even if that branch goes.
    story.sandbox.git(&["update-ref", "-d", "refs/heads/elsewhere"]);
    assert!(is_kept(&story.sandbox, "other-work"));
}

#[test]
fn a_rewritten_branch_lands_as_it_is_now() {
    // 36
    let bad =
        "echo 1 >one; git add -A; git commit -qm one; git reset -q --hard HEAD~2; echo 2 >two; commit two";
    let story = tell(bad, &[]).bad_is("landed", &[]).kept();
    assert!(story.sandbox.has("two") && !story.sandbox.has("one"));
    assert!(story.sandbox.has("shared.txt"), "what the target had stays");
}

#[test]
fn a_deleted_branch_comes_back() {
    // 37
    let story = tell("echo x >x; commit deleted-work; git update-ref -d refs/heads/feature/bad", &[]);
    let story = story.bad_is("held", &["deleted branch 'feature/bad'", "it is back at"]).kept();
    let sandbox = &story.sandbox;
    assert_eq!(sandbox.git(&["log", "-1", "--format=%s", "feature/bad"]), "deleted-work");
    sandbox.parallel(&["land", "bad"]).expect(0);
    assert_eq!(sandbox.state("bad"), "landed");
    sandbox.check(&story.before);
}

#[test]
fn a_branch_deleted_from_a_detached_head_is_pinned() {
    // 37
    let bad = "echo x >x; commit deleted-work; git checkout -q --detach; git branch -qD feature/bad";
    let story = tell(bad, &[]).bad_is("held", &[]).kept();
    assert!(is_kept(&story.sandbox, "deleted-work"));
}

#[test]
fn a_target_that_an_agent_commits_to_is_merged_with() {
    // 38
    // A landing may hold the index of the user's checkout for an instant.
    let bad = "echo x >x; commit; cd \"$GIT_PARALLEL_ROOT\"; echo evil >evil; until git add evil; do sleep 0.02; done; \
               until git commit -qm evil; do sleep 0.02; done; log_commit";
    let story = tell(bad, &[]).bad_is("landed", &[]);
    let sandbox = &story.sandbox;
    assert!(is_kept(sandbox, "evil") && sandbox.has("evil") && sandbox.has("x"));
    story.kept();
}

#[test]
fn a_target_that_was_moved_by_its_ref_alone_loses_nothing() {
    // 38: the ref moves under the user's checkout, whose files stay behind.
    let bad = "echo x >x; commit; new=$(git commit-tree -p main -m evil 'main^{tree}'); \
               echo $new >>$IO/commits; git update-ref refs/heads/main $new";
    let story = tell(bad, &[]).bad_is("landed", &[]).kept();
    assert!(is_kept(&story.sandbox, "evil"));
}

#[test]
fn a_target_that_was_reset_gets_its_commits_back() {
    // 38
    let bad =
        "echo x >x; commit; until git -C \"$GIT_PARALLEL_ROOT\" reset -q --hard HEAD~1; do sleep 0.02; done";
    let story = tell(bad, &[]).bad_is("landed", &[]).kept();
    assert!(story.sandbox.has("shared.txt"));
}

#[test]
fn a_target_that_is_gone_holds_the_work() {
    // 38: nothing can land, and that is neither "no changes" nor a success.
    let sandbox = scene();
    sandbox.git(&["branch", "goal"]);
    let agent = sandbox.agent("echo x >$task.txt; commit; git update-ref -d refs/heads/goal; mark gone$task; await gonebad; await gonegood");
    let Story { sandbox, output, .. } = tell_in(sandbox, &agent, &["--into", "goal"]);
    let output = output.expect(1).tells(&["branch 'goal' is gone"]);
    sandbox.expect_states(&[("bad", "held"), ("good", "held")]);
    assert!(!output.all().contains("no changes"), "{}", output.all());
    assert!(sandbox.has_ref("refs/heads/feature/bad") && sandbox.worktree("bad").join("bad.txt").exists());
    sandbox.check_commits();
    sound(&sandbox);
    // It comes back, and all can be landed.
    sandbox.git(&["branch", "goal", "main"]);
    sandbox.parallel(&["land"]).expect(0);
    sandbox.expect_states(&[("bad", "landed"), ("good", "landed")]);
}

#[test]
fn what_is_half_done_is_named_and_not_landed() {
    // 39
    let admin = "$(git rev-parse --git-dir)";
    let two = "echo 1 >shared.txt; git commit -qam one; log_commit; git checkout -q -b tmp HEAD~1; \
               echo 2 >shared.txt; git commit -qam two; log_commit; git checkout -q feature/bad;";
    let cases = [
        (format!("echo x >x; commit; touch {admin}/index.lock"), "index is locked"),
        (format!("echo x >x; commit; git rev-parse HEAD >{admin}/MERGE_HEAD"), "a merge is not finished"),
        (format!("{two} git merge -q tmp >/dev/null || :"), "a merge is not finished"),
        (format!("{two} git rebase -q tmp 2>/dev/null >&2 || :"), "a rebase is not finished"),
        (format!("{two} git cherry-pick tmp 2>/dev/null >&2 || :"), "a cherry-pick is not finished"),
        (format!("{two} git revert --no-edit HEAD~1 2>/dev/null >&2 || :"), "a revert is not finished"),
    ];
    std::thread::scope(|scope| {
        for (bad, words) in &cases {
            scope.spawn(move || {
                let story = tell(bad, &[]).bad_is("held", &[words]).kept_by_us();
                assert!(story.sandbox.worktree("bad").join("shared.txt").exists());
                assert!(!story.sandbox.has("x"), "{words}: not landed");
                assert_eq!(story.sandbox.read("shared.txt"), "base\n");
            });
        }
    });
}

#[test]
fn a_stash_of_an_agents_loses_none_of_the_users() {
    // 41
    let sandbox = scene();
    let users = sandbox.oid("stash@{0}");
    let agent = crate::support::hostile(&sandbox, "echo x >x; commit; echo y >shared.txt; git stash -q");
    let story = tell_in(sandbox, &agent, &[]).bad_is("landed", &[]);
    let list = story.sandbox.git(&["stash", "list", "--format=%H"]);
    assert_eq!(list.lines().count(), 2);
    assert!(list.contains(&users));
    sound(&story.sandbox);
}

#[test]
fn a_stash_that_an_agent_took_is_told() {
    // 41
    let story = tell("git stash pop -q; commit", &[]);
    let words = story.output.all();
    assert!(words.contains("stash"), "{words}");
}

#[test]
fn spoilt_configuration_damages_nothing_of_the_users() {
    // 42
    let spoil = [
        ("core.bare", "true"),
        ("core.hooksPath", "/nonexistent/hooks"),
        ("core.worktree", "/nonexistent/worktree"),
        ("core.worktree", "$IO"),
        ("core.bare", "nonsense"),
        ("extensions.worktreeConfig", "true"),
    ];
    std::thread::scope(|scope| {
        for (key, value) in spoil {
            scope.spawn(move || {
                let story =
                    tell(&format!("echo x >x; commit; mark spoilt; git config {key} \"{value}\""), &[]);
                let Story { sandbox, before, output } = &story;
                assert!(matches!(output.code, 0 | 1), "{key}={value}: {}", output.all());
                // The user repairs it, and all is as it was, and what landed is there.
                let config = sandbox.common_dir().join("config");
                let file = config.to_str().unwrap();
                sandbox.run_in(&sandbox.root, "git", &["config", "--file", file, "--unset-all", key]);
                if key == "core.bare" {
                    sandbox.run_in(&sandbox.root, "git", &["config", "--file", file, key, "false"]).expect(0);
                }
                let status = sandbox.git(&["status", "--porcelain"]);
                assert_eq!(status, "?? notes.txt", "{key}={value}: {}", output.all());
                sandbox.check_processes();
                sandbox.check_commits();
                sandbox.check_landings(before);
                sound(sandbox);
                assert!(fsempty(&sandbox.root.join("io")), "{key}={value}: files in a foreign place");
                for task in ["bad", "good"] {
                    let state = sandbox.state(task);
                    assert!(state == "landed" || !reason(sandbox, task).is_empty(), "{task}: {state}");
                }
            });
        }
    });
}

/// Whether nothing but what the agents themselves put there is in the directory.
fn fsempty(io: &std::path::Path) -> bool {
    let known = ["commits", "spoilt"];
    std::fs::read_dir(io).unwrap().flatten().all(|e| known.iter().any(|name| e.file_name() == *name))
}

#[test]
fn spoilt_configuration_is_noticed() {
    // 42
    let story = tell("echo x >x; commit; git config core.bare true", &[]);
    story.output.tells(&["core.bare"]);
}

#[test]
fn hooks_of_an_agents_choice_are_not_run_by_us() {
    // 42
    // An agent's own git may run it.
    let hook = "mkdir $IO/hooks; printf '#!/bin/sh\\necho by \"${GIT_PARALLEL_TASK-us}\" >>%s/ran\\n' \"$IO\" >$IO/hooks/reference-transaction; \
                chmod +x $IO/hooks/*; echo x >x; commit; git config core.hooksPath $IO/hooks";
    let story = tell(hook, &["-j1"]);
    let ran = story.sandbox.read_io("ran");
    assert!(ran.contains("by good") && !ran.contains("by us"), "{ran}");
}

#[test]
fn gc_and_prune_take_nothing_that_is_pinned() {
    // 43: the sweeper starts when the detached work is pinned.
    let sandbox = scene();
    let agent = sandbox.agent(
        "case $task in
         bad) git checkout -q --detach; echo x >x; commit detached-work;;
         *) until git for-each-ref | grep -q bad/detached; do sleep 0.02; done
            git worktree prune; git reflog expire --expire=now --all; git gc -q --prune=now
            echo good >good.txt; commit;;
         esac",
    );
    let story = tell_in(sandbox, &agent, &[]).bad_is("held", &[]);
    assert!(is_kept(&story.sandbox, "detached-work"));
    story.sandbox.check_commits();
    sound(&story.sandbox);
}

#[test]
fn the_branch_of_a_siblings_worktree_is_changed() {
    // 40
    let sandbox = scene();
    let agent = sandbox.agent(
        "case $task in
         bad) await third; echo x >x; commit; git -C ../third checkout -q -b stolen; mark stolen;;
         third) echo t >t; commit; mark third; await stolen; echo u >u; commit more-of-third;;
         *) echo good >good.txt; commit;;
         esac",
    );
    let before = sandbox.snapshot();
    let output = sandbox.run(&["-j3", "bad", "good", "third"], &agent).expect(1);
    let story = Story { sandbox, before, output };
    let story = story.good_landed().kept_by_us();
    story.sandbox.expect_states(&[("bad", "landed"), ("good", "landed"), ("third", "held")]);
    story.output.clone().tells(&["is on 'stolen'"]);
    assert!(is_kept(&story.sandbox, "more-of-third"));
}
