//! The supervisor: the only async code, and the only owner of a run's state.
//!
//! [`Engine::drive`] is one loop. Workers (preparing, agents, landing, ...) are sent off by actions and
//! report back by events; whatever wakes the loop, it does the same three things in the same order:
//! append the event to the journal, apply it to the run, show it. Then it asks [`decide`] what can be
//! started now, journals the intents, and sends the workers off. An error of a worker is an event like
//! any other, so nothing can leave the loop and strand an agent; only a journal that can't be written
//! ends it early, after the agents were stopped.

mod agent;
mod cleanup;
mod collect;
mod command;
mod context;
pub mod control;
mod ending;
mod foresight;
mod gates;
mod hooks;
mod include;
mod keys;
mod landed;
mod landing;
mod notice;
mod pacing;
pub mod preflight;
mod prepare;
mod progress;
mod recover;
mod recycling;
mod resolver;
mod runner;
mod settling;
mod setup;
mod signals;
pub mod ssh;
mod stopping;
mod trouble;
pub mod undo;
mod usage;
mod verify;
mod workers;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use agent::WantedOutput;
pub use cleanup::{
    remove as remove_task, remove_by_force as remove_task_by_force, would_remove as would_remove_task,
};
pub use collect::ABANDONED;
pub use context::Context;
pub use recycling::Recycle;

use crate::run::{Action, Event, Foreseen, Record, Run, Stop, StopCause, TaskName, TaskState, Work, decide};
use crate::shim;
use crate::store::Journal;
use crate::ui::{self, Ui};
use control::Request;
use foresight::Foresight;

/// Nothing has happened for so long that it may be hours before something does.
const QUIET: Duration = Duration::from_secs(1);

/// What wakes the loop.
#[derive(Debug)]
enum Message {
    Event(Event),
    Request(Request),
    Signal(StopCause),
    /// Ctrl-Z.
    Suspend,
    /// For people.
    Note(String),
    /// One more agent could not be started, for this reason.
    NoRoom(TaskName, String),
    /// All that would conflict if it were landed now.
    Foreseen(Vec<Foreseen>),
    /// What tasks have on their branches by now.
    Made(Vec<(TaskName, Work)>),
    Terminal(keys::Terminal),
}

/// Where workers send what they have to say.
#[derive(Clone, Debug)]
struct Outbox {
    messages: UnboundedSender<Message>,
    output: Sender<(TaskName, Vec<u8>)>,
}

impl Outbox {
    fn event(&self, event: Event) {
        // The loop outlives its workers; if it is gone, so is whoever would care.
        let _ = self.messages.send(Message::Event(event));
    }

    fn note(&self, text: String) {
        let _ = self.messages.send(Message::Note(text));
    }

    fn no_room(&self, task: TaskName, why: String) {
        let _ = self.messages.send(Message::NoRoom(task, why));
    }
}

/// A task's agent, or the check of its candidate: how to reach it.
struct Attended {
    requests: UnboundedSender<shim::Request>,
    /// The directory of its shim.
    dir: PathBuf,
}

/// A run being driven by this process, which holds the repository's lock.
pub struct Engine {
    context: Arc<Context>,
    run: Run,
    journal: Journal,
    ui: Ui,
    outbox: Outbox,
    inbox: UnboundedReceiver<Message>,
    output: Receiver<(TaskName, Vec<u8>)>,
    agents: HashMap<TaskName, Attended>,
    wanted: WantedOutput,
    /// Takes requests while the run goes on.
    control: Option<control::Control>,
    foresight: Foresight,
    /// Notices that are being given.
    notices: JoinSet<notice::Told>,
    /// A person was told that they are needed.
    noticed: bool,
    /// Tasks that needed one before.
    known_needs: HashSet<TaskName>,
    machine: pacing::Machine,
    /// Keys for the live view.
    keys: Option<crate::sys::Keyboard>,
    broken: Option<anyhow::Error>,
}

impl Engine {
    /// An engine for a run as it stands, new or replayed.
    pub fn new(context: Context, run: Run, journal: Journal, ui: Ui, wanted: WantedOutput) -> Self {
        let (messages, inbox) = mpsc::unbounded_channel();
        let (output_sender, output) = mpsc::channel(64);
        Engine {
            context: Arc::new(context),
            run,
            journal,
            ui,
            outbox: Outbox { messages, output: output_sender },
            inbox,
            output,
            agents: HashMap::new(),
            wanted,
            control: None,
            foresight: Foresight::default(),
            notices: JoinSet::new(),
            noticed: false,
            known_needs: HashSet::new(),
            machine: pacing::Machine::default(),
            keys: None,
            broken: None,
        }
    }

    /// Sees the run through and returns it. `first` is what is asked at its start, after the run was
    /// taken: nothing for a new one, [`Event::LandRequested`] or [`Event::StopRequested`] for an old one.
    ///
    /// # Errors
    ///
    /// Only where the journal can't be written; agents were stopped then, and their work is kept.
    pub fn drive(mut self, first: Vec<Event>) -> Result<Run> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_keep_alive(Duration::from_millis(500))
            .build()
            .context("cannot start the supervisor")?;
        let result = runtime.block_on(self.run_loop(first));
        self.foresight.stop();
        self.give_keys_back();
        self.ui.finish(&self.run, Timestamp::now());
        if result.is_ok() {
            runtime.block_on(self.after_end());
        }
        // Workers that are still busy after a broken journal are not waited for.
        runtime.shutdown_background();
        result.map(|()| self.run)
    }

    async fn run_loop(&mut self, first: Vec<Event>) -> Result<()> {
        // Without it, what a killed shim leaves goes to init, and is found by its mark all the same.
        let _ = crate::sys::become_subreaper();
        signals::listen(self.outbox.clone()).context("cannot listen for signals")?;
        self.listen_to_terminal().context("cannot listen for signals")?;
        let control = control::listen(&self.context.dir.control(), self.outbox.clone())
            .context("cannot listen for requests");
        self.control = control.map_err(|e| self.ui.note(&format!("warning: {e:#}"))).ok();
        if !self.is_new() {
            verify::end_stray_checks(&self.context, &self.run).await;
            for task in self.run.tasks.iter().filter(|t| t.state == TaskState::Conflicted && t.working) {
                resolver::take_back(&self.context, task).await?;
            }
            setup::end_strays(&self.context, &self.run).await;
            command::end_leftovers(&self.context).await;
            for line in recover::recover(&self.context, &self.run)? {
                self.ui.note(&line);
            }
            match undo::look_after(&self.context, &self.run)? {
                Some(Ok(undone)) => self.record(undone),
                Some(Err(why)) => self.ui.note(&why),
                None => {}
            }
        }
        self.record(Event::RunStarted { pid: std::process::id() });
        self.fit_open_files();
        self.know_needs();
        self.foresight.start(self.context.clone(), self.outbox.clone(), self.ui.wants_keys());
        for event in first {
            self.request(event);
        }
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        // When memory is given back, unless something happens before.
        let mut quiet_at = Some(Instant::now() + QUIET);
        while self.broken.is_none() {
            self.end_pauses();
            self.act();
            self.foresight.follow(&self.run);
            self.notice_needs();
            if self.run.finished_at.is_some() {
                break;
            }
            tokio::select! {
                Some(message) = self.inbox.recv() => {
                    self.receive_all(message);
                    quiet_at = Some(Instant::now() + QUIET);
                }
                Some((task, bytes)) = self.output.recv() => self.ui.output(&task, &bytes),
                Some(told) = self.notices.join_next(), if !self.notices.is_empty() => {
                    self.noticed(told.unwrap_or(notice::Told::Given));
                }
                () = pacing::wait(&self.run) => {}
                () = sleep_until(quiet_at.unwrap_or_else(Instant::now)), if quiet_at.is_some() => {
                    crate::sys::give_memory_back();
                    quiet_at = None;
                }
                _ = ticks.tick(), if self.ui.wants_keys() => self.tick(),
            }
        }
        match self.broken.take() {
            Some(error) => Err(self.give_up(error).await),
            None => Ok(()),
        }
    }

    /// Whether this is the run's first supervisor.
    fn is_new(&self) -> bool {
        self.run.started == 0
    }

    /// Handles a message and all that have come since, so that one sync of the journal serves them all.
    fn receive_all(&mut self, first: Message) {
        self.receive(first);
        while let Ok(message) = self.inbox.try_recv() {
            self.receive(message);
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Event(event) => {
                if ends_a_process(&event) {
                    event.task().map(|task| self.agents.remove(task));
                    while let Ok((task, bytes)) = self.output.try_recv() {
                        self.ui.output(&task, &bytes);
                    }
                }
                self.record(event);
            }
            Message::Request(Request::Abort { tasks }) => {
                let (cause, stop) = (StopCause::Abort, Stop::Term);
                self.request(Event::StopRequested { tasks, cause, stop });
            }
            Message::Request(Request::Land { tasks, all }) => {
                for task in tasks {
                    self.request(Event::LandRequested { task, all });
                }
            }
            Message::Suspend => self.suspend(),
            Message::Note(text) => self.ui.note(&text),
            Message::NoRoom(task, why) => self.run_fewer(task, why),
            Message::Foreseen(foreseen) => self.foresee(foreseen),
            Message::Made(made) => self.ui.made(&self.run, Timestamp::now(), made),
            Message::Terminal(news) => self.at_terminal(news),
            Message::Signal(cause) => {
                let event = signals::respond(&self.run, cause);
                self.announce_stop(&event);
                self.request(event);
            }
        }
    }

    /// Records what a person or another process asked for, if it can be done.
    fn request(&mut self, event: Event) {
        match self.run.permits(&event) {
            Ok(()) => {
                self.stop_commands(&event);
                self.record(event);
            }
            Err(refused) => self.ui.note(&control::refusal(&refused)),
        }
    }

    /// Journal, state, screen: in this order.
    fn record(&mut self, event: Event) {
        if self.broken.is_some() {
            return;
        }
        let record = Record { at: Timestamp::now(), event };
        if let Err(illegal) = self.run.permits(&record.event) {
            return self.ui.note(&format!("warning: {illegal}"));
        }
        if let Err(e) = self.journal.append(&record) {
            self.broken = Some(e.into());
            return;
        }
        if self.run.apply(&record).is_ok() {
            crate::sys::trace(|| ui::told(&self.run, &record));
            self.ui.event(&self.run, &record);
        }
    }

    /// Starts all that can be started. The intents are on disk before any worker moves.
    fn act(&mut self) {
        self.look_at_machine();
        let mut actions = decide(&self.run);
        let mut next = 0;
        while next < actions.len() && self.broken.is_none() {
            if actions[next] == Action::Finish {
                self.tidy_up();
            }
            self.note_start(&actions[next]);
            self.record(actions[next].intent(&self.run));
            self.name_job(&actions[next]);
            next += 1;
            if next == actions.len() {
                self.look_at_machine();
                actions.extend(decide(&self.run));
            }
        }
        if actions.is_empty() {
            return;
        }
        if let Err(e) = self.journal.sync() {
            self.broken.get_or_insert(e.into());
        }
        if self.broken.is_some() {
            return;
        }
        for action in actions {
            match action {
                Action::Step { task, step } => self.send_worker(&task, &step),
                Action::Stop { task, stop } => {
                    if let Some(agent) = self.agents.get(&task) {
                        let _ = agent.requests.send(shim::Request::Stop(stop));
                    }
                }
                Action::OpenStage { stage } => {
                    let (context, outbox) = (self.context.clone(), self.outbox.clone());
                    let groups = self.run.groups_of(stage);
                    tokio::spawn(hooks::before_group(context, stage, groups, outbox));
                }
                // These are done by being recorded.
                Action::Conclude { .. }
                | Action::PutOff { .. }
                | Action::CallOff { .. }
                | Action::RollBack { .. }
                | Action::Block { .. }
                | Action::TakeUp { .. }
                | Action::Withhold { .. }
                | Action::Finish => {}
            }
        }
    }
}

/// Whether the event tells that the task's agent, or the check of its candidate, is over.
fn ends_a_process(event: &Event) -> bool {
    use Event::{AgentExited, Held, PrepareFailed, PutOff, Rejected, Resolved, SetUp, Unresolved, Verified};
    matches!(event, AgentExited { .. } | Verified { .. } | Rejected { .. } | Held { .. } | PutOff { .. })
        || matches!(event, Resolved { .. } | Unresolved { .. } | SetUp { .. } | PrepareFailed { .. })
}
