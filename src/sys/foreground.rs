//! Running a program for a person, on the terminal that we were started on.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::run::Text;

/// Runs a program in `dir` with our standard streams, and waits for it.
///
/// A Ctrl-C is the program's own affair: we outlive it, to tell what came of it.
#[expect(clippy::disallowed_methods, reason = "neither git nor an agent: a shell or a tool of the user's")]
pub fn run_in_foreground(
    argv: &[OsString],
    dir: &Path,
    set: &[(String, Text)],
    remove: &[&str],
) -> io::Result<ExitStatus> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir);
    for name in remove {
        command.env_remove(name);
    }
    command.envs(set.iter().map(|(name, value)| (name, value.as_os_str())));
    let _handlers = outlive_keys()?;
    command.status()
}

/// As long as it is there, keys that end programs don't end this one.
pub(super) type Keys = (tokio::runtime::Runtime, [Signal; 2]);

/// Catches what Ctrl-C and Ctrl-\ send. Unlike signals that are ignored, caught ones have their usual effect
/// on a program that is started.
pub(super) fn outlive_keys() -> io::Result<Keys> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let handlers = [signal(SignalKind::interrupt())?, signal(SignalKind::quit())?];
    drop(entered);
    Ok((runtime, handlers))
}

/// Becomes another program. Returns only if that can't be.
#[expect(clippy::disallowed_methods, reason = "neither git nor an agent: the user's own man")]
pub fn become_program(argv: &[OsString]) -> io::Error {
    match argv.split_first() {
        Some((program, arguments)) => Command::new(program).args(arguments).exec(),
        None => io::ErrorKind::InvalidInput.into(),
    }
}
