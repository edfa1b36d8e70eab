//! When agents are started: pauses before another try, fewer at once after too many requests, a limit of cost.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Exit, Run, RunSpec, Task, TaskName, TaskState};

/// After so many attempts in a row that met a limit, a person has to look. With the pauses that double up to
/// [`LONGEST`], that is about eight hours: longer than the windows that limits are counted in.
pub(super) const MOST_LIMITS: u32 = 14;

/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What holds new starts back.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Pacing {
    /// The pause before an agent that failed is started again, in milliseconds; it doubles each time.
    #[serde(default)]
    pub retry_pause_ms: u64,
    /// The pause after too many requests, likewise.
    #[serde(default)]
    pub limit_pause_ms: u64,
    /// Patterns (regular expressions) of what an agent prints that was sent too many requests; those that are
    /// known if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limit_patterns: Vec<String>,
    /// No agent is started while the load average of the last minute is above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_load: Option<f64>,
    /// No agent is started while fewer bytes of memory are available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_free_memory: Option<u64>,
    /// No agent is started once the run has cost this much, in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<u64>,
}

impl Pacing {
    /// Whether new starts depend on how busy the machine is.
    pub fn watches_machine(&self) -> bool {
        self.max_load.is_some() || self.min_free_memory.is_some()
    }
}

/// A pause that doubles with each time, the first being 1.
fn doubled(first_ms: u64, times: u32) -> Duration {
    let factor = 1_u64.checked_shl(times.saturating_sub(1)).unwrap_or(u64::MAX);
    Duration::from_millis(first_ms.saturating_mul(factor)).min(LONGEST)
}

impl Task {
    /// The argument vector of the agent whose turn it is, its name if it has one, and whether it is for a
    /// shell (see [`AgentCall::shell`](super::AgentCall::shell)).
    pub fn agent<'a>(&'a self, spec: &'a RunSpec) -> (&'a [super::Text], Option<&'a str>, bool) {
        let fallback = self.agent.checked_sub(1).and_then(|i| self.spec.fallback.get(i));
        match fallback.or(self.spec.agent.as_ref()) {
            Some(call) => (&call.argv, Some(call.name.as_str()).filter(|name| !name.is_empty()), call.shell),
            None => (&spec.agent, spec.agent_name.as_deref(), spec.agent_shell),
        }
    }

    /// Whether the agent itself did not come to run. A shell tells so by these codes
    /// (POSIX, Shell Command Language, 2.8.2).
    pub(super) fn cannot_start(&self, exit: &Exit) -> bool {
        exit.not_started.is_some() || (matches!(exit.code, Some(126 | 127)) && exit.limited.is_none())
    }
}

impl Run {
    /// The pause that the task, which is to be tried again, has to wait for; `None` if it may go at once.
    pub fn pause_of(&self, task: &Task) -> Option<Duration> {
        if task.rested || !self.will_retry(task) {
            return None;
        }
        let pacing = &self.spec.pacing;
        let pause = match task.state {
            TaskState::RateLimited => doubled(pacing.limit_pause_ms, task.limits),
            _ => doubled(pacing.retry_pause_ms, task.failures),
        };
        (!pause.is_zero()).then_some(pause)
    }

    /// When that pause is over.
    pub fn paused_until(&self, task: &Task) -> Option<Timestamp> {
        let pause = SignedDuration::try_from(self.pause_of(task)?).unwrap_or(SignedDuration::MAX);
        // A clock at the end of its time has no pauses.
        task.finished_at?.checked_add(pause).ok()
    }

    /// The task whose pause ends next, and when.
    pub fn next_pause(&self) -> Option<(&TaskName, Timestamp)> {
        let paused = self.tasks.iter().filter_map(|task| Some((task.name(), self.paused_until(task)?)));
        paused.min_by_key(|(_, until)| *until)
    }

    /// Whether the task failed, and a free slot is all that it needs to be tried again.
    pub(super) fn may_try_again(&self, task: &Task) -> bool {
        self.will_retry(task) && self.pause_of(task).is_none()
    }

    /// Fewer agents at once after too many requests: half of those that ran. One more for each that ends
    /// well, until there are as many as before.
    pub(super) fn throttle(&mut self, state: TaskState) {
        self.throttled = match state {
            TaskState::RateLimited => {
                let others = self.tasks.iter().filter(|task| task.state.holds_slot()).count();
                let before = u32::try_from(others + 1).unwrap_or(u32::MAX).min(self.jobs);
                Some((before / 2).max(1))
            }
            TaskState::Finished => self.throttled.map(|jobs| jobs + 1).filter(|jobs| *jobs < self.jobs),
            _ => self.throttled,
        };
    }

    /// What the run's agents said that they cost, in millionths of a US dollar.
    pub fn spent(&self) -> u64 {
        let costs = self.tasks.iter().filter_map(|task| task.usage?.cost);
        costs.fold(0, u64::saturating_add)
    }

    /// Whether the run has cost as much as it may, since somebody last asked for more.
    pub fn is_spent(&self) -> bool {
        self.spec
            .pacing
            .max_cost
            .is_some_and(|most| self.spent() - self.spent_before.min(self.spent()) >= most)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AgentCall, Event, Record, Step, Usage, fixture};
    use super::*;

    fn happen(run: &mut Run, events: Vec<Event>) {
        for event in events {
            run.apply(&Record { at: Timestamp::UNIX_EPOCH, event }).unwrap();
        }
    }

    fn begun(task: &str, step: Step) -> Event {
        Event::Begun { task: task.into(), step }
    }

    fn attempt(run: &mut Run, task: &str, slot: u32, exit: Exit) {
        let attempt = run.task(&task.into()).unwrap().attempt + 1;
        let base = run.spec.base.clone();
        happen(
            run,
            vec![
                begun(task, Step::Prepare { slot, base: None }),
                Event::Prepared {
                    task: task.into(),
                    base,
                    branch_created: true,
                    worktree_created: true,
                    is_new: true,
                    note: None,
                },
                begun(task, Step::Start { attempt }),
                Event::AgentExited { task: task.into(), exit },
                begun(task, Step::Collect),
                Event::Collected { task: task.into(), work: Default::default(), note: None },
            ],
        );
    }

    fn limited() -> Exit {
        Exit { code: Some(1), limited: Some("429".to_owned()), ..Exit::default() }
    }

    fn failed() -> Exit {
        Exit { code: Some(1), ..Exit::default() }
    }

    #[test]
    fn pauses_double_and_are_bounded() {
        let seconds = |times| doubled(60_000, times).as_secs();
        assert_eq!([1, 2, 3, 6, 7, 64, u32::MAX].map(seconds), [60, 120, 240, 1920, 3600, 3600, 3600]);
        assert_eq!(doubled(0, 5), Duration::ZERO);
        let all: Duration = (1..MOST_LIMITS).map(|times| doubled(60_000, times)).sum();
        assert!(all > Duration::from_secs(7 * 3600), "{all:?}");
    }

    #[test]
    fn a_limit_is_no_failure_and_is_tried_again_after_a_pause() {
        let mut spec = fixture::spec(&["a"]);
        spec.pacing = Pacing { limit_pause_ms: 1000, retry_pause_ms: 500, ..Pacing::default() };
        spec.retries = 1;
        let mut run = Run::new(spec);
        attempt(&mut run, "a", 0, limited());
        assert_eq!((run.tasks[0].state, run.tasks[0].failures), (TaskState::RateLimited, 0));
        let until = |run: &Run| run.paused_until(&run.tasks[0]).map(|at| at.as_millisecond());
        assert_eq!(until(&run), Some(1000));
        assert_eq!(super::super::decide(&run), [], "it waits, and the run does not end");
        happen(&mut run, vec![Event::PauseOver { task: "a".into() }]);
        assert_eq!(until(&run), None);
        assert_eq!(super::super::decide(&run).len(), 1);
        attempt(&mut run, "a", 0, limited());
        assert_eq!(until(&run), Some(2000));
        happen(&mut run, vec![Event::PauseOver { task: "a".into() }]);
        attempt(&mut run, "a", 0, failed());
        assert_eq!(until(&run), Some(500), "the first failure");
        happen(&mut run, vec![Event::PauseOver { task: "a".into() }]);
        attempt(&mut run, "a", 0, failed());
        assert!(!run.will_retry(&run.tasks[0]), "the second is one too many");
    }

    #[test]
    fn fewer_run_at_once_after_a_limit_and_more_after_each_success() {
        let mut spec = fixture::spec(&["a", "b", "c", "d", "e", "f"]);
        spec.jobs = 4;
        let mut run = Run::new(spec);
        for (task, slot) in [("b", 1), ("c", 2), ("d", 3)] {
            happen(&mut run, vec![begun(task, Step::Prepare { slot, base: None })]);
        }
        attempt(&mut run, "a", 0, limited());
        assert_eq!(run.throttled, Some(2));
        assert_eq!(super::super::decide(&run), [], "three are at work");
        run.throttle(TaskState::Finished);
        assert_eq!(run.throttled, Some(3));
        run.throttle(TaskState::Finished);
        assert_eq!(run.throttled, None);
    }

    #[test]
    fn an_agent_that_can_not_start_gives_way_to_the_next() {
        let mut spec = fixture::spec(&["a"]);
        let call = |name: &str| AgentCall { name: name.into(), argv: vec![name.into()], shell: false };
        spec.tasks[0].agent = Some(call("one"));
        spec.tasks[0].fallback = vec![call("two"), call("three")];
        let mut run = Run::new(spec);
        let name = |run: &Run| run.tasks[0].agent(&run.spec).1.map(str::to_owned);
        assert_eq!(name(&run).as_deref(), Some("one"));
        attempt(&mut run, "a", 0, Exit { not_started: Some("no such file".into()), ..Exit::default() });
        assert_eq!((name(&run).as_deref(), run.tasks[0].failures), (Some("two"), 0));
        assert_eq!(super::super::decide(&run).len(), 1, "at once");
        attempt(&mut run, "a", 0, Exit { code: Some(127), ..Exit::default() });
        assert_eq!(name(&run).as_deref(), Some("three"));
        attempt(&mut run, "a", 0, Exit { code: Some(127), ..Exit::default() });
        assert!(!run.will_retry(&run.tasks[0]));
        assert_eq!(name(&run).as_deref(), Some("three"));
    }

    #[test]
    fn nothing_more_starts_once_enough_was_spent() {
        let mut spec = fixture::spec(&["a", "b"]);
        spec.pacing.max_cost = Some(1_000_000);
        let mut run = Run::new(spec);
        let usage = Usage { cost: Some(1_200_000), ..Usage::default() };
        attempt(&mut run, "a", 0, Exit { usage: Some(usage), ..failed() });
        let withhold = super::super::Action::Withhold { task: "b".into() };
        assert_eq!(super::super::decide(&run), std::slice::from_ref(&withhold));
        let withheld = withhold.intent(&run);
        happen(&mut run, vec![withheld]);
        assert_eq!(run.tasks[1].state, TaskState::Aborted);
        happen(&mut run, vec![Event::RetryRequested { task: "b".into(), fresh: false }]);
        assert!(!run.is_spent(), "somebody asked for it");
    }
}
