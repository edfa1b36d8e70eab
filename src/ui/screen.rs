//! What is on the screen of a terminal, and how it is replaced.

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

    /// What is drawn next comes below.
    pub(super) fn forget(&mut self) {
        self.lines.clear();
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
    use super::*;

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
