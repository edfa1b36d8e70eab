//! The command line of `git parallel undo`.

use clap::Args;

/// Take a run's landings back off the target.
///
/// Reverts what the run landed by new commits, one for each landing, the latest first: all of them or none.
/// They are made off to the side; the target moves once, and your clean files follow, as when a task lands.
/// History is not rewritten, and commits of others between the landings stay. A landing of several commits is
/// reverted by one commit that names them, so that one 'git revert' of it brings them back.
///
/// Where something that came later builds on a landing, nothing is reverted: you are told which paths collide,
/// the commits that changed them since, and how to revert by hand. If the run had a check (--verify), the
/// result must pass it, too, in the same way; it finds the environment of the task that landed first. What
/// parallel.verify says today does not count.
///
/// What was undone stays known: 'git parallel status' tells of it, and doing it again changes nothing. To git,
/// a branch that was merged is merged, reverted or not; to bring it back, revert the revert.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel undo -n
  git parallel undo
  git parallel undo 20261120-143201-k3f9")]
pub struct UndoArgs {
    /// The run's id [default: the latest that landed something]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Only tell what would be reverted
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Publish the result though the run's check has not passed on it
    #[arg(long)]
    pub no_verify: bool,
}
