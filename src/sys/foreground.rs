//! Running a program for a person, on the terminal that we were started on.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::run::Text;

/// Runs a program in `dir` with our standard streams, and waits for it.
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
    command.status()
}
