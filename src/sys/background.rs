//! Starting this program once more, away from the terminal.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::process::{Command, Stdio};

/// Runs this program with `arguments` in a session of its own, so that no terminal's end reaches it. What
/// it prints goes to `log`.
#[expect(clippy::disallowed_methods, reason = "neither git nor an agent: this program itself")]
pub fn run_in_background(arguments: &[&OsStr], log: &File) -> io::Result<()> {
    use process_wrap::std::{CommandWrap, ProcessSession};
    let mut command = Command::new(super::own_executable()?);
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    CommandWrap::from(command).wrap(ProcessSession).spawn().map(drop)
}
