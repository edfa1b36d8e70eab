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
/// `seen` gets each record, and the run as it is after that.
pub fn replay(path: &Path, run: &mut Run, seen: &mut dyn FnMut(&Run, &Record)) -> io::Result<Tail> {
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
        seen(run, &record);
        good += line.len() + 1;
    }
    Ok(Tail { good: good as u64, bad: (bytes.len() - good) as u64 })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::run::{Event, Exit, Step, fixture};

    fn run() -> Run {
        Run::new(fixture::spec(&["a"]))
    }

    fn records() -> Vec<Record> {
        let task = || "a".into();
        let base = fixture::null_oid();
        let events = [
            Event::RunStarted { pid: 1 },
            Event::Begun { task: task(), step: Step::Prepare { slot: 0, base: None } },
            Event::Prepared {
                task: task(),
                base,
                branch_created: true,
                worktree_created: true,
                is_new: true,
                note: None,
            },
            Event::Begun { task: task(), step: Step::Start { attempt: 1 } },
            Event::AgentExited { task: task(), exit: Exit { code: Some(0), ..Exit::default() } },
        ];
        events.map(|event| Record { at: Timestamp::UNIX_EPOCH, event }).to_vec()
    }

    /// The run after the first `count` records.
    fn after(count: usize) -> Run {
        let mut run = run();
        records()[..count].iter().for_each(|record| run.apply(record).unwrap());
        run
    }

    #[test]
    fn cut_at_any_byte_its_whole_lines_count_and_it_can_be_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal::open(&path, Tail::default()).unwrap();
        records().iter().for_each(|record| journal.append(record).unwrap());
        let whole = std::fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            for garbage in
                [&b""[..], b"\0\0\0", b"{\"at\":\"2026-11-20T10:00:00Z\",\"event\":\"nonsense\"}\n{}\n"]
            {
                let bytes = [&whole[..length], garbage].concat();
                std::fs::write(&path, &bytes).unwrap();
                let mut replayed = run();
                let tail = replay(&path, &mut replayed, &mut |_, _| {}).unwrap();
                let lines = whole[..length].iter().filter(|&&byte| byte == b'\n').count();
                assert_eq!(replayed, after(lines), "cut at {length}");
                assert_eq!(tail.good + tail.bad, bytes.len() as u64, "cut at {length}");

                let mut journal = Journal::open(&path, tail).unwrap();
                records()[lines..].iter().for_each(|record| journal.append(record).unwrap());
                assert_eq!(std::fs::read(&path).unwrap(), whole, "gone on with after {length}");
                if tail.bad > 0 {
                    let kept = std::fs::read(path.with_extension("bad")).unwrap();
                    assert_eq!(kept, bytes[tail.good as usize..], "what is cut off is kept");
                }
            }
        }
    }

    #[test]
    fn an_event_that_cannot_have_happened_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal::open(&path, Tail::default()).unwrap();
        let records = records();
        [&records[0], &records[4], &records[1]].iter().for_each(|record| journal.append(record).unwrap());
        let mut replayed = run();
        let tail = replay(&path, &mut replayed, &mut |_, _| {}).unwrap();
        assert_eq!(replayed, after(1));
        assert!(tail.bad > 0);
    }
}
