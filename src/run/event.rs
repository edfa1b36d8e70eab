//! What can happen to a run: past-tense facts, one line each in the journal.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CleanUp, Conflict, Exit, Landing, Oid, Revert, Step, Stop, StopCause, TaskName, Text, Work};

/// A fact. The only thing that changes a [`super::Run`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum Event {
    /// A supervisor took the run: at its start, or later to land what waited.
    RunStarted {
        /// The supervisor's process id, for people.
        pid: u32,
    },
    /// A worker was given something to do.
    Begun {
        /// The task.
        task: TaskName,
        /// What was begun.
        #[serde(flatten)]
        step: Step,
    },
    /// Branch and worktree are there.
    Prepared {
        /// The task.
        task: TaskName,
        /// The commit that the branch starts from.
        base: Oid,
        /// The run created the branch.
        branch_created: bool,
        /// The run created the worktree.
        worktree_created: bool,
        /// Its files were written just now: its setup is still to be run.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_new: bool,
        /// Something worth telling, such as a hook that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The setup succeeded in the new worktree.
    SetUp {
        /// The task.
        task: TaskName,
    },
    /// Branch or worktree could not be made, or set up.
    PrepareFailed {
        /// The task.
        task: TaskName,
        /// Why.
        reason: String,
    },
    /// The agent runs.
    AgentStarted {
        /// The task.
        task: TaskName,
        /// The agent's process id.
        pid: u32,
        /// The machine, where that is not the supervisor's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
    /// A job is about to be submitted for the agent, or for the check of a candidate. Written before that: whoever
    /// comes after finds the job by its token, or finds that there is none.
    Submitting {
        /// The task.
        task: TaskName,
        /// The runner's name.
        runner: String,
        /// What the job is called there, and nothing else is.
        token: String,
    },
    /// The runner took the job.
    Submitted {
        /// The task.
        task: TaskName,
        /// What the runner calls it.
        job: String,
    },
    /// The runner does not start the job yet.
    JobWaits {
        /// The task.
        task: TaskName,
        /// Why, in the runner's words.
        reason: String,
    },
    /// The system had no room for one more agent; the task waits for a slot again.
    AgentDeferred {
        /// The task.
        task: TaskName,
    },
    /// The machine takes fewer agents at once than was asked for.
    JobsReduced {
        /// Agents at once from now on.
        jobs: u32,
        /// Why.
        reason: String,
    },
    /// A stop request was passed on to the agent's shim.
    StopSent {
        /// The task.
        task: TaskName,
        /// How firmly.
        stop: Stop,
    },
    /// The agent ended, and all that it had started.
    AgentExited {
        /// The task.
        task: TaskName,
        /// How.
        exit: Exit,
    },
    /// The pause before a task is tried again is over.
    PauseOver {
        /// The task.
        task: TaskName,
    },
    /// The task is not started any more: the run has cost as much as it may.
    Withheld {
        /// The task.
        task: TaskName,
    },
    /// The machine is busy: no more agents are started for now.
    StartsHeld {
        /// How busy.
        reason: String,
    },
    /// Agents are started again.
    StartsFreed,
    /// What the agent left was looked at, and pinned.
    Collected {
        /// The task.
        task: TaskName,
        /// What the branch holds.
        work: Work,
        /// Something worth telling that does not stop the landing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The target has everything that the branch has.
    NothingToLand {
        /// The task.
        task: TaskName,
        /// The branch's tip.
        tip: Option<Oid>,
    },
    /// A person is wanted before the work may land.
    Held {
        /// The task.
        task: TaskName,
        /// Why, and what would settle it.
        reason: String,
        /// The branch's tip, if it is known.
        tip: Option<Oid>,
    },
    /// A candidate was made. Written before it is published, so that a crash in between is known.
    CandidateMade {
        /// The task.
        task: TaskName,
        /// The candidate.
        landing: Landing,
        /// The target's tip as it was known, if it has gone back behind that since.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        went_back_from: Option<Oid>,
    },
    /// The check passed.
    Verified {
        /// The task.
        task: TaskName,
        /// The candidate that was checked.
        commit: Oid,
        /// How often it was run; 0 if the same tree had passed the same check before.
        tries: u32,
    },
    /// The check failed.
    Rejected {
        /// The task.
        task: TaskName,
        /// The candidate that was checked.
        commit: Oid,
        /// How the check ended.
        reason: String,
        /// What the check wrote.
        log: Text,
        /// The end of that.
        said: String,
    },
    /// A candidate was not landed now: its check was called off.
    PutOff {
        /// The task.
        task: TaskName,
    },
    /// What was found of a candidate holds: the one that it was made on has landed.
    Concluded {
        /// The task.
        task: TaskName,
    },
    /// In an atomic run: nothing lands, because of this task.
    CalledOff {
        /// The task that does not land.
        task: TaskName,
    },
    /// In an atomic run: the task does not land, because another does not.
    RolledBack {
        /// The task.
        task: TaskName,
    },
    /// The task can't start, because another one that it depends on did not land.
    Blocked {
        /// The task.
        task: TaskName,
        /// The other one.
        by: TaskName,
    },
    /// The task is to go after all: in an atomic run, because the one that had not landed is tried again; or
    /// because what it depends on has landed by now.
    TakenUp {
        /// The task.
        task: TaskName,
    },
    /// The target was not where the candidate was made; a new one is needed.
    TargetMoved {
        /// The task.
        task: TaskName,
        /// Where the target is now.
        tip: Oid,
        /// Where it was, if it has gone back behind that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        went_back_from: Option<Oid>,
    },
    /// The target moved to the candidate.
    Landed {
        /// The task.
        task: TaskName,
        /// The candidate that was published.
        landing: Landing,
    },
    /// The hook for landed tasks has run.
    HookRan {
        /// The task.
        task: TaskName,
        /// Why it failed, if it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// Branch and target collide.
    Conflicted {
        /// The task.
        task: TaskName,
        /// The target's tip that it was tried on.
        onto: Oid,
        /// Where.
        conflicts: Vec<Conflict>,
        /// What was tried in vain to settle it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The resolver settled the conflict.
    Resolved {
        /// The task.
        task: TaskName,
        /// The merge as it was settled.
        landing: Landing,
        /// Files that did not collide, and that the resolver changed all the same.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        beside: Vec<Text>,
    },
    /// The resolver did not settle the conflict; a person has to.
    Unresolved {
        /// The task.
        task: TaskName,
        /// Why what it made does not count.
        reason: String,
    },
    /// The user asked to land a task that waits.
    LandRequested {
        /// The task.
        task: TaskName,
        /// It was not named: all that waits was asked for.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        all: bool,
    },
    /// The user asked to run a task again.
    RetryRequested {
        /// The task.
        task: TaskName,
        /// From the base, not from the branch as it is.
        fresh: bool,
    },
    /// Worktree and branch were removed, or kept for a reason.
    CleanedUp {
        /// The task.
        task: TaskName,
        /// What became of them.
        cleanup: CleanUp,
    },
    /// Somebody asked the run, or some of its tasks, to stop.
    StopRequested {
        /// The tasks; all of them and the run itself where it is `None`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tasks: Option<Vec<TaskName>>,
        /// Who asked.
        cause: StopCause,
        /// How firmly.
        stop: Stop,
    },
    /// The hook that runs before a stage was begun.
    StageOpening {
        /// The stage.
        stage: u32,
    },
    /// That hook has run; tasks of the stage may start.
    StageOpened {
        /// The stage.
        stage: u32,
        /// Why it failed, if it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// Reverts of the run's landings were made off to the side. Written before they are checked and published,
    /// so that a crash after that is known: the run is open again until its end is recorded anew.
    UndoMade {
        /// Each on top of the one before.
        reverts: Vec<Revert>,
    },
    /// The target moved to the last of the reverts.
    Undone {
        /// Each on top of the one before.
        reverts: Vec<Revert>,
    },
    /// Nothing is left to do.
    RunFinished {
        /// The exit code that the run ended with.
        exit_code: u8,
    },
}

/// An event and when it happened: one line of the journal.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// When, in UTC.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}
