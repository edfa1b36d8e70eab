//! The command lines of what is done with tasks that did not land by themselves.

use clap::{Args, ValueHint};

/// Stop agents and keep their work.
///
/// An agent's whole process group gets TERM, and KILL if it is still there after 5 seconds. Without TASK, the
/// whole run ends. A run whose supervisor died is ended for good. Branches, worktrees and logs stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel abort docs
  git parallel abort
  git parallel abort --cleanup")]
pub struct AbortArgs {
    /// The tasks to stop [default: all, and the run]
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
    /// Then remove what is safe to remove, as 'git parallel cleanup' does
    #[arg(long)]
    pub cleanup: bool,
}

/// Run failed, aborted, conflicted or held tasks again.
///
/// Each goes on in its worktree, on its branch as it is, or with --fresh from the base.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel retry billing
  git parallel retry --fresh billing")]
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
#[command(after_help = "\
Examples:
  git parallel land
  git parallel land billing")]
pub struct LandArgs {
    /// The tasks to land [default: all that wait]
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
    /// The run's id [default: the latest]
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
}

/// Remove worktrees, branches and records that are safe to remove.
///
/// Says why the others stay. Unlanded commits, and files that are changed, untracked or ignored, are removed
/// only where --force names their task. Ignored files that can be made again (see parallel.disposable) count
/// for nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel cleanup -n
  git parallel cleanup --all
  git parallel cleanup --force billing")]
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
