//! One file a command: it turns arguments into a run or a query, calls down, and prints.

mod abort;
mod agents;
mod cleanup;
mod completions;
mod conflicts;
mod demo;
mod doctor;
mod follow;
mod hooks;
mod land;
mod list;
mod logs;
mod man;
mod pacing;
mod place;
mod plan_file;
mod report;
mod resolve;
mod resume;
mod retry;
mod run;
mod schema;
mod status;
mod touches;
mod undo;
mod usage;
mod wait;
mod ways;

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{Command, OutputArgs};
use crate::git::Config;
use crate::ui::{Settings, Verbosity};

pub use usage::explain;
pub use ways::hints_wanted;

/// Carries out a command and gives the exit code.
pub fn execute(command: Command) -> Result<ExitCode> {
    let code = match command {
        Command::Run(args) => run::run(&args),
        Command::Status(args) => status::status(&args),
        Command::Logs(args) => logs::logs(&args),
        Command::Abort(args) => abort::abort(&args),
        Command::Wait(args) => wait::wait(&args),
        Command::Resume(args) => resume::resume(&args),
        Command::Retry(args) => retry::retry(&args),
        Command::Resolve(args) => resolve::resolve(&args),
        Command::Land(args) => land::land(&args),
        Command::Conflicts(args) => conflicts::conflicts(&args),
        Command::List(args) => list::list(&args),
        Command::Report(args) => report::report(&args),
        Command::Undo(args) => undo::undo(&args),
        Command::Cleanup(args) => cleanup::cleanup(&args),
        Command::Agents(args) => agents::agents(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Completions(args) => completions::completions(&args),
        Command::Complete(args) => completions::complete(&args),
        Command::Man(args) => man::man(&args),
        Command::Schema(args) => schema::schema(&args),
    };
    code.map(ExitCode::from)
}

/// Prints an answer to stdout. A reader that went away is no error.
fn print(text: &str) -> Result<()> {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// How a command that sees to a run prints.
fn settings_of(config: &Config, output: &OutputArgs) -> Result<Settings> {
    let verbosity = match (output.quiet, output.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    ways::settings(config, output.json, verbosity)
}

/// Prints narration to stderr, where nobody need listen.
pub fn narrate(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
