//! The command line of `git parallel agents`.

use clap::Args;

/// List the agents that are known.
///
/// Tells which agent commands are known by name, which of them are on PATH, and how each is called. These
/// names are for 'git parallel run -a NAME' and for --on-conflict. An agent of your own is added, or one of
/// these changed, by 'git config parallel.agent.NAME.cmd'.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel agents
  git config parallel.agent.mine.cmd 'my-agent --file \"$GIT_PARALLEL_PROMPT_FILE\"'
  git parallel agents --json | jq -r '.agents[] | select(.found).name'")]
pub struct AgentsArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
