//! The command line: the one source of help, man pages and completions.

mod agents;
mod conflicts;
mod pacing;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

mod report;
mod run;
mod schema;
mod strategy;
mod tasks;
mod undo;

pub use agents::AgentsArgs;
pub use conflicts::ConflictsArgs;
pub use pacing::PacingArgs;
pub use report::ReportArgs;
pub use run::{Existing, LeftoversArg, OutputArgs, RunArgs};
pub use schema::{SchemaArgs, SchemaName};
pub use strategy::StrategyArg;
pub use tasks::{AbortArgs, CleanupArgs, LandArgs, ResolveArgs, RetryArgs};
pub use undo::UndoArgs;

use crate::plan::parse_duration;

/// Run agents at once, each on its own branch and worktree, and land what they finish.
///
/// For every task: one branch, one linked worktree, one agent (any command), all at once. As each agent
/// finishes, its branch is landed on the target branch: by fast-forward when possible, else by a merge made
/// off to the side. A conflict never touches the target or your checkout: it is escalated to you, with the
/// work kept and the next command printed.
#[derive(Debug, Parser)]
#[command(
    name = "git-parallel",
    bin_name = "git parallel",
    version,
    after_help = "See 'git parallel <command> -h' for a command's options, and 'git help parallel' for the manual.",
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands; what each does is told where its arguments are.
#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Box<RunArgs>),
    Status(StatusArgs),
    Logs(LogsArgs),
    Abort(AbortArgs),
    Wait(WaitArgs),
    Resume(ResumeArgs),
    Retry(RetryArgs),
    Resolve(ResolveArgs),
    Land(LandArgs),
    Conflicts(ConflictsArgs),
    List(ListArgs),
    Report(ReportArgs),
    Undo(UndoArgs),
    Cleanup(CleanupArgs),
    Agents(AgentsArgs),
    Doctor(DoctorArgs),
    Demo(DemoArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
    Schema(SchemaArgs),
    #[command(hide = true)]
    Complete(CompleteArgs),
}

/// Show where a run stands.
///
/// Tells the state of each task of the latest run, or of the one named, what each needs from you, and the
/// totals. Works from anywhere in the repository, also while the run is going. The exit code says only
/// whether there was a run to show.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel status
  git parallel status --watch
  git parallel status 20261120-143201-k3f9
  git parallel status --json | jq -r '.tasks[] | select(.state == \"failed\").name'
  git parallel status --porcelain | grep '^t '")]
pub struct StatusArgs {
    /// The run's id [default: the latest]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Print one JSON object
    #[arg(long, conflicts_with = "watch")]
    pub json: bool,
    /// Print lines for scripts, which stay as they are
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    pub porcelain: bool,
    /// As --porcelain, with NUL at the end of each line and nothing quoted
    #[arg(short = 'z', conflicts_with_all = ["json", "watch"])]
    pub nul: bool,
    /// Show it anew whenever it changes, until the run ends
    #[arg(long)]
    pub watch: bool,
}

/// Show an agent's output.
///
/// Both output streams of the agent are shown in the order they came. Terminal escapes are neutralised
/// unless --raw is given. Without TASK, the output of every task of the run is shown, each under its name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel logs -f
  git parallel logs docs | tail -n 20
  git parallel logs --raw --run 20261120-143201-k3f9 auth >auth.log")]
pub struct LogsArgs {
    /// The task
    #[arg(value_name = "TASK")]
    pub task: Option<String>,
    /// Go on as the output grows, until the agent ends
    #[arg(short, long)]
    pub follow: bool,
    /// Print the bytes as the agent wrote them
    #[arg(long)]
    pub raw: bool,
    /// The run's id [default: the latest]
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
}

/// Wait for the end of a run.
///
/// Exits as the run did; with 124 if --timeout ran out first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel wait
  git parallel wait --timeout 30m || git parallel status")]
pub struct WaitArgs {
    /// The run's id [default: the latest]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Wait no longer than this, such as 90s, 30m or 2h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// Pick an interrupted run up.
///
/// Agents that still run are taken over, half-done landings are finished, and the run goes on to its end.
/// Doing it twice changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel resume
  git parallel resume -q")]
pub struct ResumeArgs {
    /// The run's id [default: the latest]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// What is printed.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// List all runs.
///
/// One line a run, the latest last: its id, where it stands, its target, and what became of its tasks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel list
  git parallel list --json | jq -r '.runs[-1].id'
  git parallel list --porcelain | tail -n 1 | cut -d ' ' -f 1")]
pub struct ListArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print lines for scripts, which stay as they are
    #[arg(long, conflicts_with_all = ["json"])]
    pub porcelain: bool,
    /// As --porcelain, with NUL at the end of each line and nothing quoted
    #[arg(short = 'z', conflicts_with_all = ["json"])]
    pub nul: bool,
}

/// Check whether a run could start here.
///
/// Tells every problem at once, each with what to do about it. Changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel doctor
  git parallel doctor && git parallel run -y -f plan.toml")]
pub struct DoctorArgs {}

/// Show the main job in a throw-away repository.
///
/// Makes a small repository and runs three agents in it at once, which are shell scripts: the first lands by
/// fast-forward, the second by a merge, and the third has a conflict, with the commands that settle it. The
/// repository is kept, to look at and to try them in.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel demo
  git parallel demo ~/demo")]
pub struct DemoArgs {
    /// An empty or new directory to make it in [default: a temporary one]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

/// Print a shell's completion script.
///
/// Those for bash, zsh and fish complete 'git parallel' through the shell's completion of git, and
/// 'git-parallel'; the others complete 'git-parallel'. Where to put a script is said at its top.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel completions bash >~/.local/share/bash-completion/completions/git-parallel
  git parallel completions zsh >~/.zfunc/_git-parallel
  git parallel completions fish >~/.config/fish/conf.d/git-parallel.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Answer a shell's completion script; not for people.
#[derive(Debug, Args)]
pub struct CompleteArgs {
    /// The words that follow 'git parallel', up to the cursor
    #[arg(last = true, value_name = "WORD")]
    pub words: Vec<OsString>,
}

/// Write the man pages into a directory.
///
/// The directory is made if need be. For a command in PREFIX/bin, man finds the pages in
/// PREFIX/share/man/man1; what is not of section 1 goes to man5 beside a directory of that name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel man ~/.cargo/share/man/man1
  git help parallel")]
pub struct ManArgs {
    /// The directory
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        super::Cli::command().debug_assert();
    }
}
