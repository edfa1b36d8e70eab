//! The command line of `git parallel schema`.

use clap::{Args, ValueEnum};

/// Print a JSON Schema, for editors and other programs.
///
/// They are of draft 2020-12. Keys and events may be added in later versions, which is no reason to refuse what
/// has them; none that is there today goes or changes its meaning. See git-parallel-protocol(7).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  git parallel schema >plan.schema.json
  git parallel schema event | jq -r '.oneOf[].title'")]
pub struct SchemaArgs {
    /// Of what
    #[arg(value_name = "NAME", default_value = "plan")]
    pub name: SchemaName,
}

/// What has a schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum SchemaName {
    /// Plan files
    Plan,
    /// One line of 'run --json' and 'resume --json'
    Event,
    /// 'status --json'
    Status,
    /// 'report --json'
    Report,
}
