//! `git parallel status` and `git parallel list` for people.

use std::collections::HashMap;

use jiff::Timestamp;

use super::live::Frame;
use super::look::{self, Look, Mark, pad};
use super::rows::{Aside, Rows};
use super::summary::{self, Logs};
use super::tail::end_of;
use super::view::View;
use super::{next, words};
use crate::run::{Run, RunState, Task, TaskName, TaskState};

/// What is known of the process that sees to a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Supervisor {
    /// It lives.
    pub alive: bool,
    /// Its process id, where it is known.
    pub pid: Option<u32>,
}

/// The state of a run: what it is, a row a task, and who is needed.
pub fn status(run: &Run, supervisor: Supervisor, now: Timestamp, logs: Logs, look: &Look) -> String {
    let mut text = header(run, supervisor, now, look);
    let names = look::name_width(run.tasks.iter());
    let rows = Rows { run, now, look: &indented(look), names, turn: None };
    for task in &run.tasks {
        text.push_str(&format!("  {}\n", rows.row(task, &Aside::default())));
    }
    let sections = summary::sections(run, logs, look, usize::MAX);
    if !sections.is_empty() {
        text.push_str(&format!("\n{sections}"));
    }
    text
}

/// The state of a run that goes on, on a terminal of this height: what goes on first, where not all has room.
pub fn watched(
    run: &Run,
    supervisor: Supervisor,
    now: Timestamp,
    logs: Logs,
    look: &Look,
    (height, turn): (usize, usize),
) -> String {
    let mut text = header(run, supervisor, now, look);
    let said: HashMap<&TaskName, String> = run
        .tasks
        .iter()
        .filter(|task| task.state == TaskState::Running)
        .filter_map(|task| Some((task.name(), end_of(logs(task.name()).as_path(), 1).pop()?)))
        .collect();
    let aside = |task: &Task| Aside { output: said.get(task.name()).map(String::as_str), ..Aside::default() };
    let frame = Frame {
        run,
        now,
        since: run.spec.started_at,
        look: &Look { width: look.width.saturating_sub(1), ..look.clone() },
        height: height.saturating_sub(text.lines().count()),
        turn,
        view: &View::default(),
        aside: &aside,
        log: &|_, _| Vec::new(),
    };
    text.extend(frame.lines().into_iter().map(|line| line + "\n"));
    text
}

fn indented(look: &Look) -> Look {
    Look { width: look.width.saturating_sub(2), ..look.clone() }
}

/// Two or three lines and a blank one.
pub(super) fn header(run: &Run, supervisor: Supervisor, now: Timestamp, look: &Look) -> String {
    let spec = &run.spec;
    let state = run.state(supervisor.alive);
    let run_time = |end| words::duration(words::between(spec.started_at, end));
    let pid = supervisor.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let words = match (state, run.finished_at) {
        (RunState::Running, _) => look.paint(Mark::Doing, &format!("running{pid}")),
        (RunState::Interrupted, _) if run.undoing.is_some() => {
            look.paint(Mark::Failed, "interrupted while its landings were being undone")
        }
        (RunState::Interrupted, _) => {
            look.paint(Mark::Failed, "interrupted: its supervisor died before the end")
        }
        (RunState::Aborted, _) => look.paint(Mark::Warning, "aborted"),
        (RunState::Finished, _) if run.exit_code() == 0 => look.paint(Mark::Done, "finished"),
        (RunState::Finished, _) => look.paint(Mark::Warning, "finished"),
    };
    let ended = match run.finished_at {
        Some(end) => format!("ended {}, {} later", look.date(end), run_time(end)),
        None => format!("{} ago", run_time(now)),
    };
    let mut text = format!("Run {}: {words}\n", look.bold(&spec.id.0));
    let target = words::name(&spec.target);
    text.push_str(&format!("Started {}, {ended}\n", look.date(spec.started_at)));
    let counts = words::tally_of(run);
    text.push_str(&format!(
        "{} to land on {target} (at {}): {counts}\n",
        words::count_of(&run.tasks, "task"),
        run.tip.short()
    ));
    if state == RunState::Interrupted && run.undoing.is_some() {
        text.push_str(&look.next_line(next::UNDO_INTERRUPTED));
    } else if state == RunState::Interrupted {
        text.push_str("Its work is kept, and agents that still run go on.\n");
        text.push_str(&look.next_line(next::INTERRUPTED));
    }
    text.push('\n');
    text
}

/// All runs as a table, in the order given; `alive` belongs to the run whose supervisor lives.
pub fn list(runs: &[(&Run, bool)], look: &Look) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let row = |(run, alive): &(&Run, bool)| {
        [
            run.spec.id.0.clone(),
            run.state(*alive).name().to_owned(),
            words::name(&run.spec.target),
            look.date(run.spec.started_at),
            words::tally_of(run),
        ]
    };
    let head = ["RUN", "STATE", "TARGET", "STARTED", "TASKS"].map(str::to_owned);
    let table: Vec<[String; 5]> = std::iter::once(head).chain(runs.iter().map(row)).collect();
    let width = |column: usize| table.iter().map(|row| console::measure_text_width(&row[column])).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
    let line = |(i, row): (usize, &[String; 5])| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| pad(cell, *width)).collect();
        let line = look.fit(cells.join("  ").trim_end(), look.width);
        format!("{}\n", if i == 0 { look.dim(&line) } else { line })
    };
    table.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixture::{self, Story, at, log_of, look, spec};
    use super::*;
    use crate::run::{Exit, How};

    fn going() -> Story {
        let mut story = Story::new(spec(&["auth", "docs", "billing", "later"]));
        story.start(1, "auth", 4711).start(1, "docs", 4712).start(2, "billing", 4713);
        story.finish(74, "docs", 2).land(75, "docs", How::FastForward);
        story.fail(80, "auth", Exit { code: Some(3), ..Exit::default() });
        story
    }

    fn told(story: &Story, alive: bool, look: &Look) -> String {
        let supervisor = Supervisor { alive, pid: alive.then_some(4700) };
        status(&story.run, supervisor, at(99), &log_of, look)
    }

    #[test]
    fn a_run_that_goes_on() {
        assert_snapshot!(told(&going(), true, &look()));
    }

    #[test]
    fn an_interrupted_run_without_unicode() {
        assert_snapshot!(told(&going(), false, &Look { unicode: false, width: 60, ..look() }));
    }

    #[test]
    fn a_finished_run_in_colour() {
        let text = told(&fixture::sample(), false, &Look { color: true, ..look() });
        assert_snapshot!(text.replace('\x1b', "ESC"));
    }

    #[test]
    fn runs_as_a_table() {
        let (going, sample) = (going(), fixture::sample());
        assert_snapshot!(list(&[(&going.run, true), (&sample.run, false), (&going.run, false)], &look()));
        assert_eq!(list(&[], &look()), "");
    }
}
