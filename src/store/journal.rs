//! The journal: append-only, one event a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::run::{Record, Run};

/// A journal that is open for appending.
#[derive(Debug)]
pub struct Journal {
    file: File,
    unsynced: bool,
}

/// What replaying a journal found behind its last good line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tail {
    /// Length of the part that could be applied, in bytes.
    pub good: u64,
    /// Bytes behind it: a torn line, garbage, or an event that can't have happened.
    pub bad: u64,
}

impl Journal {
    /// Opens a run's journal, cutting off a bad tail.
    pub fn open(path: &Path, tail: Tail) -> io::Result<Journal> {
        let file = super::open_private(path, OpenOptions::new().append(true).create(true))?;
        if tail.bad > 0 {
            // Cut off, and kept beside it for whoever wants to know.
            let mut bad = Vec::new();
            let mut whole = super::open_private(path, OpenOptions::new().read(true))?;
            whole.seek(SeekFrom::Start(tail.good))?;
            whole.read_to_end(&mut bad)?;
            super::write_atomically(&path.with_extension("bad"), &bad)?;
            file.set_len(tail.good)?;
            file.sync_all()?;
        }
        Ok(Journal { file, unsynced: false })
    }

    /// Appends one event. It survives our death at once, and the machine's after [`Journal::sync`].
    pub fn append(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.unsynced = true;
        self.file.write_all(&line)
    }

    /// Makes all that was appended survive a power failure. Called once before a batch of actions is
    /// carried out, not after every line.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.file.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }
}

/// Applies a journal to a run as far as it is sound.
pub fn replay(path: &Path, run: &mut Run) -> io::Result<Tail> {
    let mut bytes = Vec::new();
    match super::open_private(path, OpenOptions::new().read(true)) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
        Err(e) => return Err(e),
    };
    let mut good = 0;
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let Ok(record) = serde_json::from_slice::<Record>(line) else { break };
        if run.apply(&record).is_err() {
            break;
        }
        good += line.len() + 1;
    }
    Ok(Tail { good: good as u64, bad: (bytes.len() - good) as u64 })
}
