//! JSON for scripts: the contract of the manual's JSON section.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::status::Supervisor;
use super::summary::Logs;
use crate::run::{Event, Foreseen, Record, Run, Task, TaskState, Text, Usage};

/// An event as one line of `run --json`. The last one also says how the tasks came out.
pub fn event(run: &Run, record: &Record) -> String {
    #[derive(Serialize)]
    struct Finished<'a> {
        at: Timestamp,
        event: &'a str,
        counts: BTreeMap<&'static str, usize>,
        exit_code: u8,
    }
    let line = match &record.event {
        Event::RunFinished { exit_code } => {
            let (at, counts) = (record.at, counts(run));
            serde_json::to_string(&Finished { at, event: "run-finished", counts, exit_code: *exit_code })
        }
        _ => serde_json::to_string(record),
    };
    // Only a map with keys that are no strings can't be written, and there is none.
    line.unwrap_or_default() + "\n"
}

/// An event for a trace, as `run --json` has it.
pub fn told(run: &Run, record: &Record) -> String {
    format!("event: {}", event(run, record).trim_end())
}

/// A conflict that is foreseen, as one line of `run --json`: of two tasks, or of one and the target.
pub fn foreseen(run: &Run, at: Timestamp, one: &Foreseen) -> String {
    let event = "conflict-foreseen";
    let line = match &one.with {
        Some(with) => json!({ "at": at, "event": event, "tasks": [one.task, with], "paths": one.paths }),
        None => {
            json!({ "at": at, "event": event, "tasks": [one.task], "target": run.spec.target, "paths": one.paths })
        }
    };
    format!("{line}\n")
}

/// How many tasks are in each state. Every state is there, so that a script can rely on it.
pub(super) fn counts(run: &Run) -> BTreeMap<&'static str, usize> {
    let counts = run.counts();
    TaskState::ALL.iter().map(|state| (state.name(), counts.get(state).copied().unwrap_or(0))).collect()
}

/// `status --json`.
pub fn status_json(run: &Run, supervisor: Supervisor, logs: Logs) -> Value {
    let spec = &run.spec;
    json!({
        "version": 1,
        "run": {
            "id": spec.id,
            "state": run.state(supervisor.alive),
            "target": spec.target,
            "base": spec.base,
            "tip": run.tip,
            "jobs": spec.jobs,
            "atomic": spec.atomic,
            "started_at": spec.started_at,
            "finished_at": run.finished_at,
            "usage": run.usage().map(usage),
        },
        "supervisor": { "alive": supervisor.alive, "pid": supervisor.pid.filter(|_| supervisor.alive) },
        "tasks": run.tasks.iter().map(|task| task_json(task, logs)).collect::<Vec<_>>(),
        "counts": counts(run),
    })
}

fn task_json(task: &Task, logs: Logs) -> Value {
    let work = task.work.clone().unwrap_or_default();
    let conflicts: Vec<&Text> = task.conflicts.iter().map(|conflict| &conflict.path).collect();
    json!({
        "name": task.name(),
        "branch": task.spec.branch,
        "worktree": task.spec.worktree,
        "state": task.state,
        "attempt": task.attempt,
        "depends_on": task.spec.depends_on,
        "group": task.spec.group,
        "pid": task.pid,
        "runner": task.spec.runner,
        "job": task.job.as_ref().map(|job| job.name()),
        "host": task.job.as_ref().and_then(|job| job.host.as_ref()),
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "exit_code": task.exit.as_ref().and_then(|exit| exit.code),
        "tip": work.tip,
        "landed": task.landed().map(|landing| &landing.commit),
        "undone": task.undone,
        "commits": work.commits,
        "files": work.files,
        "insertions": work.insertions,
        "deletions": work.deletions,
        "conflicts": conflicts,
        "log": logs(task.name()),
        "reason": task.reason,
        "usage": task.usage.map(usage),
    })
}

/// What agents said they used.
pub(super) fn usage(usage: Usage) -> Value {
    let cost = usage.cost.map(|millionths| millionths as f64 / 1e6);
    json!({ "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "cost_usd": cost })
}

/// `list --json`; `alive` belongs to the run whose supervisor lives.
pub fn list_json(runs: &[(&Run, bool)]) -> Value {
    let entry = |(run, alive): &(&Run, bool)| {
        json!({
            "id": run.spec.id,
            "state": run.state(*alive),
            "target": run.spec.target,
            "started_at": run.spec.started_at,
            "counts": counts(run),
            "undone": run.tasks.iter().filter(|task| task.undone.is_some()).count(),
        })
    };
    json!({ "version": 1, "runs": runs.iter().map(entry).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixture::{self, Story, log_of, spec};
    use super::*;

    fn pretty(value: &Value) -> String {
        serde_json::to_string_pretty(value).unwrap()
    }

    #[test]
    fn status_is_as_the_manual_says() {
        let sample = fixture::sample();
        assert_snapshot!(pretty(&status_json(&sample.run, Supervisor::default(), &log_of)));
    }

    #[test]
    fn status_of_a_run_that_goes_on_and_odd_bytes() {
        let mut spec = spec(&["auth"]);
        spec.tasks[0].worktree = Text::from(&b"/w/\xff\n"[..]);
        let mut story = Story::new(spec);
        story.start(1, "auth", 4711);
        let supervisor = Supervisor { alive: true, pid: Some(4700) };
        assert_snapshot!(pretty(&status_json(&story.run, supervisor, &log_of)));
    }

    #[test]
    fn events_are_one_line_each() {
        let sample = fixture::sample();
        let lines: String = sample.records.iter().map(|(record, run)| event(run, record)).collect();
        assert_eq!(lines.lines().count(), sample.records.len());
        assert_snapshot!(lines);
    }

    #[test]
    fn runs_with_their_counts() {
        let sample = fixture::sample();
        assert_snapshot!(pretty(&list_json(&[(&sample.run, false)])));
    }
}
