//! git's own lock files, left behind by a git that died with us.
//!
//! git never clears a `*.lock`: whoever finds one must know that its owner is dead. We know it of a lock
//! on something that is ours alone, and of one that is a while old while no git is at work here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::worktree::worktrees;
use super::{Head, Repository, Worktree};
use crate::run::Text;
use crate::sys;

/// A lock is stale only if it is at least so old.
const AGE: Duration = Duration::from_secs(1);
/// So it is where gits of other machines work, too, of which nobody here knows whether they live: none of them holds
/// for longer what all refs share.
const AGE_ELSEWHERE: Duration = Duration::from_secs(10);
/// Beyond that, a git that holds a lock for longer than this is given up on waiting for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes the lock files that a dead supervisor's git left on `target`, on the task branches and pins in
/// `ours`, and on what goes with them. Locks that some living git may hold stay, also one of another
/// machine if some work here (`elsewhere`). Returns what was removed.
pub fn clear_stale_locks(
    repo: &Repository,
    target: &Text,
    ours: &[Text],
    pins: &Text,
    elsewhere: bool,
) -> Vec<PathBuf> {
    let mut locks: Vec<PathBuf> = ours.iter().map(|name| lock_of(&repo.common_dir, name)).collect();
    locks.extend(locks_below(&repo.common_dir.join(pins.as_path())));
    locks.extend([lock_of(&repo.common_dir, target), repo.common_dir.join("packed-refs.lock")]);
    let all = worktrees(repo).unwrap_or_default();
    for worktree in &all {
        let about_us = |name: &Text| name == target || ours.contains(name);
        if matches!(&worktree.head, Head::Branch(name) if about_us(name)) {
            locks.push(worktree.admin_dir.join("HEAD.lock"));
        }
    }
    locks.retain(|lock| lock.symlink_metadata().is_ok());
    if locks.is_empty() || !all_quiet(std::slice::from_ref(&repo.common_dir), &all, &locks, elsewhere) {
        return Vec::new();
    }
    remove(locks)
}

/// Removes the locks that the git of an agent left in the `worktree` of its own, on its `branch` and on what
/// all worktrees share. All its processes are dead; the locks of a git that somebody else runs stay, and so
/// do those that are older than the worktree. Gits of other machines may work here, too, if that is said (`elsewhere`).
pub fn clear_locks_of_the_dead(repo: &Repository, worktree: &Worktree, branch: &Text, elsewhere: bool) {
    let there: &[Worktree] = std::slice::from_ref(worktree);
    let own: Vec<PathBuf> = locks_in(&worktree.admin_dir).collect();
    if !own.is_empty() && all_quiet(&[], there, &own, false) {
        remove(own);
    }
    let changed = |path: &Path| path.symlink_metadata().and_then(|meta| meta.modified());
    let Ok(born) = changed(&worktree.admin_dir.join("gitdir")) else { return };
    let mut shared = vec![lock_of(&repo.common_dir, branch)];
    shared.extend(["packed-refs.lock", "config.lock"].map(|name| repo.common_dir.join(name)));
    shared.retain(|lock| changed(lock).is_ok_and(|at| at >= born));
    if !shared.is_empty() {
        let all = worktrees(repo).unwrap_or_default();
        if all_quiet(std::slice::from_ref(&repo.common_dir), &all, &shared, elsewhere) {
            remove(shared);
        }
    }
}

/// Removes the locks in the git directory of a worktree that nobody but us has ever been in.
pub fn clear_own_locks(admin_dir: &Path) {
    remove(locks_in(admin_dir).collect());
}

/// Removes what it can, and returns that. What can't be removed is named by the git that stumbles over it.
fn remove(mut locks: Vec<PathBuf>) -> Vec<PathBuf> {
    locks.retain(|lock| fs::remove_file(lock).is_ok());
    locks
}

fn locks_in(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let paths = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "lock"))
}

fn lock_of(common_dir: &Path, name: &Text) -> PathBuf {
    let mut path = common_dir.join(name.as_path()).into_os_string();
    path.push(".lock");
    path.into()
}

fn locks_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(locks_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            found.push(path);
        }
    }
    found
}

/// Whether no git works in these places, and the locks are not fresh either.
fn all_quiet(dirs: &[PathBuf], worktrees: &[Worktree], locks: &[PathBuf], elsewhere: bool) -> bool {
    let mut places = dirs.to_vec();
    places.extend(worktrees.iter().filter_map(|worktree| worktree.path.clone()));
    let age = if elsewhere { AGE_ELSEWHERE } else { AGE };
    let end = Instant::now() + age + PATIENCE;
    loop {
        let fresh = |lock: &PathBuf| {
            let changed = lock.symlink_metadata().and_then(|meta| meta.modified());
            changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|old| old < age))
        };
        if !locks.iter().any(fresh) && !sys::git_at_work(&places) {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
