//! A run and its tasks: the fold of all that happened.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    CleanUp, Conflict, Exit, Job, Landing, Oid, Revert, RunSpec, Stop, StopCause, TaskName, TaskSpec,
    TaskState, Text, Usage, Verdict, Work, graph, pacing,
};

/// What is known of one task: the fold of its events.
#[derive(Clone, PartialEq, Debug)]
pub struct Task {
    /// What was asked.
    pub spec: TaskSpec,
    /// Where it stands.
    pub state: TaskState,
    /// A worker is busy with the task; its result will come as an event.
    pub working: bool,
    /// The target was about to move to its candidate, and it is not known yet what came of it.
    pub publishing: bool,
    /// How often the agent was started.
    pub attempt: u32,
    /// Which of the run's slots it holds or held.
    pub slot: u32,
    /// Which of its agents is its turn: 0 is its own, then come those to fall back on.
    pub agent: usize,
    /// Its agent could not be started, and the next one takes its place.
    pub falls_back: bool,
    /// Attempts that failed by the agent's own doing.
    pub failures: u32,
    /// Attempts in a row that were ended by too many requests.
    pub limits: u32,
    /// Nothing but a free slot keeps it from being tried again.
    pub rested: bool,
    /// The agent's process id while it runs.
    pub pid: Option<u32>,
    /// The job of the present attempt, where that runs elsewhere.
    pub job: Option<Job>,
    /// The job that checks its candidate elsewhere.
    pub check_job: Option<Job>,
    /// Branch and worktree are there for the present attempt.
    pub prepared: bool,
    /// The worktree is new, and its setup has not succeeded in it yet.
    pub setup_due: bool,
    /// The last worktree could not be made or set up, which is not tried again unasked.
    pub unprepared: bool,
    /// What the branch starts from, if the task depends on others: this, or what is on top of it.
    pub start: Option<Oid>,
    /// The next attempt starts from the base, not from the branch as it is.
    pub fresh: bool,
    /// The commit that the branch started from.
    pub base: Option<Oid>,
    /// The run created the branch (and so may delete it).
    pub branch_created: bool,
    /// The run created the worktree (and so may remove it).
    pub worktree_created: bool,
    /// When the agent started.
    pub started_at: Option<Timestamp>,
    /// When the agent ended.
    pub finished_at: Option<Timestamp>,
    /// How the agent ended.
    pub exit: Option<Exit>,
    /// What its agents said they used, all attempts together.
    pub usage: Option<Usage>,
    /// What it made, as of the last look.
    pub work: Option<Work>,
    /// The work was looked at since the agent ended.
    pub collected: bool,
    /// Order in which tasks became ready to land.
    pub ready: u64,
    /// The user asked for this task to be landed, in a run that otherwise does not land.
    pub land_asked: bool,
    /// The user named the task when asking so: what holds it for a person was seen by one.
    pub land_named: bool,
    /// The user asked to run the task again, after which it goes the whole way, also in a run that was
    /// stopped.
    pub retried: bool,
    /// The candidate while integrating, the landing once landed.
    pub landing: Option<Landing>,
    /// Its place among the tasks being landed.
    pub place: u64,
    /// The candidate that its own was made on; the target's tip if `None`.
    pub ahead: Option<Oid>,
    /// Where its candidate is being checked.
    pub checking: Option<u32>,
    /// The candidate that passed the check.
    pub verified: Option<Oid>,
    /// What holds of it once the candidate that its own was made on has landed.
    pub verdict: Option<Verdict>,
    /// What its last check wrote, and the end of it, if the check failed.
    pub check_log: Option<(Text, String)>,
    /// Where it collides.
    pub conflicts: Vec<Conflict>,
    /// The commit that it collides with.
    pub collided_on: Option<Oid>,
    /// How often the resolver tried to settle a conflict of it.
    pub resolves: u32,
    /// The resolver could not: a person has to.
    pub unresolved: bool,
    /// The merge as the resolver settled it.
    pub resolution: Option<Landing>,
    /// Why it failed or is held, or what was noticed.
    pub reason: Option<String>,
    /// The commit that took its landing back off the target.
    pub undone: Option<Oid>,
    /// The hook for landed tasks has run for it.
    pub hook_ran: bool,
    /// What became of worktree and branch.
    pub cleanup: Option<CleanUp>,
    /// It was asked to stop.
    pub stop: Option<Stop>,
    /// The stop request that was passed on to its shim.
    pub stop_sent: Option<Stop>,
}

impl Task {
    pub(super) fn new(spec: TaskSpec) -> Self {
        Task {
            state: if spec.skip { TaskState::Skipped } else { TaskState::Queued },
            spec,
            working: false,
            publishing: false,
            attempt: 0,
            slot: 0,
            agent: 0,
            falls_back: false,
            failures: 0,
            limits: 0,
            rested: false,
            pid: None,
            job: None,
            check_job: None,
            prepared: false,
            setup_due: false,
            unprepared: false,
            start: None,
            fresh: false,
            base: None,
            branch_created: false,
            worktree_created: false,
            started_at: None,
            finished_at: None,
            exit: None,
            usage: None,
            work: None,
            collected: false,
            ready: 0,
            land_asked: false,
            land_named: false,
            retried: false,
            landing: None,
            place: 0,
            ahead: None,
            checking: None,
            verified: None,
            verdict: None,
            check_log: None,
            conflicts: Vec::new(),
            collided_on: None,
            resolves: 0,
            unresolved: false,
            resolution: None,
            reason: None,
            undone: None,
            hook_ran: false,
            cleanup: None,
            stop: None,
            stop_sent: None,
        }
    }

    /// The task's name.
    pub fn name(&self) -> &TaskName {
        &self.spec.name
    }

    /// Whether a person may have it landed: its agent did its work.
    pub fn may_land(&self) -> bool {
        match self.state {
            TaskState::Finished | TaskState::Held | TaskState::Conflicted | TaskState::Rejected => true,
            TaskState::RolledBack => {
                self.exit.as_ref().is_some_and(|exit| exit.state() == TaskState::Finished)
            }
            _ => false,
        }
    }

    /// Whether a person may have its agent run again.
    pub fn may_retry(&self) -> bool {
        use TaskState::*;
        matches!(
            self.state,
            Failed | RateLimited | TimedOut | Aborted | Conflicted | Held | Rejected | RolledBack | Blocked
        )
    }

    /// Whether its setup is being run.
    pub fn is_being_set_up(&self) -> bool {
        self.state == TaskState::Preparing && self.prepared && self.working
    }

    /// The landing, if the task landed.
    pub fn landed(&self) -> Option<&Landing> {
        self.landing.as_ref().filter(|_| self.state == TaskState::Landed)
    }
}

/// Where a whole run stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// A supervisor sees to it.
    Running,
    /// It came to its end.
    Finished,
    /// Its supervisor died before the end.
    Interrupted,
    /// It was stopped on request.
    Aborted,
}

impl RunState {
    /// The state's name in JSON and in words.
    pub fn name(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Finished => "finished",
            RunState::Interrupted => "interrupted",
            RunState::Aborted => "aborted",
        }
    }
}

/// A run: what was asked and the fold of all that happened.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// What was asked.
    pub spec: RunSpec,
    /// The tasks, in the order they were given.
    pub tasks: Vec<Task>,
    /// The target's tip as last read or published.
    pub tip: Oid,
    /// When the run ended; `None` while it goes on.
    pub finished_at: Option<Timestamp>,
    /// Who asked the whole run to stop.
    pub stop: Option<StopCause>,
    /// In an atomic run, the task because of which nothing lands.
    pub spoilt_by: Option<TaskName>,
    /// Tasks that were blocked go on by themselves once they can. Not if somebody only lands something of a
    /// run that was over.
    pub takes_up: bool,
    /// The stage whose hook is being run.
    pub opening: Option<u32>,
    /// The last stage before which the hook has run.
    pub opened: Option<u32>,
    /// Reverts of its landings that were made, in an undo that has not come to its end.
    pub undoing: Option<Vec<Revert>>,
    /// Agents at once: what was asked, or fewer if the machine can't take as many.
    pub jobs: u32,
    /// Agents at once for a while, after one was sent too many requests.
    pub throttled: Option<u32>,
    /// How busy the machine is, if that holds new starts back.
    pub held_back: Option<String>,
    /// What had been spent when somebody last asked for more to be done.
    pub(super) spent_before: u64,
    /// How many supervisors took the run.
    pub started: u32,
    pub(super) index: HashMap<TaskName, usize>,
    /// See [`graph::heights`].
    pub(super) heights: Vec<u32>,
    pub(super) clock: u64,
}

impl Run {
    /// The run as it is before its first event.
    pub fn new(spec: RunSpec) -> Self {
        let tasks: Vec<Task> = spec.tasks.iter().cloned().map(Task::new).collect();
        let index = tasks.iter().enumerate().map(|(i, t)| (t.name().clone(), i)).collect();
        Run {
            tip: spec.base.clone(),
            tasks,
            finished_at: None,
            stop: None,
            spoilt_by: None,
            takes_up: true,
            opening: None,
            opened: None,
            undoing: None,
            jobs: spec.jobs,
            throttled: None,
            held_back: None,
            spent_before: 0,
            started: 0,
            index,
            heights: graph::heights(&spec.tasks),
            clock: 0,
            spec,
        }
    }

    /// The task of that name.
    pub fn task(&self, name: &TaskName) -> Option<&Task> {
        self.index.get(name).map(|&i| &self.tasks[i])
    }

    /// Where the run stands; `alive` tells whether its supervisor lives.
    pub fn state(&self, alive: bool) -> RunState {
        match (self.finished_at.is_some(), alive) {
            (true, _) if self.stop.is_some() => RunState::Aborted,
            (true, _) => RunState::Finished,
            (false, true) => RunState::Running,
            (false, false) => RunState::Interrupted,
        }
    }

    /// How many tasks are in each state; states without a task are left out.
    pub fn counts(&self) -> std::collections::BTreeMap<TaskState, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for task in &self.tasks {
            *counts.entry(task.state).or_insert(0) += 1;
        }
        counts
    }

    /// Whether the task came as far as the run takes it by itself.
    pub fn is_at_rest(&self, task: &Task) -> bool {
        let rests = task.state == TaskState::Finished && !self.lands(task) && task.collected;
        let goes_on = task.working || self.will_retry(task) || self.will_resolve(task);
        (rests || task.state.is_settled()) && !goes_on
    }

    /// Whether the run has the task's conflict settled by its resolver. Where the target keeps moving into
    /// the same places, that ends some time.
    pub fn will_resolve(&self, task: &Task) -> bool {
        const MOST: u32 = 3;
        task.state == TaskState::Conflicted
            && self.spec.on_conflict.is_some()
            && task.resolves < MOST
            && !task.unresolved
            && task.collided_on.is_some()
            && task.stop.is_none()
            && self.lands(task)
            && !self.is_called_off()
    }

    /// Whether the run starts the task's agent again by itself.
    pub fn will_retry(&self, task: &Task) -> bool {
        task.collected && self.has_tries_left(task)
    }

    /// Whether the task failed and is to be tried again.
    pub(super) fn has_tries_left(&self, task: &Task) -> bool {
        let retries = task.spec.retries.unwrap_or(self.spec.retries);
        let tries_left = match task.state {
            _ if task.unprepared => false,
            TaskState::Failed if task.falls_back => true,
            TaskState::Failed | TaskState::TimedOut => (1..=retries).contains(&task.failures),
            TaskState::RateLimited => task.limits < pacing::MOST_LIMITS,
            _ => false,
        };
        tries_left && !self.is_spent() && task.stop.is_none() && self.stop.is_none() && !self.is_called_off()
    }

    /// Whether the run lands this task once it is finished.
    pub fn lands(&self, task: &Task) -> bool {
        let asked = |test: fn(&Task) -> bool| {
            if self.spec.atomic { self.tasks.iter().any(test) } else { test(task) }
        };
        (self.spec.land && (self.stop.is_none() || asked(|t| t.retried))) || asked(|t| t.land_asked)
    }

    /// What its agents said they used, all together; `None` if none said anything.
    pub fn usage(&self) -> Option<Usage> {
        self.tasks.iter().filter_map(|task| task.usage).reduce(|a, b| a + b)
    }

    /// The exit code that the run ends with, by `cli.md`: 0 if every task landed or had nothing to
    /// land (or is finished in a run that was not asked to land), 1 if not, and the signal's code if a
    /// signal stopped it.
    pub fn exit_code(&self) -> u8 {
        if let Some(cause) = self.stop {
            return cause.exit_code();
        }
        if self.tasks.iter().all(|task| self.is_done(task)) { 0 } else { 1 }
    }

    /// Whether the task came to a good end: it landed, or had nothing to land, or is not to be landed.
    pub fn is_done(&self, task: &Task) -> bool {
        task.state.is_success() || (task.state == TaskState::Finished && !self.spec.land)
    }
}
