//! What the configuration lets land: frozen when a run starts, since agents can write to it.

use super::Problem;
use crate::agents::UsagePatterns;
use crate::git::{self, Config, Repository};
use crate::plan;
use crate::run::{Gates, Oid, Regenerate, TaskSpec, Text};

/// What holds a finished task for a person.
pub(super) fn gates(
    repo: &Repository,
    config: &Config,
    base: Option<&Oid>,
    problems: &mut Vec<Problem>,
) -> Gates {
    let protected = config.all("parallel.protected");
    check_pathspecs(repo, base, "parallel.protected", &protected, problems);
    Gates { max_file_size: max_file_size(config, problems), protected }
}

/// How long a command may run that makes generated files anew, if the configuration does not say.
const REGENERATE_MS: u64 = 10 * 60 * 1000;

/// Files that are made anew instead of merged, in the order in which the configuration names them.
pub(super) fn regenerate(
    repo: &Repository,
    config: &Config,
    base: Option<&Oid>,
    problems: &mut Vec<Problem>,
) -> Vec<Regenerate> {
    let mut all = Vec::new();
    for name in config.subsections("parallel.regenerate.") {
        let key = |variable: &str| format!("parallel.regenerate.{name}.{variable}");
        let patterns = config.all(&key("pattern"));
        check_pathspecs(repo, base, &key("pattern"), &patterns, problems);
        let cmd = config.string(&key("cmd")).map(|cmd| cmd.to_string()).unwrap_or_default();
        let missing = match (patterns.is_empty(), cmd.trim().is_empty()) {
            (true, _) => Some(("pattern", "which files it makes")),
            (_, true) => Some(("cmd", "what makes them")),
            _ => None,
        };
        if let Some((variable, what)) = missing {
            let hint = format!("say {what}: git config {} ...", key(variable));
            problems.push(Problem::new(format!("'{}' is not set", key(variable)), hint));
        }
        let timeout = config.string(&key("timeout")).map(|text| text.to_string());
        let timeout = timeout.map(|text| (plan::parse_duration(&text), text));
        let timeout_ms = match timeout {
            None => REGENERATE_MS,
            Some((Ok(time), _)) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            Some((Err(why), text)) => {
                problems.push(bad(&key("timeout"), &text, &why));
                REGENERATE_MS
            }
        };
        all.push(Regenerate { name: name.to_owned(), patterns, cmd, timeout_ms });
    }
    all
}

/// Which ignored files new worktrees get. The configuration comes last, since in such a list the last
/// pattern that matches counts.
pub(super) fn include(repo: &Repository, config: &Config, problems: &mut Vec<Problem>) -> Vec<Text> {
    let mut patterns = git::include_file(repo).unwrap_or_else(|e| {
        let hint = format!("it holds patterns as in .gitignore; mend or remove {}", git::INCLUDE_FILE);
        problems.push(Problem::new(format!("{e:#}"), hint));
        Vec::new()
    });
    patterns.extend(config.all("parallel.include"));
    patterns
}

/// What finds in an agent's output what it used.
pub(super) fn usage_patterns(config: &Config, problems: &mut Vec<Problem>) -> Vec<Text> {
    let key = "parallel.usagePattern";
    let patterns = config.all(key);
    for (pattern, why) in UsagePatterns::new(&patterns).err().into_iter().flatten() {
        problems.push(bad(key, &pattern, &why));
    }
    patterns
}

fn max_file_size(config: &Config, problems: &mut Vec<Problem>) -> Option<u64> {
    let key = "parallel.maxFileSize";
    match config.int(key) {
        // As for git's own limits (receive.maxInputSize), 0 is none.
        Ok(None | Some(0)) => None,
        Ok(Some(size)) => u64::try_from(size)
            .map_err(|_| problems.push(bad(key, &size.to_string(), "it must be 0 or more, such as 10m")))
            .ok(),
        Err(e) => {
            problems.push(Problem::new(format!("{e:#}"), where_set()));
            None
        }
    }
}

/// The pathspecs that tasks are expected to touch are looked up in the base.
pub(super) fn check_touches(
    repo: &Repository,
    base: Option<&Oid>,
    tasks: &[TaskSpec],
    problems: &mut Vec<Problem>,
) {
    let Some(base) = base else { return };
    for task in tasks.iter().filter(|task| !task.touches.is_empty()) {
        if let Err(e) = git::check_pathspecs(repo, base, &task.touches) {
            let what = format!("task '{}': touches: {e:#}", task.name);
            problems.push(Problem::new(
                what,
                "a pathspec is a path from the top of the tree, or as gitglossary(7) has it",
            ));
        }
    }
}

fn check_pathspecs(
    repo: &Repository,
    base: Option<&Oid>,
    key: &str,
    pathspecs: &[Text],
    problems: &mut Vec<Problem>,
) {
    let Some(base) = base else { return };
    for pathspec in pathspecs {
        if let Err(e) = git::check_pathspecs(repo, base, std::slice::from_ref(pathspec)) {
            problems.push(bad(key, &pathspec.to_string(), &format!("{e:#}")));
        }
    }
}

pub(super) fn bad(key: &str, value: &str, why: &str) -> Problem {
    Problem::new(format!("bad value '{value}' for '{key}': {why}"), where_set())
}

fn where_set() -> &'static str {
    "see where it is set: git config --list --show-origin"
}
