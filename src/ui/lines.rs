//! Plain output: one line for each event that is worth one.

use super::look::{Look, Mark};
use super::{text, words};
use crate::run::{
    CleanUp, Event, Exit, Record, Revert, Run, Step, Stop, StopCause, Task, TaskName, TaskState, Work,
};

/// What is said of one event, and its mark (for the colour only: the words tell it all).
type Told = (Mark, String);

/// The lines of an event that was just applied to the run: `[10:30:01] auth: started (pid 4711)`.
pub fn lines(run: &Run, record: &Record, look: &Look) -> Vec<String> {
    let told = match (&record.event, record.event.task().and_then(|name| run.task(name))) {
        (Event::Landed { .. }, Some(_)) if run.spec.atomic => {
            let landed = run.tasks.iter().filter(|task| task.state == TaskState::Landed);
            landed.flat_map(|task| named(task, of_task(run, task, &record.event))).collect()
        }
        (event, Some(task)) => named(task, of_task(run, task, event)),
        (event, None) => of_run(run, event),
    };
    let time = look.dim(&format!("[{}]", look.time(record.at)));
    told.into_iter().map(|(mark, words)| format!("{time} {}", colored(look, mark, &words))).collect()
}

fn named(task: &Task, told: Vec<Told>) -> Vec<Told> {
    told.into_iter().map(|(mark, words)| (mark, format!("{}: {words}", words::task(task.name())))).collect()
}

/// Only what came out well or badly has a colour; the rest is plain text.
fn colored(look: &Look, mark: Mark, words: &str) -> String {
    match mark {
        Mark::Waiting | Mark::Doing => words.to_owned(),
        Mark::Done | Mark::Warning | Mark::Failed => look.paint(mark, words),
    }
}

fn of_run(run: &Run, event: &Event) -> Vec<Told> {
    match event {
        Event::RunStarted { .. } => skipped(run),
        Event::JobsReduced { jobs, reason } => {
            let agents = words::count(*jobs, "agent");
            vec![(Mark::Warning, format!("{agents} at once from now on: {}", text::one_line(reason)))]
        }
        Event::StartsHeld { reason } => {
            vec![(Mark::Waiting, format!("no agent is started for now: {}", text::one_line(reason)))]
        }
        Event::StartsFreed => vec![(Mark::Waiting, "agents are started again".to_owned())],
        Event::StopRequested { tasks: None, cause, stop: Stop::Term } => {
            vec![(Mark::Warning, format!("stopping: {}", asked(*cause)))]
        }
        Event::StopRequested { tasks: Some(names), stop: Stop::Term, .. } => never_started(run, names),
        Event::StageOpening { stage } => {
            vec![(Mark::Doing, format!("before {}: running the beforeGroup hook", words::stage(run, *stage)))]
        }
        Event::StageOpened { stage, failure: Some(why) } => {
            let (stage, why) = (words::stage(run, *stage), text::one_line(why));
            vec![(Mark::Warning, format!("before {stage}: the beforeGroup hook failed: {why}"))]
        }
        Event::Undone { reverts } => {
            let words = |revert: &Revert| {
                let (task, target) = (words::task(&revert.task), words::name(&run.spec.target));
                format!("{task}: its landing on {target} is undone by {}", revert.commit.short())
            };
            reverts.iter().map(|revert| (Mark::Warning, words(revert))).collect()
        }
        _ => Vec::new(),
    }
}

fn asked(cause: StopCause) -> &'static str {
    match cause {
        StopCause::Abort => "git parallel abort",
        StopCause::Interrupt => "Ctrl-C",
        StopCause::Terminate => "SIGTERM",
        StopCause::HangUp => "the terminal went away",
    }
}

/// Tasks that the run leaves alone are told once, at its very start.
fn skipped(run: &Run) -> Vec<Told> {
    if run.tasks.iter().any(|t| !matches!(t.state, TaskState::Queued | TaskState::Skipped)) {
        return Vec::new();
    }
    let skipped = run.tasks.iter().filter(|t| t.spec.skip);
    let words = |t: &Task| {
        format!("{}: skipped (branch {} exists)", words::task(t.name()), words::name(&t.spec.branch))
    };
    skipped.map(|t| (Mark::Waiting, words(t))).collect()
}

fn never_started(run: &Run, names: &[TaskName]) -> Vec<Told> {
    let tasks = names.iter().filter_map(|name| run.task(name));
    let idle = tasks.filter(|t| t.state == TaskState::Aborted && t.attempt == 0 && t.base.is_none());
    idle.map(|t| (Mark::Warning, format!("{}: aborted before it started", words::task(t.name())))).collect()
}

fn of_task(run: &Run, task: &Task, event: &Event) -> Vec<Told> {
    let target = || words::name(&run.spec.target);
    let one = match event {
        Event::RetryRequested { fresh: true, .. } => {
            (Mark::Waiting, "to be run again, from the base".to_owned())
        }
        Event::RetryRequested { .. } => (Mark::Waiting, "to be run again".to_owned()),
        Event::AgentStarted { pid, host, .. } => {
            let on = host.as_ref().map(|host| format!(" on {}", text::one_line(host))).unwrap_or_default();
            let words = match (task.attempt, fallback(run, task)) {
                (0 | 1, _) => format!("started (pid {pid}{on})"),
                (attempt, Some(agent)) => {
                    format!("started again ({agent}, attempt {attempt}, pid {pid}{on})")
                }
                (attempt, None) => format!("started again (attempt {attempt}, pid {pid}{on})"),
            };
            (Mark::Doing, words)
        }
        Event::Submitted { .. } | Event::JobWaits { .. } => (Mark::Waiting, words::job(task)),
        Event::AgentExited { exit, .. } => return exited(run, task, exit),
        Event::Withheld { .. } => (Mark::Warning, format!("not started: {}", words::reason(task))),
        Event::Collected { work, note, .. } => return collected(run, task, work, note.as_deref()),
        Event::Begun { step: Step::Setup, .. } => (Mark::Doing, "being set up".to_owned()),
        Event::SetUp { .. } if task.state == TaskState::Aborted => {
            (Mark::Warning, "aborted before its agent started".to_owned())
        }
        Event::PrepareFailed { .. } if task.state == TaskState::Aborted => {
            (Mark::Warning, "aborted while it was set up".to_owned())
        }
        Event::PrepareFailed { reason, .. } => (Mark::Failed, format!("failed: {}", text::one_line(reason))),
        Event::NothingToLand { .. } | Event::Held { .. } if task.verdict.is_some() => {
            return outcome(run, task);
        }
        Event::NothingToLand { .. } => (Mark::Done, "no changes".to_owned()),
        Event::Held { reason, .. } => (Mark::Warning, format!("held: {}", text::one_line(reason))),
        Event::TargetMoved { tip, went_back_from: Some(old), .. } => {
            let (old, now) = (old.short(), tip.short());
            (Mark::Warning, format!("somebody moved {} back from {old} to {now}; merging again", target()))
        }
        Event::TargetMoved { tip, .. } => {
            (Mark::Doing, format!("{} moved to {} meanwhile; merging again", target(), tip.short()))
        }
        Event::Landed { .. } => (Mark::Done, format!("landed on {} ({})", target(), words::landing(task))),
        Event::HookRan { failure: Some(why), .. } => {
            (Mark::Warning, format!("the afterLand hook failed: {}", text::one_line(why)))
        }
        Event::Begun { step: Step::Verify { .. }, .. } => match words::ahead(run, task) {
            Some(ahead) => (Mark::Doing, format!("being checked together with {ahead}")),
            None => (Mark::Doing, "being checked".to_owned()),
        },
        Event::Verified { tries: 0, .. } => {
            (Mark::Doing, "passed the check: the same tree did so before".to_owned())
        }
        Event::Verified { tries: 1, .. } => (Mark::Doing, "passed the check".to_owned()),
        Event::Verified { tries, .. } => (Mark::Warning, format!("passed the check only at try {tries}")),
        Event::Rejected { .. } | Event::Conflicted { .. } | Event::Concluded { .. } => {
            return outcome(run, task);
        }
        Event::Begun { step: Step::Resolve { .. }, .. } => {
            (Mark::Doing, "its conflict is being settled (--on-conflict)".to_owned())
        }
        Event::Resolved { beside, .. } if beside.is_empty() => {
            (Mark::Doing, "its conflict is settled".to_owned())
        }
        Event::Resolved { .. } => {
            (Mark::Warning, format!("its conflict is settled; {}", words::reason(task)))
        }
        Event::Unresolved { reason, .. } => {
            (Mark::Warning, format!("its conflict is not settled: {}", text::one_line(reason)))
        }
        Event::PutOff { .. } if task.state == TaskState::Integrating => return Vec::new(),
        Event::PutOff { .. } => (Mark::Warning, "not landed: its landing was stopped".to_owned()),
        Event::CalledOff { .. } => (Mark::Failed, "did not land, so nothing does (--atomic)".to_owned()),
        Event::Blocked { by, .. } => (Mark::Warning, format!("blocked: {} did not land", words::task(by))),
        Event::RolledBack { .. } => (Mark::Warning, "rolled back".to_owned()),
        Event::CleanedUp { cleanup, .. } => return kept(cleanup),
        Event::Prepared { .. } if task.state == TaskState::Aborted => {
            (Mark::Warning, "aborted before its agent started".to_owned())
        }
        Event::Prepared { note: Some(note), .. } => (Mark::Warning, text::one_line(note)),
        Event::CandidateMade { landing, went_back_from: Some(old), .. } => {
            let (old, now) = (old.short(), landing.onto.short());
            (Mark::Warning, format!("somebody moved {} back from {old} to {now}", target()))
        }
        Event::AgentDeferred { .. } => {
            (Mark::Waiting, "waits: the system has no room for one more agent".to_owned())
        }
        // Book-keeping: what comes of it is told when it comes.
        Event::Begun { .. }
        | Event::Prepared { .. }
        | Event::SetUp { .. }
        | Event::HookRan { .. }
        | Event::StopSent { .. }
        | Event::Submitting { .. }
        | Event::CandidateMade { .. }
        | Event::LandRequested { .. }
        | Event::TakenUp { .. }
        | Event::RunStarted { .. }
        | Event::JobsReduced { .. }
        | Event::PauseOver { .. }
        | Event::StartsHeld { .. }
        | Event::StartsFreed
        | Event::StopRequested { .. }
        | Event::StageOpening { .. }
        | Event::StageOpened { .. }
        | Event::UndoMade { .. }
        | Event::Undone { .. }
        | Event::RunFinished { .. } => return Vec::new(),
    };
    vec![one]
}

/// What a landing came to that did not land. What stands on another candidate is not certain yet.
fn outcome(run: &Run, task: &Task) -> Vec<Told> {
    let state = task.verdict.as_ref().map_or(task.state, |verdict| verdict.state);
    let (mark, words) = match state {
        TaskState::Conflicted => (Mark::Warning, format!("conflict {}", words::conflict(run, task))),
        TaskState::Rejected => (Mark::Failed, format!("rejected: {}", words::reason(task))),
        TaskState::Held => (Mark::Warning, format!("held: {}", words::reason(task))),
        TaskState::Unchanged => (Mark::Done, "no changes".to_owned()),
        _ => return Vec::new(),
    };
    if task.verdict.is_some() {
        let ahead = words::ahead(run, task).unwrap_or_else(|| "what is ahead of it".to_owned());
        return vec![(Mark::Doing, format!("{words} (if {ahead} lands)"))];
    }
    let mut told = vec![(mark, words)];
    if let (TaskState::Rejected, Some((_, said))) = (state, &task.check_log) {
        told.extend(said.lines().map(|line| (Mark::Waiting, format!("| {}", text::one_line(line)))));
    }
    told
}

/// A good end is told once its work was looked at; the others at once.
fn exited(run: &Run, task: &Task, exit: &Exit) -> Vec<Told> {
    let mut told = match exit.state() {
        TaskState::Finished => Vec::new(),
        TaskState::TimedOut => vec![(Mark::Failed, format!("timed out {}", words::after_limit(run, task)))],
        TaskState::Aborted => vec![(Mark::Warning, "aborted".to_owned())],
        TaskState::RateLimited => vec![(Mark::Warning, format!("rate limited: {}", words::reason(task)))],
        _ => vec![(Mark::Failed, format!("failed: {}", text::one_line(&exit.words())))],
    };
    told.extend(remarks(exit).into_iter().map(|words| (Mark::Warning, words)));
    told.extend(
        fallback(run, task)
            .filter(|_| task.falls_back)
            .map(|agent| (Mark::Waiting, format!("{agent} takes its place"))),
    );
    told
}

/// The agent whose turn it is, if it is one to fall back on.
fn fallback(run: &Run, task: &Task) -> Option<String> {
    let (argv, name, _) = task.agent(&run.spec);
    let name = name.map(|name| text::name(name.as_bytes()));
    let command = || argv.first().map(words::name).unwrap_or_default();
    (task.agent > 0).then(|| name.unwrap_or_else(command))
}

/// What happens next with a task that did not get through, now that its work was looked at.
fn tried_again(run: &Run, task: &Task) -> Option<Told> {
    let pause = run.pause_of(task)?;
    let at_once = run.throttled.filter(|_| task.state == TaskState::RateLimited);
    let fewer = at_once.map(|jobs| format!("; {} at once meanwhile", words::count(jobs, "agent")));
    let when = words::limit(pause);
    Some((Mark::Waiting, format!("tried again in {when}{}", fewer.unwrap_or_default())))
}

/// What is worth knowing about an agent's end beside how it ended.
pub(super) fn remarks(exit: &Exit) -> Vec<String> {
    let mut remarks = Vec::new();
    if exit.left_behind > 0 {
        remarks.push(format!("ended {} it left behind", words::count(exit.left_behind, "process")));
    }
    if exit.output_dropped > 0 {
        remarks.push(format!("its log is full; the last {} were not kept", words::size(exit.output_dropped)));
    }
    remarks
}

fn collected(run: &Run, task: &Task, work: &Work, note: Option<&str>) -> Vec<Told> {
    let leftovers =
        (work.leftovers > 0).then(|| format!("committed {}", words::count(work.leftovers, "leftover file")));
    let words = match task.state {
        // Asked for by `land`: the agent's end is an old story.
        TaskState::Finished if task.land_asked => leftovers,
        TaskState::Finished => {
            let parts: Vec<String> = [words::change(work)].into_iter().chain(leftovers).collect();
            Some(format!("finished ({})", parts.join("; ")))
        }
        _ => leftovers,
    };
    let mut told: Vec<Told> = words.into_iter().map(|words| (Mark::Doing, words)).collect();
    told.extend(note.map(|note| (Mark::Warning, text::one_line(note))));
    told.extend(tried_again(run, task));
    told
}

fn kept(cleanup: &CleanUp) -> Vec<Told> {
    let kept = |what: &str, why: &Option<String>| {
        why.as_deref().map(|why| (Mark::Warning, format!("{what} kept: {}", text::one_line(why))))
    };
    let told = [kept("worktree", &cleanup.worktree_kept), kept("branch", &cleanup.branch_kept)];
    told.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixture::{self, Story, conflict, look, oid, spec, work};
    use super::*;
    use crate::run::How;

    fn told(story: &Story) -> String {
        let lines = story.records.iter().flat_map(|(record, run)| lines(run, record, &look()));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_good_run() {
        assert_snapshot!(told(&fixture::sample()));
    }

    #[test]
    fn every_other_way_to_end() {
        let names = ["held", "slow", "broken", "killed", "missing", "idle", "late", "none", "wide", "old"];
        let mut spec = spec(&names);
        spec.timeout_ms = Some(30 * 60_000);
        spec.tasks[9].skip = true;
        let mut story = Story::new(spec);
        for (i, name) in ["held", "slow", "broken", "killed", "late", "none", "wide"].iter().enumerate() {
            story.start(1, name, 100 + i as u32);
        }
        story.prepare(2, "missing");
        story.event(
            2,
            Event::PrepareFailed {
                task: "missing".into(),
                reason: "fatal: no space\nhint: free some".into(),
            },
        );
        story.fail(3, "broken", Exit { code: Some(3), left_behind: 2, ..Exit::default() });
        story.fail(4, "killed", Exit { signal: Some(9), output_dropped: 5_000_000, ..Exit::default() });
        story.fail(1801, "slow", Exit { timed_out: true, ..Exit::default() });
        story.exit(1802, "held", Exit { code: Some(0), ..Exit::default() });
        let note = Some("its branch was rewritten".to_owned());
        story.event(
            1802,
            Event::Collected { task: "held".into(), work: Work { leftovers: 2, ..work(2) }, note },
        );
        story.event(
            1802,
            Event::Held { task: "held".into(), reason: "conflict markers in a.rs\x1b[2J".into(), tip: None },
        );
        story.finish(1803, "none", 0);
        story.event(1803, Event::NothingToLand { task: "none".into(), tip: Some(oid(7)) });
        story.finish(1804, "wide", 2).merge(1804, "wide");
        story.event(
            1804,
            Event::TargetMoved { task: "wide".into(), tip: oid(0xabcdef0), went_back_from: None },
        );
        let paths = ["a", "b", "c/\x07", "d", "e"];
        let mut conflicts: Vec<_> = paths.iter().map(|path| conflict(path, None)).collect();
        conflicts.push(conflict("src/db.rs", Some("held")));
        story.collide(1805, "wide", conflicts);
        let stop = |tasks| Event::StopRequested { tasks, cause: StopCause::Interrupt, stop: Stop::Term };
        story.event(1806, stop(Some(vec!["idle".into()])));
        story.event(1807, stop(None));
        story.fail(1808, "late", Exit { stopped: true, ..Exit::default() });
        assert_snapshot!(told(&story));
    }

    #[test]
    fn what_stays_is_told() {
        let mut story = fixture::sample();
        let keeps = CleanUp { worktree_kept: Some("it has untracked files".into()), branch_kept: None };
        story.event(100, Event::CleanedUp { task: "auth".into(), cleanup: keeps });
        story.event(200, Event::LandRequested { task: "billing".into(), all: false });
        story.collect(201, "billing", Work { leftovers: 1, ..work(4) }).land(202, "billing", How::Merge);
        story.records.drain(..story.records.len() - 6);
        assert_snapshot!(told(&story));
    }

    #[test]
    fn colours_are_for_what_came_out() {
        let story = fixture::sample();
        let look = Look { color: true, ..look() };
        let lines: Vec<_> =
            story.records.iter().flat_map(|(record, run)| lines(run, record, &look)).collect();
        assert_snapshot!(lines[0].escape_debug(), @r"\u{1b}[2m[10:30:01]\u{1b}[0m auth: started (pid 4711)");
        let last = lines[lines.len() - 1].escape_debug().to_string();
        assert_snapshot!(last, @r"\u{1b}[2m[10:31:39]\u{1b}[0m \u{1b}[33mbilling: conflict with auth in src/db.rs\u{1b}[0m");
    }
}
