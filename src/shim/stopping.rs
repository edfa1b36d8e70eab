//! When an agent is signalled, and with what: time limit, requests, grace. Pure, so that it can be
//! tested without waiting.

use std::time::Duration;

use tokio::time::Instant;

use super::Request;
use crate::run::Stop;
use crate::sys::Signal;

/// How long a process may take to die of KILL (it may sit in the kernel) before we go without it.
pub const GIVE_UP: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
enum Phase {
    /// It runs, perhaps against the clock.
    Running { deadline: Option<Instant> },
    /// It is suspended with so much time left.
    Suspended { left: Option<Duration> },
    /// It was sent TERM.
    Ending { kill_at: Instant },
    /// It was sent KILL.
    Killed { give_up_at: Instant },
}

/// The course of one agent's end.
pub struct Stopping {
    phase: Phase,
    grace: Duration,
    /// It ran out of time.
    pub timed_out: bool,
    /// It was asked to stop while it ran.
    pub stopped: bool,
}

impl Stopping {
    /// The clock starts `now`.
    pub fn new(now: Instant, limit: Option<Duration>, grace: Duration) -> Self {
        // A limit beyond what the clock can tell is none.
        let deadline = limit.and_then(|limit| now.checked_add(limit));
        Stopping { phase: Phase::Running { deadline }, grace, timed_out: false, stopped: false }
    }

    /// When [`tick`](Self::tick) wants to be called.
    pub fn next(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running { deadline } => deadline,
            Phase::Suspended { .. } => None,
            Phase::Ending { kill_at } => Some(kill_at),
            Phase::Killed { give_up_at } => Some(give_up_at),
        }
    }

    /// Whether TERM was sent, and by when what got it is killed.
    pub fn kill_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Ending { kill_at } => Some(kill_at),
            _ => None,
        }
    }

    /// Whether KILL was sent.
    pub fn is_killed(&self) -> bool {
        matches!(self.phase, Phase::Killed { .. })
    }

    /// Whether even KILL did not help in time.
    pub fn gives_up(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Killed { give_up_at } if now >= give_up_at)
    }

    /// Takes a request; returns the signal to send for it.
    pub fn request(&mut self, request: Request, now: Instant) -> Option<Signal> {
        match (request, self.phase) {
            (Request::Stop(Stop::Term), phase) => {
                self.stopped = true;
                matches!(phase, Phase::Running { .. } | Phase::Suspended { .. }).then(|| self.end(now))
            }
            (Request::Stop(Stop::Kill), _) => {
                self.stopped = true;
                Some(self.kill(now))
            }
            (Request::Suspend, Phase::Running { deadline }) => {
                let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
                self.phase = Phase::Suspended { left };
                Some(Signal::STOP)
            }
            (Request::Resume, Phase::Suspended { left }) => {
                let deadline = left.and_then(|left| now.checked_add(left));
                self.phase = Phase::Running { deadline };
                Some(Signal::CONT)
            }
            (Request::Suspend | Request::Resume, _) => None,
        }
    }

    /// Looks at the clock; returns the signal that is due.
    pub fn tick(&mut self, now: Instant) -> Option<Signal> {
        match self.phase {
            Phase::Running { deadline: Some(deadline) } if now >= deadline => {
                self.timed_out = true;
                Some(self.end(now))
            }
            Phase::Ending { kill_at } if now >= kill_at => Some(self.kill(now)),
            _ => None,
        }
    }

    fn end(&mut self, now: Instant) -> Signal {
        match now.checked_add(self.grace) {
            Some(kill_at) => {
                self.phase = Phase::Ending { kill_at };
                Signal::TERM
            }
            None => self.kill(now),
        }
    }

    fn kill(&mut self, now: Instant) -> Signal {
        if !self.is_killed() {
            self.phase = Phase::Killed { give_up_at: now + GIVE_UP };
        }
        Signal::KILL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Request = Request::Stop(Stop::Term);
    const KILL: Request = Request::Stop(Stop::Kill);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn out_of_time_means_term_then_kill_then_giving_up() {
        let t = Instant::now();
        let mut s = Stopping::new(t, Some(seconds(60)), seconds(5));
        assert_eq!((s.next(), s.tick(t + seconds(59))), (Some(t + seconds(60)), None));
        assert_eq!(s.tick(t + seconds(60)), Some(Signal::TERM));
        assert_eq!((s.next(), s.tick(t + seconds(64))), (Some(t + seconds(65)), None));
        assert_eq!(s.tick(t + seconds(65)), Some(Signal::KILL));
        assert!(!s.gives_up(t + seconds(66)) && s.gives_up(t + seconds(65) + GIVE_UP));
        assert!(s.timed_out && !s.stopped);
    }

    #[test]
    fn a_second_term_does_not_lengthen_the_grace_and_kill_skips_it() {
        let t = Instant::now();
        let mut s = Stopping::new(t, None, seconds(5));
        assert_eq!(s.next(), None);
        assert_eq!(s.request(TERM, t), Some(Signal::TERM));
        assert_eq!(s.request(TERM, t + seconds(3)), None);
        assert_eq!(s.next(), Some(t + seconds(5)));
        assert_eq!(s.request(KILL, t + seconds(4)), Some(Signal::KILL));
        assert!(s.stopped && s.is_killed() && !s.timed_out);
        assert_eq!(s.request(TERM, t + seconds(4)), None);
    }

    #[test]
    fn the_clock_waits_while_the_agent_is_suspended() {
        let t = Instant::now();
        let mut s = Stopping::new(t, Some(seconds(10)), seconds(5));
        assert_eq!(s.request(Request::Resume, t), None);
        assert_eq!(s.request(Request::Suspend, t + seconds(4)), Some(Signal::STOP));
        assert_eq!(s.request(Request::Suspend, t + seconds(5)), None);
        assert_eq!((s.next(), s.tick(t + seconds(1000))), (None, None));
        assert_eq!(s.request(Request::Resume, t + seconds(100)), Some(Signal::CONT));
        assert_eq!(s.next(), Some(t + seconds(106)));
        assert_eq!(s.request(Request::Suspend, t + seconds(101)), Some(Signal::STOP));
        assert_eq!(s.request(TERM, t + seconds(102)), Some(Signal::TERM));
        assert_eq!(s.request(Request::Suspend, t + seconds(103)), None);
    }

    #[test]
    fn absurd_limits_do_not_overflow() {
        let t = Instant::now();
        let mut s = Stopping::new(t, Some(Duration::MAX), Duration::MAX);
        assert_eq!(s.next(), None);
        assert_eq!(s.request(TERM, t), Some(Signal::KILL));
    }
}
