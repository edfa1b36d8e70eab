//! How long the rest of a run may take, by what its agents took so far.

use std::time::Duration;

use jiff::Timestamp;

use super::words;
use crate::run::{Run, Task, TaskState};

/// `about 3m left`; `None` where there is nothing to go by, or nothing left.
pub(super) fn left(run: &Run, now: Timestamp) -> Option<String> {
    if run.stop.is_some() || run.finished_at.is_some() {
        return None;
    }
    let took: Vec<Duration> = run.tasks.iter().filter_map(|task| took(task, now)).collect();
    let usual = took.iter().sum::<Duration>().checked_div(u32::try_from(took.len()).ok()?)?;
    let rest = |task: &Task| match task.state {
        TaskState::Running => usual
            .saturating_sub(words::agent_time(task, now).filter(|_| task.pid.is_some()).unwrap_or_default()),
        TaskState::Queued | TaskState::Preparing | TaskState::RateLimited => usual,
        _ if run.will_retry(task) => usual,
        _ => Duration::ZERO,
    };
    let rests: Vec<Duration> = run.tasks.iter().filter(|task| !run.is_at_rest(task)).map(rest).collect();
    // As if they could be dealt out evenly, but none faster than by itself.
    let even = rests.iter().sum::<Duration>() / run.jobs.max(1);
    let left = rests.into_iter().max()?.max(even);
    (!left.is_zero()).then(|| format!("about {} left", words::limit(round(left))))
}

/// How long the agent took that made its work.
fn took(task: &Task, now: Timestamp) -> Option<Duration> {
    let ended = task.exit.as_ref().is_some_and(|exit| exit.state() == TaskState::Finished);
    words::agent_time(task, now).filter(|_| ended && task.state != TaskState::Running)
}

/// As coarse as it is known: tens of seconds, minutes, and quarters of an hour.
fn round(time: Duration) -> Duration {
    let step = match time.as_secs() {
        0..60 => 10,
        60..3600 => 60,
        _ => 900,
    };
    Duration::from_secs(time.as_millis().div_ceil(step * 1000) as u64 * step as u64)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Story, at, spec};
    use super::*;
    use crate::run::{Exit, How};

    #[test]
    fn what_others_took_is_what_the_rest_may_take() {
        let mut story = Story::new(spec(&["a", "b", "c", "d", "e", "f", "g"]));
        story.start(1, "a", 1).start(1, "b", 2).start(1, "c", 3);
        assert_eq!(left(&story.run, at(60)), None, "nothing has ended");
        story.fail(2, "b", Exit { code: Some(1), ..Exit::default() });
        assert_eq!(left(&story.run, at(60)), None, "one that failed tells nothing");
        story.finish(61, "a", 2).land(62, "a", How::FastForward);
        // Four wait, c has used up its minute: 240 s by three.
        assert_eq!(left(&story.run, at(61)).as_deref(), Some("about 2m left"));
        assert_eq!(left(&story.run, at(31)).as_deref(), Some("about 2m left"));
    }

    #[test]
    fn it_is_only_as_exact_as_it_is_known() {
        let rounded = |seconds| round(Duration::from_secs(seconds)).as_secs();
        assert_eq!([1, 10, 11, 59, 61, 3599, 3601].map(rounded), [10, 10, 20, 60, 120, 3600, 4500]);
    }
}
