//! Agents that are asked for by name: the list of them, and runs with `-a NAME`.

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
    sandbox.git(&["config", "parallel.agent.mine.command", "make \"$GIT_PARALLEL_TASK\""]);
    sandbox.git(&["config", "parallel.agent.amp.command", "amp -x < \"$GIT_PARALLEL_PROMPT_FILE\""]);
    sandbox.git(&["config", "parallel.agent.claude.command", ""]);
    let output = sandbox.parallel(&["agents"]).expect(0);
    insta::assert_snapshot!(shown(&sandbox, &output));
}

#[test]
fn the_list_is_there_for_scripts_and_outside_of_a_repository() {
    let sandbox = with_agents(&["claude"]);
    sandbox.git(&["config", "parallel.agent.mine.command", "true"]);
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
    none.parallel(&["agents"]).expect(0).tells(&["-> git config parallel.agent.NAME.command CMD"]);
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
const ODD: &str = "-x --help\n\n  \"quoted\" 'too' $HOME `id` {task} \\ é\n--\n";

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
    hint: see which are known: git parallel agents; to add one: git config parallel.agent.NAME.command
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
    sandbox.git(&["config", "parallel.agent.mine.command", command]);
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

    sandbox.git(&["config", "parallel.agent.mine.command", "printf '%s|' > more"]);
    run(&sandbox, &["-a", "mine", "b", "--", "x y", "{task}"]).expect(0);
    assert_eq!(sandbox.read("more"), "x y|b|", "as git's aliases get them");
}

/// What the agent is called by is fixed when the run starts.
#[test]
fn a_run_that_is_taken_up_again_calls_its_agent_as_before() {
    let sandbox = with_agents(&["claude"]);
    install(&sandbox, "claude", "[ -e \"$IO/go\" ] || exit 1; echo x > x; commit");
    run(&sandbox, &["-a", "claude", "a=Do it"]).expect(1);
    sandbox.git(&["config", "parallel.agent.claude.command", "false"]);
    sandbox.mark("go");
    sandbox.parallel(&["retry", "a"]).expect(0);
    assert_eq!(argv(&sandbox).matches("<Do it>").count(), 2);
}

#[test]
fn agents_are_completed_by_name() {
    let sandbox = with_agents(&["claude", "codex"]);
    sandbox.git(&["config", "parallel.agent.mine.command", "true"]);
    for words in [&["run", "-a", ""][..], &["run", "--agent", ""]] {
        let output = sandbox.parallel(&[&["complete", "--"], words].concat()).expect(0);
        assert_eq!(output.stdout, "claude\tClaude Code\ncodex\tOpenAI Codex CLI\nmine\tconfigured\n");
    }
    let output = sandbox.parallel(&["complete", "--", "run", "--agent=cl"]).expect(0);
    assert_eq!(output.stdout, "--agent=claude\tClaude Code\n");
}
