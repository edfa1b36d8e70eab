//! Interfaces that tasks agree on.

use std::collections::HashSet;

use super::Problem;
use super::fields::Fields;
use super::node::{Entry, Kind, Node, quoted};
use super::shape::CONTRACT;
use crate::plan::nearest;
use crate::plan::prompt::Contract;

/// A contract, if it is whole, and the lines of the names in it: whether there are such tasks is known later.
pub(super) struct Noted {
    pub contract: Option<Contract>,
    name: Option<String>,
    place: String,
    names: Vec<(&'static str, String, usize)>,
}

/// The contracts of a plan.
pub(super) fn read(lists: Vec<Entry>, problems: &mut Vec<Problem>) -> Vec<Noted> {
    let mut contracts: Vec<Noted> = Vec::new();
    let mut number = 0;
    for Entry { key, line, value } in lists {
        let found = value.described();
        let Kind::List(items) = value.kind else {
            let what = format!(
                "{key}: expected a list, not {found}; write [[contract]] in TOML, a list 'contracts' in YAML or JSON"
            );
            problems.push(Problem::at(line, what));
            continue;
        };
        for item in items {
            number += 1;
            let line = item.line;
            let Some(noted) = contract(number, item, problems) else { continue };
            if noted.name.is_some() && contracts.iter().any(|other| other.name == noted.name) {
                let what = format!("{}there is another of this name; give it one of its own", noted.place);
                problems.push(Problem::at(line, what));
            }
            contracts.push(noted);
        }
    }
    contracts
}

fn contract(number: usize, item: Node, problems: &mut Vec<Problem>) -> Option<Noted> {
    let line = item.line;
    let mut fields = Fields::of(item, &CONTRACT, format!("contract {number}: "), problems)?;
    let place = match fields.peek("name").map(|entry| &entry.value.kind) {
        Some(Kind::Text(name)) if !name.is_empty() => format!("contract {}: ", quoted(name)),
        _ => format!("contract {number}: "),
    };
    fields.call_it(place.clone());
    fields.check_either();
    let given: Vec<&str> =
        CONTRACT.required.iter().copied().filter(|key| fields.peek(key).is_some()).collect();
    let name = fields.word("name");
    let provider_line = fields.peek("provider").map_or(line, |entry| entry.value.line);
    let provider = fields.word("provider");
    let consumers_line = fields.peek("consumers").map_or(line, |entry| entry.line);
    let before = fields.problems.len();
    let consumers = fields.words("consumers", "a list of task names");
    if consumers.is_empty() && given.contains(&"consumers") && fields.problems.len() == before {
        fields.wrong(consumers_line, "consumers", "it names no task; name those that use the interface");
    }
    let interface = fields.word("interface");
    let (purpose, other) = (fields.word("for"), fields.word("purpose"));
    let meant = fields.finish();
    for key in CONTRACT.required.iter().filter(|key| !given.contains(key) && !meant.contains(key)) {
        let what = format!("{place}it has no '{key}'; every contract needs one");
        problems.push(Problem::at(line, what));
    }
    let mut names: Vec<_> = consumers.iter().map(|(name, line)| ("consumers", name.clone(), *line)).collect();
    names.extend(provider.iter().map(|name| ("provider", name.clone(), provider_line)));
    let consumers = consumers.into_iter().map(|(name, _)| name).collect();
    let contract = match (name.clone(), provider, interface) {
        (Some(name), Some(provider), Some(interface)) => {
            Some(Contract { name, provider, consumers, interface, purpose: purpose.or(other) })
        }
        _ => None,
    };
    Some(Noted { contract, name, place, names })
}

/// The names in contracts must be those of tasks, each once.
pub(super) fn check(contracts: &[Noted], tasks: &[&str], problems: &mut Vec<Problem>) {
    let known: HashSet<&str> = tasks.iter().copied().collect();
    for Noted { place, names, .. } in contracts {
        let provider = names.iter().find(|(key, ..)| *key == "provider").map(|(_, name, _)| name);
        let mut seen = HashSet::new();
        for (key, name, line) in names {
            let what = if !seen.insert((key, name)) {
                format!("{} stands twice; keep one of them", quoted(name))
            } else if *key == "consumers" && Some(name) == provider {
                format!("{} is the provider; a task does not use its own interface", quoted(name))
            } else if known.contains(name.as_str()) {
                continue;
            } else {
                match nearest(name, tasks.iter().copied()) {
                    Some(near) => {
                        format!("no task is called {}; did you mean {}?", quoted(name), quoted(near))
                    }
                    None => format!("no task is called {}; add it, or take it out", quoted(name)),
                }
            };
            problems.push(Problem::at(*line, format!("{place}{key}: {what}")));
        }
    }
}
