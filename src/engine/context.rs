//! What every worker of a run may look at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use super::recycling::{Recycle, Recycling};
use crate::git::{FanOut, Repository, SharedGuard};
use crate::run::{Oid, RunSpec, Stop, Task, TaskName, Text};
use crate::store::RunDir;

/// Shared by all workers of a run; never changes while the run goes on.
pub struct Context {
    /// The repository.
    pub repo: Repository,
    /// What was asked.
    pub spec: RunSpec,
    /// Where the run's record is.
    pub dir: RunDir,
    /// Ignored files that may go with a worktree (`parallel.disposable`).
    pub disposable: Vec<String>,
    /// What agents should not have changed in the shared configuration.
    pub guard: Option<SharedGuard>,
    /// How many files an agent may open, if we may open more.
    pub(super) open_files: Option<u64>,
    /// What becomes of worktrees that are done with; nothing but their end if no run goes on.
    pub(super) recycling: Option<Arc<Recycling>>,
    /// Where branches and tags of others are.
    pub(super) others: super::gates::Others,
    /// Writes the files of new ones.
    pub(super) fan_out: FanOut,
    /// Tasks whose worktrees are to be made next, all in one pass.
    to_prepare: Mutex<Vec<Task>>,
    /// Bounds how many such passes go on at once to one: it writes on all cores.
    pub(super) checkouts: Semaphore,
    /// Bounds the shorter work. It must not queue behind a hundred checkouts: landing waits for it.
    pub(super) errands: Semaphore,
    /// The run was asked to stop: commands from the configuration end, too.
    pub(super) stopping: watch::Sender<Option<Stop>>,
    /// What runs tasks elsewhere.
    pub(super) runners: super::runner::Runners,
    /// Held by the hook that runs.
    pub(super) hooks: tokio::sync::Mutex<()>,
    /// Held by whoever is at work in the scratch worktree for conflicts.
    pub(super) settling: Mutex<()>,
}

impl Context {
    /// The context of a run.
    pub fn new(repo: Repository, spec: RunSpec, dir: RunDir, disposable: Vec<String>) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Context {
            repo,
            spec,
            dir,
            disposable,
            guard: None,
            open_files: None,
            recycling: None,
            others: super::gates::Others::default(),
            fan_out: FanOut::default(),
            to_prepare: Mutex::default(),
            checkouts: Semaphore::new(1),
            errands: Semaphore::new(cores),
            stopping: watch::channel(None).0,
            runners: super::runner::Runners::default(),
            hooks: tokio::sync::Mutex::new(()),
            settling: Mutex::new(()),
        }
    }

    /// Watches over the shared configuration while agents run.
    #[must_use]
    pub fn guarded_by(self, guard: SharedGuard) -> Self {
        Context { guard: Some(guard), ..self }
    }

    /// Uses worktrees again, or deletes them in the background.
    #[must_use]
    pub fn recycling(self, how: Recycle) -> Self {
        Context { recycling: Some(Recycling::new(how)), ..self }
    }

    /// Makes room for a few open files an agent; agents themselves get what they would have had.
    #[must_use]
    pub fn with_more_files(self) -> Self {
        Context { open_files: crate::sys::open_more_files(), ..self }
    }

    /// The tasks whose worktrees are to be made next.
    pub(super) fn waiting(&self) -> MutexGuard<'_, Vec<Task>> {
        self.to_prepare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes those whose turn it is: as many as there are worktrees to be used again, or all if there are none.
    pub(super) fn next_waiting(&self, spares: usize) -> Vec<Task> {
        let mut waiting = self.waiting();
        let count = if spares == 0 { waiting.len() } else { spares.min(waiting.len()) };
        waiting.drain(..count).collect()
    }

    /// The directory that holds the run's worktrees.
    pub fn worktree_dir(&self) -> Option<&std::path::Path> {
        let task = self.spec.tasks.first()?;
        task.worktree.as_path().ancestors().nth(task.name.0.split('/').count())
    }

    /// Removes the directories that a removed worktree leaves empty.
    pub fn prune_parents(&self, task: &Task) {
        if let Some(dir) = self.worktree_dir() {
            crate::git::prune_parents(task.spec.worktree.as_path(), dir);
        }
    }

    /// The ref that keeps something of a task reachable: `refs/parallel/<run>/<task>/<what>`.
    pub fn pin(&self, task: &TaskName, what: &str) -> Text {
        format!("refs/parallel/{}/{task}/{what}", self.spec.id).into()
    }

    /// The commit that the task's branch started from, or is to start from.
    pub fn base_of<'a>(&'a self, task: &'a Task) -> &'a Oid {
        task.base.as_ref().or(task.start.as_ref()).or(task.spec.base.as_ref()).unwrap_or(&self.spec.base)
    }

    /// The environment variables of an agent (and of hooks that stand in for one).
    pub fn environment(&self, task: &Task) -> Vec<(String, Text)> {
        let spec = &task.spec;
        let mut variables = vec![
            ("GIT_PARALLEL_RUN".to_owned(), Text::from(self.spec.id.0.as_str())),
            ("GIT_PARALLEL_TASK".to_owned(), Text::from(spec.name.0.as_str())),
            ("GIT_PARALLEL_BRANCH".to_owned(), spec.branch.clone()),
            ("GIT_PARALLEL_BASE".to_owned(), Text::from(self.base_of(task).as_str())),
            ("GIT_PARALLEL_TARGET".to_owned(), self.spec.target.clone()),
            ("GIT_PARALLEL_WORKTREE".to_owned(), spec.worktree.clone()),
            ("GIT_PARALLEL_ROOT".to_owned(), self.spec.root.clone()),
            ("GIT_PARALLEL_SLOT".to_owned(), Text::from(task.slot.to_string())),
            ("GIT_PARALLEL_ATTEMPT".to_owned(), Text::from(task.attempt.to_string())),
            // An agent that trusts $PWD must not end up in the user's checkout.
            ("PWD".to_owned(), spec.worktree.clone()),
        ];
        if spec.prompt.is_some() {
            variables.push(("GIT_PARALLEL_PROMPT_FILE".to_owned(), self.dir.prompt(&spec.name).into()));
        }
        if let Some(parent) = spec.worktree.as_path().parent() {
            // Without its `.git` file, git in the worktree would find the repository around it.
            variables.push(("GIT_CEILING_DIRECTORIES".to_owned(), ceiling(parent)));
        }
        variables.extend(spec.env.iter().cloned());
        variables
    }
}

fn ceiling(parent: &std::path::Path) -> Text {
    let mut directories = parent.as_os_str().to_owned();
    if let Some(others) = std::env::var_os("GIT_CEILING_DIRECTORIES").filter(|v| !v.is_empty()) {
        directories.push(":");
        directories.push(others);
    }
    directories.as_os_str().into()
}
