//! `git parallel land`.

use anyhow::{Context as _, Result};

use super::narrate;
use super::place::{Place, known_tasks};
use super::undo::why_not_again;
use crate::cli::LandArgs;
use crate::engine::control::{self, Request};
use crate::error::{Failure, exit};
use crate::run::{Event, Run, Task, TaskName, TaskState};
use crate::store::{Holder, Loaded};

/// Lands what is finished, resolved or held.
pub fn land(args: &LandArgs) -> Result<u8> {
    let place = Place::open()?;
    let loaded = place.load(args.run.as_deref())?;
    let id = loaded.run.spec.id.clone();
    if place.supervisor(&id)?.is_some() {
        let tasks = chosen(&loaded.run, &args.tasks)?;
        return ask_supervisor(&place, &loaded, tasks, args.tasks.is_empty());
    }
    let lock = place.lock(&Holder::this_process("land", Some(id.clone()), args.tasks.len(), 1))?;
    let loaded = place.load(Some(&id.0))?;
    place.refuse_interrupted(&loaded.run)?;
    let tasks = chosen(&loaded.run, &args.tasks)?;
    let all = args.tasks.is_empty();
    let requests = tasks.iter().map(|task| Event::LandRequested { task: task.clone(), all }).collect();
    let settings = super::ways::plain_settings(&place.config)?;
    let run = place.drive(loaded, settings, requests)?;
    drop(lock);
    Ok(code(&run, &tasks))
}

/// The named tasks if they can be landed, or all that wait.
fn chosen(run: &Run, names: &[String]) -> Result<Vec<TaskName>> {
    let tasks = known_tasks(run, names)?;
    if let Some(other) = tasks.iter().filter_map(|name| run.task(name)).find(|task| !task.may_land()) {
        if let Some(undone) = why_not_again(run, other) {
            return Err(undone);
        }
        let message = format!("task '{}' ({}) has nothing to land", other.name(), other.state);
        return Err(Failure::new(exit::FAILURE, message)
            .safe(format!("Its branch {} is as it was.", other.spec.branch))
            .hint("see where the tasks stand: git parallel status")
            .into());
    }
    if run.spec.atomic {
        refuse_some_of_all(run)?;
    } else if !names.is_empty() {
        return Ok(tasks);
    }
    let all: Vec<TaskName> = run.tasks.iter().filter(|t| t.may_land()).map(|t| t.name().clone()).collect();
    if all.is_empty() {
        return Err(Failure::new(
            exit::FAILURE,
            format!("run {} has nothing that waits to land", run.spec.id),
        )
        .hint("see where its tasks stand: git parallel status")
        .into());
    }
    Ok(all)
}

/// What is to land in one step must all be there.
fn refuse_some_of_all(run: &Run) -> Result<()> {
    let missing = run.tasks.iter().find(|task| !task.may_land() && !task.state.is_success());
    let Some(task) = missing else { return Ok(()) };
    let message = format!(
        "this run lands all of its tasks or none, and task '{}' ({}) can't be landed",
        task.name(),
        task.state
    );
    Err(Failure::new(exit::FAILURE, message)
        .safe("Every branch is as it was.")
        .hint(format!("to run it again, and land them all after that: git parallel retry {}", task.name()))
        .into())
}

/// The run is going: its supervisor lands them.
fn ask_supervisor(place: &Place, loaded: &Loaded, tasks: Vec<TaskName>, all: bool) -> Result<u8> {
    let id = &loaded.run.spec.id;
    let before: Vec<_> = tasks.iter().filter_map(|name| loaded.run.task(name)).map(|t| t.ready).collect();
    let sent = control::send(&loaded.dir.control(), &Request::Land { tasks: tasks.clone(), all })
        .with_context(|| format!("cannot reach the supervisor of run {id}"))?;
    if !sent {
        anyhow::bail!("the supervisor of run {id} does not listen; try again in a moment");
    }
    let taken_up = |task: &Task| {
        let i = tasks.iter().position(|name| name == task.name());
        i.and_then(|i| before.get(i)).is_some_and(|ready| task.ready > *ready)
    };
    let run = super::follow::until(place, id, &tasks, |run, task| taken_up(task) && run.is_at_rest(task))?;
    for task in tasks.iter().filter_map(|name| run.task(name)) {
        let reason =
            task.reason.as_deref().map(|r| format!(": {}", crate::ui::one_line(r))).unwrap_or_default();
        let reason = if task.state == TaskState::Landed { String::new() } else { reason };
        narrate(&format!("{}: {}{reason}\n", task.name(), task.state));
    }
    Ok(code(&run, &tasks))
}

/// The exit code of a command that took these tasks up again.
pub fn code(run: &Run, tasks: &[TaskName]) -> u8 {
    let tasks: Vec<&Task> = tasks.iter().filter_map(|name| run.task(name)).collect();
    // In a run that does not land, a task that was run again is done when it is finished.
    let rests = |task: &Task| task.state == TaskState::Finished && !run.lands(task) && !run.spec.land;
    if tasks.iter().all(|task| task.state.is_success() || rests(task)) {
        return exit::OK;
    }
    // The run itself may have been stopped long ago; these tasks were stopped now.
    let was_stopped = |task: &Task| match task.state {
        TaskState::Aborted => true,
        TaskState::Held => task.stop.is_some(),
        _ => false,
    };
    let stopped = run.stop.filter(|_| tasks.iter().any(|task| was_stopped(task)));
    stopped.map_or(exit::FAILURE, |cause| cause.exit_code())
}
