//! The records of runs: making one, reading one, listing them.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io;

use anyhow::{Context, Result};
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;

use super::journal::{Tail, replay};
use super::{Layout, RunDir, write_atomically};
use crate::error::{Failure, exit};
use crate::run::{Record, Run, RunId, RunSpec};

/// A run as its record tells it.
#[derive(Debug)]
pub struct Loaded {
    /// The run.
    pub run: Run,
    /// Where its record is.
    pub dir: RunDir,
    /// What stood behind the last good line of its journal.
    pub tail: Tail,
}

/// Makes the directory of a new run, under an id that no run had. The caller completes the
/// specification and writes it by [`RunDir::write_spec`].
pub fn create(layout: &Layout, now: Timestamp) -> Result<(RunId, RunDir)> {
    layout.create()?;
    let latest = list(layout)?.pop();
    let mut moment = now;
    loop {
        let id = new_id(moment);
        // The latest run must be the last by name, also where two start within one second.
        if latest.as_ref().is_some_and(|latest| same_second(latest, &id) && id <= *latest) {
            moment = Timestamp::now();
            continue;
        }
        let dir = layout.run(&id);
        match dir.create() {
            Ok(()) => return Ok((id, dir)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).with_context(|| format!("cannot create {}", dir.dir().display())),
        }
    }
}

/// The time in UTC, so that names sort by age, and four characters against two runs in one second.
fn new_id(now: Timestamp) -> RunId {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = RandomState::new().build_hasher().finish();
    let mut suffix = String::new();
    for _ in 0..4 {
        suffix.push(char::from(ALPHABET[(random % 32) as usize]));
        random /= 32;
    }
    let time = now.to_zoned(TimeZone::UTC).strftime("%Y%m%d-%H%M%S");
    RunId(format!("{time}-{suffix}"))
}

fn same_second(one: &RunId, other: &RunId) -> bool {
    let time = |id: &RunId| id.0.rsplit_once('-').map(|(time, _)| time.to_owned());
    time(one) == time(other)
}

impl RunDir {
    /// Writes what was asked; from then on the run exists.
    pub fn write_spec(&self, spec: &RunSpec) -> Result<()> {
        let text = serde_json::to_vec_pretty(spec)?;
        let path = self.spec();
        write_atomically(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        // The run's own name must survive too.
        let parent = self.dir().parent().map(File::open).transpose();
        parent.and_then(|dir| dir.map_or(Ok(()), |dir| dir.sync_all())).context("cannot sync the records")
    }
}

/// Reads the record of a run. A journal with a bad tail is read as far as it is sound; a record of a
/// newer version is refused.
pub fn load(layout: &Layout, id: &RunId) -> Result<Loaded> {
    load_with(layout, id, &mut |_, _| {})
}

/// As [`load`]; `seen` gets each record of the journal, and the run as it is after that.
pub fn load_with(layout: &Layout, id: &RunId, seen: &mut dyn FnMut(&Run, &Record)) -> Result<Loaded> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let dir = layout.run(id);
    let path = dir.spec();
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let garbled = |e| {
        Failure::new(exit::FAILURE, format!("the record of run {id} can't be read: {e}"))
            .safe("Branches and worktrees are not touched by this.")
            .hint(format!("it is in {}", path.display()))
    };
    let Versioned { version } = serde_json::from_slice(&text).map_err(garbled)?;
    if version > RunSpec::VERSION {
        let message = format!("run {id} was written by a newer git-parallel (record version {version})");
        return Err(Failure::new(exit::FAILURE, message)
            .safe("Its record was left untouched.")
            .hint("use that version, or a newer one")
            .into());
    }
    let spec: RunSpec = serde_json::from_slice(&text).map_err(garbled)?;
    let mut run = Run::new(spec);
    let tail = replay(&dir.journal(), &mut run, seen)
        .with_context(|| format!("cannot read {}", dir.journal().display()))?;
    Ok(Loaded { run, dir, tail })
}

/// The ids of all runs that have a record, oldest first.
pub fn list(layout: &Layout) -> Result<Vec<RunId>> {
    let entries = match std::fs::read_dir(layout.runs()) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", layout.runs().display())),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", layout.runs().display()))?;
        if let Ok(name) = entry.file_name().into_string()
            && layout.run(&RunId(name.clone())).spec().exists()
        {
            ids.push(RunId(name));
        }
    }
    ids.sort();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_run_sorts_last_also_within_a_second() {
        let tmp = tempfile::tempdir().unwrap();
        let layout = Layout::new(tmp.path());
        for _ in 0..8 {
            let (id, dir) = create(&layout, Timestamp::now()).unwrap();
            std::fs::write(dir.spec(), "{}").unwrap();
            assert_eq!(list(&layout).unwrap().last(), Some(&id));
        }
    }
}
