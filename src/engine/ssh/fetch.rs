//! Bringing back what a job left, so that all is here as if its agent had worked here.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use anyhow::{Context as _, Result};

use super::super::{Context, collect};
use super::words::Left;
use crate::git::{self, Expect, Standing};
use crate::run::{Oid, Task, Text};

/// Takes what a job left into the repository, and puts its files into the task's worktree. May be done again where it
/// was cut off. `before` is how the worktree stood here when the job began.
///
/// # Errors
/// If something is missing, or can't be written. What was pinned before stays so.
pub(super) fn take(
    context: &Context,
    task: &Task,
    host: &str,
    (left, pack): (&Left, File),
    before: Option<&Standing>,
) -> Result<()> {
    let branch = task.spec.branch_ref();
    let mut had = before.map(Standing::needed).unwrap_or_default();
    had.push(context.base_of(task).clone());
    let tip = take_objects(context, task, (left, pack), &had)?;
    let path = task.spec.worktree.as_path();
    keep_what_is_here(context, task, &tip, (before, &left.standing))?;
    if left.trouble.is_some() {
        // Its files can't be had; its commits can.
        return put_branch(context, &branch, tip.as_ref());
    }
    let worktree = git::worktree_at(&context.repo, path)?
        .with_context(|| format!("{} is no worktree of this repository any more", path.display()))?;
    git::clear_locks_of_the_dead(&context.repo, &worktree, &branch, context.spec.works_elsewhere());
    let mut standing = left.standing.clone();
    let is_on_it = standing.branch.as_ref() == Some(&branch);
    if !is_on_it {
        // Another branch of its agent's is none of ours.
        standing.branch = None;
    }
    git::put(path, &standing, &format!("parallel: from {host}"))?;
    git::add_reflog(path, &left.reflog)?;
    if is_on_it { Ok(()) } else { put_branch(context, &branch, tip.as_ref()) }
}

/// Takes its objects, and pins its commits; gives the tip of the task's branch.
fn take_objects(
    context: &Context,
    task: &Task,
    (left, pack): (&Left, File),
    had: &[Oid],
) -> Result<Option<Oid>> {
    let common = &context.repo.common_dir;
    git::unpack(common, pack)?;
    let mut commits = left.standing.needed();
    commits.extend(left.refs.iter().map(|(_, commit)| commit.clone()));
    git::check_whole(common, &commits, had)?;
    let branch = task.spec.branch_ref();
    let mut tip = None;
    for (name, commit) in &left.refs {
        if *name == branch {
            tip = Some(commit.clone());
            collect::pin(context, task, "tip", commit)?;
        } else if *name != context.spec.target_ref() || commit != context.base_of(task) {
            collect::pin(context, task, "other-branch", commit)?;
        }
    }
    Ok(tip)
}

/// Takes the objects of a job that does not count, and pins its commits under this name and the like; returns whether
/// there are any.
pub(super) fn pin_apart(context: &Context, name: &Text, (left, pack): (&Left, File)) -> Result<bool> {
    git::unpack(&context.repo.common_dir, pack)?;
    let mut commits: Vec<Oid> = left.standing.files.iter().chain(&left.standing.commit).cloned().collect();
    for (_, commit) in &left.refs {
        if !commits.contains(commit) {
            commits.push(commit.clone());
        }
    }
    git::check_whole(&context.repo.common_dir, &commits, std::slice::from_ref(&context.spec.base))?;
    let mut kept: Vec<Oid> = vec![context.spec.base.clone()];
    for commit in commits {
        let mut known = false;
        for other in &kept {
            known = known || git::is_ancestor(&context.repo, &commit, other)?;
        }
        if !known {
            let number = kept.len();
            let pin = if number == 1 { name.clone() } else { Text::from(format!("{name}-{number}")) };
            git::set_ref(&context.repo, &pin, &commit, Expect::Any, "parallel: pin")?;
            kept.push(commit);
        }
    }
    Ok(kept.len() > 1)
}

/// Pins what somebody did in the worktree here, or on its branch, while the job was elsewhere.
fn keep_what_is_here(
    context: &Context,
    task: &Task,
    tip: &Option<Oid>,
    (before, after): (Option<&Standing>, &Standing),
) -> Result<()> {
    let known = before.and_then(|standing| standing.commit.as_ref());
    if let Some(here) = git::branch_tip(&context.repo, &task.spec.branch_ref())?
        && known != Some(&here)
        && tip.as_ref() != Some(&here)
    {
        collect::pin(context, task, collect::ABANDONED, &here)?;
    }
    let path = task.spec.worktree.as_path();
    if !is_worktree(context, path) {
        return Ok(());
    }
    let message = format!("{}: what was in its worktree while its agent was elsewhere\n", task.name());
    let Some(files) = git::snapshot(path, &message)? else { return Ok(()) };
    let tree = git::tree_of(&context.repo, &files)?;
    let mut is_known = false;
    // Of what was here before, and of what a supervisor that died had put here, there is a copy.
    for known in before.into_iter().chain([after]).filter_map(|standing| standing.files.as_ref()) {
        is_known = is_known || git::tree_of(&context.repo, known)? == tree;
    }
    if is_known { Ok(()) } else { collect::pin(context, task, collect::ABANDONED, &files) }
}

fn is_worktree(context: &Context, path: &Path) -> bool {
    git::worktree_at(&context.repo, path).is_ok_and(|found| found.is_some())
}

/// Puts the task's branch where it was on the host.
fn put_branch(context: &Context, branch: &Text, tip: Option<&Oid>) -> Result<()> {
    match (tip, git::branch_tip(&context.repo, branch)?) {
        (Some(tip), _) => git::set_ref(&context.repo, branch, tip, Expect::Any, "parallel: from a host"),
        (None, Some(here)) => git::delete_ref(&context.repo, branch, &here),
        (None, None) => Ok(()),
    }
}

/// Puts a file, or a link with that target, into a worktree, whole or not at all. Nothing leads it out of there.
///
/// # Errors
/// If it can't be written.
pub(super) fn put_file(top: &Path, path: &Text, mode: Option<u32>, mut content: File) -> Result<()> {
    let (place, relative) = (top.join(path.as_path()), path.as_path());
    let cannot = || format!("cannot write {}", place.display());
    let plain = |part: Component| matches!(part, Component::Normal(_));
    let parent = place.parent().filter(|_| relative.components().all(plain)).with_context(cannot)?;
    for dir in relative.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
        let odd = top.join(dir).symlink_metadata().is_ok_and(|meta| !meta.is_dir());
        anyhow::ensure!(!odd, "cannot write {}: {} is no directory", place.display(), dir.display());
    }
    std::fs::create_dir_all(parent).with_context(cannot)?;
    let Some(mode) = mode else {
        let mut target = Vec::new();
        content.read_to_end(&mut target)?;
        match std::fs::remove_file(&place) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e).with_context(cannot),
            _ => {}
        }
        return std::os::unix::fs::symlink(Text::from(target.as_slice()).as_path(), &place)
            .with_context(cannot);
    };
    let permissions = std::fs::Permissions::from_mode(mode & 0o777);
    let file = tempfile::Builder::new().permissions(permissions.clone()).tempfile_in(parent);
    let mut file = file.with_context(cannot)?;
    std::io::copy(&mut content, &mut file).with_context(cannot)?;
    file.as_file().set_permissions(permissions).with_context(cannot)?;
    file.persist(&place).map(drop).map_err(|e| e.error).with_context(cannot)
}
