//! What the configuration lets land: frozen when a run starts, since agents can write to it.

use super::Problem;
use crate::git::{self, Config, Repository};
use crate::run::{Gates, Oid, Text};

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

fn bad(key: &str, value: &str, why: &str) -> Problem {
    Problem::new(format!("bad value '{value}' for '{key}': {why}"), where_set())
}

fn where_set() -> &'static str {
    "see where it is set: git config --list --show-origin"
}
