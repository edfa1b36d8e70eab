//! `git parallel status`.

use anyhow::Result;
use jiff::Timestamp;

use super::place::Place;
use super::print;
use crate::cli::StatusArgs;
use crate::error::exit;
use crate::run::TaskName;
use crate::ui::{self, Settings, Verbosity};

/// Tells where a run stands.
pub fn status(args: &StatusArgs) -> Result<u8> {
    let place = Place::open()?;
    // The supervisor is looked for first: one that ends in between has written its last word by then.
    let ids = crate::store::list(&place.layout)?;
    let latest = args.run.as_deref().or_else(|| ids.last().map(|id| id.0.as_str()));
    let supervisor = match latest {
        Some(id) => place.supervisor(&crate::run::RunId(id.to_owned()))?,
        None => None,
    };
    let loaded = place.load(latest)?;
    let logs = |task: &TaskName| loaded.dir.log(task).into();
    let supervisor = supervisor.unwrap_or_default();
    if args.json {
        let status = ui::status_json(&loaded.run, supervisor, &logs);
        print(&format!("{status:#}\n"))?;
    } else {
        let settings = Settings::detect(false, Verbosity::Normal);
        print(&ui::status(&loaded.run, supervisor, Timestamp::now(), &logs, &settings.stdout))?;
    }
    Ok(exit::OK)
}
