//! `parallel_execution`: tasks with workers, and where their work comes together.
//!
//! It is somebody else's format, so keys that are not known here are left alone.

use std::collections::{HashMap, HashSet};

use super::draft::{Draft, Name};
use super::fields::Fields;
use super::issues::{dependencies, id, is_new, present, text};
use super::node::{Entry, Kind, Node, quoted};
use super::settings::Settings;
use super::shape::{Key, Shape, Value};
use super::{Agent, Problem, Prompt};
use crate::plan::name;
use crate::plan::prompt::Section;
use crate::run::TaskName;

/// The key at the top that such a list stands under.
pub(super) const KEY: &str = "parallel_execution";

static EXECUTION: Shape = Shape {
    name: "'parallel_execution'",
    keys: &[&[Key { name: "tasks", value: Value::Words, what: "" }]],
    required: &["tasks"],
    either: &[],
    elsewhere: &[],
};

static JOB: Shape = Shape {
    name: "a task of 'parallel_execution'",
    keys: &[&[Key { name: "id", value: Value::Word, what: "" }]],
    required: &["id"],
    either: &[],
    elsewhere: &[],
};

/// Its tasks; its criteria are added to those of the plan.
pub(super) fn drafts(
    entry: Entry,
    defaults: &Settings,
    criteria: &mut Vec<String>,
    problems: &mut Vec<Problem>,
) -> Vec<Draft> {
    let line = entry.line;
    let place = format!("{KEY}: ");
    let Some(mut fields) = Fields::of(entry.value, &EXECUTION, place.clone(), problems) else {
        return Vec::new();
    };
    let words = fields.words("completion_criteria", "a list of texts");
    criteria.extend(words.into_iter().map(|(word, _)| word));
    let points =
        present(&mut fields, "integration_points").map(|entry| items(entry.value)).unwrap_or_default();
    let tasks = present(&mut fields, "tasks").map(|entry| entry.value);
    let Some(Node { kind: Kind::List(list), .. }) = tasks else {
        match tasks {
            Some(other) => fields.unexpected("tasks", "a list of tasks, each with an 'id'", &other),
            None => fields.wrong(line, "tasks", "it has no task; write a list, each with an 'id'"),
        }
        return Vec::new();
    };
    if list.is_empty() {
        fields.wrong(line, "tasks", "it has no task; write a list, each with an 'id'");
    }
    let numbered = list.into_iter().enumerate();
    let mut drafts: Vec<Draft> =
        numbered.filter_map(|(number, item)| draft(number + 1, item, defaults, problems)).collect();
    let mut lines = HashMap::new();
    drafts.retain(|draft| draft.id.clone().is_none_or(|id| is_new(id, draft.line, &mut lines, problems)));
    integrate(&points, &mut drafts);
    drafts
}

fn draft(number: usize, item: Node, defaults: &Settings, problems: &mut Vec<Problem>) -> Option<Draft> {
    let line = item.line;
    let mut fields = Fields::of(item, &JOB, format!("task {number}: "), problems)?;
    let id = id(&mut fields, "id");
    let place = id.as_ref().map_or(format!("task {number}: "), |id| format!("task {}: ", quoted(id)));
    fields.call_it(place.clone());
    let Some(id) = id else {
        fields.problems.push(Problem::at(line, format!("{place}it has no 'id'; every task needs one")));
        return None;
    };
    let prompt = text(&mut fields, "description");
    if prompt.is_none() {
        let what = format!("{place}it has no 'description'; say what is to be done");
        fields.problems.push(Problem::at(line, what));
    }
    let mut notes = Vec::new();
    for (key, title) in [("output_format", "Output"), ("integration", "Integration")] {
        let body = present(&mut fields, key).map(|entry| rendered(&entry.value));
        notes.extend(body.map(|body| Section { title: title.to_owned(), body }));
    }
    let mut needs = dependencies(&mut fields, "depends_on");
    needs.extend(dependencies(&mut fields, "dependencies"));
    let own = Settings {
        prompt: prompt.map(Prompt::Text),
        agent: text(&mut fields, "worker").map(Agent::Name),
        ..Settings::default()
    };
    let name = match name::check_name(&id) {
        Ok(()) => Name::Given(TaskName(id.clone())),
        Err(_) => Name::Title(id.clone()),
    };
    let settings = own.or(defaults);
    Some(Draft { line, id: Some(id), name, place, needs, settings, notes, ..Draft::default() })
}

/// Tells each task the points that name it, and all of them those that name none.
fn integrate(points: &[Node], drafts: &mut [Draft]) {
    let ids: HashSet<String> = drafts.iter().filter_map(|draft| draft.id.clone()).collect();
    let named: Vec<HashSet<&str>> = points
        .iter()
        .map(|point| {
            let mut found = HashSet::new();
            mentioned(point, &ids, &mut found);
            found
        })
        .collect();
    for draft in drafts {
        let Some(id) = &draft.id else { continue };
        let mine =
            points.iter().zip(&named).filter(|(_, named)| named.is_empty() || named.contains(id.as_str()));
        let body: Vec<String> = mine.map(|(point, _)| bullet(point)).collect();
        if !body.is_empty() {
            draft.notes.push(Section { title: "Integration points".to_owned(), body: body.join("\n") });
        }
    }
}

/// The ids that stand somewhere in a value, as whole words.
fn mentioned<'a>(node: &'a Node, ids: &HashSet<String>, found: &mut HashSet<&'a str>) {
    match &node.kind {
        Kind::Text(text) if ids.contains(text) => drop(found.insert(text)),
        Kind::Text(text) => {
            let words = text.split(|c: char| !(c.is_alphanumeric() || "._-/".contains(c)));
            let words = words.map(|word| word.trim_end_matches(['.', '-', '/']));
            found.extend(words.filter(|word| ids.contains(*word)));
        }
        Kind::Number(number, _) if ids.contains(number) => drop(found.insert(number)),
        Kind::List(items) => items.iter().for_each(|item| mentioned(item, ids, found)),
        Kind::Table(entries) => entries.iter().for_each(|entry| mentioned(&entry.value, ids, found)),
        _ => {}
    }
}

fn items(value: Node) -> Vec<Node> {
    match value.kind {
        Kind::List(items) => items,
        _ => vec![value],
    }
}

/// A value as Markdown: text as it stands, a list as one, a table as a list of its keys.
fn rendered(node: &Node) -> String {
    match &node.kind {
        Kind::Text(text) => text.clone(),
        Kind::Number(text, _) | Kind::Date(text) => text.clone(),
        Kind::Bool(value) => value.to_string(),
        Kind::Nothing => String::new(),
        Kind::List(items) => items.iter().map(bullet).collect::<Vec<_>>().join("\n"),
        Kind::Table(entries) => {
            let lines = entries.iter().map(|Entry { key, value, .. }| match &value.kind {
                Kind::List(items) if items.iter().all(is_short) => {
                    let items: Vec<String> = items.iter().map(rendered).collect();
                    format!("{key}: {}", items.join(", "))
                }
                Kind::List(_) | Kind::Table(_) => format!("{key}:\n{}", indented(&rendered(value))),
                _ => format!("{key}: {}", rendered(value)),
            });
            lines.map(|line| format!("- {}", indented(&line).trim_start())).collect::<Vec<_>>().join("\n")
        }
    }
}

fn is_short(node: &Node) -> bool {
    matches!(&node.kind, Kind::Text(text) if text.len() < 40 && !text.contains('\n'))
}

fn bullet(node: &Node) -> String {
    match &node.kind {
        // Its lines are points already, and belong together: the first tells what the others are of.
        Kind::Table(_) => {
            let text = rendered(node);
            let mut lines = text.lines();
            let first = lines.next().unwrap_or("").to_owned();
            lines.fold(first, |text, line| format!("{text}\n  {line}"))
        }
        _ => format!("- {}", indented(&rendered(node)).trim_start()),
    }
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
