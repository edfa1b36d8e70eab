//! Making a task's branch and worktree.

use anyhow::{Context as _, Result};

use super::Context;
use crate::git::Expect;
use crate::git::{self, NewBranch};
use crate::run::{Event, Oid, Task};

/// Makes branch and worktree, or says why they can't be made.
pub(super) fn prepare(context: &Context, task: &Task) -> Event {
    let name = task.name().clone();
    match try_prepare(context, task) {
        Ok(event) => event,
        Err(e) => Event::PrepareFailed { task: name, reason: format!("no worktree: {e:#}") },
    }
}

fn try_prepare(context: &Context, task: &Task) -> Result<Event> {
    let spec = &task.spec;
    let record = context.dir.create_task(&spec.name).context("cannot create the task's record")?;
    if let Some(prompt) = &spec.prompt {
        let path = record.join("prompt.md");
        crate::store::write_atomically(&path, prompt.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let base = start_point(context, task)?;
    if spec.reuse_worktree {
        let task = spec.name.clone();
        return Ok(Event::Prepared {
            task,
            base,
            branch_created: false,
            worktree_created: false,
            note: None,
        });
    }
    let branch = spec.branch_ref();
    let exists = git::branch_tip(&context.repo, &branch)?.is_some();
    let new_branch = if exists { NewBranch::Existing } else { NewBranch::Create };
    let path = spec.worktree.as_path();
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    // After a crash the worktree may be there already: then only its files are made again.
    let registered = exists && is_registered(context, task);
    if !registered {
        git::add(&context.repo, path, &branch, &base, new_branch)?;
    }
    let note = git::checkout(&context.repo, path)?;
    Ok(Event::Prepared {
        task: spec.name.clone(),
        base,
        branch_created: !spec.reuse,
        worktree_created: true,
        note,
    })
}

/// The commit that the branch starts from. An existing branch that is used as it is keeps its tip; one
/// that is started anew has its old tip pinned first.
fn start_point(context: &Context, task: &Task) -> Result<Oid> {
    let spec = &task.spec;
    let branch = spec.branch_ref();
    if spec.reuse {
        return git::branch_tip(&context.repo, &branch)?
            .with_context(|| format!("branch '{}' is gone", spec.branch));
    }
    let base = context.spec.base.clone();
    if let Some(old) = &spec.overwrite {
        let pin = context.pin(&spec.name, "overwritten");
        git::set_ref(&context.repo, &pin, old, Expect::Any, "parallel: pin before overwriting")?;
        let tip = git::branch_tip(&context.repo, &branch)?;
        if tip.as_ref() == Some(old) {
            let expected = Expect::Is(old);
            git::set_ref(&context.repo, &branch, &base, expected, "parallel: start anew")?;
        } else if tip.as_ref() != Some(&base) {
            anyhow::bail!("branch '{}' moved since the run was planned", spec.branch);
        }
    }
    Ok(base)
}

fn is_registered(context: &Context, task: &Task) -> bool {
    let path = task.spec.worktree.as_path();
    git::worktrees(&context.repo).is_ok_and(|all| {
        all.iter().any(|w| w.path.as_deref() == Some(path) && w.branch() == Some(&task.spec.branch_ref()))
    })
}
