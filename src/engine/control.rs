//! How other commands reach a supervisor: a named pipe in the run's record.
//!
//! A pipe, because it can't hit a stranger as a process id could, has no limit on the length of its
//! path as a socket has, and tells at once when nobody listens.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;

use super::{Message, Outbox};
use crate::run::{Event, Illegal, TaskName};

/// What another process may ask of a supervisor: one JSON object a line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Stop these tasks; without names, the whole run.
    Abort {
        /// The tasks.
        tasks: Option<Vec<TaskName>>,
    },
    /// Land these tasks.
    Land {
        /// The tasks.
        tasks: Vec<TaskName>,
        /// They were not named: they are all that waits.
        #[serde(default)]
        all: bool,
    },
}

/// Says that a request was not followed.
pub(super) fn refusal(refused: &Illegal) -> String {
    let what = match *refused.event {
        Event::LandRequested { .. } => "land",
        Event::RetryRequested { .. } => "run again",
        _ => "stop",
    };
    match (refused.event.task(), refused.state) {
        (Some(task), Some(state)) => {
            format!("ignored a request to {what} {task}: it is {state}, and that can't be done now")
        }
        _ => format!("ignored a request to {what} a task that this run does not have"),
    }
}

/// A request longer than this would not be written in one piece (`PIPE_BUF` on Linux).
const MAX_REQUEST: usize = 4096;

/// Keeps the pipe open for writing, so that it never reports its end; takes it away at ours.
#[derive(Debug)]
pub(super) struct Control {
    path: PathBuf,
    _writer: pipe::Sender,
}

impl Drop for Control {
    fn drop(&mut self) {
        forget(&self.path);
    }
}

/// Takes the pipe of a supervisor away that is gone. One that stays behind is harmless: without a reader it
/// refuses every request.
pub fn forget(path: &Path) {
    let _ = std::fs::remove_file(path);
}

/// Listens for requests for as long as the runtime lives.
pub(super) fn listen(path: &Path, outbox: Outbox) -> io::Result<Control> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    crate::sys::make_fifo(path)?;
    let reader = pipe::OpenOptions::new().open_receiver(path)?;
    let writer = pipe::OpenOptions::new().open_sender(path)?;
    tokio::spawn(async move {
        let mut lines = BufReader::new(reader).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            if let Ok(request) = serde_json::from_slice(&line) {
                let _ = outbox.messages.send(Message::Request(request));
            }
        }
    });
    Ok(Control { path: path.to_owned(), _writer: writer })
}

/// Sends a request to the supervisor that listens at `path`; `false` if none does.
pub fn send(path: &Path, request: &Request) -> io::Result<bool> {
    let Some(mut pipe) = open(path)? else { return Ok(false) };
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    if line.len() > MAX_REQUEST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many tasks named at once"));
    }
    pipe.write_all(&line)?;
    Ok(true)
}

fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = match OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open(path) {
        Ok(file) => file,
        // Nobody has it open for reading, or it isn't there.
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let found = file.metadata()?;
    if !found.file_type().is_fifo() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it is not a pipe of ours"));
    }
    Ok(Some(file))
}
