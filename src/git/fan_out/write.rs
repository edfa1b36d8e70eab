//! Directories, files and symbolic links, in many worktrees at once.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow, bail};
use bstr::{BStr, ByteSlice};
use gix::objs::FindExt;
use gix::odb::pack::cache::lru::MemoryCappedHashmap;
use rustix::fd::OwnedFd;
use rustix::fs::{self, AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::index::Stat;
use super::listing::{EXECUTABLE, Entry, Listing, PLAIN, SYMLINK};
use super::reuse::{self, Kept, Print, Spare};
use crate::git::Repository;
use crate::git::index::GITLINK;
use crate::git::threads::{in_parallel, in_parallel_with};
use crate::run::Text;
use crate::sys;

/// So many bytes of bases of deltas does a thread keep (git: 96 MiB, `core.deltaBaseCacheLimit`).
const BASES: usize = 64 << 20;
/// Files that a thread takes at a time: enough for it to stay among neighbours.
const AT_A_TIME: usize = 128;
/// The data of files of so many bytes is shared where it can be. Sharing waits for the first of them to be
/// written to the disk, which takes longer than to write a few smaller ones.
const WORTH_SHARING: usize = 1 << 20;
/// By so much are files older than they are. git compares whole seconds: files as young as their index
/// would be read again by the first `git status`.
const OLDER: Duration = Duration::from_secs(2);

/// A worktree that is being filled.
pub(super) struct Target {
    path: PathBuf,
    root: OwnedFd,
    /// What it has already.
    kept: Kept,
    /// The age of its files means something to what is built from them.
    warm: bool,
    trouble: OnceLock<Trouble>,
}

/// Why a worktree is not filled any further.
pub(super) enum Trouble {
    /// git will do it, or say why it can't.
    ForGit,
    /// It can't be done.
    Failed(anyhow::Error),
}

impl Target {
    /// Opens a worktree, which must be empty, or have the files of one that is done with.
    pub(super) fn open(path: &Path, spare: Option<&Spare>, listing: &Listing) -> Result<Target> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = fs::open(path, flags, Mode::empty())?;
        let target = |kept, warm, root| {
            Ok(Target { path: path.to_owned(), root, kept, warm, trouble: OnceLock::new() })
        };
        if let Some(spare) = spare {
            match reuse::sweep(&root, spare, path, listing) {
                Ok(kept) => return target(kept, spare.warm, root),
                Err(_) => reuse::empty(path)?,
            }
        }
        for entry in fs::Dir::read_from(&root)? {
            if ![&b"."[..], b"..", b".git"].contains(&entry?.file_name().to_bytes()) {
                bail!("{} is not empty", path.display());
            }
        }
        target(Kept::default(), false, root)
    }

    /// What went wrong, if anything did.
    pub(super) fn into_trouble(self) -> Option<Trouble> {
        self.trouble.into_inner()
    }

    /// Does something to a path, unless something went wrong before.
    fn try_to<R>(&self, path: &BStr, act: impl FnOnce(&OwnedFd) -> Result<R, Errno>) -> Option<R> {
        if self.trouble.get().is_some() {
            return None;
        }
        let error = match act(&self.root) {
            Ok(done) => return Some(done),
            Err(error) => error,
        };
        let trouble = match error {
            // On a file system that folds names, or in somebody's hands.
            Errno::EXIST | Errno::LOOP | Errno::NOTDIR | Errno::NOENT => Trouble::ForGit,
            // git knows no better, but has words for what it does not take.
            Errno::INVAL | Errno::NAMETOOLONG | Errno::ILSEQ => Trouble::ForGit,
            error => Trouble::Failed(anyhow!(std::io::Error::from(error)).context(format!(
                "cannot write {}",
                self.path.join(Text::from(path.as_bytes()).as_path()).display()
            ))),
        };
        // The first trouble counts.
        let _ = self.trouble.set(trouble);
        None
    }
}

/// What was written in a worktree, or was there, in the order of the listing.
pub(super) struct Written {
    /// What the index is to remember.
    pub(super) files: Vec<Stat>,
    pub(super) dirs: Vec<Print>,
}

/// Writes everything but the files that are git's.
pub(super) fn write(repo: &Repository, listing: &Listing, targets: &[&Target]) -> Vec<Written> {
    let dirs = in_parallel(targets, |target| make_dirs(listing, target));
    let times = times();
    let shared = repo.gix().into_sync();
    let reader = || {
        let mut gix = shared.to_thread_local();
        gix.objects.set_pack_cache(|| Box::new(MemoryCappedHashmap::new(BASES)));
        Reader { gix, buffer: Vec::new() }
    };
    let chunks = listing.entries.chunks(AT_A_TIME).enumerate();
    let written = in_parallel_with(chunks, reader, |reader, (number, some)| {
        let mut stats = vec![vec![Stat::default(); some.len()]; targets.len()];
        for (at, entry) in some.iter().enumerate().filter(|(_, entry)| is_file(entry)) {
            let place = number * AT_A_TIME + at;
            write_file(reader, (place, entry), targets, &times, |target, stat| stats[target][at] = stat);
        }
        stats
    });
    let mut stats = vec![Vec::with_capacity(listing.entries.len()); targets.len()];
    for chunk in written {
        for (all, some) in stats.iter_mut().zip(chunk) {
            all.extend(some);
        }
    }
    // Only now: no path of a file led through one of them.
    let links = read_links(&mut reader(), listing, targets);
    in_parallel(targets.iter().zip(&mut stats), |(target, stats)| {
        for (at, link) in &links {
            let (entry, kept) = (&listing.entries[*at], target.kept.file(*at));
            let make = || {
                target.try_to(entry.path.as_bstr(), |root| make_link(root, entry, link.as_deref(), &times))
            };
            stats[*at] = kept.or_else(make).unwrap_or_default();
        }
    });
    stats.into_iter().zip(dirs).map(|(files, dirs)| Written { files, dirs }).collect()
}

/// Reads blobs, one at a time.
struct Reader {
    gix: gix::Repository,
    buffer: Vec<u8>,
}

impl Reader {
    /// The content; `None` if it can't be read, which git is then to say of the worktrees.
    fn blob(&mut self, entry: &Entry, targets: &[&Target]) -> Option<&[u8]> {
        match self.gix.objects.find_blob(&entry.id, &mut self.buffer) {
            Ok(blob) => Some(blob.data),
            Err(_) => {
                for target in targets {
                    let _ = target.trouble.set(Trouble::ForGit);
                }
                None
            }
        }
    }
}

fn is_file(entry: &Entry) -> bool {
    !entry.for_git && [PLAIN, EXECUTABLE].contains(&entry.mode)
}

/// The times that files get, access and modification.
fn times() -> Timestamps {
    let then = (SystemTime::now() - OLDER).duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = Timespec { tv_sec: then.as_secs().cast_signed(), tv_nsec: then.subsec_nanos().into() };
    Timestamps { last_access: time, last_modification: time }
}

fn make_dirs(listing: &Listing, target: &Target) -> Vec<Print> {
    let make = |dir: &BStr| {
        target.try_to(dir, |root| {
            fs::mkdirat(root, dir.as_bytes(), Mode::from_raw_mode(0o777))?;
            fs::statat(root, dir.as_bytes(), AtFlags::SYMLINK_NOFOLLOW).map(|stat| Print::of(&stat))
        })
    };
    let dirs = listing.dirs.iter().enumerate();
    dirs.map_while(|(at, dir)| target.kept.dir(at).or_else(|| make(dir.as_bstr()))).collect()
}

/// Decodes a file once, and writes it to all worktrees that don't have it.
fn write_file(
    reader: &mut Reader,
    (place, entry): (usize, &Entry),
    targets: &[&Target],
    times: &Timestamps,
    mut note: impl FnMut(usize, Stat),
) {
    let kept = |target: &&Target| target.kept.file(place);
    for (at, stat) in targets.iter().enumerate().filter_map(|(at, target)| Some((at, kept(target)?))) {
        note(at, stat);
    }
    if targets.iter().all(|target| kept(target).is_some()) {
        return;
    }
    let Some(content) = reader.blob(entry, targets) else { return };
    let mut first = None;
    for (at, target) in targets.iter().enumerate().filter(|(_, target)| kept(target).is_none()) {
        let times = (!target.warm).then_some(times);
        let make = |root: &OwnedFd| make_file(root, entry, content, first.as_ref(), times);
        if let Some((file, stat)) = target.try_to(entry.path.as_bstr(), make) {
            note(at, stat);
            first = first.or((content.len() >= WORTH_SHARING).then_some(file));
        }
    }
}

/// Makes a file; its data is shared with that of its like in another worktree, where the file system can.
fn make_file(
    root: &OwnedFd,
    entry: &Entry,
    content: &[u8],
    like: Option<&OwnedFd>,
    times: Option<&Timestamps>,
) -> Result<(OwnedFd, Stat), Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(if entry.mode == EXECUTABLE { 0o777 } else { 0o666 });
    let file = fs::openat(root, entry.path.as_slice(), flags, mode)?;
    if !like.is_some_and(|like| sys::share_data(&file, like)) {
        let mut rest = content;
        while !rest.is_empty() {
            match rustix::io::write(&file, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
    if let Some(times) = times {
        fs::futimens(&file, times)?;
    }
    let stat = Stat::of(&fs::fstat(&file)?);
    Ok((file, stat))
}

/// Where the symbolic links lead, by their place in the listing; with nothing for a submodule.
fn read_links(reader: &mut Reader, listing: &Listing, targets: &[&Target]) -> Vec<(usize, Option<Vec<u8>>)> {
    let mut links = Vec::new();
    for (at, entry) in listing.entries.iter().enumerate() {
        match entry.mode {
            SYMLINK => links.extend(reader.blob(entry, targets).map(|link| (at, Some(link.to_vec())))),
            GITLINK => links.push((at, None)),
            _ => {}
        }
    }
    links
}

/// Makes a symbolic link, or looks at the directory of a submodule.
fn make_link(root: &OwnedFd, entry: &Entry, link: Option<&[u8]>, times: &Timestamps) -> Result<Stat, Errno> {
    let path = entry.path.as_slice();
    if let Some(link) = link {
        fs::symlinkat(link, root, path)?;
        fs::utimensat(root, path, times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(Stat::of(&fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW)?))
}
