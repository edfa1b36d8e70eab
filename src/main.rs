//! `git parallel`: run agents at once, each on its own branch and worktree, and land what they finish.

mod cli;
mod error;
mod plan;
mod run;
mod shim;
mod store;

fn main() {}
