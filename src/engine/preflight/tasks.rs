//! The tasks: names, branches, worktrees, the agent.

use std::collections::HashMap;
use std::path::Path;

use bstr::ByteSlice;

use super::{Ask, OnExisting, Problem};
use crate::git::{self, Repository, Worktree};
use crate::plan::Request;
use crate::run::{Oid, TaskSpec, Text};

/// What the repository has already, looked up once for all tasks.
struct Present {
    branches: HashMap<Text, Oid>,
    worktrees: Vec<Worktree>,
}

/// Makes the tasks of a run, adding a problem for each that can't be.
pub(super) fn plan(
    repo: &Repository,
    worktrees: &Path,
    ask: &Ask,
    target: Option<&Text>,
    problems: &mut Vec<Problem>,
) -> Vec<TaskSpec> {
    let requests = match &ask.tasks {
        Ok(requests) => requests,
        Err(bad) => {
            problems.extend(bad.iter().map(Problem::plain));
            return Vec::new();
        }
    };
    let present = Present {
        branches: git::list(repo, "refs/heads/").unwrap_or_default().into_iter().collect(),
        worktrees: git::worktrees(repo).unwrap_or_default(),
    };
    let mut tasks = Vec::new();
    for request in requests {
        let mut task = task_spec(request, worktrees, ask);
        if let Some(base) = &request.own.base {
            match git::resolve(repo, &base.as_str().into()) {
                Ok(commit) => task.base = Some(commit),
                Err(_) => {
                    problems.push(Problem::plain(format!("task '{}': '{base}' is no commit", task.name)))
                }
            }
        }
        if let Err(e) = git::check_branch_name(&task.branch.to_string()) {
            problems.push(Problem::plain(format!("task '{}': {e:#}", task.name)));
            continue;
        }
        let before = problems.len();
        problems.extend(tasks.iter().find_map(|other| same_branch(&task, other)));
        let task = match target {
            Some(target) if *target == task.branch => {
                let what =
                    format!("task '{}' would work on '{target}', the branch it is to land on", task.name);
                problems.push(Problem::new(what, "choose another name or --prefix"));
                continue;
            }
            _ => meet_existing(task, &present, ask.existing, problems),
        };
        if problems.len() == before {
            tasks.push(task);
        }
    }
    tasks
}

/// Two names may mean one branch (`x` and `feature/x`), or branches of which one is a folder of the other.
fn same_branch(task: &TaskSpec, other: &TaskSpec) -> Option<Problem> {
    let (mine, theirs) = (task.branch_ref(), other.branch_ref());
    let is_below = |a: &Text, b: &Text| {
        a.as_bstr().strip_prefix(b.as_bstr().as_bytes()).is_some_and(|r| r.starts_with(b"/"))
    };
    let why = if mine == theirs {
        format!("both work on branch '{}'", task.branch)
    } else if is_below(&mine, &theirs) || is_below(&theirs, &mine) {
        format!("branch '{}' can't be made beside '{}'", task.branch, other.branch)
    } else {
        return None;
    };
    let what = format!("tasks '{}' and '{}' can't both exist: {why}", other.name, task.name);
    Some(Problem::new(what, "choose another name or --prefix"))
}

fn task_spec(request: &Request, worktrees: &Path, ask: &Ask) -> TaskSpec {
    let name = &request.name.0;
    let branch = if name.contains('/') { name.clone() } else { format!("{}{name}", ask.prefix) };
    TaskSpec {
        name: request.name.clone(),
        branch: branch.into(),
        worktree: worktrees.join(name).into(),
        prompt: request.prompt.clone().or_else(|| ask.prompt.clone()),
        literal_from: request.own.literal_from,
        reuse: false,
        reuse_worktree: false,
        depends_on: request.own.depends_on.clone(),
        agent: None,
        fallback: Vec::new(),
        group: request.own.group.clone(),
        stage: request.own.stage,
        touches: request.own.touches.clone(),
        setup: request.own.setup.clone(),
        base: None,
        timeout_ms: request.own.timeout_ms,
        retries: request.own.retries,
        env: request.own.env.clone(),
        overwrite: None,
        runner: None,
        skip: false,
    }
}

/// Settles what happens to a task whose branch or worktree is there already.
fn meet_existing(
    mut task: TaskSpec,
    present: &Present,
    existing: OnExisting,
    problems: &mut Vec<Problem>,
) -> TaskSpec {
    let full = task.branch_ref();
    let tip = present.branches.get(&full);
    let path = task.worktree.as_path();
    let taken = path.symlink_metadata().is_ok();
    let checkout = present.worktrees.iter().find(|w| w.branch() == Some(&full) && w.is_present());
    let at_home = checkout.is_some_and(|w| w.path.as_deref() == Some(path));

    if tip.is_none() && !taken {
        problems.extend(folder_clash(&task, present));
        return task;
    }
    match existing {
        OnExisting::Skip => task.skip = true,
        OnExisting::Fail => problems.push(in_the_way(&task, tip.is_some())),
        OnExisting::Reuse | OnExisting::Overwrite => {
            if let Some(elsewhere) = checkout.filter(|_| !at_home) {
                let place = elsewhere.place().display();
                problems.push(Problem::new(
                    format!("branch '{}' is checked out in {place}", task.branch),
                    format!("switch that worktree to another branch: git -C {place} switch BRANCH"),
                ));
            } else if taken && (!at_home || existing == OnExisting::Overwrite) {
                let what = format!("{} is in the way", path.display());
                problems.push(Problem::new(
                    what,
                    format!("move or remove it: git worktree remove {}", path.display()),
                ));
            }
            task.reuse = existing == OnExisting::Reuse && tip.is_some();
            task.reuse_worktree = task.reuse && at_home;
            task.overwrite = tip.filter(|_| existing == OnExisting::Overwrite).cloned();
        }
    }
    task
}

fn in_the_way(task: &TaskSpec, branch: bool) -> Problem {
    let hint = "choose another name, remove what is done with ('git parallel cleanup'),\n\
                or say what to do with it: --existing reuse, skip or overwrite";
    let what = if branch {
        format!("branch '{}' exists already", task.branch)
    } else {
        format!("{} exists already", task.worktree)
    };
    Problem::new(what, hint)
}

/// git can't have both `feature` and `feature/x`.
fn folder_clash(task: &TaskSpec, present: &Present) -> Option<Problem> {
    let full = task.branch_ref().to_string();
    let parent = full.match_indices('/').map(|(i, _)| Text::from(&full[..i]));
    let mut clashes = parent.filter(|name| present.branches.contains_key(name));
    let below = format!("{full}/");
    let other = clashes.next().or_else(|| {
        present.branches.keys().find(|name| name.as_bstr().starts_with(below.as_bytes())).cloned()
    })?;
    let other = other.to_string().replacen("refs/heads/", "", 1);
    let what =
        format!("branch '{}' can't be made beside '{other}': one is a folder of the other", task.branch);
    Some(Problem::new(what, "choose another name or --prefix"))
}
