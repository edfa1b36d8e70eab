//! Seeing one job through: submitting it, passing on what its shim writes and what it is asked, and its end.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use super::watch::{Followed, Sight, Watch};
use super::{Asked, JobState, Refusal, Submission};
use crate::engine::agent::{GRACE_MS, LogReader};
use crate::engine::{Context, Outbox};
use crate::run::{Event, Exit, Job, Runner, Stop, Task, Text};
use crate::shim::{self, Far, ShimSpec};

/// How often to look at a job that nothing is heard of: time may tell.
const LOOK: Duration = Duration::from_secs(2);

/// How long the reason why a job waits stands before another one is told.
const TELL: Duration = Duration::from_secs(20);

/// How long a shim has beyond the grace to end its agent, before its job is ended.
const MARGIN: Duration = Duration::from_secs(15);

/// How often a job is submitted that gets lost before it starts.
const MOST_TIMES: u32 = 5;

/// A job to be seen through.
pub(in crate::engine) struct Order<'a> {
    pub(in crate::engine) runner: &'a Runner,
    pub(in crate::engine) job: &'a Job,
    pub(in crate::engine) task: &'a Task,
    pub(in crate::engine) spec: ShimSpec,
}

/// What is to be done about a job.
#[derive(Clone, PartialEq, Debug)]
enum Next {
    /// Nothing.
    Wait,
    /// It was not submitted, or got lost before it started: it is to be submitted.
    Submit,
    /// It is over, and no agent was started.
    Void(String),
    /// It is over, as far as anybody can tell.
    Lost(String),
    /// It is over.
    Ended(Exit),
}

/// What is known of a job beside what is seen of it.
struct Known {
    /// It is known to have been submitted.
    submitted: bool,
    /// How often this process has submitted it.
    times: u32,
    /// What was said before does not count.
    since: Instant,
    beat: Duration,
    lost_after: Duration,
}

impl Known {
    fn may_submit(&self) -> bool {
        self.times < MOST_TIMES
    }

    fn next(&self, sight: &Sight, now: Instant) -> Next {
        if let Some(exit) = &sight.signs.exit {
            return Next::Ended(exit.clone());
        }
        // A failed query means that nobody knows, and not that there is nothing.
        let Some((_, state)) = sight.answer.as_ref().filter(|(asked_at, _)| *asked_at >= self.since) else {
            return Next::Wait;
        };
        let silence = now.saturating_duration_since(sight.moved_at.max(self.since));
        let settled = silence >= self.beat * 3;
        match state {
            Some(JobState::Waits(_) | JobState::Runs) => Next::Wait,
            // Whichever of them comes first claims the attempt, so another one does no harm.
            Some(JobState::Broken(_)) if !sight.signs.claimed && self.may_submit() => Next::Submit,
            Some(JobState::Ended(how) | JobState::Broken(how)) if !sight.signs.claimed => {
                Next::Void(format!("its job {how}"))
            }
            // What it wrote last may still be on its way; and a node that is given up may live.
            Some(JobState::Ended(how) | JobState::Broken(how)) if settled => {
                Next::Lost(format!("its job {how}"))
            }
            None if !sight.signs.claimed && (!self.submitted || settled && self.may_submit()) => Next::Submit,
            None if !sight.signs.claimed && settled => Next::Void("its job is gone".to_owned()),
            None if sight.signs.claimed && silence >= self.lost_after => {
                let seconds = self.lost_after.as_secs();
                Next::Lost(format!("its job is gone, without a sign of life for {seconds} s"))
            }
            Some(JobState::Ended(_) | JobState::Broken(_)) | None => Next::Wait,
        }
    }
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
        if !shim::call_off(spec.dir.as_path(), spec.attempt).unwrap_or(false) {
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

    /// A shim that was stopped and not by us was stopped by the scheduler, or by somebody there.
    async fn ended(&mut self, exit: Exit) -> Exit {
        if self.doubtful {
            self.cancel().await;
        }
        if !exit.stopped || self.stop_asked {
            return exit;
        }
        let job = Asked { token: self.order.job.token.clone(), id: None };
        let said = self.watch.desk.states(std::slice::from_ref(&job)).await.unwrap_or_default();
        let how = match said.get(&job.token) {
            Some(JobState::Ended(how) | JobState::Broken(how)) => how.clone(),
            _ => "was ended there".to_owned(),
        };
        let name = &self.order.runner.name;
        Exit { stopped: false, lost: Some(format!("its job {how} (by {name})")), ..exit }
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

/// What the job itself says, beside what its agent does.
const LOG: &str = "job.log";

fn stopped() -> Exit {
    Exit { stopped: true, ..Exit::default() }
}

fn not_started(why: String) -> Exit {
    Exit { not_started: Some(why), ..Exit::default() }
}

/// Writes what the job is to do; gives the program that does it.
fn write_job(spec: &ShimSpec, program: &Text) -> std::io::Result<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let file = shim::write_spec(spec)?;
    let script = file.with_extension("sh");
    let quoted = |text: &[u8]| {
        shlex::bytes::try_quote(text).map(std::borrow::Cow::into_owned).map_err(std::io::Error::other)
    };
    let program = quoted(program.as_bstr())?;
    let file = quoted(file.as_os_str().as_encoded_bytes())?;
    let text = [b"#!/bin/sh\nexec ", &program[..], b" shim ", &file[..], b"\n"].concat();
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700))?;
    Ok(script)
}

fn last_line(log: &Path) -> Option<String> {
    const MOST: u64 = 2_000;
    let text = crate::engine::command::end_of(log, MOST);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

/// The spec of a shim as a job far away needs it.
pub(in crate::engine) fn for_job(spec: ShimSpec, job: &Job, runner: &Runner) -> ShimSpec {
    let beat = super::Desk::new(runner.clone()).beat();
    let far = Far {
        token: job.token.clone(),
        beat_ms: u64::try_from(beat.as_millis()).unwrap_or(u64::MAX),
        git_file: git_file(spec.cwd.as_path()),
    };
    ShimSpec { far: Some(far), ..spec }
}

/// What a worktree's `.git` file says.
fn git_file(worktree: &Path) -> Option<Text> {
    std::fs::read(worktree.join(".git")).ok().map(|bytes| Text::from(bytes.as_slice()))
}

/// Ends a job that a dead supervisor left, and waits until it has ended: nobody wants its result, and what it works in
/// is wanted again. One of which nothing can be heard is given up after a while.
pub(in crate::engine) async fn end_stray(context: &Context, runner: &Runner, job: &Job, dir: &Path) {
    let desk = &context.runners.watch(runner).desk;
    let asked = Asked { token: job.token.clone(), id: job.id.clone() };
    let begin = Instant::now();
    let mut next = shim::next_claim(dir);
    while begin.elapsed() < desk.lost_after() {
        // What is in the queue, or on its way there, starts nothing any more.
        let barred = shim::call_off(dir, next);
        if matches!(barred, Ok(false)) {
            // It started just now.
            next += 1;
            continue;
        }
        let (barred, last) = (barred.is_ok(), next - 1);
        let works =
            last > 0 && shim::signs(dir, last).is_ok_and(|signs| signs.claimed && signs.exit.is_none());
        let _ = desk.cancel(&asked).await;
        if barred && !works {
            return;
        }
        let _ = shim::ask_to_stop(dir, last, Stop::Kill);
        let states = desk.states(std::slice::from_ref(&asked)).await;
        if states.is_ok_and(|states| {
            !matches!(states.get(&asked.token), Some(JobState::Waits(_) | JobState::Runs))
        }) {
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shim::Signs;

    const BEAT: Duration = Duration::from_secs(5);
    const LOST_AFTER: Duration = Duration::from_secs(270);

    struct Case {
        claimed: bool,
        submitted: bool,
        times: u32,
        silent: Duration,
        /// Before or after what counts, and what it said.
        answer: Option<(bool, Option<JobState>)>,
    }

    fn next(case: Case) -> Next {
        let begin = Instant::now();
        let since = begin + Duration::from_secs(10);
        let asked_at = |counts| if counts { since + BEAT } else { begin };
        let sight = Sight {
            signs: Signs { claimed: case.claimed, ..Signs::default() },
            moved_at: since,
            answer: case.answer.map(|(counts, state)| (asked_at(counts), state)),
            trouble: None,
        };
        let known =
            Known { submitted: case.submitted, times: case.times, since, beat: BEAT, lost_after: LOST_AFTER };
        known.next(&sight, since + case.silent)
    }

    fn case(claimed: bool, silent: Duration, state: Option<JobState>) -> Case {
        Case { claimed, submitted: true, times: 1, silent, answer: Some((true, state)) }
    }

    const LONG: Duration = Duration::from_secs(100_000);

    #[test]
    fn who_does_not_answer_says_nothing() {
        for claimed in [false, true] {
            assert_eq!(next(Case { answer: None, ..case(claimed, LONG, None) }), Next::Wait);
            assert_eq!(next(Case { answer: Some((false, None)), ..case(claimed, LONG, None) }), Next::Wait);
        }
    }

    #[test]
    fn a_job_that_nobody_knows_is_submitted_unless_it_was() {
        let unknown = Case { submitted: false, ..case(false, Duration::ZERO, None) };
        assert_eq!(next(unknown), Next::Submit);
        assert_eq!(next(case(false, BEAT, None)), Next::Wait);
        assert_eq!(next(case(false, BEAT * 3, None)), Next::Submit, "its controller forgot it");
        let often = Case { times: MOST_TIMES, ..case(false, BEAT * 3, None) };
        assert!(matches!(next(often), Next::Void(_)));
        let broken = || Some(JobState::Broken("fell".to_owned()));
        assert_eq!(next(case(false, Duration::ZERO, broken())), Next::Submit);
        assert_eq!(next(case(true, BEAT * 3, broken())), Next::Lost("its job fell".to_owned()));
        assert_eq!(next(Case { submitted: false, ..case(true, BEAT, None) }), Next::Wait, "it runs");
    }

    #[test]
    fn a_job_is_lost_only_after_a_long_silence() {
        assert_eq!(next(case(true, LOST_AFTER - BEAT, None)), Next::Wait);
        assert!(matches!(next(case(true, LOST_AFTER, None)), Next::Lost(_)));
        assert_eq!(next(case(true, LONG, Some(JobState::Runs))), Next::Wait, "its runner has it");
        assert_eq!(next(case(false, LONG, Some(JobState::Waits(String::new())))), Next::Wait);
    }

    #[test]
    fn of_a_job_that_is_over_the_last_word_is_waited_for() {
        let over = || Some(JobState::Ended("failed".to_owned()));
        assert_eq!(next(case(true, BEAT, over())), Next::Wait);
        assert_eq!(next(case(true, BEAT * 3, over())), Next::Lost("its job failed".to_owned()));
        assert_eq!(next(case(false, Duration::ZERO, over())), Next::Void("its job failed".to_owned()));
    }
}
