//! `git parallel run`.

use std::ffi::OsStr;
use std::io::{BufReader, IsTerminal};
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use super::pacing::pacing;
use super::place::{Place, bad_config};
use super::{hooks, narrate, plan_file, print, settings_of, touches};
use crate::cli::{Existing, LeftoversArg, RunArgs, StrategyArg};
use crate::engine::control::{self, Request};
use crate::engine::preflight::{self, Ask, Draft, OnExisting};
use crate::error::{Failure, exit};
use crate::git::Config;
use crate::plan;
use crate::run::{Leftovers, Run, RunId, RunSpec, Strategy, Text, Verify};
use crate::store::{self, Holder, Loaded, Lock, RunDir, Tail};
use crate::ui::{Answer, Look, PlanView, ask};

/// Starts a run and sees it through.
pub fn run(args: &RunArgs) -> Result<u8> {
    let place = Place::open()?;
    let question = asked(args, &place.config)?;
    let confirm = !args.yes && place.config.bool("parallel.confirm").map_err(bad_config)?.unwrap_or(true);
    let settings = settings_of(&place.config, &args.output)?;
    let lock = if args.dry_run { None } else { wait_for_others(&place, args, confirm)? };

    place.recycle()?;
    let draft = preflight::check(&place.repo, &place.config, &place.layout, question)
        .map_err(|problems| preflight::refuse(&problems))?;
    for note in &draft.notes {
        narrate(&format!("note: {note}\n"));
    }
    let worktrees = draft.worktrees.clone();
    let now = Timestamp::now();
    let plan = |look: &Look, draft: Draft| -> Result<String> {
        let spec = draft.into_spec(RunId(String::new()), now);
        let base_name = args.base.as_deref().map_or(spec.target.clone(), Into::into);
        let view = PlanView {
            spec: &spec,
            worktree_dir: worktrees.clone().into(),
            base_name,
            changed_files: 0,
            collisions: &touches::expected_in(&place.repo, &spec)?,
        };
        Ok(crate::ui::plan(&view, look))
    };
    if args.dry_run {
        print(&plan(&settings.stdout, draft)?)?;
        return Ok(exit::OK);
    }
    if confirm && !agreed(&plan(&settings.stderr, draft.clone())?)? {
        return Ok(exit::OK);
    }
    let tasks = draft.tasks().len();
    let jobs = draft.jobs();
    let mut lock = match lock {
        Some(lock) => lock,
        None => place.lock(&Holder::this_process("run", None, tasks, jobs))?,
    };
    let (id, dir) = store::create(&place.layout, now)?;
    lock.describe(&Holder::this_process("run", Some(id.clone()), tasks, jobs))?;
    let spec: RunSpec = draft.into_spec(id, now);
    dir.write_spec(&spec)?;
    if args.detach {
        return detach(&place, lock, &spec.id, &dir);
    }
    let loaded = Loaded { run: Run::new(spec), dir, tail: Tail::default() };
    let run = place.drive(loaded, settings, Vec::new())?;
    drop(lock);
    Ok(run.exit_code())
}

/// Leaves the run to a supervisor in the background, and waits until that has taken it.
fn detach(place: &Place, lock: Lock, id: &RunId, dir: &RunDir) -> Result<u8> {
    let log = dir.supervisor_log();
    let file = store::create_private(&log).with_context(|| format!("cannot create {}", log.display()))?;
    drop(lock);
    crate::sys::run_in_background(&["resume", "--", &id.0].map(OsStr::new), &file)
        .context("cannot start the supervisor")?;
    if super::follow::until_taken(place, id)? {
        print(&format!("{id}\n"))?;
        return Ok(exit::OK);
    }
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    Err(Failure::new(exit::FAILURE, format!("the supervisor of run {id} did not start\n{}", said.trim_end()))
        .safe("No agent was started.")
        .hint("try again in the foreground: git parallel resume")
        .into())
}

/// Arguments first, then configuration, then the default.
fn asked(args: &RunArgs, config: &Config) -> Result<Ask> {
    let prompt = match &args.prompt_file {
        Some(file) => Some(read_prompt(file)?),
        None => args.prompt.clone(),
    };
    let configured = Configured::read(config).map_err(bad_config)?;
    let (planned, tasks) = match &args.file {
        Some(path) => {
            let agent = !args.agent_names.is_empty() || !args.agent.is_empty();
            let registry = preflight::registry(config);
            let said = plan_file::Said { registry: &registry, prompt: prompt.as_deref(), agent };
            plan_file::read(path, said).map(|(planned, tasks)| (planned, Ok(tasks)))?
        }
        None => (Default::default(), plan::parse_requests(&args.tasks)),
    };
    let tasks = if args.each_agent {
        tasks.and_then(|tasks| plan::for_each_agent(&tasks, &args.agent_names))
    } else {
        tasks
    };
    if (args.no_land || args.each_agent) && tasks.iter().flatten().any(|task| task.own.waits()) {
        let option = if args.each_agent { "--each-agent" } else { "--no-land" };
        return Err(Failure::new(
            exit::USAGE,
            format!("with {option}, tasks that wait for others would never start"),
        )
        .safe("Nothing was created or changed.")
        .into());
    }
    let leftovers = match args.leftovers {
        Some(LeftoversArg::Commit) => Leftovers::Commit,
        Some(LeftoversArg::Refuse) => Leftovers::Refuse,
        None => configured.leftovers,
    };
    let strategy = args.strategy.map(Strategy::from).or(planned.strategy).unwrap_or(configured.strategy);
    if args.no_ff && strategy != Strategy::Merge {
        return Err(no_ff_misplaced(strategy));
    }
    if args.on_conflict.is_some() && matches!(strategy, Strategy::FfOnly | Strategy::Rebase) {
        let name = strategy.name();
        return Err(Failure::new(exit::USAGE, format!("--on-conflict can't be used with --strategy {name}"))
            .hint("a settled conflict is landed by a merge, or squashed")
            .into());
    }
    let timeout = args.timeout.or(configured.timeout);
    let jobs = if args.sequential { 1 } else { args.jobs.or(planned.jobs).unwrap_or(configured.jobs) };
    Ok(Ask {
        agent: args.agent.iter().map(|argument| argument.as_os_str().into()).collect(),
        agent_names: agent_names(args, config, &tasks)?,
        runner: args.runner.clone().or_else(|| default_runner(config)),
        tasks,
        prompt,
        jobs,
        target: args
            .into
            .as_deref()
            .map(Into::into)
            .or_else(|| planned.target.as_deref().map(Text::from))
            .or_else(|| config.string("parallel.target")),
        base: args.base.as_deref().map(Into::into),
        prefix: args.prefix.clone().unwrap_or(configured.prefix),
        existing: match args.existing {
            Existing::Fail => OnExisting::Fail,
            Existing::Reuse => OnExisting::Reuse,
            Existing::Skip => OnExisting::Skip,
            Existing::Overwrite => OnExisting::Overwrite,
        },
        allow_dirty: args.allow_dirty,
        strategy,
        no_ff: args.no_ff,
        land: !args.no_land && !args.each_agent,
        keep: args.keep,
        leftovers,
        retries: args.retries.unwrap_or(configured.retries),
        timeout_ms: timeout.map(milliseconds),
        verify: verify(args, planned.verify.as_deref(), configured.verify, jobs),
        on_conflict: command(args.on_conflict.as_deref(), configured.on_conflict),
        hooks: hooks::asked(args.setup.as_deref(), planned.hooks.clone(), config),
        pacing: pacing(&args.pacing, config).map_err(bad_config)?,
        atomic: args.atomic || planned.atomic == Some(true),
        keep_going: args.keep_going,
    })
}

/// The agents' names, if they are asked for so. A command after `--` goes before the names in the configuration.
fn agent_names(
    args: &RunArgs,
    config: &Config,
    tasks: &Result<Vec<plan::Request>, Vec<String>>,
) -> Result<Vec<String>> {
    if !args.agent_names.is_empty() || !args.agent.is_empty() {
        return Ok(args.agent_names.clone());
    }
    let configured = default_agents(config);
    let needed = tasks.iter().flatten().any(|task| task.own.agent.is_none());
    if configured.is_empty() && needed {
        return Err(Failure::new(exit::USAGE, "no AGENT is given")
            .safe("Nothing was created or changed.")
            .hint("the agent's command follows '--': git parallel run TASK... -- AGENT [ARG]...")
            .hint("or name one that is known: -a NAME (see which there are: git parallel agents)")
            .into());
    }
    Ok(configured)
}

/// The names of the agents that the configuration asks for.
pub fn default_agents(config: &Config) -> Vec<String> {
    let names = config.string("parallel.agent").map(|names| names.to_string()).unwrap_or_default();
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The name of what the configuration has agents run on.
pub fn default_runner(config: &Config) -> Option<String> {
    config.string("parallel.runner").map(|name| name.to_string()).filter(|name| !name.is_empty())
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// An empty command is none, so that a configured one can be left out.
pub fn command(argument: Option<&OsStr>, configured: Option<Text>) -> Option<Text> {
    let command = argument.map(Text::from).or(configured)?;
    (!command.as_bstr().trim_ascii().is_empty()).then_some(command)
}

fn verify(args: &RunArgs, planned: Option<&str>, configured: ConfiguredVerify, jobs: u32) -> Option<Verify> {
    let otherwise = planned.map(Text::from).or(configured.command);
    Some(Verify {
        command: command(args.verify.as_deref(), otherwise)?,
        jobs: args.verify_jobs.or(configured.jobs).unwrap_or((jobs / 2).max(1)),
        retries: args.verify_retries.unwrap_or(configured.retries),
        timeout_ms: args.verify_timeout.or(configured.timeout).map(milliseconds),
    })
}

fn no_ff_misplaced(strategy: Strategy) -> anyhow::Error {
    let message = format!("--no-ff asks for merge commits, and the strategy is {}", strategy.name());
    Failure::new(exit::USAGE, message)
        .safe("Nothing was created or changed.")
        .hint("leave --no-ff out, or say --strategy merge (see also: git config parallel.strategy)")
        .into()
}

fn read_prompt(file: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| {
        Failure::new(exit::REFUSED, format!("cannot read the prompt {}", file.display()))
            .safe("Nothing was created or changed.")
    })
}

impl From<StrategyArg> for Strategy {
    fn from(value: StrategyArg) -> Strategy {
        match value {
            StrategyArg::Merge => Strategy::Merge,
            StrategyArg::FfOnly => Strategy::FfOnly,
            StrategyArg::Squash => Strategy::Squash,
            StrategyArg::Rebase => Strategy::Rebase,
        }
    }
}

/// What `git config` says.
struct Configured {
    jobs: u32,
    prefix: String,
    strategy: Strategy,
    leftovers: Leftovers,
    timeout: Option<Duration>,
    retries: u32,
    verify: ConfiguredVerify,
    on_conflict: Option<Text>,
}

struct ConfiguredVerify {
    command: Option<Text>,
    jobs: Option<u32>,
    timeout: Option<Duration>,
    retries: u32,
}

impl Configured {
    fn read(config: &Config) -> Result<Configured> {
        let text = |key| config.string(key).map(|value| value.to_string());
        let strategy = match text("parallel.strategy") {
            None => Strategy::default(),
            Some(name) => {
                let known = Strategy::ALL.into_iter().find(|strategy| strategy.name() == name);
                let names = "it must be merge, ff-only, squash or rebase";
                known.ok_or_else(|| bad("parallel.strategy", &name, names))?
            }
        };
        let leftovers = match text("parallel.leftovers").as_deref() {
            None | Some("commit") => Leftovers::Commit,
            Some("refuse") => Leftovers::Refuse,
            Some(other) => return Err(bad("parallel.leftovers", other, "it must be commit or refuse")),
        };
        Ok(Configured {
            jobs: number(config, "parallel.jobs", 1, 1000)?.unwrap_or(3),
            prefix: text("parallel.branchprefix").unwrap_or_else(|| "feature/".to_owned()),
            strategy,
            leftovers,
            timeout: time(config, "parallel.timeout")?,
            retries: number(config, "parallel.retries", 0, 100)?.unwrap_or(0),
            verify: ConfiguredVerify {
                command: config.string("parallel.verify"),
                jobs: number(config, "parallel.verifyJobs", 1, 1000)?,
                timeout: time(config, "parallel.verifyTimeout")?,
                retries: number(config, "parallel.verifyRetries", 0, 100)?.unwrap_or(0),
            },
            on_conflict: config.string("parallel.onConflict"),
        })
    }
}

pub(super) fn bad(key: &str, value: &str, why: &str) -> anyhow::Error {
    anyhow::anyhow!("bad value '{value}' for '{key}': {why}")
}

fn number(config: &Config, key: &str, least: u32, most: u32) -> Result<Option<u32>> {
    let Some(value) = config.int(key)? else { return Ok(None) };
    let fits = u32::try_from(value).ok().filter(|n| (least..=most).contains(n));
    fits.map(Some).ok_or_else(|| bad(key, &value.to_string(), &format!("it must be {least} to {most}")))
}

fn time(config: &Config, key: &str) -> Result<Option<Duration>> {
    let Some(text) = config.string(key).map(|value| value.to_string()) else { return Ok(None) };
    plan::parse_duration(&text).map(Some).map_err(|why| bad(key, &text, &why))
}

/// Settles with another run that is going: refuse, wait for it, or end it. Gives the lock if it was
/// waited for.
fn wait_for_others(place: &Place, args: &RunArgs, confirm: bool) -> Result<Option<Lock>> {
    let path = place.layout.lock();
    let Some(holder) = Lock::holder(&path)? else { return Ok(None) };
    if !args.wait && !args.takeover {
        return Err(place.busy());
    }
    if args.takeover {
        let what = holder.and_then(|h| h.run).context("the lock does not tell which run is going")?;
        let question = format!("This will abort run {what}; its work is kept\n");
        if confirm && !agreed(&question)? {
            return Err(place.busy());
        }
        let dir = place.layout.run(&what);
        control::send(&dir.control(), &Request::Abort { tasks: None })
            .with_context(|| format!("cannot reach the supervisor of run {what}"))?;
    }
    narrate("waiting for the other run to end\n");
    Lock::wait(&path, &Holder::this_process("run", None, args.tasks.len(), 0)).map(Some)
}

/// Asks whether to go on. Where nobody can be asked, it is refused.
fn agreed(plan: &str) -> Result<bool> {
    narrate(plan);
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::new(exit::REFUSED, "there is no terminal to ask on")
            .safe("Nothing was created or changed.")
            .hint("to start without being asked: --yes (or git config parallel.confirm false)")
            .into());
    }
    let answer = ask("Continue? [y/N] ", &mut BufReader::new(std::io::stdin()), &mut std::io::stderr());
    if answer == Answer::Declined {
        narrate("Nothing was done.\n");
    }
    Ok(answer == Answer::Accepted)
}
