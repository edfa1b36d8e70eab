//! The agent, and who settles conflicts: by a command, or by the name of an agent.

use super::{Ask, Problem};
use crate::agents::{self, Registry};
use crate::git::{self, Config, Repository};
use crate::plan::{self, Request, Wanted};
use crate::run::{AgentCall, Oid, Resolver, TaskSpec, Text};

/// Every agent that can be asked for by name: the known ones, and those of `parallel.agent.<name>.cmd`.
/// An empty command is none.
pub fn registry(config: &Config) -> Registry {
    let configured = config.subsections("parallel.agent.").into_iter().filter_map(|name| {
        let command = config.string(&format!("parallel.agent.{name}.cmd"))?;
        (!command.as_bstr().trim_ascii().is_empty()).then(|| (name.to_owned(), command))
    });
    Registry::new(configured.collect())
}

/// What looks agents up and remembers what is wrong with them.
struct Desk<'a> {
    repo: &'a Repository,
    registry: Registry,
    base: Option<&'a Oid>,
    ask: &'a Ask,
    problems: &'a mut Vec<Problem>,
}

/// An agent, and whether it can't do without a prompt.
#[derive(Clone)]
struct Found {
    call: AgentCall,
    wants_prompt: bool,
}

/// The agents' commands must be there, and what they ask for must be known. Gives each task its own; what is
/// returned is that of all others.
pub(super) fn check(
    repo: &Repository,
    config: &Config,
    ask: &Ask,
    base: Option<&Oid>,
    tasks: &mut [TaskSpec],
    problems: &mut Vec<Problem>,
) -> AgentCall {
    let mut desk = Desk { repo, registry: registry(config), base, ask, problems };
    let of_the_run = desk.of_the_run();
    for request in ask.tasks.iter().flatten() {
        let own = request.own.agent.as_ref().map(|wanted| desk.wanted(wanted));
        let Some(found) = own.clone().unwrap_or(of_the_run.clone()) else { continue };
        desk.check_prompt(request, &found);
        if let (Some(_), Some(task)) = (own, tasks.iter_mut().find(|task| task.name == request.name)) {
            task.agent = Some(found.call);
        }
    }
    of_the_run.map_or_else(AgentCall::default, |found| found.call)
}

impl Desk<'_> {
    fn of_the_run(&mut self) -> Option<Found> {
        match &self.ask.agent_name {
            Some(name) => self.named(name, &self.ask.agent),
            None => Some(self.command(&AgentCall { argv: self.ask.agent.clone(), ..AgentCall::default() })),
        }
    }

    fn wanted(&mut self, wanted: &Wanted) -> Option<Found> {
        match wanted {
            Wanted::Name(name) => self.named(name, &[]),
            Wanted::Call(call) => Some(self.command(call)),
        }
    }

    fn named(&mut self, name: &str, more: &[Text]) -> Option<Found> {
        match named(&self.registry, name) {
            Ok(found) => Some(Found { call: found.call(more), wants_prompt: found.wants_prompt() }),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    fn command(&mut self, call: &AgentCall) -> Found {
        let program = call.argv.first().filter(|_| !call.shell);
        self.problems.extend(program.and_then(|program| check_program(self.repo, program, self.base)));
        let wants_prompt = mentions(call, "prompt") || mentions(call, "prompt_file");
        Found { call: call.clone(), wants_prompt }
    }

    /// A prompt must be there where the agent wants one, and fit into an argument where it is one.
    fn check_prompt(&mut self, request: &Request, found: &Found) {
        let as_argument = mentions(&found.call, "prompt");
        let name = &request.name;
        match request.prompt.as_ref().or(self.ask.prompt.as_ref()) {
            None if found.wants_prompt => {
                let who = match found.call.name.as_str() {
                    "" => "the agent's command asks for one".to_owned(),
                    agent => format!("agent '{agent}' needs one"),
                };
                let hint = "give it one (TASK=PROMPT), or one to all: -p TEXT or -P FILE";
                self.problems.push(Problem::new(format!("task '{name}' has no prompt, but {who}"), hint));
            }
            Some(prompt) if as_argument && prompt.len() >= LONGEST_ARGUMENT => {
                let what = format!("the prompt of task '{name}' is too long for an argument");
                let hint =
                    "have the agent read it: write 'Follow {prompt_file}' in place of {prompt}, after '--'";
                self.problems.push(Problem::new(what, hint));
            }
            Some(prompt) if as_argument && prompt.contains('\0') => {
                let what = format!("the prompt of task '{name}' holds a zero byte, which no argument can");
                self.problems.push(Problem::plain(what));
            }
            _ => {}
        }
    }
}

/// Whether an argument mentions this placeholder.
fn mentions(call: &AgentCall, name: &'static str) -> bool {
    let literal = |place| call.shell && place == AgentCall::SCRIPT;
    let mut arguments = call.argv.iter().enumerate().filter(|(place, _)| !literal(*place));
    arguments.any(|(_, argument)| plan::mentions(argument, name))
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
