//! What the operating system knows of processes, files and limits.
//!
//! Two platforms stand behind one set of names: Linux, which can find, name and signal every
//! descendant without a race, and the other Unixes, which know process groups only.

use std::io;
use std::path::Path;

use rustix::process::{Pid, Resource, WaitId, WaitIdOptions, WaitOptions};

mod background;
mod bring;
mod foreground;
mod keyboard;
#[cfg(target_os = "linux")]
mod linux;
mod pager;
// Built for the tests on Linux as well, so that it can't rot there.
#[cfg(any(not(target_os = "linux"), test))]
#[cfg_attr(target_os = "linux", allow(dead_code))]
mod portable;
mod tool;
mod trace;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use portable as platform;

pub use background::run_in_background;
pub use bring::{bring, discard};
pub use foreground::{become_program, run_in_foreground};
pub use keyboard::{Keyboard, is_in_background};
pub use pager::Pager;
pub use platform::{
    Arrivals, Growth, available_memory, become_subreaper, descendants, file_clock, git_at_work,
    give_memory_back, is_plain_directory, load_average, lower_own_priority, make_fifo, marked,
    own_executable, parent_may_be_git, reap, set_own_name, share_data, signal, somebody_stands_in, spread,
    total_memory,
};
pub use rustix::process::Signal;
pub use tool::{Talk, Tool, ToolOutput};
pub use trace::trace;

/// A process, named so that it can't be mistaken for a later one of the same id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// When it started, in the kernel's own measure.
    pub start: u64,
    /// Its process group.
    pub group: u32,
}

/// Where to look for processes that bear a mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Among the descendants of this process.
    Descendants,
    /// Among all of the user's, except this process and its ancestors.
    User,
}

/// Room on a file system for an ordinary user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Free {
    /// Bytes.
    pub bytes: u64,
    /// Inodes; `None` on a file system that does not count them.
    pub inodes: Option<u64>,
}

/// The room that is left on the file system of `path`.
pub fn free_space(path: &Path) -> io::Result<Free> {
    let stat = rustix::fs::statvfs(path)?;
    let inodes = (stat.f_files > 0).then_some(stat.f_favail);
    Ok(Free { bytes: stat.f_bavail.saturating_mul(stat.f_frsize), inodes })
}

/// How many files this process may have open; `None` if there is no limit.
pub fn open_file_limit() -> Option<u64> {
    rustix::process::getrlimit(Resource::Nofile).current
}

/// Lets this process open as many files as the system grants it: each agent takes a few. Returns how many
/// it could open before, for [`limit_open_files`] in those that must not inherit this.
pub fn open_more_files() -> Option<u64> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return None;
    }
    let more = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, more).ok()?;
    limit.current
}

/// Whether a program could not be started because the system, or the user, has too many of something.
pub fn is_out_of_room(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errors = [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    errors.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Sets how many files this process, and what it starts, may open; the hard limit stays.
pub fn limit_open_files(count: u64) -> io::Result<()> {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    // On another machine less may be allowed.
    let current = Some(maximum.map_or(count, |most| count.min(most)));
    let limit = rustix::process::Rlimit { current, maximum };
    Ok(rustix::process::setrlimit(Resource::Nofile, limit)?)
}

/// Whether our child has exited, leaving it unreaped: until it is reaped, neither its process id nor
/// its process group can come to mean another.
pub fn has_exited(child: u32) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match rustix::process::waitid(WaitId::Pid(pid(child)?), options) {
        Ok(status) => Ok(status.is_some()),
        Err(rustix::io::Errno::CHILD) => Ok(true),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits until our child has exited, and leaves it unreaped.
pub fn wait_unreaped(child: u32) -> io::Result<()> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    loop {
        match rustix::process::waitid(WaitId::Pid(pid(child)?), options) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other.map(drop)?),
        }
    }
}

/// Signals the process group that our *unreaped* child leads; returns whether it had a member.
pub fn signal_group(leader: u32, signal: Signal) -> io::Result<bool> {
    was_there(rustix::process::kill_process_group(pid(leader)?, signal))
}

/// Signals our *unreaped* child; returns whether it was there.
pub fn signal_child(child: u32, signal: Signal) -> io::Result<bool> {
    was_there(rustix::process::kill_process(pid(child)?, signal))
}

/// Reaps every child that has exited; returns whether any child is left.
pub fn reap_all() -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Stops this process, as Ctrl-Z does by default; returns when it is continued.
pub fn stop_myself() -> io::Result<()> {
    Ok(rustix::process::kill_process(rustix::process::getpid(), Signal::STOP)?)
}

/// An operating-system error without its number.
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or(&text).to_owned()
}

fn pid(raw: u32) -> io::Result<Pid> {
    // 0 and 1 would mean "my own group" and "init" to kill(2).
    i32::try_from(raw)
        .ok()
        .filter(|&raw| raw > 1)
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

fn was_there(result: rustix::io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
