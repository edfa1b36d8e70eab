//! The keys of one table: taken one by one as what they should be; what is left over is unknown.

use super::Problem;
use super::node::{Entry, Kind, Node, quoted};
use super::shape::Shape;
use crate::plan::nearest;

/// Words that other tools have for our keys.
const SYNONYMS: [(&str, &str); 24] = [
    ("after", "depends_on"),
    ("needs", "depends_on"),
    ("requires", "depends_on"),
    ("id", "name"),
    ("title", "name"),
    ("worker", "agent"),
    ("run", "command"),
    ("script", "command"),
    ("instructions", "prompt"),
    ("description", "prompt"),
    ("fallback_agents", "fallback"),
    ("stage", "phase"),
    ("wave", "phase"),
    ("files", "touches"),
    ("paths", "touches"),
    ("interfaces", "contracts"),
    ("integration_points", "contracts"),
    ("acceptance_criteria", "completion_criteria"),
    ("producer", "provider"),
    ("into", "target"),
    ("concurrency", "jobs"),
    ("check", "verify"),
    ("gate", "verify"),
    ("tags", "labels"),
];

/// The keys of a table that were not taken yet.
pub(super) struct Fields<'p> {
    shape: &'static Shape,
    /// What stands before each message: which table it is.
    place: String,
    entries: Vec<Entry>,
    pub problems: &'p mut Vec<Problem>,
}

impl<'p> Fields<'p> {
    /// The fields of `node`; a problem if it is no table.
    pub(super) fn of(
        node: Node,
        shape: &'static Shape,
        place: impl Into<String>,
        problems: &'p mut Vec<Problem>,
    ) -> Option<Self> {
        let (line, found, place) = (node.line, node.described(), place.into());
        match node.kind {
            Kind::Table(entries) => Some(Fields { shape, place, entries, problems }),
            _ => {
                let example = shape.names().next().unwrap_or("key");
                let what = format!("{place}expected keys with values, such as '{example}', not {found}");
                problems.push(Problem::at(line, what));
                None
            }
        }
    }

    /// What stands before messages from now on.
    pub(super) fn call_it(&mut self, place: String) {
        self.place = place;
    }

    pub(super) fn peek(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at))
    }

    /// Takes every entry that is of this kind.
    pub(super) fn take_all(&mut self, is_it: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let (taken, left) = std::mem::take(&mut self.entries).into_iter().partition(is_it);
        self.entries = left;
        taken
    }

    /// Adds a problem with the value of `key`.
    pub(super) fn wrong(&mut self, line: usize, key: &str, what: impl AsRef<str>) {
        self.problems.push(Problem::at(line, format!("{}{key}: {}", self.place, what.as_ref())));
    }

    pub(super) fn unexpected(&mut self, key: &str, expected: &str, found: &Node) {
        self.wrong(found.line, key, format!("expected {expected}, not {}", found.described()));
    }

    /// A text that a program can be given, or a problem.
    pub(super) fn as_text(&mut self, key: &str, node: Node) -> Option<String> {
        let hint = match &node.kind {
            Kind::Text(text) if text.contains('\0') => {
                self.wrong(node.line, key, "no program can be given a NUL character; take it out");
                return None;
            }
            Kind::Text(_) => "",
            Kind::Nothing => "; give it one, or leave the key out",
            Kind::List(_) | Kind::Table(_) => "",
            Kind::Number(..) | Kind::Bool(_) | Kind::Date(_) => "; put it in quotes",
        };
        let found = node.described();
        match node.kind {
            Kind::Text(text) => Some(text),
            _ => {
                self.wrong(node.line, key, format!("expected text, not {found}{hint}"));
                None
            }
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let entry = self.take(key)?;
        self.as_text(key, entry.value)
    }

    /// A text with something in it.
    pub(super) fn word(&mut self, key: &str) -> Option<String> {
        let line = self.peek(key)?.value.line;
        let text = self.text(key)?;
        if text.trim().is_empty() {
            self.wrong(line, key, "it is empty; give it a value, or leave the key out");
            return None;
        }
        Some(text)
    }

    pub(super) fn number(&mut self, key: &str) -> Option<u32> {
        let (least, most) = self.shape.range(key);
        let value = self.take(key)?.value;
        let number = match value.kind {
            Kind::Number(_, Some(number)) => u32::try_from(number).ok(),
            _ => None,
        };
        let fits = number.filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            self.unexpected(key, &format!("a whole number from {least} to {most}"), &value);
        }
        fits
    }

    /// A list of words, or one alone, each with its line.
    pub(super) fn words(&mut self, key: &str, expected: &str) -> Vec<(String, usize)> {
        let Some(Entry { value, .. }) = self.take(key) else { return Vec::new() };
        match value.kind {
            Kind::List(items) => self.words_of(key, items),
            Kind::Text(_) => self.words_of(key, vec![value]),
            _ => {
                self.unexpected(key, expected, &value);
                Vec::new()
            }
        }
    }

    /// Keys that exclude each other, if both are there.
    pub(super) fn check_either(&mut self) {
        for (one, other, why) in self.shape.either {
            if let (Some(first), Some(second)) = (self.peek(one), self.peek(other)) {
                let (first, second) = (first.line, second.line);
                let (line, key) = if first > second { (first, one) } else { (second, other) };
                self.wrong(line, key, why);
            }
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let value = self.take(key)?.value;
        if let Kind::Bool(flag) = value.kind {
            return Some(flag);
        }
        self.unexpected(key, "true or false", &value);
        None
    }

    /// Texts that are not empty, with their lines; those that are wrong are left out.
    pub(super) fn words_of(&mut self, key: &str, items: Vec<Node>) -> Vec<(String, usize)> {
        let mut words = Vec::with_capacity(items.len());
        for item in items {
            let line = item.line;
            match self.as_text(key, item) {
                Some(text) if text.trim().is_empty() => {
                    self.wrong(line, key, "an entry is empty; take it out");
                }
                Some(text) => words.push((text, line)),
                None => {}
            }
        }
        words
    }

    /// Whatever was not taken is unknown. Returns the keys that were probably meant.
    pub(super) fn finish(self) -> Vec<&'static str> {
        let shape = self.shape;
        let others = || {
            shape.elsewhere.iter().flat_map(|(keys, advice)| keys.iter().map(move |key| (key.name, *advice)))
        };
        let mut meant = Vec::new();
        for entry in self.entries {
            let key = entry.key.as_str();
            let what = if let Some((_, advice)) = others().find(|(other, _)| *other == key) {
                advice.to_owned()
            } else if let Some(near) = near_key(key, shape.names()) {
                meant.push(near);
                format!("did you mean '{near}'?")
            } else if let Some(near) = near_key(key, others().map(|(other, _)| other)) {
                let advice = others().find(|(other, _)| *other == near).map_or("", |(_, advice)| advice);
                format!("did you mean '{near}'? {advice}")
            } else {
                format!("{} has {}", shape.name, shape.names().collect::<Vec<_>>().join(", "))
            };
            let what = format!("{}unknown key {}; {what}", self.place, quoted(key));
            self.problems.push(Problem::at(entry.line, what));
        }
        meant
    }
}

fn near_key(key: &str, known: impl Iterator<Item = &'static str> + Clone) -> Option<&'static str> {
    let synonym = SYNONYMS.iter().find(|(word, _)| word.eq_ignore_ascii_case(key)).map(|(_, ours)| *ours);
    synonym.filter(|ours| known.clone().any(|key| key == *ours)).or_else(|| nearest(key, known))
}
