//! How a run ended: who is needed and for what, what is worth knowing, and the totals.

use std::time::Duration;

use jiff::Timestamp;

use super::look::{self, Look, pad};
use super::{lines, next, text, words};
use crate::run::{Run, Task, TaskName, TaskState, Text};

/// Tells where the log of a task is.
pub type Logs<'a> = &'a dyn Fn(&TaskName) -> Text;

/// Tasks told one by one after a run; `status` tells them all.
const MOST: usize = 20;

/// The end of a run, told on stdout. `since` is when this supervisor took the run.
pub fn summary(run: &Run, since: Timestamp, now: Timestamp, logs: Logs, look: &Look) -> String {
    let mut text = sections(run, logs, look, MOST);
    text.push_str(&totals(run, since, run.finished_at.unwrap_or(now)));
    text.push('\n');
    if let Some(usage) = run.usage() {
        text.push_str(&format!("used {}\n", words::usage(usage)));
    }
    text
}

/// Everything above the totals: tasks in need, tasks that wait to be landed, remarks. Empty if all is well.
pub(super) fn sections(run: &Run, logs: Logs, look: &Look, most: usize) -> String {
    let sections = [
        needs(run, logs, look, most),
        rolled_back(run, look),
        blocked(run, look),
        waiting(run, look, most),
        remarks(run, look, most),
    ];
    sections.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Tasks that nothing was done for: told together, for there is nothing to look at.
fn never_began(task: &Task) -> bool {
    task.state == TaskState::Aborted && task.attempt == 0 && task.base.is_none()
}

fn needs_somebody(task: &Task) -> bool {
    use TaskState::{Aborted, Conflicted, Failed, Held, RateLimited, Rejected, TimedOut};
    matches!(task.state, Conflicted | Rejected | Held | Failed | RateLimited | TimedOut | Aborted)
        && !never_began(task)
}

/// `1 of 3 tasks needs you:` and for each what happened, where, and the next command.
fn needs(run: &Run, logs: Logs, look: &Look, most: usize) -> String {
    let tasks: Vec<&Task> = run.tasks.iter().filter(|t| needs_somebody(t)).collect();
    let idle: Vec<String> =
        run.tasks.iter().filter(|t| never_began(t)).map(|t| words::task(t.name())).collect();
    let mut text = String::new();
    if !tasks.is_empty() {
        let verb = if tasks.len() == 1 { "needs" } else { "need" };
        let header = format!("{} of {} {verb} you:", tasks.len(), words::count_of(&run.tasks, "task"));
        text.push_str(&format!("{}\n", look.bold(&header)));
        let width = look::name_width(tasks.iter().take(most).copied());
        for task in tasks.iter().take(most) {
            let next = next::for_task(run, task).filter(|_| look.advice).map(|command| look.next(&command));
            let body = std::iter::once(colored(run, task, look));
            text.push_str(&entry(task, width, body.chain(places(run, task, logs, look)).chain(next)));
        }
        text.push_str(&folded(tasks.len(), most, look));
    }
    if !idle.is_empty() {
        text.push_str(&format!("Not started: {}\n", words::listed(&idle, 6)));
    }
    text
}

fn colored(run: &Run, task: &Task, look: &Look) -> String {
    look.paint(look::mark(run, task), &what(run, task))
}

/// A name and beside it lines that stand below each other.
fn entry(task: &Task, width: usize, body: impl Iterator<Item = String>) -> String {
    let name = words::task(task.name());
    let heads = std::iter::once(name.as_str()).chain(std::iter::repeat(""));
    heads.zip(body).map(|(head, line)| format!("  {}  {line}\n", pad(head, width))).collect()
}

fn folded(all: usize, most: usize, look: &Look) -> String {
    match all.saturating_sub(most) {
        0 => String::new(),
        more => format!("  {} {more} more\n{}", look.ellipsis(), look.next_line(next::STATUS)),
    }
}

/// What happened to a task in need.
fn what(run: &Run, task: &Task) -> String {
    let after = words::agent_time(task, task.finished_at.unwrap_or(run.spec.started_at));
    let after = after.map(|time| format!(" after {}", words::duration(time))).unwrap_or_default();
    let words = match task.state {
        TaskState::Conflicted => return conflict(run, task),
        TaskState::Held => format!("held: {}", words::reason(task)),
        TaskState::Rejected => format!("rejected: {}", words::reason(task)),
        TaskState::RateLimited => format!("rate limited: {}{after}", words::reason(task)),
        TaskState::TimedOut => format!("timed out {}", words::after_limit(run, task)).trim_end().to_owned(),
        TaskState::Aborted if task.started_at.is_none() => "aborted before its agent started".to_owned(),
        TaskState::Aborted => format!("aborted{after}"),
        _ => format!("failed: {}{after}", words::reason(task)),
    };
    match task.work.as_ref().filter(|work| work.commits > 0) {
        Some(work) => format!("{words} ({})", words::change(work)),
        None => words,
    }
}

/// `conflict in src/db.rs (landed by auth); in README.md (on main)`.
fn conflict(run: &Run, task: &Task) -> String {
    let side = |with: Option<&TaskName>| match with {
        Some(name) => format!("landed by {}", words::task(name)),
        None => format!("on {}", words::name(&run.spec.target)),
    };
    let groups = words::collisions(task, 6);
    let parts: Vec<String> =
        groups.iter().map(|(with, paths)| format!("in {paths} ({})", side(*with))).collect();
    if parts.is_empty() {
        format!("conflict with {}", side(None))
    } else {
        format!("conflict {}", parts.join("; "))
    }
}

/// Where the task's work and log are. A conflict is settled by a command that goes there by itself.
fn places(run: &Run, task: &Task, logs: Logs, look: &Look) -> Vec<String> {
    let mut places = Vec::new();
    if task.base.is_some() && task.state != TaskState::Conflicted {
        let branch = words::name(&task.spec.branch);
        places.push(format!("worktree {} (branch {branch})", look.path(&task.spec.worktree)));
    }
    if matches!(task.state, TaskState::Conflicted | TaskState::TimedOut | TaskState::Aborted) {
        places.extend(task.reason.as_deref().map(text::one_line));
    }
    use TaskState::{Aborted, Failed, RateLimited, TimedOut};
    let ended_badly = matches!(task.state, Failed | RateLimited | TimedOut | Aborted);
    if task.attempt > 0 && ended_badly {
        places.push(format!("log {}", look.path(&logs(task.name()))));
    }
    if let (TaskState::Rejected, Some((log, said))) = (task.state, &task.check_log) {
        places.extend(said.lines().map(|line| look.dim(&format!("| {}", text::one_line(line)))));
        places.push(format!("log {}", look.path(log)));
        let candidate = task.landing.as_ref().map(|landing| landing.commit.short().to_string());
        places.extend(candidate.map(|commit| format!("what was checked: git show {commit}")));
    }
    if task.work.as_ref().is_some_and(|work| work.snapshot.is_some()) {
        let pin = format!("refs/parallel/{}/{}/leftovers", run.spec.id, task.name());
        let pin = text::quote(&pin.as_str().into());
        places.push(format!("uncommitted files, to get back: git restore --source={pin} -- :/"));
    }
    places
}

/// An atomic run of which nothing landed: because of what, and that nothing changed.
fn rolled_back(run: &Run, look: &Look) -> String {
    let tasks = run.tasks.iter().filter(|t| t.state == TaskState::RolledBack);
    let names: Vec<String> = tasks.map(|t| words::task(t.name())).collect();
    let Some(spoiler) = run.spoilt_by.as_ref().filter(|_| !names.is_empty()) else { return String::new() };
    // The work of one that was held or collided is there; its agent need not run again.
    let is_there = |task: &Task| matches!(task.state, TaskState::Held | TaskState::Conflicted);
    let verb = if run.task(spoiler).is_some_and(is_there) { "land" } else { "retry" };
    let (target, spoiler) = (words::name(&run.spec.target), words::task(spoiler));
    let header = format!("Nothing landed, because {spoiler} did not (--atomic); {target} is as it was.");
    let kept = format!("Rolled back, their branches and worktrees kept: {}", words::listed(&names, 6));
    let next = look.next_line(&format!("git parallel {verb} {spoiler}   takes the others up again, too"));
    format!("{}\n  {kept}\n{next}", look.bold(&header))
}

/// Tasks that could not start, and how they can.
fn blocked(run: &Run, look: &Look) -> String {
    let blocked: Vec<&Task> = run.tasks.iter().filter(|t| t.state == TaskState::Blocked).collect();
    if blocked.is_empty() {
        return String::new();
    }
    let why = |t: &&Task| {
        let reason = t.reason.as_deref().map(text::one_line).unwrap_or_default();
        format!("{} ({reason})", words::task(t.name()))
    };
    let why: Vec<String> = blocked.iter().map(why).collect();
    let names: Vec<String> = blocked.iter().map(|t| text::quote(&Text::from(t.name().0.as_str()))).collect();
    let header = format!("Not started: {}", words::listed(&why, 6));
    let command = format!("git parallel retry {}   once that has landed", names.join(" "));
    format!("{}\n{}", look.bold(&header), look.next_line(&command))
}

/// Finished tasks of a run that does not land them, or that was stopped before it could.
fn waiting(run: &Run, look: &Look, most: usize) -> String {
    let rests = |t: &&Task| t.state == TaskState::Finished && run.is_at_rest(t);
    let tasks: Vec<&Task> = run.tasks.iter().filter(rests).collect();
    if tasks.is_empty() {
        return String::new();
    }
    let verb = if tasks.len() == 1 { "waits" } else { "wait" };
    let header = format!(
        "{} {verb} to be landed on {}:",
        words::count_of(&tasks, "task"),
        words::name(&run.spec.target)
    );
    let mut text = format!("{}\n", look.bold(&header));
    let width = look::name_width(tasks.iter().take(most).copied());
    for task in tasks.iter().take(most) {
        let change = task.work.as_ref().map(words::change).unwrap_or_default();
        let branch = words::name(&task.spec.branch);
        text.push_str(&entry(task, width, std::iter::once(format!("{change} on {branch}"))));
    }
    if tasks.len() > most {
        text.push_str(&format!("  {} {} more\n", look.ellipsis(), tasks.len() - most));
    }
    let one = tasks.first().filter(|_| tasks.len() == 1).and_then(|task| next::for_task(run, task));
    text.push_str(&look.next_line(&one.unwrap_or_else(|| next::LAND_ALL.to_owned())));
    text
}

/// What went well but is worth a look.
fn remarks(run: &Run, look: &Look, most: usize) -> String {
    let noted: Vec<(&Task, Vec<String>)> =
        run.tasks.iter().map(|task| (task, remarks_on(task, look))).collect();
    let noted: Vec<_> = noted.into_iter().filter(|(_, remarks)| !remarks.is_empty()).collect();
    if noted.is_empty() {
        return String::new();
    }
    let width = look::name_width(noted.iter().take(most).map(|(task, _)| *task));
    let all = noted.len();
    let mut text = format!("{}\n", look.bold("Worth knowing:"));
    for (task, remarks) in noted.into_iter().take(most) {
        text.push_str(&entry(task, width, remarks.into_iter()));
    }
    text.push_str(&folded(all, most, look));
    text
}

fn remarks_on(task: &Task, look: &Look) -> Vec<String> {
    let mut remarks = Vec::new();
    if task.state.is_success() || task.state == TaskState::Finished {
        remarks.extend(task.reason.as_deref().map(text::one_line));
    }
    if let Some(cleanup) = &task.cleanup {
        let worktree = cleanup.worktree_kept.as_deref();
        remarks.extend(
            worktree.map(|why| {
                format!("worktree {} kept: {}", look.path(&task.spec.worktree), text::one_line(why))
            }),
        );
        let branch = cleanup.branch_kept.as_deref();
        let name = words::name(&task.spec.branch);
        remarks.extend(branch.map(|why| format!("branch {name} kept: {}", text::one_line(why))));
    }
    remarks.extend(task.exit.iter().flat_map(lines::remarks));
    remarks
}

/// `2 landed, 1 conflict in 1m 39s (one after the other: 3m 52s, 2.3x)`.
pub(super) fn totals(run: &Run, since: Timestamp, end: Timestamp) -> String {
    let elapsed = words::between(since, end);
    let mut text = format!("{} in {}", words::tally_of(run), words::duration(elapsed));
    if let Some(sum) = one_after_the_other(run, since, end)
        && let Some(factor) = speed_up(sum, elapsed)
    {
        text.push_str(&format!(" (one after the other: {}, {factor:.1}x)", words::duration(sum)));
    }
    text
}

/// How many times faster than one after the other; `None` if that is too little to tell.
pub(super) fn speed_up(sum: Duration, elapsed: Duration) -> Option<f64> {
    let factor = sum.as_secs_f64() / elapsed.as_secs_f64();
    (elapsed >= Duration::from_secs(1) && factor >= 1.1).then_some(factor)
}

/// What the agents took together, if more than one ran, all of them did under this supervisor and
/// nobody cut them short.
fn one_after_the_other(run: &Run, since: Timestamp, now: Timestamp) -> Option<Duration> {
    let ran: Vec<&Task> = run.tasks.iter().filter(|t| t.started_at.is_some()).collect();
    let all_now = ran.iter().all(|t| t.started_at >= Some(since));
    (ran.len() > 1 && all_now && run.stop.is_none())
        .then(|| ran.iter().filter_map(|t| words::agent_time(t, now)).sum())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixture::{self, Story, at, conflict, log_of, look, spec, work};
    use super::*;
    use crate::run::{CleanUp, Event, Exit, How, Stop, StopCause, Usage, Work};

    fn told(story: &Story, look: &Look) -> String {
        summary(&story.run, at(0), at(story.clock), &log_of, look)
    }

    #[test]
    fn the_sample_of_the_manual() {
        assert_snapshot!(told(&fixture::sample(), &look()));
    }

    #[test]
    fn without_unicode() {
        let look = Look { unicode: false, ..look() };
        assert_snapshot!(told(&fixture::sample(), &look));
    }

    #[test]
    fn all_is_well() {
        let mut story = Story::new(spec(&["auth", "docs"]));
        story.start(0, "auth", 1).start(0, "docs", 2);
        story.finish(60, "auth", 1).land(60, "auth", How::FastForward);
        story.finish(61, "docs", 0);
        story.event(61, Event::NothingToLand { task: "docs".into(), tip: None }).end(61);
        assert_snapshot!(told(&story, &look()), @"1 landed, 1 unchanged in 1m 01s (one after the other: 2m 01s, 2.0x)");
    }

    #[test]
    fn what_the_agents_used() {
        let mut story = Story::new(spec(&["auth", "docs"]));
        let used = |input_tokens, cost| Some(Usage { input_tokens, output_tokens: 100, cost });
        for (name, usage) in [("auth", used(1_000_000, Some(2_500_000))), ("docs", used(23_456, None))] {
            story.start(0, name, 1).exit(9, name, Exit { code: Some(0), usage, ..Exit::default() });
            story.collect(9, name, work(1)).land(9, name, How::Merge);
        }
        story.end(10);
        assert!(told(&story, &look()).ends_with("\nused 1.0M tokens, $2.50\n"), "{}", told(&story, &look()));
    }

    #[test]
    fn every_need() {
        let mut spec = spec(&["held", "slow", "broken", "late", "two words", "early", "q1", "q2"]);
        spec.timeout_ms = Some(90_000);
        let mut story = Story::new(spec);
        for (i, name) in ["held", "slow", "broken", "late", "two words"].iter().enumerate() {
            story.start(1, name, 100 + i as u32);
        }
        story.prepare(2, "early");
        story.fail(3, "broken", Exit { code: Some(3), ..Exit::default() });
        story.finish(9, "held", 2);
        story.event(
            9,
            Event::Held { task: "held".into(), reason: "it left a.rs uncommitted".into(), tip: None },
        );
        story.fail(91, "slow", Exit { timed_out: true, ..Exit::default() });
        story.finish(92, "two words", 2);
        story.collide(93, "two words", vec![conflict("a b.rs", Some("held")), conflict("c.rs", None)]);
        story.event(94, Event::StopRequested { tasks: None, cause: StopCause::Interrupt, stop: Stop::Term });
        let base = fixture::oid(1);
        let early = "early".into();
        story.event(
            94,
            Event::Prepared {
                task: early,
                base,
                branch_created: true,
                worktree_created: true,
                is_new: true,
                note: None,
            },
        );
        story.exit(95, "late", Exit { stopped: true, ..Exit::default() });
        story.collect(95, "late", Work::default()).end(95);
        assert_snapshot!(told(&story, &look()));
    }

    #[test]
    fn nothing_was_to_be_landed() {
        let mut spec = spec(&["auth", "docs"]);
        spec.land = false;
        let mut story = Story::new(spec);
        story.start(0, "auth", 1).start(0, "docs", 2).finish(20, "auth", 1).finish(30, "docs", 2).end(30);
        assert_snapshot!(told(&story, &look()));
    }

    #[test]
    fn what_is_worth_knowing_and_a_landing_of_another_day() {
        let mut story = fixture::sample();
        let keeps = CleanUp {
            worktree_kept: Some("it has untracked files".into()),
            branch_kept: Some("used".into()),
        };
        story.event(99, Event::CleanedUp { task: "auth".into(), cleanup: keeps });
        story.event(86_400, Event::LandRequested { task: "billing".into(), all: false });
        story.event(
            86_401,
            Event::Collected { task: "billing".into(), work: work(4), note: Some("seen\nit".into()) },
        );
        story.land(86_402, "billing", How::Merge).end(86_403);
        assert_snapshot!(summary(&story.run, at(86_400), at(86_403), &log_of, &look()));
    }

    #[test]
    fn many_failures_are_folded() {
        let names: Vec<String> = (0..200).map(|i| format!("t{i}")).collect();
        let mut story = Story::new(spec(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        for name in &names {
            story.prepare(1, name);
            story.event(1, Event::PrepareFailed { task: name.as_str().into(), reason: "no space".into() });
        }
        let text = told(&story, &look());
        assert_eq!(text.lines().count(), 1 + MOST + 2 + 1);
        assert!(text.starts_with("200 of 200 tasks need you:\n  t0   failed: no space\n"), "{text}");
        assert!(text.ends_with("  … 180 more\n  → git parallel status\n200 failed in 1s\n"), "{text}");
    }
}
