//! `git parallel agents`.

use anyhow::{Context as _, Result};

use super::place::bad_config;
use super::print;
use super::run::default_agents;
use crate::agents::Agent;
use crate::cli::AgentsArgs;
use crate::engine::preflight;
use crate::error::{Failure, exit};
use crate::git::{Config, Repository};
use crate::ui::{self, AgentRow};

/// Lists the agents that are known.
pub fn agents(args: &AgentsArgs) -> Result<u8> {
    let config = config()?;
    let defaults = default_agents(&config);
    let registry = preflight::registry(&config);
    let mut rows: Vec<AgentRow> = registry.agents().iter().map(|agent| row(agent, &defaults)).collect();
    rows.sort_by_key(|row| !row.found);
    if args.json {
        print(&format!("{:#}\n", ui::agents_json(&rows)))?;
    } else {
        print(&ui::agents(&rows, &super::ways::plain_settings(&config)?.stdout))?;
    }
    Ok(exit::OK)
}

/// The configuration of the repository we are in, or what there is outside of any.
pub(super) fn config() -> Result<Config> {
    let cwd = std::env::current_dir().context("the current directory is gone")?;
    let config = match Repository::discover(&cwd) {
        Ok(repo) => Config::load(&repo),
        Err(e) if e.is::<Failure>() => Config::outside(),
        Err(e) => return Err(e),
    };
    config.map_err(bad_config)
}

fn row(agent: &Agent, defaults: &[String]) -> AgentRow {
    AgentRow {
        name: agent.name.clone(),
        title: agent.title(),
        found: agent.is_found(),
        path: agent.path().map(Into::into),
        command: agent.call(&[]).argv,
        configured: agent.is_configured(),
        default: defaults.contains(&agent.name),
        docs: agent.docs(),
    }
}
