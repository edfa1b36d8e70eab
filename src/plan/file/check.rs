//! The tree, checked: what it has to say to a run.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::fields::{Fields, Shape, nearest};
use super::graph::{self, Link};
use super::node::{Entry, Kind, Node, quoted};
use super::{Agent, Command, Plan, PlannedTask, Problem, Prompt, variables};
use crate::plan::name::{self, Request};
use crate::plan::parse_duration;
use crate::run::{Strategy, TaskName};

static PLAN: Shape = Shape {
    name: "a plan",
    keys: &["tasks", "task", "defaults", "target", "jobs", "strategy", "verify", "atomic"],
    elsewhere: &[
        (&["name", "prompt", "prompt_file", "depends_on"], "it belongs to a task"),
        (
            &["agent", "command", "base", "timeout", "retries", "env", "labels"],
            "it belongs to a task, or to 'defaults'",
        ),
    ],
};

static DEFAULTS: Shape = Shape {
    name: "'defaults'",
    keys: &["agent", "command", "base", "timeout", "retries", "env", "labels"],
    elsewhere: &[
        (&["target", "jobs", "strategy", "verify", "atomic"], OF_THE_RUN),
        (&["name", "prompt", "prompt_file", "depends_on"], "each task has its own"),
    ],
};

static TASK: Shape = Shape {
    name: "a task",
    keys: &[
        "name",
        "prompt",
        "prompt_file",
        "agent",
        "command",
        "depends_on",
        "base",
        "timeout",
        "retries",
        "env",
        "labels",
    ],
    elsewhere: &[(&["target", "jobs", "strategy", "verify", "atomic", "defaults"], OF_THE_RUN)],
};

const OF_THE_RUN: &str = "it is for the whole run: write it at the top of the plan, before any task";

const HOW_TO_WRITE_TASKS: &str =
    "write [[task]] and name = \"...\" in TOML, a list 'tasks' in YAML or JSON, each with a 'name'";

/// What both a task and `defaults` can have.
#[derive(Clone, Default)]
struct Settings {
    agent: Option<Agent>,
    base: Option<String>,
    timeout: Option<Duration>,
    retries: Option<u32>,
    env: BTreeMap<String, String>,
    labels: Option<Vec<String>>,
}

/// The plan that the tree `root` asks for; it is worth something if no problems came with it.
pub(super) fn plan(root: Node, problems: &mut Vec<Problem>) -> Plan {
    let root = match root.kind {
        Kind::Nothing => Node { line: root.line, kind: Kind::Table(Vec::new()) },
        _ => root,
    };
    let Some(mut top) = Fields::of(root, &PLAN, "", problems) else { return Plan::default() };
    let mut plan = Plan {
        target: top.word("target"),
        jobs: top.number("jobs", 1, 1000),
        strategy: strategy(&mut top),
        verify: top.text("verify"),
        atomic: top.flag("atomic"),
        tasks: Vec::new(),
    };
    let defaults = top.take("defaults");
    let lists: Vec<Entry> = ["task", "tasks"].iter().filter_map(|key| top.take(key)).collect();
    let misspelled = top.finish().iter().any(|key| key.starts_with("task"));

    if lists.is_empty() && !misspelled {
        let what = format!("the plan has no task; {HOW_TO_WRITE_TASKS}");
        problems.push(Problem { line: None, what });
    }
    let defaults = defaults.and_then(|entry| Fields::of(entry.value, &DEFAULTS, "defaults: ", problems));
    let defaults = defaults.map(|mut fields| {
        let settings = settings(&mut fields);
        fields.finish();
        settings
    });
    plan.tasks = tasks(lists, &defaults.unwrap_or_default(), problems);
    plan
}

fn strategy(top: &mut Fields) -> Option<Strategy> {
    let line = top.peek("strategy")?.value.line;
    let word = top.text("strategy")?;
    let names = Strategy::ALL.map(Strategy::name);
    let found = Strategy::ALL.into_iter().find(|strategy| strategy.name() == word);
    if found.is_none() {
        let mut what = format!("expected one of {}, not {}", names.join(", "), quoted(&word));
        if let Some(near) = nearest(&word, names.into_iter()) {
            what = format!("{what}; did you mean '{near}'?");
        }
        top.wrong(line, "strategy", what);
    }
    found
}

fn tasks(lists: Vec<Entry>, defaults: &Settings, problems: &mut Vec<Problem>) -> Vec<PlannedTask> {
    if let [first, second] = &lists[..] {
        let what = "'task' and 'tasks' mean the same; write all tasks under one of them";
        problems.push(Problem::at(first.line.max(second.line), what));
    }
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
    let (mut tasks, mut links) = (Vec::new(), Vec::new());
    for (number, item) in items.into_iter().enumerate() {
        if let Some((task, link)) = task(number + 1, item, defaults, problems) {
            tasks.extend(task);
            links.push(link);
        }
    }
    let requests: Vec<Request> = tasks
        .iter()
        .map(|task| Request { name: task.name.clone(), prompt: None, own: Default::default() })
        .collect();
    let clashes = name::clashes(&requests).into_iter();
    problems.extend(clashes.map(|(number, what)| Problem::at(tasks[number].line, what)));
    graph::check(&links, problems);
    tasks
}

/// A task, if its name is good, and how it hangs together with others in any case.
fn task(
    number: usize,
    item: Node,
    defaults: &Settings,
    problems: &mut Vec<Problem>,
) -> Option<(Option<PlannedTask>, Link)> {
    let line = item.line;
    let mut fields = Fields::of(item, &TASK, format!("task {number}: "), problems)?;
    let (nameless, place) = match fields.peek("name").map(|entry| &entry.value.kind) {
        Some(Kind::Text(name)) if !name.is_empty() => (false, format!("task {}: ", quoted(name))),
        name => (name.is_none(), format!("task {number}: ")),
    };
    let (name, good) = task_name(&mut fields);
    fields.call_it(place.clone());
    let prompt = prompt(&mut fields);
    let needs = dependencies(&mut fields);
    let own = settings(&mut fields);
    let meant = fields.finish();
    if nameless && !meant.contains(&"name") {
        problems.push(Problem::at(line, format!("{place}it has no 'name'; every task needs one")));
    }
    let mut env = defaults.env.clone();
    env.extend(own.env);
    let task = good.map(|name| PlannedTask {
        line,
        name,
        prompt,
        agent: own.agent.or_else(|| defaults.agent.clone()),
        depends_on: needs.iter().map(|(name, _)| TaskName(name.clone())).collect(),
        base: own.base.or_else(|| defaults.base.clone()),
        timeout: own.timeout.or(defaults.timeout),
        retries: own.retries.or(defaults.retries),
        env,
        labels: own.labels.or_else(|| defaults.labels.clone()).unwrap_or_default(),
    });
    Some((task, Link { name, place, needs }))
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

fn prompt(fields: &mut Fields) -> Option<Prompt> {
    let line = |key| fields.peek(key).map(|entry| entry.line);
    if let (Some(text), Some(file)) = (line("prompt"), line("prompt_file")) {
        let what = "a task has one prompt: keep 'prompt' or 'prompt_file'";
        fields.wrong(text.max(file), "prompt_file", what);
    }
    let text = fields.text("prompt").map(Prompt::Text);
    let file = fields.word("prompt_file").map(|path| Prompt::File(path.into()));
    text.or(file)
}

/// Names of tasks, with their lines: a list, or one alone.
fn dependencies(fields: &mut Fields) -> Vec<(String, usize)> {
    let Some(Entry { value, .. }) = fields.take("depends_on") else { return Vec::new() };
    match value.kind {
        Kind::List(items) => fields.words_of("depends_on", items),
        Kind::Text(_) => fields.words_of("depends_on", vec![value]),
        _ => {
            fields.unexpected("depends_on", "a list of task names", &value);
            Vec::new()
        }
    }
}

fn settings(fields: &mut Fields) -> Settings {
    Settings {
        agent: agent(fields),
        base: fields.word("base"),
        timeout: timeout(fields),
        retries: fields.number("retries", 0, 100),
        env: env(fields),
        labels: labels(fields),
    }
}

fn agent(fields: &mut Fields) -> Option<Agent> {
    let line = |key| fields.peek(key).map(|entry| entry.line);
    if let (Some(name), Some(command)) = (line("agent"), line("command")) {
        let what = "'agent' names one that is known, 'command' says how to call one; keep one of them";
        fields.wrong(name.max(command), "command", what);
    }
    let name = fields.word("agent").map(Agent::Name);
    let command = command(fields).map(Agent::Command);
    name.or(command)
}

fn command(fields: &mut Fields) -> Option<Command> {
    let entry = fields.peek("command")?;
    if !matches!(entry.value.kind, Kind::List(_)) {
        return match entry.value.kind {
            Kind::Text(_) => fields.word("command").map(Command::Shell),
            _ => {
                let value = fields.take("command")?.value;
                fields.unexpected("command", "text for the shell, or a list of arguments", &value);
                None
            }
        };
    }
    let Entry { value: Node { line, kind: Kind::List(items) }, .. } = fields.take("command")? else {
        return None;
    };
    let before = fields.problems.len();
    let arguments: Vec<String> =
        items.into_iter().filter_map(|item| fields.as_text("command", item)).collect();
    if fields.problems.len() > before {
        return None;
    }
    if arguments.first().is_none_or(|program| program.trim().is_empty()) {
        fields.wrong(line, "command", "it names no program; write it first, then its arguments");
        return None;
    }
    Some(Command::Arguments(arguments))
}

fn timeout(fields: &mut Fields) -> Option<Duration> {
    let value = fields.take("timeout")?.value;
    match &value.kind {
        Kind::Text(text) => match parse_duration(text) {
            Ok(duration) => return Some(duration),
            Err(why) => fields.wrong(value.line, "timeout", format!("{}: {why}", quoted(text))),
        },
        _ => fields.unexpected("timeout", "a length of time in quotes, such as '90s' or '30m'", &value),
    }
    None
}

fn env(fields: &mut Fields) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let Some(Entry { value, .. }) = fields.take("env") else { return env };
    let Kind::Table(entries) = value.kind else {
        fields.unexpected("env", "a table of variables and their texts", &value);
        return env;
    };
    for Entry { key, line, value } in entries {
        if let Some(why) = variables::refused(&key) {
            fields.wrong(line, "env", format!("{}: {why}", quoted(&key)));
        } else if let Some(text) = fields.as_text(&format!("env: {key}"), value) {
            env.insert(key, text);
        }
    }
    env
}

fn labels(fields: &mut Fields) -> Option<Vec<String>> {
    let value = fields.take("labels")?.value;
    let Kind::List(items) = value.kind else {
        fields.unexpected("labels", "a list of words", &value);
        return None;
    };
    let words = fields.words_of("labels", items);
    let mut seen = HashSet::new();
    for (word, line) in &words {
        if !seen.insert(word) {
            fields.wrong(*line, "labels", format!("{} stands twice; keep one of them", quoted(word)));
        }
    }
    Some(words.into_iter().map(|(word, _)| word).collect())
}
