//! Merges off to the side: no checkout is touched, no ref moves.

use anyhow::{Context, Result, anyhow};

use super::command::split_nul;
use super::foretell::conflict_paths;
use super::refs::{merge_bases, parse_oid};
use super::{Repository, counted, trivial};
use crate::run::{Oid, Text};

/// What git says to a merge, before anything is made of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The target has it all already.
    UpToDate,
    /// The branch has all that the target has.
    Ahead,
    /// It comes to this tree.
    Clean(Oid),
    /// These paths collide.
    Conflicts(Vec<Text>),
    /// There is no sensible merge, for this reason.
    Refused(String),
}

/// How much differs between two trees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Files.
    pub files: u32,
    /// Lines added; those of binary files are not counted.
    pub insertions: u64,
    /// Lines deleted.
    pub deletions: u64,
}

/// Merges `tip` into `onto`: in this process where no engine is needed (see [`super::trivial`]), else with git's
/// own (`git merge-tree --write-tree`), under the user's configuration and the attributes of `onto`. Nothing but
/// objects is written.
///
/// # Errors
/// If git fails.
pub(super) fn verdict(repo: &Repository, onto: &Oid, tip: &Oid) -> Result<Verdict> {
    let bases = merge_bases(repo, onto, tip)?;
    if let Some(verdict) = by_bases(&bases, onto, tip) {
        return Ok(verdict);
    }
    if let [base] = &bases[..]
        && let Some(tree) = trivial::merge(repo, base, onto, tip)
    {
        return Ok(Verdict::Clean(tree));
    }
    Ok(match merge_tree(repo, onto, None, tip)? {
        Ok(tree) => Verdict::Clean(tree),
        Err(paths) => Verdict::Conflicts(paths),
    })
}

/// The verdict where the shape of history tells it; `None` where the files have to be merged.
///
/// # Errors
/// If history can't be read.
pub(super) fn by_history(repo: &Repository, onto: &Oid, tip: &Oid) -> Result<Option<Verdict>> {
    Ok(by_bases(&merge_bases(repo, onto, tip)?, onto, tip))
}

fn by_bases(bases: &[Oid], onto: &Oid, tip: &Oid) -> Option<Verdict> {
    if onto == tip || bases.contains(tip) {
        Some(Verdict::UpToDate)
    } else if bases.is_empty() {
        let reason = format!("{} and {} have no history in common", tip.short(), onto.short());
        Some(Verdict::Refused(reason))
    } else {
        bases.contains(onto).then_some(Verdict::Ahead)
    }
}

/// Applies to `onto` what `commit` changes against `parent`, as `git cherry-pick` does: the tree that comes
/// of it, or the paths that collide. Needs git 2.40.
///
/// # Errors
/// If git fails.
pub(super) fn pick(
    repo: &Repository,
    onto: &Oid,
    parent: &Oid,
    commit: &Oid,
) -> Result<Result<Oid, Vec<Text>>> {
    merge_tree(repo, onto, Some(parent), commit)
}

pub(super) fn merge_tree(
    repo: &Repository,
    onto: &Oid,
    base: Option<&Oid>,
    tip: &Oid,
) -> Result<Result<Oid, Vec<Text>>> {
    // Attributes (merge drivers, eol) are read from a checkout, and here is none.
    let git = repo.git().env("GIT_ATTR_SOURCE", onto.as_str());
    let git = git.args(["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"]);
    let git = git.args(base.map(|base| format!("--merge-base={base}")));
    let output = git.args([onto.as_str(), tip.as_str()]).output()?;
    let mut fields = split_nul(&output.stdout);
    match output.code {
        Some(0) => Ok(Ok(parse_oid(fields.next().context("git merge-tree gave no tree")?)?)),
        Some(1) => Ok(Err(conflict_paths(fields.skip(1), [onto, tip]))),
        _ => Err(output.to_error("merge-tree").into()),
    }
}

/// The tree of a commit.
///
/// # Errors
/// If the commit can't be read.
pub fn tree_of(repo: &Repository, commit: &Oid) -> Result<Oid> {
    let gix = repo.gix();
    let found = gix.find_commit(Repository::gix_id(commit)?);
    let tree = found.and_then(|commit| Ok(commit.tree_id()?.detach()));
    let tree = tree.map_err(|e| anyhow!("cannot read the commit {commit}: {e:#}"))?;
    parse_oid(tree.to_string().as_bytes())
}

/// Paths that differ between two commits or trees, without looking for renames.
///
/// # Errors
/// If git can't tell.
pub fn changed_paths(repo: &Repository, from: &Oid, to: &Oid) -> Result<Vec<Text>> {
    let git = repo.git().args(["diff-tree", "-r", "-z", "--no-renames", "--name-only"]);
    git.args([from.as_str(), to.as_str()]).entries()
}

/// How much differs between two commits or trees; renames are found as `git diff --stat` does.
///
/// # Errors
/// If git can't tell.
pub fn diff_stat(repo: &Repository, from: &Oid, to: &Oid) -> Result<Stat> {
    match counted::count(repo, from, to) {
        Some(stat) => Ok(stat),
        None => diff_stat_by_git(repo, from, to),
    }
}

pub(super) fn diff_stat_by_git(repo: &Repository, from: &Oid, to: &Oid) -> Result<Stat> {
    let git = repo.git().env("GIT_ATTR_SOURCE", to.as_str());
    let output = git.args(["diff-tree", "-r", "-z", "-M", "--numstat", from.as_str(), to.as_str()]).ok()?;
    let mut stat = Stat::default();
    // `added TAB deleted TAB path NUL`, or `added TAB deleted TAB NUL old NUL new NUL`; `-` for binary.
    for entry in split_nul(&output) {
        let mut fields = entry.splitn(3, |&byte| byte == b'\t');
        let (Some(added), Some(deleted), Some(_)) = (fields.next(), fields.next(), fields.next()) else {
            continue; // the two names of a rename
        };
        let count = |field: &[u8]| String::from_utf8_lossy(field).parse::<u64>();
        if added != b"-" && count(added).is_err() {
            continue; // a name with tabs in it
        }
        stat.files += 1;
        stat.insertions += count(added).unwrap_or(0);
        stat.deletions += count(deleted).unwrap_or(0);
    }
    Ok(stat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    #[test]
    fn differences_are_counted() {
        let sandbox = Sandbox::new();
        let base = sandbox.oid("HEAD");
        let script = "git mv README 'new name'; printf '\\0' >bin; printf 'a\\nb\\n' >t; printf x >'1\t2\t3'";
        let changed = sandbox.commit_aside(&base, script);
        let repo = sandbox.repository();
        let stat = diff_stat(&repo, &base, &changed).unwrap();
        assert_eq!(stat, Stat { files: 4, insertions: 3, deletions: 0 });
        let paths = changed_paths(&repo, &base, &changed).unwrap();
        assert_eq!(paths, ["1\t2\t3", "README", "bin", "new name", "t"].map(Text::from));
    }
}
