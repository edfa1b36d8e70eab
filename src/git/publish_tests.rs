use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::*;
use crate::git::testing::{Sandbox, git_in};

pub(in crate::git) const MAIN: &str = "refs/heads/main";

/// `main` checked out in the main worktree, with some files, and a commit on top of it made aside.
pub(in crate::git) struct Case {
    pub(in crate::git) sandbox: Sandbox,
    pub(in crate::git) old: Oid,
    pub(in crate::git) new: Oid,
}

impl Case {
    pub(in crate::git) fn new(script: &str) -> Self {
        let sandbox = Sandbox::new();
        for file in ["a", "b", "dir/x", "dir/y"] {
            sandbox.write(file, format!("{file}\n"));
        }
        sandbox.write(".gitignore", "*.ignored\n");
        let old = sandbox.commit("files");
        let new = sandbox.commit_aside(&old, script);
        Case { sandbox, old, new }
    }

    fn publish(&self) -> Published {
        publish(&self.sandbox.repository(), &MAIN.into(), &self.old, &self.new, "parallel: land a").unwrap()
    }

    /// Publishes, and expects it to have worked in the main worktree.
    fn lands(&self) {
        let updated_worktree = Some(self.sandbox.repo.clone());
        assert_eq!(self.publish(), Published::Done { updated_worktree });
        assert_eq!(self.sandbox.oid(MAIN), self.new);
        self.tidy();
    }

    /// Publishes, and expects a refusal for these paths, with everything as it was.
    fn refuses(&self, words: &str, expected: &[&str]) {
        let before = (self.sandbox.status(), self.sandbox.git(&["diff", "HEAD"]), self.listing());
        match self.publish() {
            Published::Refused { reason, paths } => {
                assert!(reason.contains(words), "{reason}");
                assert_eq!(
                    paths,
                    expected.iter().map(|&path| path.into()).collect::<Vec<Text>>(),
                    "{reason}"
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(before, (self.sandbox.status(), self.sandbox.git(&["diff", "HEAD"]), self.listing()));
        assert_eq!(self.sandbox.oid(MAIN), self.old);
        self.tidy();
    }

    pub(in crate::git) fn listing(&self) -> String {
        let mut find = std::process::Command::new("find");
        find.args([".", "-path", "./.git", "-prune", "-o", "-print"]).current_dir(&self.sandbox.repo);
        let listing = find.output().unwrap().stdout;
        let mut lines: Vec<String> = String::from_utf8(listing).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    }

    /// No lock and no half-made index stays behind, whatever happened.
    pub(in crate::git) fn tidy(&self) {
        let left: Vec<_> = fs::read_dir(self.sandbox.repo.join(".git")).unwrap().flatten().collect();
        let left: Vec<String> = left.iter().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        assert!(!left.iter().any(|n| n.ends_with(".lock") || n.starts_with("parallel")), "{left:?}");
        self.sandbox.fsck();
    }
}

#[test]
fn checked_out_nowhere_only_the_ref_moves() {
    let case = Case::new("echo new >a");
    case.sandbox.git(&["switch", "-q", "-c", "other"]);
    assert_eq!(case.publish(), Published::Done { updated_worktree: None });
    assert_eq!(case.sandbox.oid(MAIN), case.new);
    assert_eq!(case.sandbox.status(), "");
    assert_eq!(case.sandbox.git(&["log", "-1", "-g", "--format=%gs", "main"]), "parallel: land a");
    let again = publish(&case.sandbox.repository(), &MAIN.into(), &case.old, &case.new, "").unwrap();
    assert_eq!(again, Published::Moved(case.new.clone()));
}

#[test]
fn a_clean_checkout_follows() {
    let script = "echo new >a; rm b; rm -r dir; echo file >dir; mkdir -p n/m; echo n >n/m/o; chmod +x n/m/o; ln -s a l";
    let case = Case::new(script);
    case.lands();
    assert_eq!(case.sandbox.status(), "");
    assert_eq!(case.sandbox.read("dir"), "file\n");
    let mode = case.sandbox.repo.join("n/m/o").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
    assert_eq!(case.sandbox.repo.join("l").read_link().unwrap(), Path::new("a"));
    assert_eq!(case.sandbox.git(&["log", "-1", "-g", "--format=%gs", "HEAD"]), "parallel: land a");
}

#[test]
fn other_edits_survive_exactly() {
    let case = Case::new("echo new >a; echo more >c");
    case.sandbox.write("b", "edited\n");
    case.sandbox.write("dir/x", "staged\n");
    case.sandbox.git(&["add", "dir/x"]);
    case.sandbox.write("dir/x", "staged and edited\n");
    case.sandbox.write("untracked", "u");
    case.sandbox.write("dir/z.ignored", "i");
    fs::remove_file(case.sandbox.repo.join("dir/y")).unwrap();
    let before = case.sandbox.status();
    case.lands();
    assert_eq!(case.sandbox.status(), before);
    assert_eq!(case.sandbox.read("dir/x"), "staged and edited\n");
    assert_eq!(case.sandbox.git(&["show", ":dir/x"]), "staged");
    assert_eq!((case.sandbox.read("b"), case.sandbox.read("a")), ("edited\n".into(), "new\n".into()));
    assert_eq!(case.sandbox.read("dir/z.ignored"), "i");
}

#[test]
fn edited_staged_and_deleted_files_in_the_way_are_named() {
    let case = Case::new("echo new >a; echo new >b; echo new >dir/x; rm dir/y; echo c >c");
    case.sandbox.write("a", "edited\n");
    case.sandbox.write("b", "staged\n");
    case.sandbox.git(&["add", "b"]);
    case.sandbox.write("b", "b\n");
    fs::remove_file(case.sandbox.repo.join("dir/x")).unwrap();
    case.sandbox.write("c", "staged too\n");
    case.sandbox.git(&["add", "c"]);
    case.refuses("uncommitted changes", &["a", "b", "c", "dir/x"]);
}

#[test]
fn untracked_and_ignored_files_in_the_way_are_named() {
    let case =
        Case::new("echo n >new; echo i >x.ignored; mkdir -p p/q; echo r >p/q/r; echo s >same; echo z >dir/z");
    case.sandbox.write("new", "mine");
    case.sandbox.write("x.ignored", "mine");
    case.sandbox.write("p", "a file where a directory must be");
    case.sandbox.write("same", "s\n");
    symlink("/nonexistent", case.sandbox.repo.join("dir/z")).unwrap();
    case.refuses("git does not track", &["dir/z", "new", "p", "same", "x.ignored"]);
}

#[test]
fn what_lies_in_a_directory_that_becomes_a_file_is_in_the_way() {
    let case = Case::new("rm -r dir; echo file >dir");
    case.sandbox.write("dir/deep/k.ignored", "mine");
    case.refuses("git does not track", &["dir/deep/k.ignored"]);
    fs::remove_dir_all(case.sandbox.repo.join("dir/deep")).unwrap();
    case.sandbox.write("dir/staged", "mine");
    case.sandbox.git(&["add", "dir/staged"]);
    case.refuses("git does not track", &["dir/staged"]);
}

#[test]
fn ignored_files_in_a_directory_that_goes_may_stay() {
    let case = Case::new("rm -r dir");
    case.sandbox.write("dir/k.ignored", "mine");
    case.lands();
    assert_eq!(case.sandbox.read("dir/k.ignored"), "mine");
    assert_eq!(case.sandbox.status(), "");
}

#[test]
fn a_link_in_place_of_a_directory_is_not_followed() {
    let case = Case::new("echo n >dir/new; echo x >dir/x; mkdir e; echo e >e/f");
    let outside = case.sandbox.root().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, case.sandbox.repo.join("e")).unwrap();
    case.refuses("git does not track", &["e"]);
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
}

#[test]
fn a_touched_file_is_not_an_edited_one() {
    let case = Case::new("echo new >a");
    let file = fs::File::options().write(true).open(case.sandbox.repo.join("a")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(100)).unwrap();
    case.lands();
    assert_eq!(case.sandbox.status(), "");
}

#[test]
fn an_edit_of_the_same_size_in_the_same_instant_is_seen() {
    for _ in 0..5 {
        let case = Case::new("echo new >a; echo n >b");
        let index = case.sandbox.repo.join(".git/index");
        case.sandbox.write("a", "A\n");
        // As if index and edit had been written within one tick of the clock.
        let time = index.metadata().unwrap().modified().unwrap();
        fs::File::options()
            .write(true)
            .open(case.sandbox.repo.join("a"))
            .unwrap()
            .set_modified(time)
            .unwrap();
        case.refuses("uncommitted changes", &["a"]);
        assert_eq!(case.sandbox.read("a"), "A\n");
        // And an edit right after a landing is seen as well.
        case.sandbox.write("a", "a\n");
        case.lands();
        case.sandbox.write("a", "NEW\n");
        assert_eq!(case.sandbox.status(), " M a");
    }
}

#[test]
fn staged_just_as_it_comes_is_fine() {
    let case = Case::new("echo new >a; echo c >c");
    case.sandbox.write("a", "new\n");
    case.sandbox.write("c", "c\n");
    case.sandbox.git(&["add", "a", "c"]);
    case.sandbox.write("c", "c and more\n");
    case.lands();
    assert_eq!(case.sandbox.status(), " M c");
}

#[test]
fn a_held_index_lock_is_named_and_left() {
    let case = Case::new("echo new >a");
    let lock = case.sandbox.repo.join(".git/index.lock");
    fs::write(&lock, "somebody's").unwrap();
    let Published::Refused { reason, .. } = case.publish() else { panic!() };
    assert!(reason.contains("index.lock exists"), "{reason}");
    assert_eq!(fs::read(&lock).unwrap(), b"somebody's");
    assert_eq!(crate::git::recover(&case.sandbox.repository()).unwrap(), []);
    assert_eq!(fs::read(&lock).unwrap(), b"somebody's");
    fs::remove_file(lock).unwrap();
    case.lands();
}

#[test]
fn detached_heads_and_moved_targets() {
    let case = Case::new("echo new >a");
    case.sandbox.git(&["checkout", "-q", "--detach"]);
    assert_eq!(case.publish(), Published::Done { updated_worktree: None });
    assert_eq!(case.sandbox.read("a"), "a\n");
    let case = Case::new("echo new >a");
    let elsewhere = case.sandbox.commit("meanwhile");
    assert_eq!(case.publish(), Published::Moved(elsewhere.clone()));
    let repo = case.sandbox.repository();
    assert!(publish(&repo, &MAIN.into(), &elsewhere, &case.old, "").is_err(), "never backwards");
}

#[test]
fn a_linked_worktree_follows_and_two_are_refused() {
    let case = Case::new("echo new >a");
    let linked = case.sandbox.root().join("linked");
    case.sandbox.git(&["switch", "-q", "--detach"]);
    case.sandbox.git(&["worktree", "add", "-q", linked.to_str().unwrap(), "main"]);
    fs::create_dir(case.sandbox.repo.join(".git/worktrees/half")).unwrap();
    assert_eq!(case.publish(), Published::Done { updated_worktree: Some(linked.clone()) });
    assert_eq!(git_in(&linked, &["status", "--porcelain"]), "");
    assert_eq!(fs::read_to_string(linked.join("a")).unwrap(), "new\n");
    assert_eq!(case.sandbox.read("a"), "a\n");

    let case = Case::new("echo new >a");
    let linked = case.sandbox.root().join("linked");
    case.sandbox.git(&["worktree", "add", "-q", "-f", linked.to_str().unwrap(), "main"]);
    case.refuses("checked out twice", &[]);
}

#[test]
fn a_checkout_in_the_middle_of_something_is_refused() {
    let case = Case::new("echo new >a");
    let side = case.sandbox.commit_aside(&case.old, "echo side >b");
    case.sandbox.git(&["merge", "-q", "--no-ff", "--no-commit", side.as_str()]);
    case.refuses("a merge is in progress", &[]);
    case.sandbox.git(&["merge", "--abort"]);
    case.sandbox.git(&["-c", "sequence.editor=sed -i 1ibreak", "rebase", "-q", "-i", "HEAD~1"]);
    case.refuses("being rebased", &[]);
    case.sandbox.git(&["rebase", "--abort"]);
    case.lands();
}

#[test]
fn a_hook_that_declines_leaves_all_as_it_was() {
    let case = Case::new("echo new >a; rm b; echo c >c; rm -r dir; echo file >dir");
    let hook = case.sandbox.repo.join(".git/hooks/reference-transaction");
    fs::write(&hook, "#!/bin/sh\necho no thanks >&2\n[ $1 != prepared ]\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    case.refuses("no thanks", &[]);
    fs::remove_file(hook).unwrap();
    case.lands();
}

#[test]
fn a_failure_half_way_is_undone() {
    // The filter fails on the last file, after others have been written.
    let case =
        Case::new("echo new >a; rm b; echo c >c; mkdir n; echo n >n/n; rm -r dir; echo f >dir; echo z >zz");
    case.sandbox.git(&["config", "filter.bad.smudge", "false"]);
    case.sandbox.git(&["config", "filter.bad.required", "true"]);
    fs::write(case.sandbox.repo.join(".git/info/attributes"), "zz filter=bad\n").unwrap();
    let before = case.listing();
    let repo = case.sandbox.repository();
    let error = publish(&repo, &MAIN.into(), &case.old, &case.new, "").unwrap_err();
    assert!(crate::error::render(&error, || true).contains("the files are as they were"), "{error:?}");
    assert_eq!((case.sandbox.status(), case.listing()), (String::new(), before));
    assert_eq!(case.sandbox.oid(MAIN), case.old);
    case.tidy();
}

#[test]
fn sparse_checkouts_stay_sparse() {
    let case = Case::new("echo new >a; echo new >dir/x; echo new >dir/n");
    case.sandbox.git(&["sparse-checkout", "set", "--no-cone", "/*", "!/dir/"]);
    assert!(!case.sandbox.repo.join("dir").exists());
    case.lands();
    assert_eq!((case.sandbox.status(), case.sandbox.read("a")), (String::new(), "new\n".into()));
    assert!(!case.sandbox.repo.join("dir").exists());
}

/// A filter that does something to the repository while the files are being written.
fn meddle(case: &Case, command: &str) {
    case.sandbox.git(&["config", "filter.meddle.smudge", &format!("{command} >/dev/null; cat")]);
    fs::write(case.sandbox.repo.join(".git/info/attributes"), "a filter=meddle\nzz filter=meddle\n").unwrap();
}

#[test]
fn a_head_that_goes_away_meanwhile_takes_the_files_back() {
    let case = Case::new("echo new >a; rm b; echo c >c; rm -r dir; echo file >dir");
    case.sandbox.git(&["branch", "other"]);
    let before = case.listing();
    meddle(&case, "git symbolic-ref HEAD refs/heads/other");
    assert_eq!(case.publish(), Published::Done { updated_worktree: None });
    assert_eq!((case.sandbox.status(), case.listing()), (String::new(), before));
    assert_eq!(case.sandbox.oid(MAIN), case.new);
    case.tidy();
}

#[test]
fn a_target_that_moves_meanwhile_takes_the_files_back() {
    let case = Case::new("echo new >a; rm b; echo c >c");
    let before = case.listing();
    let other = case.sandbox.git(&["commit-tree", "-m", "other", "-p", "HEAD", "HEAD^{tree}"]);
    meddle(&case, &format!("git update-ref refs/heads/main {other}"));
    assert_eq!(case.publish(), Published::Moved(other.try_into().unwrap()));
    assert_eq!((case.sandbox.status(), case.listing()), (String::new(), before));
    case.tidy();
}

#[test]
fn an_edit_made_meanwhile_is_not_taken_back() {
    let case = Case::new("echo new >b; echo c >c; echo z >zz");
    case.sandbox.git(&["branch", "other"]);
    meddle(&case, "echo edited >c; git symbolic-ref HEAD refs/heads/other");
    publish(&case.sandbox.repository(), &MAIN.into(), &case.old, &case.new, "m").unwrap_err();
    assert_eq!((case.sandbox.read("c"), case.sandbox.read("b")), ("edited\n".into(), "b\n".into()));
    assert!(!case.sandbox.repo.join("zz").exists());
    case.tidy();
}

#[test]
fn indexes_of_every_kind_follow_and_show_what_is_in_the_way() {
    let setups: [&[&str]; 4] = [
        &["update-index", "--split-index"],
        &["update-index", "--index-version", "4"],
        &["sparse-checkout", "set", "--cone", "--sparse-index", "in"],
        &["update-index", "--untracked-cache"],
    ];
    for setup in setups {
        let case = Case::new("echo new >a; echo new >dir/x; rm b; mkdir in; echo c >in/c");
        case.sandbox.git(setup);
        case.sandbox.write("a", "edited\n");
        case.sandbox.write("b", "staged\n");
        case.sandbox.git(&["add", "b"]);
        case.refuses("uncommitted changes", &["a", "b"]);
        case.sandbox.git(&["checkout", "-q", "HEAD", "--", "a", "b"]);
        case.lands();
        assert_eq!((case.sandbox.status(), case.sandbox.read("a")), (String::new(), "new\n".into()));
        assert_eq!(case.sandbox.git(&["diff", "--cached", "--name-only", "HEAD"]), "", "{setup:?}");
    }
}

#[test]
fn names_that_could_be_misread_are_told_apart() {
    let case = Case::new("echo new >a; echo new >'other\na: needs update'; echo new >'b: needs update'");
    let script =
        "echo newer >a; echo newer >'other\na: needs update'; echo newer >'b: needs update'; echo newer >b";
    let case = Case { old: case.new.clone(), new: case.sandbox.commit_aside(&case.new, script), ..case };
    case.sandbox.git(&["reset", "-q", "--hard", case.old.as_str()]);
    case.sandbox.write("b: needs update", "edited\n");
    case.refuses("uncommitted changes", &["b: needs update"]);
    case.sandbox.git(&["checkout", "-q", "--", "."]);
    case.sandbox.write("other\na: needs update", "edited\n");
    case.refuses("uncommitted changes", &["other\na: needs update"]);
    case.sandbox.git(&["checkout", "-q", "--", "."]);
    case.lands();
}

#[test]
fn gitlinks_move_and_what_is_in_their_place_is_kept() {
    let case = Case::new("true");
    let link = |id: &Oid| {
        case.sandbox.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{id},sub")]);
        case.sandbox.git(&["commit", "-q", "-m", "submodule"]);
        case.sandbox.oid("HEAD")
    };
    let (old, new) = (link(&case.old), link(&case.new));
    case.sandbox.git(&["reset", "-q", "--hard", old.as_str()]);
    let case = Case { old, new, ..case };
    let _ = fs::remove_dir(case.sandbox.repo.join("sub"));
    case.sandbox.write("sub", "a file in its place");
    case.refuses("uncommitted changes", &["sub"]);
    fs::remove_file(case.sandbox.repo.join("sub")).unwrap();
    fs::create_dir(case.sandbox.repo.join("sub")).unwrap();
    case.lands();
    assert_eq!(case.sandbox.status(), "");
}

/// Files that are old enough to be known without asking git: what was done to them is seen all the same.
#[test]
fn files_that_were_not_touched_for_long_are_looked_at_too() {
    let aged = |what: &dyn Fn(&Case)| {
        let case = Case::new("echo new >a; echo new >dir/x; rm b");
        let old = SystemTime::now() - Duration::from_secs(3600);
        let age = |path: &str| {
            let file = fs::File::options().write(true).open(case.sandbox.repo.join(path)).unwrap();
            file.set_times(fs::FileTimes::new().set_modified(old)).unwrap();
        };
        ["a", "b", "dir/x", "dir/y"].iter().for_each(|path| age(path));
        case.sandbox.git(&["update-index", "--refresh"]);
        what(&case);
        case
    };
    aged(&|_| {}).lands();
    let in_the_way = "uncommitted changes to files that the landing changes too";
    aged(&|case| case.sandbox.write("a", "A\n")).refuses(in_the_way, &["a"]);
    aged(&|case| fs::remove_file(case.sandbox.repo.join("dir/x")).unwrap()).refuses(in_the_way, &["dir/x"]);
    let linked = |case: &Case| {
        let (dir, elsewhere) = (case.sandbox.repo.join("dir"), case.sandbox.repo.join("elsewhere"));
        fs::rename(&dir, elsewhere).unwrap();
        symlink("elsewhere", dir).unwrap();
    };
    aged(&linked).refuses(in_the_way, &["dir/x"]);
    aged(&|case| fs::set_permissions(case.sandbox.repo.join("a"), PermissionsExt::from_mode(0o755)).unwrap())
        .refuses(in_the_way, &["a"]);
}
