//! Commits that were read once, for whoever walks history.
//!
//! Every landing asks several times what the target and a branch have in common, and each answer is a walk over
//! all that has landed since the branch began. Read from disk each time, a run of a thousand tasks would spend
//! most of its time on that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gix::ObjectId;
use gix::objs::Kind;

/// Beyond so many it begins anew: walks over more than that are rare, and not worth the memory.
const MOST: usize = 16 << 10;

/// A commit larger than this is read each time.
const LARGEST: usize = 2 << 10;

/// Commits by their id, the same for all threads. What an id names never changes.
#[derive(Clone, Default)]
pub(super) struct Commits(Arc<Mutex<HashMap<ObjectId, Box<[u8]>>>>);

impl Commits {
    /// Has gix look here before it looks on disk. For walks alone: that a commit is here does not tell that git
    /// still has it.
    pub(super) fn serve(&self, mut gix: gix::Repository) -> gix::Repository {
        let commits = self.clone();
        gix.objects.set_object_cache(move || Box::new(commits.clone()));
        gix
    }

    fn known(&self) -> MutexGuard<'_, HashMap<ObjectId, Box<[u8]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl gix::odb::pack::cache::Object for Commits {
    fn put(&mut self, id: ObjectId, kind: Kind, data: &[u8]) {
        if kind != Kind::Commit || data.len() > LARGEST {
            return;
        }
        let mut known = self.known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(id, data.into());
    }

    fn get(&mut self, id: &ObjectId, out: &mut Vec<u8>) -> Option<Kind> {
        let known = self.known();
        let data = known.get(id)?;
        out.clear();
        out.extend_from_slice(data);
        Some(Kind::Commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;
    use crate::git::{count_commits, has_object, is_ancestor, merge_bases};

    #[test]
    fn what_was_read_once_is_known_to_walks_alone() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let (first, second) = (sandbox.oid("HEAD"), sandbox.commit("second"));
        assert_eq!(merge_bases(&repo, &first, &second).unwrap(), std::slice::from_ref(&first));
        let (folder, file) = first.as_str().split_at(2);
        std::fs::remove_file(repo.common_dir.join("objects").join(folder).join(file)).unwrap();
        assert!(
            is_ancestor(&repo, &first, &second).unwrap() && !is_ancestor(&repo, &second, &first).unwrap()
        );
        assert_eq!(count_commits(&repo, &second, &[&first]).unwrap(), 1);
        assert!(!has_object(&repo, &first));
        assert!(merge_bases(&sandbox.repository(), &first, &second).is_err());
    }

    #[test]
    fn it_stays_small() {
        use gix::odb::pack::cache::Object;
        let mut commits = Commits::default();
        for number in 0..u32::try_from(MOST).unwrap() + 5 {
            let mut bytes = [0; 20];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            commits.put(ObjectId::from(bytes), Kind::Commit, b"tree");
        }
        commits.put(ObjectId::from([1; 20]), Kind::Blob, b"blob");
        commits.put(ObjectId::from([2; 20]), Kind::Commit, &[b'x'; LARGEST + 1]);
        assert_eq!(commits.known().len(), 5);
    }
}
