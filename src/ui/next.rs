//! The exact next command for every way a task or a run can come to a stop.
//!
//! The one place that knows which commands help; whoever adds a command that does adds it here.

use super::text;
use crate::run::{Run, Task, TaskState, Text};

/// What to type to go on with this task, if anything.
pub(super) fn for_task(run: &Run, task: &Task) -> Option<String> {
    let name = text::quote(&Text::from(task.name().0.as_str()));
    match task.state {
        TaskState::Conflicted => {
            Some(format!("git parallel resolve {name}   then   git parallel land {name}"))
        }
        TaskState::Held if !task.conflicts.is_empty() => {
            Some(format!("git parallel resolve {name}   then   git parallel land {name}"))
        }
        TaskState::Held => Some(format!("git parallel land {name}")),
        TaskState::Rejected => Some(format!(
            "git parallel retry {name}   or, once it is mended there,   git parallel land {name}"
        )),
        TaskState::Finished if run.is_at_rest(task) => Some(format!("git parallel land {name}")),
        TaskState::Failed | TaskState::RateLimited | TaskState::TimedOut | TaskState::Aborted
            if task.attempt > 0 || (task.unprepared && task.setup_due) =>
        {
            Some(format!("git parallel logs {name}   then   git parallel retry {name}"))
        }
        _ => None,
    }
}

/// What to type to land all that waits.
pub(super) const LAND_ALL: &str = "git parallel land";

/// What to type about a run whose supervisor died.
pub(super) const INTERRUPTED: &str =
    "git parallel resume   to go on with it, or   git parallel abort   to end it";

/// What to type about a run whose undo was cut off.
pub(super) const UNDO_INTERRUPTED: &str =
    "git parallel undo   to go on with that, or   git parallel resume   to leave it";

/// What to type to see more than a summary shows.
pub(super) const STATUS: &str = "git parallel status";
