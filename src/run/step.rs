//! What workers do for a task, one piece at a time.

use serde::{Deserialize, Serialize};

use super::Oid;

/// A piece of work that was begun for a task. It is journalled before the worker starts, so that
/// after a crash everybody knows what may be half done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Making branch and worktree, in the given slot.
    Prepare {
        /// Which of the run's slots the task holds, from 0.
        slot: u32,
        /// What the branch starts from, or what is on top of that, for a task that depends on others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<Oid>,
    },
    /// Running the setup in the new worktree.
    Setup,
    /// Starting the agent.
    Start {
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// Looking at what the agent left.
    Collect,
    /// Making a candidate off to the side.
    Merge {
        /// The candidate of the task before, which is to land first; the target's tip if `None`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        onto: Option<Oid>,
    },
    /// Running the check on the candidate.
    Verify {
        /// Which of the places to check in it has, from 0.
        slot: u32,
    },
    /// Moving the target to the candidate.
    Publish,
    /// Having a conflict settled by the resolver.
    Resolve {
        /// How often it was tried, this time included.
        attempt: u32,
    },
    /// Running the hook for landed tasks.
    AfterLand,
    /// Removing worktree and branch of a task that needs them no more.
    CleanUp,
}
