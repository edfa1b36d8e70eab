//! The live view: one line a task and one for the whole, redrawn in place on stderr.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::look::{self, Look};
use super::rows::Rows;
use super::words;
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
    /// The last line of a task's output.
    pub(super) output: &'a dyn Fn(&Task) -> Option<&'a str>,
    /// What a task's landing will conflict with.
    pub(super) ahead: &'a dyn Fn(&Task) -> Option<String>,
}

impl Frame<'_> {
    /// The lines of the view while the run goes on; none is wider than the terminal.
    pub(super) fn lines(&self) -> Vec<String> {
        // One row is the summary's, and the cursor stands on another.
        let mut lines = self.task_lines(self.height.saturating_sub(2), Some(self.turn));
        let elapsed = words::duration(words::between(self.since, self.now));
        let total = format!("{}   {elapsed}", words::tally_of(self.run));
        lines.push(self.look.fit(&total, self.look.width));
        lines
    }

    /// The lines that stay on the screen when the run is over.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.task_lines(self.height.saturating_sub(2), None)
    }

    fn task_lines(&self, room: usize, turn: Option<usize>) -> Vec<String> {
        let (shown, folded) = choose(&self.run.tasks, room);
        let Frame { run, now, look, .. } = *self;
        let rows = Rows { run, now, look, names: look::name_width(run.tasks.iter()), turn };
        let row = |task: &&Task| {
            let output = (self.output)(task).filter(|_| turn.is_some());
            let ahead = (self.ahead)(task).filter(|_| turn.is_some());
            rows.row(task, output, ahead.as_deref())
        };
        let mut lines: Vec<String> = shown.iter().map(row).collect();
        if !folded.is_empty() && room > 0 {
            let mut counts = BTreeMap::new();
            folded.iter().for_each(|task| *counts.entry(task.state).or_insert(0) += 1);
            let fold = format!("{} {} more: {}", look.ellipsis(), folded.len(), words::tally(&counts));
            lines.push(look.fit(&look.dim(&fold), look.width));
        }
        lines
    }
}

/// The tasks that get a line of their own, and those that are folded into one. What goes on comes
/// first, then what wants a person, then what waits.
fn choose(tasks: &[Task], room: usize) -> (Vec<&Task>, Vec<&Task>) {
    let mut all: Vec<&Task> = tasks.iter().collect();
    if all.len() <= room {
        return (all, Vec::new());
    }
    all.sort_by_key(|task| urgency(task.state));
    let folded = all.split_off(room.saturating_sub(1));
    (all, folded)
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

/// The part of the screen that is drawn over again and again.
#[derive(Default, Debug)]
pub(super) struct Screen {
    lines: Vec<String>,
    cursor_hidden: bool,
}

impl Screen {
    /// Everything that replaces the old drawing by these lines, as one write.
    pub(super) fn draw(&mut self, lines: Vec<String>, width: usize) -> String {
        let mut bytes = String::new();
        if !self.cursor_hidden {
            bytes.push_str("\x1b[?25l");
            self.cursor_hidden = true;
        }
        bytes.push_str(&self.to_top(width));
        for line in &lines {
            bytes.push_str(line);
            bytes.push_str("\x1b[K\n");
        }
        bytes.push_str("\x1b[J");
        self.lines = lines;
        bytes
    }

    /// Takes the drawing off the screen.
    pub(super) fn clear(&mut self, width: usize) -> String {
        let mut bytes = self.to_top(width);
        if !self.lines.is_empty() {
            bytes.push_str("\x1b[J");
        }
        self.lines.clear();
        bytes
    }

    /// Shows the cursor again, if it was hidden.
    pub(super) fn release(&mut self) -> &'static str {
        if std::mem::take(&mut self.cursor_hidden) { "\x1b[?25h" } else { "" }
    }

    /// Puts a line above the drawing, which stays as it was.
    pub(super) fn insert(&mut self, line: &str, width: usize) -> String {
        let mut bytes = self.to_top(width);
        bytes.push_str(&format!("\x1b[J{line}\n"));
        self.lines.iter().for_each(|line| bytes.extend([line, "\n"]));
        bytes
    }

    /// Back to where the drawing begins. A terminal that became narrower has wrapped its lines since.
    fn to_top(&self, width: usize) -> String {
        let rows = |line: &String| console::measure_text_width(line).max(1).div_ceil(width.max(1));
        match self.lines.iter().map(rows).sum::<usize>() {
            0 => String::new(),
            rows => format!("\r\x1b[{rows}A"),
        }
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
        let output = |task: &Task| (task.name().0 == "auth").then_some("Compiling größe v1.2 (日本語/src)");
        let ahead =
            |task: &Task| (task.name().0 == "a-much-longer-name").then(|| "conflict ahead".to_owned());
        let (run, now, since) = (&story.run, at(99), at(0));
        Frame { run, now, since, look, height, turn: 0, output: &output, ahead: &ahead }.lines()
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

    #[test]
    fn a_hundred_tasks_fold() {
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
        assert_snapshot!(frame(&story, &look(), 10).join("\n"));
        for height in 0..120 {
            let lines = frame(&story, &look(), height).len();
            assert!(lines == 1 || lines < height, "{lines} lines of {height}");
        }
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

    #[test]
    fn the_screen_is_drawn_over_in_one_write() {
        let mut screen = Screen::default();
        let lines = |lines: &[&str]| lines.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(screen.draw(lines(&["one", "two"]), 10), "\x1b[?25lone\x1b[K\ntwo\x1b[K\n\x1b[J");
        assert_eq!(screen.insert("note", 10), "\r\x1b[2A\x1b[Jnote\none\ntwo\n");
        // Only two columns are left: each of the old lines takes two rows now.
        assert_eq!(screen.draw(lines(&["a"]), 2), "\r\x1b[4Aa\x1b[K\n\x1b[J");
        assert_eq!(screen.clear(10), "\r\x1b[1A\x1b[J");
        assert_eq!(screen.clear(10), "");
        assert_eq!(screen.release(), "\x1b[?25h");
        assert_eq!(screen.release(), "");
    }

    /// What a terminal shows after these bytes, with single characters for the sequences of [`Screen`]:
    /// U+E000 clears the line, U+E001 all below, and U+E010 + n goes up n rows.
    fn shown(bytes: &str) -> String {
        let (mut rows, mut row, mut column) = (vec![String::new()], 0_usize, 0_usize);
        for c in bytes.chars() {
            match c {
                '\r' => column = 0,
                '\n' => {
                    (row, column) = (row + 1, 0);
                    rows.resize(rows.len().max(row + 1), String::new());
                }
                '\u{e000}' => rows[row].truncate(column),
                '\u{e001}' => {
                    rows[row].truncate(column);
                    rows.truncate(row + 1);
                }
                '\u{e010}'..='\u{e0ff}' => row -= c as usize - 0xe010,
                _ => {
                    let end = rows[row].len().min(column + 1);
                    rows[row].replace_range(column..end, &c.to_string());
                    column += 1;
                }
            }
        }
        rows.join("\n")
    }

    #[test]
    fn what_was_above_the_drawing_stays() {
        let lines = |lines: &[&str]| lines.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let mut screen = Screen::default();
        let mut bytes = "$ git parallel run\n".to_owned();
        bytes += &screen.draw(lines(&["one", "two", "three"]), 80);
        bytes += &screen.insert("a note", 80);
        bytes += &screen.draw(lines(&["1"]), 80);
        bytes += &screen.insert("another", 80);
        bytes += &screen.draw(lines(&["one", "2", "three", "four"]), 80);
        let mut simple =
            bytes.replace("\x1b[?25l", "").replace("\x1b[K", "\u{e000}").replace("\x1b[J", "\u{e001}");
        for up in 1..9_u32 {
            simple =
                simple.replace(&format!("\x1b[{up}A"), &char::from_u32(0xe010 + up).unwrap().to_string());
        }
        assert_eq!(shown(&simple), "$ git parallel run\na note\nanother\none\n2\nthree\nfour\n");
    }
}
