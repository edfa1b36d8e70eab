//! Ending a call of git that somebody else waits for.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sys;

/// Ends calls of git from another thread.
#[derive(Clone, Default)]
pub struct Leash(Arc<Mutex<Leashed>>);

#[derive(Default)]
struct Leashed {
    pulled: bool,
    /// The call that runs now. It is not reaped yet, so this is no stranger's process id.
    pid: Option<u32>,
}

impl Leash {
    /// Kills the call that runs, with all that it started in its process group, and lets no other begin.
    pub fn pull(&self) {
        let mut leashed = self.lock();
        leashed.pulled = true;
        if let Some(pid) = leashed.pid {
            // If it is gone already, so much the better.
            let _ = sys::signal_group(pid, sys::Signal::KILL);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Leashed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a call, unless the leash was pulled.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let mut leashed = self.lock();
        if leashed.pulled {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let child = command.spawn()?;
        leashed.pid = Some(child.id());
        Ok(child)
    }

    /// Waits for the call's end, and lets go of it before its process id becomes free.
    pub(super) fn wait(&self, child: &mut Child) -> io::Result<ExitStatus> {
        sys::wait_unreaped(child.id())?;
        self.lock().pid = None;
        child.wait()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::git::Git;

    #[test]
    fn a_call_is_ended_and_no_other_begins() {
        let (leash, begun) = (Leash::default(), Instant::now());
        let other = leash.clone();
        let call =
            std::thread::spawn(move || Git::new().args(["-c", "alias.x=!sleep 60", "x"]).on(&other).output());
        while leash.lock().pid.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        leash.pull();
        assert_ne!(call.join().unwrap().unwrap().code, Some(0));
        assert!(leash.lock().pid.is_none());
        assert!(Git::new().arg("version").on(&leash).output().is_err());
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
