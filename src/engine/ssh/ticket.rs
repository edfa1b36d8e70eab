//! Which hosts have had an attempt of a task, as it is on disk before anything is sent there: `hosts-<attempt>.json` in
//! the task's record.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::git::Standing;
use crate::store;

/// What is known of an attempt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Ticket {
    #[serde(skip)]
    path: PathBuf,
    /// How the worktree stood here when the attempt began.
    pub(super) standing: Option<Standing>,
    /// Every job that was given to a host; the last may be the present one.
    pub(super) jobs: Vec<Given>,
}

/// A job that was given to a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Given {
    /// The host's name.
    pub(super) host: String,
    /// The job's name there.
    pub(super) token: String,
    /// How long the task's log was.
    pub(super) log: u64,
    /// What became of it.
    pub(super) fate: Fate,
    /// Its agent may have been started.
    #[serde(default)]
    pub(super) begun: bool,
    /// It has what could not be brought here.
    #[serde(default)]
    pub(super) keeps: bool,
}

/// What became of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fate {
    /// It may be there; its agent was not started.
    Given,
    /// Its agent may have been started: what it does counts.
    Started,
    /// What it does does not count any more, and it may still be there.
    Stray,
    /// All of it is here, and it may still be there.
    Fetched,
    /// It is there, and has what could not be brought here.
    Kept,
    /// It is gone.
    Gone,
}

impl Fate {
    /// Whether it is what the attempt is about now.
    fn is_present(self) -> bool {
        matches!(self, Fate::Given | Fate::Started)
    }

    /// Whether something may be there still that nobody wants.
    pub(super) fn is_left(self) -> bool {
        matches!(self, Fate::Stray | Fate::Fetched)
    }
}

impl Ticket {
    /// That of an attempt, whose record is in `dir`.
    pub(super) fn read(dir: &Path, attempt: u32) -> Result<Ticket> {
        let path = dir.join(format!("hosts-{attempt}.json"));
        Ok(Ticket::at(path.clone())?.unwrap_or(Ticket { path, standing: None, jobs: Vec::new() }))
    }

    /// Those of all attempts of a task whose record is in `dir`.
    pub(super) fn all(dir: &Path) -> Vec<Ticket> {
        let names = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let is_one = |name: &str| name.starts_with("hosts-") && name.ends_with(".json");
        let mut names: Vec<String> =
            names.filter_map(|name| name.into_string().ok()).filter(|name| is_one(name)).collect();
        names.sort_unstable();
        names.iter().filter_map(|name| Ticket::at(dir.join(name)).ok().flatten()).collect()
    }

    fn at(path: PathBuf) -> Result<Option<Ticket>> {
        let json = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            json => json.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let ticket: Ticket =
            serde_json::from_slice(&json).with_context(|| format!("{} makes no sense", path.display()))?;
        Ok(Some(Ticket { path, ..ticket }))
    }

    /// Makes it durable.
    pub(super) fn write(&self) -> Result<()> {
        store::write_atomically(&self.path, &serde_json::to_vec(self)?)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// The job that counts.
    pub(super) fn present(&self) -> Option<&Given> {
        self.jobs.last().filter(|given| given.fate.is_present())
    }

    /// Tells what became of the last job.
    pub(super) fn set(&mut self, fate: Fate) -> Result<()> {
        if let Some(given) = self.jobs.last_mut() {
            given.fate = fate;
            given.begun |= fate == Fate::Started;
        }
        self.write()
    }

    /// The last job has what could not be brought here.
    pub(super) fn set_keeps(&mut self) -> Result<()> {
        if let Some(given) = self.jobs.last_mut() {
            given.keeps = true;
        }
        self.write()
    }

    /// Tells what became of a job, whoever has changed the ticket meanwhile.
    pub(super) fn settle(&self, token: &str, fate: Fate) -> Result<()> {
        let Some(mut now) = Ticket::at(self.path.clone())? else { return Ok(()) };
        for given in now.jobs.iter_mut().filter(|given| given.token == token) {
            given.fate = fate;
        }
        now.write()
    }
}
