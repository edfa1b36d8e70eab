//! `git parallel conflicts`.

use std::ffi::OsString;

use anyhow::Result;

use super::place::Place;
use super::ways::{Answer, plain_settings};
use super::{narrate, print};
use crate::cli::ConflictsArgs;
use crate::error::{Failure, exit};
use crate::git::{self, Foresight, Foretold, Head, Leash, Outlook};
use crate::run::{Oid, Run, Task, TaskState, Text, full_branch_name, independent};
use crate::store;
use crate::ui::{self, Collision, Conflicts, Lines};

/// A branch to compare, under the name it was asked for.
struct Branch {
    name: Text,
    tip: Oid,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Local,
    Task,
    Revision,
}

/// What to land them on.
struct Target {
    name: Text,
    tip: Oid,
    is_branch: bool,
}

/// Tells which branches would conflict.
pub fn conflicts(args: &ConflictsArgs) -> Result<u8> {
    let place = Place::open()?;
    tell(args, &place).map_err(|error| match error.is::<Failure>() {
        true => error,
        // 1 means conflicts here.
        false => error.context(Failure::new(exit::REFUSED, "the branches can't be compared")),
    })
}

fn tell(args: &ConflictsArgs, place: &Place) -> Result<u8> {
    let run = latest_run(place)?;
    let asked = asked_for(place, run.as_ref(), &args.branches)?;
    let target = target(args, place, run.as_ref(), &asked)?;
    let branches = match asked {
        Some(asked) => asked.into_iter().filter(|b| !target.is_branch || b.name != target.name).collect(),
        None => whatever_is_open(place, run.as_ref(), &target)?,
    };
    let tips: Vec<Oid> = branches.iter().map(|branch| branch.tip.clone()).collect();
    let foretold = Foresight::default().look(&place.repo, &target.tip, &tips, &Leash::default())?;
    let mut found = put_together(&branches, &target, &foretold);
    found.next = next(place, run.as_ref(), &target, &branches, &found)?;
    if args.nul || args.porcelain {
        let lines = if args.nul { Lines::Nul } else { Lines::Quoted };
        Answer::unpaged().print(&ui::conflicts_porcelain(&found, lines))?;
    } else if args.json {
        print(&format!("{:#}\n", ui::conflicts_json(&found)))?;
    } else {
        print(&ui::conflicts(&found, &plain_settings(&place.config)?.stdout))?;
    }
    Ok(if found.collisions.is_empty() { exit::OK } else { exit::FAILURE })
}

/// The latest run. One whose record can't be read must not keep anybody from comparing branches.
fn latest_run(place: &Place) -> Result<Option<Run>> {
    if store::list(&place.layout)?.is_empty() {
        return Ok(None);
    }
    match place.load(None) {
        Ok(loaded) => Ok(Some(loaded.run)),
        Err(e) => {
            narrate(&format!("warning: {e:#}\n"));
            Ok(None)
        }
    }
}

/// What was named, each once; `None` if nothing was.
fn asked_for(place: &Place, run: Option<&Run>, names: &[OsString]) -> Result<Option<Vec<Branch>>> {
    let mut found: Vec<Branch> = Vec::new();
    for name in names {
        let name = Text::from(name.as_os_str());
        if !found.iter().any(|branch| branch.name == name) {
            found.push(branch(place, run, name)?);
        }
    }
    Ok(Some(found).filter(|found| !found.is_empty()))
}

/// A branch, a task of the run, or any revision, in this order.
fn branch(place: &Place, run: Option<&Run>, name: Text) -> Result<Branch> {
    if let Some(tip) = git::local_branch(&place.repo, &name)? {
        return Ok(Branch { name, tip, kind: Kind::Local });
    }
    let is_it = |task: &&Task| Text::from(task.name().0.as_str()) == name;
    if let Some(task) = run.into_iter().flat_map(|run| &run.tasks).find(is_it) {
        return match git::branch_tip(&place.repo, &task.spec.branch_ref())? {
            Some(tip) => Ok(Branch { name, tip, kind: Kind::Task }),
            None => Err(no_branch(task)),
        };
    }
    match git::resolve(&place.repo, &name) {
        Ok(tip) => Ok(Branch { name, tip, kind: Kind::Revision }),
        Err(e) if e.is::<Failure>() => Err(unknown(place, run, &name)),
        Err(e) => Err(e),
    }
}

fn no_branch(task: &Task) -> anyhow::Error {
    let (name, branch) = (ui::name(task.name().0.as_bytes()), ui::name(task.spec.branch.as_bstr()));
    let message = format!("task '{name}' ({}) has no branch {branch}", task.state);
    Failure::new(exit::REFUSED, message).hint("see where the tasks stand: git parallel status").into()
}

fn unknown(place: &Place, run: Option<&Run>, name: &Text) -> anyhow::Error {
    let tasks = run.into_iter().flat_map(|run| &run.tasks).map(|task| task.name().0.clone());
    let branches = git::list(&place.repo, "refs/heads/").unwrap_or_default();
    let branches = branches.iter().map(|(full, _)| short(full).to_string());
    let nearest = crate::plan::nearest(&name.to_string(), tasks.chain(branches));
    let message = format!("'{}' names no branch, task or commit", ui::name(name.as_bstr()));
    let failure = Failure::new(exit::REFUSED, message);
    match nearest {
        Some(nearest) => failure.hint(format!("did you mean '{}'?", ui::name(nearest.as_bytes()))),
        None => failure.hint("see which there are: git branch; git parallel status"),
    }
    .into()
}

fn short(full: &Text) -> Text {
    let bytes: &[u8] = full.as_bstr();
    Text::from(bytes.strip_prefix(b"refs/heads/").unwrap_or(bytes))
}

fn target(
    args: &ConflictsArgs,
    place: &Place,
    run: Option<&Run>,
    asked: &Option<Vec<Branch>>,
) -> Result<Target> {
    let of_run = match asked {
        Some(asked) => asked.iter().any(|branch| branch.kind == Kind::Task),
        None => run.is_some_and(|run| run.finished_at.is_none() || has_open_tasks(place, run)),
    };
    let of_run = run.filter(|_| of_run).map(|run| run.spec.target.clone());
    let name = args.into.as_ref().map(|name| Text::from(name.as_os_str())).or(of_run);
    let name = match name.or_else(|| place.config.string("parallel.target")) {
        Some(name) => short(&name),
        None => current_branch(place)?,
    };
    if let Some(tip) = git::local_branch(&place.repo, &name)? {
        return Ok(Target { name, tip, is_branch: true });
    }
    match git::resolve(&place.repo, &name) {
        Ok(tip) => Ok(Target { name, tip, is_branch: false }),
        Err(e) if e.is::<Failure>() => Err(unknown(place, None, &name)),
        Err(e) => Err(e),
    }
}

fn current_branch(place: &Place) -> Result<Text> {
    match git::head(&place.repo.git_dir)? {
        Head::Branch(full) if git::branch_tip(&place.repo, &full)?.is_none() => {
            let message = format!("branch '{}' has no commit yet", ui::name(short(&full).as_bstr()));
            Err(Failure::new(exit::REFUSED, message).hint("make a first commit: git commit").into())
        }
        Head::Branch(full) => Ok(short(&full)),
        Head::Detached(_) => {
            Err(Failure::new(exit::REFUSED, "HEAD is detached, so there is no current branch")
                .hint("name the branch to land on: --into BRANCH")
                .into())
        }
    }
}

/// The run's branches that the target does not have; if there are none and the run has ended, all such
/// branches.
fn whatever_is_open(place: &Place, run: Option<&Run>, target: &Target) -> Result<Vec<Branch>> {
    let tasks = match run {
        Some(run) => open_tasks(place, run, &target.tip)?,
        None => Vec::new(),
    };
    if !tasks.is_empty() || run.is_some_and(|run| run.finished_at.is_none()) {
        return Ok(tasks);
    }
    let mut branches = Vec::new();
    for (full, tip) in git::list(&place.repo, "refs/heads/")? {
        if !git::is_ancestor(&place.repo, &tip, &target.tip)? {
            branches.push(Branch { name: short(&full), tip, kind: Kind::Local });
        }
    }
    Ok(branches)
}

fn open_tasks(place: &Place, run: &Run, target: &Oid) -> Result<Vec<Branch>> {
    let mut branches = Vec::new();
    for task in run.tasks.iter().filter(|task| !task.state.is_success()) {
        let Some(tip) = git::branch_tip(&place.repo, &task.spec.branch_ref())? else { continue };
        if !git::is_ancestor(&place.repo, &tip, target)? {
            branches.push(Branch { name: task.name().0.as_str().into(), tip, kind: Kind::Task });
        }
    }
    Ok(branches)
}

/// Whether the run has a branch that its own target does not have.
fn has_open_tasks(place: &Place, run: &Run) -> bool {
    let target = git::branch_tip(&place.repo, &run.spec.target_ref()).ok().flatten();
    target.is_some_and(|target| open_tasks(place, run, &target).is_ok_and(|open| !open.is_empty()))
}

fn put_together(branches: &[Branch], target: &Target, foretold: &Foretold) -> Conflicts {
    let name = |place: usize| branches[place].name.clone();
    let with_target = foretold.with_target.iter().enumerate().filter_map(|(i, outlook)| {
        let (paths, unrelated) = match outlook {
            Outlook::Clean => return None,
            Outlook::Collides(paths) => (paths.clone(), false),
            Outlook::Unrelated => (Vec::new(), true),
        };
        Some(Collision { between: [target.name.clone(), name(i)], paths, unrelated })
    });
    let pairs = foretold.clashes.iter().map(|clash| {
        let between = [name(clash.one), name(clash.other)];
        Collision { between, paths: clash.paths.clone(), unrelated: false }
    });
    let lands = |i: &usize| foretold.with_target[*i] == Outlook::Clean;
    let landing: Vec<usize> = (0..branches.len()).filter(lands).collect();
    let clashes: Vec<(usize, usize)> =
        foretold.clashes.iter().map(|clash| (clash.one, clash.other)).collect();
    let sets = independent(&landing, &clashes).into_iter();
    Conflicts {
        target: target.name.clone(),
        branches: branches.iter().map(|branch| branch.name.clone()).collect(),
        collisions: with_target.chain(pairs).collect(),
        independent: sets.map(|set| set.into_iter().map(name).collect()).collect(),
        next: None,
    }
}

/// The command that lands the first set; if there is none, the one that settles what is in the way.
fn next(
    place: &Place,
    run: Option<&Run>,
    target: &Target,
    branches: &[Branch],
    found: &Conflicts,
) -> Result<Option<String>> {
    let set = found.independent.first().unwrap_or(&found.branches);
    let all = |kind: Kind| branches.iter().filter(|b| set.contains(&b.name)).all(|b| b.kind == kind);
    if set.is_empty() || !target.is_branch {
        return Ok(None);
    }
    if all(Kind::Local) {
        return Ok(found.independent.first().map(|set| merge_them(place, &target.name, set)));
    }
    let Some(run) = run.filter(|run| all(Kind::Task) && run.spec.target == target.name) else {
        return Ok(None);
    };
    let state = |name: &Text| {
        let task = run.tasks.iter().find(|task| Text::from(task.name().0.as_str()) == *name);
        task.map(|task| task.state)
    };
    // A run that goes on lands them by itself.
    if place.supervisor(&run.spec.id)?.is_some() {
        return Ok(None);
    }
    if found.independent.is_empty() {
        let stuck = set.iter().find(|name| state(name) == Some(TaskState::Conflicted)).map(ui::quote);
        return Ok(stuck.map(|name| format!("git parallel resolve {name}   then   git parallel land {name}")));
    }
    use TaskState::{Conflicted, Finished, Held};
    let waits = |name: &Text| matches!(state(name), Some(Finished | Held | Conflicted));
    let names: Vec<String> = set.iter().map(ui::quote).collect();
    Ok(set.iter().all(waits).then(|| format!("git parallel land {}", names.join(" "))))
}

/// As anybody would do it by hand.
fn merge_them(place: &Place, target: &Text, set: &[Text]) -> String {
    let on_it = git::head(&place.repo.git_dir).ok() == Some(Head::Branch(full_branch_name(target)));
    let switch = if on_it { String::new() } else { format!("git switch {} && ", ui::quote(target)) };
    match set {
        [one] => format!("{switch}git merge {}", ui::quote(one)),
        _ => {
            let names: Vec<String> = set.iter().map(ui::quote).collect();
            format!("{switch}for b in {}; do git merge --no-edit \"$b\" || break; done", names.join(" "))
        }
    }
}
