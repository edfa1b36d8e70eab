//! Plan files: tasks and how they hang together, in TOML, YAML, JSON or Markdown.
//!
//! Each format is parsed into one small tree whose nodes know their lines, and that tree alone is checked:
//! the formats can't drift apart, and every mistake is told at once.
//!
//! What the tables have and what their values may be stands in `shape` alone: the checks, their messages and
//! the JSON Schema go by it. Other people's lists (`issues`, `execution`, `markdown`) become the same tasks.

mod check;
mod contracts;
mod draft;
mod execution;
mod fields;
mod graph;
mod issues;
mod json;
mod markdown;
mod node;
mod schema;
mod settings;
mod shape;
mod stages;
mod toml;
mod variables;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node::Parsed;

use super::prompt::Appendix;
use crate::run::{Hooks, Strategy, TaskName};

pub use schema::schema;

/// What a plan file is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// YAML 1.2, core schema.
    Yaml,
    /// JSON.
    Json,
    /// A task list, or headings, in Markdown.
    Markdown,
}

impl Format {
    /// The format of the file `path` that holds `text`: by its extension, else (standard input) by how the
    /// text begins.
    pub fn of(path: &Path, text: &[u8]) -> Format {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "toml" => Format::Toml,
            "yaml" | "yml" => Format::Yaml,
            "json" => Format::Json,
            "md" | "markdown" => Format::Markdown,
            _ => std::str::from_utf8(text).map_or(Format::Yaml, |text| guess(without_mark(text))),
        }
    }
}

/// `[[task]]` and `[defaults]` begin like a list in JSON does, but no list has a bare word or a list of
/// bare words in it.
fn guess(text: &str) -> Format {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_list = || markdown::is_list(text);
    let Some(first) = lines.next() else {
        return if is_list() { Format::Markdown } else { Format::Toml };
    };
    if first.starts_with('{') {
        return Format::Json;
    }
    if let Some(rest) = first.strip_prefix('[') {
        let inner = rest.trim_start_matches(['[', ' ', '\t']);
        let header = inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        return if header { Format::Toml } else { Format::Json };
    }
    // A setting with a mistake somewhere behind it is still TOML.
    let key = first.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_-.\"'".contains(c));
    match key.trim_start().starts_with('=') {
        false if is_list() => Format::Markdown,
        false if !toml::parses(text) => Format::Yaml,
        _ => Format::Toml,
    }
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// A mistake in a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where, counted from 1; a plan without tasks has no such place.
    pub line: Option<usize>,
    /// What is wrong, and what to write instead.
    pub what: String,
}

impl Problem {
    fn at(line: usize, what: impl Into<String>) -> Problem {
        Problem { line: Some(line), what: what.into() }
    }
}

/// What a plan file asks for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// Branch that finished work lands on.
    pub target: Option<String>,
    /// Agents at once, 1 to 1000.
    pub jobs: Option<u32>,
    /// How finished work lands.
    pub strategy: Option<Strategy>,
    /// What would land must pass this; for `sh -c`.
    pub verify: Option<String>,
    /// All tasks land in one step, or none.
    pub atomic: Option<bool>,
    /// Commands that run at certain points of the run.
    pub hooks: Hooks,
    /// The list is somebody else's: the agents that it names are advice, which the command line's goes before.
    pub advises_agents: bool,
    /// The tasks in the order of the file: at least one, and their dependencies have no cycle.
    pub tasks: Vec<PlannedTask>,
}

/// A task of a plan, with what `defaults` gave it.
#[derive(Clone, PartialEq, Debug)]
pub struct PlannedTask {
    /// The line it begins in.
    pub line: usize,
    /// Its name, by the rules of the command line.
    pub name: TaskName,
    /// What its agent is to do.
    pub prompt: Option<Prompt>,
    /// What its prompt goes on with.
    pub appendix: Appendix,
    /// Its agent; without one, the command line's.
    pub agent: Option<Agent>,
    /// Names of agents that take its place, one after the other.
    pub fallback: Vec<String>,
    /// Where its agent runs.
    pub runner: Option<String>,
    /// Names of tasks of this plan that must land first, each once.
    pub depends_on: Vec<TaskName>,
    /// The group that it belongs to.
    pub group: Option<String>,
    /// See [`TaskSpec::stage`](crate::run::TaskSpec::stage).
    pub stage: Option<u32>,
    /// Pathspecs of what it is expected to change.
    pub touches: Vec<String>,
    /// What is run in its worktree before its agent, for `sh -c`.
    pub setup: Option<String>,
    /// Commit that its branch starts from.
    pub base: Option<String>,
    /// How long its agent may run.
    pub timeout: Option<Duration>,
    /// How often an agent that fails is started again, up to 100 times.
    pub retries: Option<u32>,
    /// What its agent has in its environment.
    pub env: BTreeMap<String, String>,
    /// Words to find it by.
    pub labels: Vec<String>,
}

/// Where a task's prompt is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Prompt {
    /// In the plan.
    Text(String),
    /// In a file; the path as it was written.
    File(PathBuf),
}

/// A task's agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Agent {
    /// One that is known by this name.
    Name(String),
    /// A command.
    Command(Command),
}

/// A command that was given as text, or as arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// For `sh -c`.
    Shell(String),
    /// An argument vector, with its placeholders; at least the program.
    Arguments(Vec<String>),
}

/// Reads the plan in `text`; `look` finds what is wrong with it by what is known outside.
///
/// Fails with every mistake at once, in the order of their lines. Where the text can't be parsed, nothing
/// but that is told, since the rest would follow from it.
pub fn read(
    text: &str,
    format: Format,
    look: impl FnOnce(&Plan) -> Vec<Problem>,
) -> Result<Plan, Vec<Problem>> {
    let text = without_mark(text);
    let (plan, mut problems) = match parsed(text, format) {
        Some(Parsed { root, mut problems }) => {
            (root.map(|root| check::plan(root, &mut problems)).unwrap_or_default(), problems)
        }
        None => {
            let mut problems = Vec::new();
            (markdown::plan(text, &mut problems), problems)
        }
    };
    problems.extend(look(&plan));
    if problems.is_empty() {
        return Ok(plan);
    }
    problems.sort_by_key(|problem| problem.line);
    Err(problems)
}

/// The tree that `text` is; Markdown is none.
fn parsed(text: &str, format: Format) -> Option<Parsed> {
    match format {
        Format::Toml => Some(toml::parse(text)),
        Format::Yaml => Some(yaml::parse(text)),
        Format::Json => Some(json::parse(text)),
        Format::Markdown => None,
    }
}

#[cfg(test)]
mod lists_tests;
#[cfg(test)]
mod tests;
