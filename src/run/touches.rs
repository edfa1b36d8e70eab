//! Which tasks may change the same paths while both are at work, told before any of them starts from the
//! pathspecs that they are expected to touch.

use std::collections::BTreeSet;

use super::{TaskName, TaskSpec, Text};

/// A pathspec of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touch {
    /// As it was written.
    pub pathspec: Text,
    /// The files of the base that it matches, in order.
    pub files: Vec<Text>,
}

/// Two tasks that may change the same paths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The tasks, in the order they were given.
    pub tasks: [TaskName; 2],
    /// The paths: files, or what the narrower pathspec says.
    pub paths: Vec<Text>,
}

/// The pairs of tasks that touch the same and of which none waits for the other, in order. `touches` are those
/// of each task; those that are not started count for nothing.
pub fn expected(tasks: &[TaskSpec], touches: &[Vec<Touch>]) -> Vec<Expected> {
    let touching: Vec<usize> = (0..tasks.len())
        .filter(|&i| !tasks[i].skip && touches.get(i).is_some_and(|t| !t.is_empty()))
        .collect();
    let before: Vec<Vec<bool>> = touching.iter().map(|&i| waits_for(tasks, i)).collect();
    let mut pairs = Vec::new();
    for (at, &i) in touching.iter().enumerate() {
        for (next, &j) in touching.iter().enumerate().skip(at + 1) {
            if before[at][j] || before[next][i] {
                continue;
            }
            let paths = common(&touches[i], &touches[j]);
            if !paths.is_empty() {
                pairs.push(Expected { tasks: [tasks[i].name.clone(), tasks[j].name.clone()], paths });
            }
        }
    }
    pairs
}

/// For each task whether `task` waits for it, be it through others.
fn waits_for(tasks: &[TaskSpec], task: usize) -> Vec<bool> {
    let mut found = vec![false; tasks.len()];
    let mut open = vec![task];
    // All of lower stages are in already.
    let mut below = 0;
    while let Some(next) = open.pop() {
        let stage = tasks[next].stage.unwrap_or(0).max(below);
        let lower = |i: usize| tasks[i].stage.is_some_and(|own| own >= below && own < stage);
        let needed = |i: usize| tasks[next].depends_on.contains(&tasks[i].name);
        for i in (0..tasks.len()).filter(|&i| lower(i) || needed(i)) {
            if !found[i] {
                found[i] = true;
                open.push(i);
            }
        }
        below = stage;
    }
    found
}

/// What both touch, without what stands below something else of it.
fn common(ours: &[Touch], theirs: &[Touch]) -> Vec<Text> {
    let all: BTreeSet<Text> =
        ours.iter().flat_map(|one| theirs.iter().flat_map(|two| shared(one, two))).collect();
    let is_below =
        |path: &Text| all.iter().any(|other| other != path && holds(trimmed(other), trimmed(path)));
    all.iter().filter(|path| !is_below(path)).cloned().collect()
}

fn shared(one: &Touch, two: &Touch) -> Vec<Text> {
    if one.files.is_empty() || two.files.is_empty() {
        // What is not there yet will be where the pathspec says.
        let (Some(first), Some(second)) = (place(&one.pathspec), place(&two.pathspec)) else {
            return Vec::new();
        };
        return match (holds(first, second), holds(second, first)) {
            (true, _) => vec![two.pathspec.clone()],
            (_, true) => vec![one.pathspec.clone()],
            _ => Vec::new(),
        };
    }
    let other: BTreeSet<&Text> = two.files.iter().collect();
    let both: Vec<Text> = one.files.iter().filter(|file| other.contains(file)).cloned().collect();
    let whole = |touch: &Touch| both.len() == touch.files.len() && is_literal(&touch.pathspec);
    match (whole(two), whole(one)) {
        _ if both.is_empty() => both,
        (true, _) => vec![two.pathspec.clone()],
        (_, true) => vec![one.pathspec.clone()],
        _ => both,
    }
}

/// Whether `path` is `directory`, or in it; the empty path is the top.
fn holds(directory: &[u8], path: &[u8]) -> bool {
    directory.is_empty()
        || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// The path, or the directory that all a pathspec matches is in; none for one that excludes, or has magic.
fn place(pathspec: &Text) -> Option<&[u8]> {
    let bytes: &[u8] = pathspec.as_bstr();
    if bytes.starts_with(b":") {
        return None;
    }
    match bytes.iter().position(|byte| WILD.contains(byte)) {
        None => Some(trimmed(pathspec)),
        Some(wild) => Some(
            bytes[..wild].iter().rposition(|byte| *byte == b'/').map_or(&bytes[..0], |end| &bytes[..end]),
        ),
    }
}

const WILD: &[u8] = b"*?[\\";

fn is_literal(pathspec: &Text) -> bool {
    let bytes: &[u8] = pathspec.as_bstr();
    !bytes.starts_with(b":") && !bytes.iter().any(|byte| WILD.contains(byte))
}

fn trimmed(path: &Text) -> &[u8] {
    let bytes: &[u8] = path.as_bstr();
    let bytes = bytes.strip_prefix(b"./").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
    if bytes == b"." { b"" } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::fixture::spec;

    /// What pathspecs match in a small tree, as far as these tests need it.
    fn touch(pathspec: &str) -> Touch {
        let tree = ["src/db.rs", "src/schema/a.sql", "src/schema/b.sql", "web/app.js"];
        let files = tree.iter().filter(|file| match pathspec.strip_suffix("*.sql") {
            Some(dir) => file.starts_with(dir) && file.ends_with(".sql"),
            None => pathspec == "." || holds(trimmed(&pathspec.into()), file.as_bytes()),
        });
        Touch { pathspec: pathspec.into(), files: files.map(|file| Text::from(*file)).collect() }
    }

    fn both(ours: &[&str], theirs: &[&str]) -> Vec<String> {
        let touches = [ours, theirs].map(|specs| specs.iter().map(|spec| touch(spec)).collect::<Vec<_>>());
        let told = |ours, theirs| common(ours, theirs).iter().map(Text::to_string).collect::<Vec<_>>();
        let found = told(&touches[0], &touches[1]);
        assert_eq!(found.len(), told(&touches[1], &touches[0]).len());
        found
    }

    #[test]
    fn what_two_pathspecs_share_is_told_by_the_narrower() {
        assert_eq!(both(&["src/db.rs"], &["src/db.rs"]), ["src/db.rs"]);
        assert_eq!(both(&["src/"], &["src/schema/", "src/db.rs"]), ["src/db.rs", "src/schema/"]);
        assert_eq!(both(&["src/*.sql"], &["src/schema/"]), ["src/schema/"]);
        assert_eq!(both(&["src/*.sql"], &["src"]), ["src/schema/a.sql", "src/schema/b.sql"]);
        assert_eq!(both(&["src", "src/schema/a.sql"], &["."]), ["src"]);
        assert!(both(&["src/db.rs"], &["src/schema/", "web"]).is_empty());
        assert!(both(&["src"], &["sr"]).is_empty());
    }

    #[test]
    fn what_is_not_there_yet_is_a_path() {
        assert_eq!(both(&["new/a.rs"], &["new/"]), ["new/a.rs"]);
        assert_eq!(both(&["new"], &["new/*.sql"]), ["new/*.sql"]);
        assert_eq!(both(&["src/new.rs"], &["src"]), ["src/new.rs"]);
        assert!(both(&["new/a"], &["new/b"]).is_empty());
        assert!(both(&["new/a"], &[":!new"]).is_empty());
    }

    #[test]
    fn only_tasks_that_may_be_at_work_at_once_collide() {
        let pairs = |change: &dyn Fn(&mut [TaskSpec])| {
            let mut tasks = spec(&["a", "b", "c", "d"]).tasks;
            change(&mut tasks);
            let touches = vec![vec![touch("src")]; 4];
            let found = expected(&tasks, &touches);
            found.iter().map(|e| e.tasks.each_ref().map(|name| name.0.clone()).concat()).collect::<Vec<_>>()
        };
        assert_eq!(pairs(&|_| {}), ["ab", "ac", "ad", "bc", "bd", "cd"]);
        // A chain, and one beside it.
        let chain = |tasks: &mut [TaskSpec]| {
            tasks[1].depends_on = vec!["a".into()];
            tasks[2].depends_on = vec!["b".into()];
        };
        assert_eq!(pairs(&chain), ["ad", "bd", "cd"]);
        let stages = |tasks: &mut [TaskSpec]| {
            (tasks[0].stage, tasks[1].stage, tasks[2].stage) = (Some(1), Some(0), Some(1));
        };
        assert_eq!(pairs(&stages), ["ac", "ad", "bd", "cd"]);
        // What depends on a task of a stage waits for all before it.
        let both = |tasks: &mut [TaskSpec]| {
            stages(tasks);
            tasks[3].depends_on = vec!["c".into()];
        };
        assert_eq!(pairs(&both), ["ac", "ad"]);
        assert_eq!(pairs(&|tasks| tasks[0].skip = true), ["bc", "bd", "cd"]);
    }
}
