//! Following the record of a run that another process drives.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::place::Place;
use crate::run::{Run, RunId, Task, TaskName};
use crate::sys::Growth;

/// A supervisor may die without a last word: then nothing grows, and this is how soon it is noticed.
const LOOK: Duration = Duration::from_secs(2);

/// Waits until `done` is true of every one of the tasks, or the run's supervisor is gone; gives the run
/// as it is then.
pub fn until(
    place: &Place,
    id: &RunId,
    tasks: &[TaskName],
    done: impl Fn(&Run, &Task) -> bool,
) -> Result<Run> {
    let all_done = |run: &Run| tasks.iter().all(|name| run.task(name).is_some_and(|task| done(run, task)));
    follow(place, id, None, all_done).map(|run| run.unwrap_or_else(|run| run))
}

/// Waits until the run's supervisor is gone; `None` if `deadline` came first.
pub fn until_end(place: &Place, id: &RunId, deadline: Option<Instant>) -> Result<Option<Run>> {
    follow(place, id, deadline, |_| false).map(Result::ok)
}

/// Waits until a supervisor has taken a run that was just made; `false` if none does so in time.
pub fn until_taken(place: &Place, id: &RunId) -> Result<bool> {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if crate::store::load(&place.layout, id)?.run.started > 0 {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(false)
}

/// `Ok(Err(run))` is a run whose deadline came first.
fn follow(
    place: &Place,
    id: &RunId,
    deadline: Option<Instant>,
    done: impl Fn(&Run) -> bool,
) -> Result<Result<Run, Run>> {
    let journal = place.layout.run(id).journal();
    loop {
        // Watched from before the look, so that nothing written after it is missed.
        let growth = Growth::watch(&journal);
        let alive = place.supervisor(id)?.is_some();
        let run = crate::store::load(&place.layout, id)?.run;
        if !alive || done(&run) {
            return Ok(Ok(run));
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(Err(run));
        }
        let pause = left.unwrap_or(LOOK).min(LOOK);
        if !growth.is_ok_and(|growth| growth.wait(pause).is_ok()) {
            std::thread::sleep(pause.min(Duration::from_millis(200)));
        }
    }
}
