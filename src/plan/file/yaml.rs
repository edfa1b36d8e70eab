//! YAML to a tree.
//!
//! The parser's events are folded on a stack of our own, so nesting costs no stack of the thread. An alias
//! copies what it stands for, within a budget: a few lines of aliases of aliases can mean gigabytes.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::Problem;
use super::node::{Entry, Kind, MOST_DEPTH, Node, Parsed, quoted, table, too_deep};

/// What aliases may copy: values, and bytes of text.
const MOST_COPIED: usize = 100_000;
const MOST_COPIED_BYTES: usize = 16 << 20;

pub(super) fn parse(text: &str) -> Parsed {
    let mut tree = Tree::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let done = match next {
            Ok((event, span)) => tree.take(event, span.start.line()),
            Err(e) => Err(Problem::at(e.marker().line(), format!("not valid YAML: {}", e.info()))),
        };
        if let Err(problem) = done {
            tree.problems.push(problem);
            return Parsed::failed(tree.problems);
        }
    }
    let root = tree.root.unwrap_or(Node { line: 1, kind: Kind::Nothing });
    Parsed { root: Some(root), problems: tree.problems }
}

#[derive(Default)]
struct Tree {
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Anchor>,
    copied: Size,
    problems: Vec<Problem>,
}

/// A list or table whose end was not seen yet.
struct Open {
    line: usize,
    anchor: usize,
    so_far: SoFar,
}

enum SoFar {
    List(Vec<Node>),
    /// The entries, and a key that waits for its value.
    Table(Vec<Entry>, Option<(String, usize)>),
}

struct Anchor {
    node: Node,
    size: Size,
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = scalar(text, style, tag.as_deref(), line)?;
                self.place(Node { line, kind }, anchor)
            }
            Event::SequenceStart(anchor, tag) => self.open(line, anchor, tag, SoFar::List(Vec::new())),
            Event::MappingStart(anchor, tag) => self.open(line, anchor, tag, SoFar::Table(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, line),
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(Problem::at(line, "a second document; write one plan a file"))
            }
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        line: usize,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        so_far: SoFar,
    ) -> Result<(), Problem> {
        let plain = match so_far {
            SoFar::List(_) => "seq",
            SoFar::Table(..) => "map",
        };
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema() || tag.suffix != plain) {
            return Err(unknown_tag(&tag, line));
        }
        if self.open.len() > MOST_DEPTH {
            return Err(too_deep(line));
        }
        self.open.push(Open { line, anchor, so_far });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let kind = match open.so_far {
            SoFar::List(items) => Kind::List(items),
            SoFar::Table(entries, _) => table(entries, &mut self.problems),
        };
        self.place(Node { line: open.line, kind }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<(), Problem> {
        let Some(Anchor { node, size }) = self.anchors.get(&anchor) else {
            return Err(Problem::at(line, "an alias within what it stands for; write the value out"));
        };
        self.copied.nodes += size.nodes;
        self.copied.bytes += size.bytes;
        if self.copied.nodes > MOST_COPIED || self.copied.bytes > MOST_COPIED_BYTES {
            let what = format!("aliases stand for more than {MOST_COPIED} values or 16 MiB of text in all");
            return Err(Problem::at(line, what));
        }
        // A mistake in it is to be mended where it is written, so its lines stay.
        let node = node.clone();
        self.place(node, 0)
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor > 0 {
            self.anchors.insert(anchor, Anchor { size: size(&node), node: node.clone() });
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut parent.so_far {
            SoFar::List(items) => items.push(node),
            SoFar::Table(entries, waiting) => match waiting.take() {
                Some((key, line)) => entries.push(Entry { key, line, value: node }),
                None => *waiting = Some((key(node.kind, node.line)?, node.line)),
            },
        }
        Ok(())
    }
}

fn size(node: &Node) -> Size {
    let parts: Vec<Size> = match &node.kind {
        Kind::Text(text) | Kind::Number(text, _) => vec![Size { nodes: 0, bytes: text.len() }],
        Kind::List(items) => items.iter().map(size).collect(),
        Kind::Table(entries) => {
            let key = |entry: &Entry| Size { nodes: 0, bytes: entry.key.len() };
            entries.iter().flat_map(|entry| [key(entry), size(&entry.value)]).collect()
        }
        _ => Vec::new(),
    };
    let one = Size { nodes: 1, bytes: 0 };
    parts.iter().fold(one, |sum, part| Size { nodes: sum.nodes + part.nodes, bytes: sum.bytes + part.bytes })
}

fn key(kind: Kind, line: usize) -> Result<String, Problem> {
    match kind {
        Kind::Text(text) if text == "<<" => {
            Err(Problem::at(line, "YAML 1.2 has no merge key '<<'; write what tasks share under 'defaults'"))
        }
        Kind::Text(text) | Kind::Number(text, _) => Ok(text),
        Kind::Bool(value) => Ok(value.to_string()),
        _ => Err(Problem::at(line, "a key that is no word; write 'key: value'")),
    }
}

fn unknown_tag(tag: &Tag, line: usize) -> Problem {
    let what = format!("the tag {} is not known here; leave it out", quoted(&tag.to_string()));
    Problem::at(line, what)
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, line: usize) -> Result<Kind, Problem> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(Kind::Text(text.into_owned())),
        Some(tag) => Err(unknown_tag(tag, line)),
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        None => Ok(Kind::Text(text.into_owned())),
    }
}

/// An unquoted scalar by the core schema (YAML 1.2.2, 10.3.2).
fn plain(text: Cow<'_, str>) -> Kind {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Nothing,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        number if is_number(number) => Kind::Number(number.to_owned(), whole(number)),
        _ => Kind::Text(text.into_owned()),
    }
}

fn whole(number: &str) -> Option<i64> {
    if let Some(digits) = number.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok();
    }
    match number.strip_prefix("0o") {
        Some(digits) => i64::from_str_radix(digits, 8).ok(),
        None => number.parse().ok(),
    }
}

fn is_number(text: &str) -> bool {
    let all = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return all(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    // What Rust reads beside that are the words 'inf' and 'nan'.
    let digits = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    digits && unsigned.parse::<f64>().is_ok()
}
