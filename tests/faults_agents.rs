//! Hostile and clumsy agents, each beside a well-behaved one that must land all the same.
//! The numbers are those of the catalogue of faults.

#![allow(clippy::disallowed_methods)]

mod common;
#[path = "faults/support.rs"]
mod support;

#[path = "faults/git_state.rs"]
mod git_state;
#[path = "faults/output.rs"]
mod output;
#[path = "faults/processes.rs"]
mod processes;
#[path = "faults/records.rs"]
mod records;
#[path = "faults/worktrees.rs"]
mod worktrees;
