//! Lists of others as plans: each example is run to its end.

#![allow(clippy::disallowed_methods)]

mod common;

use std::path::Path;

use common::{Output, Sandbox, journal};

/// A sandbox that has the examples, as the README would have them run.
fn with_examples() -> Sandbox {
    let sandbox = Sandbox::new();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        sandbox.write(&format!("examples/{name}"), std::fs::read(&path).unwrap());
    }
    sandbox.commit_all("Examples");
    sandbox
}

/// The agent of the examples, for lists that say nothing of one, or something else.
const AGENT: [&str; 4] = ["--", "sh", "examples/agent.sh", "{prompt}"];

fn run(sandbox: &Sandbox, file: &str, agent: &[&str]) -> Output {
    let before = sandbox.snapshot();
    let output = sandbox.parallel(&[&["run", "-y", "-f", file], agent].concat()).expect(0);
    sandbox.check_run(&before, &output);
    output
}

fn dry_run(sandbox: &Sandbox, file: &str, agent: &[&str]) -> String {
    sandbox.parallel(&[&["run", "-n", "-f", file, "--prefix=dry/"], agent].concat()).expect(0).stdout
}

/// The tasks of the latest run, in the order they landed in.
fn landed(sandbox: &Sandbox) -> Vec<String> {
    let events = journal(&sandbox.record());
    let landed = events.iter().filter(|event| event["event"] == "landed");
    landed.map(|event| event["task"].as_str().unwrap().to_owned()).collect()
}

/// Fails unless every one of `first` landed before any of `then` was started.
#[track_caller]
fn expect_barrier(sandbox: &Sandbox, first: &[&str], then: &[&str]) {
    let events = journal(&sandbox.record());
    let at = |kind: &str, task: &str| {
        let is = |event: &serde_json::Value| event["event"] == kind && event["task"] == task;
        events.iter().position(is).unwrap_or_else(|| panic!("{kind} {task}"))
    };
    for (one, other) in first.iter().flat_map(|one| then.iter().map(move |other| (one, other))) {
        assert!(at("landed", one) < at("agent-started", other), "{one} before {other}");
    }
}

#[test]
fn issues_are_worked_off() {
    let sandbox = with_examples();
    let file = "examples/issues.json";
    let told = dry_run(&sandbox, file, &AGENT);
    assert!(told.contains("shop-a3, shop-a4; then shop-a5, shop-a2"), "{told}");
    assert!(!told.contains("fall back") && !told.contains("shop-a1"), "{told}");
    run(&sandbox, file, &AGENT);
    let mut names = landed(&sandbox);
    names.sort();
    assert_eq!(names, ["shop-a2", "shop-a3", "shop-a4", "shop-a5"]);
    expect_barrier(&sandbox, &["shop-a3"], &["shop-a2", "shop-a5"]);
    let changes = sandbox.read("changes/shop-a3.md");
    assert!(changes.contains("threat-modelling") && changes.contains("## Acceptance criteria"), "{changes}");
}

/// Without an agent on the command line, the list's own are asked for.
#[test]
fn the_agents_of_a_list_are_advice() {
    let sandbox = with_examples();
    let claude = "parallel.agent.claude.cmd";
    sandbox.git(&["config", claude, "echo by claude >$GIT_PARALLEL_TASK"]);
    sandbox.git(&["config", "parallel.agent.mine.cmd", "echo by mine >$GIT_PARALLEL_TASK"]);
    sandbox.write("list.json", r#"[{"id": "a", "title": "A", "metadata": {"subagent_type": "claude"}}]"#);
    sandbox.commit_all("List");
    run(&sandbox, "list.json", &[]);
    assert_eq!(sandbox.read("a"), "by claude\n");
    sandbox.write("list.json", r#"[{"id": "b", "title": "B", "metadata": {"subagent_type": "architect"}}]"#);
    sandbox.commit_all("List");
    sandbox
        .parallel(&["run", "-y", "-f", "list.json"])
        .expect(2)
        .tells(&["no agent is known as 'architect'"]);
    run(&sandbox, "list.json", &["-a", "mine"]);
    assert_eq!(sandbox.read("b"), "by mine\n");
    // A plan of ours says what it means.
    sandbox.write("plan.json", r#"{"tasks": [{"name": "c", "agent": "claude"}]}"#);
    sandbox.commit_all("Plan");
    run(&sandbox, "plan.json", &["-a", "mine"]);
    assert_eq!(sandbox.read("c"), "by claude\n");
}

#[test]
fn a_task_list_is_worked_off_in_its_order() {
    let sandbox = with_examples();
    run(&sandbox, "examples/tasks.md", &AGENT);
    let groundwork = ["set-up-postgresql", "set-up-the-mail-server"];
    let table = ["add-a-table-invoices-with-a-migration"];
    let ui = ["list-invoices-on-a-page", "send-an-invoice-by-mail"];
    expect_barrier(&sandbox, &groundwork, &table);
    expect_barrier(&sandbox, &table, &ui);
    expect_barrier(&sandbox, &ui, &["describe-it-all-in-the-guide"]);
    assert_eq!(landed(&sandbox).len(), 6);
    assert!(sandbox.read("changes/set-up-postgresql.md").contains("./db reset"));
    assert_eq!(sandbox.task("set-up-postgresql")["group"], "infra");
}

/// From standard input, where the text alone tells what it is.
#[test]
fn a_roadmap_is_worked_off_by_priority() {
    let sandbox = with_examples();
    let mut git_parallel = sandbox.command(&sandbox.repo, common::PROGRAM);
    git_parallel.args(["run", "-y", "-f", "-"]).args(AGENT);
    git_parallel.stdin(std::fs::File::open(sandbox.repo.join("examples/roadmap.md")).unwrap());
    let before = sandbox.snapshot();
    let output = sandbox.start(git_parallel).wait().expect(0);
    sandbox.check_run(&before, &output);
    expect_barrier(&sandbox, &["import-of-the-old-card-index"], &["recipe-management"]);
    expect_barrier(&sandbox, &["recipe-management"], &["shopping-list", "nutrition-facts"]);
    assert_eq!(landed(&sandbox).len(), 4);
}

#[test]
fn phases_are_worked_off_one_after_the_other() {
    let sandbox = with_examples();
    let told = dry_run(&sandbox, "examples/phases.yaml", &[]);
    assert!(told.contains("; then api, client (2); then "), "{told}");
    run(&sandbox, "examples/phases.yaml", &[]);
    let first = ["add-a-table-invoices-with-a-migration", "choose-the-error-format-of-all-routes"];
    expect_barrier(&sandbox, &first, &["api", "client"]);
    expect_barrier(&sandbox, &["api", "client"], &["test-in-a-browser-that-an-invoice-which"]);
}

#[test]
fn a_parallel_execution_is_worked_off() {
    let sandbox = with_examples();
    run(&sandbox, "examples/parallel-execution.yaml", &AGENT);
    let changes = sandbox.read("changes/auth.md");
    for told in ["Code with tests", "billing finds the user", "start page", "make test passes"] {
        assert!(changes.contains(told), "{told}: {changes}");
    }
    assert!(!sandbox.read("changes/docs.md").contains("billing finds the user"));
}

/// Names of the base's files, of what is not there yet, and of what git knows as pathspecs.
#[test]
fn where_tasks_may_collide_is_told_before_the_run() {
    let sandbox = Sandbox::new();
    sandbox.write("src/schema/a.sql", "a\n");
    sandbox.write("src/schema/b.sql", "b\n");
    sandbox.write("docs/guide.md", "g\n");
    sandbox.commit_all("More");
    let text = r#"
[defaults]
command = "true"
[[task]]
name = "auth"
touches = ["src/db.rs", "src/schema/", "new/auth.rs"]
[[task]]
name = "billing"
touches = ["src/*", ":!src/schema/b.sql"]
[[task]]
name = "docs"
touches = ["docs", "new/"]
[[task]]
name = "later"
depends_on = ["auth", "billing", "docs"]
touches = ["."]
"#;
    sandbox.write("plan.toml", text);
    let told = dry_run(&sandbox, "plan.toml", &[]);
    assert!(
        told.contains("expect auth and billing to collide in src/db.rs, src/schema/a.sql (touches)\n"),
        "{told}"
    );
    assert!(told.contains("expect auth and docs to collide in new/auth.rs (touches)\n"), "{told}");
    assert_eq!(told.matches("to collide").count(), 2, "{told}");
    // It is in the question, too.
    let output = sandbox.parallel(&["run", "-f", "plan.toml"]).expect(3);
    assert!(output.stderr.contains("expect auth and docs to collide"), "{}", output.stderr);

    sandbox.write("plan.toml", text.replace("\"docs\", \"new/\"", "\":(bogus)x\", \"../x\""));
    sandbox
        .parallel(&["run", "-n", "-f", "plan.toml"])
        .expect(3)
        .tells(&["task 'docs': touches: ", "gitglossary(7)"]);
}

#[test]
fn a_run_that_leaves_branches_alone_takes_no_stages() {
    let sandbox = with_examples();
    let arguments = ["run", "-n", "--no-land", "-f", "examples/phases.yaml"];
    sandbox.parallel(&arguments).expect(2).tells(&["would never start"]);
}
