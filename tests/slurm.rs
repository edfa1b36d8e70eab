//! Runs on a real Slurm cluster: a controller and four nodes on this machine (`slurm/cluster`), which all tests share.
//! Skipped, and said so, where Slurm is not installed or we are not root.

#![allow(clippy::disallowed_methods)]

mod common;

#[path = "slurm/bench.rs"]
mod bench;
#[path = "slurm/checks.rs"]
mod checks;
#[path = "slurm/deaths.rs"]
mod deaths;
#[path = "slurm/ends.rs"]
mod ends;
#[path = "slurm/plain.rs"]
mod plain;
