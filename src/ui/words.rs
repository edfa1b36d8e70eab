//! The words for durations, amounts and what became of a task, the same wherever they are told.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use jiff::Timestamp;

use super::text;
use crate::run::{Run, Task, TaskName, TaskState, Text, Usage, Work};

/// A stretch of time: `0.4s`, `12s`, `1m 39s`, `2h 05m`, `3d 04h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0 => format!("0.{}s", time.subsec_millis() / 100),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// A limit as a person would have written it: `90s` is `1m 30s`, but 30 minutes are `30m`.
pub fn limit(time: Duration) -> String {
    let seconds = time.as_secs();
    if time.subsec_millis() > 0 {
        return format!("{}s", time.as_secs_f64());
    }
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// A number of things: `1 task`, `2 tasks`, `3 branches`.
pub fn count(n: impl Into<u64>, noun: &str) -> String {
    match n.into() {
        1 => format!("1 {noun}"),
        n if noun.ends_with(['s', 'x']) || noun.ends_with("ch") => format!("{n} {noun}es"),
        n => format!("{n} {noun}s"),
    }
}

/// How far the job is that runs the task's agent, or checks its candidate, elsewhere; empty if there is none.
pub(super) fn job(task: &Task) -> String {
    let job = if task.state == TaskState::Integrating { &task.check_job } else { &task.job };
    let Some(job) = job else { return String::new() };
    let runner = text::one_line(&job.runner);
    // Where a host is all that there is to know of a job, once is enough.
    let id = job.id.as_ref().filter(|id| job.host.as_ref() != Some(id));
    let id = id.map(|id| format!(" (job {})", text::one_line(id))).unwrap_or_default();
    match (&job.host, &job.waits) {
        (Some(host), None) => format!("on {}{id}", text::one_line(host)),
        (Some(host), Some(why)) => {
            format!("on {}{id}, out of reach: {}", text::one_line(host), text::one_line(why))
        }
        (None, Some(why)) => format!("waits for {runner}{id}: {}", text::one_line(why)),
        (None, None) => format!("submitted to {runner}{id}"),
    }
}

/// [`count`] for lengths.
pub(super) fn count_of<T>(things: &[T], noun: &str) -> String {
    count(things.len() as u64, noun)
}

/// A list that names at most `most` things: `a, b, c`, or `a, b and 97 more`.
pub(super) fn listed<T: Display>(things: &[T], most: usize) -> String {
    let shown: Vec<String> = things.iter().take(most).map(T::to_string).collect();
    match things.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// An amount of data: `812 bytes`, `1.2 MB`.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => count(bytes, "byte"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A large number in few digits: `812`, `4.3k`, `1.2M`.
pub(super) fn short(n: u64) -> String {
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")];
    match units.into_iter().find(|(size, _)| n >= *size) {
        None => n.to_string(),
        // Cut off, so that 999 999 is not as much as a million.
        Some((size, unit)) if n / size >= 100 => format!("{}{unit}", n / size),
        Some((size, unit)) => format!("{}.{}{unit}", n / size, n % size / (size / 10)),
    }
}

/// What agents said they used: `1.2M tokens, $3.40`.
pub(super) fn usage(usage: Usage) -> String {
    let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
    let told = (tokens > 0 || usage.cost.is_none()).then(|| match tokens {
        1 => "1 token".to_owned(),
        _ => format!("{} tokens", short(tokens)),
    });
    told.into_iter().chain(usage.cost.map(dollars)).collect::<Vec<_>>().join(", ")
}

/// An amount of money, in millionths of a dollar: `$3.40`, and below a cent `$0.0042`.
fn dollars(millionths: u64) -> String {
    let dollars = millionths as f64 / 1e6;
    if (1..10_000).contains(&millionths) { format!("${dollars:.4}") } else { format!("${dollars:.2}") }
}

/// From one time to another; clocks that went back count as no time.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// How long the task's agent ran, or runs by now.
pub(super) fn agent_time(task: &Task, now: Timestamp) -> Option<Duration> {
    let started = task.started_at?;
    let ended = task.finished_at.filter(|ended| *ended >= started && task.state != TaskState::Running);
    Some(between(started, ended.unwrap_or(now)))
}

/// The size of a change: `2 commits, 3 files +40 -2`.
pub(super) fn change(work: &Work) -> String {
    if work.commits == 0 {
        return "no commits".to_owned();
    }
    let commits = count(work.commits, "commit");
    if work.files == 0 {
        return commits;
    }
    format!("{commits}, {} +{} -{}", count(work.files, "file"), work.insertions, work.deletions)
}

/// The state's word for people.
pub(super) fn state(state: TaskState) -> &'static str {
    match state {
        TaskState::RateLimited => "rate limited",
        TaskState::TimedOut => "timed out",
        TaskState::RolledBack => "rolled back",
        other => other.name(),
    }
}

/// The order in which counts are told: what was reached first, then what wants somebody, then the rest.
const TOLD: [TaskState; 17] = [
    TaskState::Landed,
    TaskState::Unchanged,
    TaskState::Conflicted,
    TaskState::Rejected,
    TaskState::Held,
    TaskState::Failed,
    TaskState::RateLimited,
    TaskState::TimedOut,
    TaskState::Aborted,
    TaskState::RolledBack,
    TaskState::Blocked,
    TaskState::Skipped,
    TaskState::Integrating,
    TaskState::Finished,
    TaskState::Running,
    TaskState::Preparing,
    TaskState::Queued,
];

/// How many tasks are in which state: `2 landed, 1 conflict`.
pub(super) fn tally(counts: &BTreeMap<TaskState, usize>) -> String {
    let told = TOLD.iter().filter_map(|state| Some((*state, *counts.get(state)?)));
    let words = told.filter(|(_, n)| *n > 0).map(|(state, n)| match state {
        TaskState::Conflicted => count(n as u64, "conflict"),
        other => format!("{n} {}", self::state(other)),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// How many tasks of a run are in which state; of those that landed, how many were undone is told apart.
pub fn tally_of(run: &Run) -> String {
    let undone = run.tasks.iter().filter(|task| task.undone.is_some()).count();
    let mut counts = run.counts();
    if let Some(landed) = counts.get_mut(&TaskState::Landed) {
        *landed = landed.saturating_sub(undone);
    }
    let rest = tally(&counts);
    let undone = (undone > 0).then(|| format!("{undone} undone"));
    let parts = [undone.unwrap_or_default(), rest];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Where a task collides, paths grouped by whose landing they collide with (`None`: the target).
pub(super) fn collisions(task: &Task, most: usize) -> Vec<(Option<&TaskName>, String)> {
    let mut groups: Vec<(Option<&TaskName>, Vec<String>)> = Vec::new();
    for conflict in &task.conflicts {
        let path = text::name(conflict.path.as_bstr());
        match groups.iter_mut().find(|(with, _)| *with == conflict.with.as_ref()) {
            Some((_, paths)) => paths.push(path),
            None => groups.push((conflict.with.as_ref(), vec![path])),
        }
    }
    groups.into_iter().map(|(with, paths)| (with, listed(&paths, most))).collect()
}

/// What a task collides with, and where: `with auth in src/db.rs`.
pub(super) fn conflict(run: &Run, task: &Task) -> String {
    let groups = collisions(task, 2);
    let words = groups.iter().map(|(with, paths)| format!("with {} in {paths}", other_side(run, *with)));
    let words: Vec<String> = words.collect();
    if words.is_empty() { format!("with {}", name(&run.spec.target)) } else { words.join("; ") }
}

fn other_side(run: &Run, with: Option<&TaskName>) -> String {
    with.map_or_else(|| name(&run.spec.target), task)
}

/// The task whose candidate this one's stands on, if that has not landed yet.
pub(super) fn ahead(run: &Run, task: &Task) -> Option<String> {
    let onto = task.ahead.as_ref().filter(|onto| **onto != run.tip)?;
    let holds = |other: &&&Task| other.landing.as_ref().is_some_and(|landing| landing.commit == *onto);
    run.queue().iter().find(holds).map(|other| self::task(other.name()))
}

/// What a task that did not start yet waits for: `after a, b`.
pub(super) fn waits_for(run: &Run, task: &Task) -> String {
    let open = run.predecessors(task).filter(|before| !before.state.is_success());
    let names: Vec<String> = open.map(|before| self::task(before.name())).collect();
    if names.is_empty() { String::new() } else { format!("after {}", listed(&names, 3)) }
}

/// Because of what nothing of an atomic run landed: `because c did not land`.
pub(super) fn spoilt(run: &Run) -> String {
    run.spoilt_by.as_ref().map(|name| format!("because {} did not land", task(name))).unwrap_or_default()
}

/// How a landed task landed: `fast-forward, 2 commits, 3 files +40 -2`.
pub(super) fn landing(task: &Task) -> String {
    let landing = task.landing.as_ref();
    let how = landing.map(|landing| landing.how.to_string());
    let settled = landing.and_then(|landing| landing.settled.as_deref()).map(text::one_line);
    let undone = task.undone.as_ref().map(|commit| format!("by {}", commit.short()));
    let parts = undone.into_iter().chain(how).chain(settled).chain(task.work.as_ref().map(change));
    parts.collect::<Vec<String>>().join(", ")
}

/// Why the task stands where it stands, as recorded: how its agent failed, and what was noticed.
pub(super) fn reason(task: &Task) -> String {
    let failure =
        task.exit.as_ref().filter(|exit| exit.state() == TaskState::Failed).map(|exit| exit.words());
    let mut reasons: Vec<String> =
        failure.iter().chain(&task.reason).map(|reason| text::one_line(reason)).collect();
    reasons.retain(|reason| !reason.is_empty());
    reasons.dedup();
    if reasons.is_empty() { "no reason was recorded".to_owned() } else { reasons.join("; ") }
}

/// The time that the task ran out of, in words: `after 30m`.
pub(super) fn after_limit(run: &Run, task: &Task) -> String {
    let timeout = task.spec.timeout_ms.map(Duration::from_millis).or(run.spec.timeout());
    match (timeout, agent_time(task, task.finished_at.unwrap_or_default())) {
        (Some(timeout), _) => format!("after {}", limit(timeout)),
        (None, Some(time)) => format!("after {}", duration(time)),
        (None, None) => String::new(),
    }
}

/// A branch's name or a path, safe to print.
pub(super) fn name(value: &Text) -> String {
    text::name(value.as_bstr())
}

/// A task's name, safe to print.
pub(super) fn task(value: &TaskName) -> String {
    text::name(value.0.as_bytes())
}

/// A stage by the names of its groups, or its number.
pub(super) fn stage(run: &Run, stage: u32) -> String {
    let names: Vec<String> = run.groups_of(stage).iter().map(|name| text::name(name.as_bytes())).collect();
    format!("group {}", listed(&names, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well_at_every_size() {
        let told = |ms| duration(Duration::from_millis(ms));
        let cases = [
            (0, "0.0s"),
            (449, "0.4s"),
            (12_900, "12s"),
            (99_000, "1m 39s"),
            (65_000, "1m 05s"),
            (7_500_000, "2h 05m"),
            (273_600_000, "3d 04h"),
        ];
        for (ms, expected) in cases {
            assert_eq!(told(ms), expected);
        }
        assert_eq!(limit(Duration::from_secs(1800)), "30m");
        assert_eq!(limit(Duration::from_secs(5400)), "1h 30m");
        assert_eq!(limit(Duration::from_millis(1500)), "1.5s");
        assert_eq!(between(Timestamp::UNIX_EPOCH, Timestamp::MIN), Duration::ZERO);
    }

    #[test]
    fn what_was_used_is_short() {
        let told = |input_tokens, output_tokens, cost| usage(Usage { input_tokens, output_tokens, cost });
        assert_eq!(told(1_200_000, 34_000, Some(3_400_000)), "1.2M tokens, $3.40");
        assert_eq!(told(999_999, 0, None), "999k tokens");
        assert_eq!(told(0, 1, Some(0)), "1 token, $0.00");
        assert_eq!(told(0, 0, Some(4_200)), "$0.0042");
        assert_eq!(told(0, 0, None), "0 tokens");
        assert_eq!(told(u64::MAX, u64::MAX, Some(u64::MAX)), "18446744T tokens, $18446744073709.55");
    }

    #[test]
    fn amounts_agree_in_number() {
        assert_eq!(count(1u32, "task"), "1 task");
        assert_eq!(count(0u32, "task"), "0 tasks");
        assert_eq!(count(2u32, "process"), "2 processes");
        assert_eq!(count(2u32, "branch"), "2 branches");
        assert_eq!(listed(&["a", "b"], 2), "a, b");
        assert_eq!(listed(&["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(size(1), "1 byte");
        assert_eq!(size(12_345_678), "12.3 MB");
        let work = Work { commits: 1, files: 1, insertions: 4, ..Work::default() };
        assert_eq!(change(&work), "1 commit, 1 file +4 -0");
    }
}
