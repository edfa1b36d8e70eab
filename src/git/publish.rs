//! Moving the target, under a checkout of it if there is one.
//!
//! Where the target is checked out nowhere, its ref moves by compare-and-swap, and that is all. Where it
//! is, the clean files of that one worktree follow, as with `git merge --ff-only`; whatever the user
//! edited, staged or has lying about there stays exactly as it is, or nothing happens at all.
//!
//! All of it is done holding that worktree's `index.lock` (see [`super::index_lock`]), in this order. A
//! crash after a step leaves what stands beside it, and [`super::recover()`] brings that to one of its ends:
//!
//! | step | on disk afterwards | recovered by |
//! | --- | --- | --- |
//! | 1. `index.lock` with a note, `parallel-index` | all as it was | removing both |
//! | 2. look for what is in the way | as before | as before |
//! | 3. note `moving`; `git read-tree -m -u OLD NEW` | some or all files in their new form, `index` old | bringing the old files back |
//! | 4. compare-and-swap of the target | target and files new, `index` old | going on with 5 |
//! | 5. `parallel-index` renamed to `index` | all new, locked | removing the lock |
//! | 6. `index.lock` removed | all new | |
//!
//! HEAD is read again after 1 and after 3, since a `git switch` lets go of the index before it moves HEAD.
//! What remains: a `git switch` *to* the target reads the tip before it takes the lock. If the target moves
//! in just that instant, the landing shows as taken back in that index (nothing is lost: the commit has it).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::index_lock::{IndexLock, Note};
use super::obstacles::Plan;
use super::recover::{Restored, restore};
use super::refs::{Head, branch_tip, head, is_ancestor, is_symbolic};
use super::status::operation_in_progress;
use super::worktree::{Sight, Worktree, inspect, worktrees};
use super::{Git, Repository, ref_edit};
use crate::error::{Failure, exit};
use crate::run::{Oid, Text};

/// What became of a wish to move the target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Published {
    /// The target is at the new tip.
    Done {
        /// The worktree whose files followed, if it is checked out.
        updated_worktree: Option<PathBuf>,
    },
    /// The target was not at the old tip; it is here. Nothing was changed.
    Moved(Oid),
    /// Something of the user's is in the way. Nothing was changed.
    Refused {
        /// What it is, for people.
        reason: String,
        /// The paths concerned, relative to the top of the worktree.
        paths: Vec<Text>,
    },
}

/// How often HEAD may change under our hands before we give up.
const ATTEMPTS: u32 = 5;

/// Moves the branch `target` (its full name) from `old` to `new`, which must descend from it; the files
/// of a worktree where it is checked out follow. `message` goes into the reflogs.
///
/// # Errors
/// If it could not be done for a reason that is not the user's to settle, such as a full disk. The target
/// has not moved then, and the files are as they were, unless the error says otherwise.
pub fn publish(repo: &Repository, target: &Text, old: &Oid, new: &Oid, message: &str) -> Result<Published> {
    if !is_ancestor(repo, old, new)? {
        bail!("{target} would lose commits by going from {} to {}", old.short(), new.short());
    }
    if is_symbolic(repo, target)? {
        return Ok(refused(format!("{target} only stands for another branch (git symbolic-ref)")));
    }
    let note = Note { target: target.clone(), old: old.clone(), new: new.clone() };
    for _ in 0..ATTEMPTS {
        if let Some(published) = attempt(repo, &note, message)? {
            return Ok(published);
        }
    }
    Ok(refused(format!("the worktree that has {target} keeps changing its branch")))
}

fn refused(reason: String) -> Published {
    Published::Refused { reason, paths: Vec::new() }
}

/// `None` if HEAD changed meanwhile and everything is to be looked at anew.
fn attempt(repo: &Repository, note: &Note, message: &str) -> Result<Option<Published>> {
    if let Some(moved) = moved(repo, note)? {
        return Ok(Some(moved));
    }
    let all = worktrees(repo)?;
    if let Some(rebasing) = all.iter().find(|worktree| is_rebasing(&worktree.admin_dir, &note.target)) {
        return Ok(Some(refused(format!("{} is being rebased in {}", note.target, place(rebasing)))));
    }
    let mut holders = all.iter().filter(|worktree| worktree.head == Head::Branch(note.target.clone()));
    match (holders.next(), holders.next()) {
        (None, _) => nowhere(repo, &all, note, message),
        (Some(worktree), None) => in_worktree(repo, worktree, note, message),
        (Some(one), Some(other)) => {
            let (one, other) = (place(one), place(other));
            Ok(Some(refused(format!("{} is checked out twice, in {one} and in {other}", note.target))))
        }
    }
}

/// Moves a target that is checked out nowhere. A `git switch` to it may be under way: it has read the old
/// tip, is writing the old files, and its HEAD would come to stand on the new tip, with the landing taken
/// back in the index. So the worktrees that the user works in are locked meanwhile; only a lock that is
/// held for so long that it must be something else (an editor with a commit message) is passed by.
fn nowhere(repo: &Repository, all: &[Worktree], note: &Note, message: &str) -> Result<Option<Published>> {
    let mut locks = Vec::new();
    for worktree in all.iter().filter(|worktree| worktree.is_main || worktree.admin_dir == repo.git_dir) {
        if let Ok(top) = usable(worktree) {
            locks.extend(IndexLock::take(top, &worktree.admin_dir, note.clone())?);
        }
    }
    let target = Head::Branch(note.target.clone());
    if worktrees(repo)?.iter().any(|worktree| worktree.head == target) {
        return Ok(None);
    }
    let git = || match locks.first() {
        Some(lock) => lock.held_by(repo.git()),
        None => Ok(repo.git()),
    };
    let published = swap(repo, &repo.git_dir, git, note, message)?;
    Ok(Some(published.unwrap_or(Published::Done { updated_worktree: None })))
}

/// The verdict where the target is not at its old tip any more.
fn moved(repo: &Repository, note: &Note) -> Result<Option<Published>> {
    Ok(match branch_tip(repo, &note.target)? {
        Some(tip) if tip == note.old => None,
        Some(tip) => Some(Published::Moved(tip)),
        None => Some(refused(format!("{} is gone", note.target))),
    })
}

/// Moves the ref, here or by `git`, which runs in `git_dir`; `None` if that worked.
fn swap(
    repo: &Repository,
    git_dir: &Path,
    git: impl FnOnce() -> Result<Git>,
    note: &Note,
    message: &str,
) -> Result<Option<Published>> {
    if ref_edit::advance(repo, git_dir, &note.target, (&note.old, &note.new), message) {
        return Ok(None);
    }
    let git = git()?;
    let git = git.retry_locks().args(["update-ref", "-m", message]).arg(note.target.as_os_str());
    let output = git.args([note.new.as_str(), note.old.as_str()]).output()?;
    if output.code == Some(0) {
        return Ok(None);
    }
    // Somebody was faster; or a lock is held, or a hook said no, and then git's words tell.
    Ok(Some(moved(repo, note)?.unwrap_or_else(|| refused(output.to_error("update-ref").to_string()))))
}

fn in_worktree(
    repo: &Repository,
    worktree: &Worktree,
    note: &Note,
    message: &str,
) -> Result<Option<Published>> {
    let top = match usable(worktree) {
        Ok(top) => top,
        Err(reason) => return Ok(Some(refused(reason))),
    };
    let Some(mut lock) = IndexLock::take(top, &worktree.admin_dir, note.clone())? else {
        let path = IndexLock::path(&worktree.admin_dir);
        let reason =
            format!("another git command is at work in {}: {} exists", top.display(), path.display());
        return Ok(Some(refused(reason)));
    };
    if head(&worktree.admin_dir)? != worktree.head {
        return Ok(None);
    }
    if let Some(moved) = moved(repo, note)? {
        return Ok(Some(moved));
    }
    let plan = Plan::read(repo, &lock)?;
    if let Some(found) = plan.in_the_way(&lock)? {
        let reason = format!("{} in {}", found.reason, top.display());
        return Ok(Some(Published::Refused { reason, paths: found.paths }));
    }
    lock.begin_moving()?;
    if let Some(refused) = move_files(&mut lock, &plan)? {
        return Ok(Some(refused));
    }
    if head(&worktree.admin_dir)? != worktree.head {
        undo(&mut lock, &plan)?;
        return Ok(None);
    }
    match swap(repo, &worktree.admin_dir, || lock.plain_git(), note, message) {
        Ok(None) => {
            lock.commit().context("the target has moved, but its checkout still has the old index")?;
            Ok(Some(Published::Done { updated_worktree: Some(top.to_owned()) }))
        }
        other => undo(&mut lock, &plan).and(other),
    }
}

/// The top of the worktree, or why its files can't follow.
fn usable(worktree: &Worktree) -> Result<&Path, String> {
    let Some(top) = worktree.path.as_deref() else {
        return Err(
            "the target is checked out in the main worktree, which can't be found from here".to_owned()
        );
    };
    if !top.is_dir() {
        return Err(format!("the target is checked out in {}, which is not there", top.display()));
    }
    if !worktree.is_main && inspect(top, &worktree.admin_dir) != Sight::Ours {
        return Err(format!(
            "the target is checked out in {}, which is not that worktree now",
            top.display()
        ));
    }
    match operation_in_progress(&worktree.admin_dir) {
        Some(operation) if operation != "a bisect" => {
            Err(format!("{operation} is in progress in {}", top.display()))
        }
        _ => Ok(top),
    }
}

/// Brings the files to their new form. If git refuses after all, nothing has changed.
fn move_files(lock: &mut IndexLock, plan: &Plan) -> Result<Option<Published>> {
    let git = lock.git()?.args(["read-tree", "-m", "-u", "--no-recurse-submodules"]);
    let output = git.args([lock.note.old.as_str(), lock.note.new.as_str()]).output()?;
    if output.code == Some(0) {
        return Ok(None);
    }
    let error = output.to_error("read-tree");
    let restored = restore_or_leave(lock, plan).with_context(|| error.to_string())?;
    if restored.undone == 0 && restored.left.is_empty() {
        return Ok(Some(refused(error.words)));
    }
    let message = format!("cannot update the files in {}: {}", lock.top.display(), error.words);
    Err(not_moved(message, &restored.left, &lock.top))
}

/// Brings the old files back, after the new ones were all written.
fn undo(lock: &mut IndexLock, plan: &Plan) -> Result<()> {
    let restored = restore_or_leave(lock, plan)?;
    if restored.left.is_empty() {
        return Ok(());
    }
    let message = format!("cannot bring back all files in {}", lock.top.display());
    Err(not_moved(message, &restored.left, &lock.top))
}

fn restore_or_leave(lock: &mut IndexLock, plan: &Plan) -> Result<Restored> {
    restore(lock, plan).inspect_err(|_| lock.leave_behind()).with_context(|| {
        let top = lock.top.display();
        format!(
            "the files in {top} are half updated; the target has not moved, and the next run puts them right"
        )
    })
}

/// An error that says what is still safe, and how to get the rest back.
fn not_moved(message: String, left: &[Text], top: &Path) -> anyhow::Error {
    let failure = Failure::new(exit::FAILURE, message);
    match left {
        [] => failure.safe("The target has not moved, and the files are as they were."),
        left => failure
            .safe(format!("The target has not moved. These files are not as they were: {}", join(left)))
            .hint(format!("look at them with: git -C {} diff", top.display()))
            .hint("git restore FILE... brings them back"),
    }
    .into()
}

fn join(paths: &[Text]) -> String {
    paths.iter().map(Text::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether the branch is being rebased there: HEAD is detached then, but will come back to it.
fn is_rebasing(admin_dir: &Path, target: &Text) -> bool {
    ["rebase-merge/head-name", "rebase-apply/head-name"].iter().any(|name| {
        fs::read(admin_dir.join(name)).is_ok_and(|name| name.trim_ascii_end() == *target.as_bstr())
    })
}

fn place(worktree: &Worktree) -> String {
    worktree.path.as_ref().map_or_else(|| "the main worktree".to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
#[path = "publish_tests.rs"]
pub(super) mod tests;
