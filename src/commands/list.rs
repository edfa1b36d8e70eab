//! `git parallel list`.

use anyhow::Result;

use super::narrate;
use super::place::Place;
use super::ways::{plain_settings, print_long};
use crate::cli::ListArgs;
use crate::error::exit;
use crate::store;
use crate::ui::{self, Lines};

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
    let answer = match () {
        () if args.nul => ui::list_porcelain(&runs, Lines::Nul),
        () if args.porcelain => ui::list_porcelain(&runs, Lines::Quoted),
        () if args.json => format!("{:#}\n", ui::list_json(&runs)).into_bytes(),
        () => ui::list(&runs, &plain_settings(&place.config)?.stdout).into_bytes(),
    };
    print_long(&place.config, &answer)?;
    Ok(exit::OK)
}
