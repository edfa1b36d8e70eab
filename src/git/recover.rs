//! Bringing a checkout back to one of its two ends: after a failure in the middle, or after a crash.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::index_lock::IndexLock;
use super::obstacles::{Change, Plan, names};
use super::refs::{branch_tip, is_ancestor};
use super::worktree::worktrees;
use super::{Repository, snapshot};
use crate::run::Text;

/// A checkout in which a move of the target had been cut off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// The worktree.
    pub worktree: PathBuf,
    /// The target had moved, and the index has followed now; otherwise all is as it was before.
    pub completed: bool,
    /// Files that are neither old nor new: somebody edited them since, so they were left alone.
    pub left: Vec<Text>,
}

/// What [`restore`] did.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// How many paths it brought back.
    pub(super) undone: usize,
    /// Paths that it had to leave as they are.
    pub(super) left: Vec<Text>,
}

/// Completes or undoes whatever a crash cut off in [`super::publish()`], in any worktree. To be called by
/// whoever holds the repository's run lock, before it publishes anything. Doing it twice changes nothing.
///
/// # Errors
/// If a git of the crashed process lives on and does not come to an end, or if files can't be written.
pub fn recover(repo: &Repository) -> Result<Vec<Recovered>> {
    let mut found = Vec::new();
    for worktree in worktrees(repo)? {
        let Some(top) = worktree.path.filter(|top| top.is_dir()) else { continue };
        if let Some(lock) = IndexLock::adopt(&top, &worktree.admin_dir)? {
            let cut_off = format!("cannot finish what was cut off in {}", top.display());
            found.push(recover_one(repo, lock, top).context(cut_off)?);
        }
        sweep(&worktree.admin_dir);
    }
    Ok(found)
}

/// Removes what is left of a lock that was never taken, or that a person deleted by hand, and of a snapshot
/// that was cut off.
fn sweep(admin_dir: &Path) {
    for entry in fs::read_dir(admin_dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Ok(kind) = entry.file_type() else { continue };
        // Harmless where it is, should it stay.
        if kind.is_file() && name.as_encoded_bytes().starts_with(b"parallel-") {
            let _ = fs::remove_file(entry.path());
        } else if kind.is_dir() && name.as_encoded_bytes().starts_with(snapshot::PREFIX.as_bytes()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn recover_one(repo: &Repository, mut lock: IndexLock, worktree: PathBuf) -> Result<Recovered> {
    lock.clear_ref_locks(repo)?;
    let tip = branch_tip(repo, &lock.note.target)?;
    let has_new = |tip| is_ancestor(repo, &lock.note.new, &tip);
    if lock.moving && tip.map(has_new).transpose()?.unwrap_or(false) {
        lock.commit()?;
        return Ok(Recovered { worktree, completed: true, left: Vec::new() });
    }
    let mut left = Vec::new();
    if lock.moving {
        match undo_files(repo, &lock) {
            Ok(restored) => left = restored.left,
            Err(error) => {
                lock.leave_behind();
                return Err(error);
            }
        }
    }
    Ok(Recovered { worktree, completed: false, left })
}

fn undo_files(repo: &Repository, lock: &IndexLock) -> Result<Restored> {
    lock.copy_index()?;
    restore(lock, &Plan::read(repo, lock)?)
}

/// Undoes a `git read-tree -m -u` that may have come to any point. All paths of the plan were clean before
/// it. A path is only touched if what is there now is of our making: nothing, or the incoming content or
/// the beginning of it.
pub(super) fn restore(lock: &IndexLock, plan: &Plan) -> Result<Restored> {
    lock.copy_index()?;
    lock.git()?.args(["update-index", "-q", "--refresh"]).output()?;
    let unstaged = ["diff-files", "--no-renames", "--name-only", "-z", "--ignore-submodules=all"];
    let differs = names(lock, &unstaged)?;
    let mut restored = Restored::default();
    let (mut back, mut away) = (Vec::new(), Vec::new());
    let tracked = |change: &&Change| plan.index.contains_key(&change.path);
    for change in plan.changes.iter().filter(tracked).filter(|change| differs.contains(&change.path)) {
        back.push(change);
    }
    for change in plan.changes.iter().filter(|change| !plan.index.contains_key(&change.path)) {
        if is_there(&lock.top, &change.path) {
            away.push(change);
        }
    }
    let ours = of_our_making(lock, back.iter().chain(&away).copied())?;
    for change in away {
        if ours.contains(&change.path) {
            remove_added(&lock.top, change)?;
            restored.undone += 1;
        } else {
            restored.left.push(change.path.clone());
        }
    }
    let mut stdin = Vec::new();
    for change in back {
        let free = !is_there(&lock.top, &change.path) || ours.contains(&change.path);
        if free && !is_blocked(&lock.top, &change.path) {
            stdin.extend_from_slice(change.path.as_bstr());
            stdin.push(0);
            restored.undone += 1;
        } else {
            restored.left.push(change.path.clone());
        }
    }
    if !stdin.is_empty() {
        // On a failure it goes on with the next file; what it could not write still differs.
        let git = lock.git()?.args(["checkout-index", "-f", "-q", "-z", "--stdin"]).stdin(stdin);
        if git.output()?.code != Some(0) {
            let differs = names(lock, &unstaged)?;
            let still = plan.changes.iter().map(|change| &change.path).filter(|path| differs.contains(path));
            restored.left = still.chain(&restored.left).cloned().collect();
            restored.left.sort();
            restored.left.dedup();
        }
    }
    Ok(restored)
}

/// Those paths whose content is the incoming one, or the beginning of it.
fn of_our_making<'a>(lock: &IndexLock, changes: impl Iterator<Item = &'a Change>) -> Result<HashSet<Text>> {
    let is_file = |change: &&Change| {
        let path = lock.top.join(change.path.as_path());
        path.symlink_metadata().is_ok_and(|meta| meta.is_file()) && !change.path.as_bstr().contains(&b'\n')
    };
    let changes: Vec<&Change> = changes.filter(|change| !change.deletes()).collect();
    let files: Vec<&Change> = changes.iter().copied().filter(is_file).collect();
    let mut ours = HashSet::new();
    if !files.is_empty() {
        let paths: Vec<&[u8]> = files.iter().map(|change| change.path.as_bstr().as_ref()).collect();
        // Cut short if a filter fails: then the files after that are compared one by one below.
        let hashed = lock.git()?.args(["hash-object", "--stdin-paths"]).stdin(paths.join(&b'\n')).output()?;
        let equal = files.iter().zip(hashed.stdout.split(|&byte| byte == b'\n'));
        ours.extend(equal.filter(|(change, id)| change.brings(id)).map(|(c, _)| c.path.clone()));
    }
    for change in changes {
        if !ours.contains(&change.path) && begins_like_new(lock, change)? {
            ours.insert(change.path.clone());
        }
    }
    Ok(ours)
}

fn begins_like_new(lock: &IndexLock, change: &Change) -> Result<bool> {
    let path = lock.top.join(change.path.as_path());
    let Ok(meta) = path.symlink_metadata() else { return Ok(false) };
    if change.is_gitlink() {
        return Ok(meta.is_dir() && fs::read_dir(&path)?.next().is_none());
    }
    if meta.is_dir() {
        return Ok(false);
    }
    let present = if meta.is_symlink() {
        Text::from(fs::read_link(&path)?).as_bstr().to_vec()
    } else {
        fs::read(&path)?
    };
    let kind = if meta.is_symlink() { "blob" } else { "--filters" };
    let git = lock.git()?.args(["cat-file", kind]);
    let mut name = format!("{}:", lock.note.new).into_bytes();
    name.extend_from_slice(change.path.as_bstr());
    let incoming = git.arg(Text::from(name.as_slice()).as_os_str()).output()?;
    Ok(incoming.code == Some(0) && incoming.stdout.starts_with(&present))
}

fn is_there(top: &Path, path: &Text) -> bool {
    !is_blocked(top, path) && top.join(path.as_path()).symlink_metadata().is_ok()
}

/// Whether something other than a directory stands where the path needs one.
fn is_blocked(top: &Path, path: &Text) -> bool {
    path.as_path().ancestors().skip(1).any(|dir| top.join(dir).symlink_metadata().is_ok_and(|m| !m.is_dir()))
}

/// Removes a file that the move brought, and directories that are empty without it.
fn remove_added(top: &Path, change: &Change) -> Result<()> {
    let path = top.join(change.path.as_path());
    let removed = if change.is_gitlink() { fs::remove_dir(&path) } else { fs::remove_file(&path) };
    removed.with_context(|| format!("cannot remove {}", path.display()))?;
    for dir in change.path.as_path().ancestors().skip(1).take_while(|dir| !dir.as_os_str().is_empty()) {
        if fs::remove_dir(top.join(dir)).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
