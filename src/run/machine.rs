//! The transitions: one function that applies an event to a run and refuses what can't happen.

use std::fmt;

use jiff::Timestamp;

use super::graph::is_before;
use super::memory::{remember, request_stop};
use super::{Event, Record, Revert, Run, Step, Task, TaskState, Verdict};

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
            Event::StageOpening { .. } => {
                if self.opening.is_none() {
                    Ok(())
                } else {
                    Err(illegal(None))
                }
            }
            Event::StageOpened { stage, .. } => {
                if self.opening == Some(*stage) {
                    Ok(())
                } else {
                    Err(illegal(None))
                }
            }
            Event::StartsHeld { .. } | Event::StartsFreed => Ok(()),
            Event::RunFinished { .. } => {
                let over = self.tasks.iter().all(|t| self.is_at_rest(t));
                if over { Ok(()) } else { Err(illegal(None)) }
            }
            Event::StopRequested { tasks, .. } => {
                let mut names = tasks.iter().flatten();
                if names.all(|name| self.index.contains_key(name)) { Ok(()) } else { Err(illegal(None)) }
            }
            Event::UndoMade { reverts } | Event::Undone { reverts } => {
                let is_open = self.finished_at.is_none() == self.undoing.is_some();
                let begun = self.undoing.is_some() || matches!(event, Event::UndoMade { .. });
                let landed = |name| self.task(name).is_some_and(|task| task.landed().is_some());
                let all = !reverts.is_empty() && reverts.iter().all(|revert| landed(&revert.task));
                if is_open && begun && all { Ok(()) } else { Err(illegal(None)) }
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
                self.takes_up = self.finished_at.is_none();
                self.finished_at = None;
                self.started += 1;
                self.opening = None;
                self.held_back = None;
                for task in &mut self.tasks {
                    task.working = false;
                    task.checking = None;
                    task.check_job = None;
                    task.stop_sent = None;
                    if let Some(job) = &mut task.job {
                        job.inherited = true;
                    }
                }
            }
            Event::RunFinished { .. } => {
                self.finished_at = Some(*at);
                self.undoing = None;
            }
            Event::UndoMade { reverts } => {
                self.finished_at = None;
                self.undoing = Some(reverts.clone());
            }
            Event::Undone { reverts } => self.undo(reverts),
            Event::StageOpening { stage } => self.opening = Some(*stage),
            Event::StageOpened { stage, .. } => {
                self.opening = None;
                self.opened = self.opened.max(Some(*stage));
            }
            Event::JobsReduced { jobs, .. } => self.jobs = (*jobs).max(1),
            Event::StartsHeld { reason } => self.held_back = Some(reason.clone()),
            Event::StartsFreed => self.held_back = None,
            Event::StopRequested { tasks, cause, stop } => {
                let everything = tasks.is_none();
                if everything {
                    self.stop = Some(*cause);
                }
                let in_line: Vec<bool> = self.tasks.iter().map(|t| self.lands(t)).collect();
                let asked = |t: &Task| everything || tasks.iter().flatten().any(|n| n == t.name());
                for (task, in_line) in self.tasks.iter_mut().zip(in_line).filter(|(t, _)| asked(t)) {
                    request_stop(task, *stop, in_line);
                }
            }
            _ => {
                let (i, next) = self.next_state(event)?;
                self.apply_to_task(i, next, *at, event);
            }
        }
        self.clock += 1;
        Ok(())
    }

    fn undo(&mut self, reverts: &[Revert]) {
        for revert in reverts {
            if let Some(&i) = self.index.get(&revert.task) {
                self.tasks[i].undone = Some(revert.commit.clone());
            }
            self.tip = revert.commit.clone();
        }
    }

    /// The task that an event is about, and the state that it gets into.
    fn next_state(&self, event: &Event) -> Result<(usize, TaskState), Illegal> {
        let illegal = |state| Illegal { event: Box::new(event.clone()), state };
        let i = event.task().and_then(|name| self.index.get(name)).ok_or_else(|| illegal(None))?;
        let task = &self.tasks[*i];
        self.transition(task, event).map(|next| (*i, next)).ok_or_else(|| illegal(Some(task.state)))
    }

    fn apply_to_task(&mut self, i: usize, next: TaskState, at: Timestamp, event: &Event) {
        let clock = self.clock;
        let guess = self.is_guess(&self.tasks[i]);
        let task = &mut self.tasks[i];
        // These tell of a worker that goes on; every other fact is a worker's result.
        let goes_on =
            matches!(event, Event::AgentStarted { .. } | Event::StopSent { .. }) || event.is_of_a_job();
        task.working = matches!(event, Event::Begun { .. }) || (task.working && goes_on);
        task.publishing = matches!(event, Event::Begun { step: Step::Publish, .. });
        if task.state == TaskState::Finished && next == TaskState::Integrating {
            task.place = clock;
        }
        let outcome =
            guess.then(|| outcome(event)).flatten().filter(|_| task.state == TaskState::Integrating);
        remember(task, at, event, clock);
        task.verdict = match (outcome, task.ahead.clone(), event) {
            (Some(state), Some(onto), _) => Some(Verdict { onto, state }),
            (_, _, Event::Begun { .. } | Event::Concluded { .. } | Event::PutOff { .. }) => None,
            _ => task.verdict.take(),
        };
        task.state = next;
        let stands_on_the_target = task.ahead.is_none();
        match event {
            Event::Landed { landing, .. } => {
                self.tip = landing.commit.clone();
                self.land_the_chain();
            }
            Event::CandidateMade { landing, .. } if stands_on_the_target => self.tip = landing.onto.clone(),
            Event::TargetMoved { tip, .. } => self.tip = tip.clone(),
            Event::CalledOff { task } => self.spoilt_by = Some(task.clone()),
            Event::AgentExited { exit, .. } => self.throttle(exit.state()),
            Event::LandRequested { .. } => self.spoilt_by = None,
            Event::RetryRequested { .. } => {
                self.spoilt_by = None;
                self.takes_up = true;
                self.spent_before = self.spent();
            }
            _ => {}
        }
    }

    /// What is published of an atomic run is the last of its candidates; those below land with it.
    fn land_the_chain(&mut self) {
        let chain = self.tasks.iter_mut().filter(|t| t.state == TaskState::Integrating);
        for task in chain.filter(|_| self.spec.atomic) {
            task.state = TaskState::Landed;
        }
    }

    /// The arrows: the state that `event` leads to, or `None` where it can't happen.
    fn transition(&self, task: &Task, event: &Event) -> Option<TaskState> {
        if task.state == TaskState::Integrating {
            return self.while_integrating(task, event);
        }
        match event {
            Event::CalledOff { .. } => {
                (self.spec.atomic && self.spoilt_by.is_none() && task.state.is_settled())
                    .then_some(task.state)
            }
            Event::Begun { step: Step::Resolve { .. }, .. } if !task.working && self.will_resolve(task) => {
                Some(TaskState::Conflicted)
            }
            Event::RolledBack { .. } => self.may_roll_back(task).then_some(TaskState::RolledBack),
            Event::Blocked { by, .. } => {
                let by_stage = self.task(by).is_some_and(|before| is_before(before, task));
                let depends = task.spec.depends_on.contains(by) || by_stage;
                (task.state == TaskState::Queued && depends).then_some(TaskState::Blocked)
            }
            Event::TakenUp { .. } => {
                matches!(task.state, TaskState::RolledBack | TaskState::Blocked).then(|| taken_up(task))
            }
            _ => transition(task, event, self.will_retry(task)),
        }
    }

    fn may_roll_back(&self, task: &Task) -> bool {
        use TaskState::{Aborted, Finished, Integrating, Preparing, Queued};
        let open = matches!(task.state, Queued | Preparing | Finished | Integrating | Aborted);
        self.spoilt_by.as_ref().is_some_and(|by| by != task.name()) && open && !task.working
    }

    /// The arrows of a task that is being landed. What is found of it is final only if what its candidate
    /// stands on is.
    fn while_integrating(&self, task: &Task, event: &Event) -> Option<TaskState> {
        use TaskState::{Finished, Held, Integrating, Landed};
        let next = match event {
            Event::Begun { step: Step::Merge { .. } | Step::Publish, .. } if !task.working => Integrating,
            Event::Begun { step: Step::Verify { .. }, .. } if !task.working && task.landing.is_some() => {
                Integrating
            }
            Event::CandidateMade { .. } | Event::TargetMoved { .. } | Event::Verified { .. } => Integrating,
            Event::StopSent { .. } if task.checking.is_some() => Integrating,
            event if event.is_of_a_job() && task.checking.is_some() => Integrating,
            Event::Landed { .. } => Landed,
            Event::Concluded { .. } if !task.working => task.verdict.as_ref()?.state,
            Event::PutOff { .. } if self.spoilt_by.is_some() => Integrating,
            Event::PutOff { .. } if !self.lands(task) => Finished,
            Event::PutOff { .. } if task.stop.is_some() => Held,
            Event::PutOff { .. } => Integrating,
            Event::RolledBack { .. } => self.may_roll_back(task).then_some(TaskState::RolledBack)?,
            other => match outcome(other)? {
                _ if self.is_guess(task) => Integrating,
                state => state,
            },
        };
        Some(next)
    }
}

/// What a task comes to by an event that ends its landing without one.
fn outcome(event: &Event) -> Option<TaskState> {
    Some(match event {
        Event::NothingToLand { .. } => TaskState::Unchanged,
        Event::Conflicted { .. } => TaskState::Conflicted,
        Event::Rejected { .. } => TaskState::Rejected,
        Event::Held { .. } => TaskState::Held,
        _ => return None,
    })
}

/// What a task that was rolled back is again: it has its work, or was never done.
fn taken_up(task: &Task) -> TaskState {
    if task.may_land() { TaskState::Finished } else { TaskState::Queued }
}

/// The arrows of a task before and after its landing.
fn transition(task: &Task, event: &Event, retries: bool) -> Option<TaskState> {
    use TaskState::*;
    let state = task.state;
    let next = match (state, event) {
        (Queued, Event::Begun { step: Step::Prepare { .. }, .. }) => Preparing,
        (Queued, Event::Withheld { .. }) => Aborted,
        (Failed | RateLimited | TimedOut, Event::PauseOver { .. }) if retries => state,
        (Failed | RateLimited | TimedOut, Event::Begun { step: Step::Prepare { .. }, .. }) if retries => {
            Preparing
        }
        (Preparing, Event::Begun { step: Step::Prepare { .. }, .. }) if !task.working => Preparing,
        (Preparing, Event::Prepared { .. }) if task.stop.is_some() => Aborted,
        (Preparing, Event::Prepared { .. }) => Preparing,
        (Preparing, Event::Begun { step: Step::Setup, .. })
            if task.prepared && task.setup_due && !task.working =>
        {
            Preparing
        }
        (Preparing, Event::StopSent { .. }) if task.is_being_set_up() => Preparing,
        (Preparing, Event::SetUp { .. }) if task.stop.is_some() => Aborted,
        (Preparing, Event::SetUp { .. }) if task.prepared => Preparing,
        (Preparing, Event::PrepareFailed { .. })
            if task.prepared && task.stop.max(task.stop_sent).is_some() =>
        {
            Aborted
        }
        (Preparing, Event::PrepareFailed { .. }) => Failed,
        (Preparing, Event::Begun { step: Step::Start { .. }, .. }) if task.prepared => Running,
        (Running, Event::Begun { step: Step::Start { .. }, .. }) if !task.working => Running,
        (Running, Event::AgentDeferred { .. }) if task.stop.is_some() => Aborted,
        (Running, Event::AgentDeferred { .. }) => Queued,
        (Running, Event::AgentStarted { .. } | Event::StopSent { .. }) => Running,
        (Running, event) if event.is_of_a_job() => Running,
        (Running, Event::AgentExited { exit, .. }) => exit.state(),

        (Finished | Failed | RateLimited | TimedOut | Aborted, Event::Begun { step: Step::Collect, .. })
            if !task.collected && !task.working =>
        {
            state
        }
        (Finished | Failed | RateLimited | TimedOut | Aborted, Event::Collected { .. }) => state,
        (Finished, Event::PutOff { .. }) if task.stop.is_some() && !task.working => Held,
        (Finished, Event::NothingToLand { .. }) => Unchanged,
        (Finished, Event::Held { .. }) => Held,
        (Finished, Event::Begun { step: Step::Merge { .. }, .. }) if task.collected => Integrating,

        (Conflicted, Event::StopSent { .. }) if task.working => Conflicted,
        (Conflicted, Event::Resolved { .. }) => Finished,
        (Conflicted, Event::Unresolved { .. }) => Conflicted,
        (_, Event::LandRequested { .. }) if task.may_land() && !task.working => Finished,
        (_, Event::RetryRequested { .. }) if task.may_retry() && !task.working => Queued,

        (Landed, Event::Begun { step: Step::AfterLand, .. }) if !task.hook_ran && !task.working => Landed,
        (Landed, Event::HookRan { .. }) => Landed,
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
