//! Errors for people: what happened, what is still safe, what to do next; and the exit codes.

use std::fmt;

/// Exit codes of `cli.md`, the contract with scripts.
pub mod exit {
    /// Every task landed or had nothing to land.
    pub const OK: u8 = 0;
    /// The run ended and some task did not land; or a command could not do what it was asked.
    pub const FAILURE: u8 = 1;
    /// Wrong usage.
    pub const USAGE: u8 = 2;
    /// Refused before anything was created.
    pub const REFUSED: u8 = 3;
    /// Another run holds the repository.
    pub const BUSY: u8 = 4;
    /// `wait --timeout` ran out.
    pub const WAIT_TIMED_OUT: u8 = 124;
}

/// An error that knows its exit code, what is still safe and what to do next.
///
/// It travels inside [`anyhow::Error`]; `main` renders it once, at the very end.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
    safe: Option<String>,
    hints: Vec<String>,
}

impl Failure {
    /// An error with an exit code of [`exit`] and a sentence that says what happened.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Failure { code, message: message.into(), safe: None, hints: Vec::new() }
    }

    /// Says what is still safe.
    #[must_use]
    pub fn safe(mut self, safe: impl Into<String>) -> Self {
        self.safe = Some(safe.into());
        self
    }

    /// Says what to do next; may be called several times.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit code that an error ends the program with.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Failure>().map_or(exit::FAILURE, |failure| failure.code)
}

/// The error as it is printed: `error: ...`, its causes, what is safe, and, if hints are wanted, a `hint: ...` a
/// line.
pub fn render(error: &anyhow::Error, hints_wanted: impl Fn() -> bool) -> String {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("  because: {cause}\n"));
    }
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    if let Some(failure) = failure {
        if let Some(safe) = &failure.safe {
            text.push_str(&format!("  {safe}\n"));
        }
        let wanted = !failure.hints.is_empty() && hints_wanted();
        for line in failure.hints.iter().filter(|_| wanted).flat_map(|hint| hint.lines()) {
            text.push_str(&format!("hint: {line}\n"));
        }
    }
    text
}
