//! `git parallel resume`.

use anyhow::Result;

use super::place::Place;
use super::{narrate, settings_of};
use crate::cli::ResumeArgs;
use crate::store::Holder;

/// Takes up a run whose supervisor died.
pub fn resume(args: &ResumeArgs) -> Result<u8> {
    let place = Place::open()?;
    let id = place.load(args.run.as_deref())?.run.spec.id;
    let lock = place.lock(&Holder::this_process("resume", Some(id.clone()), 0, 0))?;
    let loaded = place.load(Some(&id.0))?;
    if loaded.run.finished_at.is_some() {
        // Its supervisor may have died in between.
        crate::engine::control::forget(&loaded.dir.control());
        narrate(&format!("run {id} has ended: there is nothing to resume\n"));
        return Ok(loaded.run.exit_code());
    }
    let settings = settings_of(&place.config, &args.output)?;
    let run = place.drive(loaded, settings, Vec::new())?;
    drop(lock);
    Ok(run.exit_code())
}
