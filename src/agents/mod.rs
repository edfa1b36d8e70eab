//! Agent commands: are they there?

use std::ffi::OsStr;

/// Whether a command is on `PATH`, or an executable file where it is a path.
pub fn find(command: &OsStr) -> bool {
    which::which(command).is_ok()
}
