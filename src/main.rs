//! `git parallel`: run agents at once, each on its own branch and worktree, and land what they finish.

mod agents;
mod cli;
mod engine;
mod error;
mod git;
mod plan;
mod run;
mod shim;
mod store;

fn main() {}
