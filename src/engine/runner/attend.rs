//! Seeing one job through: submitting it, passing on what its shim writes and what it is asked, and its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use super::job::{LOG, last_line, write_job};
use super::next::{Known, Next};
use super::watch::{Followed, Sight, Watch};
use super::{Asked, JobState, Refusal, Submission};
use crate::engine::agent::{GRACE_MS, LogReader};
use crate::engine::{Context, Outbox};
use crate::run::{Event, Exit, Job, Runner, Stop, Task};
use crate::shim::{self, ShimSpec};

/// How often to look at a job that nothing is heard of: time may tell.
const LOOK: Duration = Duration::from_secs(2);

/// How often, and how long in between, a runner is asked how a job came to its end that it still ends.
const LAST_WORDS: u32 = 10;
const SETTLE: Duration = Duration::from_millis(500);

/// How long the reason why a job waits stands before another one is told.
const TELL: Duration = Duration::from_secs(20);

/// How long a shim has beyond the grace to end its agent, before its job is ended.
const MARGIN: Duration = Duration::from_secs(15);

/// A job to be seen through.
pub(in crate::engine) struct Order<'a> {
    pub(in crate::engine) runner: &'a Runner,
    pub(in crate::engine) job: &'a Job,
    pub(in crate::engine) task: &'a Task,
    pub(in crate::engine) spec: ShimSpec,
}

/// Sees a job through to its end. `started` is told of its agent.
pub(in crate::engine) async fn attend(
    context: &Context,
    order: Order<'_>,
    log: LogReader,
    stops: &mut UnboundedReceiver<shim::Request>,
    outbox: &Outbox,
    started: impl Fn(u32, String),
) -> Exit {
    let watch = context.runners.watch(order.runner);
    let dir = order.spec.dir.as_path().to_owned();
    let asked = Asked { token: order.job.token.clone(), id: order.job.id.clone() };
    let followed = watch.follow(asked, dir, order.spec.attempt);
    let known = Known {
        submitted: order.job.id.is_some(),
        times: 0,
        since: Instant::now(),
        beat: watch.desk.beat(),
        lost_after: watch.desk.lost_after(),
    };
    let stop_asked = order.task.stop.is_some();
    let mut attendant = Attendant {
        order,
        watch,
        followed,
        known,
        log,
        outbox,
        told: None,
        stop_asked,
        end_at: None,
        doubtful: false,
    };
    attendant.see_through(stops, started).await
}

struct Attendant<'a> {
    order: Order<'a>,
    watch: Arc<Watch>,
    followed: Followed,
    known: Known,
    log: LogReader,
    outbox: &'a Outbox,
    /// What was last told of its waiting.
    told: Option<(String, Instant)>,
    /// Somebody asked for its end.
    stop_asked: bool,
    /// When its job is ended if its shim does not do what it is asked.
    end_at: Option<Instant>,
    /// There may be more than one job of its name.
    doubtful: bool,
}

impl Attendant<'_> {
    async fn see_through(
        &mut self,
        stops: &mut UnboundedReceiver<shim::Request>,
        started: impl Fn(u32, String),
    ) -> Exit {
        let mut is_started = self.order.task.pid.is_some();
        if self.order.job.inherited {
            self.doubtful = true;
            self.followed.wake();
        } else if let Ok(shim::Request::Stop(_)) = stops.try_recv() {
            return stopped();
        } else if let Some(exit) = self.submit(stops).await {
            return exit;
        }
        loop {
            let sight = self.followed.sight.borrow_and_update().clone();
            if let Some(beat) = sight.signs.beat.as_ref().filter(|_| !is_started) {
                is_started = true;
                started(beat.pid, beat.host.clone());
            }
            self.pass_output(sight.signs.log).await;
            self.tell_wait(&sight);
            let exit = match self.known.next(&sight, Instant::now()) {
                Next::Wait => None,
                Next::Submit => self.submit(stops).await,
                Next::Void(how) => self.void(how).await,
                Next::Lost(how) => Some(self.lost(how).await),
                Next::Ended(exit) => Some(self.ended(exit).await),
            };
            if let Some(exit) = exit {
                return exit;
            }
            self.end_if_due().await;
            tokio::select! {
                _ = self.followed.sight.changed() => {}
                Some(shim::Request::Stop(stop)) = stops.recv() => {
                    if let Some(exit) = self.stop(stop).await {
                        return exit;
                    }
                }
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Submits the job. Gives an exit if that can't be, or if somebody calls it off meanwhile.
    async fn submit(&mut self, stops: &mut UnboundedReceiver<shim::Request>) -> Option<Exit> {
        let tried = {
            let try_it = self.try_submit();
            tokio::pin!(try_it);
            tokio::select! {
                tried = &mut try_it => tried,
                Some(shim::Request::Stop(stop)) = stops.recv() => Err(Tried::Stopped(stop)),
            }
        };
        self.known.since = Instant::now();
        match tried {
            Ok(id) => {
                self.followed.name(&id);
                self.known.submitted = true;
                self.known.times += 1;
                self.doubtful |= self.known.times > 1;
                let task = self.order.task.name().clone();
                self.outbox.event(Event::Submitted { task, job: id });
                None
            }
            Err(Tried::Refused(Refusal::ForGood(why))) => Some(not_started(why)),
            Err(Tried::Refused(Refusal::ForNow(why))) => {
                self.doubtful = true;
                self.tell(why);
                None
            }
            Err(Tried::Stopped(stop)) => {
                self.doubtful = true;
                self.stop(stop).await
            }
        }
    }

    async fn try_submit(&self) -> Result<String, Tried> {
        let spec = &self.order.spec;
        let program = &self.order.runner.program;
        let script = write_job(spec, program).map_err(|e| {
            let why = format!("cannot write in '{}': {}", spec.dir, crate::sys::words(&e));
            Tried::Refused(Refusal::ForGood(why))
        })?;
        let job = Asked { token: self.order.job.token.clone(), id: None };
        let log = spec.dir.as_path().join(LOG);
        let submission = Submission { job: &job, script: &script, log: &log, env: &spec.env };
        self.watch.desk.submit(&submission).await.map_err(Tried::Refused)
    }

    /// Passes on that somebody wants the end. An attempt that no job has taken up yet ends with that.
    async fn stop(&mut self, stop: Stop) -> Option<Exit> {
        self.stop_asked = true;
        let spec = &self.order.spec;
        let (dir, attempt) = (spec.dir.as_path(), spec.attempt);
        if shim::call_off(dir, attempt).unwrap_or(false) {
            self.cancel().await;
            return Some(stopped());
        }
        let grace = match stop {
            Stop::Term => Duration::from_millis(GRACE_MS) + MARGIN,
            Stop::Kill => MARGIN,
        };
        // If it can't be asked, its job ends by force.
        let asked = shim::ask_to_stop(dir, attempt, stop);
        let end_at = Instant::now() + if asked.is_ok() { grace } else { Duration::ZERO };
        self.end_at = Some(self.end_at.map_or(end_at, |before| before.min(end_at)));
        self.followed.wake();
        None
    }

    /// Ends the job of a shim that did not do what it was asked, by what the runner has for that.
    async fn end_if_due(&mut self) {
        if self.end_at.is_some_and(|at| at <= Instant::now()) {
            self.cancel().await;
            self.end_at = Some(Instant::now() + MARGIN);
        }
    }

    /// The job is over and no agent was started; none will be, if it has a say.
    async fn void(&mut self, how: String) -> Option<Exit> {
        let spec = &self.order.spec;
        // Where nothing can be written, no job can start anything either.
        if matches!(shim::call_off(spec.dir.as_path(), spec.attempt), Ok(false)) {
            return None;
        }
        self.cancel().await;
        if self.stop_asked {
            return Some(stopped());
        }
        let said = last_line(&spec.dir.as_path().join(LOG));
        Some(not_started(match said {
            Some(said) => format!("{how} before its agent started: {said}"),
            None => format!("{how} before its agent started"),
        }))
    }

    async fn lost(&mut self, how: String) -> Exit {
        self.cancel().await;
        if self.stop_asked { stopped() } else { Exit { lost: Some(how), ..Exit::default() } }
    }

    /// An agent that was stopped, and not by us, was stopped by the scheduler, or by somebody there.
    async fn ended(&mut self, exit: Exit) -> Exit {
        if self.doubtful {
            self.cancel().await;
        }
        // A shell that ends because a signal ended its command says so by its code.
        let is_odd = exit.stopped || exit.signal.is_some() || matches!(exit.code, Some(129..=192));
        if !is_odd || self.stop_asked {
            return exit;
        }
        let how = match self.who_ended_it().await {
            Some(how) => how,
            None if exit.stopped => "was ended there".to_owned(),
            None => return exit,
        };
        let name = &self.order.runner.name;
        Exit { stopped: false, lost: Some(format!("its job {how} (by {name})")), ..exit }
    }

    /// What its runner says of a job whose agent was sent a signal, and not by us.
    async fn who_ended_it(&self) -> Option<String> {
        let job = Asked { token: self.order.job.token.clone(), id: self.order.job.id.clone() };
        for _ in 0..LAST_WORDS {
            let said = self.watch.desk.states(std::slice::from_ref(&job)).await.ok()?;
            match said.get(&job.token)? {
                JobState::Cut(how) | JobState::Broken(how) => return Some(how.clone()),
                JobState::Ended(_) => return None,
                JobState::Waits(_) | JobState::Runs => sleep(SETTLE).await,
            }
        }
        None
    }

    async fn cancel(&self) {
        let asked = Asked { token: self.order.job.token.clone(), id: self.order.job.id.clone() };
        if let Err(why) = self.watch.desk.cancel(&asked).await {
            let name = self.order.task.name();
            self.outbox
                .note(format!("warning: {name}: its job {} could not be cancelled: {why}", asked.token));
        }
    }

    async fn pass_output(&mut self, length: u64) {
        while let Some(text) = self.log.read(length) {
            let _ = self.outbox.output.send((self.order.task.name().clone(), text)).await;
        }
    }

    /// Tells why it does not start, each reason once.
    fn tell_wait(&mut self, sight: &Sight) {
        if sight.signs.claimed {
            return;
        }
        if let Some(why) = &sight.trouble {
            return self.tell(why.clone());
        }
        if let Some((_, Some(JobState::Waits(reason)))) = &sight.answer
            && !reason.is_empty()
        {
            self.tell(reason.clone());
        }
    }

    fn tell(&mut self, reason: String) {
        // Reasons may come and go.
        let again = self.told.as_ref().is_none_or(|(told, at)| *told != reason && at.elapsed() > TELL);
        if again {
            self.told = Some((reason.clone(), Instant::now()));
            self.outbox.event(Event::JobWaits { task: self.order.task.name().clone(), reason });
        }
    }
}

enum Tried {
    Refused(Refusal),
    Stopped(Stop),
}

fn stopped() -> Exit {
    Exit { stopped: true, ..Exit::default() }
}

fn not_started(why: String) -> Exit {
    Exit { not_started: Some(why), ..Exit::default() }
}
