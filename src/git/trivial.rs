//! Merges that need no merge engine: where no path was changed on both sides, but for the same
//! modification of the same file.
//!
//! The three trees are compared. What one side left as the base has it is taken from the other; what both
//! made the same is taken; directories that both changed are compared in turn. Everything else is for git.
//!
//! This is exactly what `git merge-tree` comes to, whatever `merge.renames`, `merge.directoryRenames`,
//! attributes and drivers say. A driver, or a merge of lines, is asked only for a file of which base and
//! both sides differ, and there is none. That leaves renames. git looks for them among the paths that one side
//! deleted and those that the same side added, and they have a say in three ways only:
//!
//! - The other side changed or deleted what was renamed. It did not: what a side deleted, the other
//!   has as the base has it, since what both deleted is not taken here. Merged with the file under its new
//!   name, the unchanged one gives way.
//! - The other side has something else under the new name. It has nothing there, as the base: what both
//!   added is not taken here, not even if it is the same.
//! - A directory was renamed, and the other side added to it. git takes a directory for renamed only if
//!   the side has no directory there any more. What the other side adds below makes that directory differ in
//!   all three trees, and one of these is none: that is for git.
//!
//! With more than one merge base git merges these first, so only one will do.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use bstr::BString;
use gix::ObjectId;
use gix::objs::Kind;

use super::Repository;
use super::objects;
use super::refs::parse_oid;
use crate::run::Oid;

const TREE: u16 = 0o040_000;
/// The modes that git itself writes. What else there is in old trees it brings to one of these.
const MODES: [u16; 5] = [TREE, 0o100_644, 0o100_755, 0o120_000, 0o160_000];

/// Mode and object of a path, if it is there.
type Entry = Option<(u16, ObjectId)>;

/// A tree's entries by name.
type Entries = BTreeMap<BString, (u16, ObjectId)>;

/// The tree that the merge of two commits comes to, if that needs no merge engine; it is written, durably.
/// `None`: nothing is written, and git decides.
pub(super) fn merge(repo: &Repository, base: &Oid, ours: &Oid, theirs: &Oid) -> Option<Oid> {
    // What can't be read or written here (a partial clone has not all objects), git may be able to.
    try_merge(repo, base, ours, theirs).ok().flatten()
}

fn try_merge(repo: &Repository, base: &Oid, ours: &Oid, theirs: &Oid) -> Result<Option<Oid>> {
    let gix = repo.gix();
    let tree = |commit: &Oid| -> Result<Entry> {
        let commit = gix.find_commit(Repository::gix_id(commit)?)?;
        Ok(Some((TREE, commit.tree_id()?.detach())))
    };
    let mut merge = Merge { gix: &gix, made: Vec::new() };
    let Some(Some((_, merged))) = merge.entry([tree(base)?, tree(ours)?, tree(theirs)?])? else {
        return Ok(None);
    };
    if !objects::write(repo, Kind::Tree, &merge.made)? {
        return Ok(None);
    }
    parse_oid(merged.to_string().as_bytes()).map(Some)
}

/// A merge under way.
struct Merge<'a> {
    gix: &'a gix::Repository,
    /// The new trees, those inside of others first.
    made: Vec<Vec<u8>>,
}

impl Merge<'_> {
    /// What a path comes to; `None` if that is for git to say.
    fn entry(&mut self, [base, ours, theirs]: [Entry; 3]) -> Result<Option<Entry>> {
        if ours == theirs {
            return Ok(self.only_modified(base, ours)?.then_some(ours));
        }
        if base == ours {
            return Ok(Some(theirs));
        }
        if base == theirs {
            return Ok(Some(ours));
        }
        match [base, ours, theirs] {
            [Some((TREE, base)), Some((TREE, ours)), Some((TREE, theirs))] => {
                self.trees([Some(base), Some(ours), Some(theirs)])
            }
            [None, Some((TREE, ours)), Some((TREE, theirs))] => self.trees([None, Some(ours), Some(theirs)]),
            _ => Ok(None),
        }
    }

    fn trees(&mut self, sides: [Option<ObjectId>; 3]) -> Result<Option<Entry>> {
        let mut read = Vec::new();
        for side in sides {
            match side.map_or(Ok(Some(Entries::new())), |id| self.read(id))? {
                Some(entries) => read.push(entries),
                None => return Ok(None),
            }
        }
        let names: BTreeSet<&BString> = read.iter().flat_map(BTreeMap::keys).collect();
        let mut merged = Entries::new();
        for name in names {
            let sides = [0, 1, 2].map(|side: usize| read[side].get(name).copied());
            match self.entry(sides)? {
                Some(Some(entry)) => {
                    merged.insert(name.clone(), entry);
                }
                Some(None) => {}
                None => return Ok(None),
            }
        }
        if merged.is_empty() {
            // git has no empty directories, but for the top.
            return Ok(None);
        }
        let bytes = encode(&merged);
        let id = gix::objs::compute_hash(self.gix.object_hash(), Kind::Tree, &bytes)?;
        self.made.push(bytes);
        Ok(Some(Some((TREE, id))))
    }

    /// Whether what both sides made the same came without adding or deleting a path.
    fn only_modified(&self, base: Entry, both: Entry) -> Result<bool> {
        Ok(match (base, both) {
            _ if base == both => true,
            (Some((TREE, base)), Some((TREE, both))) => {
                let (Some(base), Some(both)) = (self.read(base)?, self.read(both)?) else { return Ok(false) };
                if !base.keys().eq(both.keys()) {
                    return Ok(false);
                }
                for (base, both) in base.values().zip(both.values()) {
                    if !self.only_modified(Some(*base), Some(*both))? {
                        return Ok(false);
                    }
                }
                true
            }
            (Some((base, _)), Some((both, _))) => base != TREE && both != TREE,
            _ => false,
        })
    }

    /// The entries of a tree; `None` if git would not write it so.
    fn read(&self, id: ObjectId) -> Result<Option<Entries>> {
        let tree = self.gix.find_tree(id)?;
        let mut entries = Entries::new();
        for entry in tree.iter() {
            let entry = entry.context("damaged tree")?;
            entries.insert(entry.filename().to_owned(), (entry.mode().value(), entry.object_id()));
        }
        let known = entries.values().all(|(mode, _)| MODES.contains(mode));
        Ok((known && encode(&entries) == tree.data).then_some(entries))
    }
}

/// A tree as git writes it: by name, a directory's with a slash at its end.
fn encode(entries: &Entries) -> Vec<u8> {
    let key = |name: &[u8], mode: u16| [name, if mode == TREE { b"/" } else { b"" }].concat();
    let mut sorted: Vec<_> = entries.iter().map(|(name, entry)| (key(name, entry.0), name, entry)).collect();
    sorted.sort();
    let mut bytes = Vec::new();
    for (_, name, (mode, id)) in sorted {
        bytes.extend_from_slice(format!("{mode:o} ").as_bytes());
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(id.as_slice());
    }
    bytes
}

#[cfg(test)]
#[path = "trivial_tests.rs"]
mod tests;
