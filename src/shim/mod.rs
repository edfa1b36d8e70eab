//! The shim: the small process beside each agent that outlives the supervisor.
//!
//! It runs the agent in a session of its own, copies its output to a log, ends what it leaves behind
//! and records its exit, so that nothing of this is lost if the supervisor dies.
//!
//! It is this same program, run as `git-parallel shim` with a [`ShimSpec`] on its standard input (or, on another
//! machine than its supervisor's, in a file: see `far`). It tells what happens as one [`Report`] a line on its standard output, as long as somebody reads it,
//! and takes requests through the FIFO `control`. While it lives it holds the lock `alive`. What it
//! leaves is `output.log` and `exit.json`.
//!
//! [`Shim`] starts one; [`is_alive`], [`wait_gone`], [`request`], [`exit_record`] and [`end_orphans`]
//! deal with one that an earlier supervisor started.

mod agent;
mod client;
mod control;
mod far;
mod files;
mod life;
mod log;
mod output;
mod record;
mod report;
mod session;
mod stopping;

use std::io::Read;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::run::{Exit, Text};

pub use client::{Progress, Shim, end_orphans, start_detached};
pub use control::{Request, discard, request};
pub use far::{
    Beat, Far, Signs, ask_to_stop, call_off, next_claim, pass_beat, seems_alive, signs, write_spec,
};
pub use files::{is_alive, next_attempt, outdate, wait_gone, was_begun};
pub use log::{end_of_output, output};
pub use record::{exit_record, write as record_exit};

/// The environment variable that marks an agent and its descendants as one shim's: its value is the
/// shim's directory.
pub const MARK: &str = "GIT_PARALLEL_SHIM";

/// Exit codes of the shim itself; the agent's is in `exit.json`.
mod code {
    /// The record is written.
    pub const RECORDED: u8 = 0;
    /// The spec could not be read.
    pub const BAD_SPEC: u8 = 2;
    /// Another shim of this task is alive; nothing was touched.
    pub const BUSY: u8 = 3;
    /// The record could not be written.
    pub const NOT_RECORDED: u8 = 4;
}

/// The most that is read of a spec: far more than the system takes as arguments.
const MAX_SPEC: u64 = 64 << 20;

/// What a shim is told to do: one JSON object on its standard input.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ShimSpec {
    /// Directory of `output.log`, `exit.json`, `alive` and `control`, absolute.
    pub dir: Text,
    /// Which attempt of the task this is, from 1.
    pub attempt: u32,
    /// The agent's argument vector.
    pub argv: Vec<Text>,
    /// The directory to run it in, absolute.
    pub cwd: Text,
    /// Environment variables to set.
    pub env: Vec<(String, Text)>,
    /// Environment variables to take out (git's local ones).
    pub scrub: Vec<String>,
    /// How long the agent may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How long it has between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
    /// The most that is kept of this attempt's output, in bytes.
    pub log_cap: u64,
    /// How many files the agent may open, where the supervisor may open more.
    #[serde(default)]
    pub open_files: Option<u64>,
    /// Its supervisor is on another machine.
    #[serde(default)]
    pub far: Option<Far>,
}

/// `exit.json`: how an attempt ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The attempt.
    pub attempt: u32,
    /// How it ended.
    #[serde(flatten)]
    pub exit: Exit,
}

/// What a shim tells its supervisor while it works.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// The agent runs.
    Started {
        /// Its process id.
        pid: u32,
    },
    /// The log grew to this many bytes.
    Output {
        /// Length of the log.
        bytes: u64,
    },
    /// The agent ended: the last line. It counts only where `exit.json` could not be written.
    Exited(ExitRecord),
}

/// Whether this process is to be a shim.
pub fn is_asked_for() -> bool {
    let mut args = std::env::args_os().skip(1);
    args.next().is_some_and(|first| first == "shim") && args.nth(1).is_none()
}

/// The spec, from the file that is named, or else from standard input.
fn read_spec() -> Option<ShimSpec> {
    let mut input = Vec::new();
    match std::env::args_os().nth(2) {
        Some(file) => {
            let file = std::fs::File::open(&file).inspect_err(|error| complain(&file, error)).ok()?;
            file.take(MAX_SPEC).read_to_end(&mut input).ok()?;
        }
        None => drop(std::io::stdin().lock().take(MAX_SPEC).read_to_end(&mut input).ok()?),
    }
    serde_json::from_slice(&input).ok()
}

/// For the log of a job that can't even find out what it is to do.
fn complain(file: &std::ffi::OsStr, error: &std::io::Error) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "git-parallel: cannot read {}: {error}", file.display());
}

/// The shim's `main`: reads its spec, lives its life, and says how that went by its exit code.
pub fn main() -> ExitCode {
    crate::sys::set_own_name("git-parallel");
    let Some(spec) = read_spec() else { return ExitCode::from(code::BAD_SPEC) };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => ExitCode::from(runtime.block_on(life::live(&spec))),
        Err(_) => ExitCode::from(code::NOT_RECORDED),
    }
}
