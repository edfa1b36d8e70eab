//! Preflight: everything that would stop a run, found before anything is created, all at once.

mod agents;
mod place;
mod policy;
mod runners;
mod ssh;
mod tasks;

use std::path::{Path, PathBuf};

use anyhow::Result;
use jiff::Timestamp;

use crate::error::{Failure, exit};
use crate::git::{Config, Repository};
use crate::plan::Request;
use crate::run::{
    AgentCall, Gates, Hooks, Leftovers, Oid, Pacing, Regenerate, Resolver, RunId, RunSpec, Runner, Strategy,
    TaskSpec, Text, Verify,
};
use crate::store::Layout;

pub use agents::{AUTO, registry};

/// What a run was asked to be, from arguments and configuration.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The tasks, or why their names are refused.
    pub tasks: Result<Vec<Request>, Vec<String>>,
    /// The agent's argument vector; with names, more arguments for the agents of those names.
    pub agent: Vec<Text>,
    /// The agents' names, if they are asked for so: tasks are given to them in turn.
    pub agent_names: Vec<String>,
    /// Where agents run of tasks that say nothing else.
    pub runner: Option<String>,
    /// Prompt of tasks that have none.
    pub prompt: Option<String>,
    /// Agents at once.
    pub jobs: u32,
    /// The target, where it is named.
    pub target: Option<Text>,
    /// Where task branches start, where it is named.
    pub base: Option<Text>,
    /// Prefix of branches.
    pub prefix: String,
    /// What to do with what is there already.
    pub existing: OnExisting,
    /// Start though tracked files have changes.
    pub allow_dirty: bool,
    /// See [`RunSpec::strategy`].
    pub strategy: Strategy,
    /// See [`RunSpec::no_ff`].
    pub no_ff: bool,
    /// See [`RunSpec::land`].
    pub land: bool,
    /// See [`RunSpec::keep`].
    pub keep: bool,
    /// See [`RunSpec::leftovers`].
    pub leftovers: Leftovers,
    /// See [`RunSpec::timeout_ms`].
    pub timeout_ms: Option<u64>,
    /// See [`RunSpec::retries`].
    pub retries: u32,
    /// See [`RunSpec::verify`].
    pub verify: Option<Verify>,
    /// What settles conflicts: an agent's name, or else a command for `sh -c`.
    pub on_conflict: Option<Text>,
    /// See [`RunSpec::hooks`].
    pub hooks: Hooks,
    /// See [`RunSpec::pacing`].
    pub pacing: Pacing,
    /// See [`RunSpec::atomic`].
    pub atomic: bool,
    /// See [`RunSpec::keep_going`].
    pub keep_going: bool,
}

impl Ask {
    /// A run without tasks.
    pub fn nothing() -> Ask {
        Ask {
            tasks: Ok(Vec::new()),
            agent: Vec::new(),
            agent_names: Vec::new(),
            runner: None,
            prompt: None,
            jobs: 1,
            target: None,
            base: None,
            prefix: String::new(),
            existing: OnExisting::Fail,
            allow_dirty: false,
            strategy: Strategy::default(),
            no_ff: false,
            land: true,
            keep: false,
            leftovers: Leftovers::Commit,
            timeout_ms: None,
            retries: 0,
            verify: None,
            on_conflict: None,
            hooks: Hooks::default(),
            pacing: Pacing::default(),
            atomic: false,
            keep_going: false,
        }
    }

    /// Whether each task is given to the agent that suits it best.
    fn is_auto(&self) -> bool {
        matches!(&self.agent_names[..], [only] if only == agents::AUTO)
    }
}

/// What to do when a branch or worktree is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnExisting {
    /// Refuse.
    Fail,
    /// Use it as it is.
    Reuse,
    /// Leave the task out.
    Skip,
    /// Start anew, the old tip pinned.
    Overwrite,
}

/// Something that stops a run, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Problem { what: what.into(), hint: Some(hint.into()) }
    }

    fn plain(what: impl Into<String>) -> Self {
        Problem { what: what.into(), hint: None }
    }
}

/// A run that could start.
#[derive(Clone, Debug)]
pub struct Draft {
    ask: Ask,
    root: PathBuf,
    target: Text,
    /// The target's tip.
    pub tip: Oid,
    base: Oid,
    /// Where the worktrees go.
    pub worktrees: PathBuf,
    tasks: Vec<TaskSpec>,
    agent: AgentCall,
    /// What a person should know of the choice of agents.
    pub notes: Vec<String>,
    on_conflict: Option<Resolver>,
    gates: Gates,
    regenerate: Vec<Regenerate>,
    include: Vec<Text>,
    usage_patterns: Vec<Text>,
    runners: Vec<Runner>,
}

impl Draft {
    /// The tasks.
    pub fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    /// Agents at once.
    pub fn jobs(&self) -> u32 {
        self.ask.jobs
    }

    /// The target's short name.
    pub fn target(&self) -> &Text {
        &self.target
    }

    /// What was asked, under the id of a run.
    pub fn into_spec(self, id: RunId, started_at: Timestamp) -> RunSpec {
        RunSpec {
            version: RunSpec::VERSION,
            id,
            started_at,
            target: self.target,
            base: self.base,
            root: self.root.into(),
            agent: self.agent.argv,
            agent_name: Some(self.agent.name).filter(|name| !name.is_empty()),
            agent_shell: self.agent.shell,
            jobs: self.ask.jobs,
            strategy: self.ask.strategy,
            no_ff: self.ask.no_ff,
            land: self.ask.land,
            keep: self.ask.keep,
            leftovers: self.ask.leftovers,
            timeout_ms: self.ask.timeout_ms,
            retries: self.ask.retries,
            verify: self.ask.verify,
            on_conflict: self.on_conflict,
            atomic: self.ask.atomic,
            keep_going: self.ask.keep_going,
            gates: self.gates,
            regenerate: self.regenerate,
            usage_patterns: self.usage_patterns,
            pacing: self.ask.pacing,
            include: self.include,
            hooks: self.ask.hooks,
            runners: self.runners,
            tasks: self.tasks,
        }
    }
}

/// Checks whether the run could start. `Err`: all that stops it.
pub fn check(repo: &Repository, config: &Config, layout: &Layout, ask: Ask) -> Result<Draft, Vec<Problem>> {
    let mut problems = Vec::new();
    place::check_git(repo, ask.strategy, &mut problems);
    place::check_records(repo, layout, &mut problems);
    let worktrees = place::worktree_dir(repo, config);
    let target = place::find_target(repo, ask.target.as_ref(), &mut problems);
    let base = match &target {
        Some((_, tip)) => place::find_base(repo, ask.base.as_ref(), tip, &mut problems),
        None => None,
    };
    if let Some((name, _)) = &target {
        place::check_target(repo, name, ask.allow_dirty, &mut problems);
    }
    let mut tasks = tasks::plan(repo, &worktrees, &ask, target.as_ref().map(|(name, _)| name), &mut problems);
    policy::check_touches(repo, base.as_ref(), &tasks, &mut problems);
    let gates = policy::gates(repo, config, base.as_ref(), &mut problems);
    let regenerate = policy::regenerate(repo, config, base.as_ref(), &mut problems);
    let include = policy::include(repo, config, &mut problems);
    let usage_patterns = policy::usage_patterns(config, &mut problems);
    let (runners, about_runners) = runners::check(config, &ask, &mut tasks, &mut problems);
    place::check_pacing(&ask.pacing, &mut problems);
    let crew = agents::check(repo, config, &ask, base.as_ref(), &mut tasks, &mut problems);
    let on_conflict = agents::check_resolver(config, ask.on_conflict.as_ref(), &mut problems);
    if let Some(base) = &base {
        place::check_room(repo, base, &worktrees, tasks.len(), &mut problems);
    }
    match (target, base) {
        (Some((target, tip)), Some(base)) if problems.is_empty() => Ok(Draft {
            root: repo.root().to_owned(),
            ask,
            target,
            tip,
            base,
            worktrees,
            tasks,
            agent: crew.agent,
            notes: crew.notes.into_iter().chain(about_runners).collect(),
            on_conflict,
            gates,
            regenerate,
            include,
            usage_patterns,
            runners,
        }),
        _ => Err(problems),
    }
}

/// All problems as one error: each with what to do.
pub fn refuse(problems: &[Problem]) -> anyhow::Error {
    let message = match problems {
        [only] => only.what.clone(),
        all => {
            let lines = all.iter().map(|p| format!("\n  - {}", p.what)).collect::<String>();
            format!("the run can't start, for {} reasons:{lines}", all.len())
        }
    };
    let mut failure = Failure::new(exit::REFUSED, message).safe("Nothing was created or changed.");
    let mut told: Vec<&str> = Vec::new();
    for hint in problems.iter().filter_map(|p| p.hint.as_deref()) {
        if !told.contains(&hint) {
            told.push(hint);
            failure = failure.hint(hint);
        }
    }
    failure.into()
}

/// A path as people want to read it: relative to the current directory's parent where that is shorter.
pub fn display_dir(path: &Path, root: &Path) -> String {
    match (path.parent(), root.parent(), path.file_name()) {
        (Some(a), Some(b), Some(name)) if a == b => format!("../{}/", name.to_string_lossy()),
        _ => format!("{}/", path.display()),
    }
}
