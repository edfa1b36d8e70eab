//! Which of the user's commands run at certain points of a run.

use std::ffi::OsStr;

use super::run::command;
use crate::git::Config;
use crate::run::{Hooks, Text};

/// The command line goes before the plan, and the plan before the configuration.
pub fn asked(setup: Option<&OsStr>, planned: Hooks, config: &Config) -> Hooks {
    let pick = |planned: Option<Text>, key| command(None, planned.or_else(|| config.string(key)));
    Hooks {
        setup: pick(setup.map(Text::from).or(planned.setup), "parallel.setup"),
        before_group: pick(planned.before_group, "parallel.beforeGroup"),
        after_land: pick(planned.after_land, "parallel.afterLand"),
        on_finish: pick(planned.on_finish, "parallel.onFinish"),
        notify: pick(planned.notify, "parallel.notify"),
    }
}
