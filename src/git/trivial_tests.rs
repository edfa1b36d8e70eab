//! Whatever is merged here, git merges the same.

use super::*;
use crate::git::merge::{Verdict, merge_tree, verdict};
use crate::git::refs::merge_bases;
use crate::git::testing::Sandbox;

/// A source of numbers that is the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

type Files = BTreeMap<String, (&'static str, String)>;

const DIRS: [&str; 7] = ["", "a/", "a/in/", "b/", "c/", "c/deep/er/", "d/"];

/// Contents that are told apart by one line of several, so that renames are found, or are all the same.
fn content(dice: &mut Dice) -> String {
    let kind = dice.below(3);
    let lines: String = (0..9).map(|line| format!("line {line} of kind {kind}\n")).collect();
    format!("{lines}{}\n", dice.below(3))
}

fn put(files: &mut Files, path: String, entry: (&'static str, String)) {
    // A file takes the place of a directory, and the other way round.
    files.retain(|other, _| {
        !other.starts_with(&format!("{path}/")) && !path.starts_with(&format!("{other}/"))
    });
    files.insert(path, entry);
}

fn change(files: &mut Files, dice: &mut Dice) {
    let Some(path) = files.keys().nth(dice.below(files.len().max(1))).cloned() else { return };
    let dir = *dice.of(&DIRS);
    match dice.below(11) {
        0..=2 => put(files, format!("{dir}new{}", dice.below(6)), ("100644", content(dice))),
        3..=4 => put(files, path, ("100644", content(dice))),
        5 => drop(files.remove(&path)),
        6 => {
            let entry = files.remove(&path).unwrap();
            put(files, format!("{dir}moved{}", dice.below(4)), entry);
        }
        7 => {
            let to = *dice.of(&DIRS);
            let all: Vec<_> =
                files.keys().filter(|path| !dir.is_empty() && path.starts_with(dir)).cloned().collect();
            for path in all {
                let entry = files.remove(&path).unwrap();
                put(files, format!("{to}{}", &path[dir.len()..]), entry);
            }
        }
        8 => {
            // The top into a directory, or a directory away.
            let top: Vec<_> = files.keys().filter(|path| !path.contains('/')).cloned().collect();
            for path in top {
                let entry = files.remove(&path).unwrap();
                put(files, format!("{}{path}", DIRS[3 + dice.below(4)]), entry);
            }
        }
        9 => drop(files.entry(path).and_modify(|entry| {
            entry.0 = *dice.of(&["100644", "100755", "120000", "160000"]);
            if entry.0 == "120000" {
                entry.1 = "target".to_owned();
            }
        })),
        _ => put(files, format!("{path}/below"), ("100644", content(dice))),
    }
}

/// One stream for `git fast-import`: pairs of branches, and what they part from.
fn history(dice: &mut Dice, cases: usize) -> String {
    let mut stream = String::new();
    let mut mark = 0;
    let mut commit = |files: &Files, parents: &[usize]| {
        mark += 1;
        let mut text =
            format!("commit refs/cases/{mark}\nmark :{mark}\ncommitter A <a@b> {mark} +0000\ndata 0\n");
        for (at, parent) in parents.iter().enumerate() {
            text += &format!("{} :{parent}\n", if at == 0 { "from" } else { "merge" });
        }
        text += "deleteall\n";
        for (path, (mode, content)) in files {
            if *mode == "160000" {
                // A submodule is at a commit that is not here.
                text += &format!("M 160000 {:040} {path}\n", content.bytes().map(u64::from).sum::<u64>());
            } else {
                text += &format!("M {mode} inline {path}\ndata {}\n{content}\n", content.len());
            }
        }
        stream += &text;
        mark
    };
    for _ in 0..cases {
        let mut base = Files::new();
        for _ in 0..3 + dice.below(12) {
            let path = format!("{}f{}", dice.of(&DIRS), dice.below(8));
            put(&mut base, path, ("100644", content(dice)));
        }
        let root = commit(&base, &[]);
        let mut sides = [base.clone(), base.clone()];
        let same = dice.below(4) == 0;
        for side in &mut sides {
            let few = 1 + dice.below(3);
            (0..few).for_each(|_| change(side, dice));
        }
        if same {
            let mut twin = Dice(dice.0);
            change(&mut sides[0], dice);
            change(&mut sides[1], &mut twin);
        }
        let [one, other] = [commit(&sides[0], &[root]), commit(&sides[1], &[root])];
        if dice.below(8) == 0 {
            // Criss-cross.
            commit(&sides[0], &[one, other]);
            commit(&sides[1], &[other, one]);
        } else {
            commit(&sides[0], &[one]);
            commit(&sides[1], &[other]);
        }
    }
    stream
}

/// How many of so many merges were made here. Each must be what git makes of it.
fn check(seed: u64, cases: usize) -> usize {
    let sandbox = Sandbox::new();
    let stream = sandbox.root().join("stream");
    std::fs::write(&stream, history(&mut Dice(seed), cases)).unwrap();
    let import = format!("!git fast-import --quiet --export-marks=../marks <'{}'", stream.display());
    sandbox.git(&["-c", &format!("alias.import={import}"), "import"]);
    let marks = std::fs::read_to_string(sandbox.root().join("marks")).unwrap();
    let marks: BTreeMap<usize, Oid> = marks
        .lines()
        .map(|line| line.trim_start_matches(':').split_once(' ').unwrap())
        .map(|(mark, id)| (mark.parse().unwrap(), id.to_owned().try_into().unwrap()))
        .collect();
    let commits: Vec<&Oid> = marks.values().collect();
    let repo = sandbox.repository();
    let mut made = 0;
    for (case, commits) in commits.chunks_exact(5).enumerate() {
        let (ours, theirs) = (commits[3], commits[4]);
        let bases = merge_bases(&repo, ours, theirs).unwrap();
        let [base] = &bases[..] else { continue };
        let Some(tree) = merge(&repo, base, ours, theirs) else { continue };
        let gits = merge_tree(&repo, ours, None, theirs).unwrap();
        assert_eq!(gits, Ok(tree.clone()), "seed {seed}, case {case}: {base} {ours} {theirs}");
        for setting in ["false", "true"] {
            let git = sandbox.repository().git().args(["-c", &format!("merge.directoryRenames={setting}")]);
            let git = git.args(["merge-tree", "--write-tree", ours.as_str(), theirs.as_str()]);
            assert_eq!(parse_oid(&git.ok().unwrap()).unwrap(), tree, "{setting}: seed {seed}, case {case}");
        }
        made += 1;
    }
    sandbox.fsck();
    made
}

#[test]
fn what_is_merged_here_is_what_git_makes_of_it() {
    let made = check(7, 120);
    assert!((20..100).contains(&made), "{made} of 120");
}

#[test]
#[ignore = "takes minutes"]
fn thousands_of_merges_are_what_git_makes_of_them() {
    let made: usize = (100..130).map(|seed| check(seed, 200)).sum();
    println!("{made} of 6000 needed no engine");
    assert!(made > 1000, "{made}");
}

fn fork(base: &str, left: &str, right: &str) -> (Sandbox, [Oid; 3]) {
    let sandbox = Sandbox::new();
    let base = sandbox.commit_aside(&sandbox.oid("HEAD"), base);
    let sides = [left, right].map(|script| sandbox.commit_aside(&base, script));
    let [left, right] = sides;
    (sandbox, [base, left, right])
}

const FILES: &str = "mkdir -p d e; for f in d/a d/b e/c f; do seq 20 >$f; echo $f >>$f; done";

/// Where renames and their kin could have a say, git has it.
#[test]
fn what_could_be_a_rename_in_part_is_for_git() {
    for (left, right) in [
        ("git mv d/a n", "echo x >>d/a"),
        ("git mv d n", "echo x >d/new"),
        ("git mv d n", "mkdir d/in; echo x >d/in/new"),
        ("git mv d/a n", "git mv d/a m"),
        ("git mv d/a n", "git rm -q d/a"),
        ("git rm -q d/a", "git rm -q d/a"),
        ("echo x >n", "echo x >n"),
        ("git mv d/a n", "git mv d/b n"),
        ("rm -r d; echo x >d", "echo x >>d/a"),
        ("chmod +x f", "echo x >>f"),
        ("echo x >>f", "echo y >>f"),
        ("rm f; mkdir f; echo x >f/x", "rm f; mkdir f; echo y >f/y"),
        ("mkdir n; echo x >n/x", "echo y >n"),
        ("git rm -q d/a", "git rm -q d/b"),
    ] {
        let (sandbox, [base, left_id, right_id]) = fork(FILES, left, right);
        let repo = sandbox.repository();
        assert_eq!(merge(&repo, &base, &left_id, &right_id), None, "{left} | {right}");
        assert_eq!(merge(&repo, &base, &right_id, &left_id), None, "{right} | {left}");
    }
}

#[test]
fn what_only_one_side_did_is_taken_whole() {
    for (left, right) in [
        ("echo x >x", "echo y >y"),
        ("echo x >d/x", "echo y >d/y"),
        ("git mv d n", "echo x >>f"),
        ("git mv d/a e/a; echo x >>e/a", "git mv f d/n"),
        ("rm -r d; echo x >d", "chmod +x f"),
        ("rm f; ln -s d f", "rm -r e"),
        ("mkdir n; echo x >n/x", "mkdir n; echo y >n/y"),
        ("echo x >>f; echo l >l", "echo x >>f; echo r >r"),
        ("echo x >f.x; mkdir f0; echo x >f0/x", "rm f; mkdir f; echo y >f/y"),
    ] {
        let (sandbox, [base, left_id, right_id]) = fork(FILES, left, right);
        let repo = sandbox.repository();
        let tree = merge(&repo, &base, &left_id, &right_id).unwrap_or_else(|| panic!("{left} | {right}"));
        assert_eq!(merge_tree(&repo, &left_id, None, &right_id).unwrap(), Ok(tree.clone()));
        assert_eq!(verdict(&repo, &left_id, &right_id).unwrap(), Verdict::Clean(tree), "{left} | {right}");
        sandbox.fsck();
    }
}

#[test]
fn drivers_are_for_what_both_sides_changed() {
    let attributes = format!("{FILES}; echo '* merge=mine' >.gitattributes");
    let (sandbox, [base, left, right]) = fork(&attributes, "echo x >>f", "echo x >>d/a");
    sandbox.git(&["config", "merge.mine.driver", "false"]);
    let repo = sandbox.repository();
    let tree = merge(&repo, &base, &left, &right);
    assert_eq!(merge_tree(&repo, &left, None, &right).unwrap().ok(), tree);
    assert!(tree.is_some());
}

/// Modes that git would not write, and trees out of order, are for git to put right.
#[test]
fn trees_that_git_would_not_write_are_left_to_it() {
    let (sandbox, [_, left, right]) = fork("true", "echo x >x", "echo y >y");
    let repo = sandbox.repository();
    let blob: String = sandbox.rev("HEAD:README");
    let mut bytes = b"100664 README\0".to_vec();
    bytes.extend_from_slice(ObjectId::from_hex(blob.as_bytes()).unwrap().as_slice());
    let store = gix::odb::loose::Store::at(repo.common_dir.join("objects"), gix::hash::Kind::Sha1);
    let tree = gix::objs::Write::write_buf(&store, Kind::Tree, &bytes).unwrap().to_string();
    let odd: Oid = sandbox.git(&["commit-tree", "-m", "odd", &tree]).try_into().unwrap();
    assert_eq!(merge(&repo, &odd, &left, &right), None);
}
