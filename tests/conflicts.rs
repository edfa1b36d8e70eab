//! Conflicts that are told before anything lands: `git parallel conflicts`, and the warnings of a run.

#![allow(clippy::disallowed_methods)]

mod common;

use common::{Output, Running, Sandbox, tree, wait_until};
use serde_json::{Value, json};

/// A branch off `from` that does this.
fn branch(sandbox: &Sandbox, name: &str, from: &str, script: &str) {
    sandbox.git(&["checkout", "-q", "-b", name, from]);
    sandbox.run_in(&sandbox.repo, "sh", &["-ec", script]).expect(0);
    sandbox.git(&["add", "-A", "-f"]);
    sandbox.git(&["commit", "-q", "-m", name]);
    sandbox.git(&["checkout", "-q", "main"]);
}

/// Four branches: auth and billing edit the same line, docs another one, search a file of its own.
fn shop() -> Sandbox {
    let sandbox = Sandbox::new();
    branch(&sandbox, "auth", "main", "sed -i s/^five$/auth/ src/db.rs");
    branch(&sandbox, "billing", "main", "sed -i s/^five$/billing/ src/db.rs; echo b >billing");
    branch(&sandbox, "docs", "main", "sed -i s/^one$/docs/ src/db.rs");
    branch(&sandbox, "search", "main", "echo s >search");
    sandbox
}

fn json_of(output: &Output) -> (Value, Value) {
    let value = output.json();
    assert_eq!(value["version"], 1);
    (value["conflicts"].clone(), value["independent"].clone())
}

#[test]
fn branches_that_conflict_are_told_with_their_paths() {
    let sandbox = shop();
    let output = sandbox.parallel(&["conflicts"]).expect(1);
    assert_eq!(
        output.stdout,
        "! auth and billing conflict in src/db.rs\n\
         + land together: auth, docs, search\n\
         . of the others: billing\n  \
         -> for b in auth docs search; do git merge --no-edit \"$b\" || break; done\n"
    );
    assert_eq!(output.stderr, "");
    let output = sandbox.parallel(&["conflicts", "--json", "billing", "search", "auth"]).expect(1);
    let expected = json!({
        "version": 1,
        "branches": ["billing", "search", "auth"],
        "target": "main",
        "conflicts": [{ "branches": ["billing", "auth"], "paths": ["src/db.rs"] }],
        "independent": [["billing", "search"], ["auth"]],
    });
    assert_eq!(output.json(), expected);
}

#[test]
fn what_does_not_conflict_is_told_by_the_exit_code_too() {
    let sandbox = shop();
    let next = |output: Output| output.stdout.lines().nth(1).unwrap_or_default().to_owned();
    let output = sandbox.parallel(&["conflicts", "auth", "docs", "auth"]).expect(0);
    assert!(
        output.stdout.starts_with("+ no conflicts; land together on main: auth, docs\n"),
        "{}",
        output.stdout
    );
    // The command that it prints does what it says.
    let command = next(output).trim_start_matches([' ', '-', '>']).to_owned();
    sandbox.run_in(&sandbox.repo, "sh", &["-ec", &command]).expect(0);
    assert!(sandbox.read("src/db.rs").contains("auth") && sandbox.read("src/db.rs").contains("docs"));

    // What has landed is not asked about any more, and what remains is compared with it.
    let output = sandbox.parallel(&["conflicts"]).expect(1);
    assert_eq!(output.stdout.lines().next(), Some("! billing conflicts with main in src/db.rs"));
    assert_eq!(output.json_of(&sandbox), json!([["search"]]));
    sandbox.git(&["checkout", "-q", "search"]);
    let output = sandbox.parallel(&["conflicts", "--into", "main", "search", "main"]).expect(0);
    assert_eq!(next(output), "  -> git switch main && git merge search");
    sandbox.git(&["branch", "-qD", "billing"]);
    sandbox.git(&["merge", "-q", "main"]);
    let output = sandbox.parallel(&["conflicts", "--into", "search"]).expect(0);
    assert_eq!(output.stdout, "Nothing to compare: search has everything.\n");
    let output = sandbox.parallel(&["conflicts", "--into", "search", "--json"]).expect(0);
    assert_eq!(json_of(&output), (json!([]), json!([])));
}

trait Independent {
    fn json_of(&self, sandbox: &Sandbox) -> Value;
}

impl Independent for Output {
    /// The sets that land together, asked for once more.
    fn json_of(&self, sandbox: &Sandbox) -> Value {
        json_of(&sandbox.parallel(&["conflicts", "--json"]).expect(self.code)).1
    }
}

#[test]
fn nothing_is_touched() {
    let mut sandbox = shop();
    sandbox.write("src/db.rs", "edited\n");
    sandbox.write("new", "staged\n");
    sandbox.git(&["add", "new"]);
    let look = |sandbox: &Sandbox| {
        let refs = sandbox.git(&["for-each-ref"]);
        (refs, sandbox.git(&["count-objects", "-v"]), tree(&sandbox.repo), tree(&sandbox.root.join("tmp")))
    };
    let before = look(&sandbox);
    for args in
        [&["conflicts"][..], &["conflicts", "--json", "auth", "billing"], &["conflicts", "HEAD~0", "nope"]]
    {
        sandbox.parallel(args);
        assert!(look(&sandbox) == before, "{args:?}");
    }
    // Neither by a user whose own environment names another object directory.
    sandbox.set_env("GIT_OBJECT_DIRECTORY", sandbox.repo.join(".git/objects"));
    sandbox.parallel(&["conflicts"]).expect(1);
    assert!(look(&sandbox) == before);
}

#[test]
fn renames_and_files_in_the_way_of_directories_are_seen() {
    let sandbox = Sandbox::new();
    branch(&sandbox, "moves", "main", "git mv src lib");
    branch(&sandbox, "adds", "main", "seq 9 >src/new.rs");
    branch(&sandbox, "edits", "main", "sed -i s/^five$/edits/ src/db.rs");
    branch(&sandbox, "file", "main", "echo file >place");
    branch(&sandbox, "folder", "main", "mkdir place; echo inside >place/x");
    let (conflicts, independent) = json_of(&sandbox.parallel(&["conflicts", "--json"]).expect(1));
    let expected = json!([
        { "branches": ["adds", "moves"], "paths": ["lib/new.rs"] },
        { "branches": ["file", "folder"], "paths": ["place"] },
    ]);
    assert_eq!(conflicts, expected);
    assert_eq!(independent, json!([["adds", "edits", "file"], ["folder", "moves"]]));
}

#[test]
fn histories_that_cross_and_that_have_nothing_in_common() {
    let sandbox = Sandbox::new();
    branch(&sandbox, "one", "main", "sed -i s/^five$/one/ src/db.rs");
    branch(&sandbox, "two", "main", "sed -i s/^five$/two/ src/db.rs");
    for (name, from, with) in [("left", "one", "two"), ("right", "two", "one")] {
        sandbox.git(&["checkout", "-q", "-b", name, from]);
        sandbox.git(&["merge", "-q", "--no-edit", "-s", "ours", with]);
    }
    sandbox.git(&["checkout", "-q", "--orphan", "alien", "main"]);
    sandbox.git(&["commit", "-q", "-m", "alien"]);
    sandbox.git(&["checkout", "-q", "main"]);
    let (conflicts, independent) =
        json_of(&sandbox.parallel(&["conflicts", "--json", "left", "alien", "right"]).expect(1));
    let expected = json!([
        { "branches": ["main", "alien"], "paths": [] },
        { "branches": ["left", "right"], "paths": ["src/db.rs"] },
    ]);
    assert_eq!(conflicts, expected);
    assert_eq!(independent, json!([["left"], ["right"]]));
    let output = sandbox.parallel(&["conflicts", "alien"]).expect(1);
    assert_eq!(output.stdout, "! alien has no history in common with main\n");
}

#[test]
fn odd_paths_and_branches_are_told_without_loss() {
    let sandbox = Sandbox::named("a:b \"shop\"");
    let write =
        |text: &str| format!("printf {text} >\"$(printf 'odd\\377\\n\\033[2J.txt')\"; printf {text} >größe");
    branch(&sandbox, "größe", "main", &write("1"));
    branch(&sandbox, "a;b", "main", &write("2"));
    let output = sandbox.parallel(&["conflicts", "--json"]).expect(1);
    let bytes: &[u8] = b"odd\xff\n\x1b[2J.txt";
    let paths = json!(["größe", { "bytes": bytes }]);
    assert_eq!(output.json()["conflicts"], json!([{ "branches": ["a;b", "größe"], "paths": paths }]));
    let output = sandbox.parallel(&["conflicts"]).expect(1);
    assert!(!output.stdout.contains('\x1b') && output.stdout.contains("^J^[[2J.txt"), "{}", output.stdout);
    output.tells(&["git merge 'a;b'"]);
}

#[test]
fn what_is_asked_for_may_be_anything_and_what_is_not_known_is_said() {
    let sandbox = shop();
    sandbox
        .parallel(&["conflicts", "auth~0", "billing^{commit}"])
        .expect(1)
        .tells(&["auth~0 and billing^{commit}"]);
    sandbox.parallel(&["conflicts", "serch"]).expect(3).tells(&["'serch'", "did you mean 'search'?"]);
    sandbox.parallel(&["conflicts", "auth", "--into", "mian"]).expect(3).tells(&["did you mean 'main'?"]);
    sandbox.parallel(&["conflicts", "--bad"]).expect(2);
    sandbox.git(&["checkout", "-q", "--detach"]);
    sandbox.parallel(&["conflicts", "auth"]).expect(3).tells(&["--into BRANCH"]);
    sandbox.parallel(&["conflicts", "auth", "--into", "main~0"]).expect(0);
    sandbox.git(&["config", "parallel.target", "billing"]);
    let output = sandbox.parallel(&["conflicts", "auth"]).expect(1);
    assert_eq!(output.stdout, "! auth conflicts with billing in src/db.rs\n");
    sandbox.parallel_in(&sandbox.root, &["conflicts"]).expect(3);
}

/// Each task edits the line of its own number, but for `copy`, which edits that of `one`.
const EDITS: &str = r#"case $task in one|copy) line=1;; two) line=5;; *) line=9;; esac
    sed -i "${line}s/.*/by $task/" src/db.rs; commit"#;

#[test]
fn tasks_of_the_latest_run_are_compared_by_their_names() {
    let sandbox = Sandbox::new();
    branch(&sandbox, "other", "main", "sed -i 1s/.*/other/ src/db.rs");
    let agent = sandbox.agent(EDITS);
    sandbox.run(&["--no-land", "one", "two", "copy"], &agent).expect(0);
    let output = sandbox.parallel(&["conflicts"]).expect(1);
    assert_eq!(
        output.stdout,
        "! one and copy conflict in src/db.rs\n\
         + land together: one, two\n\
         . of the others: copy\n  \
         -> git parallel land one two\n"
    );
    let named = sandbox.parallel(&["conflicts", "two", "copy", "other"]).expect(1);
    named.tells(&["copy and other conflict in src/db.rs", "land together: two, copy"]);
    sandbox.parallel(&["land", "one", "two"]).expect(0);
    let output = sandbox.parallel(&["conflicts"]).expect(1);
    assert_eq!(output.stdout, "! copy conflicts with main in src/db.rs\n");
    sandbox
        .parallel(&["conflicts", "one"])
        .expect(3)
        .tells(&["task 'one' (landed) has no branch feature/one"]);
    // Nothing of the run is left: it is about branches again.
    sandbox.git(&["worktree", "remove", "--force", "../shop.worktrees/copy"]);
    sandbox.git(&["branch", "-qD", "feature/copy"]);
    sandbox.parallel(&["conflicts"]).expect(1).tells(&["other conflicts with main in src/db.rs"]);
}

/// Waits until a run has told this on stdout.
#[track_caller]
fn await_line(run: &Running, line: &str) {
    wait_until(line, || run.so_far().0.contains(line));
}

fn warnings(stdout: &str) -> Vec<&str> {
    let lines = stdout.lines().filter(|line| line.contains("will conflict"));
    lines.map(|line| line.split_once("] ").map_or(line, |(_, words)| words)).collect()
}

#[test]
fn a_run_warns_while_its_agents_still_work() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"case $task in
            auth|billing) sed -i "5s/.*/$task/" src/db.rs ;;
            cart|docs) echo "$task" > new.txt ;;
            *) echo alone > alone.txt ;;
        esac
        commit; await "$task.go"
        if [ $task = docs ]; then git rm -q new.txt; echo docs > docs.txt; commit; fi"#,
    );
    let run = sandbox.spawn_run(&["-j5", "auth", "billing", "cart", "docs", "search"], &agent);
    await_line(&run, "auth and billing will conflict in src/db.rs\n");
    await_line(&run, "cart and docs will conflict in new.txt\n");
    assert!(!run.so_far().0.contains("landed"));
    sandbox.mark("docs.go");
    await_line(&run, "docs: landed");
    ["auth", "billing", "cart", "search"].iter().for_each(|task| sandbox.mark(&format!("{task}.go")));
    let output = run.wait().expect(1);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.status()["counts"]["landed"], 4);
    let mut told = warnings(&output.stdout);
    told.sort_unstable();
    assert_eq!(
        told,
        ["auth and billing will conflict in src/db.rs", "cart and docs will conflict in new.txt"],
        "{}",
        output.stdout
    );
}

#[test]
fn the_same_conflict_is_told_once_however_often_the_branches_move() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(
        r#"edit() { sed -i "5s/.*/$task $1/" src/db.rs; [ $1 != 9 ] || echo "$task" > more.txt; commit; }
        for i in 1 2 3; do edit $i; done; await second
        for i in 4 5 6; do edit $i; done; mark "$task.moved"; await third; edit 9; await end"#,
    );
    let run = sandbox.spawn_run(&["a", "b"], &agent);
    await_line(&run, "a and b will conflict in src/db.rs\n");
    sandbox.mark("second");
    ["a.moved", "b.moved"].iter().for_each(|mark| sandbox.await_mark(mark));
    sandbox.mark("third");
    await_line(&run, "will conflict in more.txt, src/db.rs\n");
    // The user moves the target into the way of both.
    sandbox.write("src/db.rs", "another\n");
    sandbox.git(&["commit", "-qam", "another"]);
    await_line(&run, "b will conflict with main in src/db.rs\n");
    sandbox.mark("end");
    let output = run.wait().expect(1);
    let expected = [
        "a and b will conflict in src/db.rs",
        "a and b will conflict in more.txt, src/db.rs",
        "a will conflict with main in src/db.rs",
        "b will conflict with main in src/db.rs",
    ];
    assert_eq!(warnings(&output.stdout), expected, "{}", output.stdout);
    // A landing that brings a conflict between tasks to the target is no news.
    let agent = sandbox.agent(
        r#"sed -i "s/another/$task/" src/db.rs; commit; await "$task.end"
        [ $task = c ] || { echo again > again.txt; commit; mark again; await after; }"#,
    );
    let run = sandbox.spawn_run(&["c", "d"], &agent);
    await_line(&run, "c and d will conflict in src/db.rs\n");
    sandbox.mark("c.end");
    await_line(&run, "c: landed");
    sandbox.mark("d.end");
    sandbox.await_mark("again");
    sandbox.mark("after");
    let output = run.wait().expect(1);
    assert_eq!(warnings(&output.stdout), ["c and d will conflict in src/db.rs"]);
}

#[test]
fn scripts_are_warned_by_an_event_and_nothing_depends_on_it() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"sed -i "5s/.*/$task/" src/db.rs; commit; await end"#);
    let run = sandbox.spawn_run(&["--json", "a", "b"], &agent);
    await_line(&run, "conflict-foreseen");
    sandbox.mark("end");
    let output = run.wait().expect(1);
    let events: Vec<Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let foreseen: Vec<&Value> = events.iter().filter(|e| e["event"] == "conflict-foreseen").collect();
    assert_eq!(foreseen.len(), 1);
    assert_eq!((&foreseen[0]["tasks"], &foreseen[0]["paths"]), (&json!(["a", "b"]), &json!(["src/db.rs"])));
    let id = sandbox.status()["run"]["id"].as_str().expect("an id").to_owned();
    let journal = sandbox.repo.join(".git/parallel/runs").join(id).join("journal.jsonl");
    assert!(!std::fs::read_to_string(journal).expect("it is there").contains("foreseen"));
    sandbox.parallel(&["cleanup", "--force", "a", "b"]);

    // Where looking ahead goes wrong, the run goes its way.
    sandbox.write(".gitattributes", "*.rs merge=fatal\n");
    sandbox.commit_all("Merge by a driver");
    let driver = format!(
        "[ -e '{0}/late' ] || {{ kill -9 $PPID; : > '{0}/looked'; }}; exit 1",
        sandbox.io("").display()
    );
    sandbox.git(&["config", "merge.fatal.driver", &driver]);
    let agent = sandbox.agent(r#"sed -i "1s/.*/$task/" src/db.rs; commit; await late"#);
    let run = sandbox.spawn_run(&["c", "d"], &agent);
    sandbox.await_mark("looked");
    assert!(warnings(&run.so_far().0).is_empty());
    sandbox.mark("late");
    run.wait().expect(1);
    let counts = &sandbox.status()["counts"];
    assert_eq!((&counts["landed"], &counts["conflicted"]), (&json!(1), &json!(1)));
}
