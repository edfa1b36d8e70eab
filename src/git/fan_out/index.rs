//! An index file, as git writes it (gitformat-index(5)).

use anyhow::{Context, Result};
use bstr::ByteSlice;

use super::listing::{Entry, Listing, Tree};
use super::settings::Settings;

/// What an index remembers of a file, so that git need not read it again: the low 32 bits of each.
#[derive(Clone, Copy, Default, Hash)]
pub(super) struct Stat {
    ctime: [u32; 2],
    mtime: [u32; 2],
    dev: u32,
    ino: u32,
    uid: u32,
    gid: u32,
    size: u32,
}

impl Stat {
    /// Of a file as it is. The casts cut off what git cuts off, too.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index holds the low 32 bits, and how wide the fields are differs from system to system"
    )]
    pub(super) fn of(stat: &rustix::fs::Stat) -> Stat {
        Stat {
            ctime: [stat.st_ctime as u32, stat.st_ctime_nsec as u32],
            mtime: [stat.st_mtime as u32, stat.st_mtime_nsec as u32],
            dev: stat.st_dev as u32,
            ino: stat.st_ino as u32,
            uid: stat.st_uid,
            gid: stat.st_gid,
            // 0 means that git is to look again.
            size: if stat.st_size != 0 && stat.st_size as u32 == 0 { 1 << 31 } else { stat.st_size as u32 },
        }
    }

    /// Whether the file is there, and was last changed before `time` (seconds and nanoseconds).
    pub(super) fn changed_before(&self, time: [u32; 2]) -> bool {
        self.ino != 0 && self.ctime < time
    }
}

/// The index of a worktree whose files are as `stats` says; it is zero for those that are still missing.
///
/// # Errors
/// If it is too large for its format.
pub(super) fn encode(listing: &Listing, stats: &[Stat], settings: &Settings) -> Result<Vec<u8>> {
    let mut bytes = header(listing.entries.len(), settings)?;
    add_entries(&mut bytes, listing.entries.iter().zip(stats.iter().copied()), settings);
    let mut trees = Vec::new();
    add_tree(&mut trees, &listing.tree);
    bytes.extend_from_slice(b"TREE");
    bytes.extend_from_slice(&u32::try_from(trees.len()).context("too many trees")?.to_be_bytes());
    bytes.extend_from_slice(&trees);
    finish(bytes, listing, settings)
}

/// An index that has nothing but the files with attributes.
///
/// # Errors
/// As for [`encode`].
pub(super) fn of_attributes(listing: &Listing, settings: &Settings) -> Result<Vec<u8>> {
    let is_one = |entry: &&Entry| {
        entry.path.rsplit_once_str("/").map_or(&**entry.path, |(_, name)| name) == b".gitattributes"
    };
    let entries: Vec<&Entry> = listing.entries.iter().filter(is_one).collect();
    let mut bytes = header(entries.len(), settings)?;
    add_entries(&mut bytes, entries.into_iter().map(|entry| (entry, Stat::default())), settings);
    finish(bytes, listing, settings)
}

fn header(count: usize, settings: &Settings) -> Result<Vec<u8>> {
    let mut bytes = b"DIRC".to_vec();
    bytes.extend_from_slice(&settings.index_version.to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(count).context("too many files")?.to_be_bytes());
    Ok(bytes)
}

fn add_entries<'a>(
    bytes: &mut Vec<u8>,
    entries: impl Iterator<Item = (&'a Entry, Stat)>,
    settings: &Settings,
) {
    let mut last: &[u8] = b"";
    for (entry, stat) in entries {
        let begin = bytes.len();
        let Stat { ctime, mtime, dev, ino, uid, gid, size } = stat;
        for field in [ctime[0], ctime[1], mtime[0], mtime[1], dev, ino, entry.mode, uid, gid, size] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes.extend_from_slice(entry.id.as_slice());
        let length = u16::try_from(entry.path.len()).unwrap_or(u16::MAX).min(0xFFF);
        bytes.extend_from_slice(&length.to_be_bytes());
        if settings.index_version == 4 {
            let common = last.iter().zip(entry.path.iter()).take_while(|(a, b)| a == b).count();
            add_number(bytes, last.len() - common);
            bytes.extend_from_slice(&entry.path[common..]);
            bytes.push(0);
            last = &entry.path;
        } else {
            bytes.extend_from_slice(&entry.path);
            // One to eight NULs, up to a multiple of eight.
            let end = begin + (bytes.len() - begin + 8) / 8 * 8;
            bytes.resize(end, 0);
        }
    }
}

/// A number as in the offsets of a pack: seven bits a byte, the highest first, each but the last less one.
fn add_number(bytes: &mut Vec<u8>, mut number: usize) {
    let low = |number: usize| u8::try_from(number & 0x7F).unwrap_or_default();
    let mut digits = vec![low(number)];
    while number > 0x7F {
        number = (number >> 7) - 1;
        digits.push(low(number) | 0x80);
    }
    bytes.extend(digits.into_iter().rev());
}

/// A tree and those in it, in the order in which git looks for them: by length, then by bytes.
fn add_tree(bytes: &mut Vec<u8>, tree: &Tree) {
    bytes.extend_from_slice(&tree.name);
    bytes.extend_from_slice(format!("\0{} {}\n", tree.count, tree.children.len()).as_bytes());
    bytes.extend_from_slice(tree.id.as_slice());
    let mut children: Vec<&Tree> = tree.children.iter().collect();
    children.sort_by_key(|child| (child.name.len(), &child.name));
    for child in children {
        add_tree(bytes, child);
    }
}

fn finish(mut bytes: Vec<u8>, listing: &Listing, settings: &Settings) -> Result<Vec<u8>> {
    let kind = listing.tree.id.kind();
    let sum = if settings.skip_hash {
        kind.null()
    } else {
        let mut hasher = gix::hash::hasher(kind);
        hasher.update(&bytes);
        hasher.try_finalize()?
    };
    bytes.extend_from_slice(sum.as_slice());
    Ok(bytes)
}
