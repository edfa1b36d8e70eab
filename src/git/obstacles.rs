//! What of the user's stands in the way of moving a checkout from one commit to another.
//!
//! `git read-tree -m -u` keeps edited and staged files by itself, but it overwrites ignored ones without
//! a word, and it brings back a file that the user deleted. So everything is looked at beforehand.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::path::Path;

use anyhow::{Context, Result, bail};
use bstr::ByteSlice;
use gix::ObjectId;
use gix::diff::tree::Recorder;
use gix::diff::tree::recorder::Change as TreeChange;
use gix::objs::TreeRefIter;

use super::Repository;
use super::command::split_nul;
use super::index::{self, Entry, GITLINK};
use super::index_lock::IndexLock;
use crate::run::{Oid, Text};

/// Mode and object of a path.
type Version = (u32, ObjectId);

/// A path that the move touches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub(super) path: Text,
    /// What the old tip has there.
    pub(super) old: Option<Version>,
    /// What comes; nothing if the path goes.
    pub(super) new: Option<Version>,
}

impl Change {
    /// The path goes away.
    pub(super) fn deletes(&self) -> bool {
        self.new.is_none()
    }

    pub(super) fn is_gitlink(&self) -> bool {
        self.new.is_some_and(|(mode, _)| mode == GITLINK)
    }

    /// Whether this is the id of what comes, in hexadecimal.
    pub(super) fn brings(&self, id: &[u8]) -> bool {
        self.new.is_some_and(|(_, new)| ObjectId::from_hex(id).is_ok_and(|id| id == new))
    }
}

/// The move, as it looks from the index.
pub(super) struct Plan {
    /// What differs between the two commits, less what the index has in its new form already: git leaves
    /// that alone.
    pub(super) changes: Vec<Change>,
    /// What the index tracks.
    pub(super) index: HashMap<Text, Entry>,
    /// Tracked files that were edited or deleted, of those that the move touches at least; `None` if git has to be
    /// asked once more.
    unstaged: Option<HashSet<Text>>,
}

/// Why the checkout can't be moved, and the paths that are the reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct InTheWay {
    pub(super) reason: &'static str,
    pub(super) paths: Vec<Text>,
}

impl Plan {
    /// Works the plan out. The new index must hold what the index holds.
    pub(super) fn read(repo: &Repository, lock: &IndexLock) -> Result<Plan> {
        let changes = changes(repo, &lock.note.old, &lock.note.new)?;
        let kind = repo.gix().object_hash();
        if let Some(entries) = index::read_plain(&lock.new_index(), kind) {
            let plan = Plan::of(changes.clone(), entries, Some(HashSet::new()));
            if plan.is_untouched(&lock.top) {
                return Ok(plan);
            }
        }
        // Brings the time stamps up to date, and names the files that were edited.
        let refreshed = lock.git()?.args(["update-index", "--refresh"]).output()?;
        let entries = index::read(&lock.new_index(), kind, || lock.git())?;
        let mut plan = Plan::of(changes, entries, None);
        plan.unstaged = match refreshed.code {
            Some(0 | 1) => parse_refreshed(&refreshed.stdout, &plan.index),
            _ => None,
        };
        Ok(plan)
    }

    fn of(changes: Vec<Change>, entries: Vec<Entry>, unstaged: Option<HashSet<Text>>) -> Plan {
        let index = entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        let mut plan = Plan { changes: Vec::new(), index, unstaged };
        plan.changes = changes.into_iter().filter(|change| plan.is_staged(change, change.new)).collect();
        plan
    }

    /// Whether every tracked file that the move touches is certainly as the index has it. The time stamps of
    /// others don't matter.
    fn is_untouched(&self, top: &Path) -> bool {
        let mut directories = HashSet::new();
        let tracked = self.changes.iter().filter_map(|change| self.index.get(&change.path));
        tracked.into_iter().all(|entry| {
            let path = entry.path.as_path();
            // Beyond a symbolic link git sees no file.
            let above = path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
            let is_dir = |dir: &Path| top.join(dir).symlink_metadata().is_ok_and(|meta| meta.is_dir());
            for dir in above {
                if !directories.contains(dir) && !is_dir(dir) {
                    return false;
                }
                directories.insert(dir.to_owned());
            }
            top.join(path).symlink_metadata().is_ok_and(|meta| entry.is_surely(&meta))
        })
    }

    /// Whether the index has something other than `version` there.
    fn is_staged(&self, change: &Change, version: Option<Version>) -> bool {
        match self.index.get(&change.path) {
            Some(entry) => entry.unmerged || Some((entry.mode, entry.id)) != version,
            None => version.is_some(),
        }
    }

    /// What stands in the way, if anything does.
    pub(super) fn in_the_way(&self, lock: &IndexLock) -> Result<Option<InTheWay>> {
        let unmerged = self.index.values().filter(|entry| entry.unmerged).map(|entry| entry.path.clone());
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
        let asked;
        let unstaged = match &self.unstaged {
            Some(unstaged) => unstaged,
            None => {
                asked = names(
                    lock,
                    &["diff-files", "--no-renames", "--name-only", "-z", "--ignore-submodules=all"],
                )?;
                &asked
            }
        };
        let edited = |change: &&Change| {
            let is_gitlink = self.index.get(&change.path).is_some_and(|entry| entry.mode == GITLINK);
            let unstaged = match is_gitlink {
                // git does not mind what has taken the place of a submodule's directory.
                true => lock
                    .top
                    .join(change.path.as_path())
                    .symlink_metadata()
                    .ok()
                    .is_some_and(|meta| !meta.is_dir()),
                false => unstaged.contains(&change.path),
            };
            unstaged || self.is_staged(change, change.old)
        };
        Ok(self.changes.iter().filter(edited).map(|change| change.path.clone()).collect())
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

/// Reads what `git update-index --refresh` says: `PATH: needs update`, or `PATH: needs merge`, a line each,
/// with the path as it is. `None` where that could be read in more than one way.
fn parse_refreshed(said: &[u8], index: &HashMap<Text, Entry>) -> Option<HashSet<Text>> {
    if !said.is_empty() && index.keys().any(|path| path.as_bstr().contains(&b'\n')) {
        return None;
    }
    let mut edited = HashSet::new();
    let lines = match said.strip_suffix(b"\n") {
        Some(lines) => lines.split(|&byte| byte == b'\n').collect(),
        None if said.is_empty() => Vec::new(),
        None => return None,
    };
    for line in lines {
        let path = line.strip_suffix(b": needs update").or_else(|| line.strip_suffix(b": needs merge"))?;
        let path = Text::from(path);
        index.contains_key(&path).then(|| edited.insert(path))?;
    }
    Some(edited)
}

/// What differs between two commits.
fn changes(repo: &Repository, old: &Oid, new: &Oid) -> Result<Vec<Change>> {
    let compared = compare(repo, old, new).or_else(|_| {
        let git = repo.git().args(["diff-tree", "-r", "-z", "--no-renames", "--raw", "--no-abbrev"]);
        parse_raw(&git.args([old.as_str(), new.as_str()]).ok()?)
    });
    let mut changes = compared?;
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

/// As [`changes`], in this process. What git fetches or replaces by the way is beyond it.
pub(super) fn compare(repo: &Repository, old: &Oid, new: &Oid) -> Result<Vec<Change>> {
    let gix = repo.gix();
    let (old, new) = (Repository::gix_id(old)?, Repository::gix_id(new)?);
    let (old, new) = (gix.find_commit(old)?.tree()?, gix.find_commit(new)?.tree()?);
    let iter = |tree| TreeRefIter::from_bytes(tree, gix.object_hash());
    let mut seen = Recorder::default();
    gix::diff::tree(
        iter(&old.data),
        iter(&new.data),
        gix::diff::tree::State::default(),
        &gix.objects,
        &mut seen,
    )
    .map_err(|error| anyhow::anyhow!("cannot compare trees: {error}"))?;
    let version = |mode: gix::objs::tree::EntryMode, id: ObjectId| {
        mode.is_no_tree().then_some((u32::from(mode.kind() as u16), id))
    };
    // A path may go in one form and come in another, as a file that becomes a directory does.
    let mut changes: HashMap<Text, Change> = HashMap::new();
    for change in seen.records {
        let (path, old, new) = match change {
            TreeChange::Addition { entry_mode, oid, path, .. } => (path, None, version(entry_mode, oid)),
            TreeChange::Deletion { entry_mode, oid, path, .. } => (path, version(entry_mode, oid), None),
            TreeChange::Modification { previous_entry_mode, previous_oid, entry_mode, oid, path } => {
                (path, version(previous_entry_mode, previous_oid), version(entry_mode, oid))
            }
        };
        if old.is_some() || new.is_some() {
            let path = Text::from(path);
            let found = changes.entry(path.clone()).or_insert(Change { path, old: None, new: None });
            (found.old, found.new) = (found.old.or(old), found.new.or(new));
        }
    }
    Ok(changes.into_values().filter(|change| change.old != change.new).collect())
}

/// `:oldmode newmode oldid newid status NUL path NUL` (gitdiff-core, "raw output format").
fn parse_raw(raw: &[u8]) -> Result<Vec<Change>> {
    let version = |mode: &[u8], id: &[u8]| -> Result<Option<Version>> {
        let mode = u32::from_str_radix(&String::from_utf8_lossy(mode), 8)?;
        Ok(if mode == 0 { None } else { Some((mode, ObjectId::from_hex(id)?)) })
    };
    let mut changes = Vec::new();
    let mut fields = split_nul(raw);
    while let Some(head) = fields.next() {
        let head: Vec<&[u8]> = head.trim_start_with(|c| c == ':').split(|&byte| byte == b' ').collect();
        let ([old_mode, new_mode, old, new, _], Some(path)) = (&head[..], fields.next()) else {
            bail!("git diff-tree gave something unknown");
        };
        changes.push(Change {
            path: path.into(),
            old: version(old_mode, old)?,
            new: version(new_mode, new)?,
        });
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    #[test]
    fn commits_are_compared_as_git_does_it() {
        let sandbox = Sandbox::new();
        for file in
            ["a", "a.b", "a-b/x", "dir/x", "dir/y", "exe", "link", "keep/z", "becomes", "odd\n\"\t\u{e9}"]
        {
            sandbox.write(file, file);
        }
        let old = sandbox.commit("files");
        sandbox.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{old},sub")]);
        sandbox.git(&["commit", "-q", "-m", "gitlink"]);
        let old = sandbox.oid("HEAD");
        let new = sandbox.commit_aside(
            &old,
            "chmod +x exe; ln -sf a link; rm -r dir; echo f >dir; rm becomes; mkdir becomes; echo 1 >becomes/dir;
             rm a; mkdir a; echo x >a/x; echo more >a-b/y; echo 2 >odd*; rm -rf sub; echo sub >sub",
        );
        let repo = sandbox.repository();
        for (old, new) in [(&old, &new), (&new, &old), (&old, &old)] {
            let args = ["diff-tree", "-r", "-z", "--no-renames", "--raw", "--no-abbrev"];
            let raw = repo.git().args(args).args([old.as_str(), new.as_str()]).ok().unwrap();
            let mut gits = parse_raw(&raw).unwrap();
            gits.sort_by(|a, b| a.path.cmp(&b.path));
            assert_eq!(gits.is_empty(), old == new);
            assert_eq!(changes(&repo, old, new).unwrap(), gits);
        }
    }

    #[test]
    fn what_a_refresh_says_is_read_or_not_at_all() {
        let entry = |path: &str| {
            let id = ObjectId::null(gix::hash::Kind::Sha1);
            let entry =
                Entry { path: path.into(), mode: 0o100_644, id, unmerged: false, hidden: false, stat: None };
            (Text::from(path), entry)
        };
        let index = HashMap::from(["a", "b: needs update", "c d"].map(entry));
        let parse = |said: &str| parse_refreshed(said.as_bytes(), &index);
        assert_eq!(parse(""), Some(HashSet::new()));
        let said = "a: needs update\nb: needs update: needs update\nc d: needs merge\n";
        assert_eq!(parse(said).unwrap().len(), 3);
        for odd in ["a: needs update", "x: needs update\n", "a\n", "\n", "b: needs update\n"] {
            assert_eq!(parse(odd), None, "{odd:?}");
        }
        let index = HashMap::from(["a", "b\na"].map(entry));
        assert_eq!(parse_refreshed(b"b\na: needs update\n", &index), None);
        assert_eq!(parse_refreshed(b"", &index), Some(HashSet::new()));
    }
}
