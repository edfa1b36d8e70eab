//! What the shim tells its supervisor, as long as there is one: it must never wait for it.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::net::unix::pipe::Sender;
use tokio::time::{Instant, sleep_until, timeout};

use super::{ExitRecord, Report, ShimSpec};

/// At most ten lines a second about the output.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the last line may wait for a supervisor that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// A pipe takes as much whole or not at all (`PIPE_BUF` is 512 at least, 4096 on Linux). Only the words
/// of an agent that could not be started are ever near it, and those are in `exit.json`.
const ATOMIC: usize = 4096;

/// The writing end of the supervisor's pipe.
pub struct Reporter {
    /// `None` once nobody reads any more.
    pipe: Option<Sender>,
    /// The agent's process id, until it is told.
    started: Option<u32>,
    /// Length of the log, and what was last told of it.
    length: u64,
    told: u64,
    next: Instant,
}

impl Reporter {
    /// Reports go to standard output, if that is a pipe of our supervisor's.
    pub fn new(spec: &ShimSpec) -> Reporter {
        let pipe = io::stdout().as_fd().try_clone_to_owned().and_then(Sender::from_owned_fd).ok();
        let pipe = pipe.filter(|_| spec.far.is_none());
        Reporter { pipe, started: None, length: 0, told: 0, next: Instant::now() }
    }

    /// The agent runs; [`due`](Self::due) passes it on.
    pub fn started(&mut self, pid: u32) {
        self.started = Some(pid);
    }

    /// The log has this length now; [`due`](Self::due) passes it on.
    pub fn output(&mut self, length: u64) {
        self.length = length;
    }

    /// Passes on what is to be told as soon as it may be; waits for ever if there is nothing.
    pub async fn due(&mut self) {
        let Some(pipe) = self.pipe.as_ref().filter(|_| self.is_behind()) else {
            return std::future::pending().await;
        };
        if self.started.is_none() {
            sleep_until(self.next).await;
        }
        // Full: the supervisor is busy or suspended. What it reads then is the newest.
        let _ = pipe.writable().await;
        self.tell();
    }

    /// The last words.
    pub async fn exited(&mut self, record: ExitRecord) {
        let last = Report::Exited(record);
        let all = async {
            while let Some(pipe) = &self.pipe {
                let _ = pipe.writable().await;
                self.tell();
                if !self.is_behind() && self.send(&last) {
                    break;
                }
            }
        };
        let _ = timeout(PATIENCE, all).await;
    }

    fn is_behind(&self) -> bool {
        self.started.is_some() || self.told != self.length
    }

    /// Tells what is not told yet, as far as the pipe takes it.
    fn tell(&mut self) {
        if let Some(pid) = self.started {
            if !self.send(&Report::Started { pid }) {
                return;
            }
            self.started = None;
        }
        let length = self.length;
        if self.told != length && self.send(&Report::Output { bytes: length }) {
            self.told = length;
            self.next = Instant::now() + PAUSE;
        }
    }

    /// Sends one line, whole or not at all: it is shorter than what a pipe takes at once. Returns
    /// whether that is settled.
    fn send(&mut self, report: &Report) -> bool {
        let Some(pipe) = &self.pipe else { return true };
        let Ok(mut line) = serde_json::to_vec(report) else { return true };
        line.push(b'\n');
        if line.len() > ATOMIC {
            return true;
        }
        match pipe.try_write(&line) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                self.pipe = None;
                true
            }
        }
    }
}
