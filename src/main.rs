//! `git parallel`: run agents at once, each on its own branch and worktree, and land what they finish.

mod error;
mod run;
mod shim;
mod sys;

fn main() {}
