//! Merges that people made in public repositories, made again by runs: the same files, the same verdict as by
//! `git merge-tree --write-tree`.
//!
//! `tests/merges/*.txt` lists them by the ids of their parents (`tests/merges/record` tells the form, and makes
//! the lists). The repositories are not part of this one: `REAL_MERGES` names a directory that has them, see
//! CONTRIBUTING.md. Every merge is landed by a run with `--strategy merge`, every third also squashed, and every
//! fifth also rebased. How many of the merges needed no `git merge-tree` is told: their trees are compared as all
//! others.

#![allow(clippy::disallowed_methods)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use common::Sandbox;
use serde_json::Value;

/// More commits than this are not rebased: it would only take long.
const MOST_REBASED: usize = 40;

/// One line of a list.
#[derive(Clone, Debug)]
struct Merge {
    kind: String,
    onto: String,
    tip: String,
    verdict: Verdict,
}

/// What a merge comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Verdict {
    Tree(String),
    /// Number and hash of the paths that collide.
    Conflicts(String),
}

/// A list, and where its repository is.
struct List {
    name: String,
    objects: PathBuf,
    merges: Vec<Merge>,
    git: String,
}

fn read(path: &Path, dir: &Path) -> List {
    let text = fs::read_to_string(path).unwrap();
    let (head, lines) = text.split_once('\n').unwrap();
    let name = head.trim_start_matches("# ").split(':').next().unwrap().to_owned();
    let git = head.rsplit("as ").next().unwrap().trim_end_matches(" makes them").to_owned();
    let joined = name.replace('/', "+");
    let places = [format!("{joined}/repo"), joined, format!("{name}.git"), name.clone()];
    let objects = places
        .iter()
        .flat_map(|place| [dir.join(place).join("objects"), dir.join(place).join(".git/objects")])
        .find(|objects| objects.is_dir())
        .unwrap_or_else(|| panic!("{name} is not in {}: looked for {places:?}", dir.display()));
    let merges = lines
        .lines()
        .map(|line| {
            let [kind, verdict, onto, tip, what] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let verdict = match verdict {
                "clean" => Verdict::Tree(what.to_owned()),
                _ => Verdict::Conflicts(what.to_owned()),
            };
            Merge { kind: kind.to_owned(), onto: onto.to_owned(), tip: tip.to_owned(), verdict }
        })
        .collect();
    List { name, objects, merges, git }
}

/// A repository that borrows the objects of another one. Its checkouts are empty, so that they take no time.
fn borrower(list: &List) -> Sandbox {
    let sandbox = Sandbox::empty("shop", &[]);
    let alternates = sandbox.repo.join(".git/objects/info/alternates");
    fs::write(alternates, format!("{}\n", list.objects.display())).unwrap();
    sandbox.commit_all("Nothing");
    sandbox.git(&["sparse-checkout", "set", "--no-cone", "/nothing"]);
    sandbox
}

/// What the installed git says.
fn by_git(sandbox: &Sandbox, merge: &Merge) -> Verdict {
    let mut command = sandbox.command(&sandbox.repo, "git");
    command.env("GIT_ATTR_SOURCE", &merge.onto);
    command.args(["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"]);
    let output = command.args([&merge.onto, &merge.tip]).output().unwrap();
    let mut fields = output.stdout.splitn(2, |b| *b == 0);
    let tree = String::from_utf8(fields.next().unwrap().to_vec()).unwrap();
    match output.status.code() {
        Some(0) => Verdict::Tree(tree),
        Some(1) => hashed(sandbox, fields.next().unwrap()),
        code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// The conflict in these NUL-terminated paths.
fn hashed(sandbox: &Sandbox, paths: &[u8]) -> Verdict {
    fs::write(sandbox.io("paths"), paths).unwrap();
    let hash = sandbox.git(&["hash-object", "--no-filters", sandbox.io("paths").to_str().unwrap()]);
    Verdict::Conflicts(format!("{}:{hash}", paths.iter().filter(|b| **b == 0).count()))
}

/// How a task of a run ended.
struct Ended {
    state: String,
    landed: Option<String>,
    /// git was asked for the merge.
    by_git: bool,
    task: Value,
}

/// Lands the merge's second parent on its first by a run of its own.
fn land(sandbox: &Sandbox, merge: &Merge, strategy: &str) -> Ended {
    sandbox.git(&["update-ref", "refs/heads/target", &merge.onto]);
    sandbox.git(&["update-ref", "refs/heads/feature/work", &merge.tip]);
    let options = ["--into", "target", "--existing", "reuse", "--strategy", strategy, "work"];
    let trace = sandbox.io("trace");
    let _ = fs::remove_file(&trace);
    let mut command = sandbox.command(&sandbox.repo, env!("CARGO_BIN_EXE_git-parallel"));
    command.args(sandbox.run_args(&options, Path::new("true"))).env("GIT_TRACE", &trace);
    let output = sandbox.start(command).wait();
    assert!(matches!(output.code, 0 | 1), "{merge:?}: {}", output.all());
    let task = sandbox.task("work");
    let state = task["state"].as_str().unwrap().to_owned();
    let landed = task["landed"].as_str().map(str::to_owned);
    let target = sandbox.oid("target");
    assert_eq!(target, landed.clone().unwrap_or_else(|| merge.onto.clone()), "{merge:?} {task:#}");
    if sandbox.worktree("work").exists() {
        sandbox.git(&["worktree", "remove", "--force", sandbox.worktree("work").to_str().unwrap()]);
    }
    // Looking ahead, git is asked with `--stdin`, for what nobody rests on.
    let asks = |line: &str| line.contains("merge-tree --write-tree") && !line.contains("--stdin");
    let trace = String::from_utf8_lossy(&fs::read(&trace).unwrap()).into_owned();
    Ended { state, landed, by_git: trace.lines().any(asks), task }
}

fn bytes(path: &Value) -> Vec<u8> {
    match path.as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => serde_json::from_value(path["bytes"].clone()).unwrap(),
    }
}

/// What a run made of it, in the words of a list.
fn verdict(sandbox: &Sandbox, ended: &Ended) -> Option<Verdict> {
    if let Some(commit) = &ended.landed {
        return Some(Verdict::Tree(sandbox.oid(&format!("{commit}^{{tree}}"))));
    }
    let conflicts = ended.task["conflicts"].as_array().unwrap();
    let paths: Vec<u8> = conflicts.iter().flat_map(|path| [bytes(path), vec![0]].concat()).collect();
    (ended.state == "conflicted").then(|| hashed(sandbox, &paths))
}

/// What is wrong with a landing by this strategy; `None` if nothing is.
fn wrong(sandbox: &Sandbox, merge: &Merge, strategy: &str, tally: &mut Tally) -> Option<String> {
    let ended = land(sandbox, merge, strategy);
    let told = |why: &str| Some(format!("{strategy}: {why}\n  {merge:?}\n  {}", ended.task));
    tally.in_process += usize::from(strategy == "merge" && ended.landed.is_some() && !ended.by_git);
    let (Merge { onto, tip, .. }, found) = (merge, verdict(sandbox, &ended));
    let parents = |commit: &str| sandbox.git(&["show", "-s", "--format=%P", commit]);
    let nothing_new = merge.verdict == Verdict::Tree(sandbox.oid(&format!("{onto}^{{tree}}")));
    match (strategy, &ended.landed) {
        ("squash" | "rebase", None) if ended.state == "unchanged" && nothing_new => return None,
        ("rebase", None) if ended.state == "held" => {
            // Each by itself, they may collide; that is said, and the target stays.
            tally.held += 1;
            let reason = ended.task["reason"].as_str().unwrap_or_default();
            let clean = matches!(merge.verdict, Verdict::Tree(_));
            return if clean && reason.contains("first: git -C") { None } else { told("held") };
        }
        ("merge", Some(commit)) if parents(commit) != format!("{onto} {tip}") => return told("its parents"),
        ("squash", Some(commit)) if parents(commit) != *onto => return told("its parent"),
        ("rebase", Some(commit)) => {
            let merges = sandbox.git(&["rev-list", "--merges", &format!("{onto}..{commit}")]);
            if !merges.is_empty() {
                return told("not linear");
            }
        }
        _ => {}
    }
    match found {
        Some(found) if found == merge.verdict => None,
        Some(found) => told(&format!("it came to {found:?}")),
        None => told("no verdict"),
    }
}

#[derive(Default)]
struct Tally {
    merged: usize,
    in_process: usize,
    conflicts: usize,
    squashed: usize,
    rebased: usize,
    held: usize,
}

/// Makes all merges of a list; gives what went wrong.
fn check(list: &List) -> Vec<String> {
    let sandbox = borrower(list);
    let version = sandbox.git(&["version"]);
    let (mut problems, mut tally, begun) = (Vec::new(), Tally::default(), Instant::now());
    let mut moved_on = 0;
    for (n, merge) in list.merges.iter().enumerate() {
        let now = Merge { verdict: by_git(&sandbox, merge), ..merge.clone() };
        if now.verdict != merge.verdict {
            moved_on += 1;
            if version == list.git {
                problems
                    .push(format!("git says {:?}, and did not when it was recorded: {merge:?}", now.verdict));
            }
        }
        tally.conflicts += usize::from(matches!(now.verdict, Verdict::Conflicts(_)));
        tally.merged += 1;
        problems.extend(wrong(&sandbox, &now, "merge", &mut tally));
        if n % 3 == 0 {
            tally.squashed += 1;
            problems.extend(wrong(&sandbox, &now, "squash", &mut tally));
        }
        let range = format!("{}..{}", merge.onto, merge.tip);
        if n % 5 == 0
            && sandbox.git(&["rev-list", "--count", &range]).parse::<usize>().unwrap() <= MOST_REBASED
        {
            tally.rebased += 1;
            problems.extend(wrong(&sandbox, &now, "rebase", &mut tally));
        }
    }
    let Tally { merged, in_process, conflicts, squashed, rebased, held } = tally;
    let mut kinds = std::collections::BTreeMap::<&str, usize>::new();
    list.merges.iter().for_each(|merge| *kinds.entry(&merge.kind).or_default() += 1);
    println!(
        "{}: {merged} merges ({in_process} without git; {conflicts} with conflicts; {kinds:?}), {squashed} also squashed, {rebased} also \
         rebased ({held} of them held), {} wrong, in {:.0?}; git changed its mind about {moved_on}",
        list.name,
        problems.len(),
        begun.elapsed()
    );
    problems
}

#[test]
#[ignore = "needs public repositories in the directory that REAL_MERGES names"]
fn real_merges_come_out_as_gits() {
    let dir = std::env::var_os("REAL_MERGES").map(PathBuf::from);
    let dir =
        dir.expect("REAL_MERGES must name the directory that has the repositories: see CONTRIBUTING.md");
    let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/merges");
    let lists = fs::read_dir(lists).unwrap().map(|entry| entry.unwrap().path());
    let lists = lists.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let mut lists: Vec<List> = lists.map(|path| read(&path, &dir)).collect();
    lists.sort_by_key(|list| list.merges.len());
    let count: usize = lists.iter().map(|list| list.merges.len()).sum();
    assert!(count >= 200, "only {count} merges are listed");
    let (queue, problems) = (Mutex::new(lists), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(list) = { queue.lock().unwrap().pop() } {
                    let found = check(&list);
                    problems.lock().unwrap().extend(found);
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap();
    assert!(problems.is_empty(), "{} of {count} merges:\n{}", problems.len(), problems.join("\n"));
}

/// The lists themselves are checked with every `cargo test`.
#[test]
fn the_lists_are_sound() {
    let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/merges");
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for path in fs::read_dir(lists).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines().skip(1) {
            let fields: Vec<&str> = line.split(' ').collect();
            assert!(
                fields.len() == 5 && matches!(fields[1], "clean" | "conflict"),
                "{}: {line}",
                path.display()
            );
            assert!(fields[2..4].iter().all(|id| id.len() == 40), "{}: {line}", path.display());
            *kinds.entry(format!("{} {}", fields[0], fields[1])).or_default() += 1;
        }
    }
    assert!(kinds.values().sum::<usize>() >= 200, "{kinds:?}");
    for kind in ["conflict conflict", "criss-cross clean", "rename clean", "submodule clean", "mode clean"] {
        assert!(kinds.contains_key(kind), "{kind}: {kinds:?}");
    }
}
