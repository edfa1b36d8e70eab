//! Asking for a yes.

use std::io::{BufRead, Read, Write};

/// What came of a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A clear yes.
    Accepted,
    /// Anything else: also the end of the input, and an answer that can't be read.
    Declined,
}

/// Asks, and takes only `y` or `yes` for a yes. The prompt should end with ` [y/N] `.
pub fn ask(prompt: &str, input: &mut impl BufRead, output: &mut impl Write) -> Answer {
    // Nobody may be asked who can't see the question.
    if output.write_all(prompt.as_bytes()).and_then(|()| output.flush()).is_err() {
        return Answer::Declined;
    }
    let mut line = Vec::new();
    let read = input.take(1024).read_until(b'\n', &mut line);
    if !line.ends_with(b"\n") {
        // Whatever is printed next begins on a line of its own.
        let _ = output.write_all(b"\n");
    }
    let answer = line.trim_ascii().to_ascii_lowercase();
    match (read, answer.as_slice()) {
        (Ok(_), b"y" | b"yes") => Answer::Accepted,
        _ => Answer::Declined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        let answer = |mut input: &[u8]| ask("Continue? [y/N] ", &mut input, &mut Vec::new());
        for yes in ["y\n", "Y\n", "yes\n", " YES \r\n", "y"] {
            assert_eq!(answer(yes.as_bytes()), Answer::Accepted, "{yes:?}");
        }
        for no in ["", "\n", "n\n", "no\n", "yy\n", "yes please\n", "\u{ff}\n", "1\n"] {
            assert_eq!(answer(no.as_bytes()), Answer::Declined, "{no:?}");
        }
    }

    #[test]
    fn the_end_of_input_ends_the_line() {
        let mut output = Vec::new();
        ask("Continue? [y/N] ", &mut &b""[..], &mut output);
        assert_eq!(output, b"Continue? [y/N] \n");
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(ask("?", &mut &b"y\n"[..], &mut Gone), Answer::Declined);
    }
}
