//! `git parallel completions`, and what the scripts that it prints ask us: `git parallel complete`.
//!
//! The scripts are small and know nothing of our commands: they pass the words typed so far to
//! `git parallel complete -- WORD...`, which answers with one candidate a line, `value TAB what it is`, or
//! with `:files` or `:directories` where the shell completes paths better by itself. So they need not
//! change when the commands do, and tasks, runs and branches are completed as they are in the repository.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

use anyhow::Result;
use clap::{CommandFactory, ValueHint};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};

use super::print;
use crate::cli::{Cli, CompleteArgs, CompletionsArgs};
use crate::engine::preflight;
use crate::error::exit;
use crate::git::{self, Repository};
use crate::run::{RunId, Task, TaskState};
use crate::store::{self, Layout};

const BASH: &str = include_str!("../../completions/git-parallel.bash");
const ZSH: &str = include_str!("../../completions/_git-parallel");
const FISH: &str = include_str!("../../completions/git-parallel.fish");

/// Prints the completion script of a shell.
pub fn completions(args: &CompletionsArgs) -> Result<u8> {
    let script = match args.shell {
        Shell::Bash => BASH.to_owned(),
        Shell::Zsh => ZSH.to_owned(),
        Shell::Fish => FISH.to_owned(),
        // They have no completion of git's to take part in.
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut Cli::command(), "git-parallel", &mut script);
            String::from_utf8(script)?
        }
    };
    print(&script)?;
    Ok(exit::OK)
}

/// Answers a completion script. Whatever goes wrong, there is just nothing to offer.
pub fn complete(args: &CompleteArgs) -> Result<u8> {
    let mut words: Vec<OsString> = vec!["git-parallel".into()];
    words.extend(args.words.iter().cloned());
    if args.words.is_empty() {
        words.push(OsString::new());
    }
    let last = words.len() - 1;
    if words[last] == "-" {
        // Whoever asks wants to read names.
        words[last] = "--".into();
    }
    let current = words[last].clone();
    let found = clap_complete::engine::complete(&mut command(&words), words, last, None);
    let mut text = String::new();
    for candidate in found.unwrap_or_default() {
        let value = candidate.get_value().to_string_lossy();
        // Options are offered to those who ask for one.
        if candidate.is_hide_set() || (value.starts_with('-') && current.is_empty()) {
            continue;
        }
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        match help.lines().next() {
            Some(help) => text.push_str(&format!("{value}\t{help}\n")),
            None => text.push_str(&format!("{value}\n")),
        }
    }
    print(&text)?;
    Ok(exit::OK)
}

/// The command line, with what the repository has to offer for its arguments.
fn command(words: &[OsString]) -> clap::Command {
    let run = named_run(words);
    let given: HashSet<OsString> = words[..words.len() - 1].iter().cloned().collect();
    let tasks = move |which: fn(&Task) -> bool| {
        let (run, given) = (run.clone(), given.clone());
        ArgValueCandidates::new(move || tasks(run.as_deref(), &given, which).unwrap_or_default())
    };
    let runs = || ArgValueCandidates::new(|| runs().unwrap_or_default());
    let agents = || ArgValueCandidates::new(|| agents().unwrap_or_default());
    let branches = || ArgValueCandidates::new(|| branches().unwrap_or_default());
    Cli::command()
        .mut_subcommand("run", |c| {
            let c = c.mut_arg("into", |a| a.add(branches())).mut_arg("base", |a| a.add(branches()));
            c.mut_arg("agent_names", |a| a.add(agents())).mut_arg("on_conflict", |a| a.add(agents()))
        })
        .mut_subcommand("status", |c| c.mut_arg("run", |a| a.add(runs())))
        .mut_subcommand("report", |c| c.mut_arg("run", |a| a.add(runs())))
        .mut_subcommand("wait", |c| c.mut_arg("run", |a| a.add(runs())))
        .mut_subcommand("resume", |c| c.mut_arg("run", |a| a.add(runs())))
        .mut_subcommand("retry", |c| {
            c.mut_arg("tasks", |a| a.add(tasks(Task::may_retry))).mut_arg("run", |a| a.add(runs()))
        })
        .mut_subcommand("logs", |c| {
            c.mut_arg("task", |a| a.add(tasks(|_| true))).mut_arg("run", |a| a.add(runs()))
        })
        .mut_subcommand("abort", |c| c.mut_arg("tasks", |a| a.add(tasks(can_stop))))
        .mut_subcommand("resolve", |c| c.mut_arg("task", |a| a.add(tasks(has_conflict))))
        .mut_subcommand("land", |c| {
            c.mut_arg("tasks", |a| a.add(tasks(Task::may_land))).mut_arg("run", |a| a.add(runs()))
        })
        .mut_subcommand("conflicts", |c| {
            c.mut_arg("branches", |a| a.add(branches())).mut_arg("into", |a| a.add(branches()))
        })
        .mut_subcommand("undo", |c| c.mut_arg("run", |a| a.add(runs())))
        .mut_subcommand("cleanup", |c| {
            c.mut_arg("tasks", |a| a.add(tasks(|_| true))).mut_arg("run", |a| a.add(runs()))
        })
        .mut_subcommands(|c| c.mut_args(leave_paths_to_the_shell))
}

/// Shells complete paths better than we could: with quoting, `~` and the user's own rules.
fn leave_paths_to_the_shell(arg: clap::Arg) -> clap::Arg {
    let answer = match arg.get_value_hint() {
        ValueHint::FilePath => ":files",
        ValueHint::DirPath => ":directories",
        _ => return arg,
    };
    arg.add(ArgValueCompleter::new(move |_: &OsStr| vec![CompletionCandidate::new(answer)]))
}

/// The run that `--run` names on the command line.
fn named_run(words: &[OsString]) -> Option<String> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let mut pairs = words.windows(2);
    let apart = pairs.find(|pair| pair[0] == "--run").map(|pair| pair[1]);
    apart.or_else(|| words.iter().find_map(|word| word.strip_prefix("--run="))).map(str::to_owned)
}

fn can_stop(task: &Task) -> bool {
    !task.state.is_settled()
}

fn has_conflict(task: &Task) -> bool {
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
    which: fn(&Task) -> bool,
) -> Result<Vec<CompletionCandidate>> {
    let (_, layout) = repository()?;
    let latest = || Ok(store::list(&layout)?.pop());
    let id = run.map_or_else(latest, |id| anyhow::Ok(Some(RunId(id.to_owned()))))?;
    let Some(id) = id else { return Ok(Vec::new()) };
    let run = store::load(&layout, &id)?.run;
    let tasks = run.tasks.iter().filter(|task| which(task));
    let tasks = tasks.filter(|task| !given.contains(OsStr::new(&task.name().0)));
    Ok(tasks.map(|task| described(&task.name().0, task.state.name())).collect())
}

/// The ids of all runs, the latest first.
fn runs() -> Result<Vec<CompletionCandidate>> {
    let (_, layout) = repository()?;
    Ok(store::list(&layout)?.into_iter().rev().map(|id| CompletionCandidate::new(id.0)).collect())
}

/// The short names of the branches.
fn branches() -> Result<Vec<CompletionCandidate>> {
    let (repo, _) = repository()?;
    let branches = git::list(&repo, "refs/heads/")?;
    let names = branches.iter().map(|(name, _)| name.to_string());
    Ok(names.map(|name| CompletionCandidate::new(name.trim_start_matches("refs/heads/"))).collect())
}

/// The agents that can be called.
fn agents() -> Result<Vec<CompletionCandidate>> {
    let registry = preflight::registry(&super::agents::config()?);
    let found = registry.agents().iter().filter(|agent| agent.is_found());
    Ok(found.map(|agent| described(&agent.name, agent.title().unwrap_or("configured"))).collect())
}

fn described(value: &str, what: &str) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(what.to_owned().into()))
}
