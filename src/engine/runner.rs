//! Running agents, and checks, on other machines: by Slurm, or by the user's own commands.
//!
//! All that a job needs and leaves is on a file system that both sides share: the worktree and the task's record. The
//! shim is the same as here, but for what ends where a machine ends (see `shim::far`). A runner is asked for three
//! things: to take a job, how all jobs stand, and to end one. What it says is a hint. How an agent ended is told by
//! its exit record alone, and that an attempt never runs twice by its claim.
//!
//! A job's name is a random token that the journal has before the job is submitted, so whoever comes after finds it
//! again, whether or not its id was ever heard of.

mod attend;
mod commands;
mod job;
mod next;
mod slurm;
mod watch;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::run::{Action, Event, Job, Runner, RunnerKind, Ssh, Step, Task, Text};
use crate::sys::{Tool, ToolOutput};

pub(super) use attend::{Order, attend};
pub(super) use job::{end_stray, for_job};
use watch::Watch;

use super::ssh::Hosts;
use super::{Context, Engine};

/// How long a runner may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many jobs are submitted or cancelled at once: a scheduler has others to serve.
const AT_ONCE: usize = 4;

/// How a shim's heart beats if it may be silent for long enough.
const BEAT: Duration = Duration::from_secs(5);

/// A job that is asked about.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Asked {
    token: String,
    id: Option<String>,
}

/// How a job stands, by its runner.
#[derive(Clone, PartialEq, Eq, Debug)]
enum JobState {
    /// It has not started, for this reason (which may be empty).
    Waits(String),
    /// It runs.
    Runs,
    /// It is over, in words that follow "its job".
    Ended(String),
    /// So it is, because somebody ended it, or it had used up what it may.
    Cut(String),
    /// So it is, and for no reason of its own: another try may go well.
    Broken(String),
}

/// Why a job was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Refusal {
    /// It never will be.
    ForGood(String),
    /// Nobody knows whether it was, or it may be later.
    ForNow(String),
}

/// What is submitted.
struct Submission<'a> {
    job: &'a Asked,
    /// A program without arguments that is the job.
    script: &'a Path,
    /// Where what the script itself says goes.
    log: &'a Path,
    /// Variables for the user's own commands.
    env: &'a [(String, Text)],
}

/// The runners of a run, each with who watches over its jobs.
#[derive(Default)]
pub(super) struct Runners {
    watches: Mutex<HashMap<String, Arc<Watch>>>,
    hosts: Mutex<HashMap<String, Arc<Hosts>>>,
}

impl Runners {
    fn watch(&self, runner: &Runner) -> Arc<Watch> {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.entry(runner.name.clone()).or_insert_with(|| Arc::new(Watch::new(runner.clone()))).clone()
    }

    /// The hosts of a runner that is about such.
    pub(super) fn hosts(&self, runner: &Runner, ssh: &Ssh) -> Arc<Hosts> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.entry(runner.name.clone()).or_insert_with(|| Arc::new(Hosts::new(ssh))).clone()
    }
}

/// Speaks to a runner.
struct Desk {
    runner: Runner,
    turns: Semaphore,
    slurm: slurm::Known,
}

impl Desk {
    fn new(runner: Runner) -> Desk {
        Desk { runner, turns: Semaphore::new(AT_ONCE), slurm: slurm::Known::default() }
    }

    /// Submits a job; gives what the runner calls it.
    async fn submit(&self, submission: &Submission<'_>) -> Result<String, Refusal> {
        let _turn = self.turns.acquire().await;
        match &self.runner.kind {
            RunnerKind::Slurm { args, .. } => slurm::submit(args, submission).await,
            RunnerKind::Commands { submit, .. } => commands::submit(submit, submission).await,
            RunnerKind::Prefix { .. } | RunnerKind::Ssh(_) => {
                Err(Refusal::ForGood("it takes no jobs".to_owned()))
            }
        }
    }

    /// How the jobs stand; those that the runner knows nothing of are left out. `Err`: it did not answer.
    async fn states(&self, jobs: &[Asked]) -> Result<HashMap<String, JobState>, String> {
        match &self.runner.kind {
            RunnerKind::Slurm { .. } => slurm::states(&self.slurm, jobs).await,
            RunnerKind::Commands { status, .. } => commands::states(status, jobs).await,
            RunnerKind::Prefix { .. } | RunnerKind::Ssh(_) => Ok(HashMap::new()),
        }
    }

    /// Ends a job, wherever it stands; fine if there is none.
    async fn cancel(&self, job: &Asked) -> Result<(), String> {
        let _turn = self.turns.acquire().await;
        match &self.runner.kind {
            RunnerKind::Slurm { .. } => slurm::cancel(job).await,
            RunnerKind::Commands { cancel: Some(cancel), .. } => commands::cancel(cancel, job).await,
            RunnerKind::Commands { cancel: None, .. } | RunnerKind::Prefix { .. } | RunnerKind::Ssh(_) => {
                Ok(())
            }
        }
    }

    fn lost_after(&self) -> Duration {
        Duration::from_millis(self.runner.lost_after_ms)
    }

    /// Several beats fit into the time after which a job is given up.
    fn beat(&self) -> Duration {
        beat(self.lost_after())
    }
}

/// How often a shim's heart beats that is given up after so long.
pub(super) fn beat(lost_after: Duration) -> Duration {
    BEAT.min(lost_after / 6).max(Duration::from_millis(100))
}

/// A program of a runner's that did not do what it was asked.
struct Failed {
    /// Its own words, after its name.
    why: String,
    /// It may have come as far as doing it, or may do it later.
    for_now: bool,
}

/// What exits so had a failure that is temporary (sysexits(3)).
const TEMPORARY: i32 = 75;

/// Runs a program of a runner's; `name` is what it is called.
async fn ask(name: &str, tool: &Tool) -> Result<ToolOutput, Failed> {
    match tool.run(PATIENCE).await {
        Ok(output) if output.code == Some(0) => Ok(output),
        Ok(output) => Err(Failed { why: said(name, &output), for_now: output.code == Some(TEMPORARY) }),
        Err(e) => {
            let for_now = e.kind() == std::io::ErrorKind::TimedOut || crate::sys::is_out_of_room(&e);
            Err(Failed { why: format!("{name}: {}", crate::sys::words(&e)), for_now })
        }
    }
}

/// What a program that failed said, on one line.
fn said(name: &str, output: &ToolOutput) -> String {
    const MOST: usize = 500;
    let lines = output.stderr.lines().chain(output.stdout.lines());
    let lines = lines.map(|line| line.trim_start_matches(&format!("{name}: error: ")).trim());
    let words: Vec<&str> = lines.filter(|line| !line.is_empty()).take(3).collect();
    let words: String = words.join("; ").chars().take(MOST).collect();
    match (words.is_empty(), output.code) {
        (false, _) => format!("{name}: {words}"),
        (true, Some(code)) => format!("{name} ended with exit code {code}"),
        (true, None) => format!("{name} was killed by a signal"),
    }
}

/// The job that checks the task's candidate elsewhere, and whose it is; `None` if it is checked here.
pub(super) fn of_check<'a>(context: &'a Context, task: &'a Task) -> Option<(&'a Runner, &'a Job)> {
    let job = task.check_job.as_ref()?;
    let runner = context.spec.runners.iter().find(|runner| runner.name == job.runner)?;
    Some((runner, job))
}

/// A name that no other job has.
pub(super) fn new_token() -> String {
    format!("gp-{:016x}", RandomState::new().build_hasher().finish())
}

impl Engine {
    /// Gives a name to the job that an action is about to submit. It is on disk before that is done.
    pub(super) fn name_job(&mut self, action: &Action) {
        let Action::Step { task: name, step } = action else { return };
        let Some(task) = self.run.task(name) else { return };
        let spec = &self.run.spec;
        let runner = match step {
            Step::Start { .. } if task.job.is_none() => spec.far_runner_of(&task.spec),
            Step::Verify { .. } => spec.far_verifier(),
            _ => None,
        };
        let Some(runner) = runner.map(|runner| runner.name.clone()) else { return };
        self.record(Event::Submitting { task: name.clone(), runner, token: new_token() });
    }
}
