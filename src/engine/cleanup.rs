//! Removing worktree and branch of a task that needs them no more.

use anyhow::Result;

use super::{Context, collect};
use crate::git;
use crate::run::{CleanUp, Event, Oid, Task, TaskState};
use crate::store;

/// Why a worktree stays that the run did not make, or that somebody made anew after it was removed.
const NOT_OURS: &str = "the run did not create it";

/// Removes what is safe to remove after a task landed, or had nothing to land.
pub(super) fn clean_up(context: &Context, task: &Task) -> Event {
    Event::CleanedUp { task: task.name().clone(), cleanup: remove(context, task) }
}

/// Removes a task's worktree and branch where nothing can be lost by it; says what stays, and why.
pub fn remove(context: &Context, task: &Task) -> CleanUp {
    clean(context, task, false)
}

/// What [`remove`] would do.
pub fn would_remove(context: &Context, task: &Task) -> CleanUp {
    clean(context, task, true)
}

/// Removes a task's worktree and branch though work goes with them. Commits stay pinned.
///
/// # Errors
/// If the commits can't be pinned, or git refuses; nothing is removed behind git's back.
pub fn remove_by_force(context: &Context, task: &Task) -> Result<CleanUp> {
    let path = task.spec.worktree.as_path();
    let branch = task.spec.branch_ref();
    let tip = git::branch_tip(&context.repo, &branch)?;
    if let Some(tip) = &tip {
        collect::pin(context, task, "tip", tip)?;
    }
    let mut cleanup = CleanUp { worktree_kept: None, branch_kept: None };
    if is_there(context, task)? {
        let stays = match task.worktree_created {
            true => git::why_never(&context.repo, path)?,
            false => Some(NOT_OURS.to_owned()),
        };
        if stays.is_some() {
            cleanup.worktree_kept = stays;
            cleanup.branch_kept = Some("its worktree is kept".to_owned());
            return Ok(cleanup);
        }
        collect::pin_detached(context, task)?;
        collect::keep_abandoned(context, task)?;
        git::remove(&context.repo, path)?;
        context.prune_parents(task);
    }
    if !task.branch_created {
        cleanup.branch_kept = Some("it was there before the run".to_owned());
    } else if let Some(tip) = &tip {
        git::delete_ref(&context.repo, &branch, tip)?;
    }
    Ok(cleanup)
}

fn clean(context: &Context, task: &Task, dry_run: bool) -> CleanUp {
    let words = |e: anyhow::Error| Some(format!("{e:#}"));
    let branch_kept = why_branch_stays(context, task).unwrap_or_else(words);
    // A branch with work that did not land is worth little without the place to go on with it.
    let unlanded = branch_kept.clone().filter(|_| task.branch_created && task.state != TaskState::Landed);
    let worktree_kept = match unlanded {
        Some(reason) => Some(reason),
        None => clean_worktree(context, task, dry_run).unwrap_or_else(words),
    };
    if worktree_kept.is_some() {
        let branch_kept = branch_kept.or_else(|| Some("its worktree is kept".to_owned()));
        return CleanUp { worktree_kept, branch_kept };
    }
    let branch_kept = match branch_kept {
        None if !dry_run => delete_branch(context, task).unwrap_or_else(words),
        kept => kept,
    };
    CleanUp { worktree_kept, branch_kept }
}

fn is_there(context: &Context, task: &Task) -> Result<bool> {
    let path = task.spec.worktree.as_path();
    Ok(path.symlink_metadata().is_ok() || git::worktree_at(&context.repo, path)?.is_some())
}

/// Removes the worktree; says why not, if it stays.
fn clean_worktree(context: &Context, task: &Task, dry_run: bool) -> Result<Option<String>> {
    let path = task.spec.worktree.as_path();
    if !is_there(context, task)? {
        // An earlier attempt to clean up may have got just this far.
        context.prune_parents(task);
        return Ok(None);
    }
    if !task.worktree_created {
        return Ok(Some(NOT_OURS.to_owned()));
    }
    let untouched = store::untouched_files(&context.dir.ignored(task.name()), path);
    if let Some(reason) = git::why_kept(&context.repo, path, &context.disposable, &untouched)? {
        return Ok(Some(reason));
    }
    if !dry_run {
        collect::keep_abandoned(context, task)?;
        match &context.recycling {
            Some(recycling) => recycling.retire(&context.repo, task)?,
            None => git::remove(&context.repo, path)?,
        }
        context.prune_parents(task);
    }
    Ok(None)
}

/// Why the branch must stay; `None` if the run created it and all that it holds is on the target.
fn why_branch_stays(context: &Context, task: &Task) -> Result<Option<String>> {
    if !task.branch_created {
        return Ok(Some("it was there before the run".to_owned()));
    }
    let branch = task.spec.branch_ref();
    let Some(tip) = git::branch_tip(&context.repo, &branch)? else { return Ok(None) };
    if !is_on_target(context, task, &tip)? {
        return Ok(Some("it has commits that did not land".to_owned()));
    }
    let own = task.spec.worktree.as_path();
    let elsewhere = git::worktrees(&context.repo)?
        .into_iter()
        .find(|w| w.branch() == Some(&branch) && w.path.as_deref() != Some(own));
    Ok(elsewhere.map(|w| format!("it is checked out in {}", w.place().display())))
}

fn delete_branch(context: &Context, task: &Task) -> Result<Option<String>> {
    let branch = task.spec.branch_ref();
    let Some(tip) = git::branch_tip(&context.repo, &branch)? else { return Ok(None) };
    if !is_on_target(context, task, &tip)? {
        return Ok(Some("it has commits that did not land".to_owned()));
    }
    git::delete_ref(&context.repo, &branch, &tip)?;
    Ok(None)
}

fn is_on_target(context: &Context, task: &Task, tip: &Oid) -> Result<bool> {
    if task.landed().is_some_and(|landing| landing.tip == *tip) {
        return Ok(true);
    }
    match git::branch_tip(&context.repo, &context.spec.target_ref())? {
        Some(target) => git::is_ancestor(&context.repo, tip, &target),
        None => Ok(false),
    }
}
