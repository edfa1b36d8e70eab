//! The lines of an agent's output while it is still being written.

use super::text::{Cleaner, Piece};

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
    fn endless_lines_are_broken() {
        let mut tail = Tail::default();
        let mut lines = 0;
        tail.feed(&vec![b'x'; 10 * LONGEST], &mut |_| lines += 1);
        assert_eq!(lines, 9);
    }
}
