//! What tasks have on their branches while their agents run, for who watches.

use std::collections::HashMap;

use anyhow::Result;

use super::Context;
use crate::git;
use crate::run::{Oid, TaskName, Work};

/// What was told last. Only a branch that has moved since is looked at again.
#[derive(Default)]
pub(super) struct Progress {
    told: HashMap<TaskName, Oid>,
}

impl Progress {
    /// What is new. What can't be told now is told when the branch moves again.
    pub(super) fn news<'a>(
        &mut self,
        context: &Context,
        tips: impl Iterator<Item = (&'a TaskName, &'a Oid, &'a Oid)>,
    ) -> Vec<(TaskName, Work)> {
        let mut news = Vec::new();
        for (task, base, tip) in tips {
            let before = self.told.insert(task.clone(), tip.clone());
            let moved = before.as_ref().map_or(tip != base, |before| before != tip);
            if let Some(Ok(work)) = moved.then(|| made(context, base, tip)) {
                news.push((task.clone(), work));
            }
        }
        news
    }
}

fn made(context: &Context, base: &Oid, tip: &Oid) -> Result<Work> {
    let commits = git::count_commits(&context.repo, tip, &[base])?;
    let stat = if commits > 0 { git::diff_stat(&context.repo, base, tip)? } else { Default::default() };
    let tip = Some(tip.clone());
    let (files, insertions, deletions) = (stat.files, stat.insertions, stat.deletions);
    Ok(Work { tip, commits, files, insertions, deletions, ..Work::default() })
}
