//! JSON to a tree.
//!
//! serde_json gives lines to errors alone. So each value is taken as the slice of the text that it is
//! ([`RawValue`]): where that slice lies tells its line.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Problem;
use super::node::{Entry, Kind, Lines, MOST_DEPTH, Node, Parsed, table, too_deep};

pub(super) fn parse(text: &str) -> Parsed {
    if text.trim_ascii().is_empty() {
        let root = Node { line: 1, kind: Kind::Nothing };
        return Parsed { root: Some(root), problems: Vec::new() };
    }
    let mut tree = Tree { text, lines: Lines::of(text), problems: Vec::new() };
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => match tree.node(raw, 0) {
            Some(root) => Parsed { root: Some(root), problems: tree.problems },
            None => Parsed::failed(tree.problems),
        },
        Err(e) => Parsed::failed(vec![problem(&e, e.line())]),
    }
}

fn problem(error: &serde_json::Error, line: usize) -> Problem {
    let message = error.to_string();
    let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    Problem::at(line.max(1), format!("not valid JSON: {what}"))
}

struct Tree<'a> {
    text: &'a str,
    lines: Lines,
    problems: Vec<Problem>,
}

impl<'a> Tree<'a> {
    /// Nothing, if the value can't be read after all: escapes are only looked at now.
    fn node(&mut self, raw: &'a RawValue, depth: usize) -> Option<Node> {
        let line = self.line(raw);
        let kind = match raw.get().as_bytes().first() {
            Some(b'{' | b'[') if depth > MOST_DEPTH => {
                self.problems.push(too_deep(line));
                return None;
            }
            Some(b'{') => {
                let Members(members) = self.read(raw)?;
                let nodes = members.into_iter().map(|(key, raw)| {
                    let line = self.line(raw);
                    Some(Entry { key, line, value: self.node(raw, depth + 1)? })
                });
                let entries = nodes.collect::<Option<Vec<_>>>()?;
                table(entries, &mut self.problems)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = self.read(raw)?;
                Kind::List(items.into_iter().map(|raw| self.node(raw, depth + 1)).collect::<Option<_>>()?)
            }
            Some(b'"') => Kind::Text(self.read(raw)?),
            Some(b't') => Kind::Bool(true),
            Some(b'f') => Kind::Bool(false),
            Some(b'n') | None => Kind::Nothing,
            Some(_) => Kind::Number(raw.get().to_owned(), raw.get().parse().ok()),
        };
        Some(Node { line, kind })
    }

    fn read<T: Deserialize<'a>>(&mut self, raw: &'a RawValue) -> Option<T> {
        let read = serde_json::from_str(raw.get());
        read.map_err(|e| self.problems.push(problem(&e, self.line(raw) + e.line().saturating_sub(1)))).ok()
    }

    fn line(&self, raw: &RawValue) -> usize {
        let offset = (raw.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        self.lines.at(offset)
    }
}

/// The members of an object, in their order, repeated ones too.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
