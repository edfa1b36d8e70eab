//! What an agent says it used, read from the log once it has ended.

use crate::agents::{self, UsagePatterns};
use crate::run::{Exit, Task, Usage};
use crate::shim;

use super::Context;

/// The most that is read of a log: reports stand at its end.
const MOST: u64 = 4 << 20;

/// The exit of the task's present attempt, with what its agent used.
pub(super) async fn add(context: &Context, task: &Task, exit: Exit) -> Exit {
    if exit.not_started.is_some() {
        return exit;
    }
    let dir = context.dir.task(task.name());
    let (attempt, patterns) = (task.attempt, context.spec.usage_patterns.clone());
    let look = move || -> Option<Usage> {
        let output = shim::output(&dir, attempt, MOST).ok()?;
        // They were good when the run started.
        agents::usage(&output, &UsagePatterns::new(&patterns).unwrap_or_default())
    };
    let usage = tokio::task::spawn_blocking(look).await.ok().flatten();
    Exit { usage, ..exit }
}
