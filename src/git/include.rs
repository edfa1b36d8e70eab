//! Which files of the main worktree are wanted in new ones though git does not bring them: ignored files
//! that `.worktreeinclude` or `parallel.include` name. git itself is asked, so that patterns mean here
//! what they mean in `.gitignore`.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bstr::ByteSlice;

use super::command::split_nul;
use super::{Git, Repository, worktree};
use crate::run::Text;

/// Names the files, at the top of the main worktree.
pub const INCLUDE_FILE: &str = ".worktreeinclude";

/// The patterns of [`INCLUDE_FILE`], comments and all; none if there is no such file.
///
/// # Errors
/// If it can't be read.
pub fn include_file(repo: &Repository) -> Result<Vec<Text>> {
    let Some(top) = &repo.main_worktree else { return Ok(Vec::new()) };
    let path = top.join(INCLUDE_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(bytes.lines().filter(|line| !line.trim_ascii().is_empty()).map(Text::from).collect()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The files of the main worktree that match `patterns` and that git ignores, there and in the worktree at
/// `path`: what git does not ignore there would be taken for the agent's work. In the order of their bytes.
/// Nothing of a repository inside is among them, nor what is below `beside`.
///
/// # Errors
/// If git can't tell.
pub fn included(repo: &Repository, patterns: &[Text], path: &Path, beside: &Path) -> Result<Vec<Text>> {
    let Some(top) = repo.main_worktree.as_deref().filter(|_| !patterns.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut file = tempfile::NamedTempFile::new().context("cannot write a temporary file")?;
    for pattern in patterns {
        file.write_all(pattern.as_bstr()).and_then(|()| file.write_all(b"\n"))?;
    }
    let git = Git::new().work_tree(top, &repo.common_dir).read_only();
    let listed = git.args(["ls-files", "-z", "--others", "--ignored", "--exclude-from"]).arg(file.path());
    let mut files = listed.entries()?;
    let beside = beside.strip_prefix(top).ok().map(Path::to_path_buf);
    files
        .retain(|file| is_plain(file) && !beside.as_ref().is_some_and(|dir| file.as_path().starts_with(dir)));
    let files = ignored(top, &repo.common_dir, files)?;
    let mut files = ignored(path, &worktree::admin_dir(path)?, fitting(path, files))?;
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

/// No directory (only a repository of its own is listed as one), and nothing that git keeps to itself.
fn is_plain(file: &Text) -> bool {
    !file.as_bstr().ends_with(b"/")
        && !file.as_bstr().split_str("/").any(|part| part.eq_ignore_ascii_case(b".git"))
}

/// Those of the files whose directories could be there: git refuses to look behind anything else.
fn fitting(top: &Path, files: Vec<Text>) -> Vec<Text> {
    let mut known: HashMap<PathBuf, bool> = HashMap::new();
    let mut fits = |dir: &Path| -> bool {
        dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty()).all(|dir| {
            let look = || top.join(dir).symlink_metadata().map_or(true, |meta| meta.is_dir());
            *known.entry(dir.to_owned()).or_insert_with(look)
        })
    };
    files.into_iter().filter(|file| file.as_path().parent().is_none_or(&mut fits)).collect()
}

/// Those of the files that git ignores in a worktree and does not track there; they need not exist.
fn ignored(top: &Path, git_dir: &Path, files: Vec<Text>) -> Result<Vec<Text>> {
    if files.is_empty() {
        return Ok(files);
    }
    let names: Vec<u8> = files.iter().flat_map(|file| [file.as_bstr().as_bytes(), b"\0"].concat()).collect();
    let git = Git::new().work_tree(top, git_dir).read_only();
    let output = git.args(["check-ignore", "-z", "--stdin"]).stdin(names).output()?;
    match output.code {
        Some(0 | 1) => Ok(split_nul(&output.stdout).map(Text::from).collect()),
        _ => Err(output.to_error("check-ignore").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{Sandbox, git_in};
    use std::fs;

    fn linked(sandbox: &Sandbox) -> PathBuf {
        let path = sandbox.root().join("wts/a");
        sandbox.git(&["worktree", "add", "-q", "-b", "a", path.to_str().unwrap()]);
        path
    }

    fn found(sandbox: &Sandbox, path: &Path, patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<Text> = patterns.iter().map(|&pattern| pattern.into()).collect();
        let files = included(&sandbox.repository(), &patterns, path, &sandbox.root().join("wts")).unwrap();
        files.iter().map(|file| format!("{file:?}").trim_matches('"').to_owned()).collect()
    }

    #[test]
    fn what_matches_and_is_ignored_is_found() {
        let sandbox = Sandbox::new();
        sandbox.write(".gitignore", ".env*\nnode_modules/\n*.key\n");
        sandbox.commit("ignore");
        for file in [".env", ".env.local", "sub/.env", "plain", "node_modules/a b/x", "my.key", "other.key"] {
            sandbox.write(file, "");
        }
        let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"node_modules/\xff.js");
        fs::write(sandbox.repo.join(odd), "").unwrap();
        let path = linked(&sandbox);
        assert_eq!(found(&sandbox, &path, &[]), [""; 0]);
        assert_eq!(found(&sandbox, &path, &["plain", "README"]), [""; 0], "git does not ignore them");
        assert_eq!(found(&sandbox, &path, &["# a comment", "/.env"]), [".env"]);
        assert_eq!(found(&sandbox, &path, &[".env*", "!.env.local"]), [".env", "sub/.env"]);
        assert_eq!(found(&sandbox, &path, &["*.key", "!my.key"]), ["other.key"]);
        assert_eq!(
            found(&sandbox, &path, &["node_modules/", "!node_modules/a b/x"]),
            ["node_modules/a b/x", "node_modules/\\xff.js"],
            "as in .gitignore, nothing comes back below a directory"
        );
    }

    #[test]
    fn what_the_new_worktree_does_not_ignore_is_left_out() {
        let sandbox = Sandbox::new();
        sandbox.write(".gitignore", ".env\nlink/\nfile/\n");
        sandbox.commit("ignore");
        let path = linked(&sandbox);
        for file in [".env", "link/x", "file/y", "new/z"] {
            sandbox.write(file, "");
        }
        sandbox.write(".gitignore", ".env\nlink/\nfile/\nnew/\n");
        std::os::unix::fs::symlink("/", path.join("link")).unwrap();
        fs::write(path.join("file"), "").unwrap();
        assert_eq!(found(&sandbox, &path, &["*"]), [".env"]);
    }

    #[test]
    fn repositories_inside_and_our_own_worktrees_stay_where_they_are() {
        let sandbox = Sandbox::new();
        sandbox.write(".gitignore", "ign/\n");
        sandbox.commit("ignore");
        sandbox.write("ign/f", "");
        sandbox.write("ign/wts/f", "");
        git_in(&sandbox.repo.join("ign"), &["init", "-q", "nested"]);
        sandbox.write("ign/nested/f", "");
        let linked = sandbox.repo.join("ign/wts/a");
        sandbox.git(&["worktree", "add", "-q", "-b", "a", linked.to_str().unwrap()]);
        let patterns = ["ign/".into()];
        let beside = sandbox.repo.join("ign/wts");
        let files = included(&sandbox.repository(), &patterns, &linked, &beside).unwrap();
        assert_eq!(files, ["ign/f".into()]);
    }

    #[test]
    fn the_file_is_read_from_the_main_worktree() {
        let sandbox = Sandbox::new();
        assert_eq!(include_file(&sandbox.repository()).unwrap(), []);
        let path = linked(&sandbox);
        sandbox.write(INCLUDE_FILE, "# mine\r\n\n.env\n");
        fs::write(path.join(INCLUDE_FILE), "other\n").unwrap();
        let repo = Repository::discover(&path).unwrap();
        assert_eq!(include_file(&repo).unwrap(), ["# mine".into(), ".env".into()]);
        sandbox.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
        let bare = Repository::discover(&sandbox.root().join("bare.git")).unwrap();
        assert_eq!(include_file(&bare).unwrap(), []);
        assert_eq!(included(&bare, &["*".into()], &path, &path).unwrap(), []);
        fs::remove_file(sandbox.repo.join(INCLUDE_FILE)).unwrap();
        fs::create_dir(sandbox.repo.join(INCLUDE_FILE)).unwrap();
        assert!(include_file(&sandbox.repository()).is_err());
    }
}
