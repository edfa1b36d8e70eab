//! Landing: making a candidate off to the side, and moving the target to it.

use anyhow::{Context as _, Result};

use super::Context;
use super::settling::{self, Settled};
use super::trouble::words;
use crate::git::{self, Expect, Merged, Published};
use crate::run::{Conflict, Event, How, Landing, Oid, Task, Text, name_some};

/// Makes a candidate of the task's work on the target's present tip.
pub(super) fn merge(context: &Context, task: &Task, known: &Oid, landed: &[Task]) -> Event {
    try_merge(context, task, known, landed)
        .unwrap_or_else(|e| held(task, format!("it could not be merged: {}", words(context, &e))))
}

fn held(task: &Task, reason: String) -> Event {
    Event::Held { task: task.name().clone(), reason, tip: None }
}

fn try_merge(context: &Context, task: &Task, known: &Oid, landed: &[Task]) -> Result<Event> {
    let (repo, spec) = (&context.repo, &context.spec);
    let name = task.name().clone();
    let Some(onto) = git::branch_tip(repo, &spec.target_ref())? else {
        return Ok(held(task, format!("branch '{}' is gone", spec.target)));
    };
    let tip = task.work.as_ref().and_then(|work| work.tip.clone()).context("its branch has no tip")?;
    let message = git::merge_message(&task.spec.branch, &spec.target);
    let mut settled = None;
    let (commit, how) = match git::merge(repo, &onto, &tip, spec.no_ff, &message)? {
        Merged::UpToDate => return Ok(Event::NothingToLand { task: name, tip: Some(tip) }),
        Merged::FastForward => (tip.clone(), How::FastForward),
        Merged::Commit(commit) => (commit, How::Merge),
        Merged::Conflicts(paths) => match settling::settle(context, task, &onto, &tip, &paths) {
            Settled::Tree(tree, how) => {
                settled = Some(how);
                (git::commit_merge(repo, &tree, &onto, &tip, &message)?, How::Merge)
            }
            Settled::Not(note) => {
                let conflicts = attribute(context, &paths, landed);
                return Ok(Event::Conflicted { task: name, onto, conflicts, note });
            }
        },
        Merged::Refused(why) => return Ok(held(task, why)),
    };
    // Until the target holds it, nothing else does; a `git gc` must not take it away.
    let pin = candidate_pin(context, task);
    git::set_ref(repo, &pin, &commit, Expect::Any, "parallel: candidate")?;
    // Somebody may have moved the target back; that is theirs to do, and nothing to keep quiet about.
    let went_back = onto != *known && !git::is_ancestor(repo, known, &onto)?;
    let went_back_from = went_back.then(|| known.clone());
    let landing = Landing { onto, tip, commit, how, settled };
    Ok(Event::CandidateMade { task: name, landing, went_back_from })
}

/// Among the task's other pins: a ref of the run's own could collide with a task's name.
fn candidate_pin(context: &Context, task: &Task) -> Text {
    context.pin(task.name(), "candidate")
}

/// Names, for each path that collides, the task whose landing last changed it.
fn attribute(context: &Context, paths: &[Text], landed: &[Task]) -> Vec<Conflict> {
    let changed = |landing: &Landing| {
        git::changed_paths(&context.repo, &landing.onto, &landing.commit).unwrap_or_default()
    };
    let mut landed: Vec<_> = landed.iter().filter_map(|t| t.landed().map(|l| (t, changed(l)))).collect();
    landed.sort_by_key(|(task, _)| std::cmp::Reverse(task.ready));
    let culprit = |path: &Text| landed.iter().find(|(_, paths)| paths.contains(path));
    paths
        .iter()
        .map(|path| Conflict { path: path.clone(), with: culprit(path).map(|(task, _)| task.name().clone()) })
        .collect()
}

/// Moves the target to the candidate.
pub(super) fn publish(context: &Context, task: &Task) -> Event {
    try_publish(context, task).unwrap_or_else(|e| match &task.landing {
        // It failed after the target had moved: it is landed, and what is left is mended at the next start.
        Some(landing) if is_published(context, landing).unwrap_or(false) => {
            Event::Landed { task: task.name().clone(), landing: landing.clone() }
        }
        _ => held(task, format!("it could not be landed: {}", words(context, &e))),
    })
}

fn try_publish(context: &Context, task: &Task) -> Result<Event> {
    let (repo, target) = (&context.repo, context.spec.target_ref());
    let landing = task.landing.clone().context("there is no candidate")?;
    let name = task.name().clone();
    // After a crash the target may have moved already: then this is done.
    let published = if is_published(context, &landing)? {
        Published::Done { updated_worktree: None }
    } else {
        let since = std::time::SystemTime::from(context.spec.started_at);
        git::make_durable(repo, &landing.commit, &landing.onto, since)?;
        let message = format!("parallel: land {} ({})", task.spec.branch, landing.how);
        git::publish(repo, &target, &landing.onto, &landing.commit, &message)?
    };
    // The target holds the candidate now, or nobody wants it any more: another one will be made.
    let _ = git::delete_ref(repo, &candidate_pin(context, task), &landing.commit);
    Ok(match published {
        Published::Done { .. } => Event::Landed { task: name, landing },
        Published::Moved(tip) => Event::TargetMoved { task: name, tip },
        Published::Refused { reason, paths } if paths.is_empty() => held(task, reason),
        Published::Refused { reason, paths } => held(task, format!("{reason}: {}", name_some(&paths))),
    })
}

fn is_published(context: &Context, landing: &Landing) -> Result<bool> {
    match git::branch_tip(&context.repo, &context.spec.target_ref())? {
        Some(tip) if tip == landing.onto => Ok(false),
        Some(tip) => git::is_ancestor(&context.repo, &landing.commit, &tip),
        None => Ok(false),
    }
}

/// The target's tip, if there is one.
pub(super) fn target_tip(context: &Context) -> Result<Option<Oid>> {
    git::branch_tip(&context.repo, &context.spec.target_ref())
}
