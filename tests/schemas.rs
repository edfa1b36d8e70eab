//! What is printed for other programs is as the schemas say, and the example of a client works.

#![allow(clippy::disallowed_methods)]

mod common;
#[path = "common/schema.rs"]
mod schema;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{PROGRAM, Sandbox};
use serde_json::Value;

fn schema(name: &str) -> Value {
    let path = format!("{}/examples/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn check(name: &str, value: &Value) {
    assert_eq!(schema::problems(&schema(name), value), [""; 0], "{value:#}");
}

/// Every line, and what has come by.
fn check_events(lines: &str, seen: &mut BTreeSet<String>) {
    let schema = schema("event");
    for line in lines.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(schema::problems(&schema, &event), [""; 0], "{line}");
        seen.insert(event["event"].as_str().unwrap().to_owned());
    }
}

fn check_status_and_report(sandbox: &Sandbox) {
    check("status", &sandbox.parallel(&["status", "--json"]).expect(0).json());
    check("report", &sandbox.parallel(&["report", "--json"]).expect(0).json());
}

#[test]
fn the_program_prints_the_schemas() {
    let sandbox = Sandbox::new();
    for name in ["plan", "event", "status", "report"] {
        let path = format!("{}/examples/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
        let committed = fs::read_to_string(path).unwrap();
        assert!(sandbox.parallel(&["schema", name]).expect(0).stdout == committed, "{name}");
    }
}

/// The schema of events has all that the program knows, and no other.
#[test]
fn every_event_has_its_place_in_the_schema() {
    let source = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/run/event.rs")).unwrap();
    let (_, body) = source.split_once("pub enum Event {\n").unwrap();
    let (body, _) = body.split_once("\n}\n").unwrap();
    let variants = body.lines().filter_map(|line| line.strip_prefix("    ")).filter_map(|line| {
        let name = line.trim_end_matches([' ', '{', ',']);
        (name.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
    });
    let kebab = |name: &str| {
        let mut kebab = String::new();
        for c in name.chars() {
            if c.is_ascii_uppercase() && !kebab.is_empty() {
                kebab.push('-');
            }
            kebab.push(c.to_ascii_lowercase());
        }
        kebab
    };
    let mut known: BTreeSet<String> = variants.map(kebab).collect();
    // It is advice, and no part of a run's state.
    known.insert("conflict-foreseen".to_owned());
    let schema = schema("event");
    let told =
        schema["oneOf"].as_array().unwrap().iter().map(|event| event["title"].as_str().unwrap().to_owned());
    assert_eq!(told.collect::<BTreeSet<_>>(), known);
}

/// Runs in which much happens: landings, a conflict, failures, a check that rejects, an abort, a retry, an undo.
#[test]
fn what_runs_print_is_as_the_schemas_say() {
    let sandbox = Sandbox::new();
    let mut seen = BTreeSet::new();
    sandbox.git(&["config", "parallel.afterLand", "true"]);
    sandbox.git(&["config", "parallel.usagePattern", "used (?<input>[0-9]+) for (?<cost>[0-9.]+)"]);
    let agent = sandbox.agent(
        r#"echo 'used 10 for 0.5'
           case $task in
               one | two) echo "$task" >same.txt ;;
               bad) exit 3 ;;
               long) mark long; await never ;;
               nothing) exit 0 ;;
               *) echo "$task" >"$task.txt" ;;
           esac"#,
    );
    let tasks = ["one", "two", "bad", "nothing", "wrong", "long"];
    let options =
        ["--json", "-j", "1", "--retries", "1", "--setup", "true", "--verify", "test ! -e wrong.txt"];
    let running = sandbox.spawn_run(&[options.as_slice(), tasks.as_slice()].concat(), &agent);
    sandbox.await_mark("long");
    check_status_and_report(&sandbox);
    sandbox.parallel(&["abort", "long"]).expect(0);
    let output = running.wait().expect(1);
    check_events(&output.stdout, &mut seen);
    check_status_and_report(&sandbox);
    sandbox.parallel(&["undo", "--no-verify"]).expect(0);
    check_status_and_report(&sandbox);
    // What came after is in the record alone, in the same words; the end of a run has no counts there.
    let journal = fs::read_to_string(sandbox.record().join("journal.jsonl")).unwrap();
    let journal: Vec<&str> = journal.lines().filter(|line| !line.contains("\"run-finished\"")).collect();
    check_events(&journal.join("\n"), &mut seen);

    for name in [
        "run-started",
        "begun",
        "prepared",
        "set-up",
        "agent-started",
        "agent-exited",
        "collected",
        "nothing-to-land",
        "candidate-made",
        "verified",
        "rejected",
        "landed",
        "hook-ran",
        "conflicted",
        "stop-requested",
        "cleaned-up",
        "run-finished",
        "undo-made",
        "undone",
    ] {
        assert!(seen.contains(name), "{name} was not seen: {seen:?}");
    }
}

/// Names that are not UTF-8, and conflicts that are foreseen.
#[test]
fn odd_names_and_foresight_are_as_the_schemas_say() {
    let sandbox = Sandbox::new();
    let mut seen = BTreeSet::new();
    // Both have committed before either ends: their conflict is seen coming.
    let agent = sandbox.agent(
        r#"echo "$task" >"$(printf 'odd\377')"; commit
           mark "$task"; await one; await two; await seen"#,
    );
    let running = sandbox.spawn_run(&["--json", "one", "two"], &agent);
    common::wait_until("the conflict is foreseen", || running.so_far().0.contains("conflict-foreseen"));
    sandbox.mark("seen");
    let output = running.wait().expect(1);
    check_events(&output.stdout, &mut seen);
    check_status_and_report(&sandbox);
    assert!(seen.contains("conflict-foreseen") && seen.contains("conflicted"), "{seen:?}");
    assert!(output.stdout.contains("{\"bytes\":["), "{}", output.stdout);
}

/// The first that lands ends the others.
#[test]
fn the_example_of_a_client_works() {
    if which::which("jq").is_err() {
        eprintln!("SKIPPED: jq is not installed");
        return;
    }
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"test "$task" = try-2 || await never; echo x >done.txt"#);
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/first-wins");
    assert!(fs::read_to_string(&client).unwrap().lines().count() <= 30);
    let path =
        format!("{}:{}", Path::new(PROGRAM).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = sandbox.command(&sandbox.repo, client);
    command.arg(agent).env("PATH", path);
    let output = sandbox.start(command).wait().expect(0);
    assert_eq!(output.stdout, "try-2 landed first\nended with exit code 1; landed: try-2\n");
    sandbox.expect_states(&[("try-1", "aborted"), ("try-2", "landed"), ("try-3", "aborted")]);
}
