//! `git parallel wait`.

use std::time::Instant;

use anyhow::Result;

use super::follow;
use super::place::Place;
use crate::cli::WaitArgs;
use crate::error::exit;

/// Waits for the end of a run.
pub fn wait(args: &WaitArgs) -> Result<u8> {
    let place = Place::open()?;
    let id = place.load(args.run.as_deref())?.run.spec.id;
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    match follow::until_end(&place, &id, deadline)? {
        Some(run) => {
            place.refuse_interrupted(&run)?;
            Ok(run.exit_code())
        }
        None => Ok(exit::WAIT_TIMED_OUT),
    }
}
