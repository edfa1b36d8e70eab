//! What every list has in common, whatever it is written in: tasks that are read, but not looked at together.

use std::collections::{HashMap, HashSet};

use super::contracts::{self, Noted};
use super::graph::{self, Link};
use super::settings::Settings;
use super::{PlannedTask, Problem, stages};
use crate::plan::name::{self, Own, Request};
use crate::plan::prompt::{Appendix, Contract, Section};
use crate::plan::slug::{slug, unique};
use crate::run::TaskName;

/// A task by itself.
#[derive(Default)]
pub(super) struct Draft {
    /// The line it begins in.
    pub line: usize,
    /// What others call it; also one that was refused, so that it isn't told again as unknown.
    pub id: Option<String>,
    /// What its name is.
    pub name: Name,
    /// What stands before messages.
    pub place: String,
    /// What it depends on, with lines.
    pub needs: Vec<(String, usize)>,
    /// What it has of its own, or by default.
    pub settings: Settings,
    /// When it is done.
    pub criteria: Vec<String>,
    /// What else its prompt tells.
    pub notes: Vec<Section>,
    /// Its stage, where that is not told by phases and groups.
    pub stage: Option<u32>,
}

/// The name of a draft.
#[derive(Default)]
pub(super) enum Name {
    /// It has none that could be one, which was told.
    #[default]
    Refused,
    /// This.
    Given(TaskName),
    /// One made of this.
    Title(String),
}

/// What tasks have together.
pub(super) struct Together {
    /// The key that names what a task depends on.
    pub key: &'static str,
    pub contracts: Vec<Noted>,
    pub criteria: Vec<String>,
}

/// The tasks that the drafts become: named, checked against each other, in their stages.
pub(super) fn tasks(
    mut drafts: Vec<Draft>,
    together: Together,
    problems: &mut Vec<Problem>,
) -> Vec<PlannedTask> {
    name_all(&mut drafts);
    check_clashes(&drafts, problems);
    let links: Vec<Link> = drafts
        .iter()
        .map(|draft| Link {
            name: draft.id.clone(),
            place: draft.place.clone(),
            key: together.key,
            needs: draft.needs.clone(),
        })
        .collect();
    let edges = graph::check(&links, problems);
    let settings: Vec<&Settings> = drafts.iter().map(|draft| &draft.settings).collect();
    let own: Vec<_> = settings.iter().copied().zip(links.iter().map(|link| link.place.as_str())).collect();
    let by_phase = stages::assign(&own, problems);
    let stages: Vec<Option<u32>> =
        drafts.iter().zip(by_phase).map(|(draft, by_phase)| draft.stage.or(by_phase)).collect();
    if let Some(edges) = edges {
        stages::check(&links, &edges, &stages, &settings, problems);
    }
    let ids: Vec<&str> = links.iter().filter_map(|link| link.name.as_deref()).collect();
    contracts::check(&together.contracts, &ids, problems);
    let contracts: Vec<Contract> =
        together.contracts.into_iter().filter_map(|noted| noted.contract).collect();
    planned(drafts, &stages, &contracts, &together.criteria)
}

/// Gives names to those that have a title only: none that another has.
fn name_all(drafts: &mut [Draft]) {
    let given = drafts.iter().filter_map(|draft| match &draft.name {
        Name::Given(name) => Some(name.0.clone()),
        _ => None,
    });
    let mut taken: HashSet<String> = given.collect();
    for draft in drafts {
        if let Name::Title(title) = &draft.name {
            let name = unique(&slug(title), &mut taken);
            draft.id.get_or_insert_with(|| name.clone());
            draft.name = Name::Given(TaskName(name));
        }
    }
}

fn check_clashes(drafts: &[Draft], problems: &mut Vec<Problem>) {
    let mut lines = Vec::new();
    let mut requests = Vec::new();
    for draft in drafts {
        if let Name::Given(name) = &draft.name {
            lines.push(draft.line);
            requests.push(Request { name: name.clone(), prompt: None, own: Own::default() });
        }
    }
    let clashes = name::clashes(&requests).into_iter();
    problems.extend(clashes.map(|(number, what)| Problem::at(lines[number], what)));
}

fn planned(
    drafts: Vec<Draft>,
    stages: &[Option<u32>],
    contracts: &[Contract],
    criteria: &[String],
) -> Vec<PlannedTask> {
    let names: HashMap<String, TaskName> = drafts
        .iter()
        .filter_map(|draft| match (&draft.id, &draft.name) {
            (Some(id), Name::Given(name)) => Some((id.clone(), name.clone())),
            _ => None,
        })
        .collect();
    let planned = drafts.into_iter().zip(stages).filter_map(|(draft, stage)| {
        let Name::Given(name) = draft.name else { return None };
        let own = draft.settings;
        let id = draft.id.as_deref().unwrap_or(&name.0);
        let appendix = Appendix::of(id, &draft.notes, contracts, &draft.criteria, criteria);
        Some(PlannedTask {
            line: draft.line,
            prompt: own.prompt,
            appendix,
            agent: own.agent,
            fallback: own.fallback.unwrap_or_default(),
            runner: own.runner,
            depends_on: draft.needs.iter().filter_map(|(id, _)| names.get(id).cloned()).collect(),
            group: own.group.map(|(group, _)| group).or(own.phase.map(|(phase, _)| phase.to_string())),
            stage: *stage,
            touches: own.touches.unwrap_or_default(),
            setup: own.setup,
            base: own.base,
            timeout: own.timeout,
            retries: own.retries,
            env: own.env,
            labels: own.labels.unwrap_or_default(),
            name,
        })
    });
    planned.collect()
}
