//! One row a task, for the live view and for `status`.

use std::time::Duration;

use jiff::Timestamp;

use super::look::{self, Look, Mark, pad};
use super::{text, words};
use crate::run::{Run, Task, TaskState, Work};

/// The longest state word, `rate limited`.
const STATE_WIDTH: usize = 12;
/// `99m 59s`.
const TIME_WIDTH: usize = 7;

/// From this width on there is room for words that are short elsewhere.
const WIDE: usize = 120;

/// What is known of a task beside the run itself.
#[derive(Clone, Default)]
pub(super) struct Aside<'a> {
    /// The last line of its agent.
    pub(super) output: Option<&'a str>,
    /// A conflict that it runs into.
    pub(super) ahead: Option<String>,
    /// What is on its branch by now.
    pub(super) so_far: Option<&'a Work>,
    /// How long it is being checked.
    pub(super) step: Option<Duration>,
}

/// What all rows of one drawing share.
pub(super) struct Rows<'a> {
    pub(super) run: &'a Run,
    pub(super) now: Timestamp,
    pub(super) look: &'a Look,
    /// Width of the column of names.
    pub(super) names: usize,
    /// Which drawing this is, if marks of what goes on move.
    pub(super) turn: Option<usize>,
}

impl Rows<'_> {
    /// `✓ auth     landed       1m 14s  fast-forward, 2 commits, 3 files +40 -2`, cut to the width.
    pub(super) fn row(&self, task: &Task, aside: &Aside) -> String {
        let look = self.look;
        let mark = look::mark(self.run, task);
        let glyph = match (mark, self.turn) {
            (Mark::Doing, Some(turn)) => look.spinner(turn),
            _ => look.glyph(mark),
        };
        let name = look.fit(&words::task(task.name()), self.names);
        let state = if task.undone.is_some() { "undone" } else { words::state(task.state) };
        let state = pad(state, STATE_WIDTH);
        let time = words::agent_time(task, self.now).map(words_for_row).unwrap_or_default();
        let row = format!(
            "{} {}  {}  {time:>TIME_WIDTH$}  {}",
            look.paint(mark, glyph),
            pad(&name, self.names),
            look.paint(mark, &state),
            self.told(task, aside),
        );
        look.fit(row.trim_end(), look.width)
    }

    /// What follows the time: what is ahead, what was made, what is going on.
    fn told(&self, task: &Task, aside: &Aside) -> String {
        let look = self.look;
        let goes_on = task.stop.is_none() && (task.state == TaskState::Running || task.is_being_set_up());
        let mut detail = match aside.output {
            Some(line) if goes_on => look.dim(line),
            _ => detail(self.run, task, self.now),
        };
        let is_checked = task.state == TaskState::Integrating && task.checking.is_some();
        if let Some(time) = aside.step.filter(|_| is_checked) {
            detail = format!("{detail} for {}", words_for_row(time));
        }
        let warning =
            |ahead: &String| look.paint(Mark::Warning, &format!("{} {ahead}", look.glyph(Mark::Warning)));
        let so_far = aside.so_far.filter(|work| goes_on && work.commits > 0);
        let mut parts = vec![
            aside.ahead.as_ref().map(warning).unwrap_or_default(),
            so_far.map(|work| so_far_in(work, look.width)).unwrap_or_default(),
            detail,
        ];
        if task.state == TaskState::Integrating {
            // What happens with it now is more than what may happen to others.
            parts.reverse();
        }
        parts.retain(|part| !part.is_empty());
        parts.join("  ")
    }
}

/// `2 commits, 3 files +40 -2`, or `+40 -2` where it is narrow.
fn so_far_in(work: &Work, width: usize) -> String {
    match work.files {
        1.. if width < WIDE => format!("+{} -{}", work.insertions, work.deletions),
        _ => words::change(work),
    }
}

/// Tenths of a second would only flicker.
fn words_for_row(time: Duration) -> String {
    if time.as_secs() == 0 { "0s".to_owned() } else { words::duration(time) }
}

/// What there is to say of a task beside its state.
pub(super) fn detail(run: &Run, task: &Task, now: Timestamp) -> String {
    if let Some(until) = run.paused_until(task) {
        let left = words::duration(words::between(now, until));
        return format!("tried again in {left}: {}", words::reason(task));
    }
    let work = || task.work.as_ref().map(words::change).unwrap_or_default();
    match task.state {
        TaskState::Queued => match &run.held_back {
            Some(reason) if words::waits_for(run, task).is_empty() => text::one_line(reason),
            _ => words::waits_for(run, task),
        },
        TaskState::Preparing if task.is_being_set_up() => "being set up".to_owned(),
        TaskState::Preparing => String::new(),
        TaskState::Running if task.stop.is_some() => "stopping".to_owned(),
        TaskState::Running if task.attempt > 1 => {
            let attempt = format!("attempt {}", task.attempt);
            if task.job.is_some() { format!("{attempt}, {}", words::job(task)) } else { attempt }
        }
        TaskState::Running => words::job(task),
        TaskState::Unchanged => String::new(),
        TaskState::Integrating if task.checking.is_some() && task.check_job.is_some() => {
            format!("being checked, {}", words::job(task))
        }
        TaskState::Integrating if task.checking.is_some() => "being checked".to_owned(),
        TaskState::Integrating => words::ahead(run, task).map_or_else(work, |ahead| format!("after {ahead}")),
        TaskState::Finished => work(),
        TaskState::Landed => words::landing(task),
        TaskState::Conflicted if task.working => "being settled".to_owned(),
        TaskState::Conflicted => words::conflict(run, task),
        TaskState::Held | TaskState::Failed | TaskState::RateLimited | TaskState::Rejected => {
            words::reason(task)
        }
        TaskState::TimedOut => words::after_limit(run, task),
        TaskState::Aborted if task.started_at.is_none() => "before it started".to_owned(),
        TaskState::Aborted => task.reason.as_deref().map(text::one_line).unwrap_or_default(),
        TaskState::Blocked => task.reason.as_deref().map(text::one_line).unwrap_or_default(),
        TaskState::RolledBack => words::spoilt(run),
        TaskState::Skipped => format!("branch {} exists", words::name(&task.spec.branch)),
    }
}
