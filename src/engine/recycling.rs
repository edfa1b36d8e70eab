//! Worktrees that are done with: the next task gets their files, or they are deleted in the background.
//!
//! A task waits for one that another is about to be done with, but not much longer than it takes to make a
//! new one, and delete it in the end. What is known of the files (see [`git::Known`]) is in memory alone: after
//! a crash, what lies aside is rubbish by its name, and is deleted as such.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::git::{self, Known, Repository, Spare};
use crate::run::{Run, Task, TaskName, TaskState};
use crate::sys;

/// A worktree costs so much more than to write its files: to delete them takes as long as to write them,
/// and on ext4 what is written after that takes longer.
const DEARER: u32 = 3;
/// Landing a task takes about as long, and no agent is so quick that it matters.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// Past that, somebody would wonder.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What becomes of worktrees that are done with (`parallel.recycle`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Recycle {
    /// They are deleted.
    Off,
    /// The next tasks get them, as clean as new ones.
    #[default]
    On,
    /// The next tasks get them, with the ignored files that did not keep them from being removed.
    Warm,
}

/// The worktrees of a run that are done with.
pub(super) struct Recycling {
    how: Recycle,
    yard: Mutex<Yard>,
    /// There is one more spare.
    arrived: Notify,
    /// One that deletes has come to an end.
    done: Condvar,
}

#[derive(Default)]
struct Yard {
    /// What is known of the worktrees in use.
    known: HashMap<TaskName, Known>,
    spares: Vec<Spare>,
    /// So many spares could still be used.
    wanted: usize,
    trash: Vec<PathBuf>,
    /// So many threads are at work on the trash.
    deleting: usize,
    /// Why some of it could not be deleted.
    troubles: Vec<String>,
    /// How long it takes to make a new worktree.
    effort: Duration,
}

impl Recycling {
    pub(super) fn new(how: Recycle) -> Arc<Recycling> {
        Arc::new(Recycling { how, yard: Mutex::default(), arrived: Notify::new(), done: Condvar::new() })
    }

    fn yard(&self) -> MutexGuard<'_, Yard> {
        self.yard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what is in a task's worktree, before its agent comes.
    pub(super) fn remember(&self, task: &TaskName, known: Known) {
        if self.how != Recycle::Off {
            self.yard().known.insert(task.clone(), known);
        }
    }

    /// Notes how long it took to make a worktree.
    pub(super) fn note_effort(&self, effort: Duration) {
        self.yard().effort = effort;
    }

    /// Notes how many tasks still have no worktree.
    pub(super) fn look_at(&self, run: &Run) {
        let has_none = |task: &&Task| match task.state {
            TaskState::Queued => true,
            TaskState::Preparing => !task.prepared,
            _ => false,
        };
        self.yard().wanted = run.tasks.iter().filter(has_none).count();
    }

    /// Whether a worktree will soon be there to be used again.
    pub(super) fn is_awaited(&self, run: &Run) -> bool {
        use TaskState::{Finished, Integrating, Landed, Unchanged};
        let lands_soon = !run.spec.atomic && !run.spec.keep && run.spec.verify.is_none();
        let yard = self.yard();
        let is_soon = |task: &Task| match task.state {
            Unchanged | Landed => task.cleanup.is_none(),
            Finished | Integrating => lands_soon,
            _ => false,
        };
        run.tasks.iter().any(|task| is_soon(task) && yard.known.contains_key(task.name()))
    }

    /// Waits until there is a spare, but not longer than that is worth. Gives how many there are.
    pub(super) async fn wait(&self) -> usize {
        let worth = (self.yard().effort * DEARER).clamp(SHORTEST_WAIT, LONGEST_WAIT);
        let end = Instant::now() + worth;
        loop {
            let count = self.yard().spares.len();
            if count > 0 || tokio::time::timeout_at(end, self.arrived.notified()).await.is_err() {
                return count;
            }
        }
    }

    /// A worktree that is done with, for a task to have.
    pub(super) fn take(&self) -> Option<Spare> {
        self.yard().spares.pop()
    }

    /// Takes a task's worktree away. Its files are for another task, or are deleted after this.
    ///
    /// # Errors
    /// As [`git::retire`].
    pub(super) fn retire(self: &Arc<Self>, repo: &Repository, task: &Task) -> Result<()> {
        let known = self.yard().known.remove(task.name());
        let Some(tree) = git::retire(repo, task.spec.worktree.as_path())? else { return Ok(()) };
        // Whoever stands in it would find themselves in another task's worktree. Of another machine's
        // processes, and its clock, nothing is known.
        let known = known.filter(|_| task.job.is_none() && !sys::somebody_stands_in(&tree));
        let mut yard = self.yard();
        match known.filter(|_| yard.spares.len() < yard.wanted) {
            Some(known) => {
                yard.spares.push(Spare { tree, known, warm: self.how == Recycle::Warm });
                self.arrived.notify_one();
            }
            None => {
                yard.trash.push(tree);
                let is_idle = yard.deleting == 0;
                drop(yard);
                if is_idle {
                    self.delete_in_background();
                }
            }
        }
        Ok(())
    }

    fn delete_in_background(self: &Arc<Self>) {
        self.yard().deleting += 1;
        let this = self.clone();
        let started = std::thread::Builder::new().spawn(move || this.delete());
        if started.is_err() {
            self.delete();
        }
    }

    /// Deletes what there is of trash.
    fn delete(&self) {
        let mut yard = self.yard();
        while let Some(tree) = yard.trash.pop() {
            drop(yard);
            let trouble = git::delete_retired(&tree).err();
            yard = self.yard();
            yard.troubles.extend(trouble.map(|error| format!("{error:#}")));
        }
        yard.deleting -= 1;
        self.done.notify_all();
    }

    /// Deletes all that nobody will use, and waits until that is done. Gives what could not be deleted, in
    /// words.
    pub(super) fn close(self: &Arc<Self>) -> Vec<String> {
        let mut yard = self.yard();
        let spares = std::mem::take(&mut yard.spares);
        yard.trash.extend(spares.into_iter().map(|spare| spare.tree));
        let (left, busy) = (yard.trash.len(), yard.deleting);
        drop(yard);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in busy..cores.min(left) {
            self.delete_in_background();
        }
        let yard = self.done.wait_while(self.yard(), |yard| yard.deleting > 0);
        std::mem::take(&mut yard.unwrap_or_else(PoisonError::into_inner).troubles)
    }
}
