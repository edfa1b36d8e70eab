//! Making a task's branch and worktree.

use anyhow::{Context as _, Result};

use super::trouble::words;
use super::{Context, agent, collect, gates, include, landing};
use crate::git::{self, Expect, NewBranch};
use crate::run::{Event, Oid, Task};

/// Makes branch and worktree, or says why they can't be made.
pub(super) fn prepare(context: &Context, task: &Task) -> Event {
    let name = task.name().clone();
    match try_prepare(context, task) {
        Ok(event) => event,
        Err(e) => Event::PrepareFailed { task: name, reason: format!("no worktree: {}", words(context, &e)) },
    }
}

/// What the agent will find.
struct Place {
    base: Oid,
    worktree_created: bool,
    /// Its files were written just now, and nobody has been in there yet.
    is_new: bool,
    note: Option<String>,
}

impl Place {
    /// A worktree with a checkout just made.
    fn new(base: Oid, note: Option<String>) -> Place {
        Place { base, worktree_created: true, is_new: true, note }
    }
}

fn try_prepare(context: &Context, task: &Task) -> Result<Event> {
    let spec = &task.spec;
    let record = context.dir.create_task(&spec.name).context("cannot create the task's record")?;
    // Its agent need not have been started: there was no room for it, or the setup failed.
    let again = task.attempt > 0 || task.worktree_created;
    let place = match (again, task.fresh) {
        (true, false) => as_it_is(context, task)?,
        (true, true) => start_over(context, task)?,
        (false, _) => make(context, task)?,
    };
    let based = Task { base: Some(place.base.clone()), ..task.clone() };
    if let Some(prompt) = agent::prompt(context, &based) {
        let path = record.join("prompt.md");
        crate::store::write_atomically(&path, prompt.as_bstr())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    gates::remember(context, task)?;
    let mut notes: Vec<String> = place.note.into_iter().collect();
    if place.is_new && !context.spec.include.is_empty() {
        notes.extend(include::bring(context, task)?);
        include::remember(context, task)?;
    }
    Ok(Event::Prepared {
        task: spec.name.clone(),
        base: place.base,
        branch_created: !spec.reuse,
        worktree_created: place.worktree_created,
        is_new: place.is_new,
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    })
}

/// The first attempt: from the base, on a new branch unless an old one was asked for.
fn make(context: &Context, task: &Task) -> Result<Place> {
    let base = start_point(context, task)?;
    if task.spec.reuse_worktree {
        return Ok(Place { base, worktree_created: false, is_new: false, note: None });
    }
    let note = add_worktree(context, task, &base)?;
    Ok(Place::new(base, note))
}

/// A further attempt goes on where the last one ended.
fn as_it_is(context: &Context, task: &Task) -> Result<Place> {
    let base = context.base_of(task).clone();
    let path = task.spec.worktree.as_path();
    let present = git::worktree_at(&context.repo, path)?.is_some_and(|worktree| worktree.is_present());
    if !present {
        let note = add_worktree(context, task, &base)?;
        return Ok(Place::new(base, note));
    }
    Ok(Place { base, worktree_created: task.worktree_created, is_new: false, note: None })
}

/// A further attempt from the base: what the last one made is pinned, then taken away.
fn start_over(context: &Context, task: &Task) -> Result<Place> {
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
    let note = add_worktree(context, task, &base)?;
    Ok(Place::new(base, note))
}

fn add_worktree(context: &Context, task: &Task, base: &Oid) -> Result<Option<String>> {
    let path = task.spec.worktree.as_path();
    let branch = task.spec.branch_ref();
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let exists = git::branch_tip(&context.repo, &branch)?.is_some();
    if !exists && !git::only_git_can_add(&context.repo) {
        let made = git::Unseen::begin(&context.repo, path, &branch, base, None).and_then(|unseen| {
            unseen.fill_by_git()?;
            unseen.finish()
        });
        made.inspect_err(|_| context.prune_parents(task))?;
        return git::post_checkout(&context.repo, path);
    }
    // After a crash it may be there already, and only its files are to be written again.
    let there = git::worktree_at(&context.repo, path)?.is_some_and(|worktree| worktree.is_present());
    if !(exists && there) {
        let new = if exists { NewBranch::Existing } else { NewBranch::Create };
        git::add(&context.repo, path, &branch, base, new)?;
    }
    git::checkout(&context.repo, path)
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
