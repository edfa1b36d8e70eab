//! What lies in a worktree that is not committed, asked of git.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Result;
use bstr::{BStr, ByteSlice};

use super::command::split_nul;
use super::{Git, worktree};
use crate::run::Text;

/// Uncommitted changes of a worktree; paths are relative to its top.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Tracked files that differ from HEAD, staged or not.
    pub tracked: Vec<Text>,
    /// Files that git neither tracks nor ignores.
    pub untracked: Vec<Text>,
    /// Directories that are repositories of their own without being submodules. `git add` would record
    /// them as a bare commit id, without their files.
    pub nested: Vec<Text>,
    /// Paths with unresolved conflicts.
    pub unmerged: Vec<Text>,
}

impl Changes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        [&self.tracked, &self.untracked, &self.nested, &self.unmerged].iter().all(|paths| paths.is_empty())
    }
}

/// Uncommitted changes of a linked worktree, by `git status --porcelain=v2`. Takes no lock.
///
/// # Errors
/// If git can't tell.
pub fn changes(worktree: &Path) -> Result<Changes> {
    changes_in(worktree, &worktree::admin_dir(worktree)?)
}

/// As [`changes`], for a worktree of any kind.
///
/// # Errors
/// If git can't tell.
pub fn changes_in(worktree: &Path, git_dir: &Path) -> Result<Changes> {
    Ok(status(worktree, git_dir, "no")?.0)
}

/// Uncommitted changes of a linked worktree, and its ignored files less those that match `disposable`: each
/// of these is a pattern as in `.gitignore`, or, with a leading `:`, a pathspec. (Files are listed one by
/// one: a whole directory may be ignored for the sake of a single file that is not disposable.)
///
/// # Errors
/// If git can't tell.
pub(super) fn changes_and_ignored(worktree: &Path, disposable: &[String]) -> Result<(Changes, Vec<Text>)> {
    let admin_dir = worktree::admin_dir(worktree)?;
    let (pathspecs, patterns) = split(disposable);
    let (changes, ignored) = match pathspecs.is_empty() {
        true => status(worktree, &admin_dir, "traditional")?,
        // Given to `git status`, they would hide changes as well.
        false => (changes_in(worktree, &admin_dir)?, ignored_beside(worktree, &admin_dir, &pathspecs)?),
    };
    Ok((changes, less(ignored, &patterns)))
}

/// The ignored files of a linked worktree less those that match `disposable`, as [`changes_and_ignored`] has
/// them.
///
/// # Errors
/// If git can't tell.
pub fn ignored_files(worktree: &Path, disposable: &[String]) -> Result<Vec<Text>> {
    let (pathspecs, patterns) = split(disposable);
    let ignored = ignored_beside(worktree, &worktree::admin_dir(worktree)?, &pathspecs)?;
    Ok(less(ignored, &patterns))
}

/// Pathspecs, and patterns as in `.gitignore`.
fn split(disposable: &[String]) -> (Vec<&String>, Vec<&String>) {
    disposable.iter().partition(|entry| entry.starts_with(':'))
}

fn less(mut entries: Vec<Text>, patterns: &[&String]) -> Vec<Text> {
    let patterns: Vec<_> =
        patterns.iter().filter_map(|p| gix::glob::Pattern::from_bytes(p.as_bytes())).collect();
    entries.retain(|entry| !patterns.iter().any(|p| matches(p, entry.as_bstr())));
    entries
}

/// What `git status` tells, with ignored files or without (`--ignored`). All files are listed one by one,
/// but for repositories inside, which are listed as a directory.
fn status(worktree: &Path, git_dir: &Path, ignored: &str) -> Result<(Changes, Vec<Text>)> {
    let git = Git::new().work_tree(worktree, git_dir).read_only();
    let git = git.args(["status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames"]);
    let output = git.arg("--ignore-submodules=untracked").arg(format!("--ignored={ignored}")).ok()?;
    let (mut changes, mut ignored) = (Changes::default(), Vec::new());
    for entry in split_nul(&output) {
        // `1 XY sub mH mI mW hH hI path`, `u XY sub m1 m2 m3 mW h1 h2 h3 path`, `? path`, `! path`
        // (git-status(1))
        let (list, fields) = match entry.first() {
            Some(b'1') => (&mut changes.tracked, 8),
            Some(b'u') => (&mut changes.unmerged, 10),
            Some(b'?') if entry.ends_with(b"/") => (&mut changes.nested, 1),
            Some(b'?') => (&mut changes.untracked, 1),
            Some(b'!') => (&mut ignored, 1),
            _ => continue,
        };
        list.extend(entry.splitn(fields + 1, |&byte| byte == b' ').nth(fields).map(Text::from));
    }
    Ok((changes, ignored))
}

/// Ignored files that match none of the pathspecs.
fn ignored_beside(worktree: &Path, git_dir: &Path, pathspecs: &[&String]) -> Result<Vec<Text>> {
    let git = Git::new().work_tree(worktree, git_dir).read_only();
    let git = git.args(["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", ":/"]);
    git.args(pathspecs.iter().map(|spec| excluding(spec))).entries()
}

/// The pathspec that leaves out what `spec` matches.
fn excluding(spec: &str) -> String {
    match (spec.strip_prefix(":("), spec.strip_prefix(":/")) {
        (Some(rest), _) => format!(":(exclude,{rest}"),
        (_, Some(rest)) => format!(":(exclude,top){rest}"),
        _ => format!(":(exclude){}", spec.trim_start_matches(':')),
    }
}

/// Whether a pattern matches the entry or one of the directories that it is in.
fn matches(pattern: &gix::glob::Pattern, entry: &BStr) -> bool {
    let mode = gix::glob::wildmatch::Mode::NO_MATCH_SLASH_LITERAL;
    let whole = entry.strip_suffix(b"/").unwrap_or(entry).as_bstr();
    let directories = entry.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| (at, true));
    directories.chain((whole.len() == entry.len()).then_some((whole.len(), false))).any(|(end, is_dir)| {
        let path = entry[..end].as_bstr();
        let basename = path.rfind_byte(b'/').map(|at| at + 1);
        let case = gix::glob::pattern::Case::Sensitive;
        pattern.matches_repo_relative_path(path, basename, Some(is_dir), case, mode)
    })
}

/// What somebody began in a worktree and has not finished, by the files that git keeps for it
/// (`wt-status.c`). Takes the worktree's git directory.
pub fn operation_in_progress(git_dir: &Path) -> Option<&'static str> {
    [
        ("rebase-merge", "a rebase"),
        ("rebase-apply/applying", "an am"),
        ("rebase-apply", "a rebase"),
        ("MERGE_HEAD", "a merge"),
        ("CHERRY_PICK_HEAD", "a cherry-pick"),
        ("REVERT_HEAD", "a revert"),
        ("sequencer", "a cherry-pick or revert"),
        ("BISECT_LOG", "a bisect"),
    ]
    .into_iter()
    .find(|(file, _)| git_dir.join(file).exists())
    .map(|(_, name)| name)
}

/// Whether a git command is changing the index of the worktree with this git directory, or died over it.
pub fn index_locked(git_dir: &Path) -> bool {
    git_dir.join("index.lock").symlink_metadata().is_ok()
}

/// Those of the files that still hold conflict markers (`<<<<<<< ` or `>>>>>>> ` at the start of a line).
/// Files that are gone or are no files hold none.
///
/// # Errors
/// If a file can't be read.
pub fn has_conflict_markers(worktree: &Path, paths: &[Text]) -> Result<Vec<Text>> {
    let mut found = Vec::new();
    for path in paths {
        let file = worktree.join(path.as_path());
        if file.symlink_metadata().is_ok_and(|meta| meta.is_file()) && holds_markers(&file)? {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn holds_markers(path: &Path) -> Result<bool> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if line.starts_with(b"<<<<<<< ") || line.starts_with(b">>>>>>> ") {
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}

/// Commits all that git does not ignore in a linked worktree, on whatever is checked out there. No hook
/// runs and nothing is signed: it is not the user who commits here. Gives how many files there were, or
/// `None` if there was nothing to commit. Nested repositories would be recorded without their files: see
/// [`Changes::nested`] first.
///
/// # Errors
/// If git can't do it; what is uncommitted stays so.
pub fn commit_leftovers(worktree: &Path, message: &str) -> Result<Option<u32>> {
    let admin_dir = worktree::admin_dir(worktree)?;
    let git = || Git::new().work_tree(worktree, &admin_dir).retry_locks();
    git().args(["-c", "core.hooksPath=/dev/null", "add", "-A"]).ok()?;
    let staged = git().args(["diff-index", "--cached", "--no-renames", "--name-only", "-z", "HEAD", "--"]);
    let files = staged.entries()?.len();
    if files == 0 {
        return Ok(None);
    }
    let commit = git().args(["-c", "core.hooksPath=/dev/null", "-c", "commit.status=false", "commit", "-q"]);
    commit.args(["--no-verify", "--no-gpg-sign", "--cleanup=verbatim", "-F", "-"]).stdin(message).ok()?;
    Ok(Some(u32::try_from(files).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{Sandbox, git_in};
    use std::fs;

    fn linked(sandbox: &Sandbox) -> std::path::PathBuf {
        let path = sandbox.root().join("linked");
        sandbox.git(&["worktree", "add", "-q", "-b", "topic", path.to_str().unwrap()]);
        path
    }

    fn texts(paths: &[&str]) -> Vec<Text> {
        paths.iter().map(|&path| path.into()).collect()
    }

    #[test]
    fn each_kind_of_change_is_told_apart() {
        let sandbox = Sandbox::new();
        sandbox.write("staged", "1");
        sandbox.commit("more");
        let path = linked(&sandbox);
        assert!(changes(&path).unwrap().is_empty());
        fs::write(path.join("README"), "changed").unwrap();
        fs::write(path.join("staged"), "2").unwrap();
        git_in(&path, &["add", "staged"]);
        fs::create_dir(path.join("new dir")).unwrap();
        fs::write(path.join("new dir/a\nb"), "x").unwrap();
        git_in(&path, &["init", "-q", "nested"]);
        fs::write(path.join("nested/f"), "x").unwrap();
        let seen = changes(&path).unwrap();
        assert_eq!(seen.tracked, texts(&["README", "staged"]));
        assert_eq!(seen.untracked, texts(&["new dir/a\nb"]));
        assert_eq!(seen.nested, texts(&["nested/"]));
        assert!(seen.unmerged.is_empty());
    }

    #[test]
    fn conflicts_operations_and_markers_are_seen() {
        let sandbox = Sandbox::new();
        let base = sandbox.oid("HEAD");
        let other = sandbox.commit_aside(&base, "echo other >README");
        sandbox.write("README", "mine\n");
        sandbox.commit("mine");
        let path = linked(&sandbox);
        let admin = worktree::admin_dir(&path).unwrap();
        assert_eq!(operation_in_progress(&admin), None);
        let merge = Git::new().in_dir(&path).args(["merge", "-q", other.as_str()]).output().unwrap();
        assert_eq!(merge.code, Some(1));
        assert_eq!(changes(&path).unwrap().unmerged, texts(&["README"]));
        assert_eq!(operation_in_progress(&admin), Some("a merge"));
        assert_eq!(has_conflict_markers(&path, &texts(&["README", "gone"])).unwrap(), texts(&["README"]));
        assert!(!index_locked(&admin));
        fs::write(admin.join("index.lock"), "").unwrap();
        assert!(index_locked(&admin));
    }

    #[test]
    fn ignored_files_count_unless_they_are_disposable() {
        let sandbox = Sandbox::new();
        sandbox.write(".gitignore", "target\n*.pyc\n.env\nout/\nlocal/\n");
        sandbox.commit("ignore");
        let path = linked(&sandbox);
        for file in
            ["target/debug/x", "a/target/y", "a/.env", "out/z", "local/keep", "m/__pycache__/b.pyc", "a/t"]
        {
            fs::create_dir_all(path.join(file).parent().unwrap()).unwrap();
            fs::write(path.join(file), "").unwrap();
        }
        let disposable = |list: &[&str]| -> Vec<Text> {
            let list: Vec<String> = list.iter().map(|&entry| entry.to_owned()).collect();
            changes_and_ignored(&path, &list).unwrap().1
        };
        assert_eq!(disposable(&["target/", "__pycache__/", ":(glob)out/**", "/local"]), texts(&["a/.env"]));
        assert_eq!(disposable(&["target/", "m/", ":(glob)**/.env", ":out"]), texts(&["local/keep"]));
    }

    #[test]
    fn status_lists_the_ignored_files_that_ls_files_lists() {
        let sandbox = Sandbox::new();
        sandbox.write(".gitignore", "target/\n*.pyc\n.env\nign/*\n!ign/keep\nlink\nnest/\nempty/\n");
        sandbox.write("tracked.pyc", "");
        sandbox.git(&["add", "-f", "tracked.pyc"]);
        sandbox.commit("ignore");
        let path = linked(&sandbox);
        let files = ["target/debug/f", "target/x", "ign/a", "ign/sub/b", "ign/keep", ".env", "a/b/.env"];
        for file in files.into_iter().chain(["nl\nx.pyc", "u/z.pyc", "u/y", "nest/f", "sp ace/q.pyc"]) {
            fs::create_dir_all(path.join(file).parent().unwrap()).unwrap();
            fs::write(path.join(file), "").unwrap();
        }
        fs::create_dir_all(path.join("empty/er")).unwrap();
        std::os::unix::fs::symlink("/etc", path.join("link")).unwrap();
        for inner in ["nest/inner", "target/inner", "other", "repo.pyc"] {
            git_in(&path, &["init", "-q", inner]);
            fs::write(path.join(inner).join("f.pyc"), "").unwrap();
        }
        fs::write(path.join("tracked.pyc"), "changed").unwrap();
        let (changes, mut ignored) = changes_and_ignored(&path, &[]).unwrap();
        let admin_dir = worktree::admin_dir(&path).unwrap();
        let mut listed = ignored_beside(&path, &admin_dir, &[]).unwrap();
        ignored.sort();
        listed.sort();
        assert_eq!(ignored, listed);
        assert!(ignored.len() > 12, "{ignored:?}");
        assert_eq!(changes, changes_in(&path, &admin_dir).unwrap());
        assert_eq!(changes.tracked, texts(&["tracked.pyc"]));
        assert_eq!((changes.untracked, changes.nested), (texts(&["ign/keep", "u/y"]), texts(&["other/"])));
    }

    #[test]
    fn leftovers_are_committed_without_hooks() {
        let sandbox = Sandbox::new();
        let path = linked(&sandbox);
        assert_eq!(commit_leftovers(&path, "x").unwrap(), None);
        for hook in ["pre-commit", "post-commit", "commit-msg", "prepare-commit-msg"] {
            sandbox.write(&format!(".git/hooks/{hook}"), "#!/bin/sh\ntouch HOOKED\nexit 1\n");
            let file = sandbox.repo.join(".git/hooks").join(hook);
            fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        sandbox.git(&["config", "commit.gpgSign", "true"]);
        sandbox.git(&["config", "gpg.program", "false"]);
        fs::write(path.join("new"), "x").unwrap();
        fs::remove_file(path.join("README")).unwrap();
        assert_eq!(commit_leftovers(&path, "Leftovers\n\n# of auth\n").unwrap(), Some(2));
        assert!(changes(&path).unwrap().is_empty());
        assert_eq!(git_in(&path, &["log", "-1", "--format=%B", "topic"]).trim(), "Leftovers\n\n# of auth");
        assert!(!path.join("HOOKED").exists());
    }
}
