//! Following the record of a run that another process drives.

use std::time::Duration;

use anyhow::Result;

use super::place::Place;
use crate::run::{Run, RunId, Task, TaskName};
use crate::sys::Growth;

/// Waits until `done` is true of every one of the tasks, or the run's supervisor is gone; gives the run
/// as it is then.
pub fn until(
    place: &Place,
    id: &RunId,
    tasks: &[TaskName],
    done: impl Fn(&Run, &Task) -> bool,
) -> Result<Run> {
    let journal = place.layout.run(id).journal();
    loop {
        // Watched from before the look, so that nothing written after it is missed.
        let growth = Growth::watch(&journal);
        let alive = place.supervisor(id)?.is_some();
        let run = crate::store::load(&place.layout, id)?.run;
        if !alive || tasks.iter().all(|name| run.task(name).is_some_and(|task| done(&run, task))) {
            return Ok(run);
        }
        match growth {
            Ok(mut growth) => drop(growth.wait(Duration::from_secs(5))),
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}
