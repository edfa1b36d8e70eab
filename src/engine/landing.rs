//! Landing: making a candidate off to the side, and moving the target to it.

use anyhow::{Context as _, Result};

use super::Context;
use super::landed::{self, Earlier};
use super::settling::{self, Settled};
use super::trouble::words;
use crate::git::{self, Expect, Merged, Published, Wish};
use crate::run::{Conflict, Event, Landing, Oid, Task, TaskState, Text, name_some};

/// How a conflict was settled, where `--on-conflict` did it.
pub(super) const BY_RESOLVER: &str = "settled by the resolver";

const NO_CANDIDATE: &str = "there is no candidate";

/// What a candidate is made on.
pub(super) enum Base {
    /// The target's present tip.
    Target {
        /// Where it was last seen.
        known: Oid,
    },
    /// The candidate of the task before, which is to land first.
    Candidate(Oid),
}

/// Makes a candidate of the task's work. `before` is what landed, or is to land first.
pub(super) fn merge(context: &Context, task: &Task, base: &Base, before: &[Earlier]) -> Event {
    try_merge(context, task, base, before)
        .unwrap_or_else(|e| held(task, format!("it could not be merged: {}", words(context, &e))))
}

fn held(task: &Task, reason: String) -> Event {
    Event::Held { task: task.name().clone(), reason, tip: None }
}

fn try_merge(context: &Context, task: &Task, base: &Base, before: &[Earlier]) -> Result<Event> {
    let (repo, spec) = (&context.repo, &context.spec);
    let name = task.name().clone();
    let onto = match base {
        Base::Candidate(commit) => commit.clone(),
        Base::Target { .. } => match git::branch_tip(repo, &spec.target_ref())? {
            Some(tip) => tip,
            None => return Ok(held(task, format!("branch '{}' is gone", spec.target))),
        },
    };
    let tip = task.work.as_ref().and_then(|work| work.tip.clone()).context("its branch has no tip")?;
    let wish = wish(context, task, &onto, &tip, before)?;
    let mut settled = None;
    let mut merged = match settled_before(context, task, &onto, &tip)? {
        Some(tree) => {
            settled = Some(BY_RESOLVER.to_owned());
            git::settled_candidate(repo, &wish, &tree)?
        }
        None => git::candidate(repo, &wish)?,
    };
    if let Merged::Conflicts(paths) = &merged {
        match settling::settle(context, task, &wish, paths) {
            Settled::Tree(tree, how) => {
                settled = Some(how);
                merged = git::settled_candidate(repo, &wish, &tree)?;
            }
            Settled::Not(note) => {
                let conflicts = attribute(context, paths, before);
                return Ok(Event::Conflicted { task: name, onto, conflicts, note });
            }
        }
    }
    let (commit, how) = match merged {
        Merged::UpToDate => return Ok(Event::NothingToLand { task: name, tip: Some(tip) }),
        Merged::Candidate(commit, how) => (commit, how),
        Merged::Conflicts(paths) => {
            let conflicts = attribute(context, &paths, before);
            return Ok(Event::Conflicted { task: name, onto, conflicts, note: None });
        }
        Merged::RebaseFirst(why) => return Ok(held(task, format!("{why}; {}", to_rebase(context, task)))),
        Merged::Refused(why) => return Ok(held(task, why)),
    };
    // Until the target holds it, nothing else does; a `git gc` must not take it away.
    pin_candidate(context, task, &commit)?;
    // Somebody may have moved the target back; that is theirs to do, and nothing to keep quiet about.
    let went_back_from = match base {
        Base::Target { known } if onto != *known && !git::is_ancestor(repo, known, &onto)? => {
            Some(known.clone())
        }
        _ => None,
    };
    let landing = Landing { onto, tip, commit, how, settled };
    Ok(Event::CandidateMade { task: name, landing, went_back_from })
}

/// How the task's work is to be landed on that commit.
pub(super) fn wish<'a>(
    context: &'a Context,
    task: &'a Task,
    onto: &'a Oid,
    tip: &'a Oid,
    before: &[Earlier],
) -> Result<Wish<'a>> {
    let spec = &context.spec;
    Ok(Wish {
        onto,
        tip,
        strategy: spec.strategy,
        no_ff: spec.no_ff,
        landed: landed::before(context, onto, tip, before)?,
        branch: &task.spec.branch,
        target: &spec.target,
    })
}

/// The tree that the task's resolver came to, if it did for this very merge.
fn settled_before(context: &Context, task: &Task, onto: &Oid, tip: &Oid) -> Result<Option<Oid>> {
    let Some(settled) = task.resolution.as_ref().filter(|settled| settled.tip == *tip) else {
        return Ok(None);
    };
    let repo = &context.repo;
    let same = settled.onto == *onto || git::tree_of(repo, &settled.onto)? == git::tree_of(repo, onto)?;
    if same { git::tree_of(repo, &settled.commit).map(Some) } else { Ok(None) }
}

/// Keeps a candidate from a `git gc` until the target holds it.
pub(super) fn pin_candidate(context: &Context, task: &Task, commit: &Oid) -> Result<()> {
    git::set_ref(&context.repo, &candidate_pin(context, task), commit, Expect::Any, "parallel: candidate")
}

/// What brings the branch on top of the target, for a person.
fn to_rebase(context: &Context, task: &Task) -> String {
    let quoted = |text: &Text| crate::ui::quote(text);
    let (path, target) = (quoted(&task.spec.worktree), quoted(&context.spec.target));
    format!("first: git -C {path} rebase {target}")
}

/// Among the task's other pins: a ref of the run's own could collide with a task's name.
fn candidate_pin(context: &Context, task: &Task) -> Text {
    context.pin(task.name(), "candidate")
}

/// Gives up the candidates that came to nothing, but for those that a person may want to look at: what a
/// check refused.
///
/// # Errors
/// If git can't list or delete them.
pub(super) fn drop_candidates(context: &Context, tasks: &[Task]) -> Result<()> {
    for task in tasks.iter().filter(|task| task.state != TaskState::Rejected) {
        let pin = candidate_pin(context, task);
        if let Some(commit) = git::branch_tip(&context.repo, &pin)? {
            git::delete_ref(&context.repo, &pin, &commit)?;
        }
    }
    Ok(())
}

/// Names, for each path that collides, the task whose landing last changed it.
fn attribute(context: &Context, paths: &[Text], before: &[Earlier]) -> Vec<Conflict> {
    let changed = |landing: &Landing| {
        git::changed_paths(&context.repo, &landing.onto, &landing.commit).unwrap_or_default()
    };
    let mut landed: Vec<_> = before.iter().map(|earlier| (earlier, changed(&earlier.landing))).collect();
    landed.sort_by_key(|(earlier, _)| std::cmp::Reverse(earlier.ready));
    let culprit = |path: &Text| landed.iter().find(|(_, paths)| paths.contains(path));
    paths
        .iter()
        .map(|path| Conflict {
            path: path.clone(),
            with: culprit(path).map(|(earlier, _)| earlier.name.clone()),
        })
        .collect()
}

/// What came of moving the target.
enum Outcome {
    Landed,
    Moved { tip: Oid, went_back: bool },
    Not(String),
}

/// Moves the target to the last of the candidates, each of which stands on the one before. Tells what became of each,
/// in their order; of an atomic run, of the last.
pub(super) fn publish(context: &Context, chain: &[Task]) -> Vec<Event> {
    if context.spec.atomic {
        return land(context, chain);
    }
    // After a crash the target may be at any of them already.
    let (done, rest) = chain.split_at(published(context, chain).unwrap_or(0));
    // What somebody wants stopped stays behind, but for a landing that was all but done.
    let stopped = rest.iter().skip(1).position(|task| task.stop.is_some());
    let (now, later) = rest.split_at(stopped.map_or(rest.len(), |i| i + 1));
    let landings = [done, now].into_iter().flat_map(|chain| land(context, chain));
    landings.chain(later.iter().map(put_off)).collect()
}

/// How many of the candidates the target holds.
fn published(context: &Context, chain: &[Task]) -> Result<usize> {
    let (onto, _) = ends(chain)?;
    for (i, task) in chain.iter().enumerate().rev() {
        let landing = task.landing.as_ref().context(NO_CANDIDATE)?;
        if is_published(context, onto, &landing.commit)? {
            return Ok(i + 1);
        }
    }
    Ok(0)
}

/// Where what can't be published as a whole is to be told from what is in its way, it is done by halves.
fn land(context: &Context, chain: &[Task]) -> Vec<Event> {
    let [first, others @ ..] = chain else { return Vec::new() };
    let last = others.last().unwrap_or(first);
    let is_one = others.is_empty() || context.spec.atomic;
    match move_target(context, chain) {
        Outcome::Landed if is_one => vec![landed(last)],
        Outcome::Landed => chain.iter().map(landed).collect(),
        Outcome::Moved { tip, went_back } => {
            let task = if is_one { last } else { first };
            let went_back_from = ends(chain).ok().filter(|_| went_back).map(|(onto, _)| onto.clone());
            let moved = Event::TargetMoved { task: task.name().clone(), tip, went_back_from };
            let others = if is_one { &[] } else { others };
            std::iter::once(moved).chain(others.iter().map(put_off)).collect()
        }
        Outcome::Not(reason) if is_one => vec![held(last, reason)],
        Outcome::Not(_) => {
            let (below, above) = chain.split_at(chain.len() / 2);
            let mut events = land(context, below);
            let all_landed = events.iter().all(|event| matches!(event, Event::Landed { .. }));
            // What stands on something that did not land is made again.
            events.extend(if all_landed {
                land(context, above)
            } else {
                above.iter().map(put_off).collect()
            });
            events
        }
    }
}

fn landed(task: &Task) -> Event {
    match &task.landing {
        Some(landing) => Event::Landed { task: task.name().clone(), landing: landing.clone() },
        None => held(task, NO_CANDIDATE.to_owned()),
    }
}

fn put_off(task: &Task) -> Event {
    Event::PutOff { task: task.name().clone() }
}

/// What the candidates stand on, and the last of them.
fn ends(chain: &[Task]) -> Result<(&Oid, &Landing)> {
    let first = chain.first().and_then(|task| task.landing.as_ref());
    let last = chain.last().and_then(|task| task.landing.as_ref());
    first.zip(last).map(|(first, last)| (&first.onto, last)).context(NO_CANDIDATE)
}

fn move_target(context: &Context, chain: &[Task]) -> Outcome {
    try_move_target(context, chain).unwrap_or_else(|e| match ends(chain) {
        // It failed after the target had moved: it is landed, and what is left is mended at the next start.
        Ok((onto, last)) if is_published(context, onto, &last.commit).unwrap_or(false) => Outcome::Landed,
        _ => Outcome::Not(format!("it could not be landed: {}", words(context, &e))),
    })
}

fn try_move_target(context: &Context, chain: &[Task]) -> Result<Outcome> {
    let (repo, target) = (&context.repo, context.spec.target_ref());
    let (onto, last) = ends(chain)?;
    let all = || chain.iter().filter_map(|task| task.landing.as_ref().map(|landing| (task, landing)));
    // After a crash the target may have moved already: then this is done.
    let published = if is_published(context, onto, &last.commit)? {
        Published::Done { updated_worktree: None }
    } else {
        let since = std::time::SystemTime::from(context.spec.started_at);
        git::make_durable(repo, &last.commit, onto, since)?;
        for (_, landing) in all().filter(|(_, landing)| landing.how.leaves_commits()) {
            // The pin holds them, and nothing else will once the branch is gone.
            git::make_durable(repo, &landing.tip, onto, since)?;
        }
        let message = match chain {
            [task] => format!("parallel: land {} ({})", task.spec.branch, last.how),
            all => format!("parallel: land {} branches", all.len()),
        };
        git::publish(repo, &target, onto, &last.commit, &message)?
    };
    let outcome = match published {
        Published::Done { .. } => Outcome::Landed,
        Published::Moved(tip) => {
            let went_back = !git::is_ancestor(repo, onto, &tip)?;
            Outcome::Moved { tip, went_back }
        }
        Published::Refused { reason, paths } if paths.is_empty() => Outcome::Not(reason),
        Published::Refused { reason, paths } => Outcome::Not(format!("{reason}: {}", name_some(&paths))),
    };
    let is_over = matches!(outcome, Outcome::Landed | Outcome::Moved { .. });
    if is_over || chain.len() == 1 || context.spec.atomic {
        // The target holds the candidates now, or nobody wants them any more: others will be made.
        for (task, landing) in all() {
            let _ = git::delete_ref(repo, &candidate_pin(context, task), &landing.commit);
        }
    }
    Ok(outcome)
}

fn is_published(context: &Context, onto: &Oid, commit: &Oid) -> Result<bool> {
    match git::branch_tip(&context.repo, &context.spec.target_ref())? {
        Some(tip) if tip == *onto => Ok(false),
        Some(tip) => git::is_ancestor(&context.repo, commit, &tip),
        None => Ok(false),
    }
}

/// The target's tip, if there is one.
pub(super) fn target_tip(context: &Context) -> Result<Option<Oid>> {
    git::branch_tip(&context.repo, &context.spec.target_ref())
}
