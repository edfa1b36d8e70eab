//! What both a task and `defaults` can have.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::fields::Fields;
use super::node::{Entry, Kind, Node, quoted};
use super::{Agent, Command, Prompt, variables};
use crate::plan::parse_duration;

#[derive(Clone, Default)]
pub(super) struct Settings {
    pub prompt: Option<Prompt>,
    pub agent: Option<Agent>,
    pub fallback: Option<Vec<String>>,
    pub runner: Option<String>,
    /// With the line that it stands in, as the phase.
    pub group: Option<(String, usize)>,
    pub phase: Option<(Phase, usize)>,
    pub touches: Option<Vec<String>>,
    pub setup: Option<String>,
    pub base: Option<String>,
    pub timeout: Option<Duration>,
    pub retries: Option<u32>,
    pub env: BTreeMap<String, String>,
    pub labels: Option<Vec<String>>,
}

/// A phase: by its number, or by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Number(i64),
    Name(String),
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Phase::Number(number) => number.fmt(f),
            Phase::Name(name) => f.write_str(name),
        }
    }
}

impl Settings {
    pub(super) fn of(fields: &mut Fields) -> Settings {
        fields.check_either();
        Settings {
            prompt: prompt(fields),
            agent: agent(fields),
            fallback: list(fields, "fallback", "a list of agents' names"),
            runner: fields.word("runner"),
            group: group(fields),
            phase: phase(fields),
            touches: list(fields, "touches", "a list of pathspecs"),
            setup: fields.word("setup"),
            base: fields.word("base"),
            timeout: timeout(fields),
            retries: fields.number("retries"),
            env: env(fields),
            labels: labels(fields),
        }
    }

    /// These, and what `defaults` has beside them.
    pub(super) fn or(self, defaults: &Settings) -> Settings {
        let defaults = defaults.clone();
        let mut env = defaults.env;
        env.extend(self.env);
        Settings {
            prompt: self.prompt.or(defaults.prompt),
            agent: self.agent.or(defaults.agent),
            fallback: self.fallback.or(defaults.fallback),
            runner: self.runner.or(defaults.runner),
            group: self.group.or(defaults.group),
            phase: self.phase.or(defaults.phase),
            touches: self.touches.or(defaults.touches),
            setup: self.setup.or(defaults.setup),
            base: self.base.or(defaults.base),
            timeout: self.timeout.or(defaults.timeout),
            retries: self.retries.or(defaults.retries),
            env,
            labels: self.labels.or(defaults.labels),
        }
    }
}

fn prompt(fields: &mut Fields) -> Option<Prompt> {
    let text = fields.text("prompt").map(Prompt::Text);
    let file = fields.word("prompt_file").map(|path| Prompt::File(path.into()));
    text.or(file)
}

fn agent(fields: &mut Fields) -> Option<Agent> {
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

/// A list, where an empty one differs from none: it takes back what `defaults` says.
fn list(fields: &mut Fields, key: &str, expected: &str) -> Option<Vec<String>> {
    fields.peek(key)?;
    let words = fields.words(key, expected);
    check_each_once(fields, key, &words);
    Some(words.into_iter().map(|(word, _)| word).collect())
}

fn check_each_once(fields: &mut Fields, key: &str, words: &[(String, usize)]) {
    let mut seen = HashSet::new();
    for (word, line) in words {
        if !seen.insert(word) {
            fields.wrong(*line, key, format!("{} stands twice; keep one of them", quoted(word)));
        }
    }
}

fn group(fields: &mut Fields) -> Option<(String, usize)> {
    let line = fields.peek("group")?.value.line;
    Some((fields.word("group")?, line))
}

fn phase(fields: &mut Fields) -> Option<(Phase, usize)> {
    let value = fields.take("phase")?.value;
    let line = value.line;
    match value.kind {
        Kind::Number(_, Some(number)) => return Some((Phase::Number(number), line)),
        Kind::Text(text) if text.trim().is_empty() => {
            fields.wrong(line, "phase", "it is empty; give it a value, or leave the key out");
        }
        Kind::Text(text) => return Some((Phase::of(&text), line)),
        _ => fields.unexpected("phase", "a whole number, or a name in quotes", &value),
    }
    None
}

impl Phase {
    /// A number in quotes is one all the same.
    fn of(text: &str) -> Phase {
        text.trim().parse().map_or_else(|_| Phase::Name(text.to_owned()), Phase::Number)
    }
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
    check_each_once(fields, "labels", &words);
    Some(words.into_iter().map(|(word, _)| word).collect())
}
