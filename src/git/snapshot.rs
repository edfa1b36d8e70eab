//! Keeping uncommitted files as a commit, without touching the index or the files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Git;
use super::refs::parse_oid;
use super::worktree::admin_dir;
use crate::run::Oid;

/// How the directory's name begins that a snapshot's index is made in.
pub(super) const PREFIX: &str = "parallel-snapshot-";

/// Makes a commit of a linked worktree as it is: all that `git add -A` would take, on top of its HEAD.
/// `None` if that is what HEAD has already. Nothing but objects is written; what is locked, half merged or
/// half deleted there stays so.
///
/// # Errors
/// If git can't read or write it.
pub fn snapshot(worktree: &Path, message: &str) -> Result<Option<Oid>> {
    let admin_dir = admin_dir(worktree)?;
    // In the admin folder, since git writes `<index>.lock` beside it; and gone with this function.
    let place = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(&admin_dir)
        .context("cannot write in the worktree's git directory")?;
    let index = place.path().join("index");
    let git = || {
        let git = Git::new().work_tree(worktree, &admin_dir).env("GIT_INDEX_FILE", &index);
        git.args(["-c", "core.hooksPath=/dev/null"])
    };
    // A copy of its index spares reading every file; a broken or missing one costs only that.
    if fs::copy(admin_dir.join("index"), &index).is_err() || git().args(["ls-files", "-s"]).ok().is_err() {
        let _ = fs::remove_file(&index);
    }
    // Files that can't be read are left out rather than losing the rest.
    git().args(["add", "-A", "--ignore-errors"]).output()?;
    let tree = parse_oid(&git().arg("write-tree").ok()?)?;
    let head = git().args(["rev-parse", "-q", "--verify", "HEAD^{commit}"]).output()?;
    let head = parse_oid(&head.stdout).ok();
    let mut commit = git().args(["commit-tree", tree.as_str(), "-F", "-"]);
    if let Some(head) = &head {
        if parse_oid(&git().args(["rev-parse", "--verify"]).arg(format!("{head}^{{tree}}")).ok()?)? == tree {
            return Ok(None);
        }
        commit = commit.args(["-p", head.as_str()]);
    }
    Ok(Some(parse_oid(&commit.stdin(message).ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{Sandbox, git_in};

    fn linked(sandbox: &Sandbox) -> std::path::PathBuf {
        sandbox.write("file", "old");
        sandbox.commit("second");
        let path = sandbox.root().join("a");
        sandbox.git(&["worktree", "add", "-q", "-b", "a", path.to_str().unwrap()]);
        path
    }

    #[test]
    fn uncommitted_files_are_kept_and_nothing_is_touched() {
        let sandbox = Sandbox::new();
        let path = linked(&sandbox);
        fs::write(path.join("new"), "new").unwrap();
        fs::write(path.join("file"), "changed").unwrap();
        git_in(&path, &["add", "new"]);
        fs::write(path.join("new"), "newer").unwrap();
        let before = git_in(&path, &["status", "--porcelain=v2"]);
        let commit = snapshot(&path, "m").unwrap().unwrap();
        assert_eq!(git_in(&path, &["status", "--porcelain=v2"]), before);
        assert_eq!(git_in(&path, &["show", &format!("{commit}:new")]), "newer");
        assert_eq!(git_in(&path, &["show", &format!("{commit}:file")]), "changed");
        assert_eq!(
            git_in(&path, &["rev-parse", &format!("{commit}^")]),
            git_in(&path, &["rev-parse", "HEAD"])
        );
    }

    #[test]
    fn a_clean_worktree_needs_none() {
        let sandbox = Sandbox::new();
        let path = linked(&sandbox);
        assert_eq!(snapshot(&path, "m").unwrap(), None);
    }
}
