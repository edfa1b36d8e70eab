//! Removing a worktree, once nothing in it can be lost.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bstr::ByteSlice;

use super::exact::is_exactly_head;
use super::index::{self, Entry, GITLINK};
use super::refs::{Head, is_ancestor, list};
use super::status::{changes_and_ignored, operation_in_progress};
use super::worktree::{Sight, Worktree, bookkeeping, inspect, same_place, worktrees};
use super::{Repository, unseen};
use crate::run::{Text, name_some};
use crate::sys;

/// How the names of directories end that wait for their deletion.
const TRASH: &str = ".trash";

/// How long a git is waited for that a dead supervisor left at work in such a directory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the worktree at `path` must stay, in words for people; `None` if all in it is committed, or is
/// ignored and matches `disposable` (patterns as in `.gitignore`, or pathspecs) or is one of the files of
/// `known`.
///
/// # Errors
/// If it can't be told; the worktree must stay then as well.
pub fn why_kept(
    repo: &Repository,
    path: &Path,
    disposable: &[String],
    known: &HashSet<Text>,
) -> Result<Option<String>> {
    let worktree = match removable(repo, path)? {
        Ok(worktree) => worktree,
        Err(reason) => return Ok(Some(reason)),
    };
    if let Some(operation) = operation_in_progress(&worktree.admin_dir) {
        return Ok(Some(format!("{operation} is in progress in it")));
    }
    if let Head::Detached(commit) = worktree.head {
        let refs = list(repo, "refs/")?;
        let mut kept = refs.iter().map(|(_, tip)| is_ancestor(repo, &commit, tip).unwrap_or(false));
        if !kept.any(|kept| kept) {
            return Ok(Some(format!("its HEAD is on {}, which no branch has", commit.short())));
        }
    }
    if fs::symlink_metadata(path).is_err() || is_exactly_head(repo, path, &worktree.admin_dir) {
        return Ok(None);
    }
    let (changes, mut ignored) = changes_and_ignored(path, disposable)?;
    ignored.retain(|file| !known.contains(file));
    let (submodules, hidden) = unseen(repo, path)?;
    let nested = changes.nested.into_iter().chain(submodules).collect();
    Ok([
        ("unresolved conflicts", changes.unmerged),
        ("uncommitted changes", changes.tracked),
        ("untracked files", changes.untracked),
        ("a repository inside", nested),
        ("files whose changes git was told not to see", hidden),
        ("ignored files", ignored),
    ]
    .into_iter()
    .find(|(_, paths)| !paths.is_empty())
    .map(|(what, paths)| format!("{what}: {}", name_some(&paths))))
}

/// Why what is at `path` must stay even if the user gives up all that is in it: it is no linked worktree
/// of this repository, it is locked, or somebody stands in it.
///
/// # Errors
/// If it can't be told; it must stay then as well.
pub fn why_never(repo: &Repository, path: &Path) -> Result<Option<String>> {
    Ok(removable(repo, path)?.err())
}

fn removable(repo: &Repository, path: &Path) -> Result<Result<Worktree, String>> {
    Ok(find(repo, path)?.and_then(|worktree| match &worktree.locked {
        Some(reason) => Err(format!("it is locked: {reason}").trim_end_matches([':', ' ']).to_owned()),
        None if is_inside(path) => Err("the current directory is in it".to_owned()),
        None => Ok(worktree),
    }))
}

/// Removes the worktree at `path`, files and all. Call [`why_kept`] first: nothing is asked again here.
///
/// The directory goes out of the way in one step, then git forgets the worktree, and the files are
/// deleted last: at no instant is there half a worktree under the name.
///
/// # Errors
/// If it is no linked worktree of this repository, if it is locked, or if git refuses; it is where it was
/// then. If only deleting the files fails, the error names where they are now.
pub fn remove(repo: &Repository, path: &Path) -> Result<()> {
    match retire(repo, path)? {
        Some(aside) => delete_retired(&aside),
        None => Ok(()),
    }
}

/// Deletes the files of a worktree that was [retired](retire).
///
/// # Errors
/// If that fails; the error names where they are.
pub fn delete_retired(aside: &Path) -> Result<()> {
    delete_tree(aside).with_context(|| format!("cannot delete {}", aside.display()))
}

/// As [`remove`], but for the last step: gives where the files are now, if there are any.
///
/// # Errors
/// As [`remove`].
pub fn retire(repo: &Repository, path: &Path) -> Result<Option<PathBuf>> {
    let worktree = find(repo, path)?.map_err(|reason| anyhow!("{} stays: {reason}", path.display()))?;
    if fs::symlink_metadata(path).is_err() {
        let _guard = bookkeeping();
        repo.git().retry_locks().args(["worktree", "remove", "--"]).arg(path).ok()?;
        return Ok(None);
    }
    let aside = aside(path)?;
    {
        let _guard = bookkeeping();
        fs::rename(path, &aside).with_context(|| format!("cannot move {} aside", path.display()))?;
        if let Err(error) = forget(repo, &worktree) {
            let back = fs::rename(&aside, path);
            return Err(match back {
                Ok(()) => error,
                Err(_) => error.context(format!("{} is now {}", path.display(), aside.display())),
            });
        }
    }
    Ok(Some(aside))
}

/// Takes a worktree whose directory is gone out of git's list, as `git worktree remove` does then. In one step,
/// so that nobody sees half of its git directory.
fn forget(repo: &Repository, worktree: &Worktree) -> Result<()> {
    if let Some(reason) = &worktree.locked {
        bail!("it is locked: {reason}");
    }
    let dir = unseen::nursery_place(repo)?;
    let admin = &worktree.admin_dir;
    fs::rename(admin, &dir).with_context(|| format!("cannot remove {}", admin.display()))?;
    // Nobody looks there; what stays is deleted at the next start.
    let _ = fs::remove_dir_all(&dir);
    // Fails if there are others.
    let _ = fs::remove_dir(repo.common_dir.join("worktrees"));
    Ok(())
}

/// Finishes a removal that a crash cut off: what was moved aside is deleted, and git forgets a worktree
/// whose directory had gone aside. Best effort: what can't be removed is tried again at the next start.
pub fn finish_removal(repo: &Repository, path: &Path) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
    let prefix = format!(".{}.", short_name(name));
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let aside: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(&prefix) && name.ends_with(TRASH)
        })
        .map(|entry| entry.path())
        .filter(|aside| is_ours(repo, aside))
        .collect();
    if aside.is_empty() {
        return;
    }
    if fs::symlink_metadata(path).is_err() {
        let _guard = bookkeeping();
        let _ = repo.git().args(["worktree", "remove", "--"]).arg(path).output();
    }
    for tree in aside {
        discard(&tree);
    }
}

/// Deletes a tree in which a git of a dead supervisor may still be writing.
fn discard(tree: &Path) {
    let end = Instant::now() + PATIENCE;
    loop {
        let busy = sys::git_at_work(&[tree.to_owned()]);
        // Best effort: it is tried again at the next start.
        let _ = delete_tree(tree);
        if !busy || Instant::now() > end {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a directory that was moved aside was a worktree of this repository: its `.git` file leads
/// there, also when git has forgotten it already. An empty one was made to be renamed over.
fn is_ours(repo: &Repository, aside: &Path) -> bool {
    let meta = fs::symlink_metadata(aside);
    if !meta.is_ok_and(|meta| meta.is_dir()) {
        return false;
    }
    let ours = repo.common_dir.join("worktrees");
    match super::admin_dir(aside) {
        Ok(admin) if admin.parent() == Some(&ours) => true,
        Ok(_) => is_torn(&aside.join(".git"), &ours),
        // Deleting may have got as far as the `.git` file.
        Err(_) => true,
    }
}

/// Whether it is the beginning of a `.git` file that was to lead into `dir`.
fn is_torn(file: &Path, dir: &Path) -> bool {
    let whole = [b"gitdir: ", Text::from(dir).as_bstr().as_bytes()].concat();
    fs::read(file).is_ok_and(|content| whole.starts_with(&content))
}

/// Removes empty directories from `path`'s parent up to and including `stop_at`. Others stay.
pub fn prune_parents(path: &Path, stop_at: &Path) {
    for parent in path.ancestors().skip(1).take_while(|parent| parent.starts_with(stop_at)) {
        // Fails on one that is not empty, and that is the end of it.
        if fs::remove_dir(parent).is_err() {
            return;
        }
    }
}

/// The linked worktree at `path`, or why what is there must be left alone.
fn find(repo: &Repository, path: &Path) -> Result<Result<Worktree, String>> {
    let symlink = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    if symlink {
        return Ok(Err("a symbolic link is in its place".to_owned()));
    }
    let all = worktrees(repo)?;
    let found = all.into_iter().find(|w| w.path.as_deref().is_some_and(|p| p == path || same_place(p, path)));
    Ok(match found {
        None => Err("git does not know it as a worktree".to_owned()),
        Some(worktree) if worktree.is_main => Err("it is the main worktree".to_owned()),
        Some(worktree) => match inspect(path, &worktree.admin_dir) {
            Sight::Ours => Ok(worktree),
            // Somebody deleted it: git worktree remove takes that for removed as well.
            Sight::Missing => Ok(worktree),
            Sight::Symlink => Err("a symbolic link is in its place".to_owned()),
            Sight::Foreign(reason) => Err(reason),
        },
    })
}

/// Whether we, or the shell that called us, stand in there.
fn is_inside(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let pwd = std::env::var_os("PWD").map(PathBuf::from);
    let stands = [std::env::current_dir().ok(), pwd].into_iter().flatten();
    stands.filter_map(|dir| dir.canonicalize().ok()).any(|dir| dir.starts_with(&path))
}

/// What `git status` does not tell: submodules that were checked out there, since what lies in them is
/// not this repository's to judge, and files whose changes git was told not to see.
fn unseen(repo: &Repository, path: &Path) -> Result<(Vec<Text>, Vec<Text>)> {
    let admin_dir = super::admin_dir(path)?;
    let git = || super::Git::new().work_tree(path, &admin_dir).read_only();
    let is_hidden =
        |entry: &Entry| entry.hidden && path.join(entry.path.as_path()).symlink_metadata().is_ok();
    let mut entries = index::read(&admin_dir.join("index"), repo.gix().object_hash(), || Ok(git()))?;
    if entries.iter().any(is_hidden) {
        // Among sparse files, git looks all the same at those that are there.
        entries = index::read_by_git(git())?;
    }
    let (submodules, files): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.mode == GITLINK);
    let is_populated = |entry: &Entry| {
        fs::read_dir(path.join(entry.path.as_path())).is_ok_and(|mut dir| dir.next().is_some())
    };
    let submodules = submodules.into_iter().filter(is_populated).map(|entry| entry.path).collect();
    Ok((submodules, files.into_iter().filter(is_hidden).map(|entry| entry.path).collect()))
}

fn short_name(name: &std::ffi::OsStr) -> String {
    name.to_string_lossy().chars().take(40).collect()
}

/// A free name beside `path`, on the same file system.
pub(super) fn aside(path: &Path) -> Result<PathBuf> {
    let parent = path.parent().with_context(|| format!("{} has no parent", path.display()))?;
    let name = short_name(path.file_name().unwrap_or_default());
    // A directory may be renamed over an empty one.
    let prefix = format!(".{name}.");
    let mut tries = 0;
    loop {
        // Whoever removes the last worktree beside it takes the empty directory away, at any time: also while
        // it is being made, and then it was there, but is no directory.
        let made = make_spread(parent)
            .and_then(|()| tempfile::Builder::new().prefix(&prefix).suffix(TRASH).tempdir_in(parent));
        tries += 1;
        match made {
            Ok(made) => return Ok(made.keep()),
            Err(error)
                if [ErrorKind::NotFound, ErrorKind::AlreadyExists].contains(&error.kind()) && tries < 100 => {
            }
            Err(error) => return Err(error).with_context(|| format!("cannot write in {}", parent.display())),
        }
    }
}

/// Makes a directory for worktrees, unless it is there.
fn make_spread(dir: &Path) -> std::io::Result<()> {
    match fs::create_dir(dir) {
        Ok(()) => crate::sys::spread(dir),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(_) => fs::create_dir_all(dir).map(|()| crate::sys::spread(dir))?,
    }
    Ok(())
}

/// Deletes whatever is at a path.
pub(super) fn delete(path: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => delete_tree(path),
        false => fs::remove_file(path),
    }
}

/// Deletes a tree without following symbolic links; directories that were made read-only (build caches
/// and test leftovers are) are made writable first.
pub(super) fn delete_tree(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            make_writable(path)?;
            fs::remove_dir_all(path)
        }
        done => done,
    }
}

/// Makes directories writable for their owner, without following symbolic links.
pub(super) fn make_writable(dir: &Path) -> std::io::Result<()> {
    let mode = fs::symlink_metadata(dir)?.permissions().mode();
    fs::set_permissions(dir, fs::Permissions::from_mode(mode | 0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{Sandbox, git_in};

    fn linked(sandbox: &Sandbox, name: &str) -> PathBuf {
        let path = sandbox.root().join("wts").join(name);
        let branch = name.replace(' ', "-");
        sandbox.git(&["worktree", "add", "-q", "-b", &branch, path.to_str().unwrap()]);
        path
    }

    fn kept(sandbox: &Sandbox, path: &Path) -> Option<String> {
        why_kept(&sandbox.repository(), path, &["target/".to_owned()], &HashSet::new()).unwrap()
    }

    #[test]
    fn a_clean_one_goes_with_all_that_is_disposable() {
        let sandbox = Sandbox::new();
        sandbox.write(".gitignore", "target\n");
        sandbox.commit("ignore");
        let path = linked(&sandbox, "a b");
        let precious = sandbox.root().join("precious");
        fs::write(&precious, "x").unwrap();
        fs::create_dir_all(path.join("target/read-only")).unwrap();
        fs::write(path.join("target/read-only/f"), "").unwrap();
        std::os::unix::fs::symlink(sandbox.root(), path.join("target/link")).unwrap();
        fs::set_permissions(path.join("target/read-only"), fs::Permissions::from_mode(0o555)).unwrap();
        assert_eq!(kept(&sandbox, &path), None);
        remove(&sandbox.repository(), &path).unwrap();
        prune_parents(&path, &sandbox.root().join("wts"));
        assert!(!sandbox.root().join("wts").exists() && precious.exists());
        assert_eq!(worktrees(&sandbox.repository()).unwrap().len(), 1);
        assert!(!sandbox.repo.join(".git/worktrees").exists());
    }

    /// The directory that all worktrees are in goes and comes at any time.
    #[test]
    fn a_place_aside_is_found_while_others_remove_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().join("wts");
        std::thread::scope(|scope| {
            for name in ["a", "b", "c"] {
                let path = parent.join(name);
                let parent = &parent;
                scope.spawn(move || {
                    for _ in 0..3000 {
                        fs::remove_dir(aside(&path).unwrap()).unwrap();
                        prune_parents(&path, parent);
                    }
                });
            }
        });
    }

    #[test]
    fn whatever_could_be_lost_keeps_it() {
        let sandbox = Sandbox::new();
        sandbox.write(".gitignore", "*.log\n");
        sandbox.commit("ignore");
        let path = linked(&sandbox, "a");
        for n in 1..=5 {
            fs::write(path.join(format!("{n}.log")), "").unwrap();
        }
        assert_eq!(kept(&sandbox, &path).unwrap(), "ignored files: 1.log, 2.log, 3.log and 2 more");
        git_in(&path, &["init", "-q", "inner"]);
        fs::write(path.join("inner/f"), "").unwrap();
        assert_eq!(kept(&sandbox, &path).unwrap(), "a repository inside: inner/");
        fs::write(path.join("new"), "").unwrap();
        assert_eq!(kept(&sandbox, &path).unwrap(), "untracked files: new");
        fs::write(path.join("README"), "changed").unwrap();
        assert_eq!(kept(&sandbox, &path).unwrap(), "uncommitted changes: README");
        git_in(&path, &["checkout", "-q", "--detach"]);
        git_in(&path, &["commit", "-q", "-am", "lost?"]);
        assert!(kept(&sandbox, &path).unwrap().contains("which no branch has"));
        sandbox.git(&["worktree", "lock", "--reason", "mine", path.to_str().unwrap()]);
        assert_eq!(kept(&sandbox, &path).unwrap(), "it is locked: mine");
        assert!(remove(&sandbox.repository(), &path).is_err());
        assert!(path.join("new").exists(), "git refused, so it is back in its place");
    }

    #[test]
    fn what_is_not_a_linked_worktree_of_ours_is_left_alone() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let path = linked(&sandbox, "a");
        let link = sandbox.root().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let foreign = sandbox.root().join("foreign");
        fs::create_dir(&foreign).unwrap();
        for (path, reason) in [
            (&sandbox.repo, "it is the main worktree"),
            (&link, "a symbolic link is in its place"),
            (&foreign, "git does not know it as a worktree"),
        ] {
            assert_eq!(kept(&sandbox, path).unwrap(), reason);
            assert!(remove(&repo, path).is_err());
            assert!(path.exists());
        }
        fs::remove_file(path.join(".git")).unwrap();
        assert!(kept(&sandbox, &path).unwrap().contains(".git file is gone"));
    }

    #[test]
    fn changes_hidden_from_git_keep_it() {
        for flag in ["--assume-unchanged", "--skip-worktree"] {
            let sandbox = Sandbox::new();
            let path = linked(&sandbox, "a");
            git_in(&path, &["update-index", flag, "README"]);
            fs::write(path.join("README"), "precious").unwrap();
            let expected = "files whose changes git was told not to see: README";
            assert_eq!(kept(&sandbox, &path).unwrap(), expected);
        }
    }

    #[test]
    fn a_sparse_file_that_git_looks_at_does_not_keep_it() {
        let sandbox = Sandbox::new();
        sandbox.write("in/x", "x");
        sandbox.write("out/y", "y");
        sandbox.commit("files");
        let path = linked(&sandbox, "a");
        for index in ["--no-sparse-index", "--sparse-index"] {
            git_in(&path, &["sparse-checkout", "set", "--cone", index, "in"]);
            assert_eq!(kept(&sandbox, &path), None);
            fs::create_dir_all(path.join("out")).unwrap();
            fs::write(path.join("out/y"), "y").unwrap();
            assert_eq!(kept(&sandbox, &path), None);
            fs::write(path.join("out/y"), "changed").unwrap();
            assert_eq!(kept(&sandbox, &path).unwrap(), "uncommitted changes: out/y");
            git_in(&path, &["checkout", "-q", "--ignore-skip-worktree-bits", "--", "out/y"]);
            git_in(&path, &["sparse-checkout", "disable"]);
        }
    }

    #[test]
    fn a_populated_submodule_keeps_it() {
        let sandbox = Sandbox::new();
        git_in(sandbox.root(), &["clone", "-q", "repo", "library"]);
        let library = sandbox.root().join("library");
        let allow = ["-c", "protocol.file.allow=always", "submodule"];
        sandbox.git(&[&allow[..], &["add", "-q", library.to_str().unwrap(), "lib"]].concat());
        sandbox.commit("submodule");
        let path = linked(&sandbox, "a");
        assert_eq!(kept(&sandbox, &path), None);
        git_in(&path, &[&allow[..], &["update", "-q", "--init"]].concat());
        assert_eq!(kept(&sandbox, &path).unwrap(), "a repository inside: lib");
    }
}
