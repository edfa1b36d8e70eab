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
mod strategy;
mod undo;

pub use agents::AgentsArgs;
pub use conflicts::ConflictsArgs;
pub use pacing::PacingArgs;
pub use report::ReportArgs;
pub use run::{Existing, LeftoversArg, OutputArgs, RunArgs};
pub use strategy::StrategyArg;
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
    /// Print the JSON Schema of plan files, for editors
    #[command(hide = true)]
    Schema,
    #[command(hide = true)]
    Complete(CompleteArgs),
}

/// Show where a run stands.
///
/// Tells the state of each task of the latest run, or of the one named, what each needs from you, and the
/// totals. Works from anywhere in the repository, also while the run is going. The exit code says only
/// whether there was a run to show.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The run's id [default: the latest]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Print one JSON object
    #[arg(long, conflicts_with = "watch")]
    pub json: bool,
    /// Show it anew whenever it changes, until the run ends
    #[arg(long)]
    pub watch: bool,
}

/// Show an agent's output.
///
/// Both output streams of the agent are shown in the order they came. Terminal escapes are neutralised
/// unless --raw is given. Without TASK, the output of every task of the run is shown, each under its name.
#[derive(Debug, Args)]
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

/// Stop agents and keep their work.
///
/// An agent's whole process group gets TERM, and KILL if it is still there after 5 seconds. Without TASK, the
/// whole run ends. A run whose supervisor died is ended for good. Branches, worktrees and logs stay.
#[derive(Debug, Args)]
pub struct AbortArgs {
    /// The tasks to stop [default: all, and the run]
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
    /// Then remove what is safe to remove, as 'git parallel cleanup' does
    #[arg(long)]
    pub cleanup: bool,
}

/// Wait for the end of a run.
///
/// Exits as the run did; with 124 if --timeout ran out first.
#[derive(Debug, Args)]
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
pub struct ResumeArgs {
    /// The run's id [default: the latest]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// What is printed.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Run failed, aborted, conflicted or held tasks again.
///
/// Each goes on in its worktree, on its branch as it is, or with --fresh from the base.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The tasks
    #[arg(value_name = "TASK", required = true)]
    pub tasks: Vec<String>,
    /// Start from the base again; the old tip and uncommitted files stay pinned
    #[arg(long)]
    pub fresh: bool,
    /// The run's id [default: the latest]
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
}

/// Settle a conflict in the task's own worktree.
///
/// Merges the target into the task's branch, in the task's worktree, and opens your shell, the merge tool or
/// a command there. Your checkout and the target are not touched. A merge that is resolved when the shell or
/// the command ends is committed, if you did not do so yourself. In a run that lands by rebase, the branch is
/// rebased onto the target there, commit by commit. Afterwards, 'git parallel land TASK' lands it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel resolve billing
  git parallel resolve billing --with mergetool
  git parallel resolve billing --with 'git checkout --theirs . && git commit -am resolved'")]
pub struct ResolveArgs {
    /// The conflicted task
    #[arg(value_name = "TASK")]
    pub task: String,
    /// Run this by 'sh -c' instead of your shell; 'mergetool' is git's merge tool
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString)]
    pub with: Option<String>,
}

/// Land what is finished, resolved or held.
///
/// Without TASK, everything that can be landed is. What is held for a file too large or a protected path (see
/// parallel.maxFileSize and parallel.protected) lands only if its TASK is named. A task whose worktree holds
/// conflict markers or an unfinished merge is refused.
#[derive(Debug, Args)]
pub struct LandArgs {
    /// The tasks to land [default: all that wait]
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
    /// The run's id [default: the latest]
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
}

/// List all runs.
///
/// One line a run, the latest last: its id, where it stands, its target, and what became of its tasks.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Remove worktrees, branches and records that are safe to remove.
///
/// Says why the others stay. Unlanded commits, and files that are changed, untracked or ignored, are removed
/// only where --force names their task. Ignored files that can be made again (see parallel.disposable) count
/// for nothing.
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// The tasks [default: all of the run]
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
    /// The run's id [default: the latest]
    #[arg(long, value_name = "RUN", conflicts_with = "all")]
    pub run: Option<String>,
    /// Every run
    #[arg(long, conflicts_with = "tasks")]
    pub all: bool,
    /// Only tell what would be removed
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Remove the named tasks' worktrees and branches though work in them would go; its commits stay pinned
    #[arg(long, requires = "tasks")]
    pub force: bool,
}

/// Check whether a run could start here.
///
/// Tells every problem at once, each with what to do about it. Changes nothing.
#[derive(Debug, Args)]
pub struct DoctorArgs {}

/// Show the main job in a throw-away repository.
///
/// Makes a small repository and runs three agents in it at once, which are shell scripts: the first lands by
/// fast-forward, the second by a merge, and the third has a conflict, with the commands that settle it. The
/// repository is kept, to look at and to try them in.
#[derive(Debug, Args)]
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
