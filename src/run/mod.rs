//! The pure core: what a run is, what can happen to it, and what to do next.
//!
//! Nothing in here knows of processes, files, git or clocks. A [`Run`] is the fold of its
//! [`Event`]s ([`Run::apply`]), and the next [`Action`]s follow from the run alone ([`decide()`]).
//! The live run, its replay from the journal, `status` and the final exit code are all the same fold,
//! so they can't disagree.

mod about;
mod atomic;
mod decide;
mod event;
mod facts;
mod foreseen;
mod graph;
mod machine;
mod memory;
mod model;
mod overlap;
mod pacing;
mod queue;
mod runner;
mod spec;
mod state;
mod step;
mod text;
mod timeline;
mod touches;
mod undo;

pub use decide::{Action, decide};
pub use event::{Event, Record};
pub use facts::{CleanUp, Conflict, Exit, How, Landing, Stop, StopCause, Usage, Verdict, Work};
pub use foreseen::{Foreseen, Told, is_open};
pub use machine::Illegal;
pub use model::{Run, RunState, Task};
pub use overlap::{Change, Changes, independent, overlaps};
pub use pacing::Pacing;
pub use runner::{Job, Runner, RunnerKind, Ssh, SshHost};
pub use spec::{
    AgentCall, Gates, Hooks, Leftovers, Regenerate, Resolver, RunId, RunSpec, Strategy, TaskName, TaskSpec,
    Verify, full_branch_name,
};
pub use state::TaskState;
pub use step::Step;
pub use text::{Oid, Text, name_some};
pub use timeline::{Phase, Span, Timeline, Track};
pub use touches::{Expected, Touch, expected};
pub use undo::{LeftOut, Prospect, Revert};

#[cfg(test)]
pub mod fixture;
#[cfg(test)]
mod tests;
