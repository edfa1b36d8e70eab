//! `git parallel list`.

use anyhow::Result;

use super::place::Place;
use super::{narrate, print};
use crate::cli::ListArgs;
use crate::error::exit;
use crate::store;
use crate::ui::{self, Settings, Verbosity};

/// Lists all runs. One whose record can't be read is told on stderr and hides no other.
pub fn list(args: &ListArgs) -> Result<u8> {
    let place = Place::open()?;
    let mut runs = Vec::new();
    for id in store::list(&place.layout)? {
        match store::load(&place.layout, &id) {
            Ok(loaded) => runs.push((loaded.run, place.supervisor(&id)?.is_some())),
            Err(e) => narrate(&format!("warning: {e:#}\n")),
        }
    }
    let runs: Vec<_> = runs.iter().map(|(run, alive)| (run, *alive)).collect();
    if args.json {
        print(&format!("{:#}\n", ui::list_json(&runs)))?;
    } else {
        print(&ui::list(&runs, &Settings::detect(false, Verbosity::Normal).stdout))?;
    }
    Ok(exit::OK)
}
