//! How a worktree stands, told so that another repository can have one that stands just so.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Component, Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::refs::{Head, head, parse_oid};
use super::worktree::admin_dir;
use super::{Git, snapshot};
use crate::run::{Oid, Text};

/// What git keeps of an operation that is not finished: files, and directories of them.
const OPERATIONS: [&str; 10] = [
    "MERGE_HEAD",
    "MERGE_MSG",
    "MERGE_MODE",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "BISECT_LOG",
    "BISECT_START",
    "rebase-merge",
    "rebase-apply",
    "sequencer",
];
/// The most that is taken of such a file.
const MOST: u64 = 1 << 20;

/// How a worktree stands, less its ignored files.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    /// The branch that HEAD is on, by its full name; `None` if it is detached.
    pub branch: Option<Text>,
    /// The commit that HEAD is on; `None` on a branch without one.
    pub commit: Option<Oid>,
    /// A commit that has its files, if they are not those of HEAD.
    pub files: Option<Oid>,
    /// What `git ls-files --stage -z` says, if that is not what HEAD has.
    pub index: Option<Text>,
    /// Files of an operation that is not finished, below the git directory.
    pub operation: Vec<(Text, Text)>,
}

/// Tells how a worktree stands. Nothing but objects is written.
///
/// # Errors
/// If git can't read it.
pub fn standing(worktree: &Path, message: &str) -> Result<Standing> {
    let admin = admin_dir(worktree)?;
    let branch = match head(&admin)? {
        Head::Branch(name) => Some(name),
        Head::Detached(_) => None,
    };
    let git = || Git::new().work_tree(worktree, &admin).read_only();
    let commit = git().args(["rev-parse", "-q", "--verify", "HEAD^{commit}"]).output()?;
    let commit = parse_oid(&commit.stdout).ok();
    let is_head = match &commit {
        Some(_) => git().args(["diff-index", "--cached", "--quiet", "HEAD", "--"]).output()?.code == Some(0),
        None => false,
    };
    let index = match is_head {
        true => None,
        false => Some(Text::from(git().args(["ls-files", "--stage", "-z"]).ok()?.as_slice())),
    };
    let files = snapshot(worktree, message)?;
    Ok(Standing { branch, commit, files, index, operation: operation(&admin) })
}

fn operation(admin: &Path) -> Vec<(Text, Text)> {
    let mut found = Vec::new();
    let mut left: Vec<std::path::PathBuf> = OPERATIONS.iter().map(|name| admin.join(name)).collect();
    while let Some(path) = left.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else if let (true, Ok(name)) = (meta.is_file() && meta.len() <= MOST, path.strip_prefix(admin)) {
            let text = fs::read(&path).unwrap_or_default();
            found.push((name.into(), Text::from(text.as_slice())));
        }
    }
    found
}

impl Standing {
    /// The commits without which it can't be.
    pub fn needed(&self) -> Vec<Oid> {
        self.commit.iter().chain(&self.files).cloned().collect()
    }

    /// All commits that it speaks of; some may not exist.
    pub fn commits(&self) -> Vec<Oid> {
        let heads = self.operation.iter().filter(|(name, _)| name.as_bstr().ends_with(b"_HEAD"));
        let heads = heads.flat_map(|(_, text)| {
            let text = text.to_string();
            text.lines().filter_map(|line| Oid::try_from(line.trim()).ok()).collect::<Vec<_>>()
        });
        self.needed().into_iter().chain(heads).collect()
    }
}

/// Makes a worktree stand so. The objects are there; whatever files were in it and are not ignored go. May be done
/// again where it was cut off.
///
/// # Errors
/// git's words, or if files can't be written.
pub fn put(worktree: &Path, standing: &Standing, message: &str) -> Result<()> {
    let admin = admin_dir(worktree)?;
    let git = || {
        // What large files hold does not travel with the pointers to it.
        let git = Git::new().work_tree(worktree, &admin).retry_locks().env("GIT_LFS_SKIP_SMUDGE", "1");
        git.args(["-c", "core.hooksPath=/dev/null"])
    };
    // What is in the index and not in the tree is removed.
    git().args(["add", "-A", "--ignore-errors"]).output()?;
    match standing.files.as_ref().or(standing.commit.as_ref()) {
        Some(files) => git().args(["read-tree", "--reset", "-u", files.as_str()]).ok()?,
        None => git().args(["read-tree", "-u", "--reset", &empty_tree(git())?]).ok()?,
    };
    put_head(&git, standing, message)?;
    match (&standing.index, &standing.commit) {
        (Some(index), _) => {
            git().args(["read-tree", "--empty"]).ok()?;
            git().args(["update-index", "-z", "--index-info"]).stdin(index.as_bstr().to_vec()).ok()?;
        }
        (None, Some(commit)) if standing.files.is_some() => {
            git().args(["read-tree", "--reset", commit.as_str()]).ok()?;
        }
        (None, _) => {}
    }
    // It says by its exit code that there are changes.
    git().args(["update-index", "-q", "--refresh"]).output()?;
    let is_known = |name: &Text| {
        let mut parts = name.as_path().components();
        let first =
            parts.next().is_some_and(|first| OPERATIONS.iter().any(|known| first.as_os_str() == *known));
        first && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    for (name, text) in standing.operation.iter().filter(|(name, _)| is_known(name)) {
        let path = admin.join(name.as_path());
        let put =
            path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text.as_bstr()));
        put.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn empty_tree(git: Git) -> Result<String> {
    Ok(git.args(["hash-object", "-t", "tree", "-w", "--stdin"]).line()?.to_string())
}

fn put_head(git: &impl Fn() -> Git, standing: &Standing, message: &str) -> Result<()> {
    let update = || git().args(["update-ref", "--create-reflog", "-m", message]);
    match (&standing.branch, &standing.commit) {
        (Some(branch), commit) => {
            git().args(["symbolic-ref", "HEAD"]).arg(branch.as_os_str()).ok()?;
            match commit {
                Some(commit) => update().arg(branch.as_os_str()).arg(commit.as_str()).ok()?,
                None => git().args(["update-ref", "-d"]).arg(branch.as_os_str()).ok()?,
            };
        }
        (None, Some(commit)) => drop(update().args(["--no-deref", "HEAD", commit.as_str()]).ok()?),
        (None, None) => {}
    }
    Ok(())
}

/// Adds what the reflog of another one's HEAD says to that of a worktree, unless it is there. To be done after
/// [`put`]: what HEAD was on last is told by the last line.
///
/// # Errors
/// If it can't be written.
pub fn add_reflog(worktree: &Path, lines: &Text) -> Result<()> {
    let path = admin_dir(worktree)?.join("logs/HEAD");
    let before = fs::read(&path).unwrap_or_default();
    if lines.as_bstr().is_empty() || bstr::ByteSlice::contains_str(before.as_slice(), lines.as_bstr()) {
        return Ok(());
    }
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(lines.as_bstr())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{Sandbox, git_in};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn linked(sandbox: &Sandbox, name: &str) -> std::path::PathBuf {
        let path = sandbox.root().join(name);
        sandbox.git(&["worktree", "add", "-q", "-b", name, path.to_str().unwrap(), "HEAD"]);
        path
    }

    fn status(path: &Path) -> String {
        git_in(path, &["status", "--porcelain=v1", "-uall"])
    }

    #[test]
    fn a_worktree_comes_to_stand_as_another() {
        let sandbox = Sandbox::new();
        for file in ["gone", "changed", "script", "dir/file"] {
            sandbox.write(file, "old\n");
        }
        sandbox.commit("second");
        let (from, to) = (linked(&sandbox, "from"), linked(&sandbox, "to"));
        fs::remove_file(from.join("gone")).unwrap();
        fs::remove_dir_all(from.join("dir")).unwrap();
        fs::write(from.join("dir"), "a file now\n").unwrap();
        fs::write(from.join("changed"), "new\n").unwrap();
        fs::write(from.join("new"), [0, 255, 1]).unwrap();
        fs::set_permissions(from.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("nowhere", from.join("link")).unwrap();
        git_in(&from, &["add", "new", "gone"]);
        fs::write(to.join("litter"), "").unwrap();
        let standing = Standing { branch: Some("refs/heads/to".into()), ..standing(&from, "m").unwrap() };
        put(&to, &standing, "test").unwrap();
        put(&to, &standing, "test").unwrap();
        assert_eq!(status(&to), status(&from));
        assert!(!to.join("litter").exists() && !to.join("gone").exists() && to.join("dir").is_file());
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("nowhere"));
        assert_eq!(fs::read(to.join("new")).unwrap(), [0, 255, 1]);
        let odd = ["config", "../x", "rebase-merge/../x", "/x"].map(|name| (name.into(), "odd".into()));
        let clean = Standing { files: None, index: None, operation: odd.into(), ..standing };
        put(&to, &clean, "test").unwrap();
        assert_eq!(status(&to), "");
        let admin = admin_dir(&to).unwrap();
        assert!(!admin.join("config").exists() && !admin.join("../x").exists());
    }

    #[test]
    fn a_merge_that_is_not_finished_stays_so() {
        let sandbox = Sandbox::new();
        let (from, to) = (linked(&sandbox, "from"), linked(&sandbox, "to"));
        let other = sandbox.commit_aside(&sandbox.oid("HEAD"), "echo other >README");
        fs::write(from.join("README"), "mine\n").unwrap();
        git_in(&from, &["commit", "-qam", "mine"]);
        let merge = Git::new().in_dir(&from).args(["merge", "-q", other.as_str()]).output().unwrap();
        assert_eq!(merge.code, Some(1));
        let standing = Standing { branch: Some("refs/heads/to".into()), ..standing(&from, "m").unwrap() };
        assert!(standing.commits().contains(&other));
        put(&to, &standing, "test").unwrap();
        assert_eq!(status(&to), "UU README");
        let admin = admin_dir(&to).unwrap();
        assert_eq!(crate::git::operation_in_progress(&admin), Some("a merge"));
    }

    #[test]
    fn a_detached_head_and_a_lost_branch_are_told() {
        let sandbox = Sandbox::new();
        let (from, to) = (linked(&sandbox, "from"), linked(&sandbox, "to"));
        git_in(&from, &["checkout", "-q", "--detach"]);
        put(&to, &standing(&from, "m").unwrap(), "test").unwrap();
        assert_eq!(head(&admin_dir(&to).unwrap()).unwrap(), Head::Detached(sandbox.oid("HEAD")));
        git_in(&from, &["checkout", "-q", "--orphan", "new"]);
        let orphan = Standing { branch: Some("refs/heads/to".into()), ..standing(&from, "m").unwrap() };
        assert_eq!(orphan.commit, None);
        put(&to, &orphan, "test").unwrap();
        assert!(!sandbox.git(&["branch", "--list"]).contains(" to\n"));
        add_reflog(&to, &"a line\n".into()).unwrap();
        add_reflog(&to, &"a line\n".into()).unwrap();
        let log = fs::read_to_string(admin_dir(&to).unwrap().join("logs/HEAD")).unwrap();
        assert_eq!(log.matches("a line").count(), 1);
    }
}
