//! Whose doing it was that a branch or a tag moved, as far as git's own records tell.

use std::path::Path;

use anyhow::Result;
use bstr::ByteSlice;

use super::Repository;
use super::refs::{list, parse_oid, reflog_of_head};
use crate::run::{Oid, Text};

/// Shows all branches and tags in their order, and what they point to; an annotated tag points to a tag.
///
/// # Errors
/// If they can't be read.
pub fn branches_and_tags(repo: &Repository, mut see: impl FnMut(&Text, &Oid)) -> Result<()> {
    repo.listed().look(&repo.common_dir, &mut see)
}

/// The commit that an object stands for: itself, or what a tag is of.
pub fn commit_of(repo: &Repository, object: &Oid) -> Option<Oid> {
    let gix = repo.gix();
    let commit = gix.find_object(Repository::gix_id(object).ok()?).ok()?.peel_to_commit().ok()?;
    parse_oid(commit.id.to_string().as_bytes()).ok()
}

/// Whether the repository still has an object. git is asked: gix may hold a pack open that was deleted.
pub fn has_object(repo: &Repository, object: &Oid) -> bool {
    let asked = repo.git().args(["cat-file", "-e", object.as_str()]).output();
    asked.is_ok_and(|output| output.code == Some(0))
}

/// All that the HEAD of the worktree with this git directory was ever on, by its reflog, the latest first.
/// Empty without one.
pub fn history_of_head(git_dir: &Path) -> Vec<Oid> {
    reflog_of_head(git_dir).unwrap_or_default()
}

/// Whether the HEAD of the worktree with this git directory came to the commit, or left it, at this time or
/// later (seconds since 1970). Where it only followed a landing does not count.
pub fn head_was_on(git_dir: &Path, commit: &Oid, since: i64) -> bool {
    let log = std::fs::read(git_dir.join("logs/HEAD")).unwrap_or_default();
    // `<old id> SP <new id> SP <who> SP <seconds> SP <zone> TAB <why>` (gitrepository-layout(5))
    log.split(|&byte| byte == b'\n').any(|line| {
        let (line, why) = line.split_once_str("\t").unwrap_or((line, b""));
        if why.starts_with(b"parallel: ") {
            return false;
        }
        let mut ids = line.split(|&byte| byte == b' ').take(2);
        let time = line.rsplit(|&byte| byte == b' ').nth(1).and_then(|time| time.to_str().ok()?.parse().ok());
        ids.any(|id| id == commit.as_str().as_bytes()) && time.is_some_and(|time: i64| time >= since)
    })
}

/// Whether the ref got its present value by a fetch or a push, by its reflog.
pub fn was_transferred(repo: &Repository, name: &Text) -> bool {
    let log = std::fs::read(repo.common_dir.join("logs").join(name.as_path())).unwrap_or_default();
    let last = log.trim_ascii_end().rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let why = last.split_once_str("\t").map_or(&b""[..], |(_, why)| why);
    [&b"fetch"[..], b"pull", b"push"].iter().any(|verb| why.starts_with(verb))
}

/// Whether a commit was fetched: a remote-tracking branch is on it, or the `FETCH_HEAD` of one of the worktrees
/// with these git directories names it.
pub fn was_fetched(repo: &Repository, commit: &Oid, git_dirs: &[&Path]) -> bool {
    let fetched = |git_dir: &&Path| {
        std::fs::read(git_dir.join("FETCH_HEAD")).is_ok_and(|text| text.find(commit.as_str()).is_some())
    };
    git_dirs.iter().any(fetched)
        || list(repo, "refs/remotes/").is_ok_and(|refs| refs.iter().any(|(_, tip)| tip == commit))
}

/// Whether some branch, tag or remote-tracking branch has the commit in its history.
///
/// # Errors
/// If git can't tell.
pub fn is_on_a_ref(repo: &Repository, commit: &Oid) -> Result<bool> {
    let git = repo.git().args(["for-each-ref", "--count=1", "--format=%(refname)"]);
    let git = git.arg(format!("--contains={commit}")).args(["refs/heads/", "refs/tags/", "refs/remotes/"]);
    Ok(!git.ok()?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    #[test]
    fn reflogs_tell_when_head_was_where() {
        let sandbox = Sandbox::new();
        let (first, git_dir) = (sandbox.oid("HEAD"), sandbox.repo.join(".git"));
        let second = sandbox.commit("second\twith a tab");
        assert_eq!(history_of_head(&git_dir), [second.clone(), first.clone()]);
        for commit in [&first, &second] {
            assert!(head_was_on(&git_dir, commit, 1_700_000_000));
            assert!(!head_was_on(&git_dir, commit, 1_700_000_001));
        }
        assert!(!head_was_on(sandbox.root(), &first, 0));
    }

    #[test]
    fn tags_stand_for_commits() {
        let sandbox = Sandbox::new();
        sandbox.git(&["tag", "-a", "-m", "v1", "v1"]);
        sandbox.git(&["tag", "tree", "HEAD^{tree}"]);
        let repo = sandbox.repository();
        let (head, tag) = (sandbox.oid("HEAD"), sandbox.oid("v1"));
        assert_eq!(commit_of(&repo, &tag), Some(head.clone()));
        assert_eq!(commit_of(&repo, &head), Some(head.clone()));
        assert_eq!(commit_of(&repo, &sandbox.oid("tree")), None);
        let mut names = Vec::new();
        branches_and_tags(&repo, |name, _| names.push(name.to_string())).unwrap();
        assert_eq!(names, ["refs/heads/main", "refs/tags/tree", "refs/tags/v1"]);
        assert!(is_on_a_ref(&repo, &head).unwrap());
        let lost = sandbox.git(&["commit-tree", "-m", "lost", "HEAD^{tree}"]).try_into().unwrap();
        assert!(!is_on_a_ref(&repo, &lost).unwrap());
        assert!(has_object(&repo, &lost) && !has_object(&repo, &"ab".repeat(20).try_into().unwrap()));
    }

    #[test]
    fn what_was_fetched_is_known() {
        let sandbox = Sandbox::new();
        let other = sandbox.root().join("other.git");
        sandbox.git(&["branch", "dev"]);
        sandbox.git(&["branch", "by-hand"]);
        sandbox.git(&["clone", "-q", "--bare", ".", other.to_str().unwrap()]);
        let commit = sandbox.commit_aside(&sandbox.oid("HEAD"), "echo x >x");
        sandbox.git(&["push", "-q", other.to_str().unwrap(), &format!("{commit}:refs/heads/dev")]);
        let repo = sandbox.repository();
        let transferred = |name: &str| was_transferred(&repo, &format!("refs/heads/{name}").into());
        let fetched = || was_fetched(&repo, &commit, &[&repo.common_dir]);
        sandbox.git(&["branch", "-f", "by-hand", commit.as_str()]);
        assert!(!transferred("by-hand") && !fetched());
        sandbox.git(&["fetch", "-q", other.to_str().unwrap(), "dev:dev"]);
        assert!(transferred("dev") && !transferred("by-hand") && fetched());
        std::fs::remove_file(sandbox.repo.join(".git/FETCH_HEAD")).unwrap();
        assert!(!fetched());
        sandbox.git(&["update-ref", "refs/remotes/origin/dev", commit.as_str()]);
        assert!(fetched());
    }
}
