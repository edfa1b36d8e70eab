//! Task lists and headings in Markdown.
//!
//! | what stands there | what it is |
//! | --- | --- |
//! | `- [ ] Set up PostgreSQL` | a task; what is indented below it belongs to its prompt |
//! | `### PRIORITY 65: Recipes` | a task; what stands below it belongs to its prompt |
//! | `[P:Group-infra]` in either | it starts together with the others of this group |
//! | `- [x]`, a heading that ends in Done, Completed or a check mark | is done, and left out |
//!
//! What has no group has its turn alone, one after the other as they stand. Headings with a priority go first,
//! the highest number before the others. Any other heading only divides the list.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::draft::{self, Draft, Name, Together};
use super::node::Lines;
use super::settings::Settings;
use super::{Plan, Problem, Prompt};

/// A heading, or an item with a box that is in no other such.
struct Block {
    start: usize,
    /// Where its own text goes on: behind the box, or below the heading.
    after: usize,
    end: usize,
    title: String,
    kind: Kind,
}

enum Kind {
    /// Its level, 1 to 6.
    Heading(usize),
    /// Whether its box is checked.
    Item(bool),
}

/// What a heading or an item asks for.
struct Item {
    line: usize,
    title: String,
    prompt: String,
    done: bool,
    group: Option<String>,
    priority: Option<i64>,
}

/// The tasks of a list that are not done yet.
pub(super) fn plan(text: &str, problems: &mut Vec<Problem>) -> Plan {
    let text = text.replace("\r\n", "\n");
    let mut items = items(&text);
    let is_list = !items.is_empty();
    items.retain(|item| !item.done);
    if items.is_empty() {
        let what = match is_list {
            true => "nothing is left to do: every item of the list is done",
            false => {
                "the plan has no task; write '- [ ] what to do' for each, or '### PRIORITY 50: what to do'"
            }
        };
        problems.push(Problem { line: None, what: what.to_owned() });
    }
    // The order of those that have the same stays.
    items.sort_by_key(|item| std::cmp::Reverse(item.priority));
    let mut turns: Vec<Option<String>> = Vec::new();
    let drafts = items.into_iter().filter_map(|item| draft(item, &mut turns, problems)).collect();
    let together = Together { key: "depends_on", contracts: Vec::new(), criteria: Vec::new() };
    Plan { tasks: draft::tasks(drafts, together, problems), ..Plan::default() }
}

/// A task that has its turn with its group, or else alone.
fn draft(item: Item, turns: &mut Vec<Option<String>>, problems: &mut Vec<Problem>) -> Option<Draft> {
    let line = item.line;
    let wrong = if item.group.as_deref() == Some("") {
        Some("[P:...] names no group; write [P:Group-NAME]")
    } else if item.prompt.contains('\0') {
        Some("no program can be given a NUL character; take it out")
    } else if !item.title.contains(char::is_alphanumeric) {
        Some("it is empty; say what is to be done, or take it out")
    } else {
        None
    };
    if let Some(what) = wrong {
        problems.push(Problem::at(line, what));
        return None;
    }
    let turn =
        item.group.as_ref().and_then(|group| turns.iter().position(|turn| turn.as_ref() == Some(group)));
    let turn = turn.unwrap_or_else(|| {
        turns.push(item.group.clone());
        turns.len() - 1
    });
    let settings = Settings {
        prompt: Some(Prompt::Text(item.prompt)),
        group: item.group.map(|group| (group, line)),
        ..Settings::default()
    };
    let stage = u32::try_from(turn).ok();
    Some(Draft { line, name: Name::Title(item.title), settings, stage, ..Draft::default() })
}

/// Whether a text is such a list, by its lines that are not indented: those of a text within a plan are.
pub(super) fn is_list(text: &str) -> bool {
    text.lines().any(|line| {
        let bare = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let item = bare.strip_prefix(['-', '*', '+', '.', ')']);
        let marked = item.is_some_and(|item| {
            let item = item.trim_start();
            ["[ ] ", "[x] ", "[X] "].iter().any(|mark| item.starts_with(mark))
        });
        marked
            || line
                .strip_prefix("##")
                .is_some_and(|title| priority(title.trim_start_matches('#')).0.is_some())
    })
}

fn items(text: &str) -> Vec<Item> {
    let blocks = blocks(text);
    let lines = Lines::of(text);
    let mut items = Vec::new();
    let mut taken = 0;
    for (at, block) in blocks.iter().enumerate() {
        if block.start < taken {
            continue;
        }
        let line = lines.at(block.start);
        match block.kind {
            Kind::Item(done) => {
                let body = dedented(&text[block.after..block.end]);
                let (title, group) = without_group(&block.title);
                let prompt = without_group(&body).0.trim().to_owned();
                items.push(Item { line, title, prompt, done, group, priority: None });
            }
            Kind::Heading(level) => {
                let ends = |other: &&Block| matches!(other.kind, Kind::Heading(other) if other <= level);
                let end = blocks[at + 1..].iter().find(ends).map_or(text.len(), |next| next.start);
                if let Some(item) = of_heading(&block.title, text[block.after..end].trim(), line) {
                    items.push(item);
                    taken = end;
                }
            }
        }
    }
    items
}

/// The headings and the outermost items with a box, as they stand.
fn blocks(text: &str) -> Vec<Block> {
    let options = Options::ENABLE_TASKLISTS | Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut blocks: Vec<Block> = Vec::new();
    // Where the open list items begin, and how many were open when one of them turned out to have a box.
    let mut open: Vec<usize> = Vec::new();
    let mut boxed: Option<usize> = None;
    let mut in_title = false;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { level, .. }) if open.is_empty() => {
                let kind = Kind::Heading(level as usize);
                blocks.push(Block {
                    start: range.start,
                    after: range.end,
                    end: range.end,
                    title: String::new(),
                    kind,
                });
                in_title = true;
            }
            Event::Start(Tag::Item) => {
                open.push(range.start);
                in_title = false;
            }
            Event::TaskListMarker(done) if boxed.is_none() => {
                boxed = Some(open.len());
                let start = open.last().copied().unwrap_or(range.start);
                let kind = Kind::Item(done);
                blocks.push(Block { start, after: range.end, end: range.end, title: String::new(), kind });
                in_title = true;
            }
            Event::End(TagEnd::Item) => {
                if boxed == Some(open.len()) {
                    boxed = None;
                    blocks.last_mut().into_iter().for_each(|block| block.end = range.end.max(block.after));
                }
                open.pop();
                in_title = false;
            }
            Event::End(TagEnd::Heading(_) | TagEnd::Paragraph) | Event::SoftBreak | Event::HardBreak => {
                in_title = false;
            }
            Event::Start(tag) if in_title => {
                in_title = matches!(
                    tag,
                    Tag::Paragraph
                        | Tag::Emphasis
                        | Tag::Strong
                        | Tag::Strikethrough
                        | Tag::Link { .. }
                        | Tag::Image { .. }
                );
            }
            Event::Text(piece) | Event::Code(piece) if in_title => {
                blocks.last_mut().into_iter().for_each(|block| block.title.push_str(&piece));
            }
            _ => {}
        }
    }
    blocks
}

/// A heading is a task if it has a priority, a group or a box.
fn of_heading(heading: &str, body: &str, line: usize) -> Option<Item> {
    let (title, group) = without_group(heading);
    let (checked, title) = checked(&title);
    let (priority, title) = priority(title);
    if (priority.is_none() && group.is_none() && checked.is_none()) || !title.contains(char::is_alphanumeric)
    {
        return None;
    }
    let (done, title) = ending(title);
    let prompt = if body.is_empty() { title.to_owned() } else { format!("{title}\n\n{body}") };
    let done = done || checked == Some(true);
    Some(Item { line, title: title.to_owned(), prompt, done, group, priority })
}

fn checked(title: &str) -> (Option<bool>, &str) {
    let title = title.trim();
    for (mark, checked) in [("[ ]", false), ("[x]", true), ("[X]", true)] {
        if let Some(rest) = title.strip_prefix(mark) {
            return (Some(checked), rest.trim_start());
        }
    }
    (None, title)
}

/// `PRIORITY 65: Recipes`, or with a dash; `Priority 50-69` is a range, and no task's.
fn priority(title: &str) -> (Option<i64>, &str) {
    const WORD: &str = "priority ";
    let bare = title.trim_start_matches(|c: char| !c.is_alphanumeric());
    let parsed = || {
        let word = bare.get(..WORD.len())?;
        let rest = bare[WORD.len()..].trim_start();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = rest.split_at(digits);
        let spaced = rest.starts_with(char::is_whitespace);
        let rest = rest.trim_start();
        let title = match rest.strip_prefix(':') {
            Some(title) => title,
            None => rest.strip_prefix(['-', '\u{2013}', '\u{2014}']).filter(|_| spaced)?,
        };
        let number = number.parse().ok().filter(|_| word.eq_ignore_ascii_case(WORD))?;
        Some((number, title.trim()))
    };
    parsed().map_or((None, title), |(number, title)| (Some(number), title))
}

/// Whether a heading ends in a word or mark for 'done', and what stands before such a word.
fn ending(title: &str) -> (bool, &str) {
    const DONE: [&str; 4] = ["done", "completed", "complete", "finished"];
    const TO_DO: [&str; 6] = ["planned", "to do", "todo", "in progress", "pending", "open"];
    const MARKS: [char; 5] = ['\u{2705}', '\u{2713}', '\u{2714}', '\u{2611}', '\u{fe0f}'];
    let plain = title.trim_end().trim_end_matches([')', ']', '*', '_', '.', '!']).trim_end();
    if plain.ends_with(MARKS) {
        return (true, plain.trim_end_matches(MARKS).trim_end());
    }
    let words = DONE.iter().map(|word| (*word, true)).chain(TO_DO.iter().map(|word| (*word, false)));
    for (word, done) in words {
        let at = plain.len().saturating_sub(word.len());
        let Some((before, last)) = plain.split_at_checked(at) else { continue };
        if !last.eq_ignore_ascii_case(word) || before.ends_with(char::is_alphanumeric) {
            continue;
        }
        // 'Show what is planned' is a title; 'Recipes (planned)' and 'Recipes ... Planned' have a state.
        let bare = before.trim_end_matches(|c: char| !c.is_alphanumeric());
        let apart = before[bare.len()..].contains(|c: char| !c.is_whitespace());
        if !bare.is_empty() && (apart || done) {
            return (done, if apart { bare } else { title });
        }
    }
    (false, title)
}

/// The text without its first `[P:Group-NAME]`, and that name.
fn without_group(text: &str) -> (String, Option<String>) {
    let found = text.find("[P:").and_then(|start| Some((start, start + text[start..].find(']')?)));
    let Some((start, end)) = found else { return (text.to_owned(), None) };
    let name = text[start + 3..end].trim();
    let bare =
        name.get(..6).filter(|prefix| prefix.eq_ignore_ascii_case("group-")).map_or(name, |_| &name[6..]);
    let (before, after) = (&text[..start], &text[end + 1..]);
    let after =
        if before.is_empty() || before.ends_with(' ') { after.trim_start_matches(' ') } else { after };
    ([before, after].concat(), Some(bare.trim().to_owned()))
}

/// The lines below the first, moved to the left as far as they all go.
fn dedented(text: &str) -> String {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let least = rest.lines().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    let rest = rest.lines().map(|line| line.get(least..).unwrap_or(""));
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join("\n")
}
