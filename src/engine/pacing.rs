//! When agents are started: after pauses, and while the machine has room for them.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Context, Engine};
use crate::agents::Limits;
use crate::run::{Action, Event, Exit, Pacing, Run, Step, Task, TaskState, decide};
use crate::{shim, sys};

/// How often a busy machine is looked at again.
const LOOK: Duration = Duration::from_secs(2);

/// How much of the end of a log is looked at: longer than any line that tells of a limit.
const END: u64 = 8 << 10;

/// What is known of the machine beyond its load.
#[derive(Debug, Default)]
pub(super) struct Machine {
    started: Vec<Instant>,
}

impl Machine {
    /// An agent was started.
    fn count_start(&mut self, now: Instant) {
        self.started.push(now);
    }

    /// Why no agent is to be started now.
    fn too_busy(&mut self, pacing: &Pacing, now: Instant) -> Option<String> {
        if let Some((most, load)) = pacing.max_load.zip(sys::load_average()) {
            self.started.retain(|at| now.duration_since(*at) < Duration::from_secs(5 * 60));
            let ages: Vec<Duration> = self.started.iter().map(|at| now.duration_since(*at)).collect();
            let load = load + not_counted_yet(&ages);
            if load >= most {
                return Some(format!("the load is {load:.1}, and --max-load {most}"));
            }
        }
        let (least, free) = pacing.min_free_memory.zip(sys::available_memory())?;
        let megabytes = |bytes: u64| bytes >> 20;
        (free < least).then(|| {
            let (free, least) = (megabytes(free), megabytes(least));
            format!("{free} MiB of memory are available, and --min-free-memory is {least} MiB")
        })
    }
}

/// What agents that were started so long ago will add to the load average of a minute, each busy one being 1:
/// it approaches the load by the exponential of the time.
fn not_counted_yet(ages: &[Duration]) -> f64 {
    ages.iter().map(|age| (-age.as_secs_f64() / 60.0).exp()).sum()
}

impl Engine {
    /// Holds new starts back while the machine is busy.
    pub(super) fn look_at_machine(&mut self) {
        let pacing = &self.context.spec.pacing;
        if !pacing.watches_machine() {
            return;
        }
        let starts = || decide(&self.run).iter().any(|action| is_start(action, &self.run));
        if self.run.held_back.is_none() && !starts() {
            return;
        }
        match self.machine.too_busy(pacing, Instant::now()) {
            Some(reason) if self.run.held_back.is_none() => self.record(Event::StartsHeld { reason }),
            None if self.run.held_back.is_some() => self.record(Event::StartsFreed),
            _ => {}
        }
    }

    /// Takes note of an agent that is about to be started.
    pub(super) fn note_start(&mut self, action: &Action) {
        if is_start(action, &self.run) {
            self.machine.count_start(Instant::now());
        }
    }

    /// Ends the pauses that are over.
    pub(super) fn end_pauses(&mut self) {
        let now = Timestamp::now();
        while let Some((task, until)) = self.run.next_pause() {
            if until > now || self.broken.is_some() {
                return;
            }
            self.record(Event::PauseOver { task: task.clone() });
        }
    }
}

/// Until the next pause ends, or a busy machine is looked at again.
pub(super) async fn wait(run: &Run) {
    let pause = run.next_pause().map(|(_, until)| {
        let left = until.duration_since(Timestamp::now());
        Duration::try_from(left).unwrap_or_default()
    });
    let look = run.held_back.is_some().then_some(LOOK);
    match pause.into_iter().chain(look).min() {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

fn is_start(action: &Action, run: &Run) -> bool {
    match action {
        Action::Step { task, step: Step::Prepare { .. } } => {
            run.task(task).is_some_and(|task| task.state != TaskState::Preparing || !task.working)
        }
        _ => false,
    }
}

/// Adds to an exit what the end of the agent's output tells of it.
pub(super) fn read_output(context: &Context, task: &Task, exit: Exit) -> Exit {
    if exit.state() != TaskState::Failed || exit.not_started.is_some() {
        return exit;
    }
    // The patterns were looked at before the run started.
    let Ok(limits) = Limits::new(&context.spec.pacing.limit_patterns) else { return exit };
    let end = shim::output(&context.dir.task(task.name()), task.attempt, END).unwrap_or_default();
    let limited = limits.told_in(&end).map(|line| {
        const MOST: usize = 300;
        String::from_utf8_lossy(&line[..line.len().min(MOST)]).into_owned()
    });
    Exit { limited, ..exit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_count_before_the_load_average_knows_them() {
        let seconds = |n: &[u64]| n.iter().map(|n| Duration::from_secs(*n)).collect::<Vec<_>>();
        assert!((not_counted_yet(&seconds(&[0, 0])) - 2.0).abs() < 1e-9);
        assert!((not_counted_yet(&seconds(&[60])) - 0.3679).abs() < 1e-3);
        assert!(not_counted_yet(&seconds(&[300])) < 0.01);
    }

    #[test]
    fn a_machine_without_room_says_so() {
        let mut machine = Machine::default();
        let now = Instant::now();
        let full = Pacing { min_free_memory: Some(u64::MAX), ..Pacing::default() };
        assert!(machine.too_busy(&full, now).unwrap().contains("--min-free-memory"));
        let low = Pacing { max_load: Some(1e9), min_free_memory: Some(1), ..Pacing::default() };
        assert_eq!(machine.too_busy(&low, now), None);
        let few = Pacing { max_load: Some(f64::MIN_POSITIVE), ..Pacing::default() };
        machine.count_start(now);
        assert!(machine.too_busy(&few, now).unwrap().contains("--max-load"));
    }

    #[test]
    fn only_the_present_attempt_counts() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("output.log");
        let end = |attempt| shim::output(dir.path(), attempt, END).unwrap_or_default();
        std::fs::write(&log, "429\n--- attempt 2 ---\nbroken\n").unwrap();
        assert_eq!(end(2), b"broken\n");
        std::fs::write(&log, "x".repeat(20_000)).unwrap();
        assert_eq!(end(1).len(), 8 << 10);
        std::fs::remove_file(&log).unwrap();
        assert_eq!(end(1), b"");
    }
}
