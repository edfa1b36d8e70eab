//! The tree, checked: what it has to say to a run.

use super::contracts;
use super::draft::{self, Draft, Name, Together};
use super::fields::Fields;
use super::node::{Entry, Kind, Node, quoted};
use super::settings::{Phase, Settings};
use super::shape::{DEFAULTS, HOOKS, PLAN, TASK, strategies};
use super::{Plan, Problem, Prompt, execution, issues};
use crate::plan::name;
use crate::plan::nearest;
use crate::run::{Hooks, Strategy, TaskName, Text};

pub(super) const HOW_TO_WRITE_TASKS: &str =
    "write [[task]] and name = \"...\" in TOML, a list 'tasks' in YAML or JSON, each with a 'name'";

/// The plan that the tree `root` asks for; it is worth something if no problems came with it.
pub(super) fn plan(root: Node, problems: &mut Vec<Problem>) -> Plan {
    let root = match root.kind {
        Kind::Nothing => Node { line: root.line, kind: Kind::Table(Vec::new()) },
        Kind::List(list) => return issues::plan(list, problems),
        _ => root,
    };
    let Some(mut top) = Fields::of(root, &PLAN, "", problems) else { return Plan::default() };
    top.check_either();
    top.text("$schema");
    let mut plan = Plan {
        target: top.word("target"),
        jobs: top.number("jobs"),
        strategy: strategy(&mut top),
        verify: top.text("verify"),
        atomic: top.flag("atomic"),
        ..Plan::default()
    };
    let [defaults, hooks, foreign] = ["defaults", "hooks", execution::KEY].map(|key| top.take(key));
    let criteria = criteria(&mut top);
    let contracts: Vec<Entry> = ["contract", "contracts"].iter().filter_map(|key| top.take(key)).collect();
    let lists: Vec<Entry> = ["task", "tasks"].iter().filter_map(|key| top.take(key)).collect();
    let phases = phases(&mut top);
    let is_foreign = foreign.is_some();
    // Somebody else's list may have keys of its own.
    let misspelled = !is_foreign && top.finish().iter().any(|key| key.starts_with("task"));

    if lists.is_empty() && phases.is_empty() && !misspelled && !is_foreign {
        let what = format!("the plan has no task; {HOW_TO_WRITE_TASKS}");
        problems.push(Problem { line: None, what });
    }
    plan.hooks = hooks.and_then(|entry| self::hooks(entry, problems)).unwrap_or_default();
    let defaults = defaults.and_then(|entry| Fields::of(entry.value, &DEFAULTS, "defaults: ", problems));
    let defaults = defaults.map(|mut fields| {
        let settings = Settings::of(&mut fields);
        fields.finish();
        settings
    });
    let defaults = defaults.unwrap_or_default();
    let mut together =
        Together { key: "depends_on", contracts: contracts::read(contracts, problems), criteria };
    let mut drafts = tasks(lists, &defaults, problems);
    for (number, entry) in phases {
        phase(number, entry, &defaults, &mut drafts, problems);
    }
    if let Some(foreign) = foreign {
        plan.advises_agents = true;
        drafts.extend(execution::drafts(foreign, &defaults, &mut together.criteria, problems));
    }
    plan.tasks = draft::tasks(drafts, together, problems);
    plan
}

fn strategy(top: &mut Fields) -> Option<Strategy> {
    let line = top.peek("strategy")?.value.line;
    let word = top.text("strategy")?;
    let names = strategies();
    let found = Strategy::ALL.into_iter().find(|strategy| strategy.name() == word);
    if found.is_none() {
        let mut what = format!("expected one of {}, not {}", names.join(", "), quoted(&word));
        if let Some(near) = nearest(&word, names) {
            what = format!("{what}; did you mean '{near}'?");
        }
        top.wrong(line, "strategy", what);
    }
    found
}

fn hooks(entry: Entry, problems: &mut Vec<Problem>) -> Option<Hooks> {
    let mut fields = Fields::of(entry.value, &HOOKS, "hooks: ", problems)?;
    let mut text = |key| fields.text(key).map(Text::from);
    let hooks = Hooks {
        setup: text("setup"),
        before_group: text("before_group"),
        after_land: text("after_land"),
        on_finish: text("on_finish"),
        notify: text("notify"),
    };
    fields.finish();
    Some(hooks)
}

fn criteria(fields: &mut Fields) -> Vec<String> {
    let words = fields.words("completion_criteria", "a list of texts");
    words.into_iter().map(|(word, _)| word).collect()
}

/// The lists `phase_1`, `phase_2` and so on, with their numbers.
fn phases(top: &mut Fields) -> Vec<(i64, Entry)> {
    let number = |entry: &Entry| {
        let digits = entry.key.strip_prefix("phase")?.trim_start_matches(['_', '-']);
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let mut phases: Vec<(i64, Entry)> = top
        .take_all(|entry| number(entry).is_some())
        .into_iter()
        .filter_map(|e| Some((number(&e)?, e)))
        .collect();
    phases.sort_by_key(|(number, _)| *number);
    phases
}

/// The tasks of a list that is a phase: a name or a prompt alone is a task as well.
fn phase(
    number: i64,
    Entry { key, line, value }: Entry,
    defaults: &Settings,
    drafts: &mut Vec<Draft>,
    problems: &mut Vec<Problem>,
) {
    let found = value.described();
    let items = match value.kind {
        Kind::List(items) => items,
        Kind::Text(_) => vec![value],
        _ => {
            let what = format!("{key}: expected a list of names, prompts or tasks, not {found}");
            problems.push(Problem::at(line, what));
            return;
        }
    };
    if items.is_empty() {
        problems.push(Problem::at(line, format!("{key}: it has no task; write one, or take it out")));
    }
    let is_default = |phase: &Phase| defaults.phase.as_ref().is_some_and(|(default, _)| default == phase);
    for (at, item) in items.into_iter().enumerate() {
        let line = item.line;
        let place = format!("{key}, task {}: ", at + 1);
        let draft = match item.kind {
            Kind::Text(text) => named_or_told(text, line, place, defaults, problems),
            kind => task(place, Node { line, kind }, defaults, problems),
        };
        drafts.extend(draft.map(|mut draft| {
            match &draft.settings.phase {
                // What `defaults` says of phases is not for those that stand in one.
                Some((other, line)) if *other != Phase::Number(number) && !is_default(other) => {
                    let what = format!("{}phase: it stands in '{key}'; take 'phase' out", draft.place);
                    problems.push(Problem::at(*line, what));
                }
                _ => draft.settings.phase = Some((Phase::Number(number), line)),
            }
            draft
        }));
    }
}

/// A task that is one word, its name, or more, its prompt.
fn named_or_told(
    text: String,
    line: usize,
    place: String,
    defaults: &Settings,
    problems: &mut Vec<Problem>,
) -> Option<Draft> {
    if text.trim().is_empty() || text.contains('\0') {
        let what = format!("{place}expected a name or a prompt, not {}", quoted(&text));
        problems.push(Problem::at(line, what));
        return None;
    }
    let draft = Draft { line, place, ..Draft::default() };
    if name::check_name(&text).is_ok() {
        let name = Name::Given(TaskName(text.clone()));
        return Some(Draft { id: Some(text), name, settings: defaults.clone(), ..draft });
    }
    let own = Settings { prompt: Some(Prompt::Text(text.clone())), ..Settings::default() };
    Some(Draft { name: Name::Title(text), settings: own.or(defaults), ..draft })
}

fn tasks(lists: Vec<Entry>, defaults: &Settings, problems: &mut Vec<Problem>) -> Vec<Draft> {
    let mut items = Vec::new();
    for entry in lists {
        let found = entry.value.described();
        match entry.value.kind {
            Kind::List(list) if list.is_empty() => {
                let what = format!("the plan has no task; {HOW_TO_WRITE_TASKS}");
                problems.push(Problem::at(entry.line, what));
            }
            Kind::List(list) => items.extend(list),
            _ => {
                let what = format!("{}: expected a list, not {found}; {HOW_TO_WRITE_TASKS}", entry.key);
                problems.push(Problem::at(entry.line, what));
            }
        }
    }
    let numbered = items.into_iter().enumerate();
    numbered.filter_map(|(n, item)| task(format!("task {}: ", n + 1), item, defaults, problems)).collect()
}

/// A task, also one whose name is refused: others may depend on it.
fn task(place: String, item: Node, defaults: &Settings, problems: &mut Vec<Problem>) -> Option<Draft> {
    let line = item.line;
    let mut fields = Fields::of(item, &TASK, place.clone(), problems)?;
    let (nameless, place) = match fields.peek("name").map(|entry| &entry.value.kind) {
        Some(Kind::Text(name)) if !name.is_empty() => (false, format!("task {}: ", quoted(name))),
        name => (name.is_none(), place),
    };
    let (id, name) = task_name(&mut fields);
    fields.call_it(place.clone());
    let needs = fields.words("depends_on", "a list of task names");
    let criteria = criteria(&mut fields);
    let own = Settings::of(&mut fields);
    let meant = fields.finish();
    if nameless && !meant.contains(&"name") {
        problems.push(Problem::at(line, format!("{place}it has no 'name'; every task needs one")));
    }
    let name = name.map_or(Name::Refused, Name::Given);
    Some(Draft { line, id, name, place, needs, settings: own.or(defaults), criteria, ..Draft::default() })
}

/// The name as it is written, and again if it may be one.
fn task_name(fields: &mut Fields) -> (Option<String>, Option<TaskName>) {
    let Some(Entry { value, .. }) = fields.take("name") else { return (None, None) };
    if let Kind::Number(number, _) = &value.kind {
        let number = number.clone();
        fields.as_text("name", value);
        return (Some(number), None);
    }
    let line = value.line;
    let Some(text) = fields.as_text("name", value) else { return (None, None) };
    match name::check_name(&text) {
        Ok(()) => (Some(text.clone()), Some(TaskName(text))),
        Err(why) => {
            let what = format!("bad task name {}: {why}", quoted(&text));
            fields.problems.push(Problem::at(line, what));
            (Some(text).filter(|text| !text.is_empty()), None)
        }
    }
}
