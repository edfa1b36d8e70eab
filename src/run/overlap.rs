//! Which branches may collide, told from the paths that each changed, and which can land together.
//!
//! Two branches can collide only where both changed the same path, where what is a file to one is a
//! directory to the other, or where one took a directory away (perhaps by giving it another name) into which
//! the other adds. A renamed file is both a path that went and a path that came, so it needs no rule of its
//! own. Everything else git merges without looking into any file, so a pair that [`overlaps`] does not name
//! need not be merged to know. Whether a pair that it does name collides, only a merge can tell.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Oid, Text};

/// What a branch did to a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// There was no such file.
    Added,
    /// The file has this mode and content now.
    Modified(u16, Oid),
    /// The file is gone.
    Deleted,
}

/// What a branch changed since it left another.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    paths: BTreeMap<Text, Change>,
    emptied: BTreeSet<Text>,
}

impl Changes {
    /// Adds what happened to a path. Of two things told of one path the one counts that may collide more
    /// often.
    pub fn insert(&mut self, path: Text, change: Change) {
        match self.paths.get_mut(&path) {
            Some(known) if *known != change => *known = Change::Added,
            Some(_) => {}
            None => drop(self.paths.insert(path, change)),
        }
    }

    /// Adds a directory that is gone.
    pub fn insert_emptied(&mut self, directory: Text) {
        self.emptied.insert(directory);
    }

    /// Whether this path was changed.
    pub fn touches(&self, path: &Text) -> bool {
        self.paths.contains_key(path)
    }

    /// Whether a file of this name was changed in any directory.
    pub fn touches_any(&self, name: &str) -> bool {
        self.paths.keys().any(|path| path.as_bstr().rsplit(|&b| b == b'/').next() == Some(name.as_bytes()))
    }
}

/// The pairs that may collide, each once, the lower number first, in order.
pub fn overlaps(sets: &[&Changes]) -> Vec<(usize, usize)> {
    let (mut changed, mut emptied) = (HashMap::new(), HashMap::new());
    for (i, set) in sets.iter().enumerate() {
        for path in set.paths.keys() {
            changed.entry(bytes(path)).or_insert_with(Vec::new).push(i);
        }
        for directory in &set.emptied {
            emptied.entry(bytes(directory)).or_insert_with(Vec::new).push(i);
        }
    }
    let mut pairs = BTreeSet::new();
    let mut meet = |i: usize, others: Option<&Vec<usize>>| {
        let others = others.into_iter().flatten().filter(|&&j| j != i);
        pairs.extend(others.map(|&j| (i.min(j), i.max(j))));
    };
    for (i, set) in sets.iter().enumerate() {
        for (path, change) in &set.paths {
            let same = |j: &usize| matches!(change, Change::Modified(..)) && sets[*j].paths[path] == *change;
            let differ =
                changed.get(bytes(path)).map(|all| all.iter().copied().filter(|j| !same(j)).collect());
            meet(i, differ.as_ref());
            for directory in directories(bytes(path)) {
                meet(i, changed.get(directory));
                if *change == Change::Added {
                    meet(i, emptied.get(directory));
                }
            }
        }
    }
    pairs.into_iter().collect()
}

fn bytes(path: &Text) -> &[u8] {
    path.as_bstr()
}

/// The directories above a path.
fn directories(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

/// The sets that land together: the first is a largest set of `of` in which no two collide, the next is one
/// of what is left, and so on. Each is in the order of `of`, and of several that are as large it is the one
/// that has the earlier ones in it.
///
/// The sets are the largest there are where no more than 64 hang together by collisions and the search does
/// not take too long; beyond that, those that collide least are taken first.
pub fn independent(of: &[usize], collisions: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut left: Vec<usize> = of.to_vec();
    let mut sets = Vec::new();
    while !left.is_empty() {
        let set = largest(&left, collisions);
        left.retain(|one| !set.contains(one));
        sets.push(set);
    }
    sets
}

fn largest(of: &[usize], collisions: &[(usize, usize)]) -> Vec<usize> {
    let mut chosen = BTreeSet::new();
    for tangle in tangles(of, collisions) {
        match exact(&tangle, collisions) {
            Some(set) => chosen.extend(set),
            None => chosen.extend(greedy(&tangle, collisions)),
        }
    }
    of.iter().copied().filter(|one| chosen.contains(one)).collect()
}

/// Those that hang together by collisions, each group in the order of `of`.
fn tangles(of: &[usize], collisions: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut group: HashMap<usize, usize> = of.iter().map(|&one| (one, one)).collect();
    for (a, b) in collisions {
        let (Some(&a), Some(&b)) = (group.get(a), group.get(b)) else { continue };
        group.values_mut().filter(|g| **g == b).for_each(|g| *g = a);
    }
    let mut found: Vec<(usize, Vec<usize>)> = Vec::new();
    for one in of {
        match found.iter_mut().find(|(name, _)| *name == group[one]) {
            Some((_, members)) => members.push(*one),
            None => found.push((group[one], vec![*one])),
        }
    }
    found.into_iter().map(|(_, members)| members).collect()
}

/// Takes what collides least with what is left, again and again.
fn greedy(of: &[usize], collisions: &[(usize, usize)]) -> Vec<usize> {
    let mut left: BTreeMap<usize, BTreeSet<usize>> = of.iter().map(|&one| (one, BTreeSet::new())).collect();
    for &(a, b) in collisions.iter().filter(|(a, b)| of.contains(a) && of.contains(b)) {
        left.entry(a).or_default().insert(b);
        left.entry(b).or_default().insert(a);
    }
    let mut set = Vec::new();
    while let Some(next) = left.iter().min_by_key(|(one, others)| (others.len(), **one)).map(|(one, _)| *one)
    {
        let gone = left.remove(&next).unwrap_or_default();
        for neighbour in &gone {
            for other in left.remove(neighbour).into_iter().flatten() {
                if let Some(others) = left.get_mut(&other) {
                    others.remove(neighbour);
                }
            }
        }
        set.push(next);
    }
    set
}

/// How many choices the exact search may try.
const PATIENCE: u32 = 200_000;

/// A largest set, or `None` where that would take too long to find.
fn exact(of: &[usize], collisions: &[(usize, usize)]) -> Option<Vec<usize>> {
    if of.len() > 64 {
        return None;
    }
    let place: HashMap<usize, usize> = of.iter().enumerate().map(|(at, &one)| (one, at)).collect();
    let mut search = Search { neighbours: vec![0; of.len()], patience: PATIENCE };
    for (a, b) in collisions {
        if let (Some(&a), Some(&b)) = (place.get(a), place.get(b)) {
            search.neighbours[a] |= 1 << b;
            search.neighbours[b] |= 1 << a;
        }
    }
    let mut left = u64::MAX >> (64 - of.len().max(1));
    let mut size = greedy(of, collisions).len() as u32;
    while search.has(left, size + 1)? {
        size += 1;
    }
    let mut set = Vec::new();
    for (at, one) in of.iter().enumerate() {
        let rest = left & !(1 << at) & !search.neighbours[at];
        if left & (1 << at) != 0 && size > 0 && search.has(rest, size - 1)? {
            set.push(*one);
            (left, size) = (rest, size - 1);
        } else {
            left &= !(1 << at);
        }
    }
    Some(set)
}

/// Branch and bound over sets of at most 64, as bits.
struct Search {
    neighbours: Vec<u64>,
    patience: u32,
}

impl Search {
    /// Whether `left` has a set of this size in which no two are neighbours; `None` when patience ends.
    fn has(&mut self, mut left: u64, mut size: u32) -> Option<bool> {
        loop {
            if size == 0 {
                return Some(true);
            }
            if left.count_ones() < size {
                return Some(false);
            }
            self.patience = self.patience.checked_sub(1)?;
            let degree = |at: usize| (self.neighbours[at] & left).count_ones();
            let places = || (0..self.neighbours.len()).filter(|at| left & (1 << at) != 0);
            // One with a single neighbour, or none, is in some largest set.
            if let Some(free) = places().find(|&at| degree(at) <= 1) {
                left &= !(1 << free) & !self.neighbours[free];
                size -= 1;
                continue;
            }
            let Some(worst) = places().max_by_key(|&at| degree(at)) else { return Some(false) };
            left &= !(1 << worst);
            if self.has(left & !self.neighbours[worst], size - 1)? {
                return Some(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn oid(n: u8) -> Oid {
        format!("{n:02x}").repeat(20).as_str().try_into().unwrap()
    }

    fn changes(paths: &[(&str, Change)], emptied: &[&str]) -> Changes {
        let mut changes = Changes::default();
        paths.iter().for_each(|(path, change)| changes.insert((*path).into(), change.clone()));
        emptied.iter().for_each(|dir| changes.insert_emptied((*dir).into()));
        changes
    }

    fn meet(a: &Changes, b: &Changes) -> bool {
        let found = overlaps(&[a, b]);
        assert_eq!(found, overlaps(&[b, a]));
        !found.is_empty()
    }

    #[test]
    fn what_may_collide() {
        use Change::{Added, Deleted, Modified};
        let file = |path, change| changes(&[(path, change)], &[]);
        let edit = |n| Modified(0o100644, oid(n));
        assert!(meet(&file("a/b", edit(1)), &file("a/b", edit(2))));
        assert!(!meet(&file("a/b", edit(1)), &file("a/c", edit(1))));
        // The same edit on both sides is no collision; a deletion may be one half of a rename.
        assert!(!meet(&file("a", edit(1)), &file("a", edit(1))));
        assert!(meet(&file("a", edit(1)), &file("a", Modified(0o100755, oid(1)))));
        assert!(meet(&file("a", Deleted), &file("a", Deleted)));
        assert!(meet(&file("a", Added), &file("a", Added)));
        // A file of one is a directory of the other.
        assert!(meet(&file("a", Added), &file("a/b/c", Added)));
        assert!(!meet(&file("a", Added), &file("ab/c", Added)));
        assert!(!meet(&file("a/b", Added), &file("a/c", Added)));
        // A directory that was renamed takes along what others add to it.
        let renamed = changes(&[("old/x", Deleted), ("new/x", Added)], &["old"]);
        assert!(meet(&renamed, &file("old/sub/y", Added)));
        assert!(!meet(&renamed, &file("older/y", Added)));
        assert!(!meet(&renamed, &file("old/sub/y", edit(1))));
    }

    #[test]
    fn two_stories_of_one_path_are_the_worse_one() {
        let mut changes = changes(&[("a", Change::Modified(1, oid(1)))], &[]);
        changes.insert("a".into(), Change::Modified(1, oid(1)));
        assert_eq!(changes.paths[&"a".into()], Change::Modified(1, oid(1)));
        changes.insert("a".into(), Change::Modified(1, oid(2)));
        assert_eq!(changes.paths[&"a".into()], Change::Added);
        assert!(changes.touches(&"a".into()) && changes.touches_any("a") && !changes.touches_any("b"));
    }

    #[test]
    fn the_largest_sets_come_first_and_the_first_given_win_ties() {
        assert_eq!(independent(&[], &[]), Vec::<Vec<usize>>::new());
        assert_eq!(independent(&[3, 1], &[]), [[3, 1]]);
        assert_eq!(independent(&[0, 1], &[(0, 1)]), [[0], [1]]);
        assert_eq!(independent(&[1, 0], &[(0, 1)]), [[1], [0]]);
        // A star: its middle is left out.
        assert_eq!(independent(&[0, 1, 2, 3], &[(0, 1), (0, 2), (0, 3)]), [vec![1, 2, 3], vec![0]]);
        // Those that are not asked about don't count.
        assert_eq!(independent(&[0, 2], &[(0, 1), (1, 2)]), [[0, 2]]);
        let ring = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)];
        assert_eq!(independent(&[0, 1, 2, 3, 4], &ring), [vec![0, 2], vec![1, 3], vec![4]]);
    }

    #[test]
    fn very_many_are_sorted_out_all_the_same() {
        // A grid of 20 by 20: too large to be exact.
        let at = |x: usize, y: usize| 20 * y + x;
        let right = (0..19).flat_map(|x| (0..20).map(move |y| (at(x, y), at(x + 1, y))));
        let down = (0..20).flat_map(|x| (0..19).map(move |y| (at(x, y), at(x, y + 1))));
        let collisions: Vec<_> = right.chain(down).collect();
        let sets = independent(&(0..400).collect::<Vec<_>>(), &collisions);
        assert!(sets[0].len() > 150, "{}", sets[0].len());
        assert_eq!(sets.iter().map(Vec::len).sum::<usize>(), 400);
    }

    fn is_independent(set: &[usize], collisions: &[(usize, usize)]) -> bool {
        !collisions.iter().any(|(a, b)| set.contains(a) && set.contains(b))
    }

    /// A path of up to three parts of two letters, so that all kinds of clashes come up.
    fn some_path() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..4).prop_map(|parts| parts.join("/"))
    }

    fn some_changes() -> impl Strategy<Value = Changes> {
        let change = prop_oneof![
            Just(Change::Added),
            Just(Change::Deleted),
            (1..3u8).prop_map(|n| Change::Modified(1, oid(n)))
        ];
        let paths = prop::collection::vec((some_path(), change), 0..4);
        (paths, prop::collection::vec(some_path(), 0..2)).prop_map(|(paths, emptied)| {
            let mut changes = Changes::default();
            paths.into_iter().for_each(|(path, change)| changes.insert(path.into(), change));
            emptied.into_iter().for_each(|dir| changes.insert_emptied(dir.into()));
            changes
        })
    }

    /// The rule, word by word.
    fn by_hand(a: &Changes, b: &Changes) -> bool {
        let below = |path: &Text, dir: &Text| path.to_string().starts_with(&format!("{dir}/"));
        let one_way = |a: &Changes, b: &Changes| {
            a.paths.iter().any(|(path, change)| {
                let same = |other: &Change| other == change && matches!(change, Change::Modified(..));
                b.paths.get(path).is_some_and(|other| !same(other))
                    || b.paths.keys().any(|other| below(other, path))
                    || (*change == Change::Added && b.emptied.iter().any(|dir| below(path, dir)))
            })
        };
        one_way(a, b) || one_way(b, a)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_quick_way_finds_what_the_slow_one_does(sets in prop::collection::vec(some_changes(), 0..7)) {
            let mut slow = Vec::new();
            for i in 0..sets.len() {
                slow.extend((i + 1..sets.len()).filter(|&j| by_hand(&sets[i], &sets[j])).map(|j| (i, j)));
            }
            prop_assert_eq!(overlaps(&sets.iter().collect::<Vec<_>>()), slow);
        }

        #[test]
        fn sets_are_as_large_as_can_be(
            count in 0..12usize,
            collisions in prop::collection::vec((0..12usize, 0..12usize), 0..30),
        ) {
            let collisions: Vec<_> =
                collisions.into_iter().filter(|(a, b)| a < b && *b < count).collect();
            let mut left: Vec<usize> = (0..count).collect();
            for set in independent(&left.clone(), &collisions) {
                prop_assert!(is_independent(&set, &collisions));
                let all = (0..1u32 << left.len()).map(|bits| {
                    left.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, one)| *one).collect()
                });
                let all: Vec<Vec<usize>> = all.filter(|set: &Vec<usize>| is_independent(set, &collisions)).collect();
                let size = all.iter().map(Vec::len).max().unwrap();
                let first = all.into_iter().filter(|set| set.len() == size).min().unwrap();
                prop_assert_eq!(&set, &first);
                left.retain(|one| !set.contains(one));
            }
            prop_assert!(left.is_empty());
        }

        #[test]
        fn the_greedy_way_leaves_nobody_out_who_could_come(
            count in 0..12usize,
            collisions in prop::collection::vec((0..12usize, 0..12usize), 0..30),
        ) {
            let collisions: Vec<_> = collisions.into_iter().filter(|(a, b)| a < b && *b < count).collect();
            let all: Vec<usize> = (0..count).collect();
            let set = greedy(&all, &collisions);
            prop_assert!(is_independent(&set, &collisions));
            for one in all.iter().filter(|one| !set.contains(one)) {
                let with: Vec<usize> = set.iter().copied().chain([*one]).collect();
                prop_assert!(!is_independent(&with, &collisions));
            }
        }
    }
}
