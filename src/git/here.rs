//! Merging and rebasing in a linked worktree, for a person or a resolver to settle there.

use std::path::Path;

use anyhow::{Result, bail};

use super::status::operation_in_progress;
use super::{Git, worktree};
use crate::run::{Text, full_branch_name};

/// What merging or rebasing in a worktree came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MergeHere {
    /// It is done and committed, or there was nothing to do.
    Clean,
    /// The conflict is in the files, the merge or the rebase is under way.
    Conflicts,
}

/// Merges a branch into what is checked out in a linked worktree, as `git merge` does there: with the
/// user's hooks, `rerere`, `merge.conflictStyle` and merge drivers.
///
/// # Errors
/// git's words, if the merge could not even start.
pub fn merge_here(worktree: &Path, branch_short: &Text) -> Result<MergeHere> {
    let admin_dir = worktree::admin_dir(worktree)?;
    let git = Git::new().in_dir(worktree).retry_locks().args(["merge", "--no-edit", "-q"]);
    let output = git.arg("--").arg(branch_short.as_os_str()).output()?;
    match output.code {
        Some(0) => Ok(MergeHere::Clean),
        _ if operation_in_progress(&admin_dir) == Some("a merge") => Ok(MergeHere::Conflicts),
        _ => Err(output.to_error("merge").into()),
    }
}

/// Commits a merge of which every conflict was settled, with the message that git prepared.
///
/// # Errors
/// git's words, those of a hook that refuses it among them; the merge is under way then as before.
pub fn conclude_merge(worktree: &Path) -> Result<()> {
    if operation_in_progress(&worktree::admin_dir(worktree)?) != Some("a merge") {
        bail!("no merge is in progress in {}", worktree.display());
    }
    Git::new().in_dir(worktree).retry_locks().args(["commit", "--no-edit", "-q"]).ok()?;
    Ok(())
}

/// Rebases what is checked out in a linked worktree onto a branch, as `git rebase` does there, without its
/// merges. Other branches stay where they are, whatever `rebase.updateRefs` says.
///
/// # Errors
/// git's words, if the rebase could not even start.
pub fn rebase_here(worktree: &Path, branch_short: &Text) -> Result<MergeHere> {
    let git = Git::new().in_dir(worktree).retry_locks().args(["-c", "rebase.updateRefs=false"]);
    let git = git.args(["rebase", "-q", "--no-rebase-merges", "--no-autostash"]);
    rebased(worktree, git.arg(full_branch_name(branch_short).as_os_str()))
}

/// Goes on with a rebase of which every conflict so far was settled. The next commit may collide as well.
///
/// # Errors
/// git's words, those of a hook that refuses it among them; the rebase is under way then as before.
pub fn continue_rebase(worktree: &Path) -> Result<MergeHere> {
    rebased(worktree, Git::new().in_dir(worktree).retry_locks().args(["rebase", "--continue"]))
}

fn rebased(worktree: &Path, git: Git) -> Result<MergeHere> {
    let output = git.output()?;
    if output.code == Some(0) {
        return Ok(MergeHere::Clean);
    }
    let stopped = operation_in_progress(&worktree::admin_dir(worktree)?) == Some("a rebase");
    match stopped && !super::changes(worktree)?.unmerged.is_empty() {
        true => Ok(MergeHere::Conflicts),
        false => Err(output.to_error("rebase").into()),
    }
}
