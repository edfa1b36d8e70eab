//! A list of issues, as `bd list --json` prints it: <https://github.com/steveyegge/beads>.
//!
//! It is somebody else's format, so keys that are not known here are left alone.

use std::collections::{HashMap, HashSet, hash_map};

use super::check::HOW_TO_WRITE_TASKS;
use super::draft::{self, Draft, Name, Together};
use super::fields::Fields;
use super::node::{Entry, Kind, Node, quoted};
use super::settings::Settings;
use super::shape::{Key, Shape, Value};
use super::{Agent, Plan, Problem, Prompt};
use crate::plan::name;
use crate::plan::prompt::Section;
use crate::run::TaskName;

static ISSUE: Shape = Shape {
    name: "an issue",
    keys: &[&[Key { name: "id", value: Value::Word, what: "" }]],
    required: &["id"],
    either: &[],
    elsewhere: &[],
};

static METADATA: Shape = Shape {
    name: "metadata",
    keys: &[&[Key { name: "subagent_type", value: Value::Word, what: "" }]],
    required: &[],
    either: &[],
    elsewhere: &[],
};

/// The priority of an issue that has none, as in beads.
const ORDINARY: i64 = 2;

/// How an issue stands.
#[derive(Clone, Copy, PartialEq)]
enum Status {
    /// To be done, also by going on with it.
    Open,
    /// As good as landed.
    Done,
    /// Not to be done now.
    Waiting,
}

struct Issue {
    draft: Draft,
    status: Status,
    /// As it was written.
    said: String,
    priority: i64,
}

/// The issues that are to be done, the most urgent first.
pub(super) fn plan(list: Vec<Node>, problems: &mut Vec<Problem>) -> Plan {
    if list.is_empty() {
        let what = format!("the plan has no task; {HOW_TO_WRITE_TASKS}");
        problems.push(Problem { line: None, what });
        return Plan::default();
    }
    let before = problems.len();
    let mut issues: Vec<Issue> = Vec::new();
    let mut lines: HashMap<String, usize> = HashMap::new();
    for (number, item) in list.into_iter().enumerate() {
        let Some(issue) = issue(number + 1, item, problems) else { continue };
        let Some(id) = issue.draft.id.clone() else { continue };
        let line = issue.draft.line;
        if is_new(id, line, &mut lines, problems) {
            issues.push(issue);
        }
    }
    let stands: HashMap<String, (Status, String)> =
        issues.iter().filter_map(|i| Some((i.draft.id.clone()?, (i.status, i.said.clone())))).collect();
    issues.retain(|issue| issue.status == Status::Open);
    if issues.is_empty() && problems.len() == before {
        let what = "nothing is left to do: no issue of the list is open or in_progress".to_owned();
        problems.push(Problem { line: None, what });
    }
    issues.sort_by_key(|issue| issue.priority);
    let mut drafts: Vec<Draft> = issues.into_iter().map(|issue| issue.draft).collect();
    drafts.iter_mut().for_each(|draft| check_needs(draft, &stands, problems));
    let together = Together { key: "dependencies", contracts: Vec::new(), criteria: Vec::new() };
    Plan { tasks: draft::tasks(drafts, together, problems), advises_agents: true, ..Plan::default() }
}

/// Whether this id did not stand before; a problem if it did.
pub(super) fn is_new(
    id: String,
    line: usize,
    lines: &mut HashMap<String, usize>,
    problems: &mut Vec<Problem>,
) -> bool {
    match lines.entry(id) {
        hash_map::Entry::Vacant(entry) => drop(entry.insert(line)),
        hash_map::Entry::Occupied(entry) => {
            let (id, other) = (quoted(entry.key()), entry.get());
            problems.push(Problem::at(
                line,
                format!("the id {id} stands in line {other} already; keep one of them"),
            ));
            return false;
        }
    }
    true
}

/// Leaves what must land first, each once.
fn check_needs(draft: &mut Draft, stands: &HashMap<String, (Status, String)>, problems: &mut Vec<Problem>) {
    let mut seen = HashSet::new();
    let place = draft.place.clone();
    draft.needs.retain(|(id, line)| {
        let what = match stands.get(id) {
            Some((Status::Open, _)) => return seen.insert(id.clone()),
            Some((Status::Done, _)) => return false,
            Some((Status::Waiting, said)) => {
                format!("{} is {}; open it, or take the dependency out", quoted(id), quoted(said))
            }
            None => format!(
                "no issue of the list has the id {}; list it too (what is closed counts as landed), or take \
                 the dependency out",
                quoted(id)
            ),
        };
        problems.push(Problem::at(*line, format!("{place}dependencies: {what}")));
        false
    });
}

fn issue(number: usize, item: Node, problems: &mut Vec<Problem>) -> Option<Issue> {
    let line = item.line;
    let mut fields = Fields::of(item, &ISSUE, format!("issue {number}: "), problems)?;
    let id = id(&mut fields, "id");
    let place = id.as_ref().map_or(format!("issue {number}: "), |id| format!("issue {}: ", quoted(id)));
    fields.call_it(place.clone());
    if id.is_none() && fields.peek("name").is_some() {
        let what =
            "it has no 'id'; a plan of your own is {\"tasks\": [...]}, a list by itself is one of issues";
        fields.problems.push(Problem::at(line, format!("{place}{what}")));
    } else if id.is_none() {
        fields.problems.push(Problem::at(line, format!("{place}it has no 'id'; every issue needs one")));
    }
    let said = text(&mut fields, "status").unwrap_or_default();
    let status = status(&said);
    let told: Vec<String> =
        ["title", "description"].iter().filter_map(|key| text(&mut fields, key)).collect();
    if told.is_empty() && status == Status::Open {
        let what = format!("{place}it has neither 'title' nor 'description'; say what is to be done");
        fields.problems.push(Problem::at(line, what));
    }
    let mut notes = Vec::new();
    for (key, title) in
        [("design", "Design"), ("acceptance_criteria", "Acceptance criteria"), ("notes", "Notes")]
    {
        notes.extend(text(&mut fields, key).map(|body| Section { title: title.to_owned(), body }));
    }
    let needs = dependencies(&mut fields, "dependencies");
    let priority = priority(&mut fields);
    let mut settings = Settings {
        prompt: Some(Prompt::Text(told.join("\n\n"))),
        labels: Some(labels(&mut fields)),
        ..Settings::default()
    };
    if let Some(Entry { value, .. }) = present(&mut fields, "metadata") {
        metadata(value, &place, &mut settings, &mut notes, fields.problems);
    }
    let name = id.as_ref().map_or(Name::Refused, |id| match name::check_name(id) {
        Ok(()) => Name::Given(TaskName(id.clone())),
        Err(_) => Name::Title(id.clone()),
    });
    let draft = Draft { line, id, name, place, needs, settings, notes, ..Draft::default() };
    Some(Issue { draft, status, said, priority })
}

/// What an issue tells to programs: which agent is to do it.
fn metadata(
    value: Node,
    place: &str,
    settings: &mut Settings,
    notes: &mut Vec<Section>,
    problems: &mut Vec<Problem>,
) {
    let Some(mut fields) = Fields::of(value, &METADATA, format!("{place}metadata: "), problems) else {
        return;
    };
    settings.agent = text(&mut fields, "subagent_type").map(Agent::Name);
    settings.fallback = Some(words(&mut fields, "fallback_agents", "a list of agents' names"));
    let skills = words(&mut fields, "applicable_skills", "a list of skills");
    if !skills.is_empty() {
        let body = format!("Use these where they apply: {}.", skills.join(", "));
        notes.push(Section { title: "Skills".to_owned(), body });
    }
}

fn status(said: &str) -> Status {
    match said.to_ascii_lowercase().replace(['-', ' '], "_").as_str() {
        "" | "open" | "in_progress" | "blocked" | "todo" | "ready" => Status::Open,
        "closed" | "done" | "completed" | "resolved" | "tombstone" => Status::Done,
        _ => Status::Waiting,
    }
}

/// What the issue waits for. Of what beads tells of others, only this is a matter of order.
pub(super) fn dependencies(fields: &mut Fields, key: &str) -> Vec<(String, usize)> {
    const BLOCKING: [&str; 3] = ["blocks", "conditional-blocks", "waits-for"];
    let Some(Entry { value, .. }) = present(fields, key) else { return Vec::new() };
    let Kind::List(items) = value.kind else {
        fields.unexpected(key, "a list of ids, or of tables with 'depends_on_id'", &value);
        return Vec::new();
    };
    let mut needs = Vec::new();
    for item in items {
        let line = item.line;
        let found = item.described();
        let (id, kind) = match item.kind {
            Kind::Table(entries) => {
                let get = |keys: [&str; 2]| {
                    let entry = |key| entries.iter().find(|entry| entry.key == key);
                    keys.iter().find_map(|key| entry(*key)).and_then(|entry| plain(&entry.value))
                };
                (get(["depends_on_id", "id"]), get(["type", "dependency_type"]))
            }
            _ => (plain(&item), None),
        };
        match id {
            Some(id) if kind.as_ref().is_none_or(|kind| BLOCKING.contains(&kind.as_str())) => {
                needs.push((id, line));
            }
            Some(_) => {}
            None => {
                let what = format!("expected an id, or a table with 'depends_on_id', not {found}");
                fields.wrong(line, key, what);
            }
        }
    }
    needs
}

/// 0 is the most urgent; `P1` is 1.
fn priority(fields: &mut Fields) -> i64 {
    let Some(Entry { value, .. }) = present(fields, "priority") else { return ORDINARY };
    let text = plain(&value).unwrap_or_default();
    let number = text.trim_start_matches(['P', 'p']).parse();
    if number.is_err() {
        fields.unexpected("priority", "a whole number, 0 being the most urgent", &value);
    }
    number.unwrap_or(ORDINARY)
}

/// Labels by the way: what is odd about them is no reason to refuse a list.
fn labels(fields: &mut Fields) -> Vec<String> {
    let Some(Entry { value: Node { kind: Kind::List(items), .. }, .. }) = fields.take("labels") else {
        return Vec::new();
    };
    items.iter().filter_map(plain).filter(|label| !label.contains('\0')).collect()
}

/// An entry that has a value.
pub(super) fn present(fields: &mut Fields, key: &str) -> Option<Entry> {
    fields.take(key).filter(|entry| !matches!(entry.value.kind, Kind::Nothing))
}

/// A text with something in it, if there is one.
pub(super) fn text(fields: &mut Fields, key: &str) -> Option<String> {
    let Entry { value, .. } = present(fields, key)?;
    fields.as_text(key, value).filter(|text| !text.trim().is_empty())
}

/// Words, if there are any.
fn words(fields: &mut Fields, key: &str, expected: &str) -> Vec<String> {
    if fields.peek(key).is_some_and(|entry| matches!(entry.value.kind, Kind::Nothing)) {
        return Vec::new();
    }
    fields.words(key, expected).into_iter().map(|(word, _)| word).collect()
}

/// An id: a text, or a number.
pub(super) fn id(fields: &mut Fields, key: &str) -> Option<String> {
    let Entry { value, .. } = present(fields, key)?;
    match plain(&value) {
        Some(id) => Some(id),
        None => {
            fields.unexpected(key, "text or a number", &value);
            None
        }
    }
}

fn plain(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Text(text) if !text.trim().is_empty() && !text.contains('\0') => Some(text.clone()),
        Kind::Number(number, _) => Some(number.clone()),
        _ => None,
    }
}
