//! Running agents on hosts that share no files with us, by ssh.
//!
//! One connection for each job carries all: objects as packs, files, what the agent says, what is asked of it. So there
//! is nothing to be quoted for a shell but the name of this program, what the shell's start-up files say is told from
//! what we say, and a host is asked for a key or a password once. On the other side this same program answers
//! ([`host`]); what goes on when a connection is cut is the shim, which it starts on its own.
//!
//! A job on a host is one attempt of a task, under a random name. Which host has it is on disk ([`ticket`]) before
//! anything is sent there, so whoever comes after finds it. How its agent ended is told by its exit record alone, which
//! is written down here after all that it made is here: commits, index and files, in the same place as if it had run
//! here. Only then is it removed there.

mod attend;
pub mod check;
mod fetch;
mod frame;
pub mod host;
mod link;
mod order;
mod pool;
mod strays;
mod ticket;
mod words;

pub(super) use attend::attend;
pub(super) use pool::Hosts;
pub use strays::{Strays, end_strays};
