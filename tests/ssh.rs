//! Runs on hosts that are reached by ssh: this machine, by sshds of its own, with the repository out of their sight
//! (`ssh/bench.rs`). Skipped, and said so, where sshd or unshare is not installed or we are not root.

#![allow(clippy::disallowed_methods)]

mod common;

#[path = "ssh/bench.rs"]
mod bench;
#[path = "ssh/deaths.rs"]
mod deaths;
#[path = "ssh/ends.rs"]
mod ends;
#[path = "ssh/plain.rs"]
mod plain;
