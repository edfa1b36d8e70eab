//! Where agents run: what the configuration has under the names that are asked for. A plan may name it and no more,
//! since a plan is a file that anybody may have written.

use std::time::Duration;

use super::{Ask, Problem, ssh};
use crate::git::Config;
use crate::plan;
use crate::run::{Runner, RunnerKind, TaskSpec, Text};

/// How long a job may be silent, if the configuration does not say.
const LOST_AFTER: Duration = Duration::from_secs(270);

/// The name of what is built in beside `local`.
const SLURM: &str = "slurm";

/// What each task's agent runs on; each runner once. And what a person should know of them.
pub(super) fn check(
    config: &Config,
    ask: &Ask,
    tasks: &mut [TaskSpec],
    problems: &mut Vec<Problem>,
) -> (Vec<Runner>, Vec<String>) {
    let mut notes = Vec::new();
    if let Some(name) = ask.runner.as_ref().filter(|name| *name != Runner::LOCAL)
        && ask.tasks.as_ref().is_ok_and(Vec::is_empty)
    {
        match find(config, name) {
            Ok(runner) => ssh::check(&runner, &mut notes, problems),
            Err(problem) => problems.push(problem),
        }
    }
    let mut runners: Vec<Runner> = Vec::new();
    let mut refused: Vec<String> = Vec::new();
    for request in ask.tasks.iter().flatten() {
        let Some(name) = request.own.runner.as_ref().or(ask.runner.as_ref()) else { continue };
        if name == Runner::LOCAL || refused.contains(name) {
            continue;
        }
        if !runners.iter().any(|runner| runner.name == *name) {
            match find(config, name) {
                Ok(runner) => {
                    ssh::check(&runner, &mut notes, problems);
                    runners.push(runner);
                }
                Err(problem) => {
                    problems.push(problem);
                    refused.push(name.clone());
                    continue;
                }
            }
        }
        if let Some(task) = tasks.iter_mut().find(|task| task.name == request.name) {
            task.runner = Some(name.clone());
        }
    }
    (runners, notes)
}

fn find(config: &Config, name: &str) -> Result<Runner, Problem> {
    let (kind, key) = match name {
        SLURM => (slurm(config)?, "parallel.slurm.program".to_owned()),
        ssh::NAME => (ssh::kind(config)?, "parallel.ssh.program".to_owned()),
        _ => (configured(config, name)?, key(name, "program")),
    };
    let program = match config.string(&key) {
        Some(program) => program,
        // On another machine it is wherever it was installed.
        None if name == ssh::NAME => "git-parallel".into(),
        None => own_program()?,
    };
    let lost_after = match config.string("parallel.lostAfter").map(|text| text.to_string()) {
        None => LOST_AFTER,
        Some(text) => plan::parse_duration(&text)
            .map_err(|why| super::policy::bad("parallel.lostAfter", &text, &why))?,
    };
    let lost_after_ms = u64::try_from(lost_after.as_millis()).unwrap_or(u64::MAX);
    Ok(Runner { name: name.to_owned(), kind, lost_after_ms, program })
}

/// This program, by the name under which other machines find it, too.
fn own_program() -> Result<Text, Problem> {
    let path =
        std::env::current_exe().map_err(|e| Problem::plain(format!("cannot find this program: {e}")))?;
    Ok(path.into())
}

fn slurm(config: &Config) -> Result<RunnerKind, Problem> {
    let missing: Vec<&str> = ["sbatch", "squeue", "scancel"]
        .into_iter()
        .filter(|command| !crate::agents::find(std::ffi::OsStr::new(command)))
        .collect();
    if !missing.is_empty() {
        let what = format!("there is no Slurm here: {} not on PATH", missing.join(", "));
        return Err(Problem::new(what, "run where jobs can be submitted, or here: --runner local"));
    }
    let mut args = Vec::new();
    for text in config.all("parallel.slurm.args") {
        args.extend(words("parallel.slurm.args", &text)?);
    }
    let verify = config.bool("parallel.slurm.verify").map_err(|e| Problem::plain(format!("{e:#}")))?;
    Ok(RunnerKind::Slurm { args, verify: verify.unwrap_or(false) })
}

fn configured(config: &Config, name: &str) -> Result<RunnerKind, Problem> {
    let set = |variable: &str| {
        config.string(&key(name, variable)).filter(|text| !text.as_bstr().trim_ascii().is_empty())
    };
    match (set("submit"), set("status"), set("prefix")) {
        (None, None, Some(prefix)) => {
            let argv = words(&key(name, "prefix"), &prefix)?;
            let missing = argv.first().filter(|program| !crate::agents::find(program.as_os_str()));
            match missing {
                None => Ok(RunnerKind::Prefix { argv }),
                Some(program) => {
                    let what = format!("runner '{name}' was not found, or can't be executed: {program}");
                    Err(Problem::new(what, format!("check PATH, and {}", key(name, "prefix"))))
                }
            }
        }
        (Some(submit), Some(status), None) => {
            Ok(RunnerKind::Commands { submit, status, cancel: set("cancel") })
        }
        (None, None, None) => Err(unknown(config, name)),
        (_, _, Some(_)) => {
            let what = format!("runner '{name}' has both a prefix and commands");
            Err(Problem::new(what, format!("keep one: git config --unset {}", key(name, "prefix"))))
        }
        (submit, ..) => {
            let missing = key(name, if submit.is_none() { "submit" } else { "status" });
            let what = format!("'{missing}' is not set");
            Err(Problem::new(
                what,
                format!("set it: git config {missing} ... (see man git-parallel-runners)"),
            ))
        }
    }
}

fn unknown(config: &Config, name: &str) -> Problem {
    let mut known = vec![Runner::LOCAL, SLURM, ssh::NAME];
    known.extend(config.subsections("parallel.runner."));
    let what = format!("no runner is known as '{}'", name.escape_debug());
    let near = crate::plan::nearest(name, known.iter().copied());
    let near = near.map(|near| format!("did you mean '{near}'?\n")).unwrap_or_default();
    let hint = format!("{near}known are {}; to add one: man git-parallel-runners", known.join(", "));
    Problem::new(what, hint)
}

fn key(name: &str, variable: &str) -> String {
    format!("parallel.runner.{name}.{variable}")
}

/// Words as a shell would have them, without anything that a shell would do.
pub(super) fn words(key: &str, text: &Text) -> Result<Vec<Text>, Problem> {
    let words = shlex::bytes::split(text.as_bstr());
    let words = words.map(|words| words.iter().map(|word| Text::from(word.as_slice())).collect::<Vec<_>>());
    words.filter(|words| !words.is_empty()).ok_or_else(|| {
        super::policy::bad(key, &text.to_string(), "it must be words, with quotes that are closed")
    })
}
