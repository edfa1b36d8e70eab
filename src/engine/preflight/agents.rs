//! The agent, and who settles conflicts: by a command, or by the name of an agent.

use std::collections::HashSet;

use super::{Ask, Problem};
use crate::agents::{self, Registry, Route, Subject};
use crate::git::{self, Config, Repository};
use crate::plan::{self, Request, Wanted};
use crate::run::{AgentCall, Oid, Resolver, Runner, TaskSpec, Text};

/// Every agent that can be asked for by name: the known ones, and those of `parallel.agent.<name>.cmd`.
/// An empty command is none.
pub fn registry(config: &Config) -> Registry {
    let configured = config.subsections("parallel.agent.").into_iter().filter_map(|name| {
        let command = config.string(&format!("parallel.agent.{name}.cmd"))?;
        (!command.as_bstr().trim_ascii().is_empty()).then(|| (name.to_owned(), command))
    });
    Registry::new(configured.collect())
}

/// The name that stands for the agent that suits a task best.
pub const AUTO: &str = "auto";

/// What the agents of a run are.
#[derive(Default, Debug)]
pub(super) struct Crew {
    /// The agent of tasks that have none of their own.
    pub(super) agent: AgentCall,
    /// What a person should know of the choice.
    pub(super) notes: Vec<String>,
}

/// What looks agents up and remembers what is wrong with them.
struct Desk<'a> {
    repo: &'a Repository,
    registry: Registry,
    routes: Vec<Route>,
    base: Option<&'a Oid>,
    ask: &'a Ask,
    notes: Vec<String>,
    problems: &'a mut Vec<Problem>,
}

/// An agent, and whether it can't do without a prompt.
#[derive(Clone)]
struct Found {
    call: AgentCall,
    wants_prompt: bool,
}

/// The agents' commands must be there, and what they ask for must be known. Gives each task its own where that
/// is not the run's.
pub(super) fn check(
    repo: &Repository,
    config: &Config,
    ask: &Ask,
    base: Option<&Oid>,
    tasks: &mut [TaskSpec],
    problems: &mut Vec<Problem>,
) -> Crew {
    let (registry, routes, notes) = (registry(config), routes(config), Vec::new());
    let mut desk = Desk { repo, registry, routes, base, ask, notes, problems };
    let of_the_run = desk.of_the_run();
    let spread = ask.agent_names.len() > 1;
    let mut turns = of_the_run.iter().cycle();
    for request in ask.tasks.iter().flatten() {
        let own = request.own.agent.as_ref();
        let found = match own {
            Some(wanted) => desk.wanted(wanted, request),
            None if ask.is_auto() => desk.suited(request),
            None => turns.next().cloned(),
        };
        let fallback = desk.fallback(request, found.as_ref());
        let Some(found) = found else { continue };
        for each in std::iter::once(&found).chain(&fallback) {
            desk.check_prompt(request, each);
        }
        if let Some(task) = tasks.iter_mut().find(|task| task.name == request.name) {
            let is_own = own.is_some() || ask.is_auto() || spread;
            task.agent = is_own.then_some(found.call);
            task.fallback = fallback.into_iter().map(|found| found.call).collect();
        }
    }
    let agent = of_the_run.into_iter().next().map_or_else(AgentCall::default, |found| found.call);
    Crew { agent, notes: desk.notes }
}

/// The rules by which tasks are given to agents, in the order of the configuration.
fn routes(config: &Config) -> Vec<Route> {
    let names = config.subsections("parallel.route.").into_iter();
    let route = |name: &str| Route {
        agent: name.to_owned(),
        patterns: config.all(&format!("parallel.route.{name}.pattern")),
    };
    names.map(route).collect()
}

impl Desk<'_> {
    /// The agents that take turns with the tasks that have none of their own.
    fn of_the_run(&mut self) -> Vec<Found> {
        if self.ask.is_auto() {
            return Vec::new();
        }
        if self.ask.agent_names.is_empty() {
            return vec![self.command(&AgentCall { argv: self.ask.agent.clone(), ..AgentCall::default() })];
        }
        let names = self.ask.agent_names.iter();
        names.filter_map(|name| self.named(name, &self.ask.agent)).collect()
    }

    fn wanted(&mut self, wanted: &Wanted, request: &Request) -> Option<Found> {
        match wanted {
            Wanted::Name(name) if name == AUTO => self.suited(request),
            Wanted::Name(name) => {
                let missing = self.registry.get(name).is_some_and(|agent| !agent.is_found());
                let next = request.own.fallback.iter().find_map(|name| self.found(name));
                match next.filter(|_| missing) {
                    Some(next) => {
                        let (task, other) = (&request.name, &next.call.name);
                        self.notes.push(format!("{task}: {name} is not on PATH; {other} takes its place"));
                        Some(next)
                    }
                    None => self.named(name, &[]),
                }
            }
            Wanted::Call(call) => Some(self.command(call)),
        }
    }

    /// The agents that stand in if the task's can't be started; `chosen` is the one that it has.
    fn fallback(&mut self, request: &Request, chosen: Option<&Found>) -> Vec<Found> {
        let mut all = Vec::new();
        for name in &request.own.fallback {
            if self.registry.get(name).is_none() {
                self.problems.push(unknown(&self.registry, name));
            }
            all.extend(self.found(name));
        }
        // One that took a missing one's place already, and those before it, had their turn.
        let taken = all.iter().position(|found| chosen.is_some_and(|chosen| chosen.call == found.call));
        all.split_off(taken.map_or(0, |at| at + 1))
    }

    /// The agent that suits the task best, of those that are there; the first that is there if none does.
    fn suited(&mut self, request: &Request) -> Option<Found> {
        let labels = request.own.env.iter().filter(|(name, _)| name == plan::LABELS);
        let prompt = request.prompt.as_ref().or(self.ask.prompt.as_ref());
        let words: Vec<String> = std::iter::once(request.name.0.clone())
            .chain(labels.map(|(_, labels)| labels.to_string()))
            .chain(prompt.cloned())
            .collect();
        let matching = |specs: &[Text]| match self.base {
            Some(base) => git::tree_matching(self.repo, base, specs).unwrap_or_default(),
            None => Vec::new(),
        };
        let files: HashSet<Text> = matching(&request.own.touches).into_iter().collect();
        let have_in_common = |pattern: &Text| {
            let pattern = std::slice::from_ref(pattern);
            !files.is_empty() && matching(pattern).iter().any(|path| files.contains(path))
        };
        let subject = Subject {
            words: &words.join("\n").to_lowercase(),
            touches: &request.own.touches,
            have_in_common: &have_in_common,
        };
        let suited: Vec<&str> = agents::suited(&self.routes, &subject);
        let more = if request.own.agent.is_none() { self.ask.agent.as_slice() } else { &[] };
        let name = suited
            .into_iter()
            .find(|name| self.registry.get(name).is_some_and(agents::Agent::is_found))
            .or_else(|| self.registry.found().into_iter().next())
            .map(str::to_owned);
        match name {
            Some(name) => self.named(&name, more),
            None => {
                let what = "no agent that is known is on PATH";
                let problem = Problem::new(what, "install one (see git parallel agents), or name a command");
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                None
            }
        }
    }

    /// The agent of this name, if it can be called.
    fn found(&self, name: &str) -> Option<Found> {
        let agent = self.registry.get(name).filter(|agent| agent.is_found())?;
        Some(Found { call: agent.call(&[]), wants_prompt: agent.wants_prompt() })
    }

    /// Whether agents run on other machines alone: what is on PATH here says nothing of those.
    fn is_elsewhere(&self) -> bool {
        let is_far = |name: Option<&String>| name.is_some_and(|name| name != Runner::LOCAL);
        let mut tasks = self.ask.tasks.iter().flatten().peekable();
        if tasks.peek().is_none() {
            return is_far(self.ask.runner.as_ref());
        }
        tasks.all(|request| is_far(request.own.runner.as_ref().or(self.ask.runner.as_ref())))
    }

    fn named(&mut self, name: &str, more: &[Text]) -> Option<Found> {
        let known = self.registry.get(name).filter(|_| self.is_elsewhere());
        match known.map_or_else(|| named(&self.registry, name), Ok) {
            Ok(found) => Some(Found { call: found.call(more), wants_prompt: found.wants_prompt() }),
            Err(problem) => {
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                None
            }
        }
    }

    fn command(&mut self, call: &AgentCall) -> Found {
        let program = call.argv.first().filter(|_| !call.shell);
        let tracked = |program: &Text| program.as_bstr().contains(&b'/') && program.as_path().is_relative();
        let program = program.filter(|program| !self.is_elsewhere() || tracked(program));
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
        problems.extend(mistyped_resolver(&registry, asked));
        return Some(Resolver::Command(asked.clone()));
    };
    if !agent.is_found() {
        problems.push(not_found(&registry, agent));
    }
    Some(Resolver::Agent(agent.call(&[])))
}

/// One word that no shell can run is no command; if it is like an agent's name, that was meant.
fn mistyped_resolver(registry: &Registry, asked: &Text) -> Option<Problem> {
    let word = std::str::from_utf8(asked.as_bstr()).ok()?;
    let is_name = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let near = registry.nearest(word).filter(|_| is_name && !agents::find(asked.as_os_str()))?;
    let what =
        format!("what is to settle conflicts, '{word}', is neither a known agent nor a command on PATH");
    Some(Problem::new(what, format!("did you mean '{near}'?")))
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
        "no known agent is on PATH: install one, or mend PATH (see git parallel agents)".to_owned()
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
