//! Making branches and worktrees.
//!
//! All tasks that are to start at the same time are prepared together: each of their worktrees is begun, their
//! files are written in one pass, and then each is put in place by itself.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::trouble::words;
use super::{Context, agent, collect, gates, include, landing};
use crate::git::{self, Blank, Expect, Filled, NewBranch, Unseen};
use crate::run::{Event, Oid, Task};

/// What was begun of a worktree.
pub(super) struct Begun {
    base: Oid,
    made: Made,
}

enum Made {
    /// It was there, and stays as it is.
    AsItIs { worktree_created: bool },
    /// It is in place, and git is to write its files.
    Registered,
    /// It is made aside, and its files are still to be written.
    Aside(Box<Unseen>),
}

/// What it is told as if a task can't be prepared.
pub(super) fn failed(context: &Context, task: &Task, error: &anyhow::Error) -> Event {
    context.prune_parents(task);
    Event::PrepareFailed {
        task: task.name().clone(),
        reason: format!("no worktree: {}", words(context, error)),
    }
}

/// Makes what is quickly made: the branch, and all of the worktree but its files.
pub(super) fn begin(context: &Context, task: &Task) -> Result<Begun> {
    context.dir.create_task(&task.spec.name).context("cannot create the task's record")?;
    // Its agent need not have been started: there was no room for it, or the setup failed.
    let again = task.attempt > 0 || task.worktree_created;
    match (again, task.fresh) {
        (true, false) => as_it_is(context, task),
        (true, true) => start_over(context, task),
        (false, _) => make(context, task),
    }
}

/// Writes the files of all worktrees that are made aside, those from one commit in one pass. One result for
/// each, in their order.
pub(super) fn write_files(context: &Context, begun: &[Begun]) -> Vec<Result<Option<Filled>>> {
    let began = Instant::now();
    let mut results: Vec<Result<Option<Filled>>> = begun.iter().map(|_| Ok(None)).collect();
    let mut groups: BTreeMap<&Oid, Vec<(usize, Blank)>> = BTreeMap::new();
    for (i, begun) in begun.iter().enumerate() {
        if let Made::Aside(unseen) = &begun.made {
            groups.entry(&begun.base).or_default().push((i, unseen.blank()));
        }
    }
    for (base, group) in groups {
        let (numbers, blanks): (Vec<usize>, Vec<Blank>) = group.into_iter().unzip();
        for (i, result) in numbers.into_iter().zip(context.fan_out.write(&context.repo, base, &blanks)) {
            results[i] = result;
        }
    }
    let is_new = |begun: &Begun| matches!(&begun.made, Made::Aside(unseen) if unseen.is_new());
    if let Some(recycling) = context.recycling.as_ref().filter(|_| begun.iter().all(is_new)) {
        recycling.note_effort(began.elapsed() / u32::try_from(begun.len()).unwrap_or(u32::MAX).max(1));
    }
    results
}

/// Puts the worktree in place, and beside its files whatever else its agent is to find.
pub(super) fn finish(context: &Context, task: &Task, begun: Begun, filled: Option<Filled>) -> Result<Event> {
    let Begun { base, made } = begun;
    let path = task.spec.worktree.as_path();
    let is_new = !matches!(made, Made::AsItIs { .. });
    let (worktree_created, note) = match made {
        Made::AsItIs { worktree_created } => (worktree_created, None),
        Made::Registered => (true, git::checkout(&context.repo, path)?),
        Made::Aside(unseen) => {
            unseen.finish()?;
            if let Some((recycling, filled)) = context.recycling.as_ref().zip(filled) {
                recycling.remember(task.name(), filled.settle());
            }
            (true, git::post_checkout(&context.repo, path)?)
        }
    };
    let based = Task { base: Some(base.clone()), ..task.clone() };
    if let Some(prompt) = agent::prompt(context, &based) {
        let path = context.dir.prompt(task.name());
        crate::store::write_atomically(&path, prompt.as_bstr())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    gates::remember(context, task)?;
    let mut notes: Vec<String> = note.into_iter().collect();
    if is_new && !context.spec.include.is_empty() {
        notes.extend(include::bring(context, task)?);
        include::remember(context, task)?;
    }
    Ok(Event::Prepared {
        task: task.name().clone(),
        base,
        branch_created: !task.spec.reuse,
        worktree_created,
        is_new,
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    })
}

/// The first attempt: from the base, on a new branch unless an old one was asked for.
fn make(context: &Context, task: &Task) -> Result<Begun> {
    let base = start_point(context, task)?;
    if task.spec.reuse_worktree {
        return Ok(Begun { base, made: Made::AsItIs { worktree_created: false } });
    }
    add_worktree(context, task, base)
}

/// A further attempt goes on where the last one ended.
fn as_it_is(context: &Context, task: &Task) -> Result<Begun> {
    let base = context.base_of(task).clone();
    let path = task.spec.worktree.as_path();
    let present = git::worktree_at(&context.repo, path)?.is_some_and(|worktree| worktree.is_present());
    if !present {
        return add_worktree(context, task, base);
    }
    Ok(Begun { base, made: Made::AsItIs { worktree_created: task.worktree_created } })
}

/// A further attempt from the base: what the last one made is pinned, then taken away.
fn start_over(context: &Context, task: &Task) -> Result<Begun> {
    let (spec, base) = (&task.spec, fresh_base(context, task)?);
    let path = spec.worktree.as_path();
    if git::worktree_at(&context.repo, path)?.is_some_and(|worktree| worktree.is_present()) {
        if let Some(reason) = git::why_never(&context.repo, path)? {
            anyhow::bail!("{} can't be made anew: {reason}", path.display());
        }
        collect::keep_abandoned(context, task)?;
        git::remove(&context.repo, path)?;
    }
    let branch = spec.branch_ref();
    if let Some(tip) = git::branch_tip(&context.repo, &branch)? {
        let pin = context.pin(&spec.name, &format!("attempt-{}", task.attempt));
        git::set_ref(&context.repo, &pin, &tip, Expect::Any, "parallel: pin before starting over")?;
        git::set_ref(&context.repo, &branch, &base, Expect::Is(&tip), "parallel: start over")?;
    }
    add_worktree(context, task, base)
}

fn add_worktree(context: &Context, task: &Task, base: Oid) -> Result<Begun> {
    let path = task.spec.worktree.as_path();
    let branch = task.spec.branch_ref();
    let exists = git::branch_tip(&context.repo, &branch)?.is_some();
    if !exists && !git::only_git_can_add(&context.repo) {
        let spare = context.recycling.as_ref().and_then(|recycling| recycling.take());
        let unseen = Unseen::begin(&context.repo, path, &branch, &base, spare)?;
        return Ok(Begun { base, made: Made::Aside(Box::new(unseen)) });
    }
    // After a crash it may be there already, and only its files are to be written again.
    let there = git::worktree_at(&context.repo, path)?.is_some_and(|worktree| worktree.is_present());
    if !(exists && there) {
        let new = if exists { NewBranch::Existing } else { NewBranch::Create };
        git::add(&context.repo, path, &branch, &base, new)?;
    }
    Ok(Begun { base, made: Made::Registered })
}

/// The commit that a new branch starts from: for a task that depends on others, the target as it is now that
/// they have landed.
fn fresh_base(context: &Context, task: &Task) -> Result<Oid> {
    let Some(start) = &task.start else {
        return Ok(task.spec.base.as_ref().unwrap_or(&context.spec.base).clone());
    };
    match landing::target_tip(context)? {
        Some(tip) if git::is_ancestor(&context.repo, start, &tip)? => Ok(tip),
        _ => Ok(start.clone()),
    }
}

/// The commit that the branch starts from. An existing branch that is used as it is keeps its tip; one
/// that is started anew has its old tip pinned first.
fn start_point(context: &Context, task: &Task) -> Result<Oid> {
    let spec = &task.spec;
    let branch = spec.branch_ref();
    let tip = git::branch_tip(&context.repo, &branch)?;
    if spec.reuse {
        return tip.with_context(|| format!("branch '{}' is gone", spec.branch));
    }
    let base = fresh_base(context, task)?;
    if let Some(old) = &spec.overwrite {
        let pin = context.pin(&spec.name, "overwritten");
        git::set_ref(&context.repo, &pin, old, Expect::Any, "parallel: pin before overwriting")?;
        if tip.as_ref() == Some(old) {
            git::set_ref(&context.repo, &branch, &base, Expect::Is(old), "parallel: start anew")?;
        } else if tip.as_ref() != Some(&base) {
            anyhow::bail!("branch '{}' moved since the run was planned", spec.branch);
        }
    }
    Ok(base)
}
