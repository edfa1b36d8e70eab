//! The tree that each format becomes.

use std::collections::HashSet;

use super::Problem;

/// No plan nests deeper: a task's `env` is the fourth level.
pub(super) const MOST_DEPTH: usize = 16;

/// What became of a text.
pub(super) struct Parsed {
    /// Missing where the text could not be parsed.
    pub root: Option<Node>,
    pub problems: Vec<Problem>,
}

impl Parsed {
    /// A text that could not be parsed.
    pub(super) fn failed(problems: Vec<Problem>) -> Parsed {
        Parsed { root: None, problems }
    }
}

/// A value and the line that it begins in.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub line: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Text(String),
    /// As it was written, and its value if it is a whole number.
    Number(String, Option<i64>),
    Bool(bool),
    Date(String),
    /// `null`, or no value where one could stand.
    Nothing,
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    /// The key's line.
    pub line: usize,
    pub value: Node,
}

impl Node {
    /// The value as a message tells it.
    pub(super) fn described(&self) -> String {
        match &self.kind {
            Kind::Text(text) if text.is_empty() => "empty text".to_owned(),
            Kind::Text(text) => format!("the text {}", quoted(text)),
            Kind::Number(number, _) => format!("the number {}", shortened(number)),
            Kind::Bool(value) => value.to_string(),
            Kind::Date(date) => format!("the date {date}"),
            Kind::Nothing => "an empty value".to_owned(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Table(_) => "a table".to_owned(),
        }
    }
}

/// Some of `text` in quotes, harmless to print.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", shortened(text))
}

fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", text[..end].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

/// A table of `entries`; of a key that stands twice, the first is kept.
pub(super) fn table(entries: Vec<Entry>, problems: &mut Vec<Problem>) -> Kind {
    let mut seen = HashSet::new();
    let repeated: Vec<bool> = entries.iter().map(|entry| !seen.insert(entry.key.as_str())).collect();
    let mut kept = Vec::with_capacity(entries.len());
    for (entry, repeated) in entries.into_iter().zip(repeated) {
        if repeated {
            problems.push(given_twice(entry.line, &entry.key));
        } else {
            kept.push(entry);
        }
    }
    Kind::Table(kept)
}

pub(super) fn given_twice(line: usize, key: &str) -> Problem {
    Problem::at(line, format!("{} is given twice; keep one of them", quoted(key)))
}

pub(super) fn too_deep(line: usize) -> Problem {
    Problem::at(line, format!("nested more than {MOST_DEPTH} levels deep; no plan needs that"))
}

/// Finds the lines of offsets into a text.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Lines {
        Lines(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The line of the byte at `offset`, counted from 1.
    pub(super) fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}
