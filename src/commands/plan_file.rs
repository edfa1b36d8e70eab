//! Reading a plan file from disk, and what of it goes beside the tasks.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::agents::Registry;
use crate::engine::preflight;
use crate::error::{Failure, exit};
use crate::plan::file::{self, Agent, Command, Format, Plan, PlannedTask, Problem, Prompt};
use crate::plan::{LABELS, Own, Request, Wanted};
use crate::run::{AgentCall, Text};

/// What the command line and the configuration say to all tasks of a plan.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    /// The agents that can be asked for by name.
    pub registry: &'a Registry,
    /// The prompt of those that have none.
    pub prompt: Option<&'a str>,
    /// It names an agent: where those of the plan are advice, it goes before.
    pub agent: bool,
}

/// Reads the plan at `path`, `-` being standard input, with the prompts that it has in files.
///
/// # Errors
/// Every mistake at once, each with its line; nothing was created then.
pub fn read(path: &Path, said: Said) -> Result<(Plan, Vec<Request>)> {
    let bytes = bytes_of(path)?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(refused(path, &[Problem { line: None, what: "it is not UTF-8 text".to_owned() }]));
    };
    let look = |plan: &Plan| match plan.advises_agents && said.agent {
        true => Vec::new(),
        false => unknown_agents(plan, said.registry),
    };
    let mut plan =
        file::read(text, Format::of(path, &bytes), look).map_err(|problems| refused(path, &problems))?;
    if plan.advises_agents && said.agent {
        for task in &mut plan.tasks {
            (task.agent, task.fallback) = (None, Vec::new());
        }
    }
    let dir = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut problems = Vec::new();
    let tasks = plan.tasks.iter().filter_map(|task| request(task, &dir, said, &mut problems)).collect();
    if problems.is_empty() { Ok((plan, tasks)) } else { Err(refused(path, &problems)) }
}

/// Names of agents that nobody knows, each with the line of its task.
fn unknown_agents(plan: &Plan, registry: &Registry) -> Vec<Problem> {
    let mut problems = Vec::new();
    for task in &plan.tasks {
        let own = match &task.agent {
            Some(Agent::Name(name)) if name != preflight::AUTO => Some(("agent", name)),
            _ => None,
        };
        for (key, name) in own.into_iter().chain(task.fallback.iter().map(|name| ("fallback", name))) {
            if registry.get(name).is_some() {
                continue;
            }
            let hint = match registry.nearest(name) {
                Some(near) => format!("did you mean '{near}'?"),
                None => "see which are: git parallel agents".to_owned(),
            };
            let what = format!(
                "task '{}': {key}: no agent is known as '{}'; {hint}",
                task.name,
                name.escape_debug()
            );
            problems.push(Problem { line: Some(task.line), what });
        }
    }
    problems
}

fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.with_context(|| {
        Failure::new(exit::USAGE, format!("cannot read the plan {}", path.display()))
            .safe("Nothing was created or changed.")
    })
}

fn refused(path: &Path, problems: &[Problem]) -> anyhow::Error {
    let name = if path == Path::new("-") { PathBuf::from("standard input") } else { path.to_owned() };
    let lines = problems.iter().map(|problem| match problem.line {
        Some(line) => format!("\n  {}:{line}: {}", name.display(), problem.what),
        None => format!("\n  {}: {}", name.display(), problem.what),
    });
    let count = crate::ui::count(problems.len() as u64, "mistake");
    let message = format!("the plan has {count}:{}", lines.collect::<String>());
    Failure::new(exit::USAGE, message).safe("Nothing was created or changed.").into()
}

/// A file's prompt is looked for beside the plan.
fn request(task: &PlannedTask, dir: &Path, said: Said, problems: &mut Vec<Problem>) -> Option<Request> {
    let prompt = match &task.prompt {
        None => said.prompt.map(str::to_owned),
        Some(Prompt::Text(text)) => Some(text.clone()),
        Some(Prompt::File(path)) => match std::fs::read_to_string(dir.join(path)) {
            Ok(text) => Some(text),
            Err(e) => {
                let what = format!("cannot read prompt_file '{}': {e}", path.display());
                problems.push(Problem { line: Some(task.line), what });
                return None;
            }
        },
    };
    let own = task.env.iter().map(|(name, value)| (name.clone(), Text::from(value.as_str())));
    let labels = (!task.labels.is_empty()).then(|| Text::from(task.labels.join(",")));
    let env = own.chain(labels.map(|labels| (LABELS.to_owned(), labels)));
    let own = Own {
        depends_on: task.depends_on.clone(),
        agent: task.agent.as_ref().map(|agent| match agent {
            Agent::Name(name) => Wanted::Name(name.clone()),
            Agent::Command(command) => Wanted::Call(call(command)),
        }),
        fallback: task.fallback.clone(),
        runner: task.runner.clone(),
        group: task.group.clone(),
        stage: task.stage,
        touches: task.touches.iter().map(|pathspec| pathspec.as_str().into()).collect(),
        literal_from: Some(prompt.as_ref().map_or(0, String::len)),
        setup: task.setup.as_deref().map(Text::from),
        base: task.base.clone(),
        timeout_ms: task.timeout.map(super::run::milliseconds),
        retries: task.retries,
        env: env.collect(),
    };
    Some(Request { name: task.name.clone(), prompt: task.appendix.after(prompt), own })
}

fn call(command: &Command) -> AgentCall {
    let (argv, shell) = match command {
        Command::Shell(text) => (vec!["sh".into(), "-c".into(), text.as_str().into()], true),
        Command::Arguments(argv) => (argv.iter().map(|argument| argument.as_str().into()).collect(), false),
    };
    AgentCall { name: String::new(), argv, shell }
}
