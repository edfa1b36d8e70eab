//! Runs to draw: built from events, as real ones are.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Format, Look, Settings, Verbosity};
use crate::run::{
    Conflict, Event, Exit, How, Landing, Oid, Record, Run, RunId, RunSpec, Step, TaskName, Text, Work,
    fixture,
};

pub(super) fn look() -> Look {
    Look {
        color: false,
        unicode: true,
        width: usize::MAX,
        time_zone: TimeZone::UTC,
        advice: true,
        cwd: Some("/home/ann/shop".into()),
    }
}

pub(super) fn settings(format: Format, verbosity: Verbosity) -> Settings {
    Settings { stdout: look(), stderr: look(), stderr_is_terminal: false, verbosity, format }
}

pub(super) fn oid(n: u32) -> Oid {
    Oid::try_from(format!("{n:07x}{:033}", 0)).unwrap()
}

/// So many seconds after the run started.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_170_600 + seconds).unwrap()
}

pub(super) fn spec(names: &[&str]) -> RunSpec {
    let mut spec = RunSpec {
        id: RunId("20261120-103000-k3f9".to_owned()),
        started_at: at(0),
        base: oid(0x1a2b3c4),
        root: "/home/ann/shop".into(),
        agent: vec!["./agent.sh".into(), "{task}".into()],
        agent_name: None,
        agent_shell: false,
        jobs: 3,
        ..fixture::spec(names)
    };
    for task in &mut spec.tasks {
        task.worktree = format!("/home/ann/shop.worktrees/{}", task.name).into();
    }
    spec
}

pub(super) fn work(commits: u32) -> Work {
    Work {
        tip: Some(oid(0xfeed)),
        commits,
        files: 3,
        insertions: 40,
        deletions: 2,
        leftovers: 0,
        snapshot: None,
    }
}

pub(super) fn landing(how: How) -> Landing {
    Landing { onto: oid(0x1a2b3c4), tip: oid(0xfeed), commit: oid(0xbeef), how, settled: None }
}

pub(super) fn conflict(path: &str, with: Option<&str>) -> Conflict {
    Conflict { path: Text::from(path), with: with.map(TaskName::from) }
}

/// A run, its clock, and short ways to say what happens in it. Every record is kept.
pub(super) struct Story {
    pub(super) run: Run,
    pub(super) records: Vec<(Record, Run)>,
    pub(super) clock: i64,
}

impl Story {
    pub(super) fn new(spec: RunSpec) -> Story {
        let mut story = Story { run: Run::new(spec), records: Vec::new(), clock: 0 };
        story.event(0, Event::RunStarted { pid: 4700 });
        story
    }

    /// It happens at that second.
    pub(super) fn event(&mut self, second: i64, event: Event) -> &mut Story {
        let record = Record { at: at(second), event };
        self.run.apply(&record).unwrap();
        self.clock = second;
        self.records.push((record, self.run.clone()));
        self
    }

    fn begin(&mut self, second: i64, task: &str, step: Step) -> &mut Story {
        self.event(second, Event::Begun { task: task.into(), step })
    }

    pub(super) fn prepare(&mut self, second: i64, task: &str) -> &mut Story {
        self.begin(second, task, Step::Prepare { slot: 0, base: None })
    }

    pub(super) fn start(&mut self, second: i64, name: &str, pid: u32) -> &mut Story {
        let task = TaskName::from(name);
        self.prepare(second, name);
        let base = oid(0x1a2b3c4);
        self.event(
            second,
            Event::Prepared {
                task: task.clone(),
                base,
                branch_created: true,
                worktree_created: true,
                is_new: true,
                note: None,
            },
        );
        self.begin(second, name, Step::Start { attempt: 1 });
        self.event(second, Event::AgentStarted { task, pid, host: None })
    }

    pub(super) fn exit(&mut self, second: i64, name: &str, exit: Exit) -> &mut Story {
        self.event(second, Event::AgentExited { task: name.into(), exit });
        self.begin(second, name, Step::Collect)
    }

    pub(super) fn collect(&mut self, second: i64, name: &str, work: Work) -> &mut Story {
        self.event(second, Event::Collected { task: name.into(), work, note: None })
    }

    /// The agent exits 0 and leaves so many commits.
    pub(super) fn finish(&mut self, second: i64, name: &str, commits: u32) -> &mut Story {
        self.exit(second, name, Exit { code: Some(0), ..Exit::default() }).collect(
            second,
            name,
            work(commits),
        )
    }

    pub(super) fn fail(&mut self, second: i64, name: &str, exit: Exit) -> &mut Story {
        self.exit(second, name, exit).collect(second, name, work(1))
    }

    pub(super) fn merge(&mut self, second: i64, name: &str) -> &mut Story {
        self.begin(second, name, Step::Merge { onto: None })
    }

    pub(super) fn land(&mut self, second: i64, name: &str, how: How) -> &mut Story {
        let (task, landing) = (TaskName::from(name), landing(how));
        self.merge(second, name);
        self.event(
            second,
            Event::CandidateMade { task: task.clone(), landing: landing.clone(), went_back_from: None },
        );
        self.event(second, Event::Landed { task, landing })
    }

    pub(super) fn collide(&mut self, second: i64, name: &str, conflicts: Vec<Conflict>) -> &mut Story {
        self.merge(second, name);
        self.event(second, Event::Conflicted { task: name.into(), onto: oid(0xbeef), conflicts, note: None })
    }

    pub(super) fn end(&mut self, second: i64) -> &mut Story {
        self.event(second, Event::RunFinished { exit_code: self.run.exit_code() })
    }
}

/// The run of the manual: two land, one collides.
pub(super) fn sample() -> Story {
    let mut story = Story::new(spec(&["auth", "docs", "billing"]));
    story.start(1, "auth", 4711).start(1, "docs", 4712).start(2, "billing", 4713);
    story.finish(74, "docs", 2).land(75, "docs", How::FastForward);
    story.finish(80, "auth", 1).land(81, "auth", How::Merge);
    story.finish(99, "billing", 3).collide(99, "billing", vec![conflict("src/db.rs", Some("auth"))]);
    story.end(99);
    story
}

pub(super) fn log_of(task: &TaskName) -> Text {
    format!("/home/ann/shop/.git/parallel/runs/20261120-103000-k3f9/tasks/{task}/output.log").into()
}
