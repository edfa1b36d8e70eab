//! Before a run that another supervisor left is taken up: what its death cut off is completed or undone.
//!
//! Only what git itself would stumble over is mended here. All else follows from the journal: a step that
//! was begun and has no result is done again, and every worker can be sent twice.

use anyhow::Result;

use super::{Context, include, landing, settling};
use crate::git;
use crate::run::{Oid, Run, Task, TaskState, Text};

/// Mends what is half done; returns a sentence for each thing, for people.
///
/// # Errors
/// If a checkout that was being updated can't be brought to an end.
pub(super) fn recover(context: &Context, run: &Run) -> Result<Vec<String>> {
    let mut told = Vec::new();
    let here = |task: &&Task| task.state != TaskState::Running || task.job.is_none();
    let branches: Vec<Text> = run.tasks.iter().filter(here).map(|t| t.spec.branch_ref()).collect();
    let elsewhere = context.spec.works_elsewhere();
    let pins = format!("refs/parallel/{}", context.spec.id).into();
    for lock in git::clear_stale_locks(&context.repo, &context.spec.target_ref(), &branches, &pins, elsewhere)
    {
        told.push(format!("removed {}, left behind by a git that died", lock.display()));
    }
    for recovered in git::recover(&context.repo)? {
        let how = if recovered.completed { "finished" } else { "took back" };
        let place = recovered.worktree.display();
        told.push(format!("{how} an update of {place} that was cut off"));
        for path in recovered.left {
            told.push(format!("{path} there was edited meanwhile, and left alone"));
        }
    }
    if let Err(e) = settling::remove_scratch(context) {
        told.push(format!("warning: {e:#}"));
    }
    git::clear_nursery(&context.repo);
    for task in &run.tasks {
        match task.state {
            TaskState::Preparing => {
                include::discard(task);
                take_back_worktree(context, task);
            }
            // Nobody was in there any more but us, committing what the agent had left.
            TaskState::Finished if task.working => clear_locks(context, task),
            TaskState::Landed | TaskState::Unchanged => {
                git::finish_removal(&context.repo, task.spec.worktree.as_path());
                context.prune_parents(task);
            }
            _ => {}
        }
    }
    Ok(told)
}

/// A worktree that no agent was in yet is made anew, unless its files are being written already: then
/// they are written again.
fn take_back_worktree(context: &Context, task: &Task) {
    if task.worktree_created && task.attempt == 0 {
        // It is whole, and it was being set up.
        return clear_locks(context, task);
    }
    if task.attempt > 0 || task.spec.reuse_worktree {
        return;
    }
    let branch = task.spec.branch_ref();
    let base = fresh_branch(context, task);
    let created = base.as_ref().filter(|_| !task.spec.reuse && task.spec.overwrite.is_none());
    let path = task.spec.worktree.as_path();
    git::take_back(&context.repo, path, created.map(|base| (&branch, base)));
    git::finish_removal(&context.repo, path);
    clear_locks(context, task);
}

/// Where the branch is, if nothing was done on it: at the base, or somewhere on the target for a task that
/// depends on others.
fn fresh_branch(context: &Context, task: &Task) -> Option<Oid> {
    let base = task.spec.base.as_ref().unwrap_or(&context.spec.base);
    let Some(start) = &task.start else { return Some(base.clone()) };
    let tip = git::branch_tip(&context.repo, &task.spec.branch_ref()).ok()??;
    let target = landing::target_tip(context).ok()??;
    let on_target = git::is_ancestor(&context.repo, &tip, &target).unwrap_or(false);
    (tip == *start || on_target).then_some(tip)
}

fn clear_locks(context: &Context, task: &Task) {
    if let Ok(Some(worktree)) = git::worktree_at(&context.repo, task.spec.worktree.as_path()) {
        git::clear_own_locks(&worktree.admin_dir);
    }
}
