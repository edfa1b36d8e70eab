//! The command line of `git parallel report`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Tell all of a run: outcomes, times, landings, what it cost.
///
/// Tells of the latest run, or of the one named, also while it goes on or if it was interrupted: how its tasks
/// came out, how long each waited, was prepared, ran and landed, what it changed, where it collided, what its
/// agent said it used, and how its log ends; what landed in which order, and how much faster this was than one
/// agent after the other. Agents' output is shown with its escapes neutralised.
///
/// The times are those of the run: the time between its end and its being taken up again ('land', 'retry')
/// counts for nothing. The exit code says only whether there was a run to tell of.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel report
  git parallel report --html report.html
  git parallel report 20261120-143201-k3f9 --markdown
  git parallel report --json | jq '.usage.cost_usd'")]
pub struct ReportArgs {
    /// The run's id [default: the latest]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Write a page for a browser, which needs no other file and no network; '-' prints it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["markdown", "json"])]
    pub html: Option<PathBuf>,
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
