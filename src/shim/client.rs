//! The supervisor's side: starting a shim, listening to it, and what to do if it dies.

use std::collections::HashSet;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep};

use super::control::{Request, discard, request};
use super::stopping::GIVE_UP;
use super::{MARK, Report, ShimSpec, code, exit_record, files, session};
use crate::run::{Exit, Stop, Text};
use crate::sys::{self, Scope, Signal};

/// How often to look whether orphans are gone.
const LOOK: Duration = Duration::from_millis(20);

/// What a shim has to tell.
#[derive(Clone, PartialEq, Debug)]
pub enum Progress {
    /// The agent runs.
    Started {
        /// Its process id.
        pid: u32,
    },
    /// Its log grew to this many bytes.
    Output {
        /// Length of the log.
        bytes: u64,
    },
    /// It is all over: agent, what it started, and shim.
    Exited(Exit),
}

/// A shim that this process started. Dropping this leaves the shim and its agent at work.
pub struct Shim {
    child: Child,
    reports: Lines<BufReader<ChildStdout>>,
    dir: Text,
    attempt: u32,
    grace: Duration,
    open: bool,
    started: bool,
    stop_asked: AtomicBool,
    exit: Option<Exit>,
}

impl Shim {
    /// Starts a shim, in a session of its own. Must be called inside a tokio runtime.
    #[allow(clippy::disallowed_methods)]
    pub fn spawn(spec: &ShimSpec) -> io::Result<Shim> {
        let json = serde_json::to_vec(spec)?;
        let mut command = Command::new(sys::own_executable()?);
        command
            .arg0("git-parallel")
            .arg("shim")
            // It stays for long, and should not keep any directory busy.
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = session::spawn(command)?;
        let missing = || io::Error::other("the shim has no pipes");
        let mut stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        // The spec may be longer than a pipe holds. If the shim dies of it, its exit tells.
        tokio::spawn(async move { stdin.write_all(&json).await });
        Ok(Shim {
            child,
            reports: BufReader::new(stdout).lines(),
            dir: spec.dir.clone(),
            attempt: spec.attempt,
            grace: Duration::from_millis(spec.grace_ms),
            open: true,
            started: false,
            stop_asked: AtomicBool::new(false),
            exit: None,
        })
    }

    /// The next thing that happens; `Exited` is the last, and comes again if asked again. Nothing is
    /// lost if the future is dropped.
    pub async fn next(&mut self) -> Progress {
        while self.open {
            let Ok(Some(line)) = self.reports.next_line().await else {
                self.open = false;
                break;
            };
            match serde_json::from_str(&line) {
                Ok(Report::Started { pid }) => {
                    self.started = true;
                    return Progress::Started { pid };
                }
                Ok(Report::Output { bytes }) => return Progress::Output { bytes },
                Ok(Report::Exited(record)) if record.attempt == self.attempt => {
                    self.exit = Some(record.exit);
                }
                Ok(Report::Exited(_)) | Err(_) => {}
            }
        }
        let status = self.child.wait().await;
        let exit = match self.exit.take() {
            Some(exit) => exit,
            None => self.conclude(status.ok()).await,
        };
        self.exit = Some(exit.clone());
        Progress::Exited(exit)
    }

    /// How the attempt ended if the shim did not live to tell.
    async fn conclude(&self, status: Option<ExitStatus>) -> Exit {
        let not_started = |why: &str| Exit { not_started: Some(why.to_owned()), ..Exit::default() };
        match status.and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok()) {
            Some(code::BUSY) => return not_started("an earlier agent of this task is still at work"),
            Some(code::BAD_SPEC) => return not_started("the shim did not understand what to run"),
            _ => {}
        }
        if let Ok(Some(exit)) = exit_record(self.dir.as_path(), self.attempt) {
            return exit;
        }
        let left_behind = end_marked(self.dir.as_path(), Scope::Descendants, self.grace).await;
        discard(self.dir.as_path());
        // A shim that is stopped before it listens dies of the signal, without an agent.
        let stopped = self.stop_asked.load(Ordering::Relaxed) && !self.started;
        Exit { left_behind, stopped, ..Exit::default() }
    }

    /// Asks the shim to end its agent.
    pub fn stop(&self, how: Stop) -> io::Result<()> {
        self.stop_asked.store(true, Ordering::Relaxed);
        if request(self.dir.as_path(), Request::Stop(how)).unwrap_or(false) {
            return Ok(());
        }
        let signal = match how {
            Stop::Term => Signal::TERM,
            Stop::Kill => Signal::QUIT,
        };
        match self.child.id() {
            Some(pid) => sys::signal_child(pid, signal).map(|_| ()),
            None => Ok(()),
        }
    }
}

/// Starts a shim that is on its own from the start, and nobody's child: it reads its spec from a file, and tells all by
/// the files of its directory. It holds the lock `alive` there through its standard input, so that whoever comes later
/// can tell whether it lives. False if one does already.
///
/// # Errors
/// If it can't be started.
#[allow(clippy::disallowed_methods)]
pub fn start_detached(spec: &ShimSpec) -> io::Result<bool> {
    let dir = spec.dir.as_path();
    let Some(held) = files::hold(dir)? else { return Ok(false) };
    let file = super::write_spec(spec)?;
    let mut command = std::process::Command::new(sys::own_executable()?);
    command.arg0("git-parallel").arg("shim").arg(file).current_dir("/");
    command.stdin(held).stdout(Stdio::null()).stderr(files::append_private(&dir.join("job.log"))?);
    session::leave(command).map(|()| true)
}

/// Ends what is left of an agent whose shim died, also if that happened under an earlier supervisor:
/// the processes of this user that bear the mark of `dir`, and their descendants. Returns how many
/// there were. To be called only if no shim [lives](super::is_alive) that works for `dir`.
pub async fn end_orphans(dir: &Path, grace: Duration) -> u32 {
    end_marked(dir, Scope::User, grace).await
}

async fn end_marked(dir: &Path, scope: Scope, grace: Duration) -> u32 {
    let left = || sys::marked(MARK, dir.as_os_str(), scope).unwrap_or_default();
    let begin = Instant::now();
    let mut seen = HashSet::new();
    let mut living = left();
    let count = living.len();
    while !living.is_empty() && begin.elapsed() < grace.saturating_add(GIVE_UP) {
        let kill = begin.elapsed() >= grace;
        for process in living {
            let fresh = seen.insert(process);
            if kill {
                let _ = sys::signal(&process, Signal::KILL);
            } else if fresh {
                let _ = sys::signal(&process, Signal::TERM);
                let _ = sys::signal(&process, Signal::CONT);
            }
        }
        sleep(LOOK).await;
        living = left();
    }
    // On Linux they came to us as children when their parents died.
    seen.iter().for_each(sys::reap);
    u32::try_from(count).unwrap_or(u32::MAX)
}
