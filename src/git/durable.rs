//! Making durable what an agent's own git wrote: git by default syncs neither loose objects nor packs of
//! other processes, and a landing rests on them.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use gix::ObjectId;

use super::Repository;
use super::threads::waiting_in_parallel;
use crate::run::Oid;

/// Syncs every object that `tip` has and `onto` has not: loose ones each, and, where any of them is not
/// loose, the packs that were written since `since`.
///
/// # Errors
/// If an object can't be listed or synced.
pub fn make_durable(repo: &Repository, tip: &Oid, onto: &Oid, since: SystemTime) -> Result<()> {
    // gix fetches nothing in a partial clone, where git would.
    let listed = new_objects(repo, tip, onto).or_else(|_| listed_by_git(repo, tip, onto));
    let listed = listed.context("cannot list what is to be landed")?;
    let objects = repo.common_dir.join("objects");
    let synced = waiting_in_parallel(listed.iter(), |id| -> Result<Option<PathBuf>> {
        let id = id.to_string();
        let directory = objects.join(&id[..2]);
        let Ok(file) = File::open(directory.join(&id[2..])) else { return Ok(None) };
        file.sync_data().with_context(|| format!("cannot sync object {id}"))?;
        Ok(Some(directory))
    });
    let synced: Vec<Option<PathBuf>> = synced.into_iter().collect::<Result<_>>()?;
    let packed = synced.iter().any(Option::is_none);
    let mut directories: BTreeSet<PathBuf> = synced.into_iter().flatten().collect();
    if packed {
        sync_packs(&objects.join("pack"), since, &mut directories)?;
    }
    directories.insert(objects);
    waiting_in_parallel(directories.iter(), |directory| sync_directory(directory)).into_iter().collect()
}

/// The commits that `tip` has and `onto` has not, and what their trees have that those of their parents
/// have not at the same place. (Some of that may be elsewhere in `onto`, and is durable already.)
fn new_objects(repo: &Repository, tip: &Oid, onto: &Oid) -> Result<HashSet<ObjectId>> {
    let gix = repo.gix();
    let history = repo.history();
    let walk = history.rev_walk([Repository::gix_id(tip)?]).with_hidden([Repository::gix_id(onto)?]);
    let mut found = HashSet::new();
    for commit in walk.all()? {
        let commit = commit?;
        found.insert(commit.id);
        // A parent that is not there (a shallow clone) has nothing to compare with.
        let parents = commit.parent_ids().filter_map(|parent| gix.find_commit(parent).ok());
        let parents: Vec<ObjectId> =
            parents.filter_map(|parent| Some(parent.tree_id().ok()?.detach())).collect();
        add_tree(&gix, commit.object()?.tree_id()?.detach(), &parents, &mut found)?;
    }
    Ok(found)
}

fn add_tree(
    gix: &gix::Repository,
    tree: ObjectId,
    others: &[ObjectId],
    found: &mut HashSet<ObjectId>,
) -> Result<()> {
    if others.contains(&tree) || !found.insert(tree) {
        return Ok(());
    }
    let others: Vec<_> = others.iter().filter_map(|other| gix.find_tree(*other).ok()).collect();
    let others: Vec<_> = others.iter().filter_map(|other| other.decode().ok()).collect();
    for entry in gix.find_tree(tree)?.iter() {
        let entry = entry?;
        let is_tree = entry.mode().is_tree();
        let beside = others.iter().filter_map(|other| other.bisect_entry(entry.filename(), is_tree));
        let beside: Vec<ObjectId> = beside.map(|other| other.oid.to_owned()).collect();
        if is_tree {
            add_tree(gix, entry.object_id(), &beside, found)?;
        } else if !entry.mode().is_commit() && !beside.contains(&entry.object_id()) {
            found.insert(entry.object_id());
        }
    }
    Ok(())
}

fn listed_by_git(repo: &Repository, tip: &Oid, onto: &Oid) -> Result<HashSet<ObjectId>> {
    let exclude = format!("^{onto}");
    let git = repo.git().args(["rev-list", "--objects", "--no-object-names", tip.as_str(), &exclude]);
    let ids = git.ok()?;
    Ok(ids.split(|&byte| byte == b'\n').filter_map(|id| ObjectId::from_hex(id).ok()).collect())
}

fn sync_packs(dir: &Path, since: SystemTime, directories: &mut BTreeSet<PathBuf>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let new = entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|modified| modified >= since);
        if new && let Ok(file) = File::open(entry.path()) {
            file.sync_data().with_context(|| format!("cannot sync {}", entry.path().display()))?;
        }
    }
    directories.insert(dir.to_owned());
    Ok(())
}

fn sync_directory(directory: &Path) -> Result<()> {
    let synced = match File::open(directory) {
        // A `git gc` has packed what was in it, and syncs its packs.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        opened => opened.and_then(|dir| dir.sync_all()),
    };
    synced.with_context(|| format!("cannot sync {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    /// Everything that git would list must be found.
    fn check(sandbox: &Sandbox, tip: &Oid, onto: &Oid, more: usize) {
        let repo = sandbox.repository();
        let (ours, gits) = (new_objects(&repo, tip, onto).unwrap(), listed_by_git(&repo, tip, onto).unwrap());
        assert_eq!(gits.difference(&ours).collect::<Vec<_>>(), Vec::<&ObjectId>::new());
        assert_eq!(ours.len(), gits.len() + more);
        make_durable(&repo, tip, onto, SystemTime::now()).unwrap();
    }

    #[test]
    fn all_that_is_new_is_found() {
        let sandbox = Sandbox::new();
        for file in ["a/x", "a/y", "b/c/d/e", "b/c/f", "g"] {
            sandbox.write(file, file);
        }
        let base = sandbox.commit("files");
        let one = sandbox.commit_aside(&base, "echo 1 >a/x; mkdir n; echo n >n/n; rm g");
        check(&sandbox, &one, &base, 0);
        let two = sandbox.commit_aside(&one, "rm -r a; echo file >a; ln -s a l; echo 1 >b/c/d/e");
        check(&sandbox, &two, &base, 0);
        let moved = sandbox.commit_aside(&base, "mv b/c/f moved; echo k >b/k");
        check(&sandbox, &moved, &base, 1);
        let merged = sandbox.commit_aside(&two, &format!("git merge -q {moved}"));
        check(&sandbox, &merged, &two, 1);
        check(&sandbox, &merged, &base, 1);
        sandbox.git(&["gc", "-q"]);
        check(&sandbox, &merged, &base, 1);
        check(&sandbox, &base, &base, 0);
    }

    #[test]
    fn a_history_without_beginning_is_listed_too() {
        let sandbox = Sandbox::new();
        let base = sandbox.commit("second");
        sandbox.commit_aside(&base, "echo 1 >a");
        std::fs::write(sandbox.repo.join(".git/shallow"), format!("{base}\n")).unwrap();
        sandbox.write("n", "n");
        let tip = sandbox.commit("third");
        check(&sandbox, &tip, &base, 0);
    }
}
