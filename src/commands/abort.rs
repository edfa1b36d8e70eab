//! `git parallel abort`.

use anyhow::{Context as _, Result};

use super::narrate;
use super::place::{Place, known_tasks};
use crate::cli::{AbortArgs, CleanupArgs};
use crate::engine::control::{self, Request};
use crate::error::{Failure, exit};
use crate::run::{Event, RunId, Stop, StopCause, TaskName};
use crate::store::{Holder, Loaded};

/// Stops agents and keeps their work.
pub fn abort(args: &AbortArgs) -> Result<u8> {
    let place = Place::open()?;
    let loaded = place.load(None)?;
    let id = loaded.run.spec.id.clone();
    let tasks = known_tasks(&loaded.run, &args.tasks)?;
    if place.supervisor(&id)?.is_some() {
        abort_living(&place, &loaded, &tasks)?;
    } else if loaded.run.finished_at.is_none() {
        abort_interrupted(&id, tasks)?;
    } else {
        return Err(Failure::new(exit::FAILURE, format!("run {id} has ended: there is nothing to stop"))
            .hint("see how it ended: git parallel status")
            .into());
    }
    if args.cleanup {
        let tasks = args.tasks.clone();
        return super::cleanup::cleanup(&CleanupArgs {
            tasks,
            run: Some(id.0),
            all: false,
            dry_run: false,
            force: false,
        });
    }
    Ok(exit::OK)
}

/// Asks the supervisor, and waits until it has done it.
fn abort_living(place: &Place, loaded: &Loaded, tasks: &[TaskName]) -> Result<()> {
    let run = &loaded.run;
    let asked = (!tasks.is_empty()).then(|| tasks.to_vec());
    let sent = control::send(&loaded.dir.control(), &Request::Abort { tasks: asked })
        .with_context(|| format!("cannot reach the supervisor of run {}", run.spec.id))?;
    if !sent {
        anyhow::bail!("the supervisor of run {} does not listen; try again in a moment", run.spec.id);
    }
    if tasks.is_empty() {
        crate::store::Lock::wait_free(&place.layout.lock())?;
        narrate(&format!("run {} is stopped; its work is kept (git parallel status)\n", run.spec.id));
        return Ok(());
    }
    let run = super::follow::until(place, &run.spec.id, tasks, |run, task| run.is_at_rest(task))?;
    for task in tasks.iter().filter_map(|name| run.task(name)) {
        narrate(&format!("{}: {}; its work is kept in {}\n", task.name(), task.state, task.spec.worktree));
    }
    Ok(())
}

/// Ends a run whose supervisor died: takes its place, stops what still lives, and writes the end.
fn abort_interrupted(id: &RunId, tasks: Vec<TaskName>) -> Result<()> {
    if !tasks.is_empty() {
        let message = format!("run {id} was interrupted: it can only be ended as a whole");
        return Err(Failure::new(exit::REFUSED, message).hint("end it: git parallel abort").into());
    }
    let place = Place::open()?;
    let _lock = place.lock(&Holder::this_process("abort", Some(id.clone()), 0, 0))?;
    let loaded = place.load(Some(&id.0))?;
    let stop = Event::StopRequested { tasks: None, cause: StopCause::Abort, stop: Stop::Term };
    let settings = super::ways::plain_settings(&place.config)?;
    place.drive(loaded, settings, vec![stop])?;
    Ok(())
}
