//! What an event is about.

use super::{Event, TaskName};

impl Event {
    /// Whether it tells how far the submitting of a job is.
    pub fn is_of_a_job(&self) -> bool {
        matches!(self, Event::Submitting { .. } | Event::Submitted { .. } | Event::JobWaits { .. })
    }

    /// The task it is about, unless it is about the whole run.
    pub fn task(&self) -> Option<&TaskName> {
        match self {
            Event::Begun { task, .. }
            | Event::Prepared { task, .. }
            | Event::SetUp { task }
            | Event::PrepareFailed { task, .. }
            | Event::AgentStarted { task, .. }
            | Event::Submitting { task, .. }
            | Event::Submitted { task, .. }
            | Event::JobWaits { task, .. }
            | Event::AgentDeferred { task }
            | Event::StopSent { task, .. }
            | Event::AgentExited { task, .. }
            | Event::PauseOver { task }
            | Event::Withheld { task }
            | Event::Collected { task, .. }
            | Event::NothingToLand { task, .. }
            | Event::Held { task, .. }
            | Event::CandidateMade { task, .. }
            | Event::Verified { task, .. }
            | Event::Rejected { task, .. }
            | Event::PutOff { task }
            | Event::Concluded { task }
            | Event::CalledOff { task }
            | Event::RolledBack { task }
            | Event::Blocked { task, .. }
            | Event::TakenUp { task }
            | Event::TargetMoved { task, .. }
            | Event::Landed { task, .. }
            | Event::HookRan { task, .. }
            | Event::Conflicted { task, .. }
            | Event::Resolved { task, .. }
            | Event::Unresolved { task, .. }
            | Event::LandRequested { task, .. }
            | Event::RetryRequested { task, .. }
            | Event::CleanedUp { task, .. } => Some(task),
            Event::RunStarted { .. }
            | Event::JobsReduced { .. }
            | Event::StartsHeld { .. }
            | Event::StartsFreed
            | Event::StopRequested { .. }
            | Event::StageOpening { .. }
            | Event::StageOpened { .. }
            | Event::UndoMade { .. }
            | Event::Undone { .. }
            | Event::RunFinished { .. } => None,
        }
    }
}
