//! Conflicts seen coming: whenever a task's branch moves, it is compared with its siblings and the target.
//!
//! Nothing depends on it. A thread of its own, at low priority, sleeps until the kernel tells that a ref was
//! written or the engine that a task came or went; it waits a moment for more, looks at the latest state
//! alone, and rests longer than it has worked. What goes wrong in it is as if nothing had been foreseen.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;

use super::progress::Progress;
use super::{Context, Engine, Message, Outbox};
use crate::git::{self, Leash, Outlook};
use crate::run::{Foreseen, Oid, Run, TaskName, TaskState, Text, Told, is_open};
use crate::sys::Arrivals;

/// How long more is waited for: an agent that commits once often commits twice.
const MOMENT: Duration = Duration::from_millis(250);

/// It rests this many times as long as it has worked, so that it never takes more than a fifth of a core.
const REST: u32 = 4;

/// It never rests longer.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The engine's end of it.
#[derive(Default)]
pub(super) struct Foresight {
    shared: Option<Arc<Shared>>,
    thread: Option<JoinHandle<()>>,
    told: Told,
}

/// What the engine and the thread share.
struct Shared {
    orders: Mutex<Orders>,
    stopped: Condvar,
    arrivals: Arrivals,
    leash: Leash,
}

#[derive(Default)]
struct Orders {
    scope: Scope,
    stop: bool,
}

/// What is to be looked at: the tasks whose branches are open.
#[derive(Clone, PartialEq, Default)]
struct Scope(Vec<Open>);

#[derive(Clone, PartialEq)]
struct Open {
    task: TaskName,
    state: TaskState,
    branch: Text,
    /// What the branch started from.
    base: Option<Oid>,
}

/// Where all branches were at a look.
#[derive(PartialEq, Default)]
struct Tips {
    target: Option<Oid>,
    tasks: Vec<(TaskName, Oid)>,
}

impl Tips {
    /// Each task, what its branch started from, and where it was.
    fn since_base<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = (&'a TaskName, &'a Oid, &'a Oid)> {
        let base = |task: &TaskName| scope.0.iter().find(|open| open.task == *task)?.base.as_ref();
        self.tasks.iter().filter_map(move |(task, tip)| Some((task, base(task)?, tip)))
    }
}

/// What one look leaves for the next.
#[derive(Default)]
struct Memory {
    known: git::Foresight,
    last: Tips,
    /// What was made so far, if somebody watches.
    progress: Option<Progress>,
}

impl Foresight {
    /// Begins to watch. Where that can't be, nothing is foreseen. `counts`: also what branches hold is told.
    pub(super) fn start(&mut self, context: Arc<Context>, outbox: Outbox, counts: bool) {
        let Ok(arrivals) = Arrivals::new() else { return };
        let (orders, stopped, leash) = (Mutex::default(), Condvar::new(), Leash::default());
        let shared = Arc::new(Shared { orders, stopped, arrivals, leash });
        let thread = std::thread::Builder::new().name("foresight".to_owned());
        let theirs = Arc::clone(&shared);
        if let Ok(handle) = thread.spawn(move || keep_looking(&context, &theirs, &outbox, counts)) {
            (self.shared, self.thread) = (Some(shared), Some(handle));
        }
    }

    /// Tells it how the run stands. It wakes only if that matters to it.
    pub(super) fn follow(&self, run: &Run) {
        let Some(shared) = &self.shared else { return };
        let open = run.tasks.iter().filter(|task| is_open(task));
        let open = open.map(|task| Open {
            task: task.name().clone(),
            state: task.state,
            branch: task.spec.branch_ref(),
            base: task.base.clone(),
        });
        let now = Scope(open.collect());
        let mut orders = shared.orders();
        if orders.scope != now {
            orders.scope = now;
            shared.arrivals.wake();
        }
    }

    /// Ends it, with the git that it may have at work.
    pub(super) fn stop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        shared.orders().stop = true;
        shared.leash.pull();
        shared.stopped.notify_all();
        shared.arrivals.wake();
        // One that panicked has ended, too.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass; `false` if it is to end.
    fn pause(&self, time: Duration) -> bool {
        let waited = self.stopped.wait_timeout_while(self.orders(), time, |orders| !orders.stop);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stop
    }
}

impl Engine {
    /// Shows what was foreseen, less what has come since; tells what is new of it.
    pub(super) fn foresee(&mut self, mut foreseen: Vec<Foreseen>) {
        foreseen.retain(|one| one.is_ahead(&self.run));
        let news = self.foresight.told.news(&self.run, &foreseen);
        self.ui.foresee(&self.run, Timestamp::now(), foreseen, &news);
    }
}

fn keep_looking(context: &Context, shared: &Shared, outbox: &Outbox, counts: bool) {
    crate::sys::lower_own_priority();
    let mut memory = Memory { progress: counts.then(Progress::default), ..Memory::default() };
    while shared.arrivals.wait().is_ok() && shared.pause(MOMENT) {
        let begun = Instant::now();
        // Whatever comes from here on calls for another look.
        shared.arrivals.forget();
        let scope = shared.orders().scope.clone();
        arm(context, shared, &scope);
        if let Ok(Some(found)) = look(context, &scope, &mut memory, &shared.leash) {
            let _ = outbox.messages.send(Message::Foreseen(found));
        }
        let Memory { progress, last, .. } = &mut memory;
        let made = progress.as_mut().map(|progress| progress.news(context, last.since_base(&scope)));
        if let Some(made) = made.filter(|made| !made.is_empty()) {
            let _ = outbox.messages.send(Message::Made(made));
        }
        if !shared.pause((begun.elapsed() * REST).min(LONGEST_REST)) {
            return;
        }
    }
}

/// Watches the directories that the branches and the target lie in. To be done again at each look: git makes
/// and removes such directories.
fn arm(context: &Context, shared: &Shared, scope: &Scope) {
    let target = context.spec.target_ref();
    let refs = scope.0.iter().map(|open| &open.branch).chain([&target]);
    let paths = refs.map(|name| context.repo.common_dir.join(name.as_path()));
    let directories: BTreeSet<PathBuf> = paths.filter_map(|path| Some(path.parent()?.to_owned())).collect();
    for directory in directories {
        // Without it, news comes when the run itself goes on.
        let _ = shared.arrivals.watch(&directory);
    }
}

/// One look; `None` if nothing has moved since the last.
fn look(
    context: &Context,
    scope: &Scope,
    memory: &mut Memory,
    leash: &Leash,
) -> Result<Option<Vec<Foreseen>>> {
    let mut tips =
        Tips { target: git::branch_tip(&context.repo, &context.spec.target_ref())?, tasks: Vec::new() };
    for Open { task, branch, .. } in &scope.0 {
        if let Some(tip) = git::branch_tip(&context.repo, branch)? {
            tips.tasks.push((task.clone(), tip));
        }
    }
    if tips == memory.last {
        return Ok(None);
    }
    let Some(target) = &tips.target else { return Ok(None) };
    let commits: Vec<Oid> = tips.tasks.iter().map(|(_, tip)| tip.clone()).collect();
    let foretold = memory.known.look(&context.repo, target, &commits, leash)?;
    let name = |place: usize| tips.tasks[place].0.clone();
    let with_target = foretold.with_target.into_iter().enumerate().filter_map(|(i, outlook)| match outlook {
        Outlook::Collides(paths) => Some(Foreseen { task: name(i), with: None, paths }),
        Outlook::Clean | Outlook::Unrelated => None,
    });
    let pairs = foretold.clashes.into_iter();
    let pairs = pairs.map(|c| Foreseen { task: name(c.one), with: Some(name(c.other)), paths: c.paths });
    let found = with_target.chain(pairs).collect();
    memory.last = tips;
    Ok(Some(found))
}
