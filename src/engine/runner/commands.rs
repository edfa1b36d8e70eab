//! A runner of the user's own: three commands for `sh -c` (`parallel.runner.<name>.submit`, `.status`, `.cancel`).
//! What they are about is in their environment; `{job}` and its kin stand for those variables.

use std::collections::HashMap;
use std::ffi::OsString;

use super::{Asked, JobState, Refusal, Submission, ask};
use crate::plan;
use crate::run::Text;
use crate::sys::Tool;

/// What stands for a variable in the commands. Never for its value: the text is a program.
const PLACEHOLDERS: [(&str, &str); 8] = [
    ("job", "${GIT_PARALLEL_JOB}"),
    ("id", "${GIT_PARALLEL_JOB_ID}"),
    ("jobs", "${GIT_PARALLEL_JOBS}"),
    ("script", "${GIT_PARALLEL_JOB_SCRIPT}"),
    ("log", "${GIT_PARALLEL_JOB_LOG}"),
    ("task", "${GIT_PARALLEL_TASK}"),
    ("worktree", "${GIT_PARALLEL_WORKTREE}"),
    ("run", "${GIT_PARALLEL_RUN}"),
];

/// What schedulers call a job that has not started.
const WAITS: [&str; 12] = [
    "waiting",
    "waits",
    "pending",
    "queued",
    "idle",
    "held",
    "hold",
    "created",
    "submitted",
    "starting",
    "i",
    "h",
];
/// What they call one that runs.
const RUNS: [&str; 9] =
    ["running", "runs", "run", "active", "executing", "completing", "suspended", "r", "x"];

/// Gives the last word of the last line that it prints, or else the token.
pub(super) async fn submit(text: &Text, submission: &Submission<'_>) -> Result<String, Refusal> {
    let mut set = of_job(submission.job);
    set.push(("GIT_PARALLEL_JOB_SCRIPT".to_owned(), submission.script.into()));
    set.push(("GIT_PARALLEL_JOB_LOG".to_owned(), submission.log.into()));
    set.extend(submission.env.iter().map(|(name, value)| (name.clone(), value.as_os_str().to_owned())));
    match ask("submit", &tool(text, set)).await {
        Ok(said) => {
            let id = said.stdout.lines().rev().find_map(|line| line.split_whitespace().next_back());
            Ok(id.unwrap_or(&submission.job.token).to_owned())
        }
        Err(failed) if failed.for_now => Err(Refusal::ForNow(failed.why)),
        Err(failed) => Err(Refusal::ForGood(failed.why)),
    }
}

pub(super) async fn states(text: &Text, jobs: &[Asked]) -> Result<HashMap<String, JobState>, String> {
    let names: Vec<&str> = jobs.iter().map(|job| job.id.as_deref().unwrap_or(&job.token)).collect();
    let set = vec![("GIT_PARALLEL_JOBS".to_owned(), OsString::from(names.join("\n")))];
    let said = ask("status", &tool(text, set)).await.map_err(|failed| failed.why)?;
    Ok(read(&said.stdout, jobs))
}

/// `JOB STATE [REASON]`, one a line, where JOB is a token or what submit gave.
fn read(said: &str, jobs: &[Asked]) -> HashMap<String, JobState> {
    let mut found = HashMap::new();
    for line in said.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(state)) = (words.next(), words.next()) else { continue };
        let is_meant = |job: &&Asked| job.token == name || job.id.as_deref() == Some(name);
        let Some(job) = jobs.iter().find(is_meant) else { continue };
        let rest = words.collect::<Vec<_>>().join(" ");
        let lower = state.to_lowercase();
        let state = if WAITS.contains(&lower.as_str()) {
            JobState::Waits(rest)
        } else if RUNS.contains(&lower.as_str()) {
            JobState::Runs
        } else {
            JobState::Ended(format!("is over ({})", format!("{state} {rest}").trim_end()))
        };
        found.insert(job.token.clone(), state);
    }
    found
}

pub(super) async fn cancel(text: &Text, job: &Asked) -> Result<(), String> {
    ask("cancel", &tool(text, of_job(job))).await.map(drop).map_err(|failed| failed.why)
}

fn of_job(job: &Asked) -> Vec<(String, OsString)> {
    let id = job.id.as_deref().unwrap_or_default();
    vec![
        ("GIT_PARALLEL_JOB".to_owned(), job.token.as_str().into()),
        ("GIT_PARALLEL_JOB_ID".to_owned(), id.into()),
    ]
}

fn tool(text: &Text, set: Vec<(String, OsString)>) -> Tool {
    let values = PLACEHOLDERS.map(|(name, variable)| (name, Text::from(variable)));
    let values: Vec<(&'static str, &Text)> = values.iter().map(|(name, value)| (*name, value)).collect();
    let argv = super::super::command::shell(&plan::expand(text, &values));
    let argv = argv.iter().map(|argument| argument.as_os_str().to_owned()).collect();
    Tool { argv, set, remove: crate::git::LOCAL_ENV_VARS.to_vec(), ..Tool::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_words_of_many_schedulers() {
        let job = |token: &str, id: &str| Asked { token: token.to_owned(), id: Some(id.to_owned()) };
        let jobs = [job("gp-1", "1"), job("gp-2", "2"), job("gp-3", "3")];
        let found = read("1 WAITING no worker\ngp-2 Running\n3 FINISHED\n4 running\n\nodd\n", &jobs);
        assert_eq!(found.get("gp-1"), Some(&JobState::Waits("no worker".to_owned())));
        assert_eq!(found.get("gp-2"), Some(&JobState::Runs));
        assert_eq!(found.get("gp-3"), Some(&JobState::Ended("is over (FINISHED)".to_owned())));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_command_s_words_are_variables() {
        let argv = tool(&"submit --name {job} \"{worktree}\" {other}".into(), Vec::new()).argv;
        assert_eq!(argv[2], "submit --name ${GIT_PARALLEL_JOB} \"${GIT_PARALLEL_WORKTREE}\" {other}");
    }
}
