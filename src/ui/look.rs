//! How things look: the marks, the colours, and what the reader's end can show.

use std::path::{Component, Path, PathBuf};

use console::Style;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{text, words};
use crate::run::{Run, Task, TaskState, Text};

/// The marks that stand before a line. Each comes with a word: neither glyph nor colour tells alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Not begun, or waiting.
    Waiting,
    /// Going on.
    Doing,
    /// Came out well.
    Done,
    /// Wants a person.
    Warning,
    /// Did not work.
    Failed,
}

/// What one of the two output streams can show, and from where it is read.
#[derive(Clone, Debug)]
pub struct Look {
    /// Colours are wanted.
    pub color: bool,
    /// The reader takes UTF-8; otherwise marks are ASCII.
    pub unicode: bool,
    /// Columns of the terminal; `usize::MAX` where nothing needs to fit.
    pub width: usize,
    /// The zone that times are told in.
    pub time_zone: TimeZone,
    /// The next command is told (`advice.parallelNext`).
    pub advice: bool,
    /// The directory that paths are shown relative to, where that is shorter.
    pub cwd: Option<PathBuf>,
}

impl Look {
    /// The glyph of a mark.
    pub fn glyph(&self, mark: Mark) -> &'static str {
        let (unicode, ascii) = match mark {
            Mark::Waiting => ("·", "."),
            Mark::Doing => ("●", "*"),
            Mark::Done => ("✓", "+"),
            Mark::Warning => ("!", "!"),
            Mark::Failed => ("✗", "x"),
        };
        if self.unicode { unicode } else { ascii }
    }

    /// A glyph that moves from one drawing to the next.
    pub(super) fn spinner(&self, turn: usize) -> &'static str {
        const UNICODE: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        const ASCII: [&str; 4] = ["|", "/", "-", "\\"];
        if self.unicode { UNICODE[turn % UNICODE.len()] } else { ASCII[turn % ASCII.len()] }
    }

    /// What stands for text that was cut off.
    pub(super) fn ellipsis(&self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// The text in the colour of a mark.
    pub(super) fn paint(&self, mark: Mark, text: &str) -> String {
        let style = Style::new().force_styling(self.color);
        let style = match mark {
            Mark::Waiting => style.dim(),
            Mark::Doing => style.cyan(),
            Mark::Done => style.green(),
            Mark::Warning => style.yellow(),
            Mark::Failed => style.red(),
        };
        style.apply_to(text).to_string()
    }

    /// The text in the background.
    pub(super) fn dim(&self, text: &str) -> String {
        Style::new().force_styling(self.color).dim().apply_to(text).to_string()
    }

    /// The text in the foreground.
    pub(super) fn bold(&self, text: &str) -> String {
        Style::new().force_styling(self.color).bold().apply_to(text).to_string()
    }

    /// The exact next command, after its arrow.
    pub fn next(&self, command: &str) -> String {
        let arrow = if self.unicode { "→" } else { "->" };
        format!("{} {command}", self.paint(Mark::Doing, arrow))
    }

    /// The same on a line of its own, for whom wants to know.
    pub(super) fn next_line(&self, command: &str) -> String {
        if self.advice { format!("  {}\n", self.next(command)) } else { String::new() }
    }

    /// Text cut to a width. Colours in it stay whole.
    pub(super) fn fit(&self, text: &str, width: usize) -> String {
        let tail = if width < self.ellipsis().len() { "" } else { self.ellipsis() };
        console::truncate_str(text, width, tail).into_owned()
    }

    /// The time of day.
    pub(super) fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.time_zone.clone()).strftime("%H:%M:%S").to_string()
    }

    /// The day and the time.
    pub(super) fn date(&self, at: Timestamp) -> String {
        at.to_zoned(self.time_zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// A path to be read and copied: relative where that is near, quoted where a shell needs it.
    pub fn path(&self, path: &Text) -> String {
        let near = self.cwd.as_deref().and_then(|cwd| relative(path.as_path(), cwd));
        text::quote(&near.map_or_else(|| path.clone(), Text::from))
    }
}

/// `path` seen from `cwd`, unless it is far away.
fn relative(path: &Path, cwd: &Path) -> Option<PathBuf> {
    let common = path.components().zip(cwd.components()).take_while(|(a, b)| a == b).count();
    let up = cwd.components().count() - common;
    let shares_more_than_root = common > 1;
    if !path.is_absolute() || up > 2 || !shares_more_than_root {
        return None;
    }
    let down = path.components().skip(common);
    let relative: PathBuf = std::iter::repeat_n(Component::ParentDir, up).chain(down).collect();
    Some(if relative.as_os_str().is_empty() { PathBuf::from(".") } else { relative })
}

/// The mark of a task.
pub(super) fn mark(run: &Run, task: &Task) -> Mark {
    match task.state {
        TaskState::Finished if run.is_at_rest(task) => Mark::Done,
        // Its turn comes again, whatever happened.
        _ if run.will_retry(task) => Mark::Waiting,
        TaskState::Queued | TaskState::Finished | TaskState::Skipped => Mark::Waiting,
        TaskState::Preparing | TaskState::Running | TaskState::Integrating => Mark::Doing,
        TaskState::Landed if task.undone.is_some() => Mark::Waiting,
        TaskState::Landed | TaskState::Unchanged => Mark::Done,
        TaskState::Conflicted
        | TaskState::Held
        | TaskState::RateLimited
        | TaskState::Aborted
        | TaskState::RolledBack
        | TaskState::Blocked => Mark::Warning,
        TaskState::Failed | TaskState::TimedOut | TaskState::Rejected => Mark::Failed,
    }
}

/// Text filled up with spaces to a width. Longer text stays as it is.
pub(super) fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(console::measure_text_width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// The width of the column that holds all of these names, within reason.
pub(super) fn name_width<'a>(tasks: impl Iterator<Item = &'a Task>) -> usize {
    let widths = tasks.map(|task| console::measure_text_width(&words::task(task.name())));
    widths.max().unwrap_or(0).min(32)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn paths_are_relative_where_that_is_near() {
        let look = Look { cwd: Some("/home/ann/shop".into()), ..fixture::look() };
        let shown = |path: &str| look.path(&Text::from(path));
        assert_eq!(shown("/home/ann/shop.worktrees/auth"), "../shop.worktrees/auth");
        assert_eq!(shown("/home/ann/shop/src"), "src");
        assert_eq!(shown("/home/ann/shop"), ".");
        assert_eq!(shown("/srv/work trees/a"), "'/srv/work trees/a'");
        assert_eq!(Look { cwd: None, ..look.clone() }.path(&Text::from("/home/ann/x")), "/home/ann/x");
    }

    #[test]
    fn every_mark_has_a_glyph_without_unicode_and_without_colour() {
        let ascii = Look { unicode: false, ..fixture::look() };
        for mark in [Mark::Waiting, Mark::Doing, Mark::Done, Mark::Warning, Mark::Failed] {
            assert!(ascii.glyph(mark).is_ascii());
            assert_eq!(ascii.paint(mark, "x"), "x");
        }
        assert_eq!(ascii.next("git parallel land"), "-> git parallel land");
        assert_eq!(Look { color: true, ..ascii }.paint(Mark::Failed, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
