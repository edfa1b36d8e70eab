//! How finished work lands, as the command line names it.

use clap::ValueEnum;

/// `--strategy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum StrategyArg {
    /// By fast-forward when possible, else by a merge commit
    Merge,
    /// By fast-forward, or not at all: then the task is held
    FfOnly,
    /// As one commit on top of the target
    Squash,
    /// Commit by commit, each with its author and date, on top of the target
    Rebase,
}
