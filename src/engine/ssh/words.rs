//! What supervisor and host say to each other: one asks, the other answers. A connection is about one job at most.

use serde::{Deserialize, Serialize};

use crate::git::Standing;
use crate::run::{Exit, Oid, Stop, Text};
use crate::shim::{Beat, ShimSpec};

/// What a supervisor wants.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Whether anything can be done there: [`Tell::Ready`].
    Look {
        /// Where everything goes, if not where it goes by itself.
        dir: Option<Text>,
    },
    /// The place of a job: [`Tell::Opened`].
    Open {
        /// The repository, by a name that is its own.
        repository: String,
        /// How its objects are named.
        format: String,
        /// The job.
        token: String,
        /// The task's name.
        task: String,
    },
    /// Takes commits into the mirror, to be kept for later; a pack follows.
    Push {
        /// The last of them.
        base: Oid,
        /// Where the history ends that the supervisor has.
        shallow: Vec<Oid>,
    },
    /// Makes the job's worktree; a pack with what is not in the mirror follows.
    Make {
        /// What it is to be.
        order: Box<Order>,
    },
    /// Puts a file into the worktree that is being made; it follows.
    File {
        /// Where.
        path: Text,
        /// Its mode; a symbolic link, whose target follows, if there is none.
        mode: Option<u32>,
    },
    /// All is there that the job needs.
    Made,
    /// Starts its agent, if that was not done.
    Start {
        /// How.
        spec: Box<ShimSpec>,
    },
    /// Tells what the job does, until it has ended: a stream of its output, [`Tell::Beat`], and [`Tell::Ended`].
    Follow {
        /// So much of its output is known.
        from: u64,
    },
    /// Ends its agent. May come while [`Ask::Follow`] is being answered, and is not answered itself.
    Stop {
        /// How firmly.
        stop: Stop,
    },
    /// Tells what the job left: [`Tell::Left`], and a pack.
    Gather {
        /// Ignored files that nobody needs.
        disposable: Vec<String>,
    },
    /// A file of [`Left::ignored`]: a stream.
    Fetch {
        /// Which.
        path: Text,
    },
    /// Removes all that belongs to the job. It has ended, or was not started.
    Remove,
}

/// What a host says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tell {
    /// All is well there.
    Ready {
        /// git's version.
        git: (u32, u32, u32),
    },
    /// The job's place.
    Opened {
        /// The repository's mirror.
        mirror: Text,
        /// The directory of the job.
        job: Text,
        /// What the mirror has.
        had: Vec<Oid>,
        /// How far the job is.
        progress: Progress,
    },
    /// It is done.
    Done,
    /// It can't be done.
    Failed {
        /// Why.
        why: String,
    },
    /// A sign of the agent's life.
    Beat(Beat),
    /// How the attempt ended.
    Ended {
        /// How.
        exit: Box<Exit>,
    },
    /// What the job left.
    Left(Box<Left>),
}

/// How far a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// There is none, or it is half made.
    New,
    /// It is made, and was not started.
    Made,
    /// It was started.
    Started,
}

/// What a worktree is to be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Which attempt of the task it is for.
    pub attempt: u32,
    /// The commit that the task's branch started from, which the mirror has.
    pub base: Oid,
    /// How the worktree is to stand.
    pub standing: Standing,
    /// The target's full name.
    pub target: Text,
    /// Settings of the repository.
    pub config: Vec<(String, Text)>,
    /// The task's prompt.
    pub prompt: Option<Text>,
    /// What is ignored beside what `.gitignore` says.
    pub exclude: Text,
    /// Attributes beside what `.gitattributes` says.
    pub attributes: Text,
}

/// What a job left.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Left {
    /// How its worktree stands.
    pub standing: Standing,
    /// All its refs.
    pub refs: Vec<(Text, Oid)>,
    /// What its HEAD was on.
    pub reflog: Text,
    /// What keeps its files from being brought back.
    pub trouble: Option<String>,
    /// Ignored files that are new or were changed, with their modes; links have none.
    pub ignored: Vec<(Text, Option<u32>)>,
    /// That these are too many to be sent.
    pub too_much: Option<String>,
}
