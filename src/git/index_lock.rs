//! The lock on a worktree's index, held while the target moves under its checkout.
//!
//! By git's own protocol, whoever creates `index.lock` may change index and files, and everybody else
//! keeps out. Ours holds a note of what is going on, so that it is known for ours after a crash, and is
//! locked as a file too, by us and by every git that we start under it: once that lock is free, all who
//! could still be at work are dead. The new index is made beside it as `parallel-index`, and takes the
//! place of `index` in one step at the very end.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::command::LOCK_PATIENCE;
use super::refs::parse_oid;
use super::{Git, Repository};
use crate::run::{Oid, Text};

/// The first line of our `index.lock`.
const MARK: &[u8] = b"git-parallel\n";
/// Written to it before the first file is touched.
const MOVING: &[u8] = b"moving\n";

/// What an index lock of ours is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Note {
    /// The target's full name.
    pub(super) target: Text,
    /// The tip that it has.
    pub(super) old: Oid,
    /// The tip that it is to get.
    pub(super) new: Oid,
}

/// The held lock. Dropped, it lets go of the index, which is as it was.
pub(super) struct IndexLock {
    pub(super) note: Note,
    /// The top of the worktree.
    pub(super) top: PathBuf,
    admin_dir: PathBuf,
    file: File,
    /// Files may have been touched.
    pub(super) moving: bool,
    keep: bool,
}

impl IndexLock {
    /// Takes the lock, or gives `None` if somebody else holds it for longer than two seconds.
    pub(super) fn take(top: &Path, admin_dir: &Path, note: Note) -> Result<Option<IndexLock>> {
        let path = admin_dir.join("index.lock");
        let cannot = || format!("cannot create {}", path.display());
        let mut file =
            tempfile::NamedTempFile::with_prefix_in("parallel-", admin_dir).with_context(cannot)?;
        file.write_all(MARK).with_context(cannot)?;
        writeln!(file, "{}\n{}", note.old, note.new).with_context(cannot)?;
        file.write_all(note.target.as_bstr()).and_then(|()| file.write_all(b"\n")).with_context(cannot)?;
        file.as_file().sync_all().with_context(cannot)?;
        fs2::FileExt::lock_exclusive(file.as_file()).with_context(cannot)?;
        let patience = Instant::now() + LOCK_PATIENCE;
        loop {
            match file.persist_noclobber(&path) {
                Ok(file) => {
                    let (top, admin_dir) = (top.to_owned(), admin_dir.to_owned());
                    let lock = IndexLock { note, top, admin_dir, file, moving: false, keep: false };
                    lock.copy_index()?;
                    return Ok(Some(lock));
                }
                Err(taken) if taken.error.kind() == ErrorKind::AlreadyExists => file = taken.file,
                Err(other) => return Err(other.error).with_context(cannot),
            }
            if Instant::now() > patience {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(25));
        }
    }

    /// Takes over a lock of ours that a crash left behind; `None` if there is none, or if it is not ours.
    ///
    /// # Errors
    /// If somebody who works under it lives on.
    pub(super) fn adopt(top: &Path, admin_dir: &Path) -> Result<Option<IndexLock>> {
        let path = admin_dir.join("index.lock");
        let Ok(mut file) = File::options().read(true).append(true).open(&path) else { return Ok(None) };
        let patience = Instant::now() + LOCK_PATIENCE * 5;
        let mut content = Vec::new();
        let cannot = || format!("cannot read {}", path.display());
        (&mut file).take(64 * 1024).read_to_end(&mut content).with_context(cannot)?;
        let Some(note) = content.strip_prefix(MARK).and_then(parse_note) else { return Ok(None) };
        while let Err(error) = fs2::FileExt::try_lock_exclusive(&file) {
            if error.kind() != fs2::lock_contended_error().kind() || Instant::now() > patience {
                bail!("somebody still works under {}: {error}", path.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        // Whoever was at work may have gone on while we waited, or have come to the end of it.
        match File::open(&path) {
            Ok(again) if same_file(&again, &file)? => {}
            _ => return Ok(None),
        }
        content.clear();
        file.rewind().and_then(|()| file.read_to_end(&mut content)).with_context(cannot)?;
        let (top, admin_dir, moving) = (top.to_owned(), admin_dir.to_owned(), content.ends_with(MOVING));
        Ok(Some(IndexLock { note, top, admin_dir, file, moving, keep: false }))
    }

    /// git in the worktree, on the index that is being made.
    pub(super) fn git(&self) -> Result<Git> {
        Ok(self.plain_git()?.env("GIT_INDEX_FILE", self.new_index()))
    }

    /// git in the worktree, for what does not concern the index.
    pub(super) fn plain_git(&self) -> Result<Git> {
        self.held_by(Git::new().work_tree(&self.top, &self.admin_dir))
    }

    /// A call of git that counts as being at work under this lock.
    pub(super) fn held_by(&self, git: Git) -> Result<Git> {
        Ok(git.holding(self.file.try_clone().context("cannot share the lock of the index")?))
    }

    /// Removes what a killed `git update-ref` of ours leaves: the locks of the target and of this HEAD. To
    /// be called on an adopted lock. Those of somebody else are held for an instant only, or are older.
    pub(super) fn clear_ref_locks(&self, repo: &Repository) -> Result<()> {
        let begun = self.file.metadata().and_then(|meta| meta.modified()).context("cannot read the lock")?;
        let mut target = repo.common_dir.join(self.note.target.as_path()).into_os_string();
        target.push(".lock");
        let stale = |path: &PathBuf| {
            let meta = path.symlink_metadata().ok()?;
            meta.modified().is_ok_and(|time| time >= begun).then_some((meta.ino(), meta.dev()))
        };
        let suspects =
            [PathBuf::from(target), self.admin_dir.join("HEAD.lock"), repo.common_dir.join("HEAD.lock")];
        let suspects = suspects.map(|path| (stale(&path), path));
        if suspects.iter().any(|(seen, _)| seen.is_some()) {
            thread::sleep(LOCK_PATIENCE);
        }
        for (_, path) in suspects.iter().filter(|(seen, path)| seen.is_some() && stale(path) == *seen) {
            remove_file(path)?;
        }
        Ok(())
    }

    /// Starts the new index from what the index is now. It gets the same time stamp: by that, git tells
    /// which files may have changed in the same instant.
    pub(super) fn copy_index(&self) -> Result<()> {
        let (index, new) = (self.admin_dir.join("index"), self.new_index());
        for stale in [new.clone(), new.with_extension("lock")] {
            remove_file(&stale)?;
        }
        let cannot = || format!("cannot copy {}", index.display());
        match fs::copy(&index, &new) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            copied => copied.with_context(cannot)?,
        };
        let time = index.metadata().and_then(|meta| meta.modified()).with_context(cannot)?;
        let new = File::options().write(true).open(&new).with_context(cannot)?;
        new.set_times(fs::FileTimes::new().set_modified(time)).with_context(cannot)
    }

    /// Notes that files are about to be touched.
    pub(super) fn begin_moving(&mut self) -> Result<()> {
        let noted = self.file.write_all(MOVING).and_then(|()| self.file.sync_all());
        noted.context("cannot write to the lock of the index")?;
        self.moving = true;
        Ok(())
    }

    /// Puts the new index in place, if it is not there yet, and lets go. On an error everything stays, to
    /// be picked up by `recover`.
    pub(super) fn commit(mut self) -> Result<()> {
        self.keep = true;
        let (index, new) = (self.admin_dir.join("index"), self.new_index());
        if new.exists() {
            let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
            let moved =
                sync(&new).and_then(|()| fs::rename(&new, &index)).and_then(|()| sync(&self.admin_dir));
            moved.with_context(|| format!("cannot write {}", index.display()))?;
        }
        self.keep = false;
        Ok(())
    }

    /// Leaves lock and new index where they are, for `recover` to try again.
    pub(super) fn leave_behind(&mut self) {
        self.keep = true;
    }

    /// The lock file, for messages.
    pub(super) fn path(admin_dir: &Path) -> PathBuf {
        admin_dir.join("index.lock")
    }

    /// The index that is being made.
    pub(super) fn new_index(&self) -> PathBuf {
        self.admin_dir.join("parallel-index")
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        if !self.keep {
            // Nothing can be done about an error here; `recover` finds what is left.
            let new = self.new_index();
            let _ = fs::remove_file(new.with_extension("lock"));
            let _ = fs::remove_file(new);
            let _ = fs::remove_file(Self::path(&self.admin_dir));
        }
    }
}

fn parse_note(content: &[u8]) -> Option<Note> {
    let mut lines = content.splitn(4, |&byte| byte == b'\n');
    let (old, new) = (parse_oid(lines.next()?).ok()?, parse_oid(lines.next()?).ok()?);
    Some(Note { old, new, target: Text::from(lines.next()?) })
}

fn same_file(one: &File, other: &File) -> Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
