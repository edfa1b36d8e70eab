//! Agents that are asked for by name: the list of them, runs with `-a NAME`, and conflicts that they settle.

#![allow(clippy::disallowed_methods)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Output, Sandbox};
use serde_json::{Value, json};

/// The names of all agents that are known.
const KNOWN: [&str; 15] = [
    "claude",
    "codex",
    "gemini",
    "opencode",
    "aider",
    "amp",
    "goose",
    "cursor-agent",
    "copilot",
    "qwen",
    "crush",
    "droid",
    "auggie",
    "cline",
    "kiro",
];

/// Writes down how it was called, one argument a line and a line between calls, then does as `body` says.
fn logged(body: &str) -> String {
    format!("for argument; do printf '<%s>\\n' \"$argument\"; done >> \"$IO/argv\"\n{body}")
}

/// A sandbox in which only these agents are on PATH: each logs its arguments and commits a file.
fn with_agents(programs: &[&str]) -> Sandbox {
    let mut sandbox = Sandbox::new();
    for program in programs {
        install(&sandbox, program, r#"echo "$task" > "$task.txt"; commit"#);
    }
    // Whatever is installed on this machine is not asked for.
    let tools = sandbox.root.join("tools");
    fs::create_dir(&tools).unwrap();
    for tool in ["git", "sh", "sed", "cat", "sleep", "head", "tail", "mkdir", "rm", "true"] {
        std::os::unix::fs::symlink(which::which(tool).unwrap(), tools.join(tool)).unwrap();
    }
    let program = PathBuf::from(common::PROGRAM).parent().unwrap().to_owned();
    let path = std::env::join_paths([program, sandbox.root.join("bin"), tools]).unwrap();
    sandbox.set_env("PATH", path);
    sandbox
}

fn install(sandbox: &Sandbox, program: &str, body: &str) {
    sandbox.script(&sandbox.root.join("bin").join(program), &logged(body));
}

/// What the agents were called with.
fn argv(sandbox: &Sandbox) -> String {
    sandbox.read_io("argv")
}

fn run(sandbox: &Sandbox, args: &[&str]) -> Output {
    sandbox.parallel(&[&["run", "-y"], args].concat())
}

fn shown(sandbox: &Sandbox, output: &Output) -> String {
    output.all().replace(sandbox.root.to_str().unwrap(), "[ROOT]")
}

#[test]
fn the_list_tells_what_is_there_and_how_it_is_called() {
    let sandbox = with_agents(&["codex", "kiro-cli"]);
    sandbox.git(&["config", "parallel.agent", "codex"]);
    sandbox.git(&["config", "parallel.agent.mine.cmd", "make \"$GIT_PARALLEL_TASK\""]);
    sandbox.git(&["config", "parallel.agent.amp.cmd", "amp -x < \"$GIT_PARALLEL_PROMPT_FILE\""]);
    sandbox.git(&["config", "parallel.agent.claude.cmd", ""]);
    let output = sandbox.parallel(&["agents"]).expect(0);
    insta::assert_snapshot!(shown(&sandbox, &output));
}

#[test]
fn the_list_is_there_for_scripts_and_outside_of_a_repository() {
    let sandbox = with_agents(&["claude"]);
    sandbox.git(&["config", "parallel.agent.mine.cmd", "true"]);
    let listed = sandbox.parallel(&["agents", "--json"]).expect(0).json();
    assert_eq!(listed["version"], 1);
    let agents = listed["agents"].as_array().unwrap();
    let path = sandbox.root.join("bin/claude");
    let of = |name: &str| agents.iter().find(|agent| agent["name"] == name).unwrap();
    assert_eq!(of("claude")["path"], path.to_str().unwrap());
    let call = json!(["claude", "-p", "--permission-mode", "acceptEdits", "--", "{prompt}"]);
    assert_eq!((&of("claude")["found"], &of("claude")["command"]), (&json!(true), &call));
    assert_eq!((&of("codex")["found"], &of("codex")["path"]), (&json!(false), &Value::Null));
    assert_eq!(of("mine")["command"], json!(["sh", "-c", "true"]));
    assert_eq!((&of("mine")["configured"], &of("mine")["found"]), (&json!(true), &json!(true)));
    let mut names: Vec<&str> = agents.iter().map(|agent| agent["name"].as_str().unwrap()).collect();
    assert_eq!(names[..2], ["claude", "mine"], "what is found comes first");
    names.retain(|name| *name != "mine");
    assert_eq!(names, KNOWN);

    let elsewhere = sandbox.parallel_in(&sandbox.root.join("io"), &["agents", "--json"]).expect(0).json();
    assert_eq!(elsewhere["agents"].as_array().unwrap().len(), KNOWN.len());
    let none = with_agents(&[]);
    none.parallel(&["agents"]).expect(0).tells(&["-> git config parallel.agent.NAME.cmd CMD"]);
}

#[test]
fn the_readme_tells_of_every_agent() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let listed = with_agents(&[]).parallel(&["agents", "--json"]).expect(0).json();
    for agent in listed["agents"].as_array().unwrap() {
        let name = agent["name"].as_str().unwrap();
        let command = agent["command"].as_array().unwrap().iter();
        let command: Vec<&str> = command.map(|argument| argument.as_str().unwrap()).collect();
        let row = format!("| `{name}` | `{}` | ", command.join(" "));
        assert!(readme.contains(&row), "{row}");
    }
}

/// Prompts that a shell, a line-wise reader or an option parser could trip over.
const ODD: &str = "-x --help\n\n  \"quoted\" 'too' $HOME `id` {prompt} ${task} \\ é\n--\n";

#[test]
fn each_agent_is_called_by_its_recipe() {
    let programs: Vec<&str> =
        KNOWN.iter().map(|name| if *name == "kiro" { "kiro-cli" } else { name }).collect();
    let sandbox = with_agents(&programs);
    let mut calls = String::new();
    for name in KNOWN {
        let _ = fs::remove_file(sandbox.io("argv"));
        let task = format!("task={ODD}");
        run(&sandbox, &["-q", "--no-land", "-a", name, &task]).expect(0);
        let called = argv(&sandbox);
        let prompt = sandbox.record().join("tasks/task/prompt.md");
        assert_eq!(fs::read_to_string(&prompt).unwrap(), ODD);
        let told = called.matches(ODD).count() + called.matches(prompt.to_str().unwrap()).count();
        assert_eq!(told, 1, "{name} is told once: {called}");
        let called = called.replace(ODD, "PROMPT").replace(prompt.to_str().unwrap(), "FILE");
        calls.push_str(&format!("{name}\n{called}"));
        sandbox.parallel(&["cleanup", "--force", "task"]).expect(0);
    }
    insta::assert_snapshot!(calls);
}

#[test]
fn more_arguments_go_before_the_prompt_or_say_where_it_goes() {
    let sandbox = with_agents(&["claude"]);
    let before = sandbox.snapshot();
    let output =
        run(&sandbox, &["-a", "claude", "a=Do it", "--", "--model", "opus", "--name={task}"]).expect(0);
    sandbox.check_run(&before, &output);
    let plain = "<-p>\n<--permission-mode>\n<acceptEdits>\n";
    assert_eq!(argv(&sandbox), format!("{plain}<--model>\n<opus>\n<--name=a>\n<-->\n<Do it>\n"));
    fs::remove_file(sandbox.io("argv")).unwrap();
    run(&sandbox, &["-a", "claude", "b=Do more", "--", "--", "{task}: {prompt}"]).expect(0);
    assert_eq!(argv(&sandbox), format!("{plain}<-->\n<b: Do more>\n"));
}

/// The agent of the configuration is for runs that name none; a command goes before it.
#[test]
fn the_configuration_names_the_agent_of_runs_that_name_none() {
    let sandbox = with_agents(&["claude", "codex"]);
    run(&sandbox, &["a=x"]).expect(2).tells(&["no AGENT is given", "git parallel agents"]);
    sandbox.git(&["config", "parallel.agent", "codex"]);
    sandbox.git(&["config", "parallel.agent.codex.timeout", "not ours"]);
    run(&sandbox, &["-p", "x", "a"]).expect(0);
    assert_eq!(argv(&sandbox), "<exec>\n<--sandbox>\n<workspace-write>\n<-->\n<x>\n");
    run(&sandbox, &["-n", "-a", "claude", "b=x"]).expect(0).tells(&["run claude -p --permission-mode"]);
    run(&sandbox, &["-n", "b=x", "--", "true"]).expect(0).tells(&["run true in it"]);
    sandbox.parallel(&["doctor"]).expect(0);
    sandbox.git(&["config", "parallel.agent", "gemini"]);
    sandbox.parallel(&["doctor"]).expect(3).tells(&["'gemini' is not on PATH", "there: claude, codex"]);
}

#[test]
fn a_name_that_is_not_known_or_not_there_is_refused() {
    let sandbox = with_agents(&["claude", "codex"]);
    let told = |args: &[&str]| {
        let output = run(&sandbox, args).expect(3);
        assert!(!sandbox.worktrees().exists());
        output.stderr
    };
    insta::assert_snapshot!(told(&["-a", "cluade", "a=x"]), @r"
    error: no agent is known as 'cluade'
      Nothing was created or changed.
    hint: did you mean 'claude'?
    hint: see which are known: git parallel agents; to add one: git config parallel.agent.NAME.cmd
    ");
    insta::assert_snapshot!(told(&["-a", "kiro", "a=x"]), @r"
    error: agent 'kiro' (kiro-cli) is not on PATH
      Nothing was created or changed.
    hint: check PATH, or take one that is there: claude, codex
    ");
    insta::assert_snapshot!(told(&["-a", "claude", "a=x", "b", "c"]), @r"
    error: the run can't start, for 2 reasons:
      - task 'b' has no prompt, but agent 'claude' needs one
      - task 'c' has no prompt, but agent 'claude' needs one
      Nothing was created or changed.
    hint: give it one (TASK=PROMPT), or one to all: -p TEXT or -P FILE
    ");
    insta::assert_snapshot!(told(&["--on-conflict", "gemini", "a=x", "--", "true"]), @r"
    error: agent 'gemini' is not on PATH
      Nothing was created or changed.
    hint: check PATH, or take one that is there: claude, codex
    ");
    let long = sandbox.root.join("long.md");
    fs::write(&long, "x".repeat(128 << 10)).unwrap();
    let long = long.to_str().unwrap();
    insta::assert_snapshot!(told(&["-a", "claude", "-P", long, "a"]), @r"
    error: the prompt of task 'a' is too long for an argument
      Nothing was created or changed.
    hint: have the agent read it: write 'Follow {prompt_file}' in place of {prompt}, after '--'
    ");
    run(&sandbox, &["-a", "claude", "-P", long, "a", "--", "--", "Follow {prompt_file}"]).expect(0);
}

/// It is the user's command, so nothing is replaced in it, and no prompt is asked for that it does not read.
#[test]
fn a_configured_agent_is_run_by_the_shell() {
    let sandbox = with_agents(&[]);
    let command =
        "cat \"$GIT_PARALLEL_PROMPT_FILE\" > prompt.txt; printf '%s|' '{task}' '{prompt}' > literal; :";
    sandbox.git(&["config", "parallel.agent.mine.cmd", command]);
    let before = sandbox.snapshot();
    run(&sandbox, &["-a", "mine", "a"]).expect(3).tells(&["'a' has no prompt, but agent 'mine' needs one"]);
    let planned = run(&sandbox, &["-n", "-a", "mine", "a=x"]).expect(0);
    assert!(planned.stdout.contains("run mine ("), "{}", planned.stdout);
    let task = format!("a={ODD}");
    run(&sandbox, &["-a", "mine", &task]).expect(0);
    sandbox.check(&before);
    assert_eq!(sandbox.read("prompt.txt"), ODD);
    assert_eq!(sandbox.read("literal"), "{task}|{prompt}|");
    let spec: Value = serde_json::from_slice(&fs::read(sandbox.record().join("run.json")).unwrap()).unwrap();
    assert_eq!((&spec["agent_name"], &spec["agent_shell"]), (&json!("mine"), &json!(true)));

    sandbox.git(&["config", "parallel.agent.mine.cmd", "printf '%s|' > more"]);
    run(&sandbox, &["-a", "mine", "b", "--", "x y", "{task}"]).expect(0);
    assert_eq!(sandbox.read("more"), "x y|b|", "as git's aliases get them");
}

/// What the agent is called by is fixed when the run starts.
#[test]
fn a_run_that_is_taken_up_again_calls_its_agent_as_before() {
    let sandbox = with_agents(&["claude"]);
    install(&sandbox, "claude", "[ -e \"$IO/go\" ] || exit 1; echo x > x; commit");
    run(&sandbox, &["-a", "claude", "a=Do it"]).expect(1);
    sandbox.git(&["config", "parallel.agent.claude.cmd", "false"]);
    sandbox.mark("go");
    sandbox.parallel(&["retry", "a"]).expect(0);
    assert_eq!(argv(&sandbox).matches("<Do it>").count(), 2);
}

/// Edits the line that all edit.
const EDITS_DB: &str = r#"sed -i "s/^five$/five by $task/" src/db.rs; commit"#;

/// Keeps both sides.
const KEEPS_BOTH: &str = "sed -i '/^[<|=>]\\{7\\}/d' src/db.rs";

fn collide(sandbox: &Sandbox, resolver: &str) -> Output {
    let agent = sandbox.agent(EDITS_DB);
    let tasks = ["--sequential", "first=Say first", "second=Say second\n<<<<<<< odd"];
    sandbox.run(&[&["--on-conflict", resolver][..], &tasks].concat(), &agent)
}

#[test]
fn a_known_agent_settles_a_conflict() {
    let sandbox = with_agents(&[]);
    install(
        &sandbox,
        "claude",
        &format!("cat \"$GIT_PARALLEL_CONFLICTS_FILE\" > \"$IO/paths\"; {KEEPS_BOTH}"),
    );
    let before = sandbox.snapshot();
    let output = collide(&sandbox, "claude").expect(0);
    sandbox.check_run(&before, &output);
    output.tells(&["second: landed on main (merge, settled by the resolver"]);
    assert!(sandbox.read("src/db.rs").contains("five by"), "{}", sandbox.read("src/db.rs"));
    assert_eq!(sandbox.read_io("paths"), "src/db.rs\n");

    let told = fs::read_to_string(sandbox.record().join("tasks/second/resolver/prompt.md")).unwrap();
    let plain = "<-p>\n<--permission-mode>\n<acceptEdits>\n<-->\n";
    assert_eq!(argv(&sandbox), format!("{plain}<{told}>\n"));
    for told_of in
        ["\n    src/db.rs\n", "    Say first\n", "    Say second\n    <<<<<<< odd\n", "work of first"]
    {
        assert!(told.contains(told_of), "{told_of}: {told}");
    }
    assert!(told.contains("change no other") && told.contains("Do not commit"), "{told}");
}

#[test]
fn an_agent_that_does_not_settle_it_leaves_it_to_a_person() {
    for body in ["exit 1", "echo done", "git commit -qm x --allow-empty || :; rm -f README.md"] {
        let sandbox = with_agents(&[]);
        install(&sandbox, "codex", body);
        let before = sandbox.snapshot();
        let output = collide(&sandbox, "codex").expect(1);
        sandbox.check_run(&before, &output);
        sandbox.expect_states(&[("first", "landed"), ("second", "conflicted")]);
        assert_eq!(argv(&sandbox).matches("<exec>").count(), 1, "{body}");
    }
}

/// A configured agent finds what it is to do where it always does. Only a whole name is a name.
#[test]
fn a_configured_agent_settles_a_conflict() {
    let sandbox = with_agents(&["claude"]);
    let command =
        format!("cat \"$GIT_PARALLEL_PROMPT_FILE\" > {}/told; {KEEPS_BOTH}", sandbox.io("").display());
    sandbox.git(&["config", "parallel.agent.fixer.cmd", &command]);
    sandbox.git(&["config", "parallel.onConflict", "fixer"]);
    let before = sandbox.snapshot();
    let agent = sandbox.agent(EDITS_DB);
    sandbox.run(&["-n", "a", "b"], &agent).expect(0).tells(&["have conflicts settled by fixer before"]);
    let output = sandbox.run(&["--sequential", "first", "second"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert!(sandbox.read_io("told").starts_with("# Settle a merge\n"), "{}", sandbox.read_io("told"));

    let planned = sandbox.run(&["-n", "--on-conflict", "claude -p x", "a", "b"], &agent).expect(0);
    planned.tells(&["have conflicts settled by 'claude -p x' before"]);
}

#[test]
fn agents_are_completed_by_name() {
    let sandbox = with_agents(&["claude", "codex"]);
    sandbox.git(&["config", "parallel.agent.mine.cmd", "true"]);
    // Beside their names: the one for each task, and any command at all.
    let auto = "auto\tfor each task the one that suits it best";
    for (words, more) in [(["run", "-a", ""], auto), (["run", "--on-conflict", ""], ":commands")] {
        let output = sandbox.parallel(&[&["complete", "--"], &words[..]].concat()).expect(0);
        let named = "claude\tClaude Code\ncodex\tOpenAI Codex CLI\nmine\tconfigured\n";
        assert_eq!(output.stdout, format!("{named}{more}\n"));
    }
    let output = sandbox.parallel(&["complete", "--", "run", "--agent=cl"]).expect(0);
    assert_eq!(output.stdout, "--agent=claude\tClaude Code\n");
}

/// Which agent worked on which task.
fn crew(sandbox: &Sandbox) -> Vec<(String, String)> {
    let spec: Value = serde_json::from_slice(&fs::read(sandbox.record().join("run.json")).unwrap()).unwrap();
    let tasks = spec["tasks"].as_array().unwrap().iter();
    let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    tasks.map(|task| (name(&task["name"]), name(&task["agent"]["name"]))).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn several_agents_take_turns() {
    let sandbox = with_agents(&["claude", "codex"]);
    run(&sandbox, &["-a", "claude,codex", "-p", "go", "one", "two", "three"]).expect(0);
    assert_eq!(crew(&sandbox), pairs(&[("one", "claude"), ("two", "codex"), ("three", "claude")]));
    assert_eq!(argv(&sandbox).matches("<exec>").count(), 1, "codex was called once: {}", argv(&sandbox));
    let refused = run(&sandbox, &["-a", "claude,gemini", "-p", "go", "four"]).expect(3);
    refused.tells(&["agent 'gemini' is not on PATH", "claude, codex"]);
}

#[test]
fn rules_route_tasks_to_the_agent_that_suits_them() {
    let sandbox = with_agents(&["claude", "codex"]);
    for (agent, pattern) in [
        ("codex", "tests"),
        ("codex", "flaky"),
        ("gemini", "docs"),
        ("claude", "refactor"),
        ("claude", "tests"),
    ] {
        sandbox.git(&["config", "--add", &format!("parallel.route.{agent}.pattern"), pattern]);
    }
    let tasks = ["x=Mend the flaky tests", "y=Refactor it", "z=Write the docs", "w=Other"];
    run(&sandbox, &[&["-a", "auto"], &tasks[..]].concat()).expect(0);
    let expected = [("x", "codex"), ("y", "claude"), ("z", "claude"), ("w", "claude")];
    assert_eq!(crew(&sandbox), pairs(&expected), "gemini is not there, and the first that is takes the rest");
    let none = with_agents(&[]);
    run(&none, &["-a", "auto", "a=x"]).expect(3).tells(&["no agent that is known is on PATH"]);
}

#[test]
fn one_task_can_be_given_to_each_agent() {
    let sandbox = with_agents(&["claude", "codex"]);
    let before = sandbox.snapshot();
    let output = run(&sandbox, &["-a", "claude,codex", "--each-agent", "auth=Add a login form"]).expect(0);
    output.tells(&["auth-claude", "auth-codex", "git parallel land"]);
    sandbox.expect_states(&[("auth-claude", "finished"), ("auth-codex", "finished")]);
    assert!(
        sandbox.has_ref("refs/heads/feature/auth-claude") && sandbox.has_ref("refs/heads/feature/auth-codex")
    );
    sandbox.parallel(&["land", "auth-codex"]).expect(0);
    sandbox.expect_states(&[("auth-claude", "finished"), ("auth-codex", "landed")]);
    sandbox.check(&before);
    run(&sandbox, &["--each-agent", "x", "--", "true"]).expect(2).tells(&["--agent"]);
}

/// A task's placeholders work in its prompt, as in the arguments; nothing else in it changes.
#[test]
fn placeholders_work_in_prompts() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"cat "$GIT_PARALLEL_PROMPT_FILE" >$task.txt; commit"#);
    let prompt =
        "Work on {task} in {branch} (from {base}), ${task} {{x}} {prompt} {other} $(id) `id` \"'\u{1}\n";
    sandbox.run(&["-p", prompt, "auth"], &agent).expect(0);
    let base = sandbox.oid("main~1");
    let expected =
        prompt.replacen("{task}", "auth", 1).replace("{branch}", "feature/auth").replace("{base}", &base);
    assert_eq!(sandbox.read("auth.txt"), expected);
}
