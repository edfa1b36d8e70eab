//! A shim's life, from its lock to its record.

use std::collections::HashSet;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::agent::Agent;
use super::control::{Control, Request};
use super::far::{self, Heart};
use super::log::Log;
use super::output::Output;
use super::report::Reporter;
use super::stopping::{GIVE_UP, Stopping};
use super::{ExitRecord, ShimSpec, code, files, record};
use crate::run::{Exit, Stop};
use crate::sys::{self, Process, Signal, words};

/// How long what an agent leaves behind may take to end by itself: the tail of a pipeline does.
const SETTLE: Duration = Duration::from_millis(100);
/// How long it has between TERM and KILL.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// How often to look whether it is gone: only our own children's deaths are told to us.
const LOOK: Duration = Duration::from_millis(50);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Runs the agent and sees to all that comes after; returns the shim's exit code.
pub async fn live(spec: &ShimSpec) -> u8 {
    let dir = spec.dir.as_path();
    let mut reporter = Reporter::new(spec);
    if let Some(far) = &spec.far {
        let exit = match far::claim(spec, far) {
            Ok(false) => return code::BUSY,
            Ok(true) => match far::check_worktree(spec, far).and_then(|()| Watch::begin(spec, &mut reporter))
            {
                Ok(watch) => watch.see_through().await,
                Err(why) => not_started(why),
            },
            Err(error) => not_started(format!("cannot write in '{}': {}", spec.dir, words(&error))),
        };
        let record = ExitRecord { attempt: spec.attempt, exit };
        let wanted = !far::is_superseded(dir, spec.attempt);
        return if wanted && record::write(dir, &record).is_ok() {
            code::RECORDED
        } else {
            code::NOT_RECORDED
        };
    }
    let (exit, alive) = match files::hold(dir) {
        Ok(None) => return code::BUSY,
        Ok(Some(_)) if files::is_outdated(dir, spec.attempt) => return code::BUSY,
        Err(error) => (not_started(format!("cannot lock '{}': {}", spec.dir, words(&error))), None),
        Ok(Some(alive)) => {
            let begun = files::claim(&alive, spec.attempt)
                .map_err(|error| format!("cannot write in '{}': {}", spec.dir, words(&error)))
                .and_then(|()| Watch::begin(spec, &mut reporter));
            match begun {
                Ok(watch) => {
                    // From here on it waits, for hours perhaps.
                    sys::give_memory_back();
                    (watch.see_through().await, Some(alive))
                }
                Err(why) => (not_started(why), Some(alive)),
            }
        }
    };
    let record = ExitRecord { attempt: spec.attempt, exit };
    let recorded = alive.is_some() && record::write(dir, &record).is_ok();
    reporter.exited(record).await;
    if recorded { code::RECORDED } else { code::NOT_RECORDED }
}

fn not_started(why: String) -> Exit {
    Exit { not_started: Some(why), ..Exit::default() }
}

/// What wakes the shim.
enum Wake {
    /// A child died.
    Child,
    /// Somebody wants something.
    Request(Request),
    /// It is time.
    Time,
}

/// Requests that come as signals: a way in that needs no file.
struct Signals {
    term: Arrivals,
    int: Arrivals,
    hup: Arrivals,
    quit: Arrivals,
    /// Its mere handler turns the death that a file size limit threatens into a failing write.
    _file_size: Arrivals,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            _file_size: signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?,
        })
    }

    async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.term.recv() => Request::Stop(Stop::Term),
            _ = self.int.recv() => Request::Stop(Stop::Term),
            _ = self.hup.recv() => Request::Stop(Stop::Term),
            _ = self.quit.recv() => Request::Stop(Stop::Kill),
        }
    }
}

/// What comes of it next; nothing ever, if it isn't there.
async fn next_of<T>(it: &mut Option<T>, next: impl AsyncFnOnce(&mut T) -> Request) -> Request {
    match it {
        Some(it) => next(it).await,
        None => std::future::pending().await,
    }
}

/// Everything that the shim keeps an eye on.
struct Watch<'a> {
    agent: Agent,
    output: Output,
    /// `None` far away: a FIFO does not reach another machine.
    control: Option<Control>,
    /// Beats far away.
    heart: Option<Heart>,
    signals: Signals,
    /// Tells of children's deaths; without a handler some parents' habits would keep them from us.
    deaths: Arrivals,
    reporter: &'a mut Reporter,
    stopping: Stopping,
    /// What got TERM already: to many programs a second one means "at once".
    termed: HashSet<Process>,
    /// KILL was asked for.
    hurry: bool,
}

impl<'a> Watch<'a> {
    /// Starts the agent. Its means of being stopped are there before it is.
    fn begin(spec: &ShimSpec, reporter: &'a mut Reporter) -> Result<Self, String> {
        let because = |what: &str, error: io::Error| format!("cannot {what}: {}", words(&error));
        let signals = Signals::new().map_err(|e| because("handle signals", e))?;
        let deaths = signal(SignalKind::child()).map_err(|e| because("handle signals", e))?;
        sys::become_subreaper().map_err(|e| because("take care of orphans", e))?;
        if let Some(count) = spec.open_files {
            sys::limit_open_files(count).map_err(|e| because("limit open files", e))?;
        }
        let dir = spec.dir.as_path();
        let inside = |what: &str| format!("make '{}/{what}'", spec.dir);
        let near = spec.far.is_none();
        let control =
            near.then(|| Control::make(dir).map_err(|e| because(&inside("control"), e))).transpose()?;
        let log =
            Log::open(dir, spec.attempt, spec.log_cap).map_err(|e| because(&inside("output.log"), e))?;
        let (agent, pipe) = Agent::start(spec)?;
        let heart = spec.far.as_ref().map(|far| Heart::start(spec, far, agent.pid));
        reporter.started(agent.pid);
        reporter.output(log.length());
        let limit = spec.timeout_ms.map(Duration::from_millis);
        let stopping = Stopping::new(Instant::now(), limit, Duration::from_millis(spec.grace_ms));
        let output = Output::new(pipe, log);
        let termed = HashSet::new();
        Ok(Watch { agent, output, control, heart, signals, deaths, reporter, stopping, termed, hurry: false })
    }

    /// Runs the agent to its end, ends what it leaves, and tells how it went.
    async fn see_through(mut self) -> Exit {
        self.run().await;
        let mut left_behind = self.end_leftovers().await;
        let status = self.agent.reap();
        if status.is_some() {
            left_behind += self.end_stragglers().await;
        }
        self.output.drain().await;
        self.output.log.finish();
        self.reporter.output(self.output.log.length());
        Exit {
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            timed_out: self.stopping.timed_out,
            stopped: self.stopping.stopped,
            left_behind,
            output_dropped: self.output.log.dropped(),
            not_started: None,
            limited: None,
            lost: None,
            usage: None,
        }
    }

    /// Waits for the agent itself, not for the end of its output: others may hold that open.
    async fn run(&mut self) {
        while !self.agent.has_exited() && !self.stopping.gives_up(Instant::now()) {
            let wake = self.wake(self.stopping.next()).await;
            // What comes after its end was not the cause of it.
            if self.agent.has_exited() {
                break;
            }
            let now = Instant::now();
            let signal = match wake {
                Wake::Child => None,
                Wake::Request(request) => self.stopping.request(request, now),
                Wake::Time => self.stopping.tick(now),
            };
            if let Some(signal) = signal {
                self.signal_all(signal);
            }
        }
    }

    /// Sleeps until something happens that calls for a decision. Output and reports flow meanwhile.
    async fn wake(&mut self, until: Option<Instant>) -> Wake {
        loop {
            let time = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let request = tokio::select! {
                _ = self.deaths.recv() => return Wake::Child,
                () = time => return Wake::Time,
                request = next_of(&mut self.control, Control::next) => request,
                request = next_of(&mut self.heart, Heart::live) => request,
                request = self.signals.next() => request,
                () = self.output.pump() => {
                    self.reporter.output(self.output.log.length());
                    continue;
                }
                () = self.reporter.due() => continue,
            };
            self.hurry |= request == Request::Stop(Stop::Kill);
            return Wake::Request(request);
        }
    }

    /// Signals the agent's process group at one stroke, and what left the group one by one.
    fn signal_all(&mut self, signal: Signal) {
        let all = sys::descendants(self.agent.pid).unwrap_or_default();
        let _ = sys::signal_group(self.agent.pid, signal);
        for process in all.iter().filter(|process| process.group != self.agent.pid) {
            let _ = sys::signal(process, signal);
        }
        if signal == Signal::TERM {
            self.termed.extend(all);
            // What is suspended can't act on it.
            self.signal_all(Signal::CONT);
        }
    }

    /// What lives of what the agent started.
    fn left(&self) -> Vec<Process> {
        let mut left = sys::descendants(self.agent.pid).unwrap_or_default();
        // On platforms that know groups only, the agent's id stands for its group.
        left.retain(|process| process.start == 0 || process.pid != self.agent.pid);
        left
    }

    /// Ends what the exited agent left behind; returns how many that were.
    async fn end_leftovers(&mut self) -> u32 {
        let settled = Instant::now() + SETTLE;
        let mut left = self.left();
        while !left.is_empty() && !self.hurry && Instant::now() < settled {
            self.wake(Some(settled.min(Instant::now() + LOOK / 5))).await;
            left = self.left();
        }
        let count = left.len();
        let now = Instant::now();
        // A stop's grace is for all that were told to stop, also if the agent itself was quick.
        let grace_over = self.stopping.kill_at().unwrap_or(now).max(now + LEFTOVER_GRACE);
        let kill_at = if self.stopping.is_killed() { now } else { grace_over };
        let mut killed = HashSet::new();
        while !left.is_empty() {
            let now = Instant::now();
            if now >= kill_at + GIVE_UP {
                self.note_survivors(&left);
                break;
            }
            let kill = self.hurry || now >= kill_at;
            let fresh = if kill { self.kill(&left, &mut killed) } else { self.term(&left) };
            // What still forks is looked at again at once.
            let pause = if kill && fresh { LOOK_AGAIN } else { LOOK };
            self.wake(Some(now + pause)).await;
            left = self.left();
        }
        // Nobody should be in the group any more; if the look was deceived, this is not.
        let _ = sys::signal_group(self.agent.pid, Signal::KILL);
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Sends TERM to those that did not get it yet; returns whether there were any.
    fn term(&mut self, processes: &[Process]) -> bool {
        let mut fresh = false;
        for process in processes {
            if self.termed.insert(*process) {
                let _ = sys::signal(process, Signal::TERM);
                let _ = sys::signal(process, Signal::CONT);
                fresh = true;
            }
        }
        fresh
    }

    /// Sends KILL to all; returns whether some had not got it yet.
    fn kill(&self, processes: &[Process], killed: &mut HashSet<Process>) -> bool {
        let _ = sys::signal_group(self.agent.pid, Signal::KILL);
        let mut fresh = false;
        for process in processes {
            let _ = sys::signal(process, Signal::KILL);
            fresh |= killed.insert(*process);
        }
        fresh
    }

    /// Reaps all orphans. As long as we have a child at all, something slipped through the looks; what
    /// has no child has no descendant.
    async fn end_stragglers(&mut self) -> u32 {
        let give_up = Instant::now() + GIVE_UP;
        let mut ended = HashSet::new();
        while sys::reap_all() && Instant::now() < give_up {
            let left = sys::descendants(0).unwrap_or_default();
            for process in &left {
                let _ = sys::signal(process, Signal::KILL);
            }
            ended.extend(left);
            self.wake(Some(Instant::now() + LOOK / 5)).await;
        }
        u32::try_from(ended.len()).unwrap_or(u32::MAX)
    }

    fn note_survivors(&mut self, left: &[Process]) {
        let pids: Vec<String> = left.iter().take(10).map(|process| process.pid.to_string()).collect();
        let text = format!("{} processes could not be ended: {}", left.len(), pids.join(" "));
        self.output.log.note(&text);
    }
}
