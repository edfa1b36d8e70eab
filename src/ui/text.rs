//! Foreign text made safe to print.
//!
//! Agents, branches, paths and git's own messages can hold anything. On a terminal an escape sequence
//! may rewrite lines, set the title or answer for the user, and a bidirectional override may show a
//! path as another. So nothing foreign is printed without passing through here.

use bstr::ByteSlice;

use crate::run::Text;

/// What a [`Cleaner`] makes of its input, one by one.
pub(super) enum Piece {
    /// A character that is safe to print.
    Char(char),
    /// A control or direction character, to be told rather than obeyed.
    Control(char),
    /// The end of a line.
    Newline,
    /// Back to the start of the line, as progress bars do.
    Return,
}

#[derive(Clone, Copy, Default, Debug)]
enum State {
    #[default]
    Text,
    Escape,
    Intermediate,
    Csi,
    /// Inside an OSC, DCS, SOS, PM or APC string.
    Str,
    StrEscape,
}

/// Neutralises a stream: strips escape sequences, replaces what is not UTF-8 and makes other control
/// characters visible. Sequences and characters may be split anywhere between two chunks.
#[derive(Clone, Default, Debug)]
pub struct Cleaner {
    state: State,
    /// The beginning of a UTF-8 character; at most three bytes.
    partial: Vec<u8>,
    returned: bool,
    line_has_text: bool,
}

impl Cleaner {
    /// The next chunk of a log as safe text. Newlines, blank lines and tabs stay; each state of a
    /// progress bar becomes a line of its own, so that nothing is overwritten.
    pub fn clean(&mut self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        let (mut returned, mut has_text) = (self.returned, self.line_has_text);
        self.feed(bytes, &mut |piece| {
            match piece {
                Piece::Return => {
                    returned = true;
                    return;
                }
                Piece::Newline => {
                    text.push('\n');
                    has_text = false;
                }
                Piece::Char(c) | Piece::Control(c) => {
                    if returned && has_text {
                        text.push('\n');
                    }
                    has_text = true;
                    push_visible(&mut text, c, c == '\t');
                }
            }
            returned = false;
        });
        (self.returned, self.line_has_text) = (returned, has_text);
        text
    }

    /// What is left when the stream ends in the middle of something.
    pub fn finish(&mut self) -> String {
        let unfinished = std::mem::take(self);
        match unfinished.state {
            _ if !unfinished.partial.is_empty() => char::REPLACEMENT_CHARACTER.to_string(),
            State::Escape => "^[".to_owned(),
            _ => String::new(),
        }
    }

    /// Takes the next chunk apart.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Piece)) {
        for &byte in bytes {
            self.step(byte, sink);
        }
    }

    fn step(&mut self, byte: u8, sink: &mut dyn FnMut(Piece)) {
        let next = match (self.state, byte) {
            (State::Text, _) => return self.text(byte, sink),

            (State::Escape, b'[') => Some(State::Csi),
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => Some(State::Str),
            (State::Escape | State::Intermediate, 0x20..=0x2f) => Some(State::Intermediate),
            (State::Escape | State::Intermediate, 0x30..=0x7e) => Some(State::Text),
            (State::Escape, _) => {
                sink(Piece::Control('\x1b'));
                None
            }

            (State::Csi, 0x20..=0x3f) => Some(State::Csi),
            (State::Csi, 0x40..=0x7e) => Some(State::Text),

            (State::Str, 0x07 | 0x18 | 0x1a) => Some(State::Text),
            (State::Str, 0x1b) => Some(State::StrEscape),
            // An unterminated string would hide the rest of the log: it ends with its line.
            (State::Str, b'\n') => None,
            (State::Str, _) => Some(State::Str),

            (State::StrEscape, b'\\') => Some(State::Text),
            (State::StrEscape, _) => {
                self.state = State::Escape;
                return self.step(byte, sink);
            }

            (State::Intermediate | State::Csi, _) => None,
        };
        match next {
            Some(state) => self.state = state,
            None => {
                self.state = State::Text;
                self.text(byte, sink);
            }
        }
    }

    fn text(&mut self, byte: u8, sink: &mut dyn FnMut(Piece)) {
        if byte >= 0x80 {
            return self.multibyte(byte, sink);
        }
        if !self.partial.is_empty() {
            self.partial.clear();
            sink(Piece::Char(char::REPLACEMENT_CHARACTER));
        }
        match byte {
            0x1b => self.state = State::Escape,
            b'\n' => sink(Piece::Newline),
            b'\r' => sink(Piece::Return),
            _ => sink(piece(byte.into())),
        }
    }

    fn multibyte(&mut self, byte: u8, sink: &mut dyn FnMut(Piece)) {
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                text.chars().for_each(|c| sink(piece(c)));
                self.partial.clear();
            }
            Err(error) if error.error_len().is_none() => {}
            Err(_) => {
                // All before this byte is the beginning of a character that did not go on.
                let restart = self.partial.len() > 1;
                self.partial.clear();
                sink(Piece::Char(char::REPLACEMENT_CHARACTER));
                if restart {
                    self.multibyte(byte, sink);
                }
            }
        }
    }
}

fn piece(c: char) -> Piece {
    if is_unsafe(c) { Piece::Control(c) } else { Piece::Char(c) }
}

/// Characters that do something instead of showing something.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Direction marks, embeddings, overrides and isolates; line separators; the byte order mark.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

pub(super) fn push_visible(text: &mut String, c: char, as_it_is: bool) {
    match c {
        _ if as_it_is || !is_unsafe(c) => text.push(c),
        '\0'..='\x1f' => text.extend(['^', char::from(c as u8 + b'@')]),
        '\x7f' => text.push_str("^?"),
        _ => text.extend(c.escape_unicode()),
    }
}

/// A message or any other foreign text as safe text on one line: escape sequences are gone, and every
/// other control character, also a newline or a tab, is visible (`^J`).
pub fn clean(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut cleaner = Cleaner::default();
    cleaner.feed(bytes, &mut |piece| match piece {
        Piece::Char(c) | Piece::Control(c) => push_visible(&mut text, c, false),
        Piece::Newline => text.push_str("^J"),
        Piece::Return => text.push_str("^M"),
    });
    text.push_str(&cleaner.finish());
    text
}

/// One line of an agent's output as a terminal would have left it: of a progress bar the last state
/// that is not blank, tabs as spaces. Of several lines, the last that is not blank.
#[cfg(test)]
fn clean_line(bytes: &[u8]) -> String {
    let mut tail = super::tail::Tail::default();
    tail.feed(bytes, &mut |_| {});
    tail.finish();
    tail.last().to_owned()
}

/// A message of possibly several lines on one: the lines joined by `; `.
pub fn one_line(message: &str) -> String {
    let lines = message.lines().map(|line| clean(line.trim().as_bytes()));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// A name, branch or path, readable and exact: nothing is stripped, control characters are visible.
pub fn name(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    bytes.chars().for_each(|c| push_visible(&mut text, c, false));
    text
}

/// A word for a command line to be copied: quoted for the shell where it needs it, and printable
/// whatever its bytes.
pub fn quote(word: &Text) -> String {
    let bytes: &[u8] = word.as_bstr();
    let printable = bytes.to_str().ok().filter(|text| !text.chars().any(is_unsafe));
    match printable.map(shlex::try_quote) {
        Some(Ok(quoted)) => quoted.into_owned(),
        _ => {
            let mut text = "$'".to_owned();
            for chunk in bytes.utf8_chunks() {
                chunk.valid().chars().for_each(|c| escape(&mut text, c));
                chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
            }
            text + "'"
        }
    }
}

/// [`quote`] for an argument that may hold placeholders: their braces need no quotes to be understood.
pub(super) fn argument(word: &Text) -> String {
    let bytes: &[u8] = word.as_bstr();
    let harmless = |b: &u8| b.is_ascii_alphanumeric() || b"{}-_./:=@%+,".contains(b);
    if !bytes.is_empty() && bytes.iter().all(harmless) { word.to_string() } else { quote(word) }
}

/// A character inside `$'...'`.
fn escape(text: &mut String, c: char) {
    match c {
        '\'' | '\\' => text.extend(['\\', c]),
        '\n' => text.push_str("\\n"),
        '\t' => text.push_str("\\t"),
        _ if !is_unsafe(c) => text.push(c),
        _ => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| text.push_str(&format!("\\x{byte:02x}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_neutralises_what_a_terminal_would_obey() {
        let cases: &[(&[u8], &str)] = &[
            (b"plain", "plain"),
            ("größe 日本 🎉".as_bytes(), "größe 日本 🎉"),
            (b"\x1b[31;1mred\x1b[0m", "red"),
            (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
            (b"\x1bP1$r0m\x1b\\b\x1b_apc\x1b\\c\x1b^pm\x1b\\d", "bcd"),
            (b"\x1b(Bx\x1bcy\x1b7z", "xyz"),
            (b"bell\x07 del\x7f nul\0", "bell^G del^? nul^@"),
            (b"end\x1b", "end^["),
            (b"\x1b\x1b[1mx", "^[x"),
            (b"a\xffb\xe2\x82c\xe2\x82", "a\u{fffd}b\u{fffd}c\u{fffd}"),
            (b"\xe2\x82\xe2\x82\xac", "\u{fffd}€"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("evil\u{202e}cod.exe\u{2066}".as_bytes(), "evil\\u{202e}cod.exe\\u{2066}"),
            (b"a\nb\tc\rd", "a^Jb^Ic^Md"),
            (b"\x1b]0;never ends\nbut this shows", "^Jbut this shows"),
            (b"\x1b[3\ngone wrong", "^Jgone wrong"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(clean(bytes), *expected, "{:?}", bytes.as_bstr());
        }
    }

    #[test]
    fn a_cleaner_gives_the_same_wherever_the_stream_is_cut() {
        let input =
            "a\x1b[1mb\u{20ac}\x1b]0;t\x1b\\c\r\n\n\td\r10%\r20%\r\r\ne\x07\u{202e}f\x1b[0m\n".as_bytes();
        let expected = "ab€c\n\n\td\n10%\n20%\ne^G\\u{202e}f\n";
        assert_eq!(Cleaner::default().clean(input), expected);
        for cut in 0..=input.len() {
            let mut cleaner = Cleaner::default();
            let mut text = cleaner.clean(&input[..cut]);
            text.push_str(&cleaner.clean(&input[cut..]));
            text.push_str(&cleaner.finish());
            assert_eq!(text, expected, "cut at {cut}");
        }
        let mut bytewise = Cleaner::default();
        assert_eq!(input.iter().map(|b| bytewise.clean(&[*b])).collect::<String>(), expected);
    }

    #[test]
    fn nothing_unsafe_ever_gets_through() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            for text in [clean(&bytes), clean_line(&bytes), name(&bytes), quote(&Text::from(bytes.as_slice()))] {
                assert!(!text.chars().any(is_unsafe), "{text:?}");
            }
            let logged = Cleaner::default().clean(&bytes);
            assert!(!logged.chars().any(|c| is_unsafe(c) && c != '\n' && c != '\t'), "{logged:?}");
        });
    }

    #[test]
    fn lines_keep_what_a_progress_bar_left() {
        assert_eq!(clean_line(b"10%\r55%\r100%\n"), "100%");
        assert_eq!(clean_line(b"building\r\x1b[K\r"), "building");
        assert_eq!(clean_line(b"a\tb\r\n"), "a       b");
        assert_eq!(clean_line(b"first\nsecond\n\n"), "second");
        assert_eq!(clean_line(b""), "");
        assert_eq!(one_line("fatal: no\n\n  hint: \x1b[1myes\n"), "fatal: no; hint: yes");
    }

    #[test]
    fn names_are_exact_and_commands_can_be_copied() {
        assert_eq!(name(b"feature/\x1b[31mx\xff"), "feature/^[[31mx\u{fffd}");
        let quoted = |bytes: &[u8]| quote(&Text::from(bytes));
        assert_eq!(quoted(b"auth"), "auth");
        assert_eq!(quoted(b"my task"), "'my task'");
        assert_eq!(quoted("a'ö\u{202e}\n".as_bytes()), "$'a\\'ö\\xe2\\x80\\xae\\n'");
        assert_eq!(quoted(b"\xff\x1b"), "$'\\xff\\x1b'");
    }
}
