//! What a branch changed since it left another, read in this process.

use std::cmp::Ordering;

use anyhow::{Result, anyhow};
use gix::objs::tree::EntryRef;

use super::Repository;
use super::refs::parse_oid;
use crate::run::{Change, Changes, Oid, Text};

/// Trees that several branches share are read from their packs once.
const CACHE: usize = 16 << 20;

/// What `tip` changed since each of `bases`, without looking for renames. Only trees that differ are read,
/// and no file.
///
/// # Errors
/// If a tree can't be read.
pub(super) fn changed_since(repo: &Repository, bases: &[Oid], tip: &Oid) -> Result<Changes> {
    let mut gix = repo.gix();
    gix.object_cache_size_if_unset(CACHE);
    let new = tree_of(&gix, tip)?;
    let mut walk = Walk { gix: &gix, changes: Changes::default() };
    for base in bases {
        walk.compare(Some(tree_of(&gix, base)?), Some(new), &mut Vec::new())?;
    }
    Ok(walk.changes)
}

fn tree_of(gix: &gix::Repository, commit: &Oid) -> Result<gix::ObjectId> {
    let found = gix.find_commit(Repository::gix_id(commit)?);
    let tree = found.and_then(|commit| Ok(commit.tree_id()?.detach()));
    tree.map_err(|e| anyhow!("cannot read the commit {commit}: {e:#}"))
}

struct Walk<'a> {
    gix: &'a gix::Repository,
    changes: Changes,
}

impl Walk<'_> {
    /// Compares two directories; `None` is one that is not there. `at` is their path with a slash behind.
    fn compare(
        &mut self,
        old: Option<gix::ObjectId>,
        new: Option<gix::ObjectId>,
        at: &mut Vec<u8>,
    ) -> Result<()> {
        if old == new {
            return Ok(());
        }
        if new.is_none() {
            self.changes.insert_emptied(Text::from(&at[..at.len().saturating_sub(1)]));
        }
        let (old, new) = (read(self.gix, old)?, read(self.gix, new)?);
        let (mut old, mut new) =
            (entries(old.as_ref())?.into_iter().peekable(), entries(new.as_ref())?.into_iter().peekable());
        loop {
            // Entries are sorted; what is a file here and a directory there are two.
            let order = match (old.peek(), new.peek()) {
                (Some(a), Some(b)) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Ok(()),
            };
            let before = if order.is_le() { old.next() } else { None };
            let after = if order.is_ge() { new.next() } else { None };
            self.entry(before, after, at)?;
        }
    }

    fn entry(
        &mut self,
        before: Option<EntryRef<'_>>,
        after: Option<EntryRef<'_>>,
        at: &mut Vec<u8>,
    ) -> Result<()> {
        let Some(either) = before.or(after) else { return Ok(()) };
        let length = at.len();
        at.extend_from_slice(either.filename);
        if either.mode.is_tree() {
            at.push(b'/');
            self.compare(before.map(|e| e.oid.to_owned()), after.map(|e| e.oid.to_owned()), at)?;
        } else if before.map(|e| (e.mode, e.oid)) != after.map(|e| (e.mode, e.oid)) {
            let change = match (before, after) {
                (None, _) => Change::Added,
                (Some(_), None) => Change::Deleted,
                (Some(_), Some(now)) => {
                    Change::Modified(now.mode.value(), parse_oid(now.oid.to_string().as_bytes())?)
                }
            };
            self.changes.insert(Text::from(at.as_slice()), change);
        }
        at.truncate(length);
        Ok(())
    }
}

fn read(gix: &gix::Repository, tree: Option<gix::ObjectId>) -> Result<Option<gix::Tree<'_>>> {
    let read = |id| gix.find_tree(id).map_err(|e| anyhow!("cannot read the tree {id}: {e:#}"));
    tree.map(read).transpose()
}

fn entries<'a>(tree: Option<&'a gix::Tree<'_>>) -> Result<Vec<EntryRef<'a>>> {
    let Some(tree) = tree else { return Ok(Vec::new()) };
    let decoded = tree.decode().map_err(|e| anyhow!("cannot read the tree {}: {e:#}", tree.id))?;
    Ok(decoded.entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::changed_paths;
    use crate::git::testing::Sandbox;

    #[test]
    fn every_kind_of_change_is_told() {
        let sandbox = Sandbox::new();
        let start = "mkdir -p d/e f.d; for f in a b c d/1 d/e/2 f.d/3 f; do echo $f >$f; done; mv f f.c";
        let base = sandbox.commit_aside(&sandbox.oid("HEAD"), start);
        let script = "echo >>a; chmod +x b; rm c; git mv d new; rm -r f.d; echo >f.d; rm f.c; mkdir f.c; echo >f.c/x; \
                      printf x >\"$(printf 'o\\377\\nx')\"";
        let tip = sandbox.commit_aside(&base, script);
        let repo = sandbox.repository();
        let changes = changed_since(&repo, std::slice::from_ref(&base), &tip).unwrap();
        for path in changed_paths(&repo, &base, &tip).unwrap() {
            assert!(changes.touches(&path), "{path:?}");
        }
        let told = format!("{changes:?}");
        for word in [
            r#""a": Modified(33188, "#,
            r#""b": Modified(33261, "#,
            r#""c": Deleted"#,
            r#""d/e/2": Deleted"#,
            r#""new/e/2": Added"#,
            r#""f.d": Added"#,
            r#""f.d/3": Deleted"#,
            r#""f.c/x": Added"#,
            r#""o\xff\nx": Added"#,
            r#"emptied: {"d", "d/e", "f.d"}"#,
        ] {
            assert!(told.contains(word), "{word} is not in {told}");
        }
        let nothing = changed_since(&repo, std::slice::from_ref(&tip), &tip).unwrap();
        assert_eq!(nothing, Changes::default());
        let orphan = "1".repeat(40).try_into().unwrap();
        assert!(changed_since(&repo, &[orphan], &tip).is_err());
    }
}
