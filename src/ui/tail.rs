//! The lines of an agent's output while it is still being written.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::text::{Cleaner, Piece};

/// So much of a log's end is read for the lines that a screen has room for.
const END: u64 = 64 * 1024;

/// A line longer than this is broken, so that output without newlines can't fill the memory.
const LONGEST: usize = 16 * 1024;

/// Cuts a stream into clean lines and remembers the last one that says something.
#[derive(Default, Debug)]
pub(super) struct Tail {
    cleaner: Cleaner,
    line: Line,
    last: String,
}

/// The line that is being written.
#[derive(Default, Debug)]
struct Line {
    text: String,
    /// What a progress bar showed before it went back to the start of the line.
    before: String,
    returned: bool,
}

impl Line {
    fn push(&mut self, c: char) {
        if std::mem::take(&mut self.returned) {
            self.retire();
        }
        match c {
            '\t' => {
                let column = self.text.chars().count();
                self.text.extend(std::iter::repeat_n(' ', 8 - column % 8));
            }
            _ => super::text::push_visible(&mut self.text, c, false),
        }
    }

    fn retire(&mut self) {
        if !self.text.trim().is_empty() {
            std::mem::swap(&mut self.before, &mut self.text);
        }
        self.text.clear();
    }

    fn shown(&self) -> &str {
        if self.text.trim().is_empty() { &self.before } else { &self.text }
    }
}

impl Tail {
    /// Takes the next bytes; `complete` gets every line that they end.
    pub(super) fn feed(&mut self, bytes: &[u8], complete: &mut dyn FnMut(&str)) {
        let Tail { cleaner, line, last } = self;
        cleaner.feed(bytes, &mut |piece| {
            match piece {
                Piece::Char(c) | Piece::Control(c) => line.push(c),
                Piece::Return => line.returned = true,
                Piece::Newline => {}
            }
            if matches!(piece, Piece::Newline) || line.text.len() > LONGEST {
                end(line, last, complete);
            }
        });
    }

    /// Takes in what the stream ended in the middle of.
    pub(super) fn finish(&mut self) {
        let rest = self.cleaner.finish();
        rest.chars().for_each(|c| self.line.push(c));
    }

    /// The last text that is not blank, also of a line that is not complete.
    pub(super) fn last(&self) -> &str {
        let current = self.line.shown();
        if current.is_empty() { &self.last } else { current }
    }

    /// The line that was begun and not ended, if it says something; it counts as ended then.
    pub(super) fn flush(&mut self) -> Option<String> {
        self.finish();
        let mut rest = None;
        end(&mut self.line, &mut self.last, &mut |line| rest = Some(line.to_owned()));
        rest.filter(|line| !line.is_empty())
    }
}

fn end(line: &mut Line, last: &mut String, complete: &mut dyn FnMut(&str)) {
    let ended = std::mem::take(line);
    let shown = ended.shown().trim_end();
    complete(shown);
    if !shown.is_empty() {
        shown.clone_into(last);
    }
}

/// The last lines of a log that say something; none if it can't be read.
pub(super) fn end_of(log: &Path, rows: usize) -> Vec<String> {
    let (mut tail, mut lines) = (Tail::default(), Vec::new());
    tail.feed(&last_bytes(log).unwrap_or_default(), &mut |line| lines.push(line.to_owned()));
    lines.extend(tail.flush());
    lines.retain(|line| !line.is_empty());
    lines.split_off(lines.len().saturating_sub(rows))
}

fn last_bytes(log: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let from = file.metadata()?.len().saturating_sub(END);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(END).read_to_end(&mut bytes)?;
    // What it begins with may be the rest of a line, or of a character.
    let whole = bytes.iter().position(|byte| *byte == b'\n').filter(|_| from > 0).map_or(0, |end| end + 1);
    Ok(bytes.split_off(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_complete_and_the_last_one_stays() {
        let mut tail = Tail::default();
        let mut lines = Vec::new();
        for chunk in ["one\ntw", "o\r", "\n\n", "50%", "\r", "75%\r   "] {
            tail.feed(chunk.as_bytes(), &mut |line| lines.push(line.to_owned()));
        }
        assert_eq!(lines, ["one", "two", ""]);
        assert_eq!(tail.last(), "75%");
        assert_eq!(tail.flush().as_deref(), Some("75%"));
        assert_eq!(tail.flush(), None);
        assert_eq!(tail.last(), "75%");
    }

    #[test]
    fn a_log_ends_with_its_last_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        assert!(end_of(&log, 3).is_empty());
        std::fs::write(&log, "\x1b[31mone\n\n10%\r20%\ntwo\tx").unwrap();
        assert_eq!(end_of(&log, 3), ["one", "20%", "two     x"]);
        assert_eq!(end_of(&log, 1), ["two     x"]);
        assert!(end_of(&log, 0).is_empty());
        let long: String = (0..20_000).map(|n| format!("line {n} größer\n")).collect();
        std::fs::write(&log, long).unwrap();
        let lines = end_of(&log, 100_000);
        assert!(lines.len() > 3000 && lines.iter().all(|line| line.starts_with("line ")), "{}", lines.len());
    }

    #[test]
    fn endless_lines_are_broken() {
        let mut tail = Tail::default();
        let mut lines = 0;
        tail.feed(&vec![b'x'; 10 * LONGEST], &mut |_| lines += 1);
        assert_eq!(lines, 9);
    }
}
