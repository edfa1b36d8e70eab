//! What landed squashed or rebased before: the target's history does not tell, the records of runs do.

use std::collections::BTreeMap;

use anyhow::Result;
use bstr::ByteSlice;

use super::Context;
use crate::git;
use crate::run::{Landing, Oid, RunId, Strategy, Task, TaskName};
use crate::store::{self, Layout};

/// What landed, or is to land first: as little of its task as landing another one needs to know.
pub(super) struct Earlier {
    pub(super) name: TaskName,
    pub(super) landing: Landing,
    /// When it was ready to land, among the others.
    pub(super) ready: u64,
    undone: Option<Oid>,
}

impl Earlier {
    /// `None` if there is nothing to land.
    pub(super) fn of(task: &Task) -> Option<Earlier> {
        let (landing, undone) = (task.landing.clone()?, task.undone.clone());
        Some(Earlier { name: task.name().clone(), landing, ready: task.ready, undone })
    }
}

/// Of the commits that `tip` has and `onto` has not, those whose changes `onto` has all the same: they were
/// the tip of a branch that landed squashed or rebased, in this run or in another one, or is to land so before; what
/// was undone may land again. Nothing for
/// strategies that keep commits as they are, and go by what git says.
///
/// # Errors
/// If history can't be read.
pub(super) fn before(context: &Context, onto: &Oid, tip: &Oid, earlier: &[Earlier]) -> Result<Vec<Oid>> {
    if !matches!(context.spec.strategy, Strategy::Squash | Strategy::Rebase) {
        return Ok(Vec::new());
    }
    let repo = &context.repo;
    let new = git::new_commits(repo, tip, onto)?;
    let others = by_other_runs(context, &|commit| new.contains(commit))?;
    let mut found: Vec<Oid> = Vec::new();
    for Earlier { landing, undone, .. } in earlier.iter().chain(&others) {
        if !landing.how.leaves_commits() || !new.contains(&landing.tip) || found.contains(&landing.tip) {
            continue;
        }
        let is_undone = match undone {
            Some(revert) => git::is_ancestor(repo, revert, onto)?,
            None => false,
        };
        // Where the branch has merged the target since, git sees for itself.
        let counts = !is_undone
            && git::is_ancestor(repo, &landing.commit, onto)?
            && !git::is_ancestor(repo, &landing.commit, tip)?;
        if counts {
            found.push(landing.tip.clone());
        }
    }
    Ok(found)
}

/// The landed tasks of other runs of which the pinned tip is among the commits asked for. A record that can't
/// be read tells nothing.
fn by_other_runs(context: &Context, wanted: &dyn Fn(&Oid) -> bool) -> Result<Vec<Earlier>> {
    let mut runs: BTreeMap<String, Vec<Earlier>> = BTreeMap::new();
    for (pin, commit) in git::list(&context.repo, "refs/parallel/")? {
        let Some(rest) = pin.as_bstr().strip_prefix(b"refs/parallel/") else { continue };
        let Some((id, _)) = rest.split_once_str("/") else { continue };
        let id = id.to_str_lossy();
        if id != context.spec.id.0 && wanted(&commit) && !runs.contains_key(id.as_ref()) {
            let layout = Layout::new(&context.repo.common_dir);
            let loaded = store::load(&layout, &RunId(id.to_string()));
            let tasks = loaded.map(|loaded| loaded.run.tasks).unwrap_or_default();
            let landed = tasks.iter().filter(|task| task.landed().is_some());
            runs.insert(id.into_owned(), landed.filter_map(Earlier::of).collect());
        }
    }
    Ok(runs.into_values().flatten().collect())
}
