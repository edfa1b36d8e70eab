//! Worktrees that an agent removes, swaps or fills with what git can't take.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Story, hostile, is_kept, scene, sound, tell, tell_in};

#[test]
fn a_deleted_worktree_keeps_its_branch() {
    // 34
    let story = tell("echo x >x; commit gone-work; rm -rf \"$GIT_PARALLEL_WORKTREE\"", &[]);
    let story = story.bad_is("held", &["is gone"]).kept_by_us();
    assert_eq!(story.sandbox.git(&["log", "-1", "--format=%s", "feature/bad"]), "gone-work");
    // A person may land it nevertheless.
    story.sandbox.parallel(&["land", "bad"]).expect(0);
    assert!(story.sandbox.has("x"));
}

#[test]
fn a_deleted_worktree_that_landed_leaves_nothing() {
    // 34
    let story = tell("echo x >x; commit; rm -rf \"$GIT_PARALLEL_WORKTREE\"", &[]);
    story.sandbox.parallel(&["land", "bad"]).expect(0);
    story.sandbox.parallel(&["cleanup"]).expect(0);
    sound(&story.sandbox);
    assert_eq!(story.sandbox.git(&["worktree", "list"]).lines().count(), 1);
    assert!(!story.sandbox.has_ref("refs/heads/feature/bad"));
    assert_eq!(story.sandbox.git(&["for-each-ref", "refs/parallel"]), "");
}

#[test]
fn a_lost_git_file_leads_nowhere() {
    // 35: what was not committed stays where it is.
    let story = tell("echo x >x; commit; echo precious >uncommitted; rm .git", &[]);
    let story = story.bad_is("held", &[".git file is gone"]).kept_by_us();
    let file = story.sandbox.worktree("bad").join("uncommitted");
    assert_eq!(fs::read_to_string(file).unwrap(), "precious\n");
    assert!(!story.sandbox.has("uncommitted"));
}

#[test]
fn a_git_file_that_leads_elsewhere_is_not_followed() {
    // 35: to the user's own repository, to a sibling's worktree, to a fresh repository, by a link.
    let elsewhere = [
        "echo \"gitdir: $GIT_PARALLEL_ROOT/.git\" >.git",
        "echo \"gitdir: $GIT_PARALLEL_ROOT/.git/worktrees/good\" >.git",
        "rm .git; git init -q",
        "rm .git; ln -s \"$GIT_PARALLEL_ROOT/.git\" .git",
        "cp .git ../saved; rm .git; ln -s ../saved .git",
    ];
    std::thread::scope(|scope| {
        for lead in elsewhere {
            scope.spawn(move || {
                let story = tell(&format!("echo x >x; commit; echo y >uncommitted; {lead}"), &[]);
                let story = story.bad_is("held", &["its branch is kept"]).kept_by_us();
                assert!(!story.sandbox.has("uncommitted") && !story.sandbox.has("x"), "{lead}");
                assert!(story.sandbox.worktree("bad").join("uncommitted").exists(), "{lead}");
            });
        }
    });
}

#[test]
fn a_worktree_replaced_by_a_link_is_not_entered() {
    // 35: to the user's checkout, and to a directory with files.
    std::thread::scope(|scope| {
        for place in ["$GIT_PARALLEL_ROOT", "$IO/precious"] {
            scope.spawn(move || {
                let bad = format!(
                    "echo x >x; commit linked-work; mkdir $IO/precious; echo 1 >$IO/precious/file
                     cd ..; mv bad $IO/moved; ln -s \"{place}\" bad"
                );
                let story = tell(&bad, &[]).bad_is("held", &["was replaced by a symbolic link"]).kept_by_us();
                let sandbox = &story.sandbox;
                assert!(is_kept(sandbox, "linked-work"));
                assert_eq!(fs::read_dir(sandbox.io("precious")).unwrap().count(), 1);
                // No command follows the link, not even by force.
                sandbox.parallel(&["cleanup"]);
                sandbox.parallel(&["cleanup", "--force", "bad"]);
                assert_eq!(sandbox.read_io("precious/file"), "1\n");
                assert!(sandbox.worktree("bad").is_symlink());
                sandbox.check_users_things(&story.before);
                assert!(is_kept(sandbox, "linked-work"));
            });
        }
    });
}

#[test]
fn another_repository_in_its_place_is_not_touched() {
    // 35
    let bad = "echo x >x; commit; cd ..; rm -rf bad; git init -q bad; cd bad; echo 1 >file; git add file; \
               git -c user.name=a -c user.email=b commit -qm other; echo 2 >file; echo 3 >more; git rev-parse HEAD >$IO/other";
    let story = tell(bad, &[]).bad_is("held", &["is not what it was"]).kept_by_us();
    let sandbox = &story.sandbox;
    sandbox.parallel(&["cleanup"]);
    sandbox.parallel(&["cleanup", "--force", "bad"]);
    sandbox.parallel(&["land", "bad"]);
    let other = sandbox.worktree("bad");
    assert_eq!(sandbox.git_in(&other, &["rev-parse", "HEAD"]), sandbox.read_io("other").trim());
    assert_eq!(sandbox.git_in(&other, &["status", "--porcelain"]), " M file\n?? more");
    assert!(!sandbox.has("more"));
}

#[test]
fn a_worktree_that_git_has_forgotten_keeps_its_files() {
    // 35, 43
    let bad = "echo x >x; commit; echo 1 >uncommitted; cd ..; mv bad $IO/away; \
               git -C \"$GIT_PARALLEL_ROOT\" worktree prune; mv $IO/away bad";
    let story = tell(bad, &[]).bad_is("held", &["no worktree of this repository any more"]).kept_by_us();
    let file = story.sandbox.worktree("bad").join("uncommitted");
    assert!(file.exists());
    story.sandbox.parallel(&["cleanup"]);
    story.sandbox.parallel(&["cleanup", "--force", "bad"]);
    assert!(file.exists());
}

#[test]
fn a_siblings_worktree_is_deleted() {
    // 34, 40
    let sandbox = scene();
    let agent = sandbox.agent(
        "case $task in
         bad) await third; echo x >x; commit; rm -rf ../third; mark deleted;;
         third) echo t >t; commit third-work; mark third; await deleted;;
         *) echo good >good.txt; commit;;
         esac",
    );
    let before = sandbox.snapshot();
    let output = sandbox.run(&["-j3", "bad", "good", "third"], &agent).expect(1);
    let story = Story { sandbox, before, output }.good_landed().kept_by_us();
    story.sandbox.expect_states(&[("bad", "landed"), ("good", "landed"), ("third", "held")]);
    assert!(is_kept(&story.sandbox, "third-work"));
}

#[test]
fn a_half_deleted_tree_is_not_landed() {
    // 44, 29
    let story = tell("echo x >x; commit half-work; rm -rf README.md src; exit 7", &[]);
    let story = story.bad_is("failed", &["exit 7", "output.log", "shop.worktrees/bad"]).kept();
    assert!(is_kept(&story.sandbox, "half-work"));
    assert!(story.sandbox.has("README.md") && story.sandbox.has("src/db.rs"));
    assert!(story.sandbox.worktree("bad").join("x").exists());
}

#[test]
fn a_repository_inside_is_named_and_its_files_stay() {
    let story = tell("git init -q inner; echo 1 >inner/file; echo y >y", &[]);
    let story = story.bad_is("held", &["a repository of its own: inner/"]).kept();
    story.sandbox.parallel(&["cleanup"]);
    assert!(story.sandbox.worktree("bad").join("inner/file").exists());
}

#[test]
fn a_committed_repository_inside_keeps_the_worktree() {
    // git records a bare commit id; the files are in the worktree and nowhere else.
    let bad = "git init -q inner; cd inner; git config user.name a; git config user.email b; echo 1 >file; \
               git add file; git commit -qm inner; cd ..; git add inner 2>/dev/null; git commit -qm gitlink; log_commit";
    let story = tell(bad, &[]).bad_is("landed", &["a repository inside: inner"]);
    story.sandbox.parallel(&["cleanup"]);
    assert!(story.sandbox.worktree("bad").join("inner/file").exists());
}

#[test]
fn what_can_not_be_read_is_kept() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root can read everything");
        return;
    }
    let bad =
        "echo x >x; commit; mkdir shut; echo 1 >shut/file; echo 2 >secret-file; chmod 000 shut secret-file";
    let story = tell(bad, &[]);
    let story = story.bad_is("held", &["its work could not be looked at"]);
    let path = story.sandbox.worktree("bad").join("shut");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(path.join("file").exists());
    story.kept();
}

#[test]
fn directories_without_write_permission_do_not_stop_the_clean_up() {
    let story = tell("mkdir -p ro/deep; echo 1 >ro/deep/file; commit; chmod -R a-w ro", &[]);
    let story = story.bad_is("landed", &[]).kept();
    assert!(!story.sandbox.worktree("bad").exists());
}

#[test]
fn a_thousand_untracked_files_are_committed() {
    many_untracked(1000);
}

#[test]
#[ignore = "long"]
fn five_thousand_untracked_files_are_committed() {
    many_untracked(5000);
}

#[track_caller]
fn many_untracked(count: usize) {
    let bad = format!("mkdir m; seq {count} | split -l1 -a4 - m/f");
    let story = tell(&bad, &[]).bad_is("landed", &[&format!("committed {count} leftover files")]).kept();
    assert_eq!(fs::read_dir(story.sandbox.repo.join("m")).unwrap().count(), count);
}

#[test]
fn odd_names_and_odd_files_are_kept() {
    // Names with control characters and bytes that are no UTF-8; links that lead out; a FIFO, a socket's kin.
    let bad = "printf 1 >\"$(printf 'a\\033[31mb')\"; printf 2 >\"$(printf 'c\\377d')\"; printf 3 >'new
line'; ln -s /etc/passwd link; ln -s \"$GIT_PARALLEL_ROOT\" root; mkfifo fifo; : >-rf; : >--force; commit";
    let story = tell(bad, &[]);
    let output = story.output.clone();
    assert!(!output.all().contains('\u{1b}'), "{}", output.all());
    let story = story.good_landed();
    assert!(story.sandbox.has("--force") && story.sandbox.repo.join("link").is_symlink());
    assert!(story.sandbox.has("notes.txt") && story.sandbox.has(".git"));
    sound(&story.sandbox);
    story.sandbox.check_processes();
}

#[test]
fn hooks_that_fail_do_not_lose_work() {
    // The user's own hooks, as strict as they like: the agent's leftovers are kept, whatever they say.
    let sandbox = scene();
    sandbox.hook("pre-commit", "[ \"${GIT_PARALLEL_TASK-}\" = good ] || exit 1");
    let agent = hostile(&sandbox, "echo x >x");
    tell_in(sandbox, &agent, &[]).bad_is("landed", &["committed 1 leftover file"]).kept();
}
