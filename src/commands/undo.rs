//! `git parallel undo`.

use anyhow::{Context as _, Result};

use super::place::{Place, nearest_run};
use super::{narrate, print, ways};
use crate::cli::UndoArgs;
use crate::engine::Context;
use crate::engine::undo::{Undo, prospect};
use crate::error::{Failure, exit};
use crate::git;
use crate::run::{Run, RunId, Task};
use crate::store::{self, Holder, Journal, Loaded};
use crate::ui;

/// Takes a run's landings back off its target.
pub fn undo(args: &UndoArgs) -> Result<u8> {
    let place = Place::open()?;
    let holder = |run: Option<RunId>| Holder::this_process("undo", run, 0, 0);
    // Before a run is chosen: one that goes on may land something yet.
    let mut lock = place.lock(&holder(None))?;
    let id = choose(&place, args.run.as_deref())?;
    lock.describe(&holder(Some(id.clone())))?;
    let Loaded { run, dir, tail } = place.load(Some(&id.0))?;
    refuse_interrupted(&place, &run)?;
    git::check_identity(&place.repo)?;
    let look = ways::plain_settings(&place.config)?.stdout;
    let disposable = place.disposable();
    let context = Context::new(place.repo, run.spec.clone(), dir.clone(), disposable).with_more_files();
    let check = run.spec.verify.as_ref().filter(|_| !args.no_verify).map(|v| v.command.to_string());
    if args.dry_run {
        let prospect = prospect(&context, &run, true)?;
        print(&ui::undo(&run, &prospect, true, check.as_deref(), &look))?;
        return Ok(exit::OK);
    }
    let journal = Journal::open(&dir.journal(), tail)
        .with_context(|| format!("cannot open {}", dir.journal().display()))?;
    let tell = |line: &str| narrate(&format!("{line}\n"));
    let (prospect, run) = Undo::new(context, run, journal, &tell).drive(check.is_some())?;
    drop(lock);
    print(&ui::undo(&run, &prospect, false, None, &look))?;
    Ok(exit::OK)
}

fn has_landed(run: &Run) -> bool {
    run.tasks.iter().any(|task| task.landed().is_some())
}

/// The run that is named; or the one whose undo was cut off; or the latest that landed something.
fn choose(place: &Place, name: Option<&str>) -> Result<RunId> {
    let ids = store::list(&place.layout)?;
    if let Some(name) = name {
        let known = ids.iter().find(|id| id.0 == name).cloned();
        let id = known.ok_or_else(|| no_record(name, nearest_run(name, &ids)))?;
        return match has_landed(&store::load(&place.layout, &id)?.run) {
            true => Ok(id),
            false => Err(Failure::new(
                exit::FAILURE,
                format!("run {id} has landed nothing: there is nothing to undo"),
            )
            .hint("see what became of its tasks: git parallel status")
            .into()),
        };
    }
    let (mut known, mut latest) = (Vec::new(), None);
    for id in ids.iter().rev() {
        match store::load(&place.layout, id) {
            Ok(loaded) => known.push(loaded.run),
            // It may be the one that is meant.
            Err(e) if latest.is_none() => return Err(e),
            Err(_) => continue,
        }
        latest = latest.or_else(|| known.iter().position(has_landed));
    }
    let cut_off = known.iter().position(|run| run.undoing.is_some());
    let run = &known[cut_off.or(latest).ok_or_else(nothing_landed)?];
    refuse_unknown_landing(place, run, &known)?;
    Ok(run.spec.id.clone())
}

fn no_record(id: &str, near: Option<String>) -> anyhow::Error {
    Failure::new(exit::FAILURE, format!("there is no record of a run '{}'", ui::one_line(id)))
        .safe("Nothing was changed.")
        .hint(near.unwrap_or_else(|| "see which there are: git parallel list".to_owned()))
        .hint(BY_HAND)
        .into()
}

fn nothing_landed() -> anyhow::Error {
    Failure::new(exit::FAILURE, "no run that has a record here has landed anything: there is nothing to undo")
        .hint(BY_HAND)
        .into()
}

const BY_HAND: &str = "without a record ('git parallel cleanup' removes it): find the landings by git log \
                       --first-parent, the latest first, and git revert each, with -m 1 if it is a merge";

/// Who names no run means what landed last; if the record of that is gone, an older run is not it.
fn refuse_unknown_landing(place: &Place, run: &Run, known: &[Run]) -> Result<()> {
    let Some(last) = git::last_landing(&place.repo, &run.spec.target_ref()) else { return Ok(()) };
    let is_known = |task: &Task| task.landed().is_some_and(|landing| landing.commit == last);
    if known.iter().flat_map(|run| &run.tasks).any(is_known) {
        return Ok(());
    }
    let (target, id) = (ui::name(run.spec.target.as_bstr()), &run.spec.id);
    let message = format!("the run that landed last on {target} ({}) has no record any more", last.short());
    Err(Failure::new(exit::FAILURE, message)
        .safe("Nothing was changed.")
        .hint(BY_HAND)
        .hint(format!("to undo the latest run that has one: git parallel undo {id}"))
        .into())
}

/// What is half done must be settled first, whichever run it is of; but an undo goes on with its own.
fn refuse_interrupted(place: &Place, run: &Run) -> Result<()> {
    if run.undoing.is_none() {
        place.refuse_interrupted(run)?;
    }
    for id in store::list(&place.layout)?.iter().filter(|id| **id != run.spec.id) {
        if let Ok(loaded) = store::load(&place.layout, id) {
            place.refuse_interrupted(&loaded.run)?;
        }
    }
    Ok(())
}

/// Says of a task that landed and was undone why it can't land again, and what to do instead.
pub fn why_not_again(run: &Run, task: &Task) -> Option<anyhow::Error> {
    let (commit, target) = (task.undone.as_ref()?.short(), ui::name(run.spec.target.as_bstr()));
    let safe = match task.landing.as_ref() {
        Some(landing) if landing.how.leaves_commits() => "The commits of its branch are kept.".to_owned(),
        _ => format!("To git, {target} has its commits still: they would not land a second time."),
    };
    let message = format!("task '{}' has landed, and its landing was undone by {commit}", task.name());
    Some(
        Failure::new(exit::FAILURE, message)
            .safe(safe)
            .hint(format!("to bring back what it landed, in a checkout of {target}: git revert {commit}"))
            .into(),
    )
}
