//! Conflicts that settle themselves: by resolutions that `git rerere` has recorded, and by making generated
//! files anew. It is tried in a scratch worktree beside the tasks'; where it fails, the conflict is as it was.

use std::path::PathBuf;
use std::sync::PoisonError;

use anyhow::Result;

use super::Context;
use super::command::{self, Command};
use super::trouble::words;
use crate::git::{self, Scratch, Wish};
use crate::run::{Oid, Regenerate, Strategy, Task, Text, name_some};

/// What became of a conflict.
pub(super) enum Settled {
    /// The merge has this tree; and how it came to be, in words.
    Tree(Oid, String),
    /// It is a conflict still; and what was tried in vain, in words.
    Not(Option<String>),
}

/// A generator, and those of the conflicts that it is for.
struct Generated<'a> {
    by: &'a Regenerate,
    paths: Vec<Text>,
}

/// Tries to settle the conflict of a merge, whose sides collide in `conflicts`.
pub(super) fn settle(context: &Context, task: &Task, wish: &Wish, conflicts: &[Text]) -> Settled {
    // Commit by commit there is no one merge to settle, and what landed squashed before is no part of it.
    if !matches!(wish.strategy, Strategy::Merge | Strategy::Squash) || !wish.landed.is_empty() {
        return Settled::Not(None);
    }
    try_settle(context, task, wish.onto, wish.tip, conflicts)
        .unwrap_or_else(|e| Settled::Not(Some(format!("it could not settle itself: {}", words(context, &e)))))
}

fn try_settle(context: &Context, task: &Task, onto: &Oid, tip: &Oid, conflicts: &[Text]) -> Result<Settled> {
    let generated = generated(context, onto, tip, conflicts)?;
    let is_generated = |path: &Text| generated.iter().any(|files| files.paths.contains(path));
    let rest: Vec<&Text> = conflicts.iter().filter(|path| !is_generated(path)).collect();
    if !rest.is_empty() && !git::has_recorded_resolutions(&context.repo) {
        return Ok(Settled::Not(None));
    }
    let Some(path) = scratch_path(context) else { return Ok(Settled::Not(None)) };
    let _alone = context.settling.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = Scratch::open(&context.repo, &path)?;
    let unmerged = git::merge_in(&scratch, onto, tip)?;
    if unmerged.iter().any(|path| !is_generated(path)) {
        return Ok(Settled::Not(None));
    }
    let mut notes = Vec::new();
    if !rest.is_empty() {
        notes.push(format!("settled by rerere in {}", name_some(rest)));
    }
    for files in &generated {
        git::take_from(&scratch, &context.repo, onto, &files.paths)?;
    }
    for files in &generated {
        match regenerate(context, task, &scratch, files)? {
            Ok(note) => notes.push(note),
            Err(why) => return Ok(Settled::Not(Some(why))),
        }
    }
    Ok(Settled::Tree(git::staged_tree(&scratch)?, notes.join(", ")))
}

/// Which of the conflicts are in generated files; where several patterns match, the first counts.
fn generated<'a>(
    context: &'a Context,
    onto: &Oid,
    tip: &Oid,
    conflicts: &[Text],
) -> Result<Vec<Generated<'a>>> {
    let mut found: Vec<Generated> = Vec::new();
    for by in &context.spec.regenerate {
        // What collides differs on the two sides.
        let mut paths = git::changed_matching(&context.repo, onto, tip, &by.patterns)?;
        let taken = |path: &Text| found.iter().any(|files| files.paths.contains(path));
        paths.retain(|path| conflicts.contains(path) && !taken(path));
        if !paths.is_empty() {
            found.push(Generated { by, paths });
        }
    }
    Ok(found)
}

/// Makes generated files anew in the merge as it stands. `Err`: why not.
fn regenerate(
    context: &Context,
    task: &Task,
    scratch: &Scratch,
    files: &Generated,
) -> Result<Result<String, String>> {
    let mut there = task.clone();
    there.spec.worktree = scratch.path().into();
    let mut env = context.environment(&there);
    let paths: String = files.paths.iter().map(|path| format!("{path}\n")).collect();
    env.push(("GIT_PARALLEL_CONFLICTS".to_owned(), paths.into()));
    let Regenerate { name, patterns, cmd, timeout_ms } = files.by;
    let command = Command { text: cmd, dir: scratch.path(), env, timeout_ms: Some(*timeout_ms) };
    if let Err(why) = command::run(context, &command)? {
        return Ok(Err(format!("parallel.regenerate.{name}.cmd ('{cmd}') failed: {why}")));
    }
    let others = git::stage_matching(scratch, patterns)?;
    let mut note = format!("regenerated {}", name_some(&files.paths));
    if !others.is_empty() {
        note.push_str(&format!(" (what '{cmd}' wrote to {} does not land)", name_some(&others)));
    }
    Ok(Ok(note))
}

/// No task has this name: theirs begin with a letter or a digit.
fn scratch_path(context: &Context) -> Option<PathBuf> {
    Some(context.worktree_dir()?.join(".settle"))
}

/// Removes the scratch worktree: at the end of a run, and before one that was interrupted goes on.
///
/// # Errors
/// If it can't be removed; the error names where it is.
pub(super) fn remove_scratch(context: &Context) -> Result<()> {
    let (Some(path), Some(dir)) = (scratch_path(context), context.worktree_dir()) else { return Ok(()) };
    if git::discard_scratch(&context.repo, &path)? {
        git::prune_parents(&path, dir);
    }
    Ok(())
}
