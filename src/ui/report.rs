//! `git parallel report`: all that there is to tell of a run, for people, documents, scripts and browsers.
//!
//! What is told is put together here, once; the forms are below.

mod chart;
mod facts;
mod html;
mod json;
mod markdown;
mod text;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::look::{self, Look, Mark};
use super::status::Supervisor;
use super::summary::{self, Logs};
use super::{rows, tail, words};
use crate::run::{Landing, Phase, Run, RunState, Task, TaskName, TaskState, Text, Timeline, Track};
use facts::Fact;

/// Gives the last bytes of a task's log.
pub type Ends<'a> = &'a dyn Fn(&TaskName) -> Vec<u8>;

/// Lines told of the end of a log.
const LOG_LINES: usize = 10;

/// What stands above them.
const LOG: &str = "The end of its log";
const CHECK_LOG: &str = "The end of its check's log";

/// A run, and what is known beside it.
pub struct Report<'a> {
    /// The run.
    pub run: &'a Run,
    /// Its course.
    pub timeline: &'a Timeline,
    /// Who sees to it.
    pub supervisor: Supervisor,
    /// The time of the report.
    pub now: Timestamp,
    /// Where logs are.
    pub logs: Logs<'a>,
    /// How they end.
    pub ends: Ends<'a>,
}

impl Report<'_> {
    /// For a terminal.
    pub fn text(&self, look: &Look) -> String {
        text::text(self, look)
    }

    /// For a document.
    pub fn markdown(&self, look: &Look) -> String {
        markdown::markdown(self, look)
    }

    /// For a browser: a page that needs nothing else.
    pub fn html(&self, look: &Look) -> String {
        html::html(self, look)
    }

    /// For scripts.
    pub fn json(&self, look: &Look) -> serde_json::Value {
        json::json(self, look)
    }

    fn state(&self) -> RunState {
        self.run.state(self.supervisor.alive)
    }

    /// Until when its story goes: what nobody sees to has stood still since the last that is known.
    fn until(&self) -> Timestamp {
        let last = self.timeline.last.unwrap_or(self.run.spec.started_at);
        if self.state() == RunState::Running { self.now.max(last) } else { last }
    }

    /// How long it went on, without the times between its end and when it was taken up again.
    fn elapsed(&self) -> Duration {
        unsigned(self.timeline.elapsed(self.until()))
    }

    /// The time of all agents together.
    fn agents(&self) -> Duration {
        unsigned(self.timeline.agents(self.until()))
    }

    /// How many times faster than one after the other; `None` if that says nothing.
    fn speed_up(&self) -> Option<f64> {
        let ran = |track: &&Track| track.spans.iter().any(|span| span.phase == Phase::Running);
        let several = self.timeline.tracks.iter().filter(ran).count() > 1;
        (several && self.run.stop.is_none())
            .then(|| summary::speed_up(self.agents(), self.elapsed()))
            .flatten()
    }

    /// Tasks that came to what they were meant to, and those of which that can be told.
    fn success(&self) -> (usize, usize) {
        let run = self.run;
        let counted = run.tasks.iter().filter(|t| t.state != TaskState::Skipped && run.is_at_rest(t));
        let meant = |t: &&Task| t.state.is_success() || (t.state == TaskState::Finished && !run.spec.land);
        let done = counted.clone().filter(meant).filter(|t| t.undone.is_none()).count();
        (done, counted.count())
    }

    fn entries(&self, look: &Look) -> Vec<Entry<'_>> {
        // Of what never began there is no track.
        let none = Track::default();
        let tracks = self.timeline.tracks.iter().chain(std::iter::repeat(&none));
        self.run.tasks.iter().zip(tracks).map(|(task, track)| self.entry(task, track, look)).collect()
    }

    fn entry<'a>(&'a self, task: &'a Task, track: &Track, look: &Look) -> Entry<'a> {
        Entry {
            mark: look::mark(self.run, task),
            name: words::task(task.name()),
            state: if task.undone.is_some() { "undone" } else { words::state(task.state) },
            detail: rows::detail(self.run, task, self.now),
            times: self.times(track),
            facts: facts::facts(self, task, track, look),
            ends: self.ends_of(task),
            task,
        }
    }

    fn ends_of(&self, task: &Task) -> Vec<(&'static str, Vec<String>)> {
        let check = task.check_log.as_ref().filter(|_| task.state == TaskState::Rejected);
        let check = check.map(|(_, said)| (CHECK_LOG, log_end(said.as_bytes())));
        let own = (LOG, log_end(&(self.ends)(task.name())));
        std::iter::once(own).chain(check).filter(|(_, lines)| !lines.is_empty()).collect()
    }

    /// How long the task spent in each phase that it came through.
    fn times(&self, track: &Track) -> Vec<(Phase, Duration)> {
        let was = |phase: &Phase| track.spans.iter().any(|span| span.phase == *phase);
        let phases = Phase::ALL.into_iter().filter(was);
        phases.map(|phase| (phase, unsigned(track.spent(phase, self.until())))).collect()
    }

    /// What landed, in the order in which it did.
    fn merges(&self) -> Vec<Merge<'_>> {
        let tracks = self.timeline.tracks.iter();
        let landed =
            self.run.tasks.iter().zip(tracks).filter_map(|(task, track)| {
                Some(Merge { task, landing: task.landed()?, at: track.landed_at? })
            });
        let mut merges: Vec<Merge> = landed.collect();
        merges.sort_by_key(|merge| (merge.at, merge.task.place));
        merges
    }
}

/// A task, and all that is told of it.
struct Entry<'a> {
    task: &'a Task,
    mark: Mark,
    /// Safe to print, as are all texts here.
    name: String,
    state: &'static str,
    /// What its row in `status` says beside that.
    detail: String,
    times: Vec<(Phase, Duration)>,
    facts: Vec<Fact>,
    /// The last lines of its log, and of its check's if that failed, each with what it is.
    ends: Vec<(&'static str, Vec<String>)>,
}

/// A landing.
struct Merge<'a> {
    task: &'a Task,
    landing: &'a Landing,
    at: Timestamp,
}

impl Merge<'_> {
    /// How, of what, and what became of it: `merge, 2 commits, 3 files +40 -2`.
    fn words(&self) -> String {
        match &self.task.undone {
            Some(_) => format!("undone {}", words::landing(self.task)),
            None => words::landing(self.task),
        }
    }
}

fn unsigned(time: SignedDuration) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}

/// The last lines that say something, as `logs` shows them.
fn log_end(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tail = tail::Tail::default();
    tail.feed(bytes, &mut |line| lines.push(line.to_owned()));
    lines.extend(tail.flush());
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let first = lines.len().saturating_sub(LOG_LINES);
    lines
        .split_off(first)
        .into_iter()
        .map(|line| console::truncate_str(&line, 400, "…").into_owned())
        .collect()
}

/// A share in words: `2 of 3 tasks (66%)`. All of them are 100%, and nothing else is.
fn share((done, of): (usize, usize)) -> String {
    let percent = (done * 100).checked_div(of).map(|n| format!(" ({n}%)")).unwrap_or_default();
    format!("{done} of {}{percent}", words::count(of as u64, "task"))
}

/// A command as it was given.
fn command(argv: &[Text]) -> String {
    argv.iter().map(super::text::argument).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
