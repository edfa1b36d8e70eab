//! Throw-away repositories for the tests of this room.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Repository;
use crate::run::Oid;

/// A temporary directory with a repository `repo` whose branch `main` has one commit.
pub(crate) struct Sandbox {
    /// Deleted with this.
    _dir: TempDir,
    pub(crate) repo: PathBuf,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let sandbox = Sandbox { repo: root.join("repo"), _dir: dir };
        std::fs::create_dir(&sandbox.repo).unwrap();
        sandbox.git(&["init", "-q", "-b", "main"]);
        sandbox.git(&["config", "user.name", "A U Thor"]);
        sandbox.git(&["config", "user.email", "author@example.com"]);
        sandbox.write("README", "hello\n");
        sandbox.commit("first");
        sandbox
    }

    pub(crate) fn root(&self) -> &Path {
        self.repo.parent().unwrap()
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::discover(&self.repo).unwrap()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git_in(&self.repo, args)
    }

    pub(crate) fn rev(&self, rev: &str) -> String {
        self.git(&["rev-parse", "--verify", rev])
    }

    pub(crate) fn oid(&self, rev: &str) -> Oid {
        self.rev(rev).try_into().unwrap()
    }

    /// Writes a file of the main worktree, its directories included.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.repo.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.repo.join(path)).unwrap()
    }

    /// Commits everything in the main worktree.
    pub(crate) fn commit(&self, message: &str) -> Oid {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.oid("HEAD")
    }

    /// A commit on top of `parent`, made off to the side: `script` runs in a checkout of its own.
    pub(crate) fn commit_aside(&self, parent: &Oid, script: &str) -> Oid {
        let aside = self.root().join("aside");
        self.git(&["worktree", "add", "-q", "--detach", aside.to_str().unwrap(), parent.as_str()]);
        let done = Command::new("sh").args(["-ec", script]).current_dir(&aside).status().unwrap();
        assert!(done.success(), "{script}");
        git_in(&aside, &["add", "-A", "-f"]);
        git_in(&aside, &["commit", "-q", "--allow-empty", "-m", "aside"]);
        let oid = git_in(&aside, &["rev-parse", "HEAD"]);
        self.git(&["worktree", "remove", "--force", aside.to_str().unwrap()]);
        oid.try_into().unwrap()
    }

    pub(crate) fn status(&self) -> String {
        self.git(&["status", "--porcelain", "--untracked-files=all"])
    }

    pub(crate) fn fsck(&self) {
        assert_eq!(self.git(&["fsck", "--strict", "--no-dangling", "--no-progress"]), "");
    }
}

/// Runs git as a user would in `dir`, with identity, dates and configuration pinned.
pub(crate) fn git_in(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_DATE", "1700000000 +0000")
        .env("GIT_COMMITTER_DATE", "1700000000 +0000")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
}
