//! Linked worktrees: which there are, making one, and looking at one that an agent had its hands on.
//!
//! `git worktree add` and its kin read every folder in `.git/worktrees`, and fail on one that another of
//! them has only half written. So all that changes those folders goes through one lock of this process,
//! and is short: the checkout of the files comes afterwards, for many worktrees at once.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};

use super::hooks::may_run;
use super::refs::{Expect, Head, branch_tip, delete_ref, head, set_ref};
use super::{Blank, FanOut, Git, Repository};
use crate::run::{Oid, Text};

static BOOKKEEPING: Mutex<()> = Mutex::new(());

/// Held by whoever changes `.git/worktrees`.
pub(super) fn bookkeeping() -> MutexGuard<'static, ()> {
    BOOKKEEPING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reason for which git locks a worktree while it makes it.
pub(super) const MAKING: &[u8] = b"initializing";

/// A worktree as git knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Worktree {
    /// Its top directory. `None` for a main worktree that can't be found from here
    /// (see [`Repository::main_worktree`]).
    pub path: Option<PathBuf>,
    /// Its git directory: `.git/worktrees/NAME`, or the common directory.
    pub admin_dir: PathBuf,
    /// What is checked out there.
    pub head: Head,
    /// Why it is locked, if it is; the reason may be empty.
    pub locked: Option<Text>,
    /// It is the main worktree.
    pub is_main: bool,
}

impl Worktree {
    /// The branch that is checked out there, by its full name.
    pub fn branch(&self) -> Option<&Text> {
        match &self.head {
            Head::Branch(name) => Some(name),
            Head::Detached(_) => None,
        }
    }

    /// Its top directory, or its git directory where that can't be told.
    pub fn place(&self) -> &Path {
        self.path.as_deref().unwrap_or(&self.admin_dir)
    }

    /// Whether its files are there.
    pub fn is_present(&self) -> bool {
        self.path.as_deref().is_none_or(Path::is_dir)
    }
}

/// The linked worktree that git has at `path`.
///
/// # Errors
/// As [`worktrees`].
pub fn worktree_at(repo: &Repository, path: &Path) -> Result<Option<Worktree>> {
    Ok(worktrees(repo)?.into_iter().find(|w| !w.is_main && w.path.as_deref() == Some(path)))
}

/// Whether the branch of a new worktree is new as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewBranch {
    /// It is, and must not be there yet.
    Create,
    /// It is there, and stays where it is.
    Existing,
}

/// What is at a worktree's path now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sight {
    /// The worktree.
    Ours,
    /// Nothing.
    Missing,
    /// A symbolic link.
    Symlink,
    /// Something else, for this reason: git must not be run in it.
    Foreign(String),
}

/// All worktrees, the main one first. Read from the files themselves, so that a folder which some
/// `git worktree add` has only half written is left out instead of failing the whole list.
///
/// # Errors
/// If `.git/worktrees` can't be read.
pub fn worktrees(repo: &Repository) -> Result<Vec<Worktree>> {
    let mut found = Vec::new();
    if let (false, Ok(head)) = (repo.bare, head(&repo.common_dir)) {
        let (path, admin_dir) = (repo.main_worktree.clone(), repo.common_dir.clone());
        found.push(Worktree { path, admin_dir, head, locked: None, is_main: true });
    }
    let dir = repo.common_dir.join("worktrees");
    let folders = match fs::read_dir(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
        folders => folders.with_context(|| format!("cannot read {}", dir.display()))?,
    };
    for folder in folders {
        let admin_dir = folder.with_context(|| format!("cannot read {}", dir.display()))?.path();
        if let (Some(path), Ok(head)) = (worktree_of(&admin_dir), head(&admin_dir)) {
            let locked = fs::read(admin_dir.join("locked")).ok().map(|why| Text::from(why.trim_ascii()));
            found.push(Worktree { path: Some(path), admin_dir, head, locked, is_main: false });
        }
    }
    found.sort_by(|a, b| (!a.is_main, &a.path).cmp(&(!b.is_main, &b.path)));
    Ok(found)
}

/// Makes branch and worktree, without the files: [`checkout`] writes those. Whatever goes wrong, what
/// this call made is taken back. No upstream is configured, whatever `branch.autoSetupMerge` says.
///
/// # Errors
/// If the path is taken, or in git's words.
pub fn add(repo: &Repository, path: &Path, branch: &Text, base: &Oid, new: NewBranch) -> Result<()> {
    let _guard = bookkeeping();
    if path.symlink_metadata().is_ok() {
        bail!("{} is there already", path.display());
    }
    if new == NewBranch::Create {
        set_ref(repo, branch, base, Expect::MustNotExist, &format!("branch: Created from {base}"))?;
    }
    let Some(short) = branch.as_bstr().strip_prefix(b"refs/heads/") else {
        bail!("'{branch}' is not a branch");
    };
    let before = admin_folders(repo);
    // Called from the user's worktree, whose sparse checkout the new one inherits.
    let git =
        Git::new().git_dir(&repo.git_dir).retry_locks().args(["worktree", "add", "-q", "--no-checkout"]);
    let added = git.arg("--").arg(path).arg(Text::from(short).as_os_str()).ok();
    let added = added.and_then(|_| {
        // A tag of the same name, or a branch that moved, must not lead somewhere else.
        let admin_dir = admin_dir(path)?;
        match head(&admin_dir)? {
            Head::Branch(found) if found == *branch => sync_admin_dir(&admin_dir),
            other => bail!("git checked out {other:?} instead of {branch}"),
        }
    });
    added.inspect_err(|_| {
        let created = (new == NewBranch::Create).then_some((branch, base));
        take_back_locked(repo, path, created, &before);
    })
}

/// Takes back what a crash left of [`add`]: the admin folder for `path` if there is no worktree there
/// (git locks a folder that it has not finished, and then never prunes it), the empty directory, and
/// the branch if it is given and still at its base. Files of a worktree are never touched. Only for a
/// worktree that nobody has worked in: the folder's HEAD goes too.
pub fn take_back(repo: &Repository, path: &Path, created: Option<(&Text, &Oid)>) {
    let _guard = bookkeeping();
    take_back_locked(repo, path, created, &[]);
}

fn admin_folders(repo: &Repository) -> Vec<PathBuf> {
    let folders = fs::read_dir(repo.common_dir.join("worktrees")).into_iter().flatten().flatten();
    folders.map(|folder| folder.path()).collect()
}

/// `before` are folders that were there first, and stay.
fn take_back_locked(repo: &Repository, path: &Path, created: Option<(&Text, &Oid)>, before: &[PathBuf]) {
    // Best effort: the error that led here is what the user gets to see.
    let only_link = fs::read_dir(path)
        .map(|entries| entries.flatten().all(|entry| entry.file_name() == ".git"))
        .unwrap_or(true);
    let ours = |folder: &PathBuf| worktree_of(folder).is_some_and(|found| found == path);
    if !only_link {
        // All of it is in place, but for taking the lock away that it was made under.
        for locked in admin_folders(repo).iter().filter(|folder| ours(folder)).map(|dir| dir.join("locked")) {
            if fs::read(&locked).is_ok_and(|reason| reason.trim_ascii() == MAKING) {
                let _ = fs::remove_file(locked);
            }
        }
        return;
    }
    for folder in admin_folders(repo).iter().filter(|folder| !before.contains(folder) && ours(folder)) {
        let _ = fs::remove_dir_all(folder);
    }
    let _ = fs::remove_dir(repo.common_dir.join("worktrees"));
    if fs::symlink_metadata(path.join(".git")).is_ok_and(|link| link.is_file()) {
        let _ = fs::remove_file(path.join(".git"));
    }
    let _ = fs::remove_dir(path);
    if let Some((branch, base)) = created {
        let _ = delete_ref(repo, branch, base);
    }
}

/// Writes the files of a worktree just added, as `git worktree add` itself does it (`builtin/worktree.c`:
/// `git reset --hard --no-recurse-submodules`, then the `post-checkout` hook from the null id; for the
/// first see [`FanOut`]). Gives what a failing hook said: the worktree is fine nevertheless.
///
/// # Errors
/// git's words, if the files can't be written.
pub fn checkout(repo: &Repository, path: &Path) -> Result<Option<String>> {
    let admin_dir = admin_dir(path)?;
    let tip = match head(&admin_dir)? {
        Head::Branch(name) => branch_tip(repo, &name)?.with_context(|| format!("{name} is gone"))?,
        Head::Detached(oid) => oid,
    };
    let blank = Blank { path: path.to_owned(), admin_dir, spare: None };
    FanOut::default().write(repo, &tip, &[blank]).into_iter().try_for_each(|outcome| outcome.map(drop))?;
    post_checkout(repo, path)
}

/// Runs the `post-checkout` hook as `git worktree add` does it, from the null id. Gives what a failing hook
/// said: the worktree is fine nevertheless.
///
/// # Errors
/// If it can't even be tried.
pub fn post_checkout(repo: &Repository, path: &Path) -> Result<Option<String>> {
    if !may_run(repo, "post-checkout", path) {
        return Ok(None);
    }
    let tip = Git::new().git_dir(&admin_dir(path)?).args(["rev-parse", "--verify", "HEAD"]).line()?;
    let hook = Git::new().in_dir(path).args(["hook", "run", "--ignore-missing", "post-checkout", "--"]);
    let hook = hook.arg(repo.null_oid()).arg(tip.as_os_str()).arg("1").output()?;
    Ok((hook.code != Some(0)).then(|| {
        let error = hook.to_error("worktree add").words;
        format!("the post-checkout hook failed: {error}").trim_end_matches([':', ' ']).to_owned()
    }))
}

/// The git directory that a linked worktree's `.git` file names.
///
/// # Errors
/// If there is no such file, or it is something else.
pub fn admin_dir(path: &Path) -> Result<PathBuf> {
    let file = path.join(".git");
    let meta = fs::symlink_metadata(&file).with_context(|| format!("cannot read {}", file.display()))?;
    if !meta.is_file() {
        bail!("{} is not the file of a linked worktree", file.display());
    }
    let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    match content.strip_prefix(b"gitdir: ") {
        Some(dir) => Ok(path.join(Text::from(dir.trim_ascii_end()).as_path())),
        None => bail!("{} is not the file of a linked worktree", file.display()),
    }
}

/// Looks at a worktree after an agent was there, without running git in it. `admin` is its git directory
/// as it was when the worktree was made.
pub fn inspect(path: &Path, admin: &Path) -> Sight {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Sight::Missing,
        Err(error) => return Sight::Foreign(format!("it can't be read: {error}")),
        Ok(meta) if meta.is_symlink() => return Sight::Symlink,
        Ok(meta) if !meta.is_dir() => return Sight::Foreign("it is not a directory".to_owned()),
        Ok(_) => {}
    }
    let named = match admin_dir(path) {
        Ok(named) => named,
        Err(_) => return Sight::Foreign("its .git file is gone or was replaced".to_owned()),
    };
    if !same_place(&named, admin) {
        return Sight::Foreign(format!("its .git file leads to {}", named.display()));
    }
    match worktree_of(admin) {
        Some(back) if same_place(&back, path) => Sight::Ours,
        Some(back) => Sight::Foreign(format!("git has this worktree at {}", back.display())),
        None => Sight::Foreign("git does not know it as a worktree any more".to_owned()),
    }
}

/// Where an admin folder says that its worktree is. (git 2.48 can write that path relative to the folder.)
pub(super) fn worktree_of(admin_dir: &Path) -> Option<PathBuf> {
    let gitdir = fs::read(admin_dir.join("gitdir")).ok()?;
    let file = Text::from(gitdir.trim_ascii_end()).to_path_buf();
    let path = file.parent().filter(|_| file.file_name().is_some_and(|name| name == ".git"))?;
    if path.is_absolute() {
        return Some(path.to_path_buf());
    }
    let path = admin_dir.join(path);
    Some(path.canonicalize().unwrap_or(path))
}

/// Whether two paths are the same file, however they are spelled.
pub(super) fn same_place(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// git does not sync these small files itself.
fn sync_admin_dir(admin_dir: &Path) -> Result<()> {
    for name in ["HEAD", "commondir", "gitdir", "."] {
        let path = admin_dir.join(name);
        let synced = fs::File::open(&path).and_then(|file| file.sync_all());
        synced.with_context(|| format!("cannot sync {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::branch_tip;
    use crate::git::testing::{Sandbox, git_in};

    fn add_one(sandbox: &Sandbox, name: &str) -> PathBuf {
        let (repo, path) = (sandbox.repository(), sandbox.root().join("wts").join(name));
        let branch = Text::from(format!("refs/heads/feature/{name}"));
        add(&repo, &path, &branch, &sandbox.oid("HEAD"), NewBranch::Create).unwrap();
        assert_eq!(checkout(&repo, &path).unwrap(), None);
        path
    }

    #[test]
    fn added_checked_out_and_listed() {
        let sandbox = Sandbox::new();
        sandbox.git(&["config", "branch.autoSetupMerge", "always"]);
        sandbox.git(&["tag", "feature/a"]);
        let path = add_one(&sandbox, "a");
        assert_eq!(git_in(&path, &["status", "--porcelain", "-b"]), "## feature/a");
        assert_eq!(fs::read_to_string(path.join("README")).unwrap(), "hello\n");
        let repo = sandbox.repository();
        fs::create_dir(repo.common_dir.join("worktrees/half")).unwrap();
        let all = worktrees(&repo).unwrap();
        assert_eq!(all.len(), 2);
        assert!(all[0].is_main && all[0].path.as_deref() == Some(&*sandbox.repo));
        assert_eq!(all[1].head, Head::Branch("refs/heads/feature/a".into()));
        assert_eq!(inspect(&path, &all[1].admin_dir), Sight::Ours);
        sandbox.fsck();
    }

    #[test]
    fn added_from_a_linked_worktree_and_to_a_bare_repository() {
        let sandbox = Sandbox::new();
        let linked = add_one(&sandbox, "linked");
        sandbox.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
        for (n, cwd) in [linked, sandbox.root().join("bare.git")].iter().enumerate() {
            let (repo, path) = (Repository::discover(cwd).unwrap(), sandbox.root().join(format!("new{n}")));
            add(&repo, &path, &"refs/heads/x".into(), &sandbox.oid("HEAD"), NewBranch::Create).unwrap();
            checkout(&repo, &path).unwrap();
            assert_eq!(git_in(&path, &["status", "--porcelain", "-b"]), "## x");
            let all = worktrees(&repo).unwrap();
            assert!(all.iter().any(|worktree| worktree.path.as_ref() == Some(&path)));
            assert_eq!(all.iter().filter(|worktree| worktree.is_main).count(), usize::from(!repo.bare));
        }
    }

    #[test]
    fn many_at_once() {
        let sandbox = Sandbox::new();
        std::thread::scope(|scope| {
            for name in 0..12 {
                let sandbox = &sandbox;
                scope.spawn(move || add_one(sandbox, &format!("t{name}")));
            }
        });
        assert_eq!(worktrees(&sandbox.repository()).unwrap().len(), 13);
    }

    #[test]
    fn an_existing_branch_is_used_as_it_is() {
        let sandbox = Sandbox::new();
        let (repo, path) = (sandbox.repository(), sandbox.root().join("wt"));
        let tip = sandbox.commit_aside(&sandbox.oid("HEAD"), "echo x >x");
        sandbox.git(&["branch", "topic", tip.as_str()]);
        add(&repo, &path, &"refs/heads/topic".into(), &tip, NewBranch::Existing).unwrap();
        checkout(&repo, &path).unwrap();
        assert!(path.join("x").exists());
        let error = add(&repo, &path, &"refs/heads/topic".into(), &tip, NewBranch::Existing).unwrap_err();
        assert!(error.to_string().contains("is there already"));
        let elsewhere = sandbox.root().join("elsewhere");
        let error =
            add(&repo, &elsewhere, &"refs/heads/topic".into(), &tip, NewBranch::Existing).unwrap_err();
        assert!(error.to_string().contains("already"), "{error}");
        assert!(!elsewhere.exists() && path.join("x").exists());
    }

    #[test]
    fn what_failed_is_taken_back() {
        let sandbox = Sandbox::new();
        let (repo, branch) = (sandbox.repository(), Text::from("refs/heads/feature/x"));
        fs::write(sandbox.root().join("file"), "").unwrap();
        let path = sandbox.root().join("file/x");
        add(&repo, &path, &branch, &sandbox.oid("HEAD"), NewBranch::Create).unwrap_err();
        assert_eq!(branch_tip(&repo, &branch).unwrap(), None);
        assert!(!repo.common_dir.join("worktrees").exists());
        sandbox.git(&["branch", "feature/x"]);
        let free = sandbox.root().join("free");
        add(&repo, &free, &branch, &sandbox.oid("HEAD"), NewBranch::Create).unwrap_err();
        assert!(branch_tip(&repo, &branch).unwrap().is_some(), "not ours, so it stays");
    }

    #[test]
    fn a_failing_hook_is_told() {
        let sandbox = Sandbox::new();
        sandbox.write(".git/hooks/post-checkout", "#!/bin/sh\necho \"no: $*\" >&2\nexit 3\n");
        let hook = sandbox.repo.join(".git/hooks/post-checkout");
        fs::set_permissions(hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let (repo, path) = (sandbox.repository(), sandbox.root().join("wt"));
        add(&repo, &path, &"refs/heads/x".into(), &sandbox.oid("HEAD"), NewBranch::Create).unwrap();
        let said = checkout(&repo, &path).unwrap().unwrap();
        let null = repo.null_oid();
        assert_eq!(said, format!("the post-checkout hook failed: no: {null} {} 1", sandbox.rev("HEAD")));
    }

    #[test]
    fn a_tampered_worktree_is_seen() {
        let sandbox = Sandbox::new();
        let path = add_one(&sandbox, "a");
        let admin = admin_dir(&path).unwrap();
        let link = fs::read(path.join(".git")).unwrap();
        fs::remove_file(path.join(".git")).unwrap();
        assert!(matches!(inspect(&path, &admin), Sight::Foreign(_)));
        fs::create_dir(path.join(".git")).unwrap();
        assert!(matches!(inspect(&path, &admin), Sight::Foreign(_)));
        fs::remove_dir(path.join(".git")).unwrap();
        fs::write(path.join(".git"), "gitdir: /elsewhere\n").unwrap();
        assert!(matches!(inspect(&path, &admin), Sight::Foreign(_)));
        fs::write(path.join(".git"), link).unwrap();
        assert_eq!(inspect(&path, &admin), Sight::Ours);
        let moved = path.with_extension("moved");
        fs::rename(&path, &moved).unwrap();
        assert_eq!(inspect(&path, &admin), Sight::Missing);
        std::os::unix::fs::symlink(&moved, &path).unwrap();
        assert_eq!(inspect(&path, &admin), Sight::Symlink);
    }
}
