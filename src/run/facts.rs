//! What events carry: how an agent ended, what it made, how that landed, who asked to stop.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Oid, TaskName, TaskState, Text};

/// How an agent ended, as its shim recorded it (`exit.json`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code, unless a signal ended the agent.
    pub code: Option<i32>,
    /// The signal that ended the agent.
    pub signal: Option<i32>,
    /// The agent ran out of time and was stopped.
    #[serde(default)]
    pub timed_out: bool,
    /// The agent was stopped on request.
    #[serde(default)]
    pub stopped: bool,
    /// Processes that the agent left behind and that were ended.
    #[serde(default)]
    pub left_behind: u32,
    /// Bytes of output that exceeded the log's cap.
    #[serde(default)]
    pub output_dropped: u64,
    /// The line of its output by which an agent that failed told that it was sent too many requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<String>,
    /// Why the agent could not be started at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_started: Option<String>,
    /// Why nobody saw the agent's end, or who else than we ended it: its job or its machine is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// What the agent said it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Tokens and money, as an agent told of them in its output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens that the model was given, those from a cache among them.
    #[serde(default)]
    pub input_tokens: u64,
    /// Tokens that the model made.
    #[serde(default)]
    pub output_tokens: u64,
    /// What it cost, in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
}

impl std::ops::Add for Usage {
    type Output = Usage;

    /// The sum. A cost that is not told counts as nothing, unless neither is.
    fn add(self, other: Usage) -> Usage {
        let cost = match (self.cost, other.cost) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        };
        Usage {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cost,
        }
    }
}

impl Exit {
    /// The state that a running task gets into by this exit.
    pub fn state(&self) -> TaskState {
        if self.not_started.is_some() || self.lost.is_some() {
            TaskState::Failed
        } else if self.timed_out {
            TaskState::TimedOut
        } else if self.stopped {
            TaskState::Aborted
        } else if self.code == Some(0) {
            TaskState::Finished
        } else if self.limited.is_some() {
            TaskState::RateLimited
        } else {
            TaskState::Failed
        }
    }

    /// The exit in words, `exit 3` or `killed by signal 9`.
    pub fn words(&self) -> String {
        match (self.not_started.as_ref().or(self.lost.as_ref()), self.code, self.signal) {
            (Some(why), ..) => why.clone(),
            (None, Some(code), _) => format!("exit {code}"),
            (None, None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None, None) => "its exit was not seen".to_owned(),
        }
    }
}

/// What an agent's branch holds beyond its base.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Work {
    /// The branch's tip, if there is one.
    pub tip: Option<Oid>,
    /// Commits that the target does not have.
    pub commits: u32,
    /// Files that differ from the merge base with the target.
    pub files: u32,
    /// Lines added.
    pub insertions: u64,
    /// Lines deleted.
    pub deletions: u64,
    /// Uncommitted files that were committed for the agent.
    #[serde(default)]
    pub leftovers: u32,
    /// A commit that holds the uncommitted files of an agent that did not finish; its ref is
    /// `refs/parallel/<run>/<task>/leftovers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Oid>,
}

/// How a candidate came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The target's tip is an ancestor of the branch: the branch's tip is the candidate.
    FastForward,
    /// A merge commit.
    Merge,
    /// One commit, which has the target's tip for its only parent.
    Squash,
    /// The branch's commits made anew, one on top of the other.
    Rebase,
}

impl How {
    /// Whether the branch's own commits are none of the target's: that they landed is known by the record
    /// alone.
    pub fn leaves_commits(self) -> bool {
        matches!(self, How::Squash | How::Rebase)
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            How::FastForward => "fast-forward",
            How::Merge => "merge",
            How::Squash => "squash",
            How::Rebase => "rebase",
        })
    }
}

/// A candidate, and once published the landing: `commit` on top of `onto`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Landing {
    /// The target's tip that the candidate was made on.
    pub onto: Oid,
    /// The branch's tip that it brings.
    pub tip: Oid,
    /// The commit that becomes the target's tip.
    pub commit: Oid,
    /// How the one came to be of the other.
    pub how: How,
    /// How a conflict settled itself on the way, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<String>,
}

/// A path on which a task's branch and the target collide.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Conflict {
    /// The path, relative to the top of the worktree.
    pub path: Text,
    /// The task whose landing changed the path, if one of this run's did.
    pub with: Option<TaskName>,
}

/// What was found of a candidate that stands on another, which has not landed yet. It holds if that one
/// lands, and is void if it does not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The candidate below.
    pub onto: Oid,
    /// What the task comes to.
    pub state: TaskState,
}

/// What became of a task's worktree and branch after it landed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CleanUp {
    /// Why the worktree stays; `None` if it is gone.
    pub worktree_kept: Option<String>,
    /// Why the branch stays; `None` if it is gone.
    pub branch_kept: Option<String>,
}

/// Who asked a run to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopCause {
    /// `git parallel abort`.
    Abort,
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// The terminal went away.
    HangUp,
}

impl StopCause {
    /// The exit code of a run that ended so.
    pub fn exit_code(self) -> u8 {
        match self {
            StopCause::Abort => 1,
            StopCause::Interrupt => 130,
            StopCause::Terminate => 143,
            StopCause::HangUp => 129,
        }
    }
}

/// How firmly an agent is asked to stop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// TERM to the process group, KILL after the grace.
    Term,
    /// KILL now.
    Kill,
}
