//! What a repository has to offer for the arguments of each command. Nothing is written, and what can't be read
//! is not offered.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

use anyhow::Result;
use bstr::ByteSlice;
use clap::builder::StyledStr;
use clap::{Arg, CommandFactory, ValueHint};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};

use crate::cli::Cli;
use crate::commands::agents::config;
use crate::engine::preflight;
use crate::git::{self, Repository};
use crate::run::{Run, RunId, Runner, Task, TaskState};
use crate::store::{self, Layout};
use crate::ui;

/// So many runs are told with what came of them; older ones by their ids alone.
const DESCRIBED_RUNS: usize = 12;
/// Nor is a run whose journal is larger: somebody waits for the answer.
const LONGEST_JOURNAL: u64 = 1 << 18;
/// Shells cut descriptions off themselves, but not all do that well.
const LONGEST_DESCRIPTION: usize = 60;

/// The command line, with what the repository has to offer for its arguments.
pub fn command(words: &[OsString]) -> clap::Command {
    let run = named_run(words);
    let given: HashSet<OsString> = words[..words.len() - 1].iter().cloned().collect();
    let tasks = |which: fn(&Run, &Task) -> bool| {
        let (run, given) = (run.clone(), given.clone());
        move |arg: Arg| {
            arg.add(ArgValueCandidates::new(move || tasks(run.as_deref(), &given, which).unwrap_or_default()))
        }
    };
    Cli::command()
        .mut_subcommand("run", |c| {
            let c = c.mut_arg("into", with_branches).mut_arg("base", with_commits);
            let c = c.mut_arg("agent_names", with_agents).mut_arg("runner", with_runners);
            c.mut_arg("on_conflict", |arg| or_command(arg, agents))
        })
        .mut_subcommand("retry", |c| c.mut_arg("tasks", tasks(|_, task| task.may_retry())))
        .mut_subcommand("logs", |c| c.mut_arg("task", tasks(|_, _| true)))
        .mut_subcommand("abort", |c| c.mut_arg("tasks", tasks(can_stop)))
        .mut_subcommand("resolve", |c| {
            let mergetool = || Ok(vec![described("mergetool", "git's merge tool")]);
            c.mut_arg("task", tasks(has_conflict)).mut_arg("with", move |arg| or_command(arg, mergetool))
        })
        .mut_subcommand("land", |c| c.mut_arg("tasks", tasks(|_, task| task.may_land())))
        .mut_subcommand("conflicts", |c| {
            c.mut_arg("branches", with_tasks_and_branches).mut_arg("into", with_branches)
        })
        .mut_subcommand("cleanup", |c| c.mut_arg("tasks", tasks(|_, _| true)))
        .mut_subcommands(|c| c.mut_args(with_runs).mut_args(leave_to_the_shell))
}

/// Wherever a run's id can stand, which is an argument of one name in all commands.
fn with_runs(arg: Arg) -> Arg {
    if arg.get_id() != "run" {
        return arg;
    }
    arg.add(ArgValueCandidates::new(|| runs().unwrap_or_default()))
}

/// Shells complete paths better than we could: with quoting, `~` and the user's own rules.
fn leave_to_the_shell(arg: Arg) -> Arg {
    let answer = match arg.get_value_hint() {
        _ if arg.get::<ArgValueCompleter>().is_some() => return arg,
        ValueHint::FilePath => ":files",
        ValueHint::DirPath => ":directories",
        ValueHint::CommandString => ":commands",
        _ => return arg,
    };
    arg.add(ArgValueCompleter::new(move |_: &OsStr| vec![CompletionCandidate::new(answer)]))
}

/// What is known by name, or else any command.
fn or_command(arg: Arg, named: fn() -> Result<Vec<CompletionCandidate>>) -> Arg {
    arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
        let mut offers = named().unwrap_or_default();
        offers.retain(|offer| begins(offer.get_value(), typed));
        offers.push(CompletionCandidate::new(":commands"));
        offers
    }))
}

fn with_branches(arg: Arg) -> Arg {
    arg.add(ArgValueCompleter::new(|typed: &OsStr| refs("refs/heads/", typed).unwrap_or_default()))
}

/// Branches, and tags after them.
fn with_commits(arg: Arg) -> Arg {
    arg.add(ArgValueCompleter::new(|typed: &OsStr| {
        let mut offers = refs("refs/heads/", typed).unwrap_or_default();
        offers.extend(refs("refs/tags/", typed).unwrap_or_default());
        offers
    }))
}

/// The tasks that have not landed, and then all branches.
fn with_tasks_and_branches(arg: Arg) -> Arg {
    arg.add(ArgValueCompleter::new(|typed: &OsStr| {
        let mut offers = tasks(None, &HashSet::new(), |_, task| !task.state.is_success()).unwrap_or_default();
        offers.retain(|offer| begins(offer.get_value(), typed));
        offers.extend(refs("refs/heads/", typed).unwrap_or_default());
        offers
    }))
}

fn with_agents(arg: Arg) -> Arg {
    arg.add(ArgValueCandidates::new(|| {
        let mut offers = agents().unwrap_or_default();
        if !offers.is_empty() {
            offers.push(described("auto", "for each task the one that suits it best"));
        }
        offers
    }))
}

fn with_runners(arg: Arg) -> Arg {
    arg.add(ArgValueCandidates::new(|| runners().unwrap_or_default()))
}

fn begins(value: &OsStr, typed: &OsStr) -> bool {
    value.as_encoded_bytes().starts_with(typed.as_encoded_bytes())
}

/// The run that `--run` names on the command line.
fn named_run(words: &[OsString]) -> Option<String> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let mut pairs = words.windows(2);
    let apart = pairs.find(|pair| pair[0] == "--run").map(|pair| pair[1]);
    apart.or_else(|| words.iter().find_map(|word| word.strip_prefix("--run="))).map(str::to_owned)
}

fn can_stop(run: &Run, task: &Task) -> bool {
    run.finished_at.is_none() && !task.state.is_settled()
}

fn has_conflict(_: &Run, task: &Task) -> bool {
    task.state == TaskState::Conflicted || (task.state == TaskState::Held && !task.conflicts.is_empty())
}

fn repository() -> Result<(Repository, Layout)> {
    let repo = Repository::discover(&std::env::current_dir()?)?;
    let layout = Layout::new(&repo.common_dir);
    Ok((repo, layout))
}

/// The tasks of a run (the latest, if none is named) that the command can do something with, less those
/// that stand on the command line already.
fn tasks(
    run: Option<&str>,
    given: &HashSet<OsString>,
    which: fn(&Run, &Task) -> bool,
) -> Result<Vec<CompletionCandidate>> {
    let (_, layout) = repository()?;
    let latest = || Ok(store::list(&layout)?.pop());
    let id = run.map_or_else(latest, |id| anyhow::Ok(Some(RunId(id.to_owned()))))?;
    let Some(id) = id else { return Ok(Vec::new()) };
    let run = store::load(&layout, &id)?.run;
    let tasks = run.tasks.iter().filter(|task| which(&run, task));
    let tasks = tasks.filter(|task| !given.contains(OsStr::new(&task.name().0)));
    Ok(tasks.map(|task| described(&task.name().0, task.state.name())).collect())
}

/// The ids of all runs, the latest first, and what came of it.
fn runs() -> Result<Vec<CompletionCandidate>> {
    let (_, layout) = repository()?;
    let ids = store::list(&layout)?.into_iter().rev().enumerate();
    let offer = |(at, id): (usize, RunId)| {
        let about = (at < DESCRIBED_RUNS).then(|| about_run(&layout, &id)).flatten();
        CompletionCandidate::new(id.0).help(about.map(StyledStr::from))
    };
    Ok(ids.map(offer).collect())
}

/// `2 landed, 1 conflict: auth, docs, billing`.
fn about_run(layout: &Layout, id: &RunId) -> Option<String> {
    let journal = layout.run(id).journal().metadata();
    if journal.is_ok_and(|journal| journal.len() > LONGEST_JOURNAL) {
        return None;
    }
    let run = store::load(layout, id).ok()?.run;
    let names: Vec<&str> = run.tasks.iter().map(|task| task.name().0.as_str()).collect();
    let mut about = format!("{}: {}", ui::tally_of(&run), names.join(", "));
    if let Some((end, _)) = about.char_indices().nth(LONGEST_DESCRIPTION) {
        about.truncate(end);
        about.push_str("...");
    }
    Some(about)
}

/// The short names of the refs that begin as what is typed does.
fn refs(below: &str, typed: &OsStr) -> Result<Vec<CompletionCandidate>> {
    let (repo, _) = repository()?;
    // A folder alone need be read if one is typed.
    let folder = typed.as_encoded_bytes().rfind_byte(b'/').map_or(0, |at| at + 1);
    let folder = typed.to_str().and_then(|typed| typed.get(..folder)).unwrap_or_default();
    let refs = git::list(&repo, &format!("{below}{folder}"))?;
    let names = refs.iter().filter_map(|(name, _)| name.as_bstr().strip_prefix(below.as_bytes()));
    let names = names.filter(|name| name.starts_with(typed.as_encoded_bytes()));
    Ok(names.map(|name| CompletionCandidate::new(name.to_os_str_lossy().into_owned())).collect())
}

/// The agents that can be called.
fn agents() -> Result<Vec<CompletionCandidate>> {
    let registry = preflight::registry(&config()?);
    let found = registry.agents().iter().filter(|agent| agent.is_found());
    Ok(found.map(|agent| described(&agent.name, agent.title().unwrap_or("configured"))).collect())
}

/// Where agents can run.
fn runners() -> Result<Vec<CompletionCandidate>> {
    let config = config()?;
    let built_in = [
        described(Runner::LOCAL, "processes of this machine"),
        described("slurm", "jobs of a cluster"),
        described("ssh", "hosts"),
    ];
    let configured = config.subsections("parallel.runner.");
    Ok(built_in.into_iter().chain(configured.into_iter().map(|name| described(name, "configured"))).collect())
}

fn described(value: &str, what: &str) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(what.to_owned().into()))
}
