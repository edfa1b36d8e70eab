//! The place: git, the repository, the target, the disk.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Problem;
use crate::error::Failure;
use crate::git::{self, Config, Head, Repository};
use crate::run::{Oid, Pacing, Strategy, Text, full_branch_name};
use crate::store::{self, Layout, Lock};

/// The oldest git that has what we ask of it (`merge-tree --write-tree`).
const OLDEST_GIT: (u32, u32, u32) = (2, 38, 0);

pub(super) fn check_git(repo: &Repository, strategy: Strategy, problems: &mut Vec<Problem>) {
    match git::git_version() {
        Ok(found) if found < OLDEST_GIT => {
            let (major, minor, patch) = found;
            let what = format!("git is {major}.{minor}.{patch}, too old");
            problems.push(Problem::new(what, "git parallel needs git 2.38 or newer"));
        }
        Ok(found) if strategy == Strategy::Rebase && found < git::OLDEST_GIT_FOR_REBASE => {
            let (major, minor, patch) = found;
            let what = format!("git is {major}.{minor}.{patch}, too old for --strategy rebase");
            problems.push(Problem::new(what, "it needs git 2.40 or newer; squash does not"));
        }
        Ok(_) => {}
        Err(e) => problems.push(Problem::plain(format!("{e:#}"))),
    }
    if let Err(e) = git::check_identity(repo) {
        let hint = "git config user.name 'Your Name' && git config user.email you@example.org";
        problems.push(Problem::new(format!("merges could not be committed: {e:#}"), hint));
    }
}

/// Our records must be ours, writable, and of no run that waits for a decision.
pub(super) fn check_records(repo: &Repository, layout: &Layout, problems: &mut Vec<Problem>) {
    if rustix::fs::access(&repo.common_dir, rustix::fs::Access::WRITE_OK).is_err() {
        problems.push(Problem::plain(format!("{} can't be written to", repo.common_dir.display())));
    }
    if let Err(e) = layout.check() {
        problems.push(Problem::new(format!("{e:#}"), "git parallel keeps its records there; move it away"));
        return;
    }
    // While a supervisor lives, an unfinished run is its own; the lock is dealt with by who starts one.
    if !matches!(Lock::holder(&layout.lock()), Ok(None)) {
        return;
    }
    for id in store::list(layout).unwrap_or_default() {
        if store::load(layout, &id).is_ok_and(|loaded| loaded.run.finished_at.is_none()) {
            let what = format!("run {id} was interrupted: its work is kept");
            problems.push(Problem::new(
                what,
                "go on with it: git parallel resume; or end it, keeping its work: git parallel abort",
            ));
        }
    }
}

/// `parallel.worktreeDir`, or `<repository>.worktrees` beside the repository.
pub(super) fn worktree_dir(repo: &Repository, config: &Config) -> PathBuf {
    let root = repo.root();
    if let Some(dir) = config.string("parallel.worktreedir").filter(|dir| !dir.as_bstr().is_empty()) {
        let dir = dir.to_path_buf();
        let home = std::env::var_os("HOME").map(PathBuf::from);
        return match (dir.strip_prefix("~"), home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => normalize(&root.join(dir)),
        };
    }
    // Byte by byte: a name need not be UTF-8.
    let name = root.file_name().unwrap_or_default().as_bytes();
    let name = if repo.bare { name.strip_suffix(b".git").unwrap_or(name) } else { name };
    let name = if name.is_empty() { b"git" } else { name };
    root.with_file_name(OsStr::from_bytes(&[name, b".worktrees"].concat()))
}

/// Resolves `.` and `..` by name: the directory need not exist yet.
fn normalize(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(clean.pop()),
            std::path::Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

/// The target's short name and its tip.
pub(super) fn find_target(
    repo: &Repository,
    asked: Option<&Text>,
    problems: &mut Vec<Problem>,
) -> Option<(Text, Oid)> {
    let name = match asked {
        Some(name) => short_name(name),
        None => current_branch(repo, problems)?,
    };
    let full = full_branch_name(&name);
    match git::branch_tip(repo, &full) {
        Ok(Some(tip)) => Some((name, tip)),
        Ok(None) => {
            problems.push(no_such_branch(repo, &name));
            None
        }
        Err(e) => {
            problems.push(Problem::plain(format!("branch '{name}' can't be read: {e:#}")));
            None
        }
    }
}

fn short_name(name: &Text) -> Text {
    let bytes: &[u8] = name.as_bstr();
    Text::from(bytes.strip_prefix(b"refs/heads/").unwrap_or(bytes))
}

fn current_branch(repo: &Repository, problems: &mut Vec<Problem>) -> Option<Text> {
    let hint = "name the branch that work shall land on: --into BRANCH";
    if repo.bare && repo.workdir.is_none() {
        problems.push(Problem::new("this is a bare repository: it has no current branch", hint));
        return None;
    }
    match git::head(&repo.git_dir) {
        Ok(Head::Branch(name)) if matches!(git::branch_tip(repo, &name), Ok(None)) => {
            let what = format!("branch '{}' has no commit yet", short_name(&name));
            problems.push(Problem::new(what, "make a first commit: git commit"));
        }
        Ok(Head::Branch(name)) => return Some(short_name(&name)),
        Ok(Head::Detached(_)) => {
            let operation = git::operation_in_progress(&repo.git_dir);
            let why = operation.map(|o| format!(" ({o} is in progress)")).unwrap_or_default();
            problems.push(Problem::new(format!("HEAD is detached{why}: there is no current branch"), hint));
        }
        Err(e) => problems.push(Problem::plain(format!("HEAD can't be read: {e:#}"))),
    }
    None
}

fn no_such_branch(repo: &Repository, name: &Text) -> Problem {
    let what = format!("there is no branch '{name}' to land on");
    match nearest_branch(repo, name) {
        Some(branch) => Problem::new(what, format!("did you mean '{branch}'?")),
        None => Problem::new(what, format!("create it first: git branch {name}")),
    }
}

/// The branch that a name was probably meant to be.
fn nearest_branch(repo: &Repository, name: &Text) -> Option<String> {
    let known = git::list(repo, "refs/heads/").unwrap_or_default();
    crate::plan::nearest(&name.to_string(), known.iter().map(|(full, _)| short_name(full).to_string()))
}

/// The commit that task branches start from.
pub(super) fn find_base(
    repo: &Repository,
    asked: Option<&Text>,
    tip: &Oid,
    problems: &mut Vec<Problem>,
) -> Option<Oid> {
    let Some(rev) = asked else { return Some(tip.clone()) };
    git::resolve(repo, rev)
        .map_err(|e| {
            let why = if e.is::<Failure>() { String::new() } else { format!(": {e:#}") };
            let what = format!("--base {rev} names no commit{why}");
            problems.push(match nearest_branch(repo, rev) {
                Some(branch) => Problem::new(what, format!("did you mean '{branch}'?")),
                None => Problem::new(what, "see which branches and tags there are: git branch -a; git tag"),
            });
        })
        .ok()
}

/// The target, and the files of the user's that are on it, must be in a state that work can land on.
pub(super) fn check_target(repo: &Repository, target: &Text, allow_dirty: bool, problems: &mut Vec<Problem>) {
    let full = full_branch_name(target);
    let worktrees = match git::worktrees(repo) {
        Ok(worktrees) => worktrees,
        Err(e) => return problems.push(Problem::plain(format!("worktrees can't be listed: {e:#}"))),
    };
    let checkouts: Vec<_> =
        worktrees.iter().filter(|w| w.branch() == Some(&full) && w.is_present()).collect();
    if let [first, second, ..] = checkouts[..] {
        let (first, second) = (first.place().display(), second.place().display());
        let what = format!("'{target}' is checked out twice: in {first} and {second}");
        problems.push(Problem::new(what, "have one of them check out something else: git switch BRANCH"));
    }
    for checkout in &checkouts {
        if let Some(operation) = git::operation_in_progress(&checkout.admin_dir) {
            let what = format!("{operation} is in progress in {}", checkout.place().display());
            problems.push(Problem::new(what, "finish or abort it first (see 'git status')"));
        }
    }
    if allow_dirty {
        return;
    }
    let mut places: Vec<(&Path, &Path)> =
        checkouts.iter().filter_map(|w| Some((w.path.as_deref()?, w.admin_dir.as_path()))).collect();
    if let Some(here) = repo.workdir.as_deref().filter(|dir| !places.iter().any(|(p, _)| p == dir)) {
        places.push((here, &repo.git_dir));
    }
    for (place, git_dir) in places {
        check_clean(place, git_dir, problems);
    }
}

fn check_clean(place: &Path, git_dir: &Path, problems: &mut Vec<Problem>) {
    let changes = match git::changes_in(place, git_dir) {
        Ok(changes) => changes,
        Err(e) => return problems.push(Problem::plain(format!("git status failed: {e:#}"))),
    };
    let changed: Vec<&Text> = changes.unmerged.iter().chain(&changes.tracked).collect();
    if let Some(first) = changed.first() {
        let more = match changed.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let what = format!("tracked files have changes in {}: {first}{more}", place.display());
        let hint = "commit or stash them, or start without them: --allow-dirty";
        problems.push(Problem::new(what, hint));
    }
}

/// There must be room for a checkout of each task.
pub(super) fn check_room(
    repo: &Repository,
    base: &Oid,
    worktrees: &Path,
    tasks: usize,
    problems: &mut Vec<Problem>,
) {
    let Some(there) = worktrees.ancestors().find(|dir| dir.symlink_metadata().is_ok()) else { return };
    let elsewhere = "choose another place: git config parallel.worktreeDir DIR";
    if !there.is_dir() {
        problems.push(Problem::new(format!("{} is not a directory", there.display()), elsewhere));
        return;
    }
    if worktrees.starts_with(&repo.common_dir) {
        let what =
            format!("{} is inside of the git directory: agents may not edit there", worktrees.display());
        problems.push(Problem::new(what, elsewhere));
        return;
    }
    if rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_err() {
        problems.push(Problem::new(format!("{} can't be written to", there.display()), elsewhere));
        return;
    }
    let Ok(size) = crate::git::tree_size(repo, base) else { return };
    let Ok(free) = crate::sys::free_space(there) else { return };
    let (bytes, files) = (size.bytes * tasks as u64, size.files * tasks as u64);
    let needed = |what: &str, needed: String, free: String| {
        let hint =
            "make room, take fewer tasks, or choose another place: git config parallel.worktreeDir DIR";
        Problem::new(
            format!(
                "too little room for {tasks} checkouts in {}: they need {needed} {what}, {free} are free",
                there.display()
            ),
            hint,
        )
    };
    if bytes > free.bytes {
        problems.push(needed("of disk", megabytes(bytes), megabytes(free.bytes)));
    }
    if let Some(free) = free.inodes.filter(|free| files > *free) {
        problems.push(needed("inodes", files.to_string(), free.to_string()));
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// What new starts wait for must be told by the system, and must be able to come about.
pub(super) fn check_pacing(pacing: &Pacing, problems: &mut Vec<Problem>) {
    if pacing.max_load.is_some() && crate::sys::load_average().is_none() {
        problems.push(Problem::new("this system does not tell its load", "leave --max-load out"));
    }
    let Some(least) = pacing.min_free_memory else { return };
    match (crate::sys::total_memory(), crate::sys::available_memory()) {
        (Some(total), Some(_)) if total <= least => {
            let what = format!(
                "this machine has {} MiB of memory, and could never have {} MiB free",
                total >> 20,
                least >> 20
            );
            problems.push(Problem::new(what, "ask for less: --min-free-memory SIZE"));
        }
        (Some(_), Some(_)) => {}
        _ => problems.push(Problem::new(
            "this system does not tell how much memory is free",
            "leave --min-free-memory out",
        )),
    }
}
