//! The lock: one supervisor per repository.
//!
//! A held lock is the proof of life. The kernel lets go of it at any death, so it is never stale and
//! the file is never deleted. Its text is for people, and never acted upon.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::run::RunId;

/// What the lock's text says of its holder.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// What it does: `run`, `land`, `cleanup`, ...
    pub command: String,
    /// The run it works on.
    pub run: Option<RunId>,
    /// Since when.
    pub started_at: Timestamp,
    /// On which machine.
    pub host: String,
    /// How many tasks it has.
    pub tasks: usize,
    /// Agents at once.
    pub jobs: u32,
}

impl Holder {
    /// This process, as a holder.
    pub fn this_process(command: &str, run: Option<RunId>, tasks: usize, jobs: u32) -> Self {
        Holder {
            pid: std::process::id(),
            command: command.to_owned(),
            run,
            started_at: Timestamp::now(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            tasks,
            jobs,
        }
    }
}

/// The lock, held. Dropping it, or dying, lets it go.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock if it is free; `None` if another process holds it.
    pub fn try_take(path: &Path, holder: &Holder) -> Result<Option<Lock>> {
        let file = open(path)?;
        // `status` looks at the lock by taking it for an instant; that must not refuse a run.
        for pause in [0, 5, 20, 50] {
            std::thread::sleep(Duration::from_millis(pause));
            match fs2::FileExt::try_lock_exclusive(&file) {
                Ok(()) => {
                    let mut lock = Lock { file, path: path.to_owned() };
                    lock.describe(holder)?;
                    return Ok(Some(lock));
                }
                Err(e) if e.kind() == fs2::lock_contended_error().kind() => {}
                Err(e) => return Err(e).with_context(|| unsupported(path)),
            }
        }
        Ok(None)
    }

    /// Takes the lock, waiting for its holder to let go.
    pub fn wait(path: &Path, holder: &Holder) -> Result<Lock> {
        let file = open(path)?;
        fs2::FileExt::lock_exclusive(&file).with_context(|| unsupported(path))?;
        let mut lock = Lock { file, path: path.to_owned() };
        lock.describe(holder)?;
        Ok(lock)
    }

    /// Rewrites the text that says who holds the lock.
    pub fn describe(&mut self, holder: &Holder) -> Result<()> {
        let write = |file: &mut File| -> io::Result<()> {
            let text = serde_json::to_vec_pretty(holder)?;
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&text)
        };
        write(&mut self.file).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Who holds the lock now: `None` if nobody does. The inner `None`: somebody does, but the text
    /// can't be read.
    pub fn holder(path: &Path) -> Result<Option<Option<Holder>>> {
        let file = match super::open_private(path, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("cannot open {}", path.display())),
        };
        match fs2::FileExt::try_lock_shared(&file) {
            Ok(()) => Ok(None),
            Err(e) if e.kind() == fs2::lock_contended_error().kind() => {
                let mut text = String::new();
                let read = (&file).take(64 * 1024).read_to_string(&mut text);
                Ok(Some(read.ok().and_then(|_| serde_json::from_str(&text).ok())))
            }
            Err(e) => Err(e).with_context(|| unsupported(path)),
        }
    }

    /// Returns when nobody holds the lock.
    pub fn wait_free(path: &Path) -> Result<()> {
        let file = open(path)?;
        fs2::FileExt::lock_shared(&file).with_context(|| unsupported(path))
    }
}

fn open(path: &Path) -> Result<File> {
    super::open_private(path, OpenOptions::new().read(true).write(true).create(true).truncate(false))
        .with_context(|| format!("cannot open {}", path.display()))
}

fn unsupported(path: &Path) -> String {
    format!("cannot lock {}: does this file system have locks?", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_its_name_is_told() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("lock");
        assert_eq!(Lock::holder(&path).unwrap(), None, "no file yet");
        let me = Holder::this_process("run", Some(RunId("r1".into())), 3, 2);
        let lock = Lock::try_take(&path, &me).unwrap().unwrap();
        assert!(Lock::try_take(&path, &me).unwrap().is_none());
        assert_eq!(Lock::holder(&path).unwrap(), Some(Some(me.clone())));
        drop(lock);
        assert_eq!(Lock::holder(&path).unwrap(), None);
        assert!(path.exists(), "a lock file is never deleted");
        assert!(Lock::try_take(&path, &me).unwrap().is_some());
    }

    #[test]
    fn an_empty_or_garbled_text_breaks_nothing() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("lock");
        std::fs::write(&path, "\0garbage").unwrap();
        assert_eq!(Lock::holder(&path).unwrap(), None);
        let me = Holder::this_process("run", None, 0, 0);
        let _lock = Lock::try_take(&path, &me).unwrap().unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(Lock::holder(&path).unwrap(), Some(None));
    }
}
