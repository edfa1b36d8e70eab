//! Merging and rebasing in a linked worktree, for a person or a resolver to settle there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, bail};
use bstr::ByteSlice;

use super::command::split_nul;
use super::refs::{Head, head, parse_oid};
use super::status::operation_in_progress;
use super::{Git, worktree};
use crate::run::{Oid, Text, full_branch_name};

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

/// Merges a commit into what is checked out in a linked worktree, and does not commit the result, whether
/// it collides or not.
///
/// # Errors
/// git's words, if the merge could not even start.
pub fn merge_commit_here(worktree: &Path, commit: &Oid) -> Result<MergeHere> {
    let admin_dir = worktree::admin_dir(worktree)?;
    let git = Git::new().in_dir(worktree).retry_locks();
    let output = git.args(["merge", "--no-commit", "--no-ff", "-q", commit.as_str()]).output()?;
    match output.code {
        Some(0) => Ok(MergeHere::Clean),
        _ if operation_in_progress(&admin_dir) == Some("a merge") => Ok(MergeHere::Conflicts),
        _ => Err(output.to_error("merge").into()),
    }
}

/// What is staged, by path: mode and object id.
pub type Staged = BTreeMap<Text, Vec<u8>>;

/// What is staged in a worktree and does not collide.
///
/// # Errors
/// If git can't tell.
pub fn staged(worktree: &Path) -> Result<Staged> {
    let listed = Git::new().in_dir(worktree).args(["ls-files", "-s", "-z"]).ok()?;
    // `mode object stage TAB path NUL`
    let entry = |line: &[u8]| {
        let (meta, path) = line.split_once_str("\t")?;
        meta.strip_suffix(b" 0").map(|meta| (Text::from(path), meta.to_vec()))
    };
    Ok(split_nul(&listed).filter_map(entry).collect())
}

/// Paths that are staged otherwise than before, but for those that collided.
pub fn changed_beside(before: &Staged, after: &Staged, collided: &[Text]) -> Vec<Text> {
    let paths: BTreeSet<&Text> = before.keys().chain(after.keys()).collect();
    let differs = |path: &&&Text| before.get(**path) != after.get(**path) && !collided.contains(path);
    paths.iter().filter(differs).map(|path| (*path).clone()).collect()
}

/// Stages what is changed in tracked files.
///
/// # Errors
/// git's words.
pub fn stage_tracked(worktree: &Path) -> Result<()> {
    Git::new().in_dir(worktree).retry_locks().args(["add", "-u", "--", ":/"]).ok()?;
    Ok(())
}

/// The tree of what is staged.
///
/// # Errors
/// git's words, if something collides, for instance.
pub fn write_index_tree(worktree: &Path) -> Result<Oid> {
    parse_oid(&Git::new().in_dir(worktree).retry_locks().arg("write-tree").ok()?)
}

/// Lets `rerere` record how the conflicts of the merge under way were settled, where the user has it.
///
/// # Errors
/// git's words.
pub fn record_resolution(worktree: &Path) -> Result<()> {
    Git::new().in_dir(worktree).arg("rerere").ok()?;
    Ok(())
}

/// Puts a linked worktree on the branch at this commit, whatever was under way there. Files that git neither
/// tracks nor ignores are removed.
///
/// # Errors
/// git's words.
pub fn reset_branch_here(worktree: &Path, branch_short: &Text, commit: &Oid) -> Result<()> {
    let admin_dir = worktree::admin_dir(worktree)?;
    let git = || {
        let git = Git::new().work_tree(worktree, &admin_dir).retry_locks();
        git.args(["-c", "core.hooksPath=/dev/null"])
    };
    if head(&admin_dir)? != Head::Branch(full_branch_name(branch_short)) {
        git().args(["symbolic-ref", "HEAD"]).arg(full_branch_name(branch_short).as_os_str()).ok()?;
    }
    git().args(["reset", "--hard", "-q", "--no-recurse-submodules", commit.as_str()]).ok()?;
    git().args(["clean", "-ffdq"]).ok()?;
    Ok(())
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
