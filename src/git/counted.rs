//! Counting the lines of a difference without git, where no choice is left to a diff algorithm.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use bstr::ByteSlice;
use gix::ObjectId;

use super::Repository;
use super::index::GITLINK;
use super::merge::Stat;
use super::obstacles::compare;
use crate::run::{Oid, Text};

/// Larger files are for git: some that it takes for binary are only large (`core.bigFileThreshold`).
const LARGEST: u64 = 1 << 20;
/// How far git looks for a NUL, by which it tells binary files (`xdiff-interface.c`).
const FIRST_FEW_BYTES: usize = 8000;

/// What `git diff-tree -M --numstat` tells of two commits; `None` where that is for git to say. It is not:
///
/// - where no path was added or none deleted, so that there is no rename;
/// - where no attribute says of a path whether it is text, and how it is compared;
/// - where less the lines with which both versions of a file begin and end, one of them has nothing left, or
///   both have no line in common. Whatever the algorithm, the rest was then deleted and added.
pub(super) fn count(repo: &Repository, from: &Oid, to: &Oid) -> Option<Stat> {
    try_count(repo, from, to).ok().flatten()
}

fn try_count(repo: &Repository, from: &Oid, to: &Oid) -> Result<Option<Stat>> {
    let changes = compare(repo, from, to)?;
    let added = changes.iter().any(|change| change.old.is_none());
    let deleted = changes.iter().any(|change| change.new.is_none());
    if (added && deleted) || has_attributes(repo, to, changes.iter().map(|change| &change.path))? {
        return Ok(None);
    }
    let gix = repo.gix();
    let mut stat = Stat::default();
    for change in &changes {
        let modes = [change.old, change.new].map(|version| version.map(|(mode, _)| mode));
        // A file that becomes a link is an odd pair.
        let kinds: HashSet<u32> = modes.iter().flatten().map(|mode| mode & 0o170_000).collect();
        if kinds.len() > 1 || kinds.contains(&GITLINK) {
            return Ok(None);
        }
        stat.files += 1;
        let [old, new] = [change.old, change.new].map(|version| version.map(|(_, id)| id));
        if old == new {
            continue;
        }
        let (Some(old), Some(new)) = (read(&gix, old)?, read(&gix, new)?) else { return Ok(None) };
        if [&old, &new].iter().any(|bytes| bytes[..bytes.len().min(FIRST_FEW_BYTES)].contains(&0)) {
            continue;
        }
        let Some((deleted, added)) = lines(&old, &new) else { return Ok(None) };
        stat.deletions += deleted;
        stat.insertions += added;
    }
    Ok(Some(stat))
}

/// The content of a file; `None` if it is too large. One that is not there is empty.
fn read(gix: &gix::Repository, id: Option<ObjectId>) -> Result<Option<Vec<u8>>> {
    let Some(id) = id else { return Ok(Some(Vec::new())) };
    if gix.find_header(id)?.size() > LARGEST {
        return Ok(None);
    }
    Ok(Some(gix.find_blob(id)?.detach().data))
}

/// How many lines were deleted and added; `None` if there is more than one way to see it.
fn lines(old: &[u8], new: &[u8]) -> Option<(u64, u64)> {
    let [old, new] = [old, new].map(|bytes| bytes.lines_with_terminator().collect::<Vec<_>>());
    let begin = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[begin..], &new[begin..]);
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[..old.len() - end], &new[..new.len() - end]);
    let lines: HashSet<&&[u8]> = old.iter().collect();
    let apart = !new.iter().any(|line| lines.contains(line));
    apart.then_some((old.len() as u64, new.len() as u64))
}

/// Whether some attribute may concern one of the paths, as it is in the commit.
fn has_attributes<'a>(
    repo: &Repository,
    commit: &Oid,
    paths: impl Iterator<Item = &'a Text>,
) -> Result<bool> {
    let set = |key: &str| repo.config().is_none_or(|config| config.string(key).is_some());
    let info = repo.common_dir.join("info/attributes");
    if set("core.bigfilethreshold") || exists(&info) || repo.has_attributes_elsewhere() {
        return Ok(true);
    }
    let gix = repo.gix();
    let tree = gix.find_commit(Repository::gix_id(commit)?)?.tree()?;
    let directories: BTreeSet<PathBuf> = paths
        .flat_map(|path| path.as_path().ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>())
        .collect();
    for directory in directories {
        if tree.lookup_entry_by_path(directory.join(".gitattributes"))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn exists(path: &Path) -> bool {
    // What can't be looked at may be there.
    !matches!(path.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::merge::diff_stat_by_git;
    use crate::git::testing::Sandbox;

    const FILES: &str =
        "mkdir d; seq 9 >d/a; printf 'x\\ny\\nx\\ny\\n' >b; printf end >c; ln -s b l; chmod +x c";

    /// What is counted here is what git counts; whether it is.
    fn is_counted(base: &str, script: &str) -> bool {
        let sandbox = Sandbox::new();
        let from = sandbox.commit_aside(&sandbox.oid("HEAD"), base);
        let to = sandbox.commit_aside(&from, script);
        let repo = sandbox.repository();
        let counted = count(&repo, &from, &to);
        let gits = diff_stat_by_git(&repo, &from, &to).unwrap();
        assert!(counted.is_none_or(|counted| counted == gits), "{script}: {counted:?} {gits:?}");
        counted.is_some()
    }

    #[test]
    fn what_can_be_seen_in_one_way_only_is_counted() {
        for script in [
            "seq 5 >n; mkdir e; printf 'a\\nb' >e/n; : >empty; ln -s nowhere m",
            "git rm -q b; echo 10 >>d/a",
            "echo x >>b",
            "printf 'y\\nx\\ny\\n' >b",
            "printf 'x\\ny\\nx\\ny\\nx\\ny\\n' >b",
            "echo end >c",
            "chmod -x c",
            "sed -i s/5/five/ d/a",
            "{ seq 3; echo new; echo lines; seq 7 9; } >d/a",
            "printf 'a\\0b\\n' >c; printf '\\0' >n",
            "ln -sf c l",
            "true",
        ] {
            assert!(is_counted(FILES, script), "{script}");
        }
    }

    #[test]
    fn what_is_a_matter_of_opinion_is_for_git() {
        for script in [
            "git mv b moved",
            "{ seq 3; echo new; seq 5 6; echo more; seq 8 9; } >d/a",
            "rm l; echo x >l",
            "echo 'a -diff' >d/.gitattributes; echo x >>d/a",
            "head -c 1100000 /dev/zero | tr '\\0' x >large",
        ] {
            assert!(!is_counted(FILES, script), "{script}");
        }
        assert!(!is_counted(&format!("{FILES}; echo '* binary' >.gitattributes"), "echo 10 >>d/a"));
        assert!(!is_counted(
            FILES,
            "mkdir -p $(git rev-parse --git-common-dir)/info; echo '* -diff' >$(git rev-parse --git-common-dir)/info/attributes; echo 1 >>b"
        ));
    }
}
