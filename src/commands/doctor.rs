//! `git parallel doctor`.

use anyhow::Result;

use super::place::Place;
use super::{narrate, print};
use crate::cli::DoctorArgs;
use crate::engine::preflight::{self, Ask};
use crate::error::exit;
use crate::run::Strategy;
use crate::store::Lock;

/// Checks whether a run could start here.
pub fn doctor(_args: &DoctorArgs) -> Result<u8> {
    let place = Place::open()?;
    if Lock::holder(&place.layout.lock())?.is_some() {
        return Err(place.busy());
    }
    let draft = preflight::check(&place.repo, &place.config, &place.layout, nothing(&place))
        .map_err(|problems| preflight::refuse(&problems))?;
    for note in &draft.notes {
        narrate(&format!("note: {note}\n"));
    }
    let worktrees = preflight::display_dir(&draft.worktrees, place.repo.root());
    let target = crate::ui::name(draft.target().as_bstr());
    print(&format!(
        "Ready: a run can start here.\n  target     {target} ({})\n  worktrees  {worktrees}\n",
        draft.tip.short()
    ))?;
    Ok(exit::OK)
}

/// A run without tasks.
fn nothing(place: &Place) -> Ask {
    let strategy = place.config.string("parallel.strategy").map(|name| name.to_string());
    let configured = Strategy::ALL.into_iter().find(|known| strategy.as_deref() == Some(known.name()));
    Ask {
        agent_names: super::run::default_agents(&place.config),
        runner: super::run::default_runner(&place.config),
        target: place.config.string("parallel.target"),
        strategy: configured.unwrap_or_default(),
        on_conflict: super::run::command(None, place.config.string("parallel.onConflict")),
        ..Ask::nothing()
    }
}
