//! Seeing one task's agent through that runs on a host: from a place on one to its end, also across connections and
//! hosts that go away.

mod bring;
mod leave;
mod visit;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

use super::super::agent::LogReader;
use super::super::runner::new_token;
use super::super::{Context, Outbox};
use super::link::{Heard, Trouble};
use super::order;
use super::pool::{Hosts, Seat};
use super::strays;
use super::ticket::{Fate, Given, Ticket};
use crate::run::{Event, Exit, Job, Runner, Ssh, SshHost, Stop, Task};
use crate::shim::{self, Request};

pub(super) use bring::gather;
pub(super) use visit::open;

/// How long to wait before a host is tried again.
const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(30);
/// How long to wait for room before that is told.
const ROOM: Duration = Duration::from_millis(50);
/// How often a host may answer that it can't, of a job that it had begun.
const MOST_REFUSALS: u32 = 5;
/// How long a host has beyond the grace to tell of an end that was asked for.
const MARGIN: Duration = Duration::from_secs(10);

type Stops = UnboundedReceiver<Request>;

/// Sees a task's agent through to its end.
pub(in crate::engine) async fn attend(
    context: &Arc<Context>,
    (runner, ssh): (&Runner, &Ssh),
    (task, job): (&Task, &Job),
    log: LogReader,
    stops: &mut Stops,
    outbox: &Outbox,
) -> Exit {
    let ticket = match Ticket::read(&context.dir.task(task.name()), task.attempt) {
        Ok(ticket) => ticket,
        Err(e) => return not_started(format!("{e:#}")),
    };
    let hosts = context.runners.hosts(runner, ssh);
    let stop = task.stop.map(|_| Instant::now());
    let tired_of = ticket.jobs.iter().filter(|given| given.fate == Fate::Stray && given.begun);
    let mut attendant = Attendant {
        tired_of: tired_of.map(|given| given.host.clone()).collect(),
        stop: stop.map(|at| (task.stop.unwrap_or(Stop::Term), at)),
        started: task.pid.is_some(),
        context,
        runner,
        ssh,
        task,
        job,
        hosts,
        ticket,
        log,
        outbox,
        why: String::new(),
        told: None,
    };
    let exit = attendant.see_through(stops).await.unwrap_or_else(not_started);
    attendant.clean_up().await;
    exit
}

struct Attendant<'a> {
    context: &'a Arc<Context>,
    runner: &'a Runner,
    ssh: &'a Ssh,
    task: &'a Task,
    job: &'a Job,
    hosts: Arc<Hosts>,
    ticket: Ticket,
    log: LogReader,
    outbox: &'a Outbox,
    /// Somebody asked for its end.
    stop: Option<(Stop, Instant)>,
    /// It was told that its agent runs.
    started: bool,
    /// Hosts that can't do it, or were given up.
    tired_of: Vec<String>,
    /// Why the last one was.
    why: String,
    /// Why it waits, as it was last told.
    told: Option<String>,
}

/// What became of a job on a host.
enum Ending {
    /// It ended.
    Ended(Exit),
    /// Another host is to have it.
    Moved,
}

impl Attendant<'_> {
    async fn see_through(&mut self, stops: &mut Stops) -> Result<Exit, String> {
        let dir = self.context.dir.task(self.task.name());
        if let Ok(Some(exit)) = shim::exit_record(&dir, self.task.attempt) {
            // All of it is here, or as much as can be.
            match self.ticket.jobs.last() {
                Some(given) if given.fate == Fate::Started && given.keeps => self.set(Fate::Kept)?,
                Some(given) if matches!(given.fate, Fate::Started | Fate::Fetched) => {
                    self.forget(Fate::Fetched).await?;
                }
                _ => {}
            }
            return Ok(exit);
        }
        if self.ticket.standing.is_none() {
            let standing = order::standing(self.task).await.map_err(|e| format!("{e:#}"))?;
            self.ticket.standing = Some(standing);
        }
        loop {
            let seat = match self.seat(stops).await? {
                Ok(seat) => seat,
                Err(exit) => return Ok(exit),
            };
            if let Ending::Ended(exit) = self.see_job(&seat.host, stops).await? {
                return Ok(exit);
            }
        }
    }

    /// A place on a host, that of its present job if there is one. It is on disk after this.
    async fn seat(&mut self, stops: &mut Stops) -> Result<Result<Seat, Exit>, String> {
        if let Some(given) = self.ticket.present() {
            let seat = self.hosts.take_on(&given.host);
            return Ok(seat.ok_or_else(|| lost(format!("'{}' is no host of the run", given.host))));
        }
        if self.stop.is_some() {
            return Ok(Err(stopped()));
        }
        let (hosts, tired_of) = (self.hosts.clone(), self.tired_of.clone());
        let taking = hosts.take(&tired_of);
        tokio::pin!(taking);
        let seat = match timeout(ROOM, &mut taking).await {
            Ok(seat) => seat,
            Err(_) => {
                self.tell("no host has room".to_owned());
                tokio::select! {
                    seat = &mut taking => seat,
                    Some(Request::Stop(_)) = stops.recv() => return Ok(Err(stopped())),
                }
            }
        };
        self.told = None;
        let Some(seat) = seat else {
            let was_begun = self.ticket.jobs.iter().any(|given| given.begun);
            let why = self.why.clone();
            return Ok(Err(if was_begun { lost(why) } else { not_started(why) }));
        };
        let is_first = self.ticket.jobs.is_empty();
        let token = if is_first { self.job.token.clone() } else { new_token() };
        let (host, task) = (seat.host.name.clone(), self.task.name().clone());
        let path = self.context.dir.log(&task);
        if self.ticket.jobs.last().is_some_and(|last| last.begun) {
            let _ = append(&path, format!("\n[git-parallel: begun again on {host}]\n").as_bytes());
        }
        let log = path.metadata().map_or(0, |meta| meta.len());
        self.ticket.jobs.push(Given {
            host: host.clone(),
            token: token.clone(),
            log,
            fate: Fate::Given,
            begun: false,
            keeps: false,
        });
        self.write()?;
        if !is_first {
            let runner = self.runner.name.clone();
            self.started = false;
            self.outbox.event(Event::Submitting { task: task.clone(), runner, token });
        }
        self.outbox.event(Event::Submitted { task, job: host });
        Ok(Ok(seat))
    }

    fn write(&self) -> Result<(), String> {
        self.ticket.write().map_err(|e| format!("{e:#}"))
    }

    fn set(&mut self, fate: Fate) -> Result<(), String> {
        self.ticket.set(fate).map_err(|e| format!("{e:#}"))
    }

    fn is_started(&self) -> bool {
        self.ticket.present().is_some_and(|given| given.fate == Fate::Started)
    }

    /// Sees the present job through, as often as the connection is cut.
    async fn see_job(&mut self, host: &SshHost, stops: &mut Stops) -> Result<Ending, String> {
        let heard = Heard::now();
        let (mut pause, mut refusals) = (FIRST, 0);
        let lost_after = Duration::from_millis(self.runner.lost_after_ms);
        loop {
            let trouble = match self.visit(host, &heard, stops).await {
                Ok(exit) => return Ok(Ending::Ended(exit)),
                Err(trouble) => trouble,
            };
            if let Some(exit) = self.call_off(host).await? {
                return Ok(Ending::Ended(exit));
            }
            if trouble == Trouble::Off {
                continue;
            }
            let name = &host.name;
            self.why = format!("{name}: {}", trouble.words());
            let is_cut = matches!(trouble, Trouble::Cut(_));
            if is_cut && self.hosts.set_away(name, true) {
                strays::look_after(self.context, self.runner, host, self.outbox);
            }
            let is_over = heard.silence() >= lost_after;
            if !self.is_started() {
                let has_other = self.hosts.has_other(name, &self.tired_of);
                if !is_cut || is_over {
                    self.tired_of.push(name.clone());
                }
                if !is_cut || is_over || has_other {
                    self.note(&format!("{}; another host is to have it", self.why), has_other);
                    self.set(Fate::Stray)?;
                    return Ok(Ending::Moved);
                }
            } else if is_over {
                self.give_up(host, lost_after)?;
                return Ok(Ending::Moved);
            }
            refusals = if is_cut { 0 } else { refusals + 1 };
            if refusals == MOST_REFUSALS {
                let why = self.why.clone();
                let exit = self.keep(host, Exit::default(), &why).map_err(|e| e.words().to_owned())?;
                self.record(&exit);
                self.set(Fate::Kept)?;
                return Ok(Ending::Ended(exit));
            }
            self.tell(trouble.words().to_owned());
            if heard.silence() < pause {
                pause = FIRST;
            }
            let nap = pause.min((lost_after / 4).max(Duration::from_millis(100)));
            tokio::select! {
                () = sleep(nap) => {}
                Some(Request::Stop(stop)) = stops.recv() => self.ask_for_end(stop),
            }
            pause = (pause * 2).min(MOST);
        }
    }

    fn note(&self, text: &str, wanted: bool) {
        if wanted {
            self.outbox.note(format!("note: {}: {text}", self.task.name()));
        }
    }

    fn ask_for_end(&mut self, stop: Stop) {
        let at = self.stop.map_or_else(Instant::now, |(_, at)| at);
        self.stop = Some((self.stop.map_or(stop, |(before, _)| before.max(stop)), at));
    }

    /// Tells why it waits, each reason once.
    fn tell(&mut self, reason: String) {
        if self.told.as_ref() != Some(&reason) {
            self.told = Some(reason.clone());
            self.outbox.event(Event::JobWaits { task: self.task.name().clone(), reason });
        }
    }
}

fn failed(e: anyhow::Error) -> Trouble {
    Trouble::Bad(format!("{e:#}"))
}

fn append(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    std::io::Write::write_all(&mut file, bytes)
}

fn stopped() -> Exit {
    Exit { stopped: true, ..Exit::default() }
}

fn not_started(why: String) -> Exit {
    Exit { not_started: Some(why), ..Exit::default() }
}

fn lost(why: String) -> Exit {
    Exit { lost: Some(why), ..Exit::default() }
}
