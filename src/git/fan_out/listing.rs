//! What a commit's tree holds, in the order of an index.

use anyhow::{Result, bail};
use bstr::{BStr, BString, ByteSlice};
use gix::ObjectId;
use gix::objs::FindExt;
use gix::validate::path::component;

use crate::git::Repository;
use crate::git::index::GITLINK;
use crate::run::Oid;

pub(super) const TREE: u32 = 0o040_000;
pub(super) const PLAIN: u32 = 0o100_644;
pub(super) const EXECUTABLE: u32 = 0o100_755;
pub(super) const SYMLINK: u32 = 0o120_000;

/// The kernel takes no longer path, its final NUL counted.
const LONGEST_PATH: usize = 4095;
/// Deeper trees are left to git.
const DEEPEST: usize = 200;

/// Everything that a worktree gets.
pub(super) struct Listing {
    /// What goes into the index, in its order.
    pub(super) entries: Vec<Entry>,
    /// The directories, by their bytes, and so each after the one it is in; those of submodules, too.
    pub(super) dirs: Vec<BString>,
    /// The tree at the top.
    pub(super) tree: Tree,
}

/// A tracked path.
pub(super) struct Entry {
    pub(super) path: BString,
    /// As git writes it, such as `100644` (octal).
    pub(super) mode: u32,
    pub(super) id: ObjectId,
    /// git is to write it.
    pub(super) for_git: bool,
}

/// A tree object, for the index to remember.
pub(super) struct Tree {
    pub(super) name: BString,
    pub(super) id: ObjectId,
    /// How many entries of the index are below it.
    pub(super) count: usize,
    pub(super) children: Vec<Tree>,
}

impl Listing {
    /// Lists the tree of a commit.
    ///
    /// # Errors
    /// If an object is missing, or has in it what git would not write just so.
    pub(super) fn of(repo: &Repository, commit: &Oid) -> Result<Listing> {
        let gix = repo.gix();
        let id = gix.find_commit(Repository::gix_id(commit)?)?.tree_id()?.detach();
        let tree = Tree { name: BString::default(), id, count: 0, children: Vec::new() };
        let mut listing = Listing { entries: Vec::new(), dirs: Vec::new(), tree };
        listing.tree = listing.walk(&gix, BStr::new(""), b"".into(), id, 0)?;
        listing.dirs.sort_unstable();
        Ok(listing)
    }

    /// The place of a tracked path among the entries.
    pub(super) fn file(&self, path: &BStr) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.path.as_bstr().cmp(path)).ok()
    }

    /// The place of a directory among the directories.
    pub(super) fn dir(&self, path: &BStr) -> Option<usize> {
        self.dirs.binary_search_by(|dir| dir.as_bstr().cmp(path)).ok()
    }

    /// Adds what is in a tree. Trees are sorted just so that this gives the order of an index.
    fn walk(
        &mut self,
        gix: &gix::Repository,
        name: &BStr,
        prefix: &BStr,
        id: ObjectId,
        depth: usize,
    ) -> Result<Tree> {
        let mut buffer = Vec::new();
        let (before, mut children) = (self.entries.len(), Vec::new());
        for entry in gix.objects.find_tree(&id, &mut buffer)?.entries {
            let mode = u32::from(entry.mode.value());
            check(entry.filename, mode)?;
            let mut path = prefix.to_owned();
            path.extend_from_slice(entry.filename);
            if path.len() >= LONGEST_PATH || depth > DEEPEST {
                bail!("{path} is too long a path");
            }
            let is_dir = mode == TREE || mode == GITLINK;
            if is_dir {
                self.dirs.push(path.clone());
            }
            if mode == TREE {
                path.push(b'/');
                children.push(self.walk(
                    gix,
                    entry.filename,
                    path.as_bstr(),
                    entry.oid.to_owned(),
                    depth + 1,
                )?);
                continue;
            }
            if self.entries.last().is_some_and(|last| last.path >= path) {
                bail!("{path} is not in order");
            }
            self.entries.push(Entry { path, mode, id: entry.oid.to_owned(), for_git: false });
        }
        let count = self.entries.len() - before;
        if count == 0 && depth > 0 {
            bail!("{prefix} is empty, and git makes no empty directory");
        }
        Ok(Tree { name: name.to_owned(), id, count, children })
    }
}

/// Whether git would write an entry of this name and mode, and just so: it refuses names that some file
/// system takes for `.git`, and makes modes of its own of those that are unusual.
fn check(name: &BStr, mode: u32) -> Result<()> {
    if ![TREE, PLAIN, EXECUTABLE, SYMLINK, GITLINK].contains(&mode) {
        bail!("'{name}' has the mode {mode:o}");
    }
    let options = component::Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };
    let kind = (mode == SYMLINK).then_some(component::Mode::Symlink);
    gix::validate::path::component(name, kind, options)?;
    if name.contains(&0) || name.len() > 255 {
        bail!("'{name}' is no name of a file");
    }
    Ok(())
}
