//! `git parallel`: run agents at once, each on its own branch and worktree, and land what they finish.
//!
//! The house: [`commands`] turn arguments into a run; [`engine`] drives it; `git`, `store`, `shim`,
//! `agents` and `ui` do one thing each and don't know each other; [`plan`] and [`run`] are pure.
//! CONTRIBUTING.md shows it on one page.

// Tests play the user and the agents.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod agents;
mod cli;
mod commands;
mod engine;
mod error;
mod git;
mod plan;
mod run;
mod shim;
mod store;
mod sys;
mod ui;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    if engine::ssh::host::is_asked_for() {
        return engine::ssh::host::main();
    }
    // There is one beside each agent: it is to be small, and the command line is not.
    if shim::is_asked_for() {
        return shim::main();
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return commands::explain(&usage),
    };
    match commands::execute(cli.command) {
        Ok(code) => code,
        Err(error) => {
            commands::narrate(&error::render(&error, commands::hints_wanted));
            ExitCode::from(error::exit_code(&error))
        }
    }
}
