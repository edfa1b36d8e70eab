//! `git parallel resume`.

use anyhow::Result;

use super::narrate;
use super::place::Place;
use crate::cli::ResumeArgs;
use crate::store::Holder;
use crate::ui::{Settings, Verbosity};

/// Takes up a run whose supervisor died.
pub fn resume(args: &ResumeArgs) -> Result<u8> {
    let place = Place::open()?;
    let id = place.load(args.run.as_deref())?.run.spec.id;
    let lock = place.lock(&Holder::this_process("resume", Some(id.clone()), 0, 0))?;
    let loaded = place.load(Some(&id.0))?;
    if loaded.run.finished_at.is_some() {
        // Its supervisor may have died in between.
        crate::engine::control::forget(&loaded.dir.control());
        narrate(&format!("run {id} came to its end: there is nothing to resume\n"));
        return Ok(loaded.run.exit_code());
    }
    let verbosity = match (args.quiet, args.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let run = place.drive(loaded, Settings::detect(args.json, verbosity), Vec::new())?;
    drop(lock);
    Ok(run.exit_code())
}
