//! The transitions: one function that applies an event to a run and refuses what can't happen.

use std::fmt;

use jiff::Timestamp;

use super::{Event, Record, Run, Step, Stop, Task, TaskState};

/// An event that can't happen to the run in its present state. It is refused, and the run is as before.
#[derive(Clone, PartialEq, Debug)]
pub struct Illegal {
    /// The event.
    pub event: Box<Event>,
    /// The state of the task it is about; `None` if there is no such task or it is about the run.
    pub state: Option<TaskState>,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.event.task(), self.state) {
            (Some(task), Some(state)) => write!(f, "task '{task}' is {state}: ")?,
            (Some(task), None) => write!(f, "no task '{task}': ")?,
            (None, _) => {}
        }
        write!(f, "this can't happen now: {:?}", self.event)
    }
}

impl std::error::Error for Illegal {}

impl Run {
    /// Whether `event` can happen in the present state.
    pub fn permits(&self, event: &Event) -> Result<(), Illegal> {
        let illegal = |state| Illegal { event: Box::new(event.clone()), state };
        match event {
            Event::RunStarted { .. } | Event::JobsReduced { .. } => Ok(()),
            Event::RunFinished { .. } => {
                let over = self.tasks.iter().all(|t| self.is_at_rest(t));
                if over { Ok(()) } else { Err(illegal(None)) }
            }
            Event::StopRequested { tasks, .. } => {
                let mut names = tasks.iter().flatten();
                if names.all(|name| self.index.contains_key(name)) { Ok(()) } else { Err(illegal(None)) }
            }
            _ => self.next_state(event).map(|_| ()),
        }
    }

    /// Applies one fact. Refuses, without changing anything, what can't happen in the present state.
    pub fn apply(&mut self, record: &Record) -> Result<(), Illegal> {
        let Record { at, event } = record;
        self.permits(event)?;
        match event {
            Event::RunStarted { .. } => {
                self.finished_at = None;
                self.started += 1;
                for task in &mut self.tasks {
                    task.working = false;
                    task.stop_sent = None;
                }
            }
            Event::RunFinished { .. } => self.finished_at = Some(*at),
            Event::JobsReduced { jobs, .. } => self.jobs = (*jobs).max(1),
            Event::StopRequested { tasks, cause, stop } => {
                let everything = tasks.is_none();
                if everything {
                    self.stop = Some(*cause);
                }
                let asked = |t: &&mut Task| everything || tasks.iter().flatten().any(|n| n == t.name());
                self.tasks.iter_mut().filter(asked).for_each(|t| request_stop(t, *stop));
            }
            _ => {
                let (i, next) = self.next_state(event)?;
                self.apply_to_task(i, next, *at, event);
            }
        }
        self.clock += 1;
        Ok(())
    }

    /// The task that an event is about, and the state that it gets into.
    fn next_state(&self, event: &Event) -> Result<(usize, TaskState), Illegal> {
        let illegal = |state| Illegal { event: Box::new(event.clone()), state };
        let i = event.task().and_then(|name| self.index.get(name)).ok_or_else(|| illegal(None))?;
        let task = &self.tasks[*i];
        let retries = self.will_retry(task);
        transition(task, event, retries).map(|next| (*i, next)).ok_or_else(|| illegal(Some(task.state)))
    }

    fn apply_to_task(&mut self, i: usize, next: TaskState, at: Timestamp, event: &Event) {
        let clock = self.clock;
        let task = &mut self.tasks[i];
        // These two tell of a worker that goes on; every other fact is a worker's result.
        let goes_on = matches!(event, Event::AgentStarted { .. } | Event::StopSent { .. });
        task.working = matches!(event, Event::Begun { .. }) || (task.working && goes_on);
        remember(task, at, event, clock);
        task.state = next;
        match event {
            Event::Landed { landing, .. } => self.tip = landing.commit.clone(),
            Event::CandidateMade { landing, .. } => self.tip = landing.onto.clone(),
            Event::TargetMoved { tip, .. } => self.tip = tip.clone(),
            _ => {}
        }
    }
}

/// The arrows: the state that `event` leads to, or `None` where it can't happen.
fn transition(task: &Task, event: &Event, retries: bool) -> Option<TaskState> {
    use TaskState::*;
    let state = task.state;
    let next = match (state, event) {
        (Queued, Event::Begun { step: Step::Prepare { .. }, .. }) => Preparing,
        (Failed | TimedOut, Event::Begun { step: Step::Prepare { .. }, .. }) if retries => Preparing,
        (Preparing, Event::Begun { step: Step::Prepare { .. }, .. }) if !task.working => Preparing,
        (Preparing, Event::Prepared { .. }) if task.stop.is_some() => Aborted,
        (Preparing, Event::Prepared { .. }) => Preparing,
        (Preparing, Event::PrepareFailed { .. }) => Failed,
        (Preparing, Event::Begun { step: Step::Start { .. }, .. }) if task.prepared => Running,
        (Running, Event::Begun { step: Step::Start { .. }, .. }) if !task.working => Running,
        (Running, Event::AgentDeferred { .. }) if task.stop.is_some() => Aborted,
        (Running, Event::AgentDeferred { .. }) => Queued,
        (Running, Event::AgentStarted { .. } | Event::StopSent { .. }) => Running,
        (Running, Event::AgentExited { exit, .. }) => exit.state(),

        (Finished | Failed | TimedOut | Aborted, Event::Begun { step: Step::Collect, .. })
            if !task.collected && !task.working =>
        {
            state
        }
        (Finished | Failed | TimedOut | Aborted, Event::Collected { .. }) => state,
        (Finished, Event::NothingToLand { .. }) => Unchanged,
        (Finished | Integrating, Event::Held { .. }) => Held,

        (Finished, Event::Begun { step: Step::Merge, .. }) if task.collected => Integrating,
        (Integrating, Event::Begun { step: Step::Merge | Step::Publish, .. }) if !task.working => Integrating,
        (Integrating, Event::CandidateMade { .. } | Event::TargetMoved { .. }) => Integrating,
        (Integrating, Event::NothingToLand { .. }) => Unchanged,
        (Integrating, Event::Landed { .. }) => Landed,
        (Integrating, Event::Conflicted { .. }) => Conflicted,

        (Finished | Held | Conflicted, Event::LandRequested { .. }) if !task.working => Finished,
        (Failed | TimedOut | Aborted | Conflicted | Held, Event::RetryRequested { .. }) if !task.working => {
            Queued
        }

        (Landed | Unchanged, Event::Begun { step: Step::CleanUp, .. })
            if task.cleanup.is_none() && !task.working =>
        {
            state
        }
        (_, Event::CleanedUp { .. }) if state.is_settled() || state == Finished => state,
        _ => return None,
    };
    Some(next)
}

/// What the task carries along from an event, beside its state.
fn remember(task: &mut Task, at: Timestamp, event: &Event, clock: u64) {
    match event {
        Event::Begun { step, .. } => begin(task, at, step),
        Event::Prepared { base, branch_created, worktree_created, note, .. } => {
            task.prepared = true;
            task.base = Some(base.clone());
            task.reason = note.clone();
            task.branch_created = *branch_created;
            task.worktree_created = *worktree_created;
        }
        Event::PrepareFailed { reason, .. } => task.reason = Some(reason.clone()),
        Event::AgentStarted { pid, .. } => task.pid = Some(*pid),
        Event::AgentDeferred { .. } => {
            // It was not an attempt.
            task.attempt = task.attempt.saturating_sub(1);
            task.started_at = None;
        }
        Event::StopSent { stop, .. } => task.stop_sent = Some(*stop),
        Event::AgentExited { exit, .. } => {
            task.finished_at = Some(at);
            task.pid = None;
            task.ready = clock;
            task.reason = (exit.state() == TaskState::Failed).then(|| exit.words());
            task.exit = Some(exit.clone());
        }
        Event::Collected { work, note, .. } => {
            task.collected = true;
            task.work = Some(work.clone());
            if note.is_some() {
                task.reason = note.clone();
            }
        }
        Event::NothingToLand { tip, .. } => {
            task.collected = true;
            task.work.get_or_insert_default().tip = tip.clone();
        }
        Event::Held { reason, tip, .. } => {
            task.collected = true;
            task.reason = Some(reason.clone());
            if tip.is_some() {
                task.work.get_or_insert_default().tip = tip.clone();
            }
        }
        Event::CandidateMade { landing, .. } | Event::Landed { landing, .. } => {
            task.landing = Some(landing.clone());
            task.conflicts.clear();
        }
        Event::TargetMoved { .. } => task.landing = None,
        Event::Conflicted { conflicts, note, .. } => {
            task.conflicts = conflicts.clone();
            if note.is_some() {
                task.reason = note.clone();
            }
        }
        Event::LandRequested { all, .. } => {
            take_up(task);
            task.land_asked = true;
            task.land_named |= !all;
            task.ready = clock;
        }
        Event::RetryRequested { fresh, .. } => {
            take_up(task);
            task.fresh = *fresh;
            task.retried = true;
            task.land_asked = false;
            task.land_named = false;
            task.conflicts.clear();
            task.cleanup = None;
            task.stop = None;
            task.stop_sent = None;
        }
        Event::CleanedUp { cleanup, .. } => {
            // What comes under its name once it is gone is somebody else's.
            task.worktree_created &= cleanup.worktree_kept.is_some();
            task.branch_created &= cleanup.branch_kept.is_some();
            task.cleanup = Some(cleanup.clone());
        }
        Event::RunStarted { .. }
        | Event::JobsReduced { .. }
        | Event::StopRequested { .. }
        | Event::RunFinished { .. } => {}
    }
}

fn begin(task: &mut Task, at: Timestamp, step: &Step) {
    match step {
        Step::Prepare { slot } => {
            task.slot = *slot;
            task.prepared = false;
        }
        Step::Start { attempt } => {
            // Begun again after a supervisor's death, it is the same attempt.
            if task.attempt != *attempt || task.started_at.is_none() {
                task.started_at = Some(at);
            }
            task.attempt = *attempt;
            task.collected = false;
            task.fresh = false;
            task.exit = None;
            task.finished_at = None;
        }
        Step::Merge => task.landing = None,
        Step::Collect | Step::Publish | Step::CleanUp => {}
    }
}

/// A settled task is taken up again: what was found about it does not hold any more.
fn take_up(task: &mut Task) {
    task.collected = false;
    task.reason = None;
    task.landing = None;
}

fn request_stop(task: &mut Task, stop: Stop) {
    match task.state {
        TaskState::Queued => task.state = TaskState::Aborted,
        // Its worktree is there, its agent was not started.
        TaskState::Preparing if task.prepared => task.state = TaskState::Aborted,
        TaskState::Preparing | TaskState::Running => task.stop = task.stop.max(Some(stop)),
        _ => {}
    }
}
