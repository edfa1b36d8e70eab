//! Console blocks in Markdown: reading them, and comparing what they say with what is printed.

use crate::sandbox::Sandbox;

/// A command of a console block, and what it prints. A `$` that stands below an empty line is output; lines that
/// begin with `> ` right below a command are its further lines.
pub struct Example {
    pub command: String,
    pub output: Vec<String>,
}

pub fn examples(readme: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let (mut inside, mut above) = (false, "");
    for line in readme.lines() {
        let below_gap = std::mem::replace(&mut above, line).is_empty();
        match line.strip_prefix("```") {
            Some(kind) => inside = kind == "console",
            None if !inside => {}
            None => match (line.strip_prefix("$ ").filter(|_| !below_gap), examples.last_mut()) {
                (Some(command), _) => {
                    examples.push(Example { command: command.to_owned(), output: Vec::new() });
                }
                (None, Some(last)) => match further(line).filter(|_| last.output.is_empty()) {
                    Some(more) => last.command = format!("{}\n{more}", last.command),
                    None => last.output.push(line.to_owned()),
                },
                (None, None) => panic!("a console block begins without a command: {line}"),
            },
        }
    }
    examples
}

/// A further line of a command; an empty one has no blank at its end.
fn further(line: &str) -> Option<&str> {
    if line == ">" { Some("") } else { line.strip_prefix("> ") }
}

/// A line without what differs from one time to the next. `None`: a line that need not be there.
fn scrub(line: &str) -> Option<String> {
    if line.trim_start().starts_with("PATH=") {
        return None;
    }
    let line = match line.split_once(" (one after the other:") {
        Some((before, _)) => before,
        None => line,
    };
    let line = match line.split_once("(pid ") {
        Some((before, _)) => format!("{before}(pid N)"),
        None => line.to_owned(),
    };
    Some(line.split_whitespace().map(scrub_word).collect::<Vec<_>>().join(" "))
}

fn scrub_word(word: &str) -> String {
    if let Some((_, rest)) = word.split_once("git-parallel-demo-") {
        return format!("DEMO{}", rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric()));
    }
    let (start, end) = (word.trim_start_matches(['(', '[', '\'']), [')', ']', ',', ':', '.', '\'']);
    let core = start.trim_end_matches(end);
    let (before, after) = (&word[..word.len() - start.len()], &start[core.len()..]);
    if core.contains('/') {
        let parts: Vec<String> = core.split('/').map(scrub_word).collect();
        return format!("{before}{}{after}", parts.join("/"));
    }
    if let Some((from, to)) = core.split_once("..").filter(|(from, to)| !from.is_empty() && !to.is_empty()) {
        return format!("{before}{}..{}{after}", scrub_word(from), scrub_word(to));
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let parts: Vec<&str> = core.split('-').collect();
    let times: Vec<&str> = core.split(':').collect();
    let core = if core.len() >= 7 && core.bytes().all(|b| b.is_ascii_hexdigit()) {
        "HASH"
    } else if core.strip_suffix('s').is_some_and(digits) {
        "SECONDS"
    } else if times.len() == 3 && times.iter().all(|part| digits(part)) {
        "TIME"
    } else if parts.len() == 3 && digits(parts[0]) && digits(parts[1]) {
        if parts[2].len() == 4 { "RUN" } else { "DATE" }
    } else {
        core
    };
    format!("{before}{core}{after}")
}

/// The lines, scrubbed; agents that start at once are told in any order.
pub fn scrubbed<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut lines: Vec<String> = lines.filter_map(scrub).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.chunk_by_mut(|a, b| [a, b].iter().all(|line| line.contains("started (pid"))).for_each(<[_]>::sort);
    lines
}

#[test]
fn what_differs_from_time_to_time_is_scrubbed() {
    for (line, scrubbed) in [
        ("[16:13:30] docs: started (pid 17050)", "[TIME] docs: started (pid N)"),
        ("2 landed in 1.2s (one after the other: 1s, 1.9x)", "2 landed in SECONDS"),
        ("| * df88f9f Write a guide", "| * HASH Write a guide"),
        ("run 20261120-160937-a6bm: finished 2026-11-20", "run RUN: finished DATE"),
        ("cd /tmp/git-parallel-demo-UKRBoA/shop", "cd DEMO/shop"),
        ("git revert 1d0e6b2..64c8f5a", "git revert HASH..HASH"),
        ("log runs/20261120-160937-a6bm/verify/7221637/output.log", "log runs/RUN/verify/HASH/output.log"),
        ("3 files +40 -2", "3 files +40 -2"),
    ] {
        assert_eq!(scrub(line).as_deref(), Some(scrubbed));
    }
}

/// Runs the examples of a document in their order, each behind the `prelude`: they print what it says.
pub fn run_all(sandbox: &Sandbox, text: &str, prelude: &str) {
    let examples = examples(text);
    assert!(examples.len() > 20, "{}", examples.len());
    let home = sandbox.path("home");
    let mut dir = home.clone();
    for example in examples {
        if let Some(to) = example.command.strip_prefix("cd ") {
            dir = dir.join(to);
            continue;
        }
        let mut shell = sandbox.command("sh");
        shell.args(["-c", &format!("{prelude} {{ {}\n}} 2>&1", example.command)]).current_dir(&dir);
        let output = shell.env("LC_ALL", "C").output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap().replace(home.to_str().unwrap(), "/home/ann");
        let expected = scrubbed(example.output.iter().map(String::as_str));
        assert_eq!(scrubbed(output.lines()), expected, "$ {}\n{output}", example.command);
    }
}
