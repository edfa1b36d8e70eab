//! The report for a document: a pull request, a wiki.

use super::super::look::Look;
use super::super::words;
use super::Report;
use super::facts::{self, Fact};

pub(super) fn markdown(report: &Report, look: &Look) -> String {
    let (run, spec) = (report.run, &report.run.spec);
    let (state, next) = facts::state(report);
    let ended = run.finished_at.map(|end| format!(", ended {}", look.date(end))).unwrap_or_default();
    let mut text = format!("# Run {}\n\n{}. ", escaped(&spec.id.0), escaped(&capital(&state)));
    let count = words::count_of(&run.tasks, "task");
    let target = escaped(&words::name(&spec.target));
    text.push_str(&format!(
        "{count} to land on {target}, started {}{ended}.\n\n",
        look.date(spec.started_at)
    ));
    if let Some(next) = next {
        text.push_str(&format!("To do: {}\n\n", code(next)));
    }
    text.push_str("| | |\n| --- | --- |\n");
    for fact in facts::of_run(report, look) {
        text.push_str(&format!("| {} | {} |\n", capital(fact.label), escaped(&fact.text)));
    }
    text.push_str("\n## Tasks\n");
    for entry in report.entries(look) {
        text.push_str(&format!("\n### {}: {}\n\n", escaped(&entry.name), entry.state));
        for Fact { label, text: words, literal } in &entry.facts {
            let words = if *literal { code(words) } else { escaped(words) };
            text.push_str(&format!("- {}: {words}\n", capital(label)));
        }
        for (what, lines) in &entry.ends {
            text.push_str(&format!("\n{what}:\n\n{}", block(lines)));
        }
    }
    let merges = report.merges();
    if !merges.is_empty() {
        text.push_str(&format!(
            "\n## On {target}, in this order\n\n| time | commit | task | how |\n| --- | --- | --- | --- |\n"
        ));
    }
    for merge in merges {
        let (at, commit) = (look.time(merge.at), merge.landing.commit.short());
        let (task, how) = (escaped(&words::task(merge.task.name())), escaped(&merge.words()));
        text.push_str(&format!("| {at} | {commit} | {task} | {how} |\n"));
    }
    text
}

pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Text that means itself, whatever it holds, also in a table.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // An address or a mention would become a link, a number an issue's.
            '@' | '#' => escaped.push_str(&format!("&#{};", c as u32)),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// A fence that is longer than any in the text.
fn fence(text: &str, least: usize) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(least.max(longest + 1))
}

fn code(text: &str) -> String {
    let fence = fence(text, 1);
    let pad = if text.contains('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn block(lines: &[String]) -> String {
    let text = lines.join("\n");
    let fence = fence(&text, 3);
    format!("{fence}text\n{text}\n{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_means_itself() {
        assert_eq!(
            escaped("a|b <img> [x](y) `c` @ann #1"),
            "a\\|b &lt;img&gt; \\[x\\](y) \\`c\\` &#64;ann &#35;1"
        );
        assert_eq!(code("a`b"), "`` a`b ``");
        assert_eq!(block(&["```".to_owned(), "x".to_owned()]), "````text\n```\nx\n````\n");
    }
}
