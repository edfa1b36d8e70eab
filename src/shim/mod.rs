//! The shim: the small process beside each agent that outlives the supervisor.
//!
//! It runs the agent in a session of its own, copies its output to a log, ends what it leaves behind
//! and records its exit, so that nothing of this is lost if the supervisor dies.

use serde::{Deserialize, Serialize};

use crate::run::{Exit, Text};

/// What a shim is told to do: one JSON object on its standard input.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ShimSpec {
    /// Directory of `output.log`, `exit.json`, `alive` and `control`.
    pub dir: Text,
    /// Which attempt of the task this is, from 1.
    pub attempt: u32,
    /// The agent's argument vector.
    pub argv: Vec<Text>,
    /// The directory to run it in.
    pub cwd: Text,
    /// Environment variables to set.
    pub env: Vec<(String, Text)>,
    /// Environment variables to take out (git's local ones).
    pub scrub: Vec<String>,
    /// How long the agent may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How long it has between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
    /// The most that is kept of its output, in bytes.
    pub log_cap: u64,
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
}
