//! Merging in a scratch worktree, where a conflict may settle itself: by what `git rerere` has recorded, or by
//! making generated files anew.

use anyhow::{Context, Result, bail};

use super::command::split_nul;
use super::refs::parse_oid;
use super::status::operation_in_progress;
use super::{Git, Repository, Scratch, tree_has};
use crate::run::{Oid, Text};

/// Whether `git rerere` is on, and has any resolution to offer. It is on by `rerere.enabled`, or, without
/// that, where its directory is there (git-config(1)).
pub fn has_recorded_resolutions(repo: &Repository) -> bool {
    let cache = repo.common_dir.join("rr-cache");
    let enabled = match repo.config().map(|config| config.bool("rerere.enabled")) {
        Some(Ok(Some(enabled))) => enabled,
        Some(Ok(None)) => true,
        // git itself would refuse such a value.
        Some(Err(_)) | None => false,
    };
    let is_settled = |conflict: std::fs::DirEntry| {
        let files = std::fs::read_dir(conflict.path()).into_iter().flatten().flatten();
        files.map(|file| file.file_name()).any(|name| name.as_encoded_bytes().starts_with(b"postimage"))
    };
    enabled && std::fs::read_dir(cache).into_iter().flatten().flatten().any(is_settled)
}

/// Merges `tip` into `onto` in the scratch worktree, as `git merge` does it: with the user's drivers and
/// attributes, and whatever rerere knows. Gives the paths that still collide.
///
/// # Errors
/// If the worktree can't be made ready, or in git's words if there could be no merge.
pub fn merge_in(scratch: &Scratch, onto: &Oid, tip: &Oid) -> Result<Vec<Text>> {
    scratch.reset_to(onto)?;
    let git = scratch.git()?.args(["-c", "rerere.autoUpdate=true", "merge", "-q", "--no-commit", "--no-ff"]);
    let output = git.args(["--no-stat", "--no-edit", tip.as_str()]).output()?;
    if operation_in_progress(&scratch.git_dir()?) != Some("a merge") {
        return Err(output.to_error("merge").into());
    }
    // `<mode> SP <id> SP <stage> TAB <path>`
    let entries = scratch.git()?.args(["ls-files", "-u", "-z"]).entries()?;
    let path = |entry: &Text| entry.as_bstr().split(|&b| b == b'\t').nth(1).map(Text::from);
    let mut paths: Vec<Text> = entries.iter().filter_map(path).collect();
    paths.dedup();
    Ok(paths)
}

/// Takes these files, in conflict or not, as `onto` has them; what it has not is removed.
///
/// # Errors
/// If git can't do it.
pub fn take_from(scratch: &Scratch, repo: &Repository, onto: &Oid, paths: &[Text]) -> Result<()> {
    let mut there = Vec::new();
    let mut gone = Vec::new();
    for path in paths {
        let list = if tree_has(repo, onto, path.as_path())? { &mut there } else { &mut gone };
        list.extend_from_slice(path.as_bstr());
        list.push(0);
    }
    let from_stdin = |git: Git, paths: Vec<u8>| {
        let git = git.env("GIT_LITERAL_PATHSPECS", "1");
        git.args(["--pathspec-from-file=-", "--pathspec-file-nul"]).stdin(paths).ok()
    };
    if !there.is_empty() {
        from_stdin(scratch.git()?.args(["checkout", "-q", onto.as_str()]), there)?;
    }
    if !gone.is_empty() {
        from_stdin(scratch.git()?.args(["rm", "-q", "-f", "--ignore-unmatch"]), gone)?;
    }
    Ok(())
}

/// Stages what a command wrote, deleted or made, as far as the pathspecs match it. Gives the paths of tracked
/// files that it changed beside them.
///
/// # Errors
/// If git can't do it.
pub fn stage_matching(scratch: &Scratch, pathspecs: &[Text]) -> Result<Vec<Text>> {
    let changed = |pathspecs: &[Text]| -> Result<Vec<u8>> {
        // Says by its exit code that something is changed.
        scratch.git()?.args(["update-index", "-q", "--refresh"]).output()?;
        let git = scratch.git()?.args(["diff-files", "--name-only", "-z", "--"]);
        git.args(pathspecs.iter().map(Text::as_os_str)).ok()
    };
    let mut paths = changed(pathspecs)?;
    let made = scratch.git()?.args(["ls-files", "--others", "--exclude-standard", "-z", "--"]);
    paths.extend(made.args(pathspecs.iter().map(Text::as_os_str)).ok()?);
    scratch.git()?.args(["update-index", "--add", "--remove", "-z", "--stdin"]).stdin(paths).ok()?;
    Ok(split_nul(&changed(&[])?).map(Text::from).collect())
}

/// The tree of what is staged there.
///
/// # Errors
/// If something collides still, or git can't write it.
pub fn staged_tree(scratch: &Scratch) -> Result<Oid> {
    if operation_in_progress(&scratch.git_dir()?) != Some("a merge") {
        bail!("the merge in {} is gone", scratch.path().display());
    }
    parse_oid(&scratch.git()?.arg("write-tree").ok()?).context("git write-tree gave no tree")
}
