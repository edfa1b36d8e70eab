//! The nouns: a run, its tasks, and what is known of each.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Oid, Text};

/// Identifies a run: the local time it started and four random characters, `20261120-143201-k3f9`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

/// A task's name as the user gave it; checked by `plan` before it gets here.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskName(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for TaskName {
    fn from(value: &str) -> Self {
        TaskName(value.to_owned())
    }
}

/// What to do with uncommitted work of an agent that exited 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leftovers {
    /// Commit all that git does not ignore.
    #[default]
    Commit,
    /// Hold the task for a person.
    Refuse,
}

/// What was asked: written once as `run.json` when the run starts, never changed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RunSpec {
    /// The version of this record's format ([`RunSpec::VERSION`]).
    pub version: u32,
    /// The run's id.
    pub id: RunId,
    /// When the run started.
    pub started_at: Timestamp,
    /// Short name of the branch that finished work lands on, such as `main`.
    pub target: Text,
    /// The commit that task branches start from.
    pub base: Oid,
    /// The main worktree, or the git directory of a bare repository.
    pub root: Text,
    /// The agent's argument vector, with its placeholders.
    pub agent: Vec<Text>,
    /// Agents at once.
    pub jobs: u32,
    /// Never fast-forward: every landing is a merge commit.
    pub no_ff: bool,
    /// Land finished branches; off with `--no-land`.
    pub land: bool,
    /// Keep worktrees and branches of landed tasks.
    pub keep: bool,
    /// What happens to uncommitted work of an agent that exited 0.
    pub leftovers: Leftovers,
    /// How long an agent may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How often an agent that fails is started again.
    #[serde(default)]
    pub retries: u32,
    /// The tasks, in the order they were given.
    pub tasks: Vec<TaskSpec>,
}

impl RunSpec {
    /// The format that this version writes and the newest one that it reads.
    pub const VERSION: u32 = 1;

    /// How long an agent may run.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }

    /// The target's full ref name.
    pub fn target_ref(&self) -> Text {
        full_branch_name(&self.target)
    }
}

/// One task, as it was asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The task's name.
    pub name: TaskName,
    /// Short name of its branch, such as `feature/auth`.
    pub branch: Text,
    /// Absolute path of its worktree.
    pub worktree: Text,
    /// Its prompt, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The branch existed before the run and is used as it is (`--existing reuse`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuse: bool,
    /// Its worktree existed too, and is used as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuse_worktree: bool,
    /// The branch existed, and its old tip is pinned before it is reset (`--existing overwrite`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<Oid>,
    /// The task is not started, because its branch or worktree was there (`--existing skip`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip: bool,
}

impl TaskSpec {
    /// The branch's full ref name.
    pub fn branch_ref(&self) -> Text {
        full_branch_name(&self.branch)
    }
}

/// The full ref name of a branch: `refs/heads/` and its short name.
pub fn full_branch_name(short: &Text) -> Text {
    let mut full = b"refs/heads/".to_vec();
    full.extend_from_slice(short.as_bstr());
    Text::from(full.as_slice())
}

/// Where a task stands. `design.md` draws the picture; [`Run::apply`] holds the arrows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// Waits for a free slot.
    Queued,
    /// Its branch and worktree are being made.
    Preparing,
    /// Its agent runs.
    Running,
    /// Its agent exited 0; its work waits to be landed.
    Finished,
    /// Its work is being landed.
    Integrating,
    /// Its work is on the target.
    Landed,
    /// Its work collides with the target; a person settles it.
    Conflicted,
    /// There was nothing to land.
    Unchanged,
    /// Something about the work wants a person's eye before it may land.
    Held,
    /// The agent exited other than 0, or could not be started.
    Failed,
    /// The agent ran out of time.
    TimedOut,
    /// Stopped on request.
    Aborted,
    /// Not started, because its branch was there already.
    Skipped,
}

impl TaskState {
    /// Every state, in the order they are told in.
    pub const ALL: [TaskState; 13] = [
        TaskState::Queued,
        TaskState::Preparing,
        TaskState::Running,
        TaskState::Finished,
        TaskState::Integrating,
        TaskState::Landed,
        TaskState::Conflicted,
        TaskState::Unchanged,
        TaskState::Held,
        TaskState::Failed,
        TaskState::TimedOut,
        TaskState::Aborted,
        TaskState::Skipped,
    ];

    /// The state's name in JSON and in words.
    pub fn name(self) -> &'static str {
        match self {
            TaskState::Queued => "queued",
            TaskState::Preparing => "preparing",
            TaskState::Running => "running",
            TaskState::Finished => "finished",
            TaskState::Integrating => "integrating",
            TaskState::Landed => "landed",
            TaskState::Conflicted => "conflicted",
            TaskState::Unchanged => "unchanged",
            TaskState::Held => "held",
            TaskState::Failed => "failed",
            TaskState::TimedOut => "timed-out",
            TaskState::Aborted => "aborted",
            TaskState::Skipped => "skipped",
        }
    }

    /// Whether nothing more happens to a task in this state unless somebody asks.
    /// (`Finished` rests too, in a run that does not land.)
    pub fn is_settled(self) -> bool {
        !matches!(
            self,
            TaskState::Queued
                | TaskState::Preparing
                | TaskState::Running
                | TaskState::Finished
                | TaskState::Integrating
        )
    }

    /// Whether the task landed or had nothing to land.
    pub fn is_success(self) -> bool {
        matches!(self, TaskState::Landed | TaskState::Unchanged | TaskState::Skipped)
    }

    /// Whether the task occupies one of the run's `jobs` slots.
    pub fn holds_slot(self) -> bool {
        matches!(self, TaskState::Preparing | TaskState::Running)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How an agent ended, as its shim recorded it (`exit.json`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code, unless a signal ended the agent.
    pub code: Option<i32>,
    /// The signal that ended the agent.
    pub signal: Option<i32>,
    /// The agent ran out of time and was stopped.
    #[serde(default)]
    pub timed_out: bool,
    /// The agent was stopped on request.
    #[serde(default)]
    pub stopped: bool,
    /// Processes that the agent left behind and that were ended.
    #[serde(default)]
    pub left_behind: u32,
    /// Bytes of output that exceeded the log's cap.
    #[serde(default)]
    pub output_dropped: u64,
    /// Why the agent could not be started at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_started: Option<String>,
}

impl Exit {
    /// The state that a running task gets into by this exit.
    pub fn state(&self) -> TaskState {
        if self.not_started.is_some() {
            TaskState::Failed
        } else if self.timed_out {
            TaskState::TimedOut
        } else if self.stopped {
            TaskState::Aborted
        } else if self.code == Some(0) {
            TaskState::Finished
        } else {
            TaskState::Failed
        }
    }

    /// The exit in words, `exit 3` or `killed by signal 9`.
    pub fn words(&self) -> String {
        match (&self.not_started, self.code, self.signal) {
            (Some(why), ..) => why.clone(),
            (None, Some(code), _) => format!("exit {code}"),
            (None, None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None, None) => "its exit was not seen".to_owned(),
        }
    }
}

/// What an agent's branch holds beyond its base.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Work {
    /// The branch's tip, if there is one.
    pub tip: Option<Oid>,
    /// Commits that the target does not have.
    pub commits: u32,
    /// Files that differ from the merge base with the target.
    pub files: u32,
    /// Lines added.
    pub insertions: u64,
    /// Lines deleted.
    pub deletions: u64,
    /// Uncommitted files that were committed for the agent.
    #[serde(default)]
    pub leftovers: u32,
    /// A commit that holds the uncommitted files of an agent that did not finish; its ref is
    /// `refs/parallel/<run>/<task>/leftovers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Oid>,
}

/// How a candidate came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The target's tip is an ancestor of the branch: the branch's tip is the candidate.
    FastForward,
    /// A merge commit.
    Merge,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            How::FastForward => "fast-forward",
            How::Merge => "merge",
        })
    }
}

/// A candidate, and once published the landing: `commit` on top of `onto`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Landing {
    /// The target's tip that the candidate was made on.
    pub onto: Oid,
    /// The branch's tip that it brings.
    pub tip: Oid,
    /// The commit that becomes the target's tip.
    pub commit: Oid,
    /// Fast-forward or merge.
    pub how: How,
}

/// A path on which a task's branch and the target collide.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Conflict {
    /// The path, relative to the top of the worktree.
    pub path: Text,
    /// The task whose landing changed the path, if one of this run's did.
    pub with: Option<TaskName>,
}

/// What became of a task's worktree and branch after it landed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CleanUp {
    /// Why the worktree stays; `None` if it is gone.
    pub worktree_kept: Option<String>,
    /// Why the branch stays; `None` if it is gone.
    pub branch_kept: Option<String>,
}

/// Who asked a run to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopCause {
    /// `git parallel abort`.
    Abort,
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// The terminal went away.
    HangUp,
}

impl StopCause {
    /// The exit code of a run that ended so.
    pub fn exit_code(self) -> u8 {
        match self {
            StopCause::Abort => 1,
            StopCause::Interrupt => 130,
            StopCause::Terminate => 143,
            StopCause::HangUp => 129,
        }
    }
}

/// How firmly an agent is asked to stop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// TERM to the process group, KILL after the grace.
    Term,
    /// KILL now.
    Kill,
}

/// What is known of one task: the fold of its events.
#[derive(Clone, PartialEq, Debug)]
pub struct Task {
    /// What was asked.
    pub spec: TaskSpec,
    /// Where it stands.
    pub state: TaskState,
    /// A worker is busy with the task; its result will come as an event.
    pub working: bool,
    /// How often the agent was started.
    pub attempt: u32,
    /// Which of the run's slots it holds or held.
    pub slot: u32,
    /// The agent's process id while it runs.
    pub pid: Option<u32>,
    /// Branch and worktree are there for the present attempt.
    pub prepared: bool,
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
    /// What it made, as of the last look.
    pub work: Option<Work>,
    /// The work was looked at since the agent ended.
    pub collected: bool,
    /// Order in which tasks became ready to land.
    pub ready: u64,
    /// The user asked for this task to be landed, in a run that otherwise does not land.
    pub land_asked: bool,
    /// The candidate while integrating, the landing once landed.
    pub landing: Option<Landing>,
    /// Where it collides.
    pub conflicts: Vec<Conflict>,
    /// Why it failed or is held, or what was noticed.
    pub reason: Option<String>,
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
            attempt: 0,
            slot: 0,
            pid: None,
            prepared: false,
            fresh: false,
            base: None,
            branch_created: false,
            worktree_created: false,
            started_at: None,
            finished_at: None,
            exit: None,
            work: None,
            collected: false,
            ready: 0,
            land_asked: false,
            landing: None,
            conflicts: Vec::new(),
            reason: None,
            cleanup: None,
            stop: None,
            stop_sent: None,
        }
    }

    /// The task's name.
    pub fn name(&self) -> &TaskName {
        &self.spec.name
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
    /// How many supervisors took the run.
    pub started: u32,
    pub(super) index: HashMap<TaskName, usize>,
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
            started: 0,
            index,
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
        (rests || task.state.is_settled()) && !task.working && !self.will_retry(task)
    }

    /// Whether the run starts the task's agent again by itself.
    pub fn will_retry(&self, task: &Task) -> bool {
        matches!(task.state, TaskState::Failed | TaskState::TimedOut)
            && task.collected
            && (1..=self.spec.retries).contains(&task.attempt)
            && task.stop.is_none()
            && self.stop.is_none()
    }

    /// Whether the run lands this task once it is finished.
    pub fn lands(&self, task: &Task) -> bool {
        (self.spec.land && self.stop.is_none()) || task.land_asked
    }

    /// The exit code that the run ends with, by `cli.md`: 0 if every task landed or had nothing to
    /// land (or is finished in a run that was not asked to land), 1 if not, and the signal's code if a
    /// signal stopped it.
    pub fn exit_code(&self) -> u8 {
        if let Some(cause) = self.stop {
            return cause.exit_code();
        }
        let done = |t: &Task| t.state.is_success() || (t.state == TaskState::Finished && !self.spec.land);
        if self.tasks.iter().all(done) { 0 } else { 1 }
    }
}
