//! `git parallel cleanup`.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use super::place::{Place, known_tasks};
use super::print;
use crate::cli::CleanupArgs;
use crate::engine::ssh::{self, Strays};
use crate::engine::{self, Context};
use crate::error::exit;
use crate::git;
use crate::run::{CleanUp, Event, Landing, Oid, Record, Run, RunId, Task, TaskName, Text, name_some};
use crate::store::{self, Holder, Journal, Loaded};
use crate::ui;

/// Removes what is safe to remove and says why the rest stays.
pub fn cleanup(args: &CleanupArgs) -> Result<u8> {
    let place = Place::open()?;
    let _lock = place.lock(&Holder::this_process("cleanup", None, 0, 0))?;
    let ids: Vec<RunId> = if args.all {
        store::list(&place.layout)?
    } else {
        vec![place.load(args.run.as_deref())?.run.spec.id]
    };
    for id in ids {
        clean_run(&place, args, &id)?;
    }
    Ok(exit::OK)
}

fn clean_run(place: &Place, args: &CleanupArgs, id: &RunId) -> Result<()> {
    let Loaded { mut run, dir, tail } = place.load(Some(&id.0))?;
    place.refuse_interrupted(&run)?;
    let chosen = known_tasks(&run, &args.tasks)?;
    let context = Context::new(place.repo.clone(), run.spec.clone(), dir.clone(), place.disposable());
    let tasks: Vec<Task> =
        run.tasks.iter().filter(|t| chosen.is_empty() || chosen.contains(t.name())).cloned().collect();
    let mut journal = None;
    for task in &tasks {
        if !has_anything(&context, task) {
            continue;
        }
        let cleanup = remove(&context, task, args)?;
        print(&told(task, &cleanup, args.dry_run))?;
        if args.dry_run {
            continue;
        }
        let record =
            Record { at: Timestamp::now(), event: Event::CleanedUp { task: task.name().clone(), cleanup } };
        let journal = match &mut journal {
            Some(journal) => journal,
            none => none.insert(Journal::open(&dir.journal(), tail).context("cannot open the journal")?),
        };
        journal.append(&record).and_then(|()| journal.sync()).context("cannot write the journal")?;
        run.apply(&record)?;
    }
    let context = Arc::new(context);
    let mut far = 0;
    for task in tasks.iter().filter(|_| !args.dry_run) {
        far += clean_hosts(&context, task, args.force)?;
    }
    if chosen.is_empty() && far > 0 {
        return print(&format!("kept the record of run {id}: hosts still have some of it\n"));
    }
    if chosen.is_empty() {
        remove_record(&context, &run, args.dry_run)?;
    }
    Ok(())
}

/// Removes what hosts still have of a task; gives how much stays, and says why.
fn clean_hosts(context: &Arc<Context>, task: &Task, force: bool) -> Result<usize> {
    let Strays { left, kept } = ssh::end_strays(context, &task.spec, force);
    let name = task.name();
    for place in &left {
        print(&format!("kept {name} on {}\n", ui::one_line(place)))?;
    }
    for place in &kept {
        let why = "it has what was not brought here; to remove it";
        let place = ui::one_line(place);
        print(&format!("kept {name} on {place}: {why}: git parallel cleanup --force {name}\n"))?;
    }
    Ok(left.len() + kept.len())
}

fn has_anything(context: &Context, task: &Task) -> bool {
    let worktree = task.worktree_created && task.spec.worktree.as_path().symlink_metadata().is_ok();
    let branch =
        task.branch_created && matches!(git::branch_tip(&context.repo, &task.spec.branch_ref()), Ok(Some(_)));
    worktree || branch
}

fn remove(context: &Context, task: &Task, args: &CleanupArgs) -> Result<CleanUp> {
    match (args.force, args.dry_run) {
        (true, false) => engine::remove_task_by_force(context, task),
        (true, true) => Ok(CleanUp { worktree_kept: None, branch_kept: None }),
        (false, false) => Ok(engine::remove_task(context, task)),
        (false, true) => Ok(engine::would_remove_task(context, task)),
    }
}

fn told(task: &Task, cleanup: &CleanUp, dry_run: bool) -> String {
    let verb = if dry_run { "would remove" } else { "removed" };
    let name: &TaskName = task.name();
    let branch = ui::name(task.spec.branch.as_bstr());
    let path = ui::name(task.spec.worktree.as_bstr());
    let why = |reason: &str| ui::one_line(reason);
    match (&cleanup.worktree_kept, &cleanup.branch_kept) {
        (None, None) => format!("{verb} {name}: worktree {path} and branch {branch}\n"),
        (None, Some(reason)) => {
            format!("{verb} {name}: worktree {path}; kept branch {branch}: {}\n", why(reason))
        }
        (Some(reason), _) => format!("kept {name}: worktree {path} and branch {branch}: {}\n", why(reason)),
    }
}

/// What an agent itself amended or reset away goes with the record.
fn is_abandoned(pin: &[u8]) -> bool {
    pin.starts_with(engine::ABANDONED.as_bytes())
}

/// The task whose tip this is, if its changes landed as other commits.
fn landed_otherwise<'a>(run: &'a Run, commit: &Oid) -> Option<&'a Task> {
    let is_it = |landing: &Landing| landing.how.leaves_commits() && landing.tip == *commit;
    run.tasks.iter().find(|task| task.landed().is_some_and(is_it))
}

/// The record is all that keeps what agents committed themselves, so it is for the user to let that go.
fn keeps_commits(run: &Run, tasks: &[Text]) -> String {
    let (id, tasks) = (&run.spec.id, ui::one_line(&name_some(tasks)));
    let how = run.spec.strategy.name();
    format!(
        "kept the record of run {id}: it alone has the commits that landed by {how}: {tasks}\n  \
         to let them go, and then the record: \
         git for-each-ref --format='delete %(refname)' refs/parallel/{id}/ | git update-ref --stdin\n"
    )
}

/// A run of which nothing is left, and whose commits are all on branches, needs no record and no pins.
fn remove_record(context: &Context, run: &Run, dry_run: bool) -> Result<()> {
    let id = &run.spec.id;
    let left = run.tasks.iter().find(|task| has_anything(context, task));
    if let Some(task) = left {
        return print(&format!("kept the record of run {id}: {} is still there\n", task.name()));
    }
    let prefix = format!("refs/parallel/{id}/");
    let pins = git::list(&context.repo, &prefix)?;
    let mut branches = git::list(&context.repo, "refs/heads/")?;
    // Most of it is on the target, so that is asked first.
    branches.sort_by_key(|(name, _)| *name != run.spec.target_ref());
    let mut by_record = Vec::new();
    for (pin, commit) in &pins {
        let abandoned = pin.as_bstr().rsplit(|&b| b == b'/').next().is_some_and(is_abandoned);
        let mut held = abandoned;
        for (_, tip) in &branches {
            held = held || git::is_ancestor(&context.repo, commit, tip)?;
        }
        match landed_otherwise(run, commit) {
            _ if held => {}
            Some(task) => by_record.push(Text::from(task.name().0.as_str())),
            None => {
                let pin = ui::name(pin.as_bstr());
                return print(&format!("kept the record of run {id}: only {pin} holds {}\n", commit.short()));
            }
        }
    }
    if !by_record.is_empty() {
        return print(&keeps_commits(run, &by_record));
    }
    if dry_run {
        return print(&format!("would remove the record of run {id}\n"));
    }
    for (pin, commit) in &pins {
        git::delete_ref(&context.repo, pin, commit)?;
    }
    let dir = context.dir.dir();
    std::fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    print(&format!("removed the record of run {id}\n"))
}
