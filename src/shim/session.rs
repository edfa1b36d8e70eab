//! Starting a program in a session of its own.

use std::any::Any;
use std::io;

use process_wrap::tokio::{CommandWrap, ProcessSession, ResetSigmask};
use tokio::process::{Child, Command};

/// Starts `command` as the leader of a new session and process group, with no signal blocked.
///
/// What comes back is the plain child: the wrapper's own would wait for the whole group.
pub fn spawn(command: Command) -> io::Result<Child> {
    let child = CommandWrap::from(command).wrap(ProcessSession).wrap(ResetSigmask).spawn()?;
    let plain: Box<dyn Any> = child.into_inner();
    let plain = plain.downcast::<Child>().map_err(|_| io::Error::other("an unknown kind of child"))?;
    Ok(*plain)
}

/// Starts `command` so as well, and leaves it to itself. Needs no runtime.
pub fn leave(command: std::process::Command) -> io::Result<()> {
    use process_wrap::std::{CommandWrap, ProcessSession, ResetSigmask};
    CommandWrap::from(command).wrap(ProcessSession).wrap(ResetSigmask).spawn().map(drop)
}
