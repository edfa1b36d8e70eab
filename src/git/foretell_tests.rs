//! What is foretold is what git finds when it merges every pair.

use proptest::prelude::*;

use super::*;
use crate::git::testing::{Sandbox, git_in};

fn look(sandbox: &Sandbox, target: &Oid, tips: &[Oid]) -> Foretold {
    let repo = sandbox.repository();
    let before = sandbox.git(&["count-objects", "-v"]);
    let foretold = Foresight::default().look(&repo, target, tips, &Leash::default()).unwrap();
    assert_eq!(sandbox.git(&["count-objects", "-v"]), before, "objects were left");
    foretold
}

fn paths(paths: &[&str]) -> Vec<Text> {
    paths.iter().map(|path| Text::from(*path)).collect()
}

fn clash(one: usize, other: usize, at: &[&str]) -> Clash {
    Clash { one, other, paths: paths(at) }
}

/// Branches made off to the side of one base, each by a script, and what is foretold of them.
struct Scene {
    sandbox: Sandbox,
    base: Oid,
    tips: Vec<Oid>,
}

fn scene(base: &str, scripts: &[&str]) -> Scene {
    let sandbox = Sandbox::new();
    let base = sandbox.commit_aside(&sandbox.oid("HEAD"), base);
    let tips = scripts.iter().map(|script| sandbox.commit_aside(&base, script)).collect();
    Scene { sandbox, base, tips }
}

impl Scene {
    fn look(&self) -> Foretold {
        look(&self.sandbox, &self.base, &self.tips)
    }
}

#[test]
fn pairs_collide_where_both_changed_the_same_lines() {
    let scene = scene(
        "seq 20 >f; echo x >'d e'",
        &[
            "sed -i s/^3$/a/ f; echo a >'d e'",
            "sed -i s/^18$/b/ f",
            "sed -i s/^3$/c/ f; echo c >'d e'",
            "true",
        ],
    );
    let foretold = scene.look();
    assert_eq!(foretold.with_target, vec![Outlook::Clean; 4]);
    assert_eq!(foretold.clashes, [clash(0, 2, &["d e", "f"])]);
}

#[test]
fn renames_are_seen() {
    let lines = "mkdir old; for i in 1 2 3 4; do seq $i 30 >old/$i; done";
    let scene = scene(
        lines,
        &[
            "git mv old new",
            "seq 9 >old/added",
            "git mv old/1 old/one",
            "git mv old/1 old/uno",
            "sed -i s/^7$/seven/ old/1",
            "git rm -q old/1",
        ],
    );
    let told = scene.look().clashes;
    let pairs: Vec<_> = told.iter().map(|clash| (clash.one, clash.other)).collect();
    // A directory that moved takes an added file along (0, 1); 0 and 4 merge: the edit follows the rename.
    assert_eq!(pairs, [(0, 1), (0, 2), (0, 3), (0, 5), (2, 3), (2, 5), (3, 5), (4, 5)]);
    assert_eq!(told[0].paths, paths(&["new/added"]));
    assert_eq!(told[4].paths, paths(&["old/1", "old/one", "old/uno"]));
}

#[test]
fn a_file_in_the_way_of_a_directory_has_its_own_name() {
    let scene = scene("true", &["echo file >lib", "mkdir lib; echo inside >lib/x", "echo 'no~1' >lib2"]);
    assert_eq!(scene.look().clashes, [clash(0, 1, &["lib"])]);
    let id = &scene.tips[0];
    let fields = [format!("lib~{id}"), format!("lib~{id}_0"), "a~1".to_owned(), format!("b~{id}_x")];
    let fields = fields.iter().map(String::as_bytes);
    let named = paths(&["a~1", &format!("b~{id}_x"), "lib"]);
    assert_eq!(conflict_paths(fields, [id, &scene.base]), named);
}

#[test]
fn what_the_target_did_meanwhile_is_told_of_the_target() {
    let sandbox = Sandbox::new();
    let first = sandbox.commit_aside(&sandbox.oid("HEAD"), "seq 20 >f; seq 20 >g");
    let second = sandbox.commit_aside(&first, "sed -i s/^3$/main/ f");
    let third = sandbox.commit_aside(&second, "echo main >h");
    // Left early, and collides with what the target did since; left later, and has that already.
    let early = sandbox.commit_aside(&first, "sed -i s/^3$/early/ f; sed -i s/^9$/early/ g");
    let late = sandbox.commit_aside(&second, "echo late >>g");
    let also = sandbox.commit_aside(&second, "sed -i s/^9$/also/ g");
    let foretold = look(&sandbox, &third, &[early, late, also]);
    assert_eq!(foretold.with_target, [Outlook::Collides(paths(&["f"])), Outlook::Clean, Outlook::Clean]);
    assert_eq!(foretold.clashes, [clash(0, 2, &["g"])]);
}

#[test]
fn branches_on_top_of_each_other_and_crossed_ones_are_merged_as_git_does() {
    let sandbox = Sandbox::new();
    let base = sandbox.commit_aside(&sandbox.oid("HEAD"), "seq 20 >f");
    let below = sandbox.commit_aside(&base, "sed -i s/^3$/below/ f; echo new >n");
    let above = sandbox.commit_aside(&below, "sed -i s/^3$/above/ f; echo newer >n");
    let beside = sandbox.commit_aside(&base, "sed -i s/^3$/beside/ f");
    let merge = |a: &Oid, b: &Oid| {
        let script = format!("git merge -q --no-edit -s ours {b}");
        sandbox.commit_aside(a, &script)
    };
    // Two merges of the same two, each in its own way: what is in between has two merge bases.
    let (one, other) = (merge(&below, &beside), merge(&beside, &below));
    let one = sandbox.commit_aside(&one, "echo one >>f");
    let tips = [below, above, beside, one.clone(), other];
    let foretold = look(&sandbox, &base, &tips);
    let pairs: Vec<_> = foretold.clashes.iter().map(|clash| (clash.one, clash.other)).collect();
    assert_eq!(pairs, by_hand(&sandbox, &tips));
    // The target itself can be crossed with a branch.
    let crossed = look(&sandbox, &one, &tips[4..]);
    assert_eq!(
        crossed.with_target == [Outlook::Clean],
        by_hand(&sandbox, &[one, tips[4].clone()]).is_empty()
    );
}

#[test]
fn what_has_no_common_history_is_not_merged() {
    let scene = scene("seq 9 >f", &["echo a >f", "echo b >f"]);
    let orphan: Oid = scene.sandbox.git(&["commit-tree", "-m", "orphan", "HEAD^{tree}"]).try_into().unwrap();
    let tips = [scene.tips[0].clone(), orphan, scene.tips[1].clone()];
    let foretold = look(&scene.sandbox, &scene.base, &tips);
    assert_eq!(foretold.with_target, [Outlook::Clean, Outlook::Unrelated, Outlook::Clean]);
    assert_eq!(foretold.clashes, [clash(0, 2, &["f"])]);
}

#[test]
fn attributes_and_configuration_are_the_users() {
    let both = ["echo a >>log", "echo b >>log", "echo 'log merge=union' >.gitattributes; echo c >>log"];
    let told = |attributes: &str| {
        let scene = scene(&format!("echo '{attributes}' >.gitattributes; echo x >log"), &both);
        scene.sandbox.git(&["config", "merge.mine.driver", "echo merged >%A"]);
        let clashes = scene.look().clashes;
        clashes.iter().map(|clash| (clash.one, clash.other)).collect::<Vec<_>>()
    };
    assert_eq!(told(""), [(0, 1), (0, 2), (1, 2)]);
    assert_eq!(told("log merge=union"), []);
    assert_eq!(told("log merge=mine"), []);
    // Landed first, a branch brings its attributes along.
    let scene = scene("echo x >log", &[both[2], both[0]]);
    assert_eq!(scene.look().clashes, []);
}

#[test]
fn a_second_look_finds_out_only_what_is_new() {
    let scene = scene("seq 20 >f", &["echo a >f", "echo b >f"]);
    let repo = scene.sandbox.repository();
    let (mut foresight, leash) = (Foresight::default(), Leash::default());
    let first = foresight.look(&repo, &scene.base, &scene.tips, &leash).unwrap();
    leash.pull();
    assert_eq!(foresight.look(&repo, &scene.base, &scene.tips, &leash).unwrap(), first);
    // The target moved on elsewhere: nothing about the two is new.
    let target = scene.sandbox.commit_aside(&scene.base, "echo main >m");
    assert_eq!(foresight.look(&repo, &target, &scene.tips, &leash).unwrap(), first);
    let moved = scene.sandbox.commit_aside(&scene.tips[0], "echo more >>f");
    assert!(foresight.look(&repo, &target, &[moved, scene.tips[1].clone()], &leash).is_err());
    let one = foresight.look(&repo, &target, &scene.tips[..1], &leash).unwrap();
    assert_eq!((one.with_target, one.clashes, foresight.verdicts.len()), (vec![Outlook::Clean], vec![], 0));
}

#[test]
fn an_older_git_gives_the_same_answers_one_by_one() {
    let scene = scene(
        "seq 20 >f; mkdir d; seq 9 >d/x; seq 20 29 >d/y",
        &["echo a >f", "echo b >f; git mv d e", "seq 9 >d/z", "rm f; mkdir f; echo >f/x"],
    );
    let repo = scene.sandbox.repository();
    let scratch = Scratch::new(&repo).unwrap();
    let tips = &scene.tips;
    let pairs = (0..4).flat_map(|i| (i + 1..4).map(move |j| (i, j)));
    let trial = |(i, j): (usize, usize)| Trial {
        attributes: scene.base.clone(),
        ours: tips[i].clone(),
        theirs: tips[j].clone(),
    };
    let trials: Vec<Trial> = pairs.map(trial).collect();
    let all: Vec<&Trial> = trials.iter().collect();
    let leash = Leash::default();
    let at_once = merge_many(&repo, &scratch, &scene.base, &all, &leash).unwrap();
    let one_by_one: Vec<Verdict> =
        all.iter().map(|trial| merge_one(&repo, &scratch, trial, &leash).unwrap()).collect();
    assert_eq!(at_once, one_by_one);
    assert_eq!(at_once.iter().flatten().count(), 4, "{at_once:?}");
}

#[test]
fn odd_paths_of_repositories_are_quoted() {
    let sandbox = Sandbox::new();
    let odd = sandbox.root().join("a:b \"c\"\\");
    sandbox.git(&["clone", "-q", ".", odd.to_str().unwrap()]);
    for (branch, text) in [("one", "1"), ("two", "2")] {
        git_in(&odd, &["checkout", "-q", "-b", branch, "main"]);
        std::fs::write(odd.join("README"), text).unwrap();
        git_in(&odd, &["-c", "user.name=a", "-c", "user.email=a", "commit", "-qam", text]);
    }
    let repo = Repository::discover(&odd).unwrap();
    let tip = |name: &str| git_in(&odd, &["rev-parse", name]).try_into().unwrap();
    let tips = [tip("one"), tip("two")];
    let foretold = Foresight::default().look(&repo, &tip("main"), &tips, &Leash::default()).unwrap();
    assert_eq!(foretold.clashes, [clash(0, 1, &["README"])]);
    assert_eq!(quoted(Path::new("/a b")), "/a b");
}

/// The pairs that collide when git merges each.
fn by_hand(sandbox: &Sandbox, tips: &[Oid]) -> Vec<(usize, usize)> {
    let collide = |a: &Oid, b: &Oid| {
        let git = sandbox.repository().git().args(["merge-tree", "--write-tree", a.as_str(), b.as_str()]);
        git.output().unwrap().code == Some(1)
    };
    let pairs = (0..tips.len()).flat_map(|i| (i + 1..tips.len()).map(move |j| (i, j)));
    pairs.filter(|&(i, j)| collide(&tips[i], &tips[j])).collect()
}

/// What a branch may do in a small world of directories and files.
#[derive(Clone, Debug)]
enum Deed {
    Edit(&'static str, u8),
    Remove(&'static str),
    Rename(&'static str, &'static str),
}

const FILES: [&str; 6] = ["a/x", "a/y", "a/s/z", "b/x", "b/w", "top"];
const DIRS: [&str; 6] = ["a", "b", "c", "a/s", "b/t", "d"];
const NEW: [&str; 8] = ["a/new", "a/s/new", "b/new", "c", "c/new", "d/x", "top/x", "a/s"];

fn deed() -> impl Strategy<Value = Deed> {
    let files = || prop::sample::select(FILES.to_vec());
    let all = prop::sample::select([&FILES[..], &NEW[..]].concat());
    let places = prop::sample::select([&NEW[..], &DIRS[..], &FILES[..]].concat());
    prop_oneof![
        3 => (all, 0..3u8).prop_map(|(path, how)| Deed::Edit(path, how)),
        1 => prop_oneof![files(), prop::sample::select(DIRS.to_vec())].prop_map(Deed::Remove),
        3 => (prop_oneof![files(), prop::sample::select(DIRS.to_vec())], places)
            .prop_map(|(from, to)| Deed::Rename(from, to)),
    ]
}

/// Does it in the present directory, as far as that is possible.
fn script(deeds: &[Deed]) -> String {
    let one = |deed: &Deed| match deed {
        Deed::Edit(path, how) => {
            let line = 2 + 9 * how;
            format!(
                "mkdir -p $(dirname {path}) && if [ -f {path} ]; then sed -i {line}s/.*/$1/ {path}; \
                     else seq {how}00 {how}20 >{path}; fi"
            )
        }
        Deed::Remove(path) => format!("rm -r {path}"),
        Deed::Rename(from, to) => format!("[ ! -e {to} ] && mkdir -p $(dirname {to}) && mv -T {from} {to}"),
    };
    deeds.iter().map(|deed| format!("( {} ) 2>/dev/null || :\n", one(deed))).collect()
}

fn every_pair_is_as_git_finds_it(branches: &[Vec<Deed>]) {
    let start = "mkdir -p a/s b; n=100; for f in a/x a/y a/s/z b/x b/w top; do seq $n $((n + 30)) >$f; n=$((n + 100)); done";
    let scripts: Vec<String> = branches
        .iter()
        .enumerate()
        .map(|(i, deeds)| format!("set -- branch{i}\n{}", script(deeds)))
        .collect();
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    let scene = scene(start, &scripts);
    let foretold = scene.look();
    let pairs: Vec<_> = foretold.clashes.iter().map(|clash| (clash.one, clash.other)).collect();
    assert_eq!(pairs, by_hand(&scene.sandbox, &scene.tips), "{branches:?}");
    assert_eq!(foretold.with_target, vec![Outlook::Clean; branches.len()]);
    // And with any of them as the target.
    let with_first = look(&scene.sandbox, &scene.tips[0], &scene.tips[1..]);
    for (i, outlook) in with_first.with_target.iter().enumerate() {
        assert_eq!(*outlook != Outlook::Clean, pairs.contains(&(0, i + 1)), "{branches:?}");
    }
}

fn branches() -> impl Strategy<Value = Vec<Vec<Deed>>> {
    prop::collection::vec(prop::collection::vec(deed(), 0..4), 5)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 8, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn random_branches_collide_where_git_says(branches in branches()) {
        every_pair_is_as_git_finds_it(&branches);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    #[ignore = "takes minutes"]
    fn very_many_random_branches_collide_where_git_says(branches in branches()) {
        every_pair_is_as_git_finds_it(&branches);
    }
}
