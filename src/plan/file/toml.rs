//! TOML to a tree.

use ::toml::Spanned;
use ::toml::de::{DeArray, DeTable, DeValue, Error};

use super::Problem;
use super::node::{Entry, Kind, Lines, MOST_DEPTH, Node, Parsed, given_twice, table, too_deep};

/// What the parser says of a key that stands twice: it goes on with the first, and so do we.
const TWICE: &str = "duplicate key";

pub(super) fn parses(text: &str) -> bool {
    DeTable::parse(text).is_ok()
}

pub(super) fn parse(text: &str) -> Parsed {
    // As YAML does it: a prompt or command of several lines is the same with every editor.
    let text = text.replace("\r\n", "\n");
    let text = text.as_str();
    let lines = Lines::of(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    let broken = errors.iter().any(|error| error.message() != TWICE);
    let problems: Vec<Problem> = errors.iter().map(|error| problem(error, text, &lines)).collect();
    if broken {
        return Parsed::failed(problems);
    }
    let mut tree = Tree { lines, problems };
    let kind = tree.table(root.into_inner(), 0);
    Parsed { root: Some(Node { line: 1, kind }), problems: tree.problems }
}

fn problem(error: &Error, text: &str, lines: &Lines) -> Problem {
    let span = error.span();
    let line = span.as_ref().map(|span| lines.at(span.start));
    match (error.message(), span.and_then(|span| text.get(span)), line) {
        (TWICE, Some(key), Some(line)) => given_twice(line, key),
        (message, ..) => Problem { line, what: format!("not valid TOML: {message}") },
    }
}

struct Tree {
    lines: Lines,
    problems: Vec<Problem>,
}

impl Tree {
    fn table(&mut self, values: DeTable<'_>, depth: usize) -> Kind {
        let mut entries = Vec::with_capacity(values.len());
        for (key, value) in values {
            let line = self.lines.at(key.span().start);
            let value = self.node(value, depth + 1);
            entries.push(Entry { key: key.into_inner().into_owned(), line, value });
        }
        table(entries, &mut self.problems)
    }

    fn list(&mut self, values: DeArray<'_>, depth: usize) -> Kind {
        Kind::List(values.into_iter().map(|value| self.node(value, depth + 1)).collect())
    }

    fn node(&mut self, value: Spanned<DeValue<'_>>, depth: usize) -> Node {
        let line = self.lines.at(value.span().start);
        let kind = match value.into_inner() {
            DeValue::String(text) => Kind::Text(text.into_owned()),
            DeValue::Integer(number) => {
                let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
                Kind::Number(number.to_string(), value)
            }
            DeValue::Float(number) => Kind::Number(number.to_string(), None),
            DeValue::Boolean(value) => Kind::Bool(value),
            DeValue::Datetime(date) => Kind::Date(date.to_string()),
            DeValue::Array(_) | DeValue::Table(_) if depth > MOST_DEPTH => {
                self.problems.push(too_deep(line));
                Kind::Nothing
            }
            DeValue::Array(values) => self.list(values, depth),
            DeValue::Table(values) => self.table(values, depth),
        };
        Node { line, kind }
    }
}
