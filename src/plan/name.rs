//! Task names: `NAME` or `NAME=PROMPT` on the command line.

use std::collections::HashSet;

use crate::run::{AgentCall, TaskName, Text};

/// A task as it was asked for on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Its name.
    pub name: TaskName,
    /// Its own prompt.
    pub prompt: Option<String>,
    /// What a plan file says of it alone.
    pub own: Own,
}

/// What one task has otherwise than the run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Own {
    /// Tasks that must have landed before it starts.
    pub depends_on: Vec<TaskName>,
    /// Its agent.
    pub agent: Option<Wanted>,
    /// Names of agents that take its place, one after the other, if it can't be started.
    pub fallback: Vec<String>,
    /// The name of what runs its agent.
    pub runner: Option<String>,
    /// The group that it belongs to.
    pub group: Option<String>,
    /// See [`TaskSpec::stage`](crate::run::TaskSpec::stage).
    pub stage: Option<u32>,
    /// Pathspecs of what it is expected to change.
    pub touches: Vec<Text>,
    /// See [`TaskSpec::literal_from`](crate::run::TaskSpec::literal_from).
    pub literal_from: Option<usize>,
    /// What is run in its worktree before its agent, for `sh -c`.
    pub setup: Option<Text>,
    /// The commit that its branch starts from, as it was written.
    pub base: Option<String>,
    /// How long its agent may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How often its agent is started again if it fails.
    pub retries: Option<u32>,
    /// Environment variables for its agent.
    pub env: Vec<(String, Text)>,
}

impl Own {
    /// Whether the task waits until others have landed.
    pub fn waits(&self) -> bool {
        !self.depends_on.is_empty() || self.stage.is_some_and(|stage| stage > 0)
    }
}

/// The agent of one task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// The agent of this name.
    Name(String),
    /// This command.
    Call(AgentCall),
}

/// Longest task name in bytes: it becomes a file name and part of a ref.
const MAX_LEN: usize = 100;

/// Reads `NAME[=PROMPT]` arguments. Every problem is reported, one line each, and then nothing is
/// accepted.
pub fn parse_requests(arguments: &[String]) -> Result<Vec<Request>, Vec<String>> {
    let mut problems = Vec::new();
    let mut requests = Vec::new();
    for argument in arguments {
        let (name, prompt) = match argument.split_once('=') {
            Some((name, prompt)) => (name, Some(prompt.to_owned())),
            None => (argument.as_str(), None),
        };
        match check_name(name) {
            Ok(()) => requests.push(Request { name: name.into(), prompt, own: Own::default() }),
            Err(why) => problems.push(format!("bad task name '{}': {why}", name.escape_debug())),
        }
    }
    problems.extend(clashes(&requests).into_iter().map(|(_, what)| what));
    if problems.is_empty() { Ok(requests) } else { Err(problems) }
}

/// Each task once for each agent, so that their work can be compared: `auth-claude`, `auth-codex`. Every problem
/// is reported, one line each.
pub fn for_each_agent(requests: &[Request], agents: &[String]) -> Result<Vec<Request>, Vec<String>> {
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for request in requests {
        for agent in agents {
            let name = format!("{}-{agent}", request.name);
            match check_name(&name) {
                Ok(()) => {
                    let own = Own { agent: Some(Wanted::Name(agent.clone())), ..request.own.clone() };
                    all.push(Request { name: TaskName(name), prompt: request.prompt.clone(), own });
                }
                Err(why) => problems.push(format!("bad task name '{}': {why}", name.escape_debug())),
            }
        }
    }
    problems.extend(clashes(&all).into_iter().map(|(_, what)| what));
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

/// A name is one or more parts with `/` between them; a part starts with an ASCII letter or digit and
/// goes on with letters and digits of any script, `.`, `_` and `-`. What git refuses in a branch name
/// (`git help check-ref-format`) is refused here too.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > MAX_LEN {
        return Err("it is longer than 100 bytes");
    }
    name.split('/').try_for_each(check_part)
}

fn check_part(part: &str) -> Result<(), &'static str> {
    match part.chars().next() {
        None => return Err("'/' only stands between two parts"),
        Some(first) if !first.is_ascii_alphanumeric() => {
            return Err("each part starts with a letter (a to z) or a digit");
        }
        Some(_) => {}
    }
    if part.chars().any(|c| !c.is_alphanumeric() && !"._-".contains(c)) {
        return Err("only letters, digits, '.', '_', '-' and '/' between parts are allowed");
    }
    if part.contains("..") {
        return Err("git does not allow '..' in a branch name");
    }
    if part.ends_with('.') || part.to_ascii_lowercase().ends_with(".lock") {
        return Err("git does not allow a branch name that ends in '.' or '.lock'");
    }
    if part == "HEAD" {
        return Err("HEAD has a meaning of its own in git");
    }
    Ok(())
}

/// Names that stand twice, and names of which one is a folder of the other: git can't have both
/// `feat` and `feat/x` as branches, nor can a disk as worktrees. Each comes with the number of its request.
pub(super) fn clashes(requests: &[Request]) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    let mut seen = HashSet::new();
    let names: HashSet<&str> = requests.iter().map(|r| r.name.0.as_str()).collect();
    for (number, request) in requests.iter().enumerate() {
        let name = request.name.0.as_str();
        if !seen.insert(name) {
            problems.push((number, format!("task '{name}' is given twice")));
            continue;
        }
        let parents = name.match_indices('/').map(|(i, _)| &name[..i]);
        for parent in parents.filter(|parent| names.contains(parent)) {
            let what =
                format!("tasks '{parent}' and '{name}' can't both exist: one is a folder of the other");
            problems.push((number, what));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Vec<Request>, Vec<String>> {
        parse_requests(&arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn good_names_pass() {
        for name in ["a", "auth", "A-1", "0", "x.y_z", "fix/login-form", "aß", "a日本", &"x".repeat(100)] {
            assert!(parse(&[name]).is_ok(), "{name}");
        }
    }

    #[test]
    fn bad_names_are_refused() {
        let bad = [
            "",
            "$(touch x)",
            "a;b",
            "../x",
            "-x",
            ".git",
            "HEAD",
            "a..b",
            "x.lock",
            "X.LOCK",
            "a\nb",
            "a b",
            "a/",
            "/a",
            "a//b",
            "a/.b",
            "é",
            "a.",
            "a~1",
            "a:b",
            "a@{1}",
            "a\\b",
            "x/HEAD",
            "a\u{7f}",
            "`id`",
            &"x".repeat(101),
        ];
        for name in bad {
            assert!(parse(&[name]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let problems = parse(&["a;b", "ok", "ok", "feat/x", "feat", "-x"]).unwrap_err();
        insta::assert_snapshot!(problems.join("\n"), @r"
        bad task name 'a;b': only letters, digits, '.', '_', '-' and '/' between parts are allowed
        bad task name '-x': each part starts with a letter (a to z) or a digit
        task 'ok' is given twice
        tasks 'feat' and 'feat/x' can't both exist: one is a folder of the other
        ");
    }

    #[test]
    fn a_prompt_follows_the_first_equals_sign() {
        let requests = parse(&["a=say x=1; $(no)", "b", "c="]).unwrap();
        let prompts: Vec<_> = requests.iter().map(|r| r.prompt.as_deref()).collect();
        assert_eq!(prompts, [Some("say x=1; $(no)"), None, Some("")]);
    }
}
