//! `git parallel retry`.

use anyhow::Result;

use super::place::{Place, known_tasks};
use super::undo::why_not_again;
use crate::cli::RetryArgs;
use crate::error::{Failure, exit};
use crate::run::{Event, Run, TaskName};
use crate::store::Holder;

/// Runs tasks again.
pub fn retry(args: &RetryArgs) -> Result<u8> {
    let place = Place::open()?;
    let id = place.load(args.run.as_deref())?.run.spec.id;
    let lock = place.lock(&Holder::this_process("retry", Some(id.clone()), args.tasks.len(), 0))?;
    let loaded = place.load(Some(&id.0))?;
    place.refuse_interrupted(&loaded.run)?;
    let tasks = known_tasks(&loaded.run, &args.tasks)?;
    check(&loaded.run, &tasks)?;
    let requests =
        tasks.iter().map(|task| Event::RetryRequested { task: task.clone(), fresh: args.fresh }).collect();
    let settings = super::ways::plain_settings(&place.config)?;
    let run = place.drive(loaded, settings, requests)?;
    drop(lock);
    Ok(super::land::code(&run, &tasks))
}

fn check(run: &Run, tasks: &[TaskName]) -> Result<()> {
    match tasks.iter().filter_map(|name| run.task(name)).find(|task| !task.may_retry()) {
        None => Ok(()),
        Some(task) => {
            if let Some(undone) = why_not_again(run, task) {
                return Err(undone);
            }
            let message = format!("task '{}' ({}) is not to be run again", task.name(), task.state);
            Err(Failure::new(exit::FAILURE, message)
                .hint("see where the tasks stand: git parallel status")
                .into())
        }
    }
}
