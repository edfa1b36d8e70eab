//! Reading a worktree's index: in this process, or by git where it is of a kind that gix does not know.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bstr::ByteSlice;
use gix::ObjectId;
use gix::index::entry::stat::Time;
use gix::index::entry::{Flags, Mode, Stat};

use super::Git;
use super::command::split_nul;
use crate::run::Text;

/// What a gitlink has for a mode.
pub(super) const GITLINK: u32 = 0o160_000;

/// A tracked path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) path: Text,
    /// As git writes it, such as `100644` (octal).
    pub(super) mode: u32,
    pub(super) id: ObjectId,
    /// One side of an unresolved conflict.
    pub(super) unmerged: bool,
    /// git was told not to look at the file (`assume-unchanged`, `skip-worktree`).
    pub(super) hidden: bool,
    /// By what the file is known for unchanged without being read; `None` where git has to look at more.
    pub(super) stat: Option<Stat>,
}

impl Entry {
    /// Whether the file with this metadata is certainly the one that was added: all that git compares is the
    /// same, and it was not added in the instant when the index was written. When in doubt it is not.
    pub(super) fn is_surely(&self, meta: &fs::Metadata) -> bool {
        let mode = match meta.file_type() {
            kind if kind.is_symlink() => Mode::SYMLINK,
            kind if kind.is_file() && meta.mode() & 0o100 != 0 => Mode::FILE_EXECUTABLE,
            kind if kind.is_file() => Mode::FILE,
            _ => return false,
        };
        let Some(stat) = self.stat.filter(|_| mode.bits() == self.mode) else { return false };
        // As git has them: the low 32 bits.
        let time = |secs: i64, nsecs: i64| Time { secs: secs as u32, nsecs: nsecs as u32 };
        stat.mtime == time(meta.mtime(), meta.mtime_nsec())
            && stat.ctime == time(meta.ctime(), meta.ctime_nsec())
            && [stat.dev, stat.ino, stat.size]
                == [meta.dev(), meta.ino(), meta.len()].map(|number| number as u32)
            && (stat.uid, stat.gid) == (meta.uid(), meta.gid())
    }
}

/// The entries of an index file. `git` runs git on just that index.
///
/// # Errors
/// If neither we nor git can read it.
pub(super) fn read(file: &Path, kind: gix::hash::Kind, git: impl Fn() -> Result<Git>) -> Result<Vec<Entry>> {
    match read_plain(file, kind) {
        Some(entries) => Ok(entries),
        None => read_by_git(git()?),
    }
}

/// As [`read`], by git in any case: where sparse patterns are in force, it takes a file that is there for
/// one that it is to look at.
pub(super) fn read_by_git(git: Git) -> Result<Vec<Entry>> {
    split_nul(&git.args(["ls-files", "-v", "--stage", "-z"]).ok()?).map(parse).collect()
}

/// The entries of an ordinary index, read in this process; `None` if it is sparse, split, damaged or of a newer kind.
pub(super) fn read_plain(file: &Path, kind: gix::hash::Kind) -> Option<Vec<Entry>> {
    // gix would put a split index together, but by rules that we need not rely on.
    let mut beside = fs::read_dir(file.parent()?).ok()?.flatten();
    if beside.any(|entry| entry.file_name().as_encoded_bytes().starts_with(b"sharedindex.")) {
        return None;
    }
    let index = gix::index::File::at(file, kind, false, Default::default()).ok()?;
    let known = [Mode::FILE, Mode::FILE_EXECUTABLE, Mode::SYMLINK, Mode::COMMIT];
    if index.is_sparse() || index.entries().iter().any(|entry| !known.contains(&entry.mode)) {
        return None;
    }
    let written = index.timestamp().unix_seconds();
    let stat = |entry: &gix::index::Entry| {
        // git sets the size to 0 where it has to read the file.
        let plain = entry.stat.size > 0 && i64::from(entry.stat.mtime.secs) < written;
        let odd = Flags::ASSUME_VALID | Flags::SKIP_WORKTREE | Flags::INTENT_TO_ADD;
        (plain && entry.flags.stage_raw() == 0 && !entry.flags.intersects(odd)).then_some(entry.stat)
    };
    let entries = index.entries().iter().map(|entry| Entry {
        path: Text::from(entry.path(&index).to_owned()),
        mode: entry.mode.bits(),
        id: entry.id,
        unmerged: entry.flags.stage_raw() != 0,
        hidden: entry.flags.intersects(Flags::ASSUME_VALID | Flags::SKIP_WORKTREE),
        stat: stat(entry),
    });
    Some(entries.collect())
}

/// The tree that the whole index was last written as, by its `TREE` extension; `None` if something in it has
/// changed since, or that is not told.
pub(super) fn written_tree(file: &Path, kind: gix::hash::Kind) -> Option<ObjectId> {
    let index = gix::index::File::at(file, kind, false, Default::default()).ok()?;
    let tree = index.tree()?;
    tree.num_entries.map(|_| tree.id)
}

/// `letter SP mode SP oid SP stage TAB path`; a small letter says assume-unchanged, S skip-worktree.
fn parse(line: &[u8]) -> Result<Entry> {
    let (head, path) = line.split_once_str("\t").context("git ls-files gave something unknown")?;
    let fields: Vec<&[u8]> = head.split(|&byte| byte == b' ').collect();
    let [&[letter], mode, id, stage] = fields[..] else { bail!("git ls-files gave something unknown") };
    let mode = u32::from_str_radix(&String::from_utf8_lossy(mode), 8)?;
    let hidden = letter == b'S' || letter.is_ascii_lowercase();
    let id = ObjectId::from_hex(id)?;
    Ok(Entry { path: path.into(), mode, id, unmerged: stage != b"0", hidden, stat: None })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::git::Repository;
    use crate::git::testing::Sandbox;

    fn both(sandbox: &Sandbox) -> (Option<Vec<Entry>>, Vec<Entry>) {
        let repo = sandbox.repository();
        let git = || Git::new().work_tree(&sandbox.repo, &repo.git_dir);
        let index = repo.git_dir.join("index");
        let gits = read_by_git(git()).unwrap();
        let kind = Repository::gix_id(&sandbox.oid("HEAD")).unwrap().kind();
        // git does not list what a file is known by.
        let less =
            |entries: Vec<Entry>| entries.into_iter().map(|entry| Entry { stat: None, ..entry }).collect();
        let all: Vec<Entry> = less(read(&index, kind, || Ok(git())).unwrap());
        assert_eq!(all, gits);
        (read_plain(&index, kind).map(less), gits)
    }

    /// Those of the files that are surely as the index has them.
    fn sure(sandbox: &Sandbox) -> Vec<String> {
        let entries = read_plain(&sandbox.repo.join(".git/index"), gix::hash::Kind::Sha1).unwrap();
        let meta = |entry: &Entry| sandbox.repo.join(entry.path.as_path()).symlink_metadata().unwrap();
        entries
            .iter()
            .filter(|entry| entry.is_surely(&meta(entry)))
            .map(|entry| entry.path.to_string())
            .collect()
    }

    #[test]
    fn an_old_file_that_nobody_touched_is_known_without_reading_it() {
        let sandbox = Sandbox::new();
        let long_ago = fs::FileTimes::new()
            .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1 << 30));
        let age = |name: &str| {
            let file = File::options().write(true).open(sandbox.repo.join(name)).unwrap();
            file.set_times(long_ago).unwrap();
        };
        let all = ["assumed", "edited", "empty", "mode", "new", "same", "touched"];
        for name in all {
            sandbox.write(name, if name == "empty" { "" } else { name });
            if name != "new" {
                age(name);
            }
        }
        std::os::unix::fs::symlink("same", sandbox.repo.join("link")).unwrap();
        sandbox.commit("files");
        sandbox.git(&["update-index", "--assume-unchanged", "assumed"]);
        // In the instant in which the index was written, nothing is sure.
        assert_eq!(sure(&sandbox), ["edited", "mode", "same", "touched"]);
        let index = File::options().write(true).open(sandbox.repo.join(".git/index")).unwrap();
        let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
        index.set_times(fs::FileTimes::new().set_modified(soon)).unwrap();
        assert_eq!(sure(&sandbox), ["README", "edited", "link", "mode", "new", "same", "touched"]);
        sandbox.write("edited", "EDITED");
        age("edited");
        age("touched");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(sandbox.repo.join("mode"), executable).unwrap();
        assert_eq!(sure(&sandbox), ["README", "link", "new", "same"]);
    }

    #[test]
    fn entries_are_those_that_git_lists() {
        let sandbox = Sandbox::new();
        for file in ["a\nb", "dir/x", "tab\there", "skipped", "assumed", "größe"] {
            sandbox.write(file, file);
        }
        std::os::unix::fs::symlink("README", sandbox.repo.join("link")).unwrap();
        sandbox.git(&["update-index", "--add", "--chmod=+x", "dir/x"]);
        let first = sandbox.commit("files");
        sandbox.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{first},sub")]);
        sandbox.git(&["update-index", "--skip-worktree", "skipped"]);
        sandbox.git(&["update-index", "--assume-unchanged", "assumed"]);
        sandbox.write("later", "");
        sandbox.git(&["add", "-N", "later"]);
        let blob = sandbox.rev("HEAD:README");
        let stages: String = (1..=3).map(|stage| format!("100644 {blob} {stage}\tREADME\n")).collect();
        sandbox.git(&["update-index", "--force-remove", "README"]);
        let git = Git::new().work_tree(&sandbox.repo, &sandbox.repo.join(".git"));
        git.args(["update-index", "--index-info"]).stdin(stages).ok().unwrap();
        for version in ["2", "4"] {
            sandbox.git(&["update-index", "--index-version", version]);
            let (plain, gits) = both(&sandbox);
            assert_eq!(plain.unwrap(), gits);
            assert_eq!(gits.iter().filter(|entry| entry.unmerged).count(), 3);
            assert_eq!(gits.iter().filter(|entry| entry.hidden).count(), 2);
        }
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_read_by_git() {
        let sandbox = Sandbox::new();
        for file in ["a", "in/x", "out/deep/y"] {
            sandbox.write(file, file);
        }
        sandbox.commit("files");
        assert!(both(&sandbox).0.is_some());
        sandbox.git(&["update-index", "--split-index"]);
        sandbox.write("in/z", "z");
        sandbox.git(&["add", "in/z"]);
        assert!(both(&sandbox).0.is_none());
        let sandbox = Sandbox::new();
        for file in ["in/x", "out/deep/y"] {
            sandbox.write(file, file);
        }
        sandbox.commit("files");
        sandbox.git(&["sparse-checkout", "set", "--cone", "--sparse-index", "in"]);
        let (plain, gits) = both(&sandbox);
        assert!(plain.is_none());
        assert!(gits.iter().any(|entry| entry.path == "out/deep/y".into() && entry.hidden));
    }

    #[test]
    fn a_hash_that_is_left_out_and_other_extensions_do_not_matter() {
        let sandbox = Sandbox::new();
        sandbox.git(&["config", "index.skipHash", "true"]);
        sandbox.git(&["update-index", "--untracked-cache"]);
        sandbox.write("a", "a");
        sandbox.commit("files");
        let (plain, gits) = both(&sandbox);
        assert_eq!(plain.unwrap(), gits);
        let path = sandbox.repo.join(".git/index");
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(40);
        fs::write(&path, bytes).unwrap();
        assert_eq!(read_plain(&path, gix::hash::Kind::Sha1), None);
    }
}
