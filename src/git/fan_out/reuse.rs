//! Taking over the files of a worktree that is done with.
//!
//! What an index says of the files is its agent's word, so it does not count here. What we wrote is known by
//! what the kernel says of it: the inode, and the time of its last change, which nobody sets back. Such a
//! file is as it was written, and stays if the new worktree is to have it. Everything else is removed, and
//! written again.

use std::hash::{BuildHasher, Hash, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use bstr::{BStr, BString, ByteSlice};
use rustix::fd::OwnedFd;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};

use super::index::Stat;
use super::listing::{Entry, Listing};
use crate::git::removal::delete;
use crate::run::Text;
use crate::sys;

/// The files of a worktree that were just written, as they were then.
pub struct Filled {
    pub(super) listing: Arc<Listing>,
    pub(super) files: Vec<Stat>,
    pub(super) dirs: Vec<Print>,
}

/// What is known of the files of a worktree that others have been at since.
pub struct Known {
    listing: Arc<Listing>,
    /// By what each is known; nothing for a file that is not ours, or too young for that.
    files: Vec<Option<u64>>,
    dirs: Vec<u64>,
    seed: RandomState,
}

/// A worktree that is done with: its files, out of everybody's way.
pub struct Spare {
    /// Where they are.
    pub tree: PathBuf,
    /// What is known of them.
    pub known: Known,
    /// What git ignores stays.
    pub warm: bool,
}

/// By what a directory is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Print {
    device: u64,
    inode: u64,
    mode: u32,
    owner: (u32, u32),
}

impl Print {
    #[allow(clippy::useless_conversion, reason = "how wide the fields are differs from system to system")]
    pub(super) fn of(stat: &fs::Stat) -> Print {
        Print {
            device: stat.st_dev.into(),
            inode: stat.st_ino.into(),
            mode: stat.st_mode.into(),
            owner: (stat.st_uid, stat.st_gid),
        }
    }
}

impl Filled {
    /// What will be known of the files from now on. To be called before anybody else gets at them.
    ///
    /// A file system's clock ticks slowly: what was written in this tick could be written once more with
    /// the same time, and is not known then.
    pub fn settle(self) -> Known {
        let (seed, now) = (RandomState::new(), sys::file_clock());
        let is_settled = |stat: &Stat| now.is_some_and(|now| stat.changed_before(now));
        let files = self.files.iter().map(|stat| is_settled(stat).then(|| seed.hash_one(stat))).collect();
        let dirs = self.dirs.iter().map(|dir| seed.hash_one(dir)).collect();
        Known { listing: self.listing, files, dirs, seed }
    }
}

impl Known {
    /// Whether it is the file that was written there for `entry`.
    fn has(&self, entry: &Entry, stat: &Stat) -> bool {
        self.listing.file(entry.path.as_bstr()).is_some_and(|at| {
            let old = &self.listing.entries[at];
            (old.mode, old.id) == (entry.mode, entry.id) && self.files[at] == Some(self.seed.hash_one(stat))
        })
    }

    fn has_dir(&self, path: &BStr, print: Print) -> bool {
        self.listing.dir(path).is_some_and(|at| self.dirs.get(at) == Some(&self.seed.hash_one(print)))
    }
}

/// What is there already, by its place in the listing; nothing at all in a new worktree.
#[derive(Default)]
pub(super) struct Kept {
    files: Vec<Option<Stat>>,
    dirs: Vec<Option<Print>>,
}

impl Kept {
    pub(super) fn file(&self, at: usize) -> Option<Stat> {
        self.files.get(at).copied().flatten()
    }

    pub(super) fn dir(&self, at: usize) -> Option<Print> {
        self.dirs.get(at).copied().flatten()
    }
}

/// Removes what the new worktree is not to have, and tells what is left. (Where ignored files stay, so do
/// all that are not tracked: git is to sort them.)
///
/// # Errors
/// If something can't be looked at or removed, or can't be told for a new worktree's. Any part may be gone then.
pub(super) fn sweep(root: &OwnedFd, spare: &Spare, top: &Path, listing: &Listing) -> Result<Kept> {
    if !sys::is_plain_directory(root) {
        bail!("{} has attributes of its own", top.display());
    }
    let kept = Kept { files: vec![None; listing.entries.len()], dirs: vec![None; listing.dirs.len()] };
    let mut sweep = Sweep { spare, top, listing, kept };
    sweep.directory(root, &BString::default())?;
    Ok(sweep.kept)
}

struct Sweep<'a> {
    spare: &'a Spare,
    top: &'a Path,
    listing: &'a Listing,
    kept: Kept,
}

impl Sweep<'_> {
    /// Sweeps a directory; `below` is its path with a slash behind it, or nothing at the top.
    fn directory(&mut self, dir: &OwnedFd, below: &BString) -> Result<()> {
        for entry in fs::Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let mut path = below.clone();
            path.extend_from_slice(name);
            if !self.keeps(dir, name, &path)? {
                delete(&self.top.join(Text::from(path.as_bytes()).as_path()))?;
            }
        }
        Ok(())
    }

    /// Whether something stays. What is in a directory that stays is swept.
    fn keeps(&mut self, dir: &OwnedFd, name: &[u8], path: &BString) -> Result<bool> {
        let (file, directory) = (self.listing.file(path.as_bstr()), self.listing.dir(path.as_bstr()));
        if file.is_none() && directory.is_none() {
            return Ok(self.spare.warm && path != ".git");
        }
        let stat = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match (FileType::from_raw_mode(stat.st_mode), file, directory) {
            (FileType::Directory, submodule, Some(at)) => {
                self.keeps_dir(dir, name, path, at, submodule.is_some())
            }
            (FileType::RegularFile | FileType::Symlink, Some(at), None) => {
                let (entry, known) = (&self.listing.entries[at], Stat::of(&stat));
                let same = stat.st_nlink == 1 && !entry.for_git && self.spare.known.has(entry, &known);
                self.kept.files[at] = same.then_some(known);
                Ok(same)
            }
            _ => Ok(false),
        }
    }

    fn keeps_dir(
        &mut self,
        dir: &OwnedFd,
        name: &[u8],
        path: &BString,
        at: usize,
        is_submodule: bool,
    ) -> Result<bool> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let Ok(inner) = fs::openat(dir, name, flags, Mode::empty()) else { return Ok(false) };
        let print = Print::of(&fs::fstat(&inner)?);
        if is_submodule
            || !self.spare.known.has_dir(path.as_bstr(), print)
            || !sys::is_plain_directory(&inner)
        {
            return Ok(false);
        }
        self.kept.dirs[at] = Some(print);
        let mut below = path.clone();
        below.push(b'/');
        self.directory(&inner, &below)?;
        Ok(true)
    }
}

/// Makes a directory empty.
///
/// # Errors
/// If something in it can't be removed.
pub(super) fn empty(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        delete(&entry?.path())?;
    }
    Ok(())
}
