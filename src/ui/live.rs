//! The live view: one line a task and one for the whole, redrawn in place on stderr.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::look::{self, Look, Mark};
use super::rows::{Aside, Rows};
use super::view::View;
use super::{estimate, words};
use crate::run::{Run, Task, TaskState};

/// What one drawing needs beside the run.
pub(super) struct Frame<'a> {
    pub(super) run: &'a Run,
    pub(super) now: Timestamp,
    /// When this supervisor took the run.
    pub(super) since: Timestamp,
    pub(super) look: &'a Look,
    /// Rows of the terminal.
    pub(super) height: usize,
    /// How many drawings came before.
    pub(super) turn: usize,
    /// What a person looks at.
    pub(super) view: &'a View,
    /// What is known of a task beside the run.
    pub(super) aside: &'a dyn Fn(&Task) -> Aside<'a>,
    /// So many lines from the end of a task's log.
    pub(super) log: &'a dyn Fn(&Task, usize) -> Vec<String>,
}

/// How many rows the parts of the view have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    /// For tasks.
    pub(super) tasks: usize,
    /// For a log, with the line above it.
    log: usize,
}

impl Layout {
    /// Of `all` tasks on a terminal of this height.
    pub(super) fn new(height: usize, all: usize, view: &View) -> Layout {
        // The summary has a row, and the cursor stands on another.
        let room = height.saturating_sub(2 + usize::from(view.has_line()));
        let tasks = if view.log { all.min((room / 3).max(1)) } else { room };
        Layout { tasks, log: if view.log { room.saturating_sub(tasks) } else { 0 } }
    }

    /// How many tasks have a row of their own.
    pub(super) fn shown(self, all: usize) -> usize {
        if all <= self.tasks { all } else { self.tasks.saturating_sub(1) }
    }
}

impl Frame<'_> {
    /// The lines of the view while the run goes on; none is wider than the terminal.
    pub(super) fn lines(&self) -> Vec<String> {
        let layout = Layout::new(self.height, self.run.tasks.len(), self.view);
        let mut lines = self.task_lines(layout.tasks, Some(self.turn));
        lines.extend(self.log_lines(layout.log));
        lines.extend(self.line());
        lines.push(self.total());
        lines
    }

    /// The lines that stay on the screen when the run is over.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.task_lines(self.height.saturating_sub(2), None)
    }

    fn task_lines(&self, room: usize, turn: Option<usize>) -> Vec<String> {
        let Frame { run, now, look, view, .. } = *self;
        let order = arrange(&run.tasks, room);
        let rows_shown = Layout { tasks: room, log: 0 }.shown(order.len());
        let selected = view.place(&order).filter(|_| turn.is_some());
        let top = if turn.is_some() { view.top.min(order.len() - rows_shown) } else { 0 };
        let (above, rest) = order.split_at(top);
        let (shown, below) = rest.split_at(rows_shown);
        // Where one is selected, all are moved aside for what points to it.
        let width = look.width.saturating_sub(if selected.is_some() { 2 } else { 0 });
        let row_look = Look { width, ..look.clone() };
        let names = look::name_width(run.tasks.iter()).min((look.width / 3).max(8));
        let rows = Rows { run, now, look: &row_look, names, turn };
        let row = |(place, task): (usize, &&Task)| {
            let aside = if turn.is_some() { (self.aside)(task) } else { Aside::default() };
            let row = rows.row(task, &aside);
            let point = match selected {
                None => "",
                Some(selected) if selected == top + place => ">",
                Some(_) => " ",
            };
            let row = if point.is_empty() { row } else { format!("{} {row}", look.bold(point)) };
            look.fit(&row, look.width)
        };
        let mut lines: Vec<String> = shown.iter().enumerate().map(row).collect();
        if !(above.is_empty() && below.is_empty()) && room > 0 {
            lines.push(look.fit(&look.dim(&self.folded(above, below)), look.width));
        }
        lines
    }

    /// `… 3 above, 90 below: 4 landed, 89 queued`
    fn folded(&self, above: &[&Task], below: &[&Task]) -> String {
        let mut counts = BTreeMap::new();
        above.iter().chain(below).for_each(|task| *counts.entry(task.state).or_insert(0) += 1);
        let tally = words::tally(&counts);
        match (above.len(), below.len()) {
            (above, 0) => format!("{} {above} above: {tally}", self.look.ellipsis()),
            (0, below) => format!("{} {below} more: {tally}", self.look.ellipsis()),
            (above, below) => format!("{} {above} above, {below} below: {tally}", self.look.ellipsis()),
        }
    }

    /// The end of the log of the selected task, below a line that says so.
    fn log_lines(&self, room: usize) -> Vec<String> {
        let Some(task) = self.view.selected.as_ref().and_then(|name| self.run.task(name)) else {
            return Vec::new();
        };
        let Some(rows) = room.checked_sub(1) else { return Vec::new() };
        let (look, rule) = (self.look, if self.look.unicode { "──" } else { "--" });
        let title = format!("{rule} log of {} (l closes it) {rule}", words::task(task.name()));
        let mut lines = vec![look.fit(&look.bold(&title), look.width)];
        lines.extend((self.log)(task, rows).iter().map(|line| look.fit(line, look.width)));
        // So that what is below stays where it is.
        lines.resize(room, String::new());
        lines
    }

    /// A question, what came of a key, or what the keys do.
    fn line(&self) -> Option<String> {
        let (look, view) = (self.look, self.view);
        let line = match (&view.asks, &view.said) {
            (Some(task), _) => {
                let question = format!("abort {}? its work is kept [y/N]", words::task(task));
                look.paint(Mark::Warning, &question)
            }
            (None, Some(said)) => look.paint(Mark::Warning, said),
            (None, None) if view.help => KEYS.to_owned(),
            (None, None) => return None,
        };
        Some(look.fit(&line, look.width))
    }

    /// `2 of 5 done in 1m 39s, about 2m left: 1 landed, 1 conflict, 2 running, 1 queued`
    fn total(&self) -> String {
        let Frame { run, now, look, .. } = *self;
        let done = run.tasks.iter().filter(|task| run.is_at_rest(task)).count();
        let elapsed = words::duration(words::between(self.since, now));
        let left = estimate::left(run, now).map(|left| format!(", {left}")).unwrap_or_default();
        let total =
            format!("{done} of {} done in {elapsed}{left}: {}", run.tasks.len(), words::tally_of(run));
        let hint = if self.view.hint { "  ?: keys" } else { "" };
        let room = look.width.saturating_sub(hint.len());
        look.fit(&format!("{}{}", look.fit(&total, room), look.dim(hint)), look.width)
    }
}

/// What the keys do.
const KEYS: &str = "j/k: select  l: log  a: abort  r: run again  Esc: back  Ctrl-C: stop the run";

/// The tasks in the order of their rows: as planned where all have one, else what goes on first, then what
/// wants a person, then what waits.
pub(super) fn arrange(tasks: &[Task], room: usize) -> Vec<&Task> {
    let mut all: Vec<&Task> = tasks.iter().collect();
    if all.len() > room {
        all.sort_by_key(|task| urgency(task.state));
    }
    all
}

fn urgency(state: TaskState) -> u8 {
    match state {
        TaskState::Running | TaskState::Integrating | TaskState::Preparing => 0,
        TaskState::Conflicted
        | TaskState::Rejected
        | TaskState::Held
        | TaskState::Failed
        | TaskState::RateLimited
        | TaskState::TimedOut => 1,
        TaskState::Finished => 2,
        TaskState::Aborted | TaskState::RolledBack | TaskState::Blocked => 3,
        TaskState::Queued => 4,
        TaskState::Landed | TaskState::Unchanged | TaskState::Skipped => 5,
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixture::{Story, at, conflict, look, spec, work};
    use super::*;
    use crate::run::{Event, Exit, How};

    fn story() -> Story {
        let mut story = Story::new(spec(&["auth", "docs", "billing", "a-much-longer-name", "queue"]));
        story.start(1, "auth", 1).start(1, "docs", 2).start(1, "billing", 3);
        story.finish(74, "docs", 2).land(75, "docs", How::FastForward);
        story.finish(80, "billing", 2).collide(80, "billing", vec![conflict("src/db.rs", Some("docs"))]);
        story.start(90, "a-much-longer-name", 4);
        story
    }

    fn frame(story: &Story, look: &Look, height: usize) -> Vec<String> {
        viewed(story, look, height, &View::default())
    }

    fn viewed(story: &Story, look: &Look, height: usize, view: &View) -> Vec<String> {
        let mut view = view.clone();
        view.follow(&story.run, height);
        let (view, so_far) = (&view, work(2));
        let aside = |task: &Task| Aside {
            output: (task.name().0 == "auth").then_some("Compiling größe v1.2 (日本語/src)"),
            ahead: (task.name().0 == "a-much-longer-name").then(|| "conflict ahead".to_owned()),
            so_far: Some(&so_far),
            step: Some(std::time::Duration::from_secs(12)),
        };
        let log = |_: &Task, rows: usize| (1..=rows.min(9)).map(|n| format!("line {n}")).collect();
        let (run, now, since) = (&story.run, at(99), at(0));
        Frame { run, now, since, look, height, turn: 0, view, aside: &aside, log: &log }.lines()
    }

    #[test]
    fn one_line_a_task_and_one_for_all() {
        assert_snapshot!(frame(&story(), &look(), 40).join("\n"));
    }

    #[test]
    fn without_unicode_and_narrow() {
        let look = Look { unicode: false, width: 50, ..look() };
        let lines = frame(&story(), &look, 40);
        assert!(lines.iter().all(|line| console::measure_text_width(line) <= 50));
        assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn no_line_is_ever_wider_than_the_terminal() {
        for width in 0..120 {
            let look = Look { width, color: true, ..look() };
            for line in frame(&story(), &look, 40) {
                assert!(console::measure_text_width(&line) <= width, "{width}: {line}");
            }
        }
    }

    fn hundred() -> Story {
        let names: Vec<String> = (0..100).map(|i| format!("t{i:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut story = Story::new(spec(&names));
        for name in &names[..9] {
            story.start(1, name, 7);
        }
        for name in &names[..4] {
            story.finish(5, name, 1).land(6, name, How::Merge);
        }
        story.fail(7, "t04", Exit { code: Some(3), ..Exit::default() });
        story
    }

    #[test]
    fn a_hundred_tasks_fold() {
        let story = hundred();
        assert_snapshot!(frame(&story, &look(), 10).join("\n"));
        for height in 0..120 {
            let lines = frame(&story, &look(), height).len();
            assert!(lines == 1 || lines < height, "{lines} lines of {height}");
        }
    }

    /// Terminals as people have them, with and without what they asked to see.
    fn at_widths(story: &Story, height: usize, views: &[View]) -> String {
        let mut shown = String::new();
        for (width, view) in [80, 200].into_iter().flat_map(|width| views.iter().map(move |v| (width, v))) {
            let lines = viewed(story, &Look { width, ..look() }, height, view);
            assert!(lines.len() < height && lines.iter().all(|l| console::measure_text_width(l) <= width));
            shown.push_str(&format!("{width} columns\n{}\n\n", lines.join("\n")));
        }
        shown
    }

    #[test]
    fn a_selected_task_and_its_log() {
        let view = View { hint: true, selected: Some("billing".into()), ..View::default() };
        let asks = View { asks: view.selected.clone(), ..view.clone() };
        let log = View { log: true, help: true, ..view.clone() };
        assert_snapshot!(at_widths(&story(), 12, &[View { selected: None, ..view }, asks, log]));
    }

    #[test]
    fn a_hundred_tasks_scroll() {
        let story = hundred();
        let view = View { hint: true, selected: Some("t42".into()), ..View::default() };
        let log = View { log: true, top: 95, hint: false, ..view.clone() };
        assert_snapshot!(at_widths(&story, 10, &[view, log]));
    }

    #[test]
    fn all_that_can_be_said_of_a_task() {
        let mut story = Story::new(spec(&["one", "two", "three", "four"]));
        story.prepare(1, "one");
        story.start(1, "two", 2).finish(3, "two", 1).merge(3, "two");
        story.start(1, "three", 2).exit(9, "three", Exit { code: Some(0), ..Exit::default() });
        story.event(9, Event::Collected { task: "three".into(), work: work(1), note: None });
        story.event(9, Event::Held { task: "three".into(), reason: "one\ntwo".into(), tip: None });
        story.start(1, "four", 2).fail(
            8,
            "four",
            Exit { not_started: Some("no such file".into()), ..Exit::default() },
        );
        assert_snapshot!(frame(&story, &look(), 40).join("\n"));
    }
}
