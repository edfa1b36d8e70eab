//! The report for scripts.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::Look;
use super::super::json::{counts, usage};
use super::{Entry, Report};
use crate::run::{Phase, Span, Track};

pub(super) fn json(report: &Report, look: &Look) -> Value {
    let (run, spec) = (report.run, &report.run.spec);
    let (done, of) = report.success();
    let entries = report.entries(look);
    let none = Track::default();
    let tracks = report.timeline.tracks.iter().chain(std::iter::repeat(&none));
    let merges = report.merges().into_iter().map(|merge| {
        json!({
            "task": merge.task.name(),
            "commit": merge.landing.commit,
            "onto": merge.landing.onto,
            "how": merge.landing.how,
            "at": merge.at,
            "undone": merge.task.undone,
        })
    });
    json!({
        "version": 1,
        "run": {
            "id": spec.id,
            "state": report.state(),
            "target": spec.target,
            "base": spec.base,
            "tip": run.tip,
            "jobs": spec.jobs,
            "atomic": spec.atomic,
            "started_at": spec.started_at,
            "finished_at": run.finished_at,
        },
        "seconds": seconds(report.elapsed()),
        "agent_seconds": seconds(report.agents()),
        "speed_up": report.speed_up().map(|factor| (factor * 100.0).round() / 100.0),
        "success": { "tasks": done, "of": of },
        "counts": counts(run),
        "undone": run.tasks.iter().filter(|task| task.undone.is_some()).count(),
        "usage": run.usage().map(usage),
        "tasks": entries.iter().zip(tracks).map(|(entry, track)| task(report, entry, track)).collect::<Vec<_>>(),
        "merges": merges.collect::<Vec<_>>(),
    })
}

fn task(report: &Report, entry: &Entry, track: &Track) -> Value {
    let task = entry.task;
    let (argv, name, _) = task.agent(&report.run.spec);
    let work = task.work.clone().unwrap_or_default();
    let mut times: Map<String, Value> =
        Phase::ALL.into_iter().map(|phase| (phase_name(phase), json!(0.0))).collect();
    times.extend(entry.times.iter().map(|(phase, time)| (phase_name(*phase), json!(seconds(*time)))));
    let end = |which| {
        let found = entry.ends.iter().find(|(what, _)| *what == which);
        found.map(|(_, lines)| lines.as_slice()).unwrap_or_default()
    };
    json!({
        "name": task.name(),
        "branch": task.spec.branch,
        "state": task.state,
        "attempts": task.attempt,
        "agent": {
            "name": name.filter(|name| !name.is_empty()),
            "command": argv,
        },
        "runner": task.spec.runner,
        "job": task.job.as_ref().map(|job| job.name()),
        "host": task.job.as_ref().and_then(|job| job.host.as_ref()),
        "seconds": times,
        "spans": track.spans.iter().map(span).collect::<Vec<_>>(),
        "tip": work.tip,
        "commits": work.commits,
        "files": work.files,
        "insertions": work.insertions,
        "deletions": work.deletions,
        "landed": task.landed(),
        "landed_at": track.landed_at.filter(|_| task.landed().is_some()),
        "undone": task.undone,
        "conflicts": track.conflicts,
        "exit_code": task.exit.as_ref().and_then(|exit| exit.code),
        "reason": task.reason,
        "usage": task.usage.map(usage),
        "log": (report.logs)(task.name()),
        "log_end": end(super::LOG),
        "check_log_end": end(super::CHECK_LOG),
    })
}

fn span(span: &Span) -> Value {
    json!({ "phase": span.phase, "attempt": span.attempt, "from": span.from, "to": span.to, "ended": span.ended })
}

fn phase_name(phase: Phase) -> String {
    json!(phase).as_str().unwrap_or_default().to_owned()
}

/// To the millisecond.
fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1e3
}
