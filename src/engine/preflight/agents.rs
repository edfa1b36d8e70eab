//! The agent, and who settles conflicts: by a command, or by the name of an agent.

use super::{Ask, Problem};
use crate::agents::{self, Registry};
use crate::git::{self, Config, Repository};
use crate::plan::{self, Request};
use crate::run::{AgentCall, Oid, Resolver, Text};

/// The agent of a run.
#[derive(Clone, Default, Debug)]
pub(super) struct Agent {
    /// The name that it was asked for by.
    pub(super) name: Option<String>,
    /// See [`AgentCall::argv`].
    pub(super) argv: Vec<Text>,
    /// See [`AgentCall::shell`].
    pub(super) shell: bool,
}

impl Agent {
    /// Whether an argument of it mentions this placeholder.
    fn mentions(&self, name: &'static str) -> bool {
        let literal = |place| self.shell && place == AgentCall::SCRIPT;
        let arguments = self.argv.iter().enumerate().filter(|(place, _)| !literal(*place));
        arguments.into_iter().any(|(_, argument)| plan::mentions(argument, name))
    }
}

/// Every agent that can be asked for by name: the known ones, and those of `parallel.agent.<name>.cmd`.
/// An empty command is none.
pub fn registry(config: &Config) -> Registry {
    let configured = config.subsections("parallel.agent.").into_iter().filter_map(|name| {
        let command = config.string(&format!("parallel.agent.{name}.cmd"))?;
        (!command.as_bstr().trim_ascii().is_empty()).then(|| (name.to_owned(), command))
    });
    Registry::new(configured.collect())
}

/// The agent's command must be there, and what it asks for must be known.
pub(super) fn check(
    repo: &Repository,
    config: &Config,
    ask: &Ask,
    base: Option<&Oid>,
    problems: &mut Vec<Problem>,
) -> Agent {
    let (agent, wants_prompt) = match &ask.agent_name {
        Some(name) => match named(&registry(config), name) {
            Ok(found) => {
                let AgentCall { name, argv, shell } = found.call(&ask.agent);
                (Agent { name: Some(name), argv, shell }, found.wants_prompt())
            }
            Err(problem) => {
                problems.push(problem);
                return Agent::default();
            }
        },
        None => {
            let agent = Agent { name: None, argv: ask.agent.clone(), shell: false };
            problems.extend(agent.argv.first().and_then(|program| check_program(repo, program, base)));
            let wants_prompt = agent.mentions("prompt") || agent.mentions("prompt_file");
            (agent, wants_prompt)
        }
    };
    for request in ask.tasks.iter().flatten() {
        match &request.own.agent {
            None => check_prompt(ask, request, &agent, wants_prompt, problems),
            Some(own) => {
                let own = Agent { name: None, argv: own.argv.clone(), shell: own.shell };
                let program = own.argv.first().filter(|_| !own.shell);
                problems.extend(program.and_then(|program| check_program(repo, program, base)));
                let wanted = own.mentions("prompt") || own.mentions("prompt_file");
                check_prompt(ask, request, &own, wanted, problems);
            }
        }
    }
    agent
}

/// A value that is exactly an agent's name means the agent; anything else is a command.
pub(super) fn check_resolver(
    config: &Config,
    asked: Option<&Text>,
    problems: &mut Vec<Problem>,
) -> Option<Resolver> {
    let asked = asked?;
    let registry = registry(config);
    let Some(agent) = std::str::from_utf8(asked.as_bstr()).ok().and_then(|name| registry.get(name)) else {
        return Some(Resolver::Command(asked.clone()));
    };
    if !agent.is_found() {
        problems.push(not_found(&registry, agent));
    }
    Some(Resolver::Agent(agent.call(&[])))
}

fn named<'a>(registry: &'a Registry, name: &str) -> Result<&'a agents::Agent, Problem> {
    match registry.get(name) {
        Some(agent) if agent.is_found() => Ok(agent),
        Some(agent) => Err(not_found(registry, agent)),
        None => Err(unknown(registry, name)),
    }
}

fn unknown(registry: &Registry, name: &str) -> Problem {
    let mut hint = registry.nearest(name).map(|near| format!("did you mean '{near}'?\n")).unwrap_or_default();
    hint.push_str("see which are known: git parallel agents; to add one: git config parallel.agent.NAME.cmd");
    Problem::new(format!("no agent is known as '{}'", name.escape_debug()), hint)
}

fn not_found(registry: &Registry, agent: &agents::Agent) -> Problem {
    let found = registry.found();
    let hint = if found.is_empty() {
        "no agent that is known is; check PATH, or install one: git parallel agents".to_owned()
    } else {
        format!("check PATH, or take one that is there: {}", found.join(", "))
    };
    let program = agent.program().unwrap_or(&agent.name);
    let what = if program == agent.name {
        format!("agent '{}' is not on PATH", agent.name)
    } else {
        format!("agent '{}' ({program}) is not on PATH", agent.name)
    };
    Problem::new(what, hint)
}

/// The most bytes of one argument, with the zero at its end: MAX_ARG_STRLEN of execve(2), for the smallest
/// pages there are.
const LONGEST_ARGUMENT: usize = 128 << 10;

/// A prompt must be there where the agent wants one, and fit into an argument where it is one.
fn check_prompt(ask: &Ask, request: &Request, agent: &Agent, wanted: bool, problems: &mut Vec<Problem>) {
    let as_argument = agent.mentions("prompt");
    let name = &request.name;
    match request.prompt.as_ref().or(ask.prompt.as_ref()) {
        None if wanted => {
            let who = match &agent.name {
                Some(agent) => format!("agent '{agent}' needs one"),
                None => "the agent's command asks for one".to_owned(),
            };
            let hint = "give it one (TASK=PROMPT), or one to all: -p TEXT or -P FILE";
            problems.push(Problem::new(format!("task '{name}' has no prompt, but {who}"), hint));
        }
        Some(prompt) if as_argument && prompt.len() >= LONGEST_ARGUMENT => {
            let what = format!("the prompt of task '{name}' is too long for an argument");
            let hint =
                "have the agent read it: write 'Follow {prompt_file}' in place of {prompt}, after '--'";
            problems.push(Problem::new(what, hint));
        }
        Some(prompt) if as_argument && prompt.contains('\0') => {
            let what = format!("the prompt of task '{name}' holds a zero byte, which no argument can");
            problems.push(Problem::plain(what));
        }
        _ => {}
    }
}

fn check_program(repo: &Repository, program: &Text, base: Option<&Oid>) -> Option<Problem> {
    let dynamic = ["task", "branch", "worktree", "slot"].iter().any(|name| plan::mentions(program, name));
    if dynamic { None } else { missing_program(repo, program, base) }
}

fn missing_program(repo: &Repository, program: &Text, base: Option<&Oid>) -> Option<Problem> {
    let path = program.as_path();
    if path.is_relative() && program.as_bstr().contains(&b'/') {
        // It is run in the task's worktree, which has what the base commit has.
        let base = base?;
        let tracked = git::tree_has(repo, base, path).unwrap_or(true);
        let hint = "worktrees hold tracked files only: commit it, or give its absolute path";
        return (!tracked)
            .then(|| Problem::new(format!("agent '{program}' is not in {}", base.short()), hint));
    }
    let found = agents::find(program.as_os_str());
    (!found).then(|| {
        let what = format!("agent '{program}' was not found, or can't be executed");
        Problem::new(what, "check its spelling and PATH; what follows '--' is the agent's command")
    })
}
