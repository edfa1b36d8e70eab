//! What a new worktree gets beside its checkout: the ignored files that `.worktreeinclude` and
//! `parallel.include` name.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Context;
use crate::git;
use crate::run::{Task, Text, name_some};
use crate::{store, sys};

/// Brings the included files into the task's worktree. Gives what could not be brought, in words.
///
/// # Errors
/// If the worktree can't be written, or the run is to stop.
pub(super) fn bring(context: &Context, task: &Task) -> Result<Option<String>> {
    let path = task.spec.worktree.as_path();
    let (Some(from), Some(spare)) = (context.repo.main_worktree.as_deref(), spare(path)) else {
        return Ok(None);
    };
    let beside = context.worktree_dir().unwrap_or(path);
    let files = match git::included(&context.repo, &context.spec.include, path, beside) {
        Ok(files) if files.is_empty() => return Ok(None),
        Ok(files) => files,
        Err(e) => return Ok(Some(format!("no ignored file was brought along: {e:#}"))),
    };
    let files: Vec<PathBuf> = files.iter().map(Text::to_path_buf).collect();
    let goes_on = || context.stopping.borrow().is_none();
    let skipped =
        sys::bring(from, path, &spare, &files, goes_on).context("cannot bring ignored files along")?;
    let Some((_, why)) = skipped.first() else { return Ok(None) };
    let names: Vec<Text> = skipped.iter().map(|(path, _)| path.as_path().into()).collect();
    Ok(Some(format!("not brought along: {} ({why})", name_some(&names))))
}

/// Writes down which ignored files are in the worktree before the agent is: what it does not touch of them
/// does not keep the worktree from being removed.
///
/// # Errors
/// If git can't tell, or it can't be written.
pub(super) fn remember(context: &Context, task: &Task) -> Result<()> {
    let path = task.spec.worktree.as_path();
    let record = context.dir.ignored(task.name());
    let files = git::ignored_files(path, &context.disposable)?;
    store::remember_files(&record, path, &files).with_context(|| format!("cannot write {}", record.display()))
}

/// Removes what a crash left of [`bring`].
pub(super) fn discard(task: &Task) {
    if let Some(spare) = spare(task.spec.worktree.as_path()) {
        // If it can't be, the next attempt tells why.
        let _ = sys::discard(&spare);
    }
}

/// Where a file is while it is copied: beside the worktree, where git does not see it. No task's name begins
/// with a dot.
fn spare(worktree: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(worktree.file_name()?);
    name.push(".include");
    Some(worktree.with_file_name(name))
}
