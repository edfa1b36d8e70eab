//! Looking at what an agent left behind: is it on its branch, whole and committed? And pinning it.
//!
//! Nothing is landed silently that is not exactly a branch with commits on it. What is odd is named,
//! pinned and held for a person.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::trouble::words;
use super::{Context, gates, landed, landing};
use crate::git::{self, Expect, Head, Sight};
use crate::run::{Event, Leftovers, Oid, Task, TaskState, Text, Work, name_some};

/// The pin of what an agent committed and then left behind. Nobody misses it when a record is cleaned up.
pub const ABANDONED: &str = "abandoned";

/// Looks at a task whose agent `ended`, or that a person asked to land.
pub(super) fn collect(context: &Context, task: &Task, ended: gates::Asked) -> Event {
    let name = task.name().clone();
    let event = if task.state == TaskState::Finished {
        try_collect(context, task, ended)
    } else {
        keep(context, task)
    };
    match event {
        Ok(event) => with_warning(context, event),
        Err(e) if task.state == TaskState::Finished => Event::Held {
            task: name,
            reason: format!("its work could not be looked at: {}", words(context, &e)),
            tip: None,
        },
        Err(e) => Event::Collected { task: name, work: Work::default(), note: Some(words(context, &e)) },
    }
}

/// Adds to what was found that some agent changed settings that all worktrees share.
fn with_warning(context: &Context, event: Event) -> Event {
    let changed = context.guard.as_ref().map(|guard| guard.changed(&context.repo)).unwrap_or_default();
    if changed.is_empty() {
        return event;
    }
    let warning = format!("meanwhile somebody changed what all worktrees share: {}", changed.join(", "));
    match event {
        Event::Collected { task, work, note: None } => Event::Collected { task, work, note: Some(warning) },
        Event::Collected { task, work, note: Some(note) } => {
            Event::Collected { task, work, note: Some(format!("{note}; {warning}")) }
        }
        other => other,
    }
}

/// What a failed, timed-out or stopped agent committed is pinned and told; its worktree stays as it is.
fn keep(context: &Context, task: &Task) -> Result<Event> {
    let branch = task.spec.branch_ref();
    if let Some(worktree) = git::worktree_at(&context.repo, task.spec.worktree.as_path())? {
        // A git that was killed leaves them, and the next attempt would stumble over them.
        let elsewhere = context.spec.works_elsewhere();
        git::clear_locks_of_the_dead(&context.repo, &worktree, &branch, elsewhere);
    }
    let tip = git::branch_tip(&context.repo, &branch)?;
    if let Some(tip) = &tip {
        pin(context, task, "tip", tip)?;
    }
    pin_detached(context, task)?;
    let work = match tip {
        Some(tip) => measure(context, task, &tip)?,
        None => Work::default(),
    };
    // What can't be snapshotted is in the worktree all the same, and that stays.
    let (snapshot, note) = match snapshot(context, task) {
        Ok(snapshot) => (snapshot, None),
        Err(e) => (None, Some(format!("its uncommitted files could not be pinned: {e:#}"))),
    };
    Ok(Event::Collected { task: task.name().clone(), work: Work { snapshot, ..work }, note })
}

/// Pins what a detached HEAD in the task's worktree is on: nothing else has it once the worktree is gone.
pub(super) fn pin_detached(context: &Context, task: &Task) -> Result<()> {
    let worktree = git::worktree_at(&context.repo, task.spec.worktree.as_path())?;
    match worktree.map(|worktree| worktree.head) {
        Some(Head::Detached(commit)) => pin(context, task, "detached", &commit),
        _ => Ok(()),
    }
}

/// Pins the uncommitted files of an agent that did not finish, without touching its index or its files.
fn snapshot(context: &Context, task: &Task) -> Result<Option<Oid>> {
    let path = task.spec.worktree.as_path();
    let admin = git::worktree_at(&context.repo, path)?.map(|worktree| worktree.admin_dir);
    let sight = admin.as_deref().map(|admin| git::inspect(path, admin));
    if sight != Some(Sight::Ours) {
        return Ok(None);
    }
    let message = format!("{}: uncommitted files of attempt {}\n", task.name(), task.attempt);
    let snapshot = git::snapshot(path, &message)?;
    if let Some(commit) = &snapshot {
        pin(context, task, "leftovers", commit)?;
    }
    Ok(snapshot)
}

/// Pins what the agent committed and left behind. To be called before its worktree is removed: the reflog
/// that knows it goes with the worktree.
pub(super) fn keep_abandoned(context: &Context, task: &Task) -> Result<()> {
    let path = task.spec.worktree.as_path();
    let Some(worktree) = git::worktree_at(&context.repo, path)? else { return Ok(()) };
    let tip = git::branch_tip(&context.repo, &task.spec.branch_ref())?;
    let target = landing::target_tip(context)?;
    let pins = git::list(&context.repo, &context.pin(task.name(), "").to_string())?;
    let pins = pins.iter().map(|(_, commit)| commit);
    let kept: Vec<&Oid> =
        [tip.as_ref(), target.as_ref(), Some(&context.spec.base)].into_iter().flatten().chain(pins).collect();
    match git::abandoned(&context.repo, &worktree.admin_dir, &kept)? {
        Some(commit) => pin(context, task, ABANDONED, &commit),
        None => Ok(()),
    }
}

fn try_collect(context: &Context, task: &Task, ended: gates::Asked) -> Result<Event> {
    let name = task.name().clone();
    let held = |reason: String, tip: Option<Oid>| Event::Held { task: name.clone(), reason, tip };
    let branch = task.spec.branch_ref();
    let path = task.spec.worktree.as_path();
    let tip = git::branch_tip(&context.repo, &branch)?;
    if let Some(tip) = &tip {
        pin(context, task, "tip", tip)?;
    }
    let admin = git::worktree_at(&context.repo, path)?.map(|worktree| worktree.admin_dir);
    let sight = admin.as_deref().map(|admin| git::inspect(path, admin));
    let admin = match sight {
        Some(Sight::Ours) => admin,
        // A person who lands after removing the worktree knows what they do; an agent may not.
        Some(Sight::Missing) | None if task.land_asked => None,
        odd => return Ok(held(odd_worktree(odd, path), tip)),
    };
    let mut leftovers = 0;
    if let Some(admin) = &admin {
        if let Some(reason) = wrong_head(context, task, admin)? {
            return Ok(held(reason, tip));
        }
        match settle_leftovers(context, task, admin)? {
            Ok(count) => leftovers = count,
            Err(reason) => return Ok(held(reason, tip)),
        }
    }
    let Some(tip) = git::branch_tip(&context.repo, &branch)? else {
        return Ok(held(format!("branch '{}' is gone", task.spec.branch), None));
    };
    pin(context, task, "tip", &tip)?;
    let Some(target) = landing::target_tip(context)? else {
        return Ok(held(format!("branch '{}' is gone", context.spec.target), Some(tip)));
    };
    if task.land_asked
        && let Some(reason) = markers_left(task, path)?
    {
        return Ok(held(reason, Some(tip)));
    }
    let work = Work { leftovers, ..measure(context, task, &tip)? };
    // Hooks may have run for a commit that was made here.
    let over = if leftovers > 0 { context.others.ask() } else { ended };
    let mut reasons: Vec<String> = gates::moved(context, task, over).into_iter().collect();
    if work.commits == 0 && reasons.is_empty() {
        return Ok(Event::NothingToLand { task: name, tip: Some(tip) });
    }
    if let Some(from) = git::merge_bases(&context.repo, &target, &tip)?.first() {
        reasons.extend(gates::look_at_change(context, task, from, &tip)?);
    }
    if !reasons.is_empty() {
        return Ok(held(reasons.join("; "), Some(tip)));
    }
    Ok(Event::Collected { task: name, work, note: None })
}

/// Keeps a commit reachable under `refs/parallel`, whatever happens to its branch. What an earlier look or
/// attempt pinned there stays reachable too.
pub(super) fn pin(context: &Context, task: &Task, what: &str, commit: &Oid) -> Result<()> {
    let pin = context.pin(task.name(), what);
    match git::branch_tip(&context.repo, &pin)? {
        Some(old) if old == *commit => return Ok(()),
        Some(old) if !git::is_ancestor(&context.repo, &old, commit)? => {
            let beside = context.pin(task.name(), &format!("{what}-{}", old.short()));
            git::set_ref(&context.repo, &beside, &old, Expect::Any, "parallel: pin")
                .context("cannot pin its commits")?;
        }
        _ => {}
    }
    git::set_ref(&context.repo, &pin, commit, Expect::Any, "parallel: pin").context("cannot pin its commits")
}

fn odd_worktree(sight: Option<Sight>, path: &Path) -> String {
    let what = match sight {
        Some(Sight::Missing) => "is gone".to_owned(),
        Some(Sight::Symlink) => "was replaced by a symbolic link".to_owned(),
        Some(Sight::Foreign(why)) => format!("is not what it was: {why}"),
        Some(Sight::Ours) | None => "is no worktree of this repository any more".to_owned(),
    };
    format!("its worktree {} {what}; its branch is kept", path.display())
}

/// Why the worktree's HEAD is not where the agent was told to work; its commits are pinned.
fn wrong_head(context: &Context, task: &Task, admin: &Path) -> Result<Option<String>> {
    let branch = &task.spec.branch;
    Ok(match git::head(admin)? {
        Head::Branch(name) if name == task.spec.branch_ref() => {
            match git::branch_tip(&context.repo, &name)? {
                Some(_) => None,
                None => Some(restore_branch(context, task, admin)?),
            }
        }
        Head::Detached(commit) => {
            pin(context, task, "detached", &commit)?;
            let left = format!("its agent left '{branch}' and is on a detached HEAD at {}", commit.short());
            // A rebase detaches HEAD; that it is not finished is what a person has to know.
            Some(match git::operation_in_progress(admin) {
                Some(operation) => format!("{operation} is not finished in its worktree: {left}"),
                None => format!("{left}; {}", to_land_that(task)),
            })
        }
        Head::Branch(name) => {
            if let Some(commit) = git::branch_tip(&context.repo, &name)? {
                pin(context, task, "other-branch", &commit)?;
            }
            Some(format!("its agent left '{branch}' and is on '{}'; {}", short(&name), to_land_that(task)))
        }
    })
}

fn to_land_that(task: &Task) -> String {
    let (path, branch) = (&task.spec.worktree, &task.spec.branch);
    format!("if that is the work, first: git -C {path} checkout -B {branch}")
}

fn short(name: &Text) -> String {
    let name = name.to_string();
    name.strip_prefix("refs/heads/").map(str::to_owned).unwrap_or(name)
}

/// The agent deleted its branch: what HEAD last was is in the worktree's reflog.
fn restore_branch(context: &Context, task: &Task, admin: &Path) -> Result<String> {
    let branch = &task.spec.branch;
    let Some(commit) = git::commits_of_reflog_head(admin)? else {
        return Ok(format!("its agent deleted branch '{branch}'"));
    };
    pin(context, task, "deleted", &commit)?;
    let name = task.spec.branch_ref();
    git::set_ref(&context.repo, &name, &commit, Expect::MustNotExist, "parallel: restore deleted branch")?;
    Ok(format!("its agent deleted branch '{branch}'; it is back at {}", commit.short()))
}

/// Commits what the agent left uncommitted, or says why the task is held.
fn settle_leftovers(context: &Context, task: &Task, admin: &Path) -> Result<Result<u32, String>> {
    let path = task.spec.worktree.as_path();
    if let Some(operation) = git::operation_in_progress(admin) {
        return Ok(Err(format!("{operation} is not finished in its worktree {}", path.display())));
    }
    if git::index_locked(admin) {
        return Ok(Err(format!(
            "git's index is locked in its worktree: {}",
            admin.join("index.lock").display()
        )));
    }
    if git::is_exactly_head(&context.repo, path, admin) {
        return Ok(Ok(0));
    }
    let changes = git::changes(path)?;
    if let Some(nested) = changes.nested.first() {
        return Ok(Err(format!("its worktree holds a repository of its own: {nested}")));
    }
    if changes.is_empty() {
        return Ok(Ok(0));
    }
    if context.spec.leftovers == Leftovers::Refuse || task.land_asked {
        return Ok(Err(format!(
            "its worktree has uncommitted changes: {}",
            name_some(changes.tracked.iter().chain(&changes.unmerged).chain(&changes.untracked))
        )));
    }
    let message = format!(
        "{}: uncommitted work of the agent\n\nCommitted by git parallel, run {}.",
        task.name(),
        context.spec.id
    );
    Ok(Ok(git::commit_leftovers(path, &message)?.unwrap_or(0)))
}

/// A conflict that was settled by committing its markers is not settled.
fn markers_left(task: &Task, path: &Path) -> Result<Option<String>> {
    let paths: Vec<Text> = task.conflicts.iter().map(|conflict| conflict.path.clone()).collect();
    let left = git::has_conflict_markers(path, &paths)?;
    Ok(left.first().map(|first| format!("conflict markers are left in {first}")))
}

/// What a tip holds beyond the target, measured from where they parted.
fn measure(context: &Context, task: &Task, tip: &Oid) -> Result<Work> {
    let Some(target) = landing::target_tip(context)? else {
        return Ok(Work { tip: Some(tip.clone()), ..Work::default() });
    };
    // Of this run's own landings that is known only once it is merged.
    let landed = landed::before(context, &target, tip, &[])?;
    // In an atomic run that is a candidate, which the target does not have yet.
    let start = match &task.start {
        Some(start) if git::is_ancestor(&context.repo, start, tip)? => Some(start),
        _ => None,
    };
    let known: Vec<&Oid> = landed.iter().chain([&target]).chain(start).collect();
    let commits = git::count_commits(&context.repo, tip, &known)?;
    let from = match landed.into_iter().last() {
        Some(landed) => Some(landed),
        None => git::merge_bases(&context.repo, start.unwrap_or(&target), tip)?.into_iter().next(),
    };
    let stat = match &from {
        Some(from) if commits > 0 => git::diff_stat(&context.repo, from, tip)?,
        _ => Default::default(),
    };
    Ok(Work {
        tip: Some(tip.clone()),
        commits,
        files: stat.files,
        insertions: stat.insertions,
        deletions: stat.deletions,
        leftovers: 0,
        snapshot: None,
    })
}
