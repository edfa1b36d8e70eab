//! Making durable what an agent's own git wrote: git by default syncs neither loose objects nor packs of
//! other processes, and a landing rests on them.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use super::Repository;
use crate::run::Oid;

/// Syncs every object that `tip` has and `onto` has not: loose ones each, and, where any of them is not
/// loose, the packs that were written since `since`.
///
/// # Errors
/// If an object can't be listed or synced.
pub fn make_durable(repo: &Repository, tip: &Oid, onto: &Oid, since: SystemTime) -> Result<()> {
    let exclude = format!("^{onto}");
    let git = repo.git().args(["rev-list", "--objects", "--no-object-names", tip.as_str(), &exclude]);
    let listed = git.ok().context("cannot list what is to be landed")?;
    let objects = repo.common_dir.join("objects");
    let mut directories = BTreeSet::new();
    let mut packed = false;
    for id in listed.split(|&byte| byte == b'\n').filter(|id| id.len() == repo.hex_len) {
        let id = String::from_utf8_lossy(id);
        let directory = objects.join(&id[..2]);
        match File::open(directory.join(&id[2..])) {
            Ok(file) => {
                file.sync_data().with_context(|| format!("cannot sync object {id}"))?;
                directories.insert(directory);
            }
            Err(_) => packed = true,
        }
    }
    if packed {
        sync_packs(&objects.join("pack"), since, &mut directories)?;
    }
    directories.insert(objects);
    directories.iter().try_for_each(|directory| sync_directory(directory))
}

fn sync_packs(dir: &Path, since: SystemTime, directories: &mut BTreeSet<PathBuf>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let new = entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|modified| modified >= since);
        if new && let Ok(file) = File::open(entry.path()) {
            file.sync_data().with_context(|| format!("cannot sync {}", entry.path().display()))?;
        }
    }
    directories.insert(dir.to_owned());
    Ok(())
}

fn sync_directory(directory: &Path) -> Result<()> {
    let synced = File::open(directory).and_then(|dir| dir.sync_all());
    synced.with_context(|| format!("cannot sync {}", directory.display()))
}
