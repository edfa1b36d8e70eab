//! What of the user's stands in the way of moving a checkout from one commit to another.
//!
//! `git read-tree -m -u` keeps edited and staged files by itself, but it overwrites ignored ones without
//! a word, and it brings back a file that the user deleted. So everything is looked at beforehand.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::path::Path;

use anyhow::{Context, Result, bail};
use bstr::ByteSlice;

use super::command::split_nul;
use super::index_lock::IndexLock;
use crate::run::Text;

const GITLINK: &[u8] = b"160000";
const ABSENT: &[u8] = b"000000";

/// A path that the move touches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub(super) path: Text,
    new_mode: Vec<u8>,
    /// The id of the incoming object; all zeros if the path goes.
    pub(super) new: Text,
}

impl Change {
    /// The path goes away.
    pub(super) fn deletes(&self) -> bool {
        self.new_mode == ABSENT
    }

    pub(super) fn is_gitlink(&self) -> bool {
        self.new_mode == GITLINK
    }
}

/// The move, as it looks from the index.
pub(super) struct Plan {
    /// What differs between the two commits, less what the index has in its new form already: git leaves
    /// that alone.
    pub(super) changes: Vec<Change>,
    /// What the index tracks, with the letter of `git ls-files -t`.
    pub(super) index: HashMap<Text, u8>,
}

/// Why the checkout can't be moved, and the paths that are the reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct InTheWay {
    pub(super) reason: &'static str,
    pub(super) paths: Vec<Text>,
}

impl Plan {
    /// Works the plan out. The new index must hold what the index holds.
    pub(super) fn read(lock: &IndexLock) -> Result<Plan> {
        // Brings the time stamps up to date. Exit code 1 says that some file was edited.
        lock.git()?.args(["update-index", "-q", "--refresh"]).output()?;
        let (old, new) = (lock.note.old.as_str(), lock.note.new.as_str());
        let raw = lock.git()?.args(["diff-tree", "-r", "-z", "--no-renames", "--raw", old, new]).ok()?;
        let staged =
            names(lock, &["diff-index", "--cached", "--no-renames", "--name-only", "-z", new, "--"])?;
        let mut changes = parse_raw(&raw)?;
        changes.retain(|change| staged.contains(&change.path));
        let mut index = HashMap::new();
        for entry in lock.git()?.args(["ls-files", "-t", "-z"]).entries()? {
            if let [letter, b' ', path @ ..] = entry.as_bstr().as_bytes() {
                index.insert(Text::from(path), *letter);
            }
        }
        Ok(Plan { changes, index })
    }

    /// What stands in the way, if anything does.
    pub(super) fn in_the_way(&self, lock: &IndexLock) -> Result<Option<InTheWay>> {
        let unmerged = self.index.iter().filter(|(_, letter)| **letter == b'M').map(|(path, _)| path.clone());
        let changed = self.edited(lock)?;
        let found = [
            ("unresolved conflicts", unmerged.collect()),
            ("uncommitted changes to files that the landing changes too", changed),
            ("files that git does not track where the landing brings its own", self.untracked(&lock.top)?),
        ];
        Ok(found.into_iter().find(|(_, paths)| !paths.is_empty()).map(|(reason, mut paths)| {
            paths.sort();
            paths.dedup();
            InTheWay { reason, paths }
        }))
    }

    /// Paths of the plan that the user edited or staged. What a submodule has checked out is its own
    /// affair: the move does not touch it.
    fn edited(&self, lock: &IndexLock) -> Result<Vec<Text>> {
        let old = lock.note.old.as_str();
        let staged = ["diff-index", "--cached", "--no-renames", "--name-only", "-z", old, "--"];
        let unstaged = ["diff-files", "--no-renames", "--name-only", "-z", "--ignore-submodules=all"];
        let (staged, unstaged) = (names(lock, &staged)?, names(lock, &unstaged)?);
        let paths = self.changes.iter().map(|change| &change.path);
        Ok(paths.filter(|path| staged.contains(path) || unstaged.contains(path)).cloned().collect())
    }

    fn untracked(&self, top: &Path) -> Result<Vec<Text>> {
        let going: HashSet<&Text> = self.changes.iter().filter(|c| c.deletes()).map(|c| &c.path).collect();
        let mut look = Look { top, plan: self, going, ancestors: HashMap::new(), found: Vec::new() };
        for change in self.changes.iter().filter(|change| !change.deletes()) {
            look.at(change)?;
        }
        Ok(look.found)
    }
}

/// A walk over the places that incoming files will take.
struct Look<'a> {
    top: &'a Path,
    plan: &'a Plan,
    /// Tracked paths that the move removes.
    going: HashSet<&'a Text>,
    /// Whether a directory on the way is there.
    ancestors: HashMap<Vec<u8>, bool>,
    found: Vec<Text>,
}

impl Look<'_> {
    fn at(&mut self, change: &Change) -> Result<()> {
        if !self.is_reachable(change.path.as_bstr())? {
            return Ok(());
        }
        let Some(meta) = self.lstat(&change.path)? else { return Ok(()) };
        let tracked = self.plan.index.contains_key(&change.path);
        if meta.is_dir() && !(tracked && change.is_gitlink()) {
            self.inside(&change.path)?;
        } else if !tracked {
            self.found.push(change.path.clone());
        }
        Ok(())
    }

    /// Whether all directories above the path are there; a file or link in place of one of them is in the
    /// way unless the move removes it.
    fn is_reachable(&mut self, path: &[u8]) -> Result<bool> {
        for end in path.find_iter("/") {
            let ancestor = &path[..end];
            let there = match self.ancestors.get(ancestor) {
                Some(&there) => there,
                None => {
                    let ancestor = Text::from(ancestor);
                    let meta = self.lstat(&ancestor)?;
                    let there = meta.as_ref().is_some_and(Metadata::is_dir);
                    if meta.is_some() && !there && !self.going.contains(&ancestor) {
                        self.found.push(ancestor.clone());
                    }
                    self.ancestors.insert(ancestor.as_bstr().to_vec(), there);
                    there
                }
            };
            if !there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Everything in a directory that must become something else, but for what the move itself removes.
    fn inside(&mut self, dir: &Text) -> Result<()> {
        let path = self.top.join(dir.as_path());
        let cannot = || format!("cannot read {}", path.display());
        for entry in fs::read_dir(&path).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let name = Text::from(
                [dir.as_bstr().as_bytes(), b"/", entry.file_name().as_encoded_bytes()].concat().as_slice(),
            );
            if entry.file_type().with_context(cannot)?.is_dir() {
                self.inside(&name)?;
            } else if !self.going.contains(&name) {
                self.found.push(name);
            }
        }
        Ok(())
    }

    fn lstat(&self, path: &Text) -> Result<Option<Metadata>> {
        let path = self.top.join(path.as_path());
        match fs::symlink_metadata(&path) {
            Ok(meta) => Ok(Some(meta)),
            Err(error) => match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Ok(None),
                _ => Err(error).with_context(|| format!("cannot look at {}", path.display())),
            },
        }
    }
}

/// The paths that a diff command names.
pub(super) fn names(lock: &IndexLock, args: &[&str]) -> Result<HashSet<Text>> {
    Ok(lock.git()?.args(args).entries()?.into_iter().collect())
}

/// `:oldmode newmode oldid newid status NUL path NUL` (gitdiff-core, "raw output format").
fn parse_raw(raw: &[u8]) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let mut fields = split_nul(raw);
    while let Some(head) = fields.next() {
        let head: Vec<&[u8]> = head.split(|&byte| byte == b' ').collect();
        let ([_, new_mode, _, new, _], Some(path)) = (&head[..], fields.next()) else {
            bail!("git diff-tree gave something unknown");
        };
        changes.push(Change { path: path.into(), new_mode: new_mode.to_vec(), new: Text::from(*new) });
    }
    Ok(changes)
}
