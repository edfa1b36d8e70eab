//! What a commit's tree holds.

use std::path::Path;

use anyhow::Result;

use super::Repository;
use crate::run::Oid;

/// How much room the files of a tree take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TreeSize {
    /// Bytes, each file rounded up to a block of 4 KiB.
    pub bytes: u64,
    /// Files and directories.
    pub files: u64,
}

/// Whether a commit's tree has something at `path`, which is relative to its top.
///
/// # Errors
/// If git can't tell.
pub fn tree_has(repo: &Repository, commit: &Oid, path: &Path) -> Result<bool> {
    let git = repo.git().args(["ls-tree", "-z", "--full-tree", "--name-only", commit.as_str(), "--"]);
    let path = path.strip_prefix(".").unwrap_or(path);
    Ok(!git.arg(path).entries()?.is_empty())
}

/// How much room a checkout of the commit takes, by the sizes of its blobs.
///
/// # Errors
/// If git can't tell, in a partial clone for instance.
pub fn tree_size(repo: &Repository, commit: &Oid) -> Result<TreeSize> {
    const BLOCK: u64 = 4096;
    let git = repo.git().env("GIT_NO_LAZY_FETCH", "1");
    let entries = git.args(["ls-tree", "-r", "-t", "-l", "-z", "--full-tree", commit.as_str()]).entries()?;
    let mut size = TreeSize::default();
    for entry in &entries {
        // `<mode> SP <type> SP <object> SP+ <size> TAB <path>` (git-ls-tree(1)); a tree's size is `-`.
        let mut fields = entry.as_bstr().split(|&b| b == b' ' || b == b'\t').filter(|f| !f.is_empty());
        let bytes = fields.nth(3).and_then(|field| std::str::from_utf8(field).ok()?.parse::<u64>().ok());
        size.bytes += bytes.unwrap_or(0).next_multiple_of(BLOCK).max(BLOCK);
        size.files += 1;
    }
    Ok(size)
}
