//! The merge queue: tasks that are being landed, each candidate on top of the one before.
//!
//! The first candidate is made on the target's tip, the second on the first, and so on, so that all of them
//! can be checked at once; they land in this order. What is found of a candidate that stands on another one
//! is a guess until that other has landed (a [`super::Verdict`]). Whether a candidate is still good follows from
//! what it was made on, and nothing else: when the target moves or a task drops out, the candidates above
//! no longer stand on what is there, and are made again.
//!
//! All candidates that stand ready on the target's tip, one on the other, are published together: the target moves
//! once, to the last of them. While it does, the next ones are made on top.

use super::{Action, Landing, Oid, Run, Step, Stop, Task, TaskState};

/// How many candidates are made ahead of the target where none has to be checked.
const AHEAD: usize = 32;

/// What the next candidate of the queue is to be made on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Footing<'a> {
    /// The target's tip.
    Target,
    /// The candidate of the task before.
    Candidate(&'a Oid),
    /// A candidate that is yet to be made.
    Unknown,
}

impl Run {
    /// The tasks being landed, in their order.
    pub fn queue(&self) -> Vec<&Task> {
        let mut queue: Vec<&Task> = self.tasks.iter().filter(|t| t.state == TaskState::Integrating).collect();
        queue.sort_by_key(|t| t.place);
        queue
    }

    /// The tasks that land by publishing the task's candidate, in their order: it is the last. `None` if it lands
    /// with a later one.
    pub fn published_with(&self, task: &Task) -> Option<Vec<&Task>> {
        let queue = self.queue().into_iter();
        let chain: Vec<&Task> = queue.filter(|other| self.spec.atomic || other.publishing).collect();
        (chain.last()?.name() == task.name()).then_some(chain)
    }

    /// Whether what is found of the task now is only a guess: it stands on a candidate. In an atomic run
    /// they land together, so there it is certain as soon as that candidate has passed.
    pub(super) fn is_guess(&self, task: &Task) -> bool {
        let below = |other: &&Task| other.place < task.place && other.verdict.is_none();
        let is_open = || self.queue().into_iter().filter(below).any(|other| !self.is_proven(other));
        task.ahead.as_ref().is_some_and(|ahead| *ahead != self.tip) && (!self.spec.atomic || is_open())
    }

    /// Whether the candidate passed the check, or needs none.
    pub(super) fn is_proven(&self, task: &Task) -> bool {
        let commit = task.landing.as_ref().map(|landing| &landing.commit);
        commit.is_some() && (self.spec.verify.is_none() || task.verified.as_ref() == commit)
    }

    fn oid_of<'a>(&'a self, footing: Footing<'a>) -> Option<&'a Oid> {
        match footing {
            Footing::Target => Some(&self.tip),
            Footing::Candidate(commit) => Some(commit),
            Footing::Unknown => None,
        }
    }
}

/// What can be done now for the tasks being landed, and for the next one that is ready to be.
pub(super) fn integrate(run: &Run) -> Vec<Action> {
    let queue = run.queue();
    if let Some(task) = queue.iter().find(|task| run.spec.atomic && task.publishing) {
        // The target may have moved already, and then all of them have landed: whoever wants them stopped
        // comes too late.
        let publish = Action::Step { task: task.name().clone(), step: Step::Publish };
        return if task.working { Vec::new() } else { vec![publish] };
    }
    let mut slots = free_slots(run, &queue).into_iter();
    let mut actions = Vec::new();
    let mut footing = Footing::Target;
    // All that is below lands with this decision, so what stands on it can land as well.
    let mut is_open = !run.spec.atomic && !queue.iter().any(|task| task.publishing && task.working);
    for task in &queue {
        let below = run.oid_of(footing);
        if task.verdict.as_ref().is_some_and(|verdict| Some(&verdict.onto) == below) {
            // It does not land on what is below; so the next one stands on that, too.
            if !run.is_guess(task) && !task.working {
                actions.push(Action::Conclude { task: task.name().clone() });
            }
            is_open = false;
            continue;
        }
        let standing = task.landing.as_ref().filter(|landing| Some(&landing.onto) == below);
        let goes_on = run.lands(task) && task.stop.is_none();
        let mut publishes = false;
        if task.working {
            actions.extend(call_off(task, standing.is_some() && goes_on));
        } else if goes_on || task.publishing || (footing == Footing::Target && is_brief(run, task, standing))
        {
            // One that was being published when its supervisor died may have landed.
            let step = next_step(run, task, standing, footing, is_open, &mut slots);
            publishes = step == Some(Step::Publish);
            actions.extend(step.map(|step| Action::Step { task: task.name().clone(), step }));
        } else {
            actions.push(Action::PutOff { task: task.name().clone() });
        }
        is_open &= publishes;
        footing = standing.map_or(Footing::Unknown, |landing| Footing::Candidate(&landing.commit));
    }
    let stopped = run.tasks.iter().filter(|t| is_ready(run, t) && t.stop.is_some());
    actions.extend(stopped.map(|task| Action::PutOff { task: task.name().clone() }));
    actions.extend(next_in_line(run, &queue, footing));
    actions.extend(publish_all(run, &queue));
    actions
}

/// What follows for a task in the queue, given its candidate if that is still good. `is_open`: it would be published
/// if it were ready.
fn next_step(
    run: &Run,
    task: &Task,
    standing: Option<&Landing>,
    footing: Footing,
    is_open: bool,
    slots: &mut impl Iterator<Item = u32>,
) -> Option<Step> {
    match (standing, footing) {
        (Some(_), _) if !run.is_proven(task) => slots.next().map(|slot| Step::Verify { slot }),
        (Some(_), _) => is_open.then_some(Step::Publish),
        (None, footing) => merge(footing),
    }
}

/// A candidate can be made as soon as it is known what it is to stand on.
fn merge(footing: Footing) -> Option<Step> {
    match footing {
        Footing::Target => Some(Step::Merge { onto: None }),
        Footing::Candidate(commit) => Some(Step::Merge { onto: Some(commit.clone()) }),
        Footing::Unknown => None,
    }
}

/// A landing that was begun when a stop was asked for is brought to its end, unless that takes a check or
/// other tasks.
fn is_brief(run: &Run, task: &Task, standing: Option<&Landing>) -> bool {
    if run.spec.atomic {
        return false;
    }
    run.spec.verify.is_none() || (standing.is_some() && run.is_proven(task))
}

/// Ends a check whose outcome nobody wants any more.
pub(super) fn call_off(task: &Task, wanted: bool) -> Option<Action> {
    task.checking?;
    let stop = task.stop.max((!wanted).then_some(Stop::Term));
    let stop = stop.filter(|_| stop > task.stop_sent)?;
    Some(Action::Stop { task: task.name().clone(), stop })
}

/// Whether the task waits for its turn.
fn is_ready(run: &Run, task: &Task) -> bool {
    task.state == TaskState::Finished && task.collected && !task.working && run.lands(task)
}

/// The next finished task, in the order in which they became ready, as long as there is a free place to
/// check it in.
fn next_in_line(run: &Run, queue: &[&Task], footing: Footing) -> Option<Action> {
    let unproven = queue.iter().filter(|task| task.verdict.is_none() && !run.is_proven(task)).count();
    let room = match &run.spec.verify {
        Some(verify) => unproven < verify.jobs as usize,
        None => run.spec.atomic || queue.len() < AHEAD,
    };
    let ready = run.tasks.iter().filter(|t| is_ready(run, t) && t.stop.is_none());
    let first = ready.min_by_key(|t| t.ready).filter(|_| room)?;
    Some(Action::Step { task: first.name().clone(), step: merge(footing)? })
}

/// In an atomic run, the last candidate is published once every task is in the chain and proven.
fn publish_all(run: &Run, queue: &[&Task]) -> Option<Action> {
    let last = queue.last().filter(|_| run.spec.atomic)?;
    let mut below = &run.tip;
    for task in queue {
        let ready = run.lands(task) && task.stop.is_none() && !task.working && run.is_proven(task);
        below = &task.landing.as_ref().filter(|landing| ready && landing.onto == *below)?.commit;
    }
    let done = |task: &Task| task.state == TaskState::Integrating || task.state.is_success();
    let all = run.tasks.iter().all(done);
    all.then(|| Action::Step { task: last.name().clone(), step: Step::Publish })
}

/// Places in which a check can be run now.
fn free_slots(run: &Run, queue: &[&Task]) -> Vec<u32> {
    let jobs = run.spec.verify.as_ref().map_or(0, |verify| verify.jobs);
    let taken: Vec<u32> = queue.iter().filter_map(|task| task.checking).collect();
    (0..jobs).filter(|slot| !taken.contains(slot)).collect()
}
