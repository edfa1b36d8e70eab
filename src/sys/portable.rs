//! Unixes other than Linux: process groups, and nothing cleverer.
//!
//! A process that leaves its agent's group can't be found here, so it can't be ended either.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use super::{Process, Scope, pid, was_there};

/// There is no such thing here: orphans go to init.
pub fn become_subreaper() -> io::Result<()> {
    Ok(())
}

/// Not told here.
pub fn load_average() -> Option<f64> {
    None
}

/// Not told here.
pub fn available_memory() -> Option<u64> {
    None
}

/// Not told here.
pub fn total_memory() -> Option<u64> {
    None
}

/// The path of this program.
pub fn own_executable() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Does nothing: a program keeps the name that it was run by.
pub fn set_own_name(_name: &str) {}

/// Makes a FIFO that only its owner may use, by the standard tool for it: macOS has no `mkfifoat`.
#[allow(clippy::disallowed_methods)]
pub fn make_fifo(path: &Path) -> io::Result<()> {
    let status = std::process::Command::new("mkfifo").args(["-m", "600", "--"]).arg(path).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("mkfifo failed")) }
}

/// The living rest of the group that our *unreaped* child `leader` leads, told as one process.
pub fn descendants(leader: u32) -> io::Result<Vec<Process>> {
    // A group of nothing but zombies is ESRCH or EPERM here, never success.
    let alive = rustix::process::test_kill_process_group(pid(leader)?).is_ok();
    Ok(if alive { vec![Process { pid: leader, start: 0, group: leader }] } else { Vec::new() })
}

/// Whether git started this process: nobody knows.
pub fn parent_may_be_git() -> bool {
    true
}

/// Whether a process called `git` may be at work in one of the directories: nobody knows.
pub fn git_at_work(_places: &[PathBuf]) -> bool {
    true
}

/// Files can't be made to share data here.
pub fn share_data(_file: impl rustix::fd::AsFd, _of: impl rustix::fd::AsFd) -> bool {
    false
}

/// There is nothing to be done for that.
pub fn give_memory_back() {}

/// Where files are put on the disk is not asked for here.
pub fn spread(_dir: &Path) {}

/// Whether a process stands in the directory or below it: nobody knows.
pub fn somebody_stands_in(_place: &Path) -> bool {
    true
}

/// The time that a file gets now: nobody knows.
pub fn file_clock() -> Option<[u32; 2]> {
    None
}

/// Whether a directory has no attributes of its own: nobody knows.
pub fn is_plain_directory(_dir: impl rustix::fd::AsFd) -> bool {
    false
}

/// Other processes' environments can't be read, so none is ever found.
pub fn marked(_name: &str, _value: &OsStr, _scope: Scope) -> io::Result<Vec<Process>> {
    Ok(Vec::new())
}

/// Signals the group that `process` stands for; returns whether it was still there.
pub fn signal(process: &Process, signal: Signal) -> io::Result<bool> {
    was_there(rustix::process::kill_process_group(pid(process.group)?, signal))
}

/// Orphans never become our children here.
pub fn reap(_process: &Process) {}

/// Waits for a file to grow, by looking at it five times a second.
pub struct Growth {
    path: PathBuf,
    seen: std::cell::Cell<(u64, Option<SystemTime>)>,
}

impl Growth {
    const PAUSE: Duration = Duration::from_millis(200);

    /// Watches the file at `path` from now on: watch first, read then, wait after.
    pub fn watch(path: &Path) -> io::Result<Self> {
        let growth = Growth { path: path.to_owned(), seen: Default::default() };
        growth.seen.set(growth.look()?);
        Ok(growth)
    }

    /// Waits until something happened to the file since the last call, at most for `timeout`;
    /// returns whether it did.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut left = timeout;
        loop {
            let now = self.look().unwrap_or_default();
            if self.seen.replace(now) != now {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
            let pause = left.min(Self::PAUSE);
            std::thread::sleep(pause);
            left -= pause;
        }
    }

    fn look(&self) -> io::Result<(u64, Option<SystemTime>)> {
        let meta = std::fs::metadata(&self.path)?;
        Ok((meta.len(), meta.modified().ok()))
    }
}

/// Nothing tells here what is put into a directory, and looking again and again would cost too much.
#[derive(Default)]
pub struct Arrivals {
    woken: Mutex<bool>,
    wake: Condvar,
}

impl Arrivals {
    /// Only [`Arrivals::wake`] will end a wait.
    pub fn new() -> io::Result<Self> {
        Ok(Arrivals::default())
    }

    /// Does nothing.
    pub fn watch(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Lets [`Arrivals::wait`] return.
    pub fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Waits until somebody called [`Arrivals::wake`] since the last time.
    pub fn wait(&self) -> io::Result<()> {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = self.wake.wait_while(woken, |woken| !*woken);
        *woken.unwrap_or_else(PoisonError::into_inner) = false;
        Ok(())
    }

    /// Forgets calls of [`Arrivals::wake`].
    pub fn forget(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

/// Does nothing: it would be the whole process.
pub fn lower_own_priority() {}
