//! `git parallel doctor`.

use anyhow::Result;

use super::place::Place;
use super::print;
use crate::cli::DoctorArgs;
use crate::engine::preflight::{self, Ask, OnExisting};
use crate::error::exit;
use crate::run::{Hooks, Leftovers, Strategy};
use crate::store::Lock;

/// Checks whether a run could start here.
pub fn doctor(_args: &DoctorArgs) -> Result<u8> {
    let place = Place::open()?;
    if Lock::holder(&place.layout.lock())?.is_some() {
        return Err(place.busy());
    }
    let draft = preflight::check(&place.repo, &place.config, &place.layout, nothing(&place))
        .map_err(|problems| preflight::refuse(&problems))?;
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
        tasks: Ok(Vec::new()),
        agent: Vec::new(),
        agent_name: super::run::default_agent(&place.config),
        prompt: None,
        jobs: 1,
        target: place.config.string("parallel.target"),
        base: None,
        prefix: String::new(),
        existing: OnExisting::Fail,
        allow_dirty: false,
        strategy: configured.unwrap_or_default(),
        no_ff: false,
        land: true,
        keep: false,
        leftovers: Leftovers::Commit,
        timeout_ms: None,
        retries: 0,
        verify: None,
        on_conflict: super::run::command(None, place.config.string("parallel.onConflict")),
        hooks: Hooks::default(),
        atomic: false,
        keep_going: false,
    }
}
