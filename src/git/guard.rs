//! What all worktrees share and an agent should leave alone: some settings, and the stash.
//!
//! Linked worktrees share one configuration, so an agent that sets `core.hooksPath` or `core.bare` sets it
//! for everybody. Our calls go on with the values that held when the run was taken up. They share one
//! stash, too. That something changed is told.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::refs::branch_tip;
use super::{Config, Repository};
use crate::run::{Oid, Text};

/// What decides which programs git runs by the way, and what it takes for a worktree.
const GUARDED: [&str; 6] =
    ["core.bare", "core.worktree", "core.hookspath", "core.fsmonitor", "commit.gpgsign", "gpg.program"];

static PINNED: OnceLock<Vec<Text>> = OnceLock::new();

/// `key=value` settings that every call of git gets from now on.
pub(super) fn pinned() -> &'static [Text] {
    PINNED.get().map_or(&[], Vec::as_slice)
}

/// What is shared, as it was when the run was taken up.
#[derive(Debug)]
pub struct SharedGuard {
    file: PathBuf,
    content: Option<Vec<u8>>,
    values: Vec<Option<Text>>,
    stash: Option<Oid>,
}

impl SharedGuard {
    /// Remembers the settings, and pins them for every call of git that this process makes.
    pub fn pin(repo: &Repository, config: &Config) -> SharedGuard {
        let values: Vec<Option<Text>> = GUARDED.iter().map(|key| config.string(key)).collect();
        let default = |key: &str| match key {
            "core.bare" => Some(Text::from(if repo.bare { "true" } else { "false" })),
            "core.hookspath" => Some(repo.common_dir.join("hooks").into()),
            "core.fsmonitor" | "commit.gpgsign" => Some(Text::from("false")),
            _ => None,
        };
        let settings = GUARDED.iter().zip(&values).filter_map(|(key, value)| {
            let value = value.clone().or_else(|| default(key))?;
            let setting = [key.as_bytes(), b"=", value.as_bstr()].concat();
            // Where the main worktree is, is told by GIT_WORK_TREE where it matters.
            (*key != "core.worktree").then(|| Text::from(setting.as_slice()))
        });
        let _ = PINNED.set(settings.collect());
        let file = repo.common_dir.join("config");
        SharedGuard { content: std::fs::read(&file).ok(), file, values, stash: stash(repo) }
    }

    /// What is not as it was.
    pub fn changed(&self, repo: &Repository) -> Vec<&'static str> {
        let mut changed = self.changed_settings(repo);
        if stash(repo) != self.stash {
            changed.push("the stash");
        }
        changed
    }

    fn changed_settings(&self, repo: &Repository) -> Vec<&'static str> {
        if std::fs::read(&self.file).ok() == self.content {
            return Vec::new();
        }
        let Ok(now) = Config::load_unpinned(repo) else { return vec!["the configuration"] };
        let pairs = GUARDED.iter().zip(&self.values);
        pairs.filter(|(key, value)| now.string(key) != **value).map(|(key, _)| *key).collect()
    }
}

fn stash(repo: &Repository) -> Option<Oid> {
    branch_tip(repo, &"refs/stash".into()).ok().flatten()
}
