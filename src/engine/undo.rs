//! Undoing: a run's landings are taken back off its target by new commits, all of them in one step or none.
//!
//! The reverts are made off to the side, each landing's on top of the one before, the latest landing first;
//! what comes of them passes the run's own check, and the target moves once, as it does for a landing. What
//! was made is journalled before that, so that whoever comes after a crash knows from git how far it got.

mod driver;

use std::cmp::Reverse;
use std::collections::HashSet;

use anyhow::Result;

use super::Context;
use super::landing::target_tip;
use crate::error::{Failure, exit};
use crate::git::{self, Reversal, Reverted};
use crate::run::{Event, How, Landing, LeftOut, Oid, Prospect, Revert, Run, Task, Text, name_some};
use crate::ui;

pub use driver::Undo;

/// Makes the reverts of all that the run landed and the target still has. A `trial` is only to know what
/// would come of it: its commits are never signed.
///
/// # Errors
/// A [`Failure`] that names what is in the way if one of them collides with what came later; nothing has
/// changed then.
pub fn prospect(context: &Context, run: &Run, trial: bool) -> Result<Prospect> {
    let onto = target_tip(context)?.ok_or_else(|| gone(run))?;
    let mut landed: Vec<(&Task, &Landing)> =
        run.tasks.iter().filter_map(|task| Some((task, task.landed()?))).collect();
    // The order in which they were queued is the one in which they landed.
    landed.sort_by_key(|(task, _)| Reverse(task.place));
    let mut prospect = Prospect { onto: onto.clone(), reverts: Vec::new(), left_out: Vec::new() };
    let mut tip = onto.clone();
    let mut reverted: Vec<(&Task, &Landing)> = Vec::new();
    for (task, landing) in landed {
        let name = task.name().clone();
        if let Some(why) = left_out(context, task, landing, &onto)? {
            prospect.left_out.push((name, why));
            continue;
        }
        let wish = Reversal { tip: &tip, landing, branch: &task.spec.branch, trial };
        match git::revert(&context.repo, &wish)? {
            Reverted::Commit(commit) => {
                tip = commit.clone();
                prospect.reverts.push(Revert { task: name, commit });
                reverted.push((task, landing));
            }
            Reverted::Nothing => prospect.left_out.push((name, LeftOut::Empty)),
            Reverted::Conflicts(paths) => {
                let collision = Collision { task, landing, paths: &paths, tip: &onto, reverted: &reverted };
                return Err(collision.explain(context)?);
            }
        }
    }
    Ok(prospect)
}

fn left_out(context: &Context, task: &Task, landing: &Landing, tip: &Oid) -> Result<Option<LeftOut>> {
    if !git::is_ancestor(&context.repo, &landing.commit, tip)? {
        return Ok(Some(LeftOut::Gone));
    }
    // A revert that somebody has reset away does not count.
    Ok(match &task.undone {
        Some(commit) if git::is_ancestor(&context.repo, commit, tip)? => {
            Some(LeftOut::Undone(commit.clone()))
        }
        _ => None,
    })
}

fn gone(run: &Run) -> anyhow::Error {
    Failure::new(
        exit::FAILURE,
        format!("branch '{}' is gone: there is nothing to undo on it", run.spec.target),
    )
    .safe("Nothing was changed.")
    .into()
}

/// A landing that can't be reverted by itself, and those after it, which can.
struct Collision<'a> {
    task: &'a Task,
    landing: &'a Landing,
    paths: &'a [Text],
    tip: &'a Oid,
    reverted: &'a [(&'a Task, &'a Landing)],
}

impl Collision<'_> {
    fn explain(&self, context: &Context) -> Result<anyhow::Error> {
        let (target, id) = (ui::name(context.spec.target.as_bstr()), &context.spec.id);
        let paths: Vec<Text> = self.paths.iter().map(|path| ui::name(path.as_bstr()).into()).collect();
        let place = if paths.is_empty() { String::new() } else { format!(", in {}", name_some(&paths)) };
        let message = format!(
            "run {id} can't be undone: what '{}' landed ({}) was built upon later{place}",
            self.task.name(),
            self.landing.commit.short()
        );
        let mut failure = Failure::new(exit::FAILURE, message)
            .safe(format!("Nothing was changed: {target} is at {}, as before.", self.tip.short()));
        for commit in self.culprits(context)? {
            let subject = ui::one_line(&commit.subject);
            failure = failure.hint(format!("changed there since by {} {subject}", commit.id.short()));
        }
        let all = self.reverted.iter().map(|(_, landing)| *landing).chain([self.landing]);
        let commands: Result<Vec<String>> = all.map(|landing| by_hand(context, landing)).collect();
        let commands = commands?.join(" && ");
        Ok(failure.hint(format!("by hand, in a checkout of {target}: {commands}")).into())
    }

    /// The latest commits of others that changed what collides.
    fn culprits(&self, context: &Context) -> Result<Vec<git::Named>> {
        const MOST: usize = 3;
        let repo = &context.repo;
        let mut own = HashSet::new();
        for (_, landing) in self.reverted {
            own.extend(git::new_commits(repo, &landing.commit, &landing.onto)?);
        }
        let all = if self.paths.is_empty() {
            Vec::new()
        } else {
            git::commits_that_change(repo, &self.landing.commit, self.tip, self.paths)?
        };
        Ok(all.into_iter().filter(|commit| !own.contains(&commit.id)).take(MOST).collect())
    }
}

/// The command that reverts a landing in a checkout of the target, stopping at each conflict.
fn by_hand(context: &Context, landing: &Landing) -> Result<String> {
    let (onto, commit) = (landing.onto.short(), landing.commit.short());
    let new = git::new_commits(&context.repo, &landing.commit, &landing.onto)?.len();
    Ok(match landing.how {
        How::Merge => format!("git revert -m 1 {commit}"),
        _ if new == 1 => format!("git revert {commit}"),
        _ if git::has_merges(&context.repo, &landing.onto, &landing.commit)? => {
            format!("git revert -m 1 $(git rev-list --first-parent {onto}..{commit})")
        }
        _ => format!("git revert {onto}..{commit}"),
    })
}

/// Whether the reverts that were made for this run got onto the target.
fn is_published(context: &Context, run: &Run) -> Result<bool> {
    let last = run.undoing.as_ref().and_then(|reverts| reverts.last());
    match (last, target_tip(context)?) {
        (Some(last), Some(tip)) => git::is_ancestor(&context.repo, &last.commit, &tip),
        _ => Ok(false),
    }
}

/// What has come of an undo that was cut off, if that is not known yet: the fact to record, or a sentence.
///
/// # Errors
/// If the target can't be read.
pub(super) fn look_after(context: &Context, run: &Run) -> Result<Option<Result<Event, String>>> {
    let Some(reverts) = &run.undoing else { return Ok(None) };
    if is_published(context, run)? {
        let known =
            |revert: &Revert| run.task(&revert.task).and_then(|t| t.undone.as_ref()) == Some(&revert.commit);
        return Ok((!reverts.iter().all(known)).then(|| Ok(Event::Undone { reverts: reverts.clone() })));
    }
    let (target, id) = (ui::name(run.spec.target.as_bstr()), &run.spec.id);
    Ok(Some(Err(format!("its undo was cut off before {target} moved; to do it: git parallel undo {id}"))))
}
