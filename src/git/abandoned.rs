//! Commits that an agent made and left behind: amended, rebased or reset away. Only its worktree's reflog
//! knows them, and that goes with the worktree.

use std::path::Path;

use anyhow::{Context, Result};

use super::Repository;
use super::refs::{is_ancestor, parse_oid, reflog_of_head};
use crate::run::Oid;

/// Makes a commit that has for its parents what the HEAD of a linked worktree was once on and none of
/// `kept` has: with it, all of that stays reachable. `None` if there is no such commit.
///
/// # Errors
/// If the reflog or the history can't be read.
pub fn abandoned(repo: &Repository, admin_dir: &Path, kept: &[&Oid]) -> Result<Option<Oid>> {
    let mut heads: Vec<Oid> = Vec::new();
    for id in reflog_of_head(admin_dir)? {
        // A commit that was garbage collected, or is no commit at all, can't be kept.
        let known = |other: &Oid| *other == id || is_ancestor(repo, &id, other).unwrap_or(true);
        if !heads.iter().any(known) && !kept.iter().any(|kept| known(kept)) {
            heads.push(id);
        }
    }
    let Some(first) = heads.first() else { return Ok(None) };
    let mut git = repo.git().args(["commit-tree", "-F", "-"]).arg(format!("{first}^{{tree}}"));
    for head in &heads {
        git = git.args(["-p", head.as_str()]);
    }
    let commit =
        git.stdin("Commits that were left behind\n").ok().context("cannot keep what was left behind")?;
    Ok(Some(parse_oid(&commit)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{Sandbox, git_in};

    #[test]
    fn what_was_amended_or_reset_away_is_kept() {
        let sandbox = Sandbox::new();
        let path = sandbox.root().join("a");
        sandbox.git(&["worktree", "add", "-q", "-b", "a", path.to_str().unwrap()]);
        let commit = |message: &str, more: &[&str]| {
            git_in(&path, &[&["commit", "-q", "--allow-empty", "-m", message], more].concat());
            Oid::try_from(git_in(&path, &["rev-parse", "HEAD"])).unwrap()
        };
        let admin = sandbox.repo.join(".git/worktrees/a");
        let repo = sandbox.repository();
        let kept = commit("kept", &[]);
        assert_eq!(abandoned(&repo, &admin, &[&kept]).unwrap(), None);
        let first = commit("first", &[]);
        let second = commit("second", &[]);
        git_in(&path, &["reset", "-q", "--hard", kept.as_str()]);
        let third = commit("third", &[]);
        let amended = commit("amended", &["--amend"]);
        let pin = abandoned(&repo, &admin, &[&amended]).unwrap().unwrap();
        for lost in [&first, &second, &third] {
            assert!(is_ancestor(&repo, lost, &pin).unwrap(), "{lost}");
        }
        let parents = git_in(&path, &["show", "-s", "--format=%P", pin.as_str()]);
        assert_eq!(parents, format!("{third} {second}"), "no more than is needed");
        assert_eq!(abandoned(&repo, &admin, &[&amended, &pin]).unwrap(), None);
    }
}
