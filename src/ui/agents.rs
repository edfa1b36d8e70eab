//! `git parallel agents`: which agents are known, which are there, and how each is called.

use serde_json::{Value, json};

use super::look::{Look, Mark, pad};
use super::text;
use crate::run::{AgentCall, Text};

/// What is told of an agent.
pub struct AgentRow {
    /// Its name.
    pub name: String,
    /// What it calls itself.
    pub title: Option<&'static str>,
    /// It can be called.
    pub found: bool,
    /// Where its executable is, if it is one.
    pub path: Option<Text>,
    /// How it is called.
    pub command: Vec<Text>,
    /// It comes from the user's configuration.
    pub configured: bool,
    /// It is the one that runs take if none is named.
    pub default: bool,
    /// Where the tool's own documentation tells of it.
    pub docs: Option<&'static str>,
}

impl AgentRow {
    fn label(&self) -> String {
        let name = text::name(self.name.as_bytes());
        if self.default { format!("{name} (default)") } else { name }
    }

    fn place(&self, look: &Look) -> String {
        match &self.path {
            Some(path) => look.path(path),
            None if self.configured => "configured".to_owned(),
            None => "not on PATH".to_owned(),
        }
    }

    fn call(&self) -> String {
        match self.command.get(AgentCall::SCRIPT) {
            Some(script) if self.configured => text::one_line(&script.to_string()),
            _ => self.command.iter().map(text::argument).collect::<Vec<_>>().join(" "),
        }
    }
}

/// For people.
pub fn agents(rows: &[AgentRow], look: &Look) -> String {
    let widest = |cells: Vec<String>| {
        cells.iter().map(|cell| console::measure_text_width(cell)).max().unwrap_or_default()
    };
    let names = widest(rows.iter().map(AgentRow::label).collect());
    let places = widest(rows.iter().map(|row| row.place(look)).collect());
    let mut table = String::new();
    for row in rows {
        let mark = if row.found { Mark::Done } else { Mark::Waiting };
        let line = format!(
            "{} {}  {}  {}",
            look.paint(mark, look.glyph(mark)),
            pad(&row.label(), names),
            look.dim(&pad(&row.place(look), places)),
            row.call(),
        );
        table.push_str(&format!("{}\n", look.fit(&line, look.width)));
    }
    let first = rows.iter().find(|row| row.default && row.found).or(rows.iter().find(|row| row.found));
    let next = match first {
        Some(row) => format!("git parallel run -a {} TASK=PROMPT...", text::quote(&row.name.as_str().into())),
        None => "git config parallel.agent.NAME.cmd CMD".to_owned(),
    };
    match look.advice {
        true => format!("{table}\n{}", look.next_line(&next)),
        false => table,
    }
}

/// `agents --json`.
pub fn agents_json(rows: &[AgentRow]) -> Value {
    let entry = |row: &AgentRow| {
        json!({
            "name": row.name,
            "found": row.found,
            "path": row.path,
            "command": row.command,
            "title": row.title,
            "configured": row.configured,
            "default": row.default,
            "docs": row.docs,
        })
    };
    json!({ "version": 1, "agents": rows.iter().map(entry).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixture::look;
    use super::*;

    fn row(name: &str, path: Option<&str>, command: &[&str]) -> AgentRow {
        AgentRow {
            name: name.to_owned(),
            title: Some("An agent"),
            found: path.is_some(),
            path: path.map(Text::from),
            command: command.iter().map(|argument| Text::from(*argument)).collect(),
            configured: false,
            default: false,
            docs: Some("https://example.org"),
        }
    }

    fn sample() -> Vec<AgentRow> {
        let mut claude = row("claude", Some("/usr/bin/claude"), &["claude", "-p", "--", "{prompt}"]);
        claude.default = true;
        let mut mine = row("mine", None, &["sh", "-c", "my-agent \"$GIT_PARALLEL_PROMPT_FILE\"\n\x1b[2J"]);
        (mine.found, mine.configured, mine.title, mine.docs) = (true, true, None, None);
        vec![claude, mine, row("gemini", None, &["gemini", "--allow=a b", "--prompt={prompt}"])]
    }

    #[test]
    fn agents_are_a_table() {
        assert_snapshot!(agents(&sample(), &look()));
        let narrow = Look { unicode: false, color: true, width: 50, ..look() };
        assert_snapshot!(agents(&sample()[1..], &narrow).replace('\x1b', "ESC"));
        assert_snapshot!(agents(&sample()[2..], &look()));
    }

    #[test]
    fn json_is_as_the_manual_says() {
        assert_snapshot!(serde_json::to_string_pretty(&agents_json(&sample())).unwrap());
    }
}
