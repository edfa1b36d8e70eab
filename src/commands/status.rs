//! `git parallel status`.

use std::time::Duration;

use anyhow::Result;
use console::Term;
use jiff::Timestamp;

use super::place::Place;
use super::print;
use super::ways::{plain_settings, print_long};
use crate::cli::StatusArgs;
use crate::error::exit;
use crate::run::{RunId, TaskName};
use crate::store::{self, Loaded};
use crate::sys::Growth;
use crate::ui::{self, Lines, Supervisor};

/// Tells where a run stands.
pub fn status(args: &StatusArgs) -> Result<u8> {
    let place = Place::open()?;
    if args.watch {
        return watch(&place, args);
    }
    let (supervisor, loaded) = look(&place, args)?;
    let logs = |task: &TaskName| loaded.dir.log(task).into();
    let answer = match () {
        () if args.nul => ui::status_porcelain(&loaded.run, supervisor, Lines::Nul),
        () if args.porcelain => ui::status_porcelain(&loaded.run, supervisor, Lines::Quoted),
        () if args.json => format!("{:#}\n", ui::status_json(&loaded.run, supervisor, &logs)).into_bytes(),
        () => words(&place, supervisor, &loaded)?.into_bytes(),
    };
    print_long(&place.config, &answer)?;
    Ok(exit::OK)
}

/// The supervisor is looked for first: one that ends in between has written its last word by then.
fn look(place: &Place, args: &StatusArgs) -> Result<(Supervisor, Loaded)> {
    let ids = store::list(&place.layout)?;
    let id = args.run.clone().or_else(|| ids.last().map(|id| id.0.clone()));
    let supervisor = match &id {
        Some(id) => place.supervisor(&RunId(id.clone()))?,
        None => None,
    };
    Ok((supervisor.unwrap_or_default(), place.load(id.as_deref())?))
}

fn words(place: &Place, supervisor: Supervisor, loaded: &Loaded) -> Result<String> {
    let logs = |task: &TaskName| loaded.dir.log(task).into();
    let settings = plain_settings(&place.config)?;
    Ok(ui::status(&loaded.run, supervisor, Timestamp::now(), &logs, &settings.stdout))
}

fn watched(place: &Place, supervisor: Supervisor, loaded: &Loaded, size: (usize, usize)) -> Result<String> {
    let logs = |task: &TaskName| loaded.dir.log(task).into();
    let settings = plain_settings(&place.config)?;
    Ok(ui::watched(&loaded.run, supervisor, Timestamp::now(), &logs, &settings.stdout, size))
}

/// Shows the state anew whenever the journal grows, and each second on a terminal, where the old one is
/// overwritten.
fn watch(place: &Place, args: &StatusArgs) -> Result<u8> {
    let term = Term::stdout();
    let is_terminal = console::user_attended();
    let pause = Duration::from_secs(if is_terminal { 1 } else { 5 });
    let mut shown: Option<String> = None;
    let mut turn = 0;
    loop {
        let (supervisor, loaded) = look(place, args)?;
        let growth = Growth::watch(&loaded.dir.journal());
        let text = if is_terminal && supervisor.alive {
            // What does not fit would scroll away and could not be overwritten.
            watched(place, supervisor, &loaded, (term.size().0.into(), turn))?
        } else {
            words(place, supervisor, &loaded)?
        };
        if is_terminal {
            turn += 1;
            term.clear_last_lines(shown.as_deref().map_or(0, |old| old.lines().count()))?;
        }
        if is_terminal || shown.as_ref() != Some(&text) {
            print(&text)?;
        }
        shown = Some(text);
        if !supervisor.alive {
            return Ok(exit::OK);
        }
        if !growth.is_ok_and(|growth| growth.wait(pause).is_ok()) {
            std::thread::sleep(pause);
        }
    }
}
