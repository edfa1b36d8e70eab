//! Sending workers off: who does which step, who waits its turn, and what becomes of one that dies.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use super::landed::Earlier;
use super::{
    Attended, Context, Engine, Outbox, WantedOutput, agent, cleanup, collect, hooks, landing, prepare,
    resolver, setup, verify,
};
use crate::git;
use crate::run::{CleanUp, Event, Step, Task, TaskName, TaskState};

impl Engine {
    pub(super) fn send_worker(&mut self, name: &TaskName, step: &Step) {
        let Some(task) = self.run.task(name).cloned() else { return };
        let (context, outbox) = (self.context.clone(), self.outbox.clone());
        match step {
            Step::Start { .. } => {
                let requests = self.attend(name, context.dir.task(name));
                tokio::spawn(agent::supervise(context, task, requests, outbox, self.wanted));
            }
            Step::Setup => {
                let requests = self.attend(name, context.dir.setup(name));
                tokio::spawn(setup::set_up(context, task, requests, outbox, self.wanted));
            }
            Step::AfterLand => {
                tokio::spawn(hooks::after_land(context, task, outbox));
            }
            Step::Verify { slot } => {
                let dir = task.landing.as_ref().map(|landing| context.dir.check_of(&landing.commit));
                let requests = self.attend(name, dir.unwrap_or_default());
                // The last line of an agent is not the place for what its check says.
                let wanted = if self.wanted == WantedOutput::All { self.wanted } else { WantedOutput::None };
                tokio::spawn(verify::verify(context, task, *slot, requests, outbox, wanted));
            }
            Step::Resolve { .. } => {
                let requests = self.attend(name, context.dir.resolver(name));
                let others = self.before().cloned().collect();
                tokio::spawn(resolver::resolve(context, task, others, requests, outbox, self.wanted));
            }
            Step::Prepare { .. } => self.prepare(task, context),
            Step::Collect => {
                let ended = context.others.ask();
                self.queued(task, context, |c| &c.errands, move |c, task| collect::collect(c, task, ended));
            }
            Step::CleanUp => {
                if let Some(recycling) = &context.recycling {
                    recycling.look_at(&self.run);
                }
                self.queued(task, context, |c| &c.errands, cleanup::clean_up);
            }
            Step::Publish => {
                let chain = self.run.published_with(&task).map(|chain| chain.into_iter().cloned().collect());
                if let Some(chain) = chain {
                    self.publish(chain, context);
                }
            }
            Step::Merge { onto } => {
                let base = match onto {
                    Some(candidate) => landing::Base::Candidate(candidate.clone()),
                    None => landing::Base::Target { known: self.run.tip.clone() },
                };
                let before: Vec<Earlier> = self.before().filter_map(Earlier::of).collect();
                self.at_once(task, context, move |context, task| {
                    landing::merge(context, task, &base, &before)
                });
            }
        }
    }

    /// Prepares the task together with all others whose turn comes at the same time. If there are worktrees
    /// to be used again, those that get none wait for the next.
    fn prepare(&self, task: Task, context: Arc<Context>) {
        let outbox = self.outbox.clone();
        context.waiting().push(task);
        let awaited = context.recycling.clone().filter(|recycling| recycling.is_awaited(&self.run));
        tokio::spawn(async move {
            let turns = context.clone();
            let _turn = turns.checkouts.acquire().await;
            let spares = match awaited {
                Some(recycling) => recycling.wait().await,
                None => 0,
            };
            let waiting = context.next_waiting(spares);
            if !waiting.is_empty() {
                prepare_together(waiting, &context, &outbox).await;
            }
        });
    }

    /// Publishes candidates, each of which stands on the one before.
    fn publish(&self, chain: Vec<Task>, context: Arc<Context>) {
        let (outbox, failed) = (self.outbox.clone(), chain.iter().map(failure_event).collect());
        tokio::spawn(async move {
            let published = tokio::task::spawn_blocking(move || landing::publish(&context, &chain)).await;
            published.unwrap_or(failed).into_iter().for_each(|event| outbox.event(event));
        });
    }

    /// The tasks that landed, or are to land before the next one.
    fn before(&self) -> impl Iterator<Item = &Task> {
        let before = |t: &&Task| t.landed().is_some() || t.state == TaskState::Integrating;
        self.run.tasks.iter().filter(before)
    }

    /// Makes the way on which the task's agent or check is told to stop.
    fn attend(&mut self, name: &TaskName, dir: PathBuf) -> mpsc::UnboundedReceiver<crate::shim::Request> {
        let (requests, receiver) = mpsc::unbounded_channel();
        self.agents.insert(name.clone(), Attended { requests, dir });
        receiver
    }

    /// Sends off a worker that waits its turn among others like it.
    fn queued(
        &self,
        task: Task,
        context: Arc<Context>,
        of: impl Fn(&Context) -> &Semaphore + Send + 'static,
        work: impl Work,
    ) {
        let (outbox, failed) = (self.outbox.clone(), failure_event(&task));
        tokio::spawn(async move {
            let turns = context.clone();
            let _turn = of(&turns).acquire().await;
            outbox.event(blocking(task, context, work).await.unwrap_or(failed));
        });
    }

    /// Sends off a worker that must not wait behind a hundred checkouts: there is one of its kind.
    fn at_once(&self, task: Task, context: Arc<Context>, work: impl Work) {
        let (outbox, failed) = (self.outbox.clone(), failure_event(&task));
        tokio::spawn(async move {
            outbox.event(blocking(task, context, work).await.unwrap_or(failed));
        });
    }
}

/// Writes the files of several worktrees in one pass; then each is finished by itself.
async fn prepare_together(tasks: Vec<Task>, context: &Arc<Context>, outbox: &Outbox) {
    let failed: Vec<Event> = tasks.iter().map(failure_event).collect();
    let shared = context.clone();
    let written = tokio::task::spawn_blocking(move || {
        let begun = git::waiting_in_parallel(tasks.iter(), |task| prepare::begin(&shared, task));
        let (mut ready, mut events) = (Vec::new(), Vec::new());
        for (begun, task) in begun.into_iter().zip(tasks) {
            match begun {
                Ok(begun) => ready.push((task, begun)),
                Err(error) => events.push(prepare::failed(&shared, &task, &error)),
            }
        }
        let (tasks, begun): (Vec<Task>, Vec<prepare::Begun>) = ready.into_iter().unzip();
        let results = prepare::write_files(&shared, &begun);
        (tasks.into_iter().zip(begun).zip(results).collect::<Vec<_>>(), events)
    });
    let Ok((written, events)) = written.await else {
        return failed.into_iter().for_each(|event| outbox.event(event));
    };
    events.into_iter().for_each(|event| outbox.event(event));
    for ((task, begun), result) in written {
        let (outbox, failed) = (outbox.clone(), failure_event(&task));
        let finish = move |context: &Context, task: &Task| {
            let finished = result.and_then(|filled| prepare::finish(context, task, begun, filled));
            finished.unwrap_or_else(|error| prepare::failed(context, task, &error))
        };
        let finished = blocking(task, context.clone(), finish);
        tokio::spawn(async move { outbox.event(finished.await.unwrap_or(failed)) });
    }
}

/// What a worker does: waits for git or the disk, and answers with a fact.
trait Work: FnOnce(&Context, &Task) -> Event + Send + 'static {}
impl<F: FnOnce(&Context, &Task) -> Event + Send + 'static> Work for F {}

/// Runs a worker on a thread of its own. One that panics is a failed worker, and fails its task alone.
async fn blocking(
    task: Task,
    context: Arc<Context>,
    work: impl Work,
) -> Result<Event, tokio::task::JoinError> {
    tokio::task::spawn_blocking(move || work(&context, &task)).await
}

/// What to record of a task whose worker died on the way.
fn failure_event(task: &Task) -> Event {
    let name = task.name().clone();
    let reason = "git parallel itself failed here; please report it".to_owned();
    match task.state {
        TaskState::Preparing => Event::PrepareFailed { task: name, reason },
        TaskState::Finished | TaskState::Integrating => Event::Held { task: name, reason, tip: None },
        TaskState::Conflicted => Event::Unresolved { task: name, reason },
        TaskState::Landed | TaskState::Unchanged => Event::CleanedUp {
            task: name,
            cleanup: CleanUp { worktree_kept: Some(reason.clone()), branch_kept: Some(reason) },
        },
        _ => Event::Collected { task: name, work: Default::default(), note: Some(reason) },
    }
}
