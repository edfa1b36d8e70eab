//! The arguments of `git parallel run`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};

use super::{PacingArgs, StrategyArg};
use crate::plan::parse_duration;

/// Start a run and see it through.
///
/// Makes a branch and a linked worktree for each TASK, runs AGENT in all of them at once and lands each
/// branch on the target as its agent finishes. A TASK is a name such as 'auth'; its branch is 'feature/auth'
/// (see --prefix), or the name itself if it has a '/'. TASK=PROMPT gives it a prompt of its own.
///
/// In the arguments of AGENT, {task}, {branch}, {worktree}, {base}, {target}, {prompt}, {prompt_file} and
/// {slot} are replaced; no shell is involved. The agent is started in its worktree with GIT_PARALLEL_TASK
/// and the like in its environment. Exit 0 means done; anything else means failed, and its work is kept.
///
/// With -a, the agent is one that 'git parallel agents' lists: it knows how that is called, and where the
/// prompt goes. What follows '--' are then more arguments for it, before the prompt; if they mention {prompt}
/// or {prompt_file}, they say where it goes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel run auth docs billing -- ./agent.sh {task}
  git parallel run -j 8 auth='Add a login form' docs='Write the guide' -- claude -p {prompt}
  git parallel run -a codex auth='Add a login form' docs='Write the guide'
  git parallel run -f plan.toml
  git parallel run -y --into develop fix/a fix/b -- sh -c 'make \"$GIT_PARALLEL_TASK\"'")]
pub struct RunArgs {
    /// A task's name, with its prompt if it has one of its own
    #[arg(value_name = "TASK[=PROMPT]", required_unless_present = "file")]
    pub tasks: Vec<String>,
    /// Read the tasks from a plan file in TOML, YAML, JSON or Markdown; '-' is standard input
    #[arg(short, long, value_name = "PLAN", conflicts_with = "tasks", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// The command to run for each task, and its arguments; with -a, more arguments for that agent
    #[arg(last = true, value_name = "AGENT", value_hint = ValueHint::CommandWithArguments)]
    pub agent: Vec<OsString>,
    /// A known agent, instead of AGENT; see 'git parallel agents' [default: parallel.agent]
    ///
    /// Several, with commas between them, take turns: 'claude,codex'. 'auto' takes for each task the one that
    /// suits it best by parallel.route.NAME.pattern, else the first that is on PATH.
    #[arg(short = 'a', long = "agent", value_name = "NAME", value_delimiter = ',')]
    pub agent_names: Vec<String>,
    /// Give every task to each agent of -a; their branches are left for 'git parallel land'
    #[arg(long, requires = "agent_names", conflicts_with = "atomic")]
    pub each_agent: bool,
    /// Prompt of every task that has none of its own
    #[arg(short, long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// File that holds the prompt of every task that has none of its own
    #[arg(short = 'P', long, value_name = "FILE", conflicts_with = "prompt", value_hint = ValueHint::FilePath)]
    pub prompt_file: Option<PathBuf>,
    /// Agents at once, 1 to 1000; the rest queue [default: 3, parallel.jobs]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub jobs: Option<u32>,
    /// One agent after the other; the same as -j 1
    #[arg(long, conflicts_with = "jobs")]
    pub sequential: bool,
    /// Branch that finished work lands on [default: the current branch, parallel.target]
    #[arg(long, value_name = "BRANCH")]
    pub into: Option<OsString>,
    /// Commit that task branches start from [default: the target's tip]
    #[arg(long, value_name = "REV")]
    pub base: Option<OsString>,
    /// Branch prefix of a task whose name has no '/' [default: feature/, parallel.branchPrefix]
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// What to do when a branch or worktree is there already
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    pub existing: Existing,
    /// How finished work lands [default: merge, parallel.strategy]
    #[arg(long, value_name = "HOW")]
    pub strategy: Option<StrategyArg>,
    /// With the strategy 'merge': make a merge commit even where a fast-forward is possible
    #[arg(long)]
    pub no_ff: bool,
    /// Leave finished branches for 'git parallel land'
    #[arg(long)]
    pub no_land: bool,
    /// Shell command that what would land must pass, run in a checkout of it [default: parallel.verify]
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString)]
    pub verify: Option<OsString>,
    /// Checks at once, each on top of the one before [default: half the jobs, parallel.verifyJobs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub verify_jobs: Option<u32>,
    /// A check that runs longer has failed [default: never, parallel.verifyTimeout]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub verify_timeout: Option<Duration>,
    /// Run a check that fails again, up to N times [default: 0, parallel.verifyRetries]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub verify_retries: Option<u32>,
    /// Shell command or known agent that settles conflicts before you are asked [default: parallel.onConflict]
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString)]
    pub on_conflict: Option<OsString>,
    /// Shell command that is run in each new worktree before its agent [default: parallel.setup]
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString)]
    pub setup: Option<OsString>,
    /// Land all tasks in one step, or none
    #[arg(long, conflicts_with = "no_land")]
    pub atomic: bool,
    /// With --atomic, let the others finish after a failure
    #[arg(long, requires = "atomic")]
    pub keep_going: bool,
    /// Uncommitted work of an agent that exited 0 [default: commit, parallel.leftovers]
    #[arg(long, value_name = "WHAT")]
    pub leftovers: Option<LeftoversArg>,
    /// Stop an agent that runs longer, such as 90s, 30m or 2h [default: never, parallel.timeout]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Start an agent that fails again, up to N times [default: 0, parallel.retries]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub retries: Option<u32>,
    /// Where agents run: local, slurm, or what parallel.runner.NAME.* configures [default: local, parallel.runner]
    #[arg(long, value_name = "NAME")]
    pub runner: Option<String>,
    /// What holds new starts back.
    #[command(flatten)]
    pub pacing: PacingArgs,
    /// Keep worktrees and branches of landed tasks
    #[arg(long)]
    pub keep: bool,
    /// Start though tracked files have changes
    #[arg(long)]
    pub allow_dirty: bool,
    /// Go on in the background; print the run's id
    #[arg(long, conflicts_with_all = ["json", "quiet", "verbose"])]
    pub detach: bool,
    /// If another run is going, wait for its end instead of refusing
    #[arg(long, conflicts_with = "takeover")]
    pub wait: bool,
    /// If another run is going, abort it (its work is kept), then start; asks first
    #[arg(long)]
    pub takeover: bool,
    /// Print the plan; create nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Don't ask [parallel.confirm=false]
    #[arg(short, long)]
    pub yes: bool,
    /// What is printed.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What a command that sees to a run prints.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Print events as JSON, one a line
    #[arg(long, conflicts_with_all = ["quiet", "verbose"])]
    pub json: bool,
    /// Print only what needs you, and the summary
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print each agent's output as it comes, prefixed with its task
    #[arg(short, long)]
    pub verbose: bool,
}

/// `--existing`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Existing {
    /// Refuse to start
    Fail,
    /// Use the branch as it is
    Reuse,
    /// Leave the task out
    Skip,
    /// Start the branch anew; its old tip is pinned first
    Overwrite,
}

/// `--leftovers`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LeftoversArg {
    /// Commit all that git does not ignore
    Commit,
    /// Hold the task for you
    Refuse,
}
