//! Removing worktree and branch of a task that needs them no more.

use crate::git;
use crate::run::{CleanUp, Event, Oid, Task, TaskState};

use super::Context;

/// Removes what is safe to remove after a task landed, or had nothing to land.
pub(super) fn clean_up(context: &Context, task: &Task) -> Event {
    Event::CleanedUp { task: task.name().clone(), cleanup: remove(context, task) }
}

/// Removes a landed task's worktree and then its branch; says what stays, and why.
pub fn remove(context: &Context, task: &Task) -> CleanUp {
    let worktree_kept = remove_worktree(context, task);
    let branch_kept = match &worktree_kept {
        Some(_) => Some("its worktree is kept".to_owned()),
        None => remove_branch(context, task),
    };
    CleanUp { worktree_kept, branch_kept }
}

fn remove_worktree(context: &Context, task: &Task) -> Option<String> {
    let path = task.spec.worktree.as_path();
    if !task.worktree_created {
        return Some("the run did not create it".to_owned());
    }
    if path.symlink_metadata().is_err() && matches!(git::worktree_at(&context.repo, path), Ok(None)) {
        return None;
    }
    match git::why_kept(&context.repo, path, &context.disposable) {
        Ok(Some(reason)) => Some(reason),
        Ok(None) => git::remove(&context.repo, path).err().map(|e| format!("{e:#}")),
        Err(e) => Some(format!("{e:#}")),
    }
}

/// Deletes the branch if the run created it and all that it holds is on the target.
fn remove_branch(context: &Context, task: &Task) -> Option<String> {
    if !task.branch_created {
        return Some("it was there before the run".to_owned());
    }
    match try_remove_branch(context, task) {
        Ok(kept) => kept,
        Err(e) => Some(format!("{e:#}")),
    }
}

fn try_remove_branch(context: &Context, task: &Task) -> anyhow::Result<Option<String>> {
    let branch = task.spec.branch_ref();
    let Some(tip) = git::branch_tip(&context.repo, &branch)? else { return Ok(None) };
    if !is_on_target(context, task, &tip)? {
        return Ok(Some("it has commits that did not land".to_owned()));
    }
    if let Some(elsewhere) = git::worktrees(&context.repo)?.iter().find(|w| w.branch() == Some(&branch)) {
        return Ok(Some(format!("it is checked out in {}", elsewhere.place().display())));
    }
    git::delete_ref(&context.repo, &branch, &tip)?;
    Ok(None)
}

fn is_on_target(context: &Context, task: &Task, tip: &Oid) -> anyhow::Result<bool> {
    let recorded = task.state == TaskState::Landed && task.landing.as_ref().is_some_and(|l| l.tip == *tip);
    if recorded {
        return Ok(true);
    }
    match git::branch_tip(&context.repo, &context.spec.target_ref())? {
        Some(target) => git::is_ancestor(&context.repo, tip, &target),
        None => Ok(false),
    }
}
