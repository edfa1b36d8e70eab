//! The command line of `git parallel conflicts`.

use std::ffi::OsString;

use clap::Args;

/// Tell which branches would conflict, and where.
///
/// Each BRANCH is merged with the target, and with each other BRANCH, off to the side: no ref, index, file or
/// object is touched. Tells every conflict with its paths, and then the largest set that lands without one.
/// What is not committed is not seen.
///
/// BRANCH is a branch, a task of the latest run, or any revision. Without BRANCH, the branches of the latest
/// run that have not landed are compared; where there is no run, or the last one has ended with nothing left
/// to land, all local branches that the target does not have.
///
/// Exits with 0 if nothing conflicts, with 1 if something does, and with 3 if that can't be told.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel conflicts
  git parallel conflicts topic/search topic/cart --into develop
  git parallel conflicts --json | jq '.independent[0]'")]
pub struct ConflictsArgs {
    /// The branches to compare [default: what the latest run has not landed]
    #[arg(value_name = "BRANCH")]
    pub branches: Vec<OsString>,
    /// Branch to land them on [default: the run's, else parallel.target, else the current branch]
    #[arg(long, value_name = "BRANCH")]
    pub into: Option<OsString>,
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
