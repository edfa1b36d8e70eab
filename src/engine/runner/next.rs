//! What is to be done about a job, by what is seen of it. A function of its arguments, so that it can be tested without
//! a scheduler and without waiting.

use std::time::{Duration, Instant};

use super::JobState;
use super::watch::Sight;
use crate::run::Exit;

/// How often a job is submitted that gets lost before it starts.
const MOST_TIMES: u32 = 5;

/// What is to be done about a job.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Next {
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
pub(super) struct Known {
    /// It is known to have been submitted.
    pub(super) submitted: bool,
    /// How often this process has submitted it.
    pub(super) times: u32,
    /// What was said before does not count.
    pub(super) since: Instant,
    pub(super) beat: Duration,
    pub(super) lost_after: Duration,
}

impl Known {
    fn may_submit(&self) -> bool {
        self.times < MOST_TIMES
    }

    /// What is to be done now.
    pub(super) fn next(&self, sight: &Sight, now: Instant) -> Next {
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
            Some(JobState::Ended(how) | JobState::Cut(how) | JobState::Broken(how))
                if !sight.signs.claimed =>
            {
                Next::Void(format!("its job {how}"))
            }
            // What it wrote last may still be on its way; and a node that is given up may live.
            Some(JobState::Ended(how) | JobState::Cut(how) | JobState::Broken(how)) if settled => {
                Next::Lost(format!("its job {how}"))
            }
            None if !sight.signs.claimed && (!self.submitted || settled && self.may_submit()) => Next::Submit,
            None if !sight.signs.claimed && settled => Next::Void("its job is gone".to_owned()),
            None if sight.signs.claimed && silence >= self.lost_after => {
                let seconds = self.lost_after.as_secs();
                Next::Lost(format!("its job is gone, without a sign of life for {seconds} s"))
            }
            Some(JobState::Ended(_) | JobState::Cut(_) | JobState::Broken(_)) | None => Next::Wait,
        }
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
