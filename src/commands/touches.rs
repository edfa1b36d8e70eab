//! Where tasks are expected to collide: their pathspecs, looked up in the base.

use std::collections::HashMap;

use anyhow::Result;

use crate::git::{self, Repository};
use crate::run::{Expected, RunSpec, TaskSpec, Text, Touch, expected};

/// The pairs of tasks that may change the same paths while both are at work.
pub fn expected_in(repo: &Repository, spec: &RunSpec) -> Result<Vec<Expected>> {
    let mut known = HashMap::new();
    let touches = spec.tasks.iter().map(|task| touches(repo, spec, task, &mut known));
    let touches = touches.collect::<Result<Vec<_>>>()?;
    Ok(expected(&spec.tasks, &touches))
}

/// What each of a task's pathspecs matches; those that exclude are heeded by the others.
fn touches(
    repo: &Repository,
    spec: &RunSpec,
    task: &TaskSpec,
    known: &mut HashMap<Vec<Text>, Vec<Text>>,
) -> Result<Vec<Touch>> {
    let (except, wanted): (Vec<&Text>, Vec<&Text>) = task.touches.iter().partition(|text| excludes(text));
    let mut touches = Vec::with_capacity(wanted.len());
    for pathspec in wanted {
        let all: Vec<Text> = std::iter::once(pathspec).chain(except.iter().copied()).cloned().collect();
        let files = match known.get(&all) {
            Some(files) => files.clone(),
            None => {
                let files = git::tree_matching(repo, &spec.base, &all)?;
                known.insert(all, files.clone());
                files
            }
        };
        touches.push(Touch { pathspec: pathspec.clone(), files });
    }
    Ok(touches)
}

/// Whether a pathspec takes paths out: `:!x`, `:^x` or `:(exclude)x`.
fn excludes(pathspec: &Text) -> bool {
    let Some(magic) = pathspec.as_bstr().strip_prefix(b":") else { return false };
    let long = || {
        let words = magic.strip_prefix(b"(")?.split(|byte| *byte == b')').next()?;
        Some(words.split(|byte| *byte == b',').any(|word| word == b"exclude"))
    };
    let short = magic.iter().take_while(|byte| !byte.is_ascii_alphanumeric() && **byte != b'(');
    long().unwrap_or_else(|| short.clone().any(|byte| matches!(byte, b'!' | b'^')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pathspecs_that_exclude_are_known() {
        for pathspec in [":!x", ":^x", ":/!x", ":(exclude)x", ":(icase,exclude)*.md"] {
            assert!(excludes(&pathspec.into()), "{pathspec}");
        }
        for pathspec in ["x", "!x", ":/x", ":(glob)!x", ":(top)x", "x/^"] {
            assert!(!excludes(&pathspec.into()), "{pathspec}");
        }
    }
}
