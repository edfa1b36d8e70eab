//! What the target has that its branches began without, so that merge bases need no walk through all of it.
//!
//! Every landing asks what the target and a branch have in common. The plain answer is a walk over all that has
//! landed since the branch began, so a run of many tasks would walk over nearly all of it again and again. Here
//! the ancestors of the target are remembered, down to one commit (the bottom), and a branch is walked instead.
//!
//! The ancestors of the tip are those above, the bottom, and the bottom's own. A walk from another commit ends
//! where it meets one above or the bottom. If all its ways end at one and the same commit, that is the only best
//! common ancestor: what is common lies behind it. A way that meets a root may have passed by an ancestor of
//! the bottom, and then nothing is told. What was the tip before has the bottom and its ancestors, too.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gix::ObjectId;

/// So many commits of a branch, or new ones of the target, are walked at most.
const NEAR: usize = 64;
/// So many are above the bottom at most when a new trunk is looked at.
const MOST: usize = 16 << 10;
/// After so many vain tries, history is of another shape.
const TRIES: u32 = 8;

/// The trunk as it was last seen, the same for all threads.
#[derive(Default)]
pub(super) struct Trunk(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    known: Option<Known>,
    vain: u32,
}

struct Known {
    tip: ObjectId,
    bottom: ObjectId,
    /// The tip, and those of its ancestors that are neither the bottom nor ancestors of the bottom.
    above: HashSet<ObjectId>,
}

impl Trunk {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The only best common ancestor of the target and another commit, if that can be told.
    pub(super) fn merge_base(
        &self,
        gix: &gix::Repository,
        target: ObjectId,
        other: ObjectId,
    ) -> Option<ObjectId> {
        let mut seen = self.seen();
        let known = seen.known.as_mut()?;
        known.grow_to(gix, target);
        known.base_of(gix, target, other)
    }

    /// The commits that `tip` has and none of the others has, if that can be told.
    pub(super) fn beyond(
        &self,
        gix: &gix::Repository,
        others: &[ObjectId],
        tip: ObjectId,
    ) -> Option<Vec<ObjectId>> {
        let mut seen = self.seen();
        let known = seen.known.as_mut()?;
        others.iter().for_each(|other| known.grow_to(gix, *other));
        known.beyond(gix, others, tip)
    }

    /// Remembers a target that has only this commit in common with some branch.
    pub(super) fn remember(&self, gix: &gix::Repository, target: ObjectId, base: ObjectId) {
        let mut seen = self.seen();
        let is_known = |known: &Known| known.above.contains(&target) || known.bottom == target;
        if target == base || seen.vain >= TRIES || seen.known.as_ref().is_some_and(is_known) {
            return;
        }
        match walk(gix, target, MOST, |id| id == base) {
            Some(walk) => {
                seen.known =
                    Some(Known { tip: target, bottom: base, above: walk.passed.into_iter().collect() });
            }
            None => seen.vain += 1,
        }
    }
}

impl Known {
    fn has(&self, id: ObjectId) -> bool {
        id == self.bottom || self.above.contains(&id)
    }

    /// Makes it tell of this target, if that has gone on from the tip.
    fn grow_to(&mut self, gix: &gix::Repository, target: ObjectId) {
        if self.has(target) {
            return;
        }
        let grown = walk(gix, target, NEAR, |id| self.has(id)).filter(|walk| walk.ends.contains(&self.tip));
        if let Some(walk) = grown {
            self.above.extend(walk.passed);
            self.tip = target;
        }
    }

    /// The target may be one that was the tip before: it has the bottom, and of those above not all.
    fn base_of(&self, gix: &gix::Repository, target: ObjectId, other: ObjectId) -> Option<ObjectId> {
        let is_told = |base: ObjectId| target == self.tip || [target, self.bottom].contains(&base);
        if !self.has(target) {
            return None;
        }
        if self.has(other) {
            return Some(other).filter(|base| is_told(*base));
        }
        match walk(gix, other, NEAR, |id| self.has(id))?.ends[..] {
            [end] => Some(end).filter(|base| is_told(*base)),
            _ => None,
        }
    }

    fn beyond(&self, gix: &gix::Repository, others: &[ObjectId], tip: ObjectId) -> Option<Vec<ObjectId>> {
        if others.is_empty() || !others.iter().all(|other| self.has(*other)) {
            return None;
        }
        let is_told =
            |end: &ObjectId| others.contains(&self.tip) || others.contains(end) || *end == self.bottom;
        if self.has(tip) {
            return is_told(&tip).then(Vec::new);
        }
        let walk = walk(gix, tip, NEAR, |id| self.has(id))?;
        walk.ends.iter().all(is_told).then_some(walk.passed)
    }
}

/// What a walk through history has met.
struct Walk {
    /// Where it began, and all it passed.
    passed: Vec<ObjectId>,
    /// Where its ways end.
    ends: Vec<ObjectId>,
}

/// Walks from a commit to its ancestors, on each way up to the first that `is_end`. `None` if some way has no
/// such end, or there are more than `most` commits on the ways.
fn walk(
    gix: &gix::Repository,
    from: ObjectId,
    most: usize,
    is_end: impl Fn(ObjectId) -> bool,
) -> Option<Walk> {
    let (mut passed, mut known, mut ends) = (vec![from], HashSet::from([from]), Vec::new());
    let mut at = 0;
    while let Some(&id) = passed.get(at) {
        let commit = gix.find_commit(id).ok()?;
        let mut parents = commit.parent_ids().map(gix::Id::detach).peekable();
        parents.peek()?;
        for parent in parents.filter(|parent| known.insert(*parent)) {
            if is_end(parent) {
                ends.push(parent);
            } else {
                passed.push(parent);
            }
        }
        if passed.len() > most {
            return None;
        }
        at += 1;
    }
    Some(Walk { passed, ends })
}

#[cfg(test)]
mod tests {
    use crate::git::testing::Sandbox;
    use crate::git::{Repository, merge_bases, new_commits};
    use crate::run::Oid;

    /// Numbers that are the same each time.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % sides
        }
    }

    fn commit(sandbox: &Sandbox, number: usize, parents: &[&Oid]) -> Oid {
        let message = number.to_string();
        let tree = sandbox.rev("HEAD^{tree}");
        let mut args = vec!["commit-tree", "-m", &message];
        for parent in parents {
            args.extend(["-p", parent.as_str()]);
        }
        args.push(&tree);
        sandbox.git(&args).try_into().unwrap()
    }

    fn check(sandbox: &Sandbox, repo: &Repository, one: &Oid, other: &Oid) {
        let sorted = |mut bases: Vec<Oid>| {
            bases.sort();
            bases
        };
        let alone = merge_bases(&sandbox.repository(), one, other).unwrap();
        assert_eq!(sorted(merge_bases(repo, one, other).unwrap()), sorted(alone), "{one} {other}");
        let alone = new_commits(&sandbox.repository(), other, one).unwrap();
        assert_eq!(new_commits(repo, other, one).unwrap(), alone, "{one} {other}");
    }

    /// A target that grows, loses candidates, takes up branches from anywhere, and is asked about all of them.
    #[test]
    fn it_tells_what_a_walk_tells() {
        for seed in 0..3 {
            let (sandbox, mut dice) = (Sandbox::new(), Dice(seed));
            let repo = sandbox.repository();
            let mut all = vec![sandbox.oid("HEAD"), sandbox.commit("second"), sandbox.commit("third")];
            let mut target = all[1].clone();
            for number in 0..60 {
                // Mostly from the bottom, as the tasks of a run, or from wherever the target is.
                let from = match dice.roll(8) {
                    0..4 => all[1].clone(),
                    4..6 => target.clone(),
                    _ => all[dice.roll(all.len())].clone(),
                };
                let beside = all[dice.roll(all.len())].clone();
                let parents = if dice.roll(6) == 0 { vec![&from, &beside] } else { vec![&from] };
                let tip = commit(&sandbox, number, &parents);
                check(&sandbox, &repo, &target, &tip);
                let merged = commit(&sandbox, 1000 + number, &[&target, &tip]);
                check(&sandbox, &repo, &merged, &tip);
                check(&sandbox, &repo, &tip, &merged);
                check(&sandbox, &repo, &merged, &all[dice.roll(all.len())].clone());
                // What the target was before.
                check(&sandbox, &repo, &all[dice.roll(all.len())].clone(), &tip);
                all.extend([tip, merged.clone()]);
                match dice.roll(10) {
                    0 => target = all[dice.roll(all.len())].clone(),
                    1 | 2 => {} // the candidate is dropped
                    _ => target = merged,
                }
            }
        }
    }

    #[test]
    fn a_long_run_is_told_without_walking_through_it() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        sandbox.commit("second");
        let bottom = sandbox.commit("third");
        let mut target = bottom.clone();
        for number in 0..5 {
            let tip = commit(&sandbox, number, &[&bottom]);
            check(&sandbox, &repo, &target, &tip);
            target = commit(&sandbox, 1000 + number, &[&target, &tip]);
        }
        let tip = commit(&sandbox, 9, &[&bottom]);
        let id = |oid: &Oid| Repository::gix_id(oid).unwrap();
        let told = repo.trunk().merge_base(&repo.history(), id(&target), id(&tip));
        assert_eq!(told, Some(id(&bottom)));
    }
}
