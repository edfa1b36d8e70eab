//! The user's pager, for what is longer than a screen.

use std::io::{self, ErrorKind, Write};
use std::process::{Child, Command, Stdio};

use super::foreground::{Keys, outlive_keys};

/// What a pager finds in its environment where it is not set, as git has it: quit if it fits on one screen, show
/// colours, leave the screen as it is.
const DEFAULTS: [(&str, &str); 2] = [("LESS", "FRX"), ("LV", "-c")];

/// A pager that runs.
pub struct Pager {
    child: Child,
    /// Ctrl-C in it is its own affair.
    _keys: Option<Keys>,
}

impl Pager {
    /// Starts it: a command for `sh -c`.
    ///
    /// # Errors
    /// If it can't be started.
    #[expect(clippy::disallowed_methods, reason = "neither git nor an agent: the user's pager")]
    pub fn start(command: &str) -> io::Result<Pager> {
        let mut pager = Command::new("sh");
        pager.args(["-c", command]).stdin(Stdio::piped());
        for (name, value) in DEFAULTS.iter().filter(|(name, _)| std::env::var_os(name).is_none()) {
            pager.env(name, value);
        }
        let keys = outlive_keys().ok();
        Ok(Pager { child: pager.spawn()?, _keys: keys })
    }

    /// Hands it text. `false` once nobody reads any more, which is no error.
    ///
    /// # Errors
    /// If it can't be written to.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let Some(pipe) = &mut self.child.stdin else { return Ok(false) };
        match pipe.write_all(bytes).and_then(|()| pipe.flush()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Waits until the user has left it.
    ///
    /// # Errors
    /// If it can't be waited for.
    pub fn finish(mut self) -> io::Result<()> {
        drop(self.child.stdin.take());
        self.child.wait().map(drop)
    }
}
