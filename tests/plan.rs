//! Plan files: tasks that depend on others, each with what it needs.

#![allow(clippy::disallowed_methods)]

mod common;

use std::path::Path;

use common::{Output, Running, Sandbox, journal, wait_until};
use rustix::process::Signal;

fn plan(sandbox: &Sandbox, name: &str, text: &str) -> String {
    let path = sandbox.root.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn spawn(sandbox: &Sandbox, options: &[&str], plan: &str) -> Running {
    sandbox.spawn(&[&["run", "-y", "-f", plan], options].concat())
}

fn run(sandbox: &Sandbox, options: &[&str], plan: &str) -> Output {
    spawn(sandbox, options, plan).wait()
}

/// A plan in TOML whose tasks run this agent.
fn with_agent(sandbox: &Sandbox, agent: &str, tasks: &[(&str, &[&str])]) -> String {
    let agent = sandbox.agent(agent);
    let mut text = format!("[defaults]\ncommand = [\"{}\"]\n", agent.display());
    for (name, before) in tasks {
        text.push_str(&format!("[[task]]\nname = \"{name}\"\ndepends_on = {before:?}\n"));
    }
    plan(sandbox, "plan.toml", &text)
}

/// Seven tasks, two diamonds on top of each other.
const DIAMONDS: [(&str, &[&str]); 7] = [
    ("top", &["left", "right"]),
    ("base", &[]),
    ("left", &["middle"]),
    ("right", &["middle"]),
    ("middle", &["a", "b"]),
    ("a", &["base"]),
    ("b", &["base"]),
];

#[test]
fn each_starts_when_what_it_depends_on_has_landed() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    // Both sides of a diamond must be at work at once, or this never ends.
    let agent = r#"ls > $IO/saw-$task; mark up-$task
        case $task in a) await up-b;; b) await up-a;; left) await up-right;; right) await up-left;; esac
        echo $task > $task; commit"#;
    let plan = with_agent(&sandbox, agent, &DIAMONDS);
    let output = run(&sandbox, &["-j7"], &plan).expect(0);
    sandbox.check_run(&before, &output);
    let events = journal(&sandbox.record());
    let at = |kind: &str, task: &str| {
        let is = |e: &serde_json::Value| e["event"] == kind && e["task"] == task;
        events.iter().position(is).unwrap_or_else(|| panic!("{kind} {task}"))
    };
    for (task, before) in DIAMONDS {
        for before in before {
            assert!(at("landed", before) < at("agent-started", task), "{before} before {task}");
            assert!(
                sandbox.read_io(&format!("saw-{task}")).lines().any(|file| file == *before),
                "{task} saw {before}"
            );
        }
    }
    let depends: Vec<String> = sandbox.status()["tasks"][0]["depends_on"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(depends, ["left", "right"]);
    sandbox
        .parallel(&["run", "-n", "-f", &plan, "--prefix=x/"])
        .expect(0)
        .tells(&["base; then a, b; then middle; then left, right; then top"]);
}

#[test]
fn what_depends_on_something_that_did_not_land_is_blocked_and_goes_later() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent = "test $task != bad || test -e $IO/mended; echo $task > $task; commit";
    let plan =
        with_agent(&sandbox, agent, &[("bad", &[]), ("next", &["bad"]), ("last", &["next"]), ("other", &[])]);
    let output = run(&sandbox, &[], &plan).expect(1);
    output.clone().tells(&[
        "next: blocked: bad did not land",
        "last: blocked: next did not land",
        "git parallel retry next last",
    ]);
    sandbox.expect_states(&[
        ("bad", "failed"),
        ("next", "blocked"),
        ("last", "blocked"),
        ("other", "landed"),
    ]);
    sandbox.check_run(&before, &output);
    // Too early: it is blocked as before.
    sandbox.parallel(&["retry", "next"]).expect(1);
    sandbox.expect_states(&[
        ("bad", "failed"),
        ("next", "blocked"),
        ("last", "blocked"),
        ("other", "landed"),
    ]);
    sandbox.mark("mended");
    // The others follow by themselves.
    sandbox.parallel(&["retry", "bad"]).expect(0);
    sandbox.expect_states(&[("bad", "landed"), ("next", "landed"), ("last", "landed"), ("other", "landed")]);
    sandbox.check(&before);
}

#[test]
fn a_dependent_starts_from_the_target_as_it_is_then() {
    let sandbox = Sandbox::new();
    let agent = "test $task = one && { mark up; await go; }; test $task = one || test -e users; echo $task > $task; commit";
    let plan = with_agent(&sandbox, agent, &[("one", &[]), ("two", &["one"])]);
    let running = spawn(&sandbox, &[], &plan);
    sandbox.await_mark("up");
    sandbox.write("users", "own\n");
    sandbox.commit_all("The user's");
    sandbox.mark("go");
    running.wait().expect(0);
    assert_eq!(
        sandbox.git(&["rev-list", "--count", "--merges", "main"]),
        "1",
        "the second is a fast-forward"
    );
}

#[test]
fn an_atomic_run_with_dependencies_lands_at_once() {
    let sandbox = Sandbox::new();
    let (before, old) = (sandbox.snapshot(), sandbox.oid("main"));
    let plan = with_agent(&sandbox, "ls > $IO/saw-$task; echo $task > $task; commit", &DIAMONDS);
    let output = run(&sandbox, &["--atomic", "--verify", "true"], &plan).expect(0);
    let tips = sandbox.git(&["reflog", "show", "--format=%H", "main"]);
    assert_eq!(tips.lines().nth(1), Some(old.as_str()));
    assert!(sandbox.read_io("saw-top").contains("right"));
    sandbox.check_run(&before, &output);

    let sandbox = Sandbox::new();
    let old = sandbox.oid("main");
    let plan = with_agent(&sandbox, "test $task != left; echo $task > $task; commit", &DIAMONDS);
    run(&sandbox, &["--atomic", "--keep-going"], &plan).expect(1);
    assert_eq!(sandbox.oid("main"), old);
    for (task, _) in DIAMONDS {
        assert_eq!(sandbox.state(task), if task == "left" { "failed" } else { "rolled-back" }, "{task}");
    }
}

#[test]
fn a_run_that_died_goes_on_in_its_order() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let agent =
        "mark up-$task; test $task != middle || await go; ls > $IO/saw-$task; echo $task > $task; commit";
    let plan = with_agent(&sandbox, agent, &DIAMONDS);
    let running = spawn(&sandbox, &[], &plan);
    sandbox.await_mark("up-middle");
    running.signal(Signal::KILL);
    running.wait();
    let resumed = sandbox.spawn(&["resume"]);
    wait_until("it has taken over", || sandbox.status()["run"]["state"] == "running");
    sandbox.mark("go");
    resumed.wait().expect(0);
    assert!(sandbox.read_io("saw-top").contains("left"));
    sandbox.check(&before);
}

#[test]
fn each_task_has_its_own() {
    let sandbox = Sandbox::new();
    let first = sandbox.oid("main");
    sandbox.write("later", "later\n");
    sandbox.commit_all("Later");
    let before = sandbox.snapshot();
    std::fs::create_dir(sandbox.root.join("prompts")).unwrap();
    let long = "say \"$(rm -rf /)\" 'and' \u{1b}[2J\n".repeat(40_000);
    std::fs::write(sandbox.root.join("prompts/long.md"), &long).unwrap();
    let agent = sandbox.agent("cat $GIT_PARALLEL_PROMPT_FILE > $IO/prompt; echo x > $task; commit");
    let text = format!(
        r#"
jobs = 4
[defaults]
env = {{ COLOR = "red", SIZE = "5" }}
[[task]]
name = "env"
command = "echo $COLOR $SIZE {{task}} > $GIT_PARALLEL_TASK"
env = {{ COLOR = "blue" }}
[[task]]
name = "base"
command = ["sh", "-c", "test ! -e later && echo {{task}} > $GIT_PARALLEL_TASK"]
base = "{first}"
[[task]]
name = "slow"
command = "sleep 100"
timeout = "200ms"
[[task]]
name = "flaky"
command = "echo x >> {io}/tries; test $(wc -l < {io}/tries) -ge 3 && echo ok > flaky"
retries = 2
[[task]]
name = "prompt"
prompt_file = "prompts/long.md"
command = ["{agent}"]
"#,
        io = sandbox.io("").display(),
        agent = agent.display(),
    );
    let plan = plan(&sandbox, "plan.toml", &text);
    let output = run(&sandbox, &[], &plan).expect(1);
    sandbox.expect_states(&[
        ("env", "landed"),
        ("base", "landed"),
        ("slow", "timed-out"),
        ("flaky", "landed"),
        ("prompt", "landed"),
    ]);
    assert_eq!(sandbox.read("env"), "blue 5 {task}\n", "nothing is replaced in a shell's command");
    assert_eq!(sandbox.read("base"), "base\n");
    assert!(sandbox.read_io("prompt") == long, "byte for byte");
    sandbox.check_run(&before, &output);
}

#[test]
fn the_formats_mean_the_same() {
    let yaml = "verify: 'true'\ndefaults:\n  command: echo x > $GIT_PARALLEL_TASK\ntasks:\n  - name: a\n  - name: b\n    depends_on: [a]\n";
    let json = r#"{"verify": "true", "defaults": {"command": "echo x > $GIT_PARALLEL_TASK"}, "tasks": [{"name": "a"}, {"name": "b", "depends_on": ["a"]}]}"#;
    for (name, text) in [("plan.yaml", yaml), ("plan.json", json)] {
        let sandbox = Sandbox::new();
        let path = plan(&sandbox, name, text);
        run(&sandbox, &[], &path).expect(0).tells(&["a: passed the check"]);
        sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
    }
    // The example, as the README has it.
    let sandbox = Sandbox::new();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for file in ["agent.sh", "full-stack.toml"] {
        sandbox.write(&format!("examples/{file}"), std::fs::read(examples.join(file)).unwrap());
    }
    sandbox.commit_all("Examples");
    let before = sandbox.snapshot();
    let output = run(&sandbox, &[], "examples/full-stack.toml").expect(0);
    assert_eq!(sandbox.status()["counts"]["landed"], 7);
    sandbox.check_run(&before, &output);
}

/// Everything that can be wrong at once, in each format: a line for each, and nothing else happens.
#[test]
fn bad_plans_are_refused_with_a_line_for_each_mistake() {
    let sandbox = Sandbox::new();
    let refs = sandbox.refs();
    for (name, text, least) in [
        ("bad.toml", include_str!("plans/bad.toml"), 40),
        ("bad.yaml", include_str!("plans/bad.yaml"), 40),
        ("bad.json", include_str!("plans/bad.json"), 40),
        ("list.json", r#"[{"id": "a", "title": "A", "dependencies": ["b", "c"]}, {"id": "a"}, {}]"#, 5),
        ("todo.md", "- [ ]\n- [ ] [P:Group-] x\n", 2),
        ("phases.yaml", "phase_1: []\nphase_2: [{name: a, depends_on: [b]}]\nphase_3: [b, 5]\n", 3),
        ("workers.json", r#"{"parallel_execution": {"tasks": [{"id": "a"}, {}, 5]}}"#, 3),
    ] {
        let path = plan(&sandbox, name, text);
        let output = run(&sandbox, &["--", "true"], &path).expect(2);
        let place = format!("{path}:");
        let told: Vec<&str> =
            output.stderr.lines().filter(|line| line.trim_start().starts_with(&place)).collect();
        let lines = text.lines().count();
        for line in &told {
            let (number, what) = line.trim_start()[place.len()..].split_once(": ").unwrap();
            let number: usize = number.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!((1..=lines).contains(&number) && what.len() > 10, "{line}");
        }
        assert!(told.len() >= least, "{name}: {}", output.stderr);
        output
            .clone()
            .tells(&[&format!("the plan has {} mistakes", told.len()), "Nothing was created or changed"]);
    }
    assert_eq!(sandbox.refs(), refs);
    assert!(!sandbox.worktrees().exists() && !sandbox.repo.join(".git/parallel").exists());
}

/// In the plan itself, from a file beside it, and from standard input: as an argument, if it fits, and in
/// {prompt_file} in any case.
#[test]
fn a_prompt_reaches_its_agent_byte_for_byte() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"cat "$1" > $IO/prompt-$task; echo x > $task; commit"#);
    let prompt = "say \"$(rm -rf /)\" 'and' `id` \\ ${HOME} ${task} {x} {{.ID}}\t\u{1b}[2J\u{7f}\u{1}\r\n\u{1f600} 100%\n";
    let long = prompt.repeat((1 << 20) / prompt.len() + 1);
    assert!(long.len() >= 1 << 20);
    std::fs::write(sandbox.root.join("long.md"), &long).unwrap();
    let command = serde_json::json!([agent, "{prompt_file}"]);
    let json = serde_json::json!({"tasks": [
        {"name": "inline", "prompt": long, "command": command},
        {"name": "file", "prompt_file": "long.md", "command": command},
    ]});
    let path = plan(&sandbox, "plan.json", &json.to_string());
    run(&sandbox, &[], &path).expect(0);
    for name in ["prompt-inline", "prompt-file"] {
        let got = sandbox.read_io(name);
        let at = got.bytes().zip(long.bytes()).position(|(a, b)| a != b);
        assert!(got == long, "{name}: {} of {} bytes, other at {at:?}", got.len(), long.len());
    }

    let json = serde_json::json!({"tasks": [{"name": "stdin", "prompt": long, "command": command}]});
    let input = sandbox.root.join("stdin.json");
    std::fs::write(&input, json.to_string()).unwrap();
    let mut git_parallel = sandbox.command(&sandbox.repo, common::PROGRAM);
    git_parallel.args(["run", "-y", "-f", "-"]).stdin(std::fs::File::open(&input).unwrap());
    sandbox.start(git_parallel).wait().expect(0);
    assert!(sandbox.read_io("prompt-stdin") == long);

    // What the plan adds follows the prompt, which stays as it is.
    let json = serde_json::json!({
        "completion_criteria": ["$(true) \"holds\""],
        "tasks": [{"name": "added", "prompt": prompt, "command": [agent, "{prompt_file}"]}],
    });
    let path = plan(&sandbox, "criteria.json", &json.to_string());
    run(&sandbox, &[], &path).expect(0);
    let expected = format!("{prompt}\n## Completion criteria\n\n- $(true) \"holds\"\n");
    assert_eq!(sandbox.read_io("prompt-added"), expected);
}

#[test]
fn every_mistake_is_told_and_nothing_is_created() {
    let sandbox = Sandbox::new();
    let refs = sandbox.refs();
    let text = "jobs = 0\ncolour = 1\n[[task]]\nname = \"a\"\nprompt_file = \"no\"\ndepends_on = [\"b\"]\n[[task]]\nname = \"b\"\ndepends_on = [\"a\"]\n";
    let path = plan(&sandbox, "plan.toml", text);
    let output = run(&sandbox, &["--", "true"], &path).expect(2);
    output.tells(&["plan.toml:1:", "plan.toml:2:", "a -> b -> a", "Nothing was created or changed"]);
    let path = plan(&sandbox, "prompt.toml", "[[task]]\nname = \"a\"\nprompt_file = \"no\"\n");
    run(&sandbox, &["--", "true"], &path).expect(2).tells(&["prompt.toml:", "cannot read prompt_file 'no'"]);
    let path =
        plan(&sandbox, "good.toml", "[[task]]\nname = \"a\"\n[[task]]\nname = \"b\"\ndepends_on = [\"a\"]\n");
    run(&sandbox, &["--no-land", "--", "true"], &path).expect(2).tells(&["would never start"]);
    run(&sandbox, &["c", "--", "true"], &path).expect(2);
    run(&sandbox, &[], &path).expect(2).tells(&["no AGENT is given"]);
    let path = plan(
        &sandbox,
        "base.toml",
        "[[task]]\nname = \"a\"\nbase = \"nowhere\"\ncommand = [\"no-such-agent\"]\n",
    );
    run(&sandbox, &[], &path)
        .expect(3)
        .tells(&["'nowhere' is no commit", "agent 'no-such-agent' was not found"]);
    run(&sandbox, &["--", "true"], "missing.toml").expect(2).tells(&["cannot read the plan missing.toml"]);
    assert_eq!(sandbox.refs(), refs);
    assert!(!sandbox.worktrees().exists());
}
