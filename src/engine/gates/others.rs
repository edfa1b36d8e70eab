//! Where branches and tags of others are. Many ask at the same time, and there may be thousands: one look serves all
//! who asked before it began.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Result;
use bstr::BString;

use super::super::Context;
use crate::git;
use crate::run::TaskSpec;

/// The branches and tags that are neither the run's target nor its tasks'.
#[derive(Default)]
pub struct Others {
    ours: OnceLock<HashSet<BString>>,
    asked: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Who asked up to here asked before the look began.
    serves: u64,
    lines: Arc<Vec<u8>>,
}

/// The instant at which somebody asked.
#[derive(Clone, Copy)]
pub struct Asked(u64);

impl Others {
    /// Asks for a look that begins later than now.
    pub fn ask(&self) -> Asked {
        Asked(self.asked.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Where they were after that was asked, one a line: names of refs hold neither spaces nor line feeds.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn since(&self, context: &Context, asked: Asked) -> Result<Arc<Vec<u8>>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.serves < asked.0 {
            let serves = self.asked.load(Ordering::SeqCst);
            seen.lines = Arc::new(self.look(context)?);
            seen.serves = serves;
        }
        Ok(seen.lines.clone())
    }

    fn look(&self, context: &Context) -> Result<Vec<u8>> {
        let ours = self.ours.get_or_init(|| own_refs(context));
        let mut text = Vec::new();
        git::branches_and_tags(&context.repo, |name, id| {
            if !ours.contains(name.as_bstr()) {
                text.extend_from_slice(id.as_str().as_bytes());
                text.push(b' ');
                text.extend_from_slice(name.as_bstr());
                text.push(b'\n');
            }
        })?;
        Ok(text)
    }
}

/// The branches of this run, and its target.
fn own_refs(context: &Context) -> HashSet<BString> {
    let branches = context.spec.tasks.iter().map(TaskSpec::branch_ref);
    branches.chain([context.spec.target_ref()]).map(|name| name.as_bstr().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_serves_those_who_asked_before_it() {
        let others = Others::default();
        let (first, second) = (others.ask(), others.ask());
        let begun = others.asked.load(Ordering::SeqCst);
        assert!(first.0 <= begun && second.0 <= begun);
        assert!(others.ask().0 > begun, "who asks meanwhile waits for the next");
    }
}
