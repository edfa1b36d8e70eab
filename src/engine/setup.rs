//! The setup of a new worktree: a command of the user's that runs in it before the agent does, like an agent
//! and under a shim of its own.
//!
//! A supervisor that takes a run over ends the setup that the dead one left, and runs it again.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc::UnboundedReceiver;

use super::agent::{self, LogReader, WantedOutput};
use super::verify::blocking;
use super::{Context, Outbox, command, hooks, include, trouble};
use crate::run::{Event, Exit, Run, Task, TaskState, Text};
use crate::shim::{self, Shim};

/// Sets a task's worktree up.
pub(super) async fn set_up(
    context: Arc<Context>,
    task: Task,
    mut stops: UnboundedReceiver<shim::Request>,
    outbox: Outbox,
    wanted: WantedOutput,
) {
    let name = task.name().clone();
    let event = match try_set_up(&context, &task, &mut stops, &outbox, wanted).await {
        Ok(None) => Event::SetUp { task: name },
        Ok(Some(why)) => Event::PrepareFailed { task: name, reason: format!("setup failed: {why}") },
        Err(e) => {
            let reason = format!("setup failed: {}", trouble::words(&context, &e));
            Event::PrepareFailed { task: name, reason }
        }
    };
    outbox.event(event);
}

/// Says why it did not succeed.
async fn try_set_up(
    context: &Arc<Context>,
    task: &Task,
    stops: &mut UnboundedReceiver<shim::Request>,
    outbox: &Outbox,
    wanted: WantedOutput,
) -> Result<Option<String>> {
    let text = context.spec.setup_of(&task.spec).context("the task has no setup")?;
    let record = context.dir.make_setup_dir(task.name())?;
    if let Ok(shim::Request::Stop(_)) = stops.try_recv() {
        return Ok(command::failure(&Exit { stopped: true, ..Exit::default() }, None, &record));
    }
    let argv = command::shell(&hooks::with_variables(text));
    let path = task.spec.worktree.as_path();
    let timeout = task.spec.timeout_ms.or(context.spec.timeout_ms);
    let spec = command::under_shim(context, &record, argv, path, environment(context, task), timeout);
    let log = record.join("output.log");
    let mut shim = Shim::spawn(&spec).context("its shim does not start")?;
    let reader = LogReader::new(log.clone(), wanted);
    let exit = agent::see_through(&mut shim, task, reader, stops, outbox, |_| {}).await;
    if let Some(why) = command::failure(&exit, timeout, &record) {
        return Ok(Some(format!("{why} (its output: {})", log.display())));
    }
    let (context, task) = (context.clone(), task.clone());
    blocking(move || include::remember(&context, &task)).await?;
    Ok(None)
}

/// As for the agent that comes next.
fn environment(context: &Context, task: &Task) -> Vec<(String, Text)> {
    let next = Task { attempt: task.attempt + 1, ..task.clone() };
    context.environment(&next)
}

/// Ends the setups that a dead supervisor left at work.
pub(super) async fn end_strays(context: &Context, run: &Run) {
    for task in run.tasks.iter().filter(|task| task.state == TaskState::Preparing && task.setup_due) {
        command::end_for_good(&context.dir.setup(task.name())).await;
    }
}
