//! What a person or a script sees of a run.
//!
//! A [`crate::run::Run`] is all that is ever told, so everything here is a pure function from a run to
//! text, and the live view, the plain lines, the summary and `status` can't disagree. Only [`Ui`] writes,
//! and no reader that is slow, stopped or gone holds it up.
//!
//! stdout is the answer (event lines, JSON, summary); stderr is the narration (plan, prompt, notes, live
//! view). Nothing foreign is printed that did not pass through `text`.

mod agents;
mod around;
mod confirm;
mod conflicts;
mod estimate;
#[cfg(test)]
mod fixture;
mod foreseen;
mod json;
mod keys;
mod lines;
mod live;
mod look;
mod next;
mod out;
mod plan;
mod porcelain;
mod report;
mod rows;
mod screen;
mod session;
mod settings;
mod status;
mod summary;
mod tail;
mod text;
mod undo;
mod view;
mod words;

pub use agents::{AgentRow, agents, agents_json};
pub use confirm::{Answer, ask};
pub use conflicts::{Collision, Conflicts, conflicts, conflicts_json};
pub use json::{list_json, status_json, told};
pub use look::Look;
pub use plan::{PlanView, plan};
pub use porcelain::{Lines, conflicts_porcelain, list_porcelain, status_porcelain};
pub use report::Report;
pub use session::Ui;
pub use settings::{Format, Settings, Verbosity};
pub use status::{Supervisor, list, status, watched};
pub use summary::summary;
pub use text::{Cleaner, name, one_line, quote};
pub use undo::undo;
pub use view::Wish;
pub use words::{count, tally_of};
