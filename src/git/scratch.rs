//! A linked worktree of our own, detached, for work that needs files: a conflict to be settled, a candidate
//! to be tried.
//!
//! It is made when it is first wanted and taken again after that: what git ignores in it (the caches of a
//! build) stays from one use to the next, everything else is as the commit has it. A file in its git
//! directory marks it as ours, so that nothing of anybody else's is ever reset or removed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::removal::{finish_removal, make_writable, remove};
use super::stale_locks::clear_own_locks;
use super::status::changes_in;
use super::worktree::{Sight, admin_dir, bookkeeping, inspect, same_place, take_back, worktree_at};
use super::{Git, Repository, index};
use crate::run::Oid;
use crate::sys;

/// The file in a scratch worktree's git directory that says what it is, and holds its [`shape`]. ([`super::recover()`] removes files
/// there whose names begin with `parallel-`.)
const MARK: &str = "git-parallel-scratch";

/// How long a git is waited for that a dead supervisor left at work there.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an operation that was not finished leaves in a git directory (`wt-status.c`, `branch.c`). A
/// `MERGE_RR` above all: the next merge would have rerere learn from files that were reset meanwhile.
const UNFINISHED: [&str; 12] = [
    "MERGE_RR",
    "MERGE_HEAD",
    "MERGE_MSG",
    "MERGE_MODE",
    "MERGE_AUTOSTASH",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "BISECT_LOG",
    "BISECT_START",
    "rebase-merge",
    "rebase-apply",
    "sequencer",
];

/// A scratch worktree, there or still to be made.
pub struct Scratch {
    repo: Repository,
    path: PathBuf,
}

impl Scratch {
    /// The scratch worktree at `path`. One that an earlier supervisor left is taken as it is; nothing is
    /// made before the first [`Scratch::reset_to`].
    ///
    /// # Errors
    /// If something else is at that path, or a git of a dead supervisor does not end there.
    pub fn open(repo: &Repository, path: &Path) -> Result<Scratch> {
        let scratch = Scratch { repo: repo.clone(), path: path.to_owned() };
        if scratch.look()?.is_some() {
            scratch.wait_for_quiet()?;
        }
        Ok(scratch)
    }

    /// Its top directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its git directory.
    ///
    /// # Errors
    /// If it is not there.
    pub fn git_dir(&self) -> Result<PathBuf> {
        self.look()?.with_context(|| format!("{} is gone", self.path.display()))
    }

    /// git, at work in it, without the user's hooks: it is not the user who works here.
    ///
    /// # Errors
    /// If it is not there.
    pub fn git(&self) -> Result<Git> {
        let git = Git::new().work_tree(&self.path, &self.git_dir()?).retry_locks();
        Ok(git.args(["-c", "core.hooksPath=/dev/null"]))
    }

    /// Puts exactly this commit there, detached, whatever was done in it before: what git ignores stays,
    /// all else is as after a fresh checkout.
    ///
    /// # Errors
    /// If it can't be made or written.
    pub fn reset_to(&self, commit: &Oid) -> Result<()> {
        match self.look()? {
            Some(admin) if fs::read(admin.join(MARK)).is_ok_and(|made| made == shape(&admin)) => {}
            Some(_) => {
                self.remove()?;
                self.make(commit)?;
            }
            None => self.make(commit)?,
        }
        if matches!(self.bring_to(commit), Ok(true)) {
            return Ok(());
        }
        // Directories that can't be written in, an index that lies or is damaged.
        let _ = make_writable(&self.path);
        let _ = fs::remove_file(self.git_dir()?.join("index"));
        if matches!(self.bring_to(commit), Ok(true)) {
            return Ok(());
        }
        self.remove()?;
        self.make(commit)?;
        // Some files differ as soon as git has written them, by their line endings for instance. Made anew,
        // it is as good as any worktree.
        self.bring_to(commit).map(drop)
    }

    /// Removes it, files and all.
    ///
    /// # Errors
    /// As [`super::remove`].
    pub fn remove(&self) -> Result<()> {
        discard_scratch(&self.repo, &self.path).map(drop)
    }

    /// The git directory of what is there; `None` if there is nothing yet, or only what a crash left of
    /// making it.
    fn look(&self) -> Result<Option<PathBuf>> {
        let path = &self.path;
        let foreign = |why: &str| format!("{} is in the way: {why}", path.display());
        match path.symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("cannot look at {}", path.display())),
            Ok(meta) if !meta.is_dir() => bail!(foreign("it is no directory")),
            Ok(_) => {}
        }
        let known = worktree_at(&self.repo, path)?.map(|worktree| worktree.admin_dir);
        if let Some(admin) = known.as_ref().filter(|admin| is_scratch(admin)) {
            if !self.is_linked(admin) {
                link(path, admin)?;
            }
            return match inspect(path, admin) {
                Sight::Ours => Ok(Some(admin.clone())),
                Sight::Foreign(why) => bail!(foreign(&why)),
                Sight::Missing | Sight::Symlink => bail!(foreign("it was replaced")),
            };
        }
        let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
        let only_link = entries.flatten().all(|entry| entry.file_name() == ".git");
        let worktrees = self.repo.common_dir.join("worktrees");
        let leads_here = match admin_dir(path) {
            Ok(admin) => admin.parent().is_some_and(|parent| same_place(parent, &worktrees)),
            Err(_) => path.join(".git").symlink_metadata().is_err(),
        };
        if only_link && leads_here { Ok(None) } else { bail!(foreign("git parallel did not make it")) }
    }

    fn is_linked(&self, admin: &Path) -> bool {
        admin_dir(&self.path).is_ok_and(|named| same_place(&named, admin))
    }

    fn make(&self, commit: &Oid) -> Result<()> {
        take_back(&self.repo, &self.path, None);
        let made = self.register(commit);
        made.inspect_err(|_| take_back(&self.repo, &self.path, None))
    }

    fn register(&self, commit: &Oid) -> Result<()> {
        let _guard = bookkeeping();
        // Called from the user's worktree, whose sparse checkout it inherits, as the tasks' worktrees do.
        let from = if self.repo.git_dir.is_dir() { &self.repo.git_dir } else { &self.repo.common_dir };
        let git = Git::new().git_dir(from).retry_locks();
        let git = git.args(["worktree", "add", "-q", "--detach", "--no-checkout", "--"]);
        git.arg(&self.path).arg(commit.as_str()).ok()?;
        let admin = admin_dir(&self.path)?;
        let mark = admin.join(MARK);
        fs::write(&mark, shape(&admin)).with_context(|| format!("cannot write {}", mark.display()))
    }

    /// Brings files, index and HEAD to the commit; whether `git status` finds nothing after that.
    fn bring_to(&self, commit: &Oid) -> Result<bool> {
        let admin = self.git_dir()?;
        clear_own_locks(&admin);
        for name in UNFINISHED {
            let path = admin.join(name);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        let sparse = self.git()?.args(["config", "--type=bool", "core.sparseCheckout"]).output()?;
        let sparse = sparse.stdout.trim_ascii() == b"true";
        if self.index_hides(&admin, sparse) {
            let _ = fs::remove_file(admin.join("index"));
        }
        let checkout = self.git()?.args(["checkout", "-f", "-q", "--detach", "--no-recurse-submodules"]);
        checkout.arg(commit.as_str()).arg("--").ok()?;
        if sparse {
            // A merge writes files beyond the patterns where they collide.
            self.git()?.args(["sparse-checkout", "reapply"]).ok()?;
        }
        self.git()?.args(["clean", "-ffdq"]).ok()?;
        self.remove_pipes(&admin);
        Ok(changes_in(&self.path, &admin)?.is_empty())
    }

    fn entries(&self, admin: &Path) -> Result<Vec<index::Entry>> {
        let git = || Git::new().work_tree(&self.path, admin).read_only();
        index::read(&admin.join("index"), self.repo.gix().object_hash(), || Ok(git()))
    }

    /// git does not see pipes and sockets; who makes one again would find it taken.
    fn remove_pipes(&self, admin: &Path) {
        let Ok(entries) = self.entries(admin) else { return };
        let dirs = entries.iter().flat_map(|entry| entry.path.as_path().ancestors().skip(1));
        let dirs: BTreeSet<&Path> = dirs.collect();
        for entry in dirs.iter().flat_map(|dir| fs::read_dir(self.path.join(dir))).flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| !kind.is_file() && !kind.is_dir() && !kind.is_symlink()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Whether the index hides changes from git, or can't be read.
    fn index_hides(&self, admin: &Path, sparse: bool) -> bool {
        let entries = self.entries(admin);
        let is_there = |entry: &index::Entry| self.path.join(entry.path.as_path()).symlink_metadata().is_ok();
        entries.is_ok_and(|all| all.iter().any(|entry| entry.hidden && (!sparse || is_there(entry))))
    }

    fn wait_for_quiet(&self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while sys::git_at_work(std::slice::from_ref(&self.path)) {
            if Instant::now() > end {
                bail!("a git is still at work in {}", self.path.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// What makes a checkout there differ from one elsewhere, if a command changes it: its own settings, and the
/// patterns of a sparse checkout.
fn shape(admin: &Path) -> Vec<u8> {
    let read = |name: &str| fs::read(admin.join(name)).unwrap_or_default();
    [read("config.worktree"), read("info/sparse-checkout")].join(&0)
}

/// Makes the directory the worktree again that git knows it as, whatever somebody made of its `.git`.
fn link(path: &Path, admin: &Path) -> Result<()> {
    let link = path.join(".git");
    if link.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        make_writable(&link)?;
        fs::remove_dir_all(&link).with_context(|| format!("cannot remove {}", link.display()))?;
    } else {
        let _ = fs::remove_file(&link);
    }
    let line = [b"gitdir: ", admin.as_os_str().as_encoded_bytes(), b"\n"].concat();
    fs::write(&link, line).with_context(|| format!("cannot write {}", link.display()))
}

/// Removes the scratch worktree at `path`, whole or half made or half removed; whether there was one. What
/// is none stays.
///
/// # Errors
/// If it can't be removed; the error names where it is.
pub fn discard_scratch(repo: &Repository, path: &Path) -> Result<bool> {
    finish_removal(repo, path);
    let scratch = Scratch { repo: repo.clone(), path: path.to_owned() };
    match scratch.look() {
        Ok(Some(_)) => {
            scratch.wait_for_quiet()?;
            remove(repo, path).map(|()| true)
        }
        Ok(None) => {
            let there = path.symlink_metadata().is_ok();
            take_back(repo, path, None);
            Ok(there)
        }
        Err(_) => Ok(false),
    }
}

/// Whether the git directory is that of a scratch worktree.
pub fn is_scratch(git_dir: &Path) -> bool {
    git_dir.join(MARK).exists()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::git::testing::{Sandbox, git_in};
    use crate::git::worktrees;

    struct Fixture {
        sandbox: Sandbox,
        path: PathBuf,
        one: Oid,
        two: Oid,
    }

    impl Fixture {
        fn new() -> Fixture {
            let sandbox = Sandbox::new();
            sandbox.write(".gitignore", "cache/\n*.o\n");
            sandbox.write("dir/a", "one\n");
            sandbox.write("run.sh", "#!/bin/sh\n");
            let one = sandbox.commit("one");
            let two =
                sandbox.commit_aside(&one, "echo two >dir/a; echo new >new; rm README; chmod +x run.sh");
            Fixture { path: sandbox.root().join("wts/.settle"), sandbox, one, two }
        }

        fn scratch(&self) -> Scratch {
            Scratch::open(&self.sandbox.repository(), &self.path).unwrap()
        }

        fn git(&self, args: &[&str]) -> String {
            git_in(&self.path, args)
        }

        /// That it is exactly at the commit, and that git finds nothing else in it.
        #[track_caller]
        fn is_at(&self, commit: &Oid) {
            assert_eq!(self.git(&["rev-parse", "HEAD"]), commit.as_str());
            assert_eq!(self.git(&["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
            assert_eq!(self.git(&["status", "--porcelain=v1", "-uall"]), "");
            // By content, not by what the index remembers.
            self.git(&["update-index", "--no-assume-unchanged", "dir/a"]);
            self.git(&["update-index", "--really-refresh"]);
            assert_eq!(self.git(&["diff-files", "--name-only"]), "");
            assert_eq!(self.git(&["write-tree"]), self.sandbox.rev(&format!("{commit}^{{tree}}")));
        }
    }

    fn chmod(path: impl AsRef<Path>, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn made_reset_and_removed() {
        let f = Fixture::new();
        let scratch = f.scratch();
        assert!(!f.path.exists(), "nothing is made before it is wanted");
        scratch.reset_to(&f.one).unwrap();
        f.is_at(&f.one);
        fs::create_dir(f.path.join("cache")).unwrap();
        fs::write(f.path.join("cache/warm"), "").unwrap();
        let inode = |file: &str| std::os::unix::fs::MetadataExt::ino(&f.path.join(file).metadata().unwrap());
        let before = inode(".gitignore");
        scratch.reset_to(&f.two).unwrap();
        f.is_at(&f.two);
        assert!(f.path.join("cache/warm").exists(), "ignored files stay");
        assert_eq!(inode(".gitignore"), before, "what is the same is not written again");
        f.scratch().reset_to(&f.one).unwrap();
        f.is_at(&f.one);
        scratch.remove().unwrap();
        assert!(!f.path.exists());
        assert_eq!(worktrees(&f.sandbox.repository()).unwrap().len(), 1);
        assert!(!discard_scratch(&f.sandbox.repository(), &f.path).unwrap());
        f.sandbox.fsck();
    }

    #[test]
    fn whatever_a_command_did_is_gone() {
        let f = Fixture::new();
        let scratch = f.scratch();
        scratch.reset_to(&f.one).unwrap();
        let path = &f.path;
        fs::write(path.join("junk"), "x").unwrap();
        fs::create_dir_all(path.join("more/junk")).unwrap();
        fs::write(path.join("more/junk/x"), "x").unwrap();
        git_in(path, &["init", "-q", "nested/inner"]);
        fs::write(path.join("nested/inner/f"), "x").unwrap();
        fs::remove_file(path.join("README")).unwrap();
        chmod(path.join("run.sh"), 0o755);
        chmod(path.join("dir/a"), 0o000);
        fs::create_dir(path.join("locked")).unwrap();
        fs::write(path.join("locked/f"), "x").unwrap();
        chmod(path.join("locked"), 0o555);
        chmod(path.join("dir"), 0o555);
        scratch.reset_to(&f.one).unwrap();
        f.is_at(&f.one);
        assert!(!path.join("nested").exists() && !path.join("more").exists());
    }

    #[test]
    fn an_index_that_lies_is_not_believed() {
        let f = Fixture::new();
        let scratch = f.scratch();
        for flag in ["--assume-unchanged", "--skip-worktree"] {
            scratch.reset_to(&f.one).unwrap();
            f.git(&["update-index", flag, "dir/a"]);
            fs::write(f.path.join("dir/a"), "hidden").unwrap();
            scratch.reset_to(&f.one).unwrap();
            assert_eq!(fs::read_to_string(f.path.join("dir/a")).unwrap(), "one\n", "{flag}");
            f.is_at(&f.one);
        }
        fs::write(scratch.git_dir().unwrap().join("index"), "garbage").unwrap();
        scratch.reset_to(&f.two).unwrap();
        f.is_at(&f.two);
    }

    #[test]
    fn unfinished_operations_commits_and_locks_are_left() {
        let f = Fixture::new();
        let scratch = f.scratch();
        let other = f.sandbox.commit_aside(&f.one, "echo three >dir/a");
        scratch.reset_to(&f.two).unwrap();
        let merged = scratch.git().unwrap().args(["merge", "-q", other.as_str()]).output().unwrap();
        assert_eq!(merged.code, Some(1));
        scratch.reset_to(&f.one).unwrap();
        f.is_at(&f.one);
        let admin = scratch.git_dir().unwrap();
        assert_eq!(crate::git::operation_in_progress(&admin), None);
        let rebased = scratch.git().unwrap().args(["checkout", "-q", "-B", "b", other.as_str()]).ok();
        rebased.unwrap();
        let rebased = scratch.git().unwrap().args(["rebase", "-q", f.two.as_str()]).output().unwrap();
        assert_ne!(rebased.code, Some(0));
        fs::write(admin.join("index.lock"), "").unwrap();
        scratch.reset_to(&f.one).unwrap();
        f.is_at(&f.one);
        assert_eq!(crate::git::operation_in_progress(&admin), None);
        assert_eq!(f.sandbox.rev("b"), other.as_str(), "a branch is not reset with it");
        fs::remove_file(f.path.join(".git")).unwrap();
        scratch.reset_to(&f.two).unwrap();
        f.is_at(&f.two);
        fs::remove_dir_all(&f.path).unwrap();
        scratch.reset_to(&f.two).unwrap();
        f.is_at(&f.two);
    }

    #[test]
    fn what_only_this_worktree_has_is_as_it_was() {
        let f = Fixture::new();
        let scratch = f.scratch();
        scratch.reset_to(&f.one).unwrap();
        f.git(&["sparse-checkout", "set", "--no-cone", "/run.sh"]);
        f.git(&["config", "--worktree", "core.autocrlf", "true"]);
        assert!(!f.path.join("dir/a").exists());
        scratch.reset_to(&f.one).unwrap();
        f.is_at(&f.one);
        assert!(f.path.join("dir/a").exists());
        assert_eq!(f.sandbox.git(&["config", "--default", "", "core.autocrlf"]), "");
    }

    #[test]
    fn another_repository_in_its_place_and_pipes_are_gone() {
        let f = Fixture::new();
        let scratch = f.scratch();
        scratch.reset_to(&f.one).unwrap();
        fs::remove_file(f.path.join(".git")).unwrap();
        f.git(&["init", "-q"]);
        scratch.reset_to(&f.two).unwrap();
        f.is_at(&f.two);
        fs::write(f.path.join(".git"), "gitdir: ../../shop/.git\n").unwrap();
        scratch.reset_to(&f.one).unwrap();
        f.is_at(&f.one);
        for name in ["pipe", "dir/pipe"] {
            drop(std::os::unix::net::UnixListener::bind(f.path.join(name)).unwrap());
        }
        scratch.reset_to(&f.two).unwrap();
        assert!(!f.path.join("pipe").exists() && !f.path.join("dir/pipe").exists());
        fs::remove_file(f.path.join(".git")).unwrap();
        f.git(&["init", "-q"]);
        scratch.remove().unwrap();
        assert!(!f.path.exists());
        f.sandbox.fsck();
    }

    #[test]
    fn hooks_do_not_run_and_rerere_learns_nothing_from_a_reset() {
        let f = Fixture::new();
        f.sandbox.git(&["config", "rerere.enabled", "true"]);
        f.sandbox.write(".git/hooks/post-checkout", "#!/bin/sh\ntouch HOOKED\n");
        chmod(f.sandbox.repo.join(".git/hooks/post-checkout"), 0o755);
        let other = f.sandbox.commit_aside(&f.one, "echo three >dir/a");
        let scratch = f.scratch();
        for _ in 0..2 {
            scratch.reset_to(&f.two).unwrap();
            assert!(!f.path.join("HOOKED").exists());
            scratch.git().unwrap().args(["merge", "-q", other.as_str()]).output().unwrap();
        }
        let recorded = fs::read_dir(f.sandbox.repo.join(".git/rr-cache")).unwrap().flatten();
        for conflict in recorded {
            assert!(!conflict.path().join("postimage").exists());
        }
    }

    #[test]
    fn a_sparse_checkout_stays_sparse() {
        let f = Fixture::new();
        let other = f.sandbox.commit_aside(&f.one, "echo three >dir/a");
        f.sandbox.git(&["sparse-checkout", "set", "--no-cone", "/*", "!/dir/"]);
        let scratch = f.scratch();
        scratch.reset_to(&f.two).unwrap();
        assert!(!f.path.join("dir").exists() && f.path.join("new").exists());
        fs::create_dir(f.path.join("cache")).unwrap();
        fs::write(f.path.join("cache/warm"), "").unwrap();
        scratch.git().unwrap().args(["merge", "-q", other.as_str()]).output().unwrap();
        assert!(f.path.join("dir/a").exists());
        scratch.reset_to(&f.one).unwrap();
        assert_eq!(f.git(&["status", "--porcelain", "-uall"]), "");
        assert!(!f.path.join("dir").exists() && f.path.join("README").exists());
        assert!(f.path.join("cache/warm").exists());
    }

    #[test]
    fn what_is_somebody_elses_is_refused_and_stays() {
        let f = Fixture::new();
        let repo = f.sandbox.repository();
        let refused = |what: &str| {
            let error = Scratch::open(&repo, &f.path).err().unwrap().to_string();
            assert!(error.contains("is in the way"), "{what}: {error}");
            assert!(!discard_scratch(&repo, &f.path).unwrap(), "{what}");
            assert!(f.path.symlink_metadata().is_ok(), "{what}");
        };
        f.sandbox.git(&["worktree", "add", "-q", "--detach", f.path.to_str().unwrap()]);
        refused("a worktree of the user's");
        f.sandbox.git(&["worktree", "remove", f.path.to_str().unwrap()]);
        fs::create_dir_all(&f.path).unwrap();
        fs::write(f.path.join("file"), "").unwrap();
        refused("a directory");
        fs::remove_dir_all(&f.path).unwrap();
        git_in(f.sandbox.root(), &["init", "-q", f.path.to_str().unwrap()]);
        refused("another repository");
        fs::remove_dir_all(&f.path).unwrap();
        std::os::unix::fs::symlink(&f.sandbox.repo, &f.path).unwrap();
        refused("a symbolic link");
    }

    #[test]
    fn what_a_crash_left_is_taken_or_removed() {
        let f = Fixture::new();
        let repo = f.sandbox.repository();
        let path = f.path.to_str().unwrap();
        // Before it was marked; while git had it locked; half removed; removed but for git's folder.
        f.sandbox.git(&["worktree", "add", "-q", "--detach", "--no-checkout", path]);
        f.scratch().reset_to(&f.one).unwrap();
        f.is_at(&f.one);
        assert!(discard_scratch(&repo, &f.path).unwrap());
        f.sandbox.git(&["worktree", "add", "-q", "--detach", "--no-checkout", "--lock", path]);
        assert!(discard_scratch(&repo, &f.path).unwrap());
        f.scratch().reset_to(&f.two).unwrap();
        fs::rename(&f.path, f.path.with_file_name("..settle.x1.trash")).unwrap();
        discard_scratch(&repo, &f.path).unwrap();
        assert_eq!(fs::read_dir(f.path.parent().unwrap()).unwrap().count(), 0);
        f.scratch().reset_to(&f.two).unwrap();
        fs::remove_dir_all(&f.path).unwrap();
        discard_scratch(&repo, &f.path).unwrap();
        assert_eq!(worktrees(&repo).unwrap().len(), 1);
        assert!(!f.sandbox.repo.join(".git/worktrees").exists());
    }
}
