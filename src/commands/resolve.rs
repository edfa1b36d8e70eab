//! `git parallel resolve`.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::narrate;
use super::place::{Place, known_task};
use crate::cli::ResolveArgs;
use crate::engine::Context;
use crate::error::{Failure, exit};
use crate::git::{self, MergeHere, NewBranch};
use crate::run::{Run, RunSpec, Strategy, Task, TaskState, Text};
use crate::ui;

/// Puts the conflict into the task's own worktree and lets somebody settle it there.
pub fn resolve(args: &ResolveArgs) -> Result<u8> {
    let place = Place::open()?;
    let loaded = place.load(None)?;
    let run = &loaded.run;
    let name = known_task(run, &args.task)?;
    let task = run.task(&name).context("the task is gone")?.clone();
    check_state(run, &task)?;
    let path = task.spec.worktree.to_path_buf();
    ensure_worktree(&place, &task, &path)?;
    let context = Context::new(place.repo, run.spec.clone(), loaded.dir, Vec::new());
    if !begin(&context, &task, &path)? {
        narrate(&format!("{name} {} by now.\n", clean_words(&run.spec)));
        return settled(&task);
    }
    let what = if is_rebase(&path)? { "rebase onto" } else { "merge of" };
    narrate(&format!("The {what} {} is in {}; resolve it there.\n", run.spec.target, path.display()));
    loop {
        let paths = open_paths(&task, &path)?;
        let finished = open_resolver(args, &context, &task, &path, &paths)?;
        if conclude(&task, &path, &paths, finished)? == MergeHere::Clean {
            return settled(&task);
        }
        narrate("That commit is done; the next one has a conflict too.\n");
    }
}

fn clean_words(spec: &RunSpec) -> String {
    match spec.strategy {
        Strategy::Rebase => format!("is rebased cleanly onto {}", spec.target),
        _ => format!("merges cleanly with {}", spec.target),
    }
}

fn is_rebase(path: &Path) -> Result<bool> {
    Ok(git::operation_in_progress(&git::admin_dir(path)?) == Some("a rebase"))
}

/// What has to be settled: what git says in the worktree, or what was found when it should have landed.
fn open_paths(task: &Task, path: &Path) -> Result<Vec<Text>> {
    let unmerged = git::changes(path)?.unmerged;
    let known = task.conflicts.iter().map(|conflict| conflict.path.clone());
    Ok(if unmerged.is_empty() { known.collect() } else { unmerged })
}

fn check_state(run: &Run, task: &Task) -> Result<()> {
    if task.state == TaskState::Conflicted && task.working && run.finished_at.is_none() {
        let message =
            format!("the conflict of task '{}' is being settled by the run's resolver", task.name());
        return Err(Failure::new(exit::FAILURE, message)
            .hint("see how far it is: git parallel status")
            .into());
    }
    let resolvable = match task.state {
        TaskState::Conflicted => true,
        TaskState::Held => !task.conflicts.is_empty(),
        _ => false,
    };
    if resolvable {
        return Ok(());
    }
    let message = format!("task '{}' ({}) has no conflict to resolve", task.name(), task.state);
    let failure = Failure::new(exit::FAILURE, message);
    let land = matches!(task.state, TaskState::Finished | TaskState::Held);
    let hint = match (land, run.finished_at) {
        (true, _) => format!("to land it: git parallel land {}", task.name()),
        (false, None) => "the run goes on; see how far it is: git parallel status".to_owned(),
        (false, Some(_)) => "see where the tasks stand: git parallel status".to_owned(),
    };
    Err(failure.hint(hint).into())
}

/// Somebody may have removed the worktree; the branch is enough to make it again.
fn ensure_worktree(place: &Place, task: &Task, path: &Path) -> Result<()> {
    if git::worktree_at(&place.repo, path)?.is_some_and(|w| w.is_present()) {
        return Ok(());
    }
    let branch = task.spec.branch_ref();
    let tip = git::branch_tip(&place.repo, &branch)?
        .with_context(|| format!("branch '{}' is gone", task.spec.branch))?;
    git::add(&place.repo, path, &branch, &tip, NewBranch::Existing)?;
    if let Some(note) = git::checkout(&place.repo, path)? {
        narrate(&format!("warning: {}\n", ui::one_line(&note)));
    }
    Ok(())
}

/// Starts the merge, or the rebase of a run that lands so, unless it is under way; `false` if there is
/// nothing to resolve in it.
fn begin(context: &Context, task: &Task, path: &Path) -> Result<bool> {
    let admin = git::admin_dir(path)?;
    let rebases = context.spec.strategy == Strategy::Rebase;
    match git::operation_in_progress(&admin) {
        Some("a merge") => return Ok(true),
        Some("a rebase") if rebases => return Ok(true),
        Some(other) => {
            let message = format!("{other} is in progress in {}", path.display());
            return Err(Failure::new(exit::REFUSED, message)
                .safe("Nothing was changed.")
                .hint(format!("finish or abort it there first: git -C {} status", quoted(path)))
                .into());
        }
        None => {}
    }
    let changes = git::changes(path)?;
    if let Some(first) = changes.unmerged.iter().chain(&changes.tracked).next() {
        let message = format!("{} has uncommitted changes: {first}", path.display());
        return Err(Failure::new(exit::REFUSED, message)
            .safe("Nothing was changed.")
            .hint(format!("commit or stash them there first, then: git parallel resolve {}", task.name()))
            .into());
    }
    let begun = match rebases {
        true => git::rebase_here(path, &context.spec.target)?,
        false => git::merge_here(path, &context.spec.target)?,
    };
    Ok(begun == MergeHere::Conflicts)
}

/// Runs the resolver in the worktree; whether it said that it is done.
fn open_resolver(
    args: &ResolveArgs,
    context: &Context,
    task: &Task,
    path: &Path,
    paths: &[Text],
) -> Result<bool> {
    let mut environment = context.environment(task);
    let list: String = paths.iter().map(|path| format!("{path}\n")).collect();
    environment.push(("GIT_PARALLEL_CONFLICTS".to_owned(), Text::from(list)));
    let shell = std::env::var_os("SHELL").filter(|s| !s.is_empty()).unwrap_or_else(|| "/bin/sh".into());
    let argv: Vec<std::ffi::OsString> = match args.with.as_deref() {
        None => vec![shell],
        Some("mergetool") => {
            ["git", "-c", "mergetool.keepBackup=false", "mergetool"].map(Into::into).to_vec()
        }
        Some(command) => vec!["sh".into(), "-c".into(), command.into()],
    };
    if args.with.is_none() {
        narrate("Commit the result, or leave it staged, and leave the shell: exit\n");
    }
    let status = crate::sys::run_in_foreground(&argv, path, &environment, &git::LOCAL_ENV_VARS)
        .with_context(|| format!("cannot run {}", Path::new(&argv[0]).display()))?;
    // A shell's exit code is that of the last command typed; it says nothing.
    Ok(args.with.is_none() || status.success())
}

/// Looks at what the resolver left, and concludes the merge if nothing is open, or goes on with the rebase.
fn conclude(task: &Task, path: &Path, paths: &[Text], finished: bool) -> Result<MergeHere> {
    let what = if is_rebase(path)? { "rebase" } else { "merge" };
    let open = |message: String| {
        Failure::new(exit::FAILURE, message)
            .safe(format!("The {what} is still in {}.", path.display()))
            .hint(format!("go on: git parallel resolve {}", quoted_name(task)))
            .hint(format!("give it up: git -C {} {what} --abort", quoted(path)))
    };
    let unmerged = git::changes(path)?.unmerged;
    let marked = git::has_conflict_markers(path, paths)?;
    if let Some(first) = unmerged.first().or(marked.first()) {
        return Err(open(format!("'{}' is not resolved yet: see {first}", task.name())).into());
    }
    if !finished {
        return Err(open("the resolver failed".to_owned()).into());
    }
    match git::operation_in_progress(&git::admin_dir(path)?) {
        Some("a merge") => git::conclude_merge(path).map(|()| MergeHere::Clean),
        Some("a rebase") => git::continue_rebase(path),
        _ => Ok(MergeHere::Clean),
    }
}

fn settled(task: &Task) -> Result<u8> {
    narrate(&format!("Resolved. To land it: git parallel land {}\n", quoted_name(task)));
    Ok(exit::OK)
}

fn quoted(path: &Path) -> String {
    ui::quote(&path.into())
}

fn quoted_name(task: &Task) -> String {
    ui::quote(&task.name().0.as_str().into())
}
