//! When what happened: the stretches of time that tasks spent, which the fold of a run does not keep.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Conflict, Event, Record, Run, Step, Task, TaskState};

/// What a task was about for a while.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It waited for a slot, for others, or to be tried again.
    Queued,
    /// Branch and worktree were made.
    Preparing,
    /// Its agent ran.
    Running,
    /// Its work waited for its turn to land.
    Ready,
    /// It was merged, checked and published.
    Landing,
    /// Its conflict was with the resolver.
    Resolving,
}

impl Phase {
    /// Every phase, in the order in which a task goes through them.
    pub const ALL: [Phase; 6] =
        [Phase::Queued, Phase::Preparing, Phase::Running, Phase::Ready, Phase::Landing, Phase::Resolving];

    /// What a task is about now; `None` if nothing happens to it.
    fn of(run: &Run, task: &Task) -> Option<Phase> {
        match task.state {
            TaskState::Queued => Some(Phase::Queued),
            TaskState::Preparing => Some(Phase::Preparing),
            TaskState::Running if run.is_in_a_queue(task) => Some(Phase::Queued),
            TaskState::Running => Some(Phase::Running),
            TaskState::Finished => run.lands(task).then_some(Phase::Ready),
            TaskState::Integrating => Some(Phase::Landing),
            TaskState::Conflicted if task.working => Some(Phase::Resolving),
            TaskState::Failed | TaskState::RateLimited | TaskState::TimedOut => {
                run.has_tries_left(task).then_some(Phase::Queued)
            }
            _ => None,
        }
    }
}

/// A stretch of time that a task spent in one phase.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// What it was about.
    pub phase: Phase,
    /// The agent's attempt; 0 before the first.
    pub attempt: u32,
    /// From when.
    pub from: Timestamp,
    /// Until when; `None` if it goes on.
    pub to: Option<Timestamp>,
    /// The state that it ended in.
    pub ended: Option<TaskState>,
}

/// The course of one task.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Track {
    /// One after the other.
    pub spans: Vec<Span>,
    /// Where it last collided, also if that was settled since.
    pub conflicts: Vec<Conflict>,
    /// When it landed.
    pub landed_at: Option<Timestamp>,
}

impl Track {
    /// The time spent in a phase, what still goes on until `now`.
    pub fn spent(&self, phase: Phase, now: Timestamp) -> SignedDuration {
        let spans = self.spans.iter().filter(|span| span.phase == phase);
        spans.fold(SignedDuration::ZERO, |sum, span| {
            let time = span.to.unwrap_or(now).duration_since(span.from);
            sum.saturating_add(time.max(SignedDuration::ZERO))
        })
    }

    fn enter(&mut self, phase: Option<Phase>, task: &Task, at: Timestamp) {
        if let Some(open) = self.spans.last_mut().filter(|span| span.to.is_none()) {
            if phase == Some(open.phase) && (open.phase != Phase::Running || open.attempt == task.attempt) {
                return;
            }
            open.to = Some(at);
            open.ended = Some(task.state);
        }
        let new = |phase| Span { phase, attempt: task.attempt, from: at, to: None, ended: None };
        self.spans.extend(phase.map(new));
    }
}

/// A time in which a run went on: from its start, or from being taken up again, to its end.
pub type Session = (Timestamp, Option<Timestamp>);

/// The course of a run: the fold of its records, beside [`Run::apply`].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Timeline {
    /// When it went on; nothing happens in between.
    pub sessions: Vec<Session>,
    /// The course of each task, in the order of the run's.
    pub tracks: Vec<Track>,
    /// When the last thing happened.
    pub last: Option<Timestamp>,
}

impl Timeline {
    /// Takes a record in; `run` is as it is after that.
    pub fn observe(&mut self, run: &Run, record: &Record) {
        let Record { at, event } = record;
        self.tracks.resize_with(run.tasks.len(), Track::default);
        self.last = Some(*at);
        let goes_on = self.sessions.last().is_some_and(|(_, end)| end.is_none());
        match event {
            // What the run was asked before its supervisor was there is part of it.
            Event::RunStarted { .. } if self.sessions.is_empty() => {
                self.sessions.push((run.spec.started_at.min(*at), None));
            }
            Event::RunFinished { .. } => {}
            _ if !goes_on => self.sessions.push((*at, None)),
            _ => {}
        }
        match event.task().and_then(|name| run.index.get(name)) {
            Some(&i) => self.observe_task(run, i, record),
            None => (0..run.tasks.len()).for_each(|i| self.observe_task(run, i, record)),
        }
        if matches!(event, Event::Landed { .. }) && run.spec.atomic {
            (0..run.tasks.len()).for_each(|i| self.observe_task(run, i, record));
        }
        if let (Event::RunFinished { .. }, Some(session)) = (event, self.sessions.last_mut()) {
            session.1 = Some(*at);
        }
    }

    fn observe_task(&mut self, run: &Run, i: usize, Record { at, event }: &Record) {
        let (task, track) = (&run.tasks[i], &mut self.tracks[i]);
        let over = matches!(event, Event::RunFinished { .. });
        let from =
            if track.spans.is_empty() { self.sessions.first().map_or(*at, |first| first.0) } else { *at };
        track.enter(Phase::of(run, task).filter(|_| !over), task, from);
        match event {
            Event::Conflicted { conflicts, .. } => track.conflicts = conflicts.clone(),
            Event::Begun { step: Step::Start { .. }, .. } => track.landed_at = None,
            _ => {}
        }
        if task.state == TaskState::Landed && track.landed_at.is_none() {
            track.landed_at = Some(*at);
        }
    }

    /// How long the run had gone on at that time, the time left out in which it did not.
    pub fn elapsed(&self, at: Timestamp) -> SignedDuration {
        self.sessions.iter().fold(SignedDuration::ZERO, |sum, (from, to)| {
            let until = to.map_or(at, |to| to.min(at));
            sum.saturating_add(until.duration_since(*from).max(SignedDuration::ZERO))
        })
    }

    /// The time that all agents took together.
    pub fn agents(&self, now: Timestamp) -> SignedDuration {
        let times = self.tracks.iter().map(|track| track.spent(Phase::Running, now));
        times.fold(SignedDuration::ZERO, SignedDuration::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Exit, RunSpec, fixture};

    fn told(timeline: &Timeline, task: usize) -> Vec<(Phase, u32, i64, Option<i64>)> {
        let spans = timeline.tracks[task].spans.iter();
        spans.map(|s| (s.phase, s.attempt, s.from.as_second(), s.to.map(Timestamp::as_second))).collect()
    }

    fn observe(run: &mut Run, timeline: &mut Timeline, events: Vec<(i64, Event)>) {
        for (second, event) in events {
            let record = Record { at: Timestamp::from_second(second).unwrap(), event };
            run.apply(&record).unwrap();
            timeline.observe(run, &record);
        }
    }

    fn begun(step: Step) -> Event {
        Event::Begun { task: "a".into(), step }
    }

    fn attempt(number: u32, from: i64, exit: Exit) -> Vec<(i64, Event)> {
        let base = fixture::null_oid();
        let prepared = Event::Prepared {
            task: "a".into(),
            base,
            branch_created: true,
            worktree_created: true,
            is_new: true,
            note: None,
        };
        vec![
            (from, begun(Step::Prepare { slot: 0, base: None })),
            (from + 1, prepared),
            (from + 1, begun(Step::Start { attempt: number })),
            (from + 1, Event::AgentStarted { task: "a".into(), pid: 7, host: None }),
            (from + 5, Event::AgentExited { task: "a".into(), exit }),
            (from + 5, begun(Step::Collect)),
            (from + 6, Event::Collected { task: "a".into(), work: Default::default(), note: None }),
        ]
    }

    #[test]
    fn attempts_sessions_and_what_waits() {
        use Phase::{Preparing, Queued, Ready, Running};
        let mut run = Run::new(RunSpec { retries: 1, ..fixture::spec(&["a", "b"]) });
        let mut timeline = Timeline::default();
        observe(&mut run, &mut timeline, vec![(1, Event::RunStarted { pid: 1 })]);
        let (bad, good) =
            (Exit { code: Some(1), ..Exit::default() }, Exit { code: Some(0), ..Exit::default() });
        observe(&mut run, &mut timeline, attempt(1, 2, bad));
        observe(&mut run, &mut timeline, attempt(2, 10, good));
        let spans = [
            (Queued, 0, 0, Some(2)),
            (Preparing, 0, 2, Some(3)),
            (Running, 1, 3, Some(7)),
            (Queued, 1, 7, Some(10)),
            (Preparing, 1, 10, Some(11)),
            (Running, 2, 11, Some(15)),
            (Ready, 2, 15, None),
        ];
        assert_eq!(told(&timeline, 0), spans);
        assert_eq!(told(&timeline, 1), [(Queued, 0, 0, None)]);
        assert_eq!(timeline.tracks[0].spans[2].ended, Some(TaskState::Failed));
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(timeline.agents(at(20)).as_secs(), 8);
        assert_eq!(timeline.elapsed(at(20)).as_secs(), 20);
    }

    #[test]
    fn between_sessions_no_time_passes() {
        let mut run = Run::new(RunSpec { land: false, ..fixture::spec(&["a"]) });
        let mut timeline = Timeline::default();
        observe(&mut run, &mut timeline, vec![(0, Event::RunStarted { pid: 1 })]);
        observe(&mut run, &mut timeline, attempt(1, 0, Exit { code: Some(0), ..Exit::default() }));
        observe(&mut run, &mut timeline, vec![(8, Event::RunFinished { exit_code: 0 })]);
        assert_eq!(told(&timeline, 0).last(), Some(&(Phase::Running, 1, 1, Some(5))));
        let again = vec![
            (1000, Event::LandRequested { task: "a".into(), all: true }),
            (1000, Event::RunStarted { pid: 2 }),
            (1002, begun(Step::Collect)),
        ];
        observe(&mut run, &mut timeline, again);
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(told(&timeline, 0).last(), Some(&(Phase::Ready, 1, 1000, None)));
        let elapsed = [0, 4, 8, 500, 1000, 1002].map(|second| timeline.elapsed(at(second)).as_secs());
        assert_eq!(elapsed, [0, 4, 8, 8, 8, 10]);
    }
}
