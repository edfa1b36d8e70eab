//! The facts told of a run and of a task: a label, and words.

use std::time::Duration;

use super::super::look::Look;
use super::super::{next, text, words};
use super::{Report, command, share};
use crate::run::{Conflict, Phase, Run, RunState, Task, TaskName, TaskState, Track};

/// A label and what is told under it.
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) text: String,
    /// It is a command, or another text to be copied.
    pub(super) literal: bool,
}

fn fact(label: &'static str, text: impl Into<String>) -> Fact {
    Fact { label, text: text.into(), literal: false }
}

fn literal(label: &'static str, text: impl Into<String>) -> Fact {
    Fact { literal: true, ..fact(label, text) }
}

/// Where the run stands, in words, and what to do if that is not well.
pub(super) fn state(report: &Report) -> (String, Option<&'static str>) {
    let run = report.run;
    match report.state() {
        RunState::Interrupted if run.undoing.is_some() => {
            ("interrupted while its landings were being undone".to_owned(), Some(next::UNDO_INTERRUPTED))
        }
        RunState::Interrupted => {
            ("interrupted: its supervisor died before the end".to_owned(), Some(next::INTERRUPTED))
        }
        RunState::Running => ("running; this is how it stands".to_owned(), None),
        state => (state.name().to_owned(), None),
    }
}

/// The facts of the run as a whole.
pub(super) fn of_run(report: &Report, look: &Look) -> Vec<Fact> {
    let (run, spec) = (report.run, &report.run.spec);
    let so_far = if run.finished_at.is_none() { " so far" } else { "" };
    let mut facts = vec![
        fact("outcomes", words::tally_of(run)),
        fact("success", format!("{}{so_far}", share(report.success()))),
        fact("took", format!("{}{so_far}", words::duration(report.elapsed()))),
    ];
    if let Some(factor) = report.speed_up() {
        let agents = words::duration(report.agents());
        facts.push(fact("speed-up", format!("{factor:.1}x (one after the other: {agents})")));
    }
    facts.extend(run.usage().map(|_| fact("used", used(run))));
    let target = words::name(&spec.target);
    facts.push(fact("target", format!("{target}, from {} to {}", spec.base.short(), run.tip.short())));
    let agent = spec.agent_name.clone().unwrap_or_else(|| command(&spec.agent));
    let at_once = words::count(run.jobs, "agent");
    facts.push(fact("agent", format!("{}, {at_once} at once", look.fit(&text::one_line(&agent), 120))));
    facts
}

/// `1.2M tokens, $3.40`, of what, and of how many tasks that is known.
fn used(run: &Run) -> String {
    let Some(usage) = run.usage() else { return String::new() };
    let told = run.tasks.iter().filter(|task| task.usage.is_some()).count();
    let ran = run.tasks.iter().filter(|task| task.attempt > 0).count();
    let of = if told < ran {
        format!(", as {told} of {} told", words::count(ran as u64, "task"))
    } else {
        String::new()
    };
    let (input, output) = (words::short(usage.input_tokens), words::short(usage.output_tokens));
    let parts = if usage.input_tokens > 0 { format!(" ({input} in, {output} out)") } else { String::new() };
    format!("{}{parts}{of}", words::usage(usage))
}

/// The facts of one task, those left out that there are not.
pub(super) fn facts(report: &Report, task: &Task, track: &Track, look: &Look) -> Vec<Fact> {
    let run = report.run;
    let mut facts = Vec::new();
    // What took no time to speak of is not spoken of.
    let told = |(phase, time): &&(Phase, Duration)| *phase == Phase::Running || time.as_millis() >= 100;
    let times = report.times(track);
    let times: Vec<String> =
        times.iter().filter(told).map(|(phase, time)| time_words(*phase, *time)).collect();
    if !times.is_empty() {
        facts.push(fact("times", times.join(", ")));
    }
    if task.attempt > 1 {
        facts.push(fact("attempts", task.attempt.to_string()));
    }
    if let Some(job) = &task.job {
        let host = job.host.as_deref().map_or_else(String::new, |host| format!("{}, ", text::one_line(host)));
        let by = format!("{host}by {} (job {})", job.runner, job.name());
        facts.push(fact("ran on", text::one_line(&by)));
    }
    if let Some(work) = task.work.as_ref().filter(|work| work.commits > 0) {
        let branch = words::name(&task.spec.branch);
        facts.push(fact("changed", format!("{} on {branch}", words::change(work))));
    }
    facts.extend(landed(task, track, look));
    facts.extend(conflict(run, task, track));
    facts.extend(reason(run, task).map(|reason| fact("reason", reason)));
    if task.spec.agent.is_some() || task.agent > 0 {
        let (argv, name, _) = task.agent(&run.spec);
        let agent = name.map_or_else(|| command(argv), str::to_owned);
        facts.push(fact("agent", look.fit(&text::one_line(&agent), 120)));
    }
    facts.extend(task.usage.map(|usage| fact("used", words::usage(usage))));
    facts.extend(next::for_task(run, task).map(|next| literal("next", next)));
    facts
}

fn time_words(phase: Phase, time: Duration) -> String {
    let time = words::duration(time);
    match phase {
        Phase::Queued => format!("waited {time}"),
        Phase::Preparing => format!("prepared in {time}"),
        Phase::Running => format!("ran {time}"),
        Phase::Ready => format!("ready for {time}"),
        Phase::Landing => format!("landing took {time}"),
        Phase::Resolving => format!("settling took {time}"),
    }
}

fn landed(task: &Task, track: &Track, look: &Look) -> Option<Fact> {
    let landing = task.landed()?;
    let at = track.landed_at.map(|at| format!(" at {}", look.time(at))).unwrap_or_default();
    let settled =
        landing.settled.as_deref().map(|how| format!(", {}", text::one_line(how))).unwrap_or_default();
    let undone =
        task.undone.as_ref().map(|commit| format!(", undone by {}", commit.short())).unwrap_or_default();
    Some(fact("landed", format!("as {}{at}, {}{settled}{undone}", landing.commit.short(), landing.how)))
}

/// `src/db.rs (with auth), README.md (with main)`, and whether that is settled.
fn conflict(run: &Run, task: &Task, track: &Track) -> Option<Fact> {
    if track.conflicts.is_empty() {
        return None;
    }
    let settled = if task.state == TaskState::Landed { "; settled since" } else { "" };
    let paths: Vec<String> = track.conflicts.iter().map(|conflict| collision(run, conflict)).collect();
    Some(fact("conflict", format!("{}{settled}", words::listed(&paths, 12))))
}

/// `src/db.rs with auth`.
pub(super) fn collision(run: &Run, conflict: &Conflict) -> String {
    let with = |name: &TaskName| words::task(name);
    let with = conflict.with.as_ref().map_or_else(|| words::name(&run.spec.target), with);
    format!("{} (with {with})", words::name(&conflict.path))
}

/// Why it stands where it stands, if that is not well, and what was noticed.
fn reason(run: &Run, task: &Task) -> Option<String> {
    use TaskState::{Failed, Held, RateLimited, Rejected, RolledBack, TimedOut};
    let words = match task.state {
        Failed | RateLimited | Held | Rejected => words::reason(task),
        TimedOut => format!("timed out {}", words::after_limit(run, task)),
        RolledBack => words::spoilt(run),
        _ => task.reason.as_deref().map(text::one_line).unwrap_or_default(),
    };
    Some(words.trim_end().to_owned()).filter(|words| !words.is_empty())
}
