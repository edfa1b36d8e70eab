//! `git parallel`: run agents at once, each on its own branch and worktree, and land what they finish.
//!
//! The house: [`commands`] turn arguments into a run; [`engine`] drives it; `git`, `store`, `shim`,
//! `agents` and `ui` do one thing each and don't know each other; [`plan`] and [`run`] are pure.
//! CONTRIBUTING.md shows it on one page.

mod agents;
mod cli;
mod commands;
mod engine;
mod error;
mod git;
mod plan;
mod run;
mod shim;
mod sys;

fn main() -> std::process::ExitCode {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == "shim") {
        return shim::main();
    }
    std::process::ExitCode::SUCCESS
}
