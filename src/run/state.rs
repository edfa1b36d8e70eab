//! Where a task can stand.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a task stands. [`super::Run::apply`] holds the arrows.
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
    /// The check of the merged result failed.
    Rejected,
    /// Something about the work wants a person's eye before it may land.
    Held,
    /// The agent exited other than 0, or could not be started.
    Failed,
    /// Its agent was sent too many requests by whoever serves the model, and is started again later.
    RateLimited,
    /// The agent ran out of time.
    TimedOut,
    /// Stopped on request.
    Aborted,
    /// Not started, because its branch was there already.
    Skipped,
    /// Not started because a task that it depends on did not land.
    Blocked,
    /// Not landed because another task of an atomic run did not land.
    RolledBack,
}

impl TaskState {
    /// Every state, in the order they are told in.
    pub const ALL: [TaskState; 17] = [
        TaskState::Queued,
        TaskState::Preparing,
        TaskState::Running,
        TaskState::Finished,
        TaskState::Integrating,
        TaskState::Landed,
        TaskState::Conflicted,
        TaskState::Rejected,
        TaskState::Unchanged,
        TaskState::Held,
        TaskState::Failed,
        TaskState::RateLimited,
        TaskState::TimedOut,
        TaskState::Aborted,
        TaskState::Skipped,
        TaskState::Blocked,
        TaskState::RolledBack,
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
            TaskState::Rejected => "rejected",
            TaskState::Unchanged => "unchanged",
            TaskState::Held => "held",
            TaskState::Failed => "failed",
            TaskState::RateLimited => "rate-limited",
            TaskState::TimedOut => "timed-out",
            TaskState::Aborted => "aborted",
            TaskState::Skipped => "skipped",
            TaskState::Blocked => "blocked",
            TaskState::RolledBack => "rolled-back",
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
