//! Slurm, by its commands. Jobs are asked for and cancelled by their name, never by their id: a controller that lost
//! its state gives ids anew.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Asked, JobState, Refusal, Submission, ask};
use crate::run::Text;
use crate::sys::Tool;

/// What is known of a cluster.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// It keeps no accounts: sacct has nothing to say.
    no_accounts: AtomicBool,
}

/// What sbatch says where another try may help, or where the job may have been taken all the same.
const FOR_NOW: [&str; 13] = [
    "unable to contact slurm controller",
    "timed out",
    "connection refused",
    "connection reset",
    "zero bytes were transmitted",
    "temporarily unable",
    "try again",
    "unexpected message received",
    "protocol authentication error",
    "communication connection failure",
    "job submit limit",
    "maxsubmit",
    "slurm backup controller in standby mode",
];

pub(super) async fn submit(args: &[Text], submission: &Submission<'_>) -> Result<String, Refusal> {
    let mut argv: Vec<OsString> = vec!["sbatch".into(), "--parsable".into()];
    argv.extend(args.iter().map(|argument| argument.as_os_str().to_owned()));
    // The last one counts.
    argv.push(format!("--job-name={}", submission.job.token).into());
    argv.push("--no-requeue".into());
    argv.push("--open-mode=append".into());
    // Where a directory is missing, Slurm takes another without a word: this one is everywhere.
    argv.push("--chdir=/".into());
    argv.push(output(submission));
    argv.push(submission.script.into());
    let mut remove = crate::git::LOCAL_ENV_VARS.to_vec();
    remove.extend(["SBATCH_WAIT", "SBATCH_ARRAY_INX"]);
    let tool = Tool { argv, remove, ..Tool::default() };
    match ask("sbatch", &tool).await {
        Ok(said) => Ok(id_in(&said.stdout).unwrap_or(&submission.job.token).to_owned()),
        Err(failed) if failed.for_now || is_for_now(&failed.why) => Err(Refusal::ForNow(failed.why)),
        Err(failed) => Err(Refusal::ForGood(failed.why)),
    }
}

/// `--output=FILE`, in whose name a `%` stands for more than itself.
fn output(submission: &Submission) -> OsString {
    let path = submission.log.as_os_str().as_encoded_bytes();
    let mut escaped = b"--output=".to_vec();
    for byte in path {
        escaped.extend(std::iter::repeat_n(*byte, 1 + usize::from(*byte == b'%')));
    }
    Text::from(escaped.as_slice()).as_os_str().to_owned()
}

fn is_for_now(why: &str) -> bool {
    let why = why.to_lowercase();
    FOR_NOW.iter().any(|words| why.contains(words))
}

/// `123`, or `123;cluster`.
fn id_in(said: &str) -> Option<&str> {
    let id = said.lines().next()?.split(';').next()?.trim();
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then_some(id)
}

pub(super) async fn states(known: &Known, jobs: &[Asked]) -> Result<HashMap<String, JobState>, String> {
    let tokens: Vec<&str> = jobs.iter().map(|job| job.token.as_str()).collect();
    let argv = ["squeue", "--noheader", "--all", "--states=all", "--format=%j|%T|%r|%N"];
    let queue = tool(&argv, &tokens, "SQUEUE_*");
    let mut found = read(&ask("squeue", &queue).await.map_err(|failed| failed.why)?.stdout);
    let missing: Vec<&str> = tokens.into_iter().filter(|token| !found.contains_key(*token)).collect();
    if missing.is_empty() || known.no_accounts.load(Ordering::Relaxed) {
        return Ok(found);
    }
    let argv = [
        "sacct",
        "--noheader",
        "--allocations",
        "--parsable2",
        "--starttime=now-30days",
        "--format=JobName,State,ExitCode,NodeList",
    ];
    match ask("sacct", &tool(&argv, &missing, "SACCT_*")).await {
        Ok(said) => found.extend(read(&said.stdout)),
        // It knows what is over; the queue has answered for the rest.
        Err(failed) => known.no_accounts.store(failed.why.contains("disabled"), Ordering::Relaxed),
    }
    Ok(found)
}

fn tool(argv: &[&str], tokens: &[&str], remove: &'static str) -> Tool {
    let mut argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    argv.push(format!("--name={}", tokens.join(",")).into());
    Tool { argv, remove: vec![remove], ..Tool::default() }
}

/// `NAME|STATE|REASON|NODES`, one job a line. Of several with one name, one that goes on counts.
fn read(said: &str) -> HashMap<String, JobState> {
    let mut found: HashMap<String, JobState> = HashMap::new();
    for line in said.lines() {
        let mut parts = line.split('|').map(str::trim);
        let (Some(token), Some(state)) = (parts.next(), parts.next()) else { continue };
        let (reason, nodes) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let state = state_of(state, reason, nodes);
        match found.get(token) {
            Some(JobState::Runs) => {}
            Some(JobState::Waits(_)) if !matches!(state, JobState::Runs) => {}
            _ => drop(found.insert(token.to_owned(), state)),
        }
    }
    found
}

fn state_of(state: &str, reason: &str, nodes: &str) -> JobState {
    let on =
        if nodes.is_empty() || nodes == "None assigned" { String::new() } else { format!(" on {nodes}") };
    let cut = |how: &str| JobState::Cut(format!("{how}{on}"));
    let broken = |how: &str| JobState::Broken(format!("{how}{on}"));
    // sacct: "CANCELLED by 0".
    let ended = match state.split_whitespace().next().unwrap_or_default() {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "SPECIAL_EXIT" => {
            let reason = if reason == "None" { "" } else { reason };
            return JobState::Waits(reason.to_owned());
        }
        "CANCELLED" => return cut("was cancelled"),
        "TIMEOUT" | "DEADLINE" => return cut("ran out of the time that Slurm gave it"),
        "NODE_FAIL" | "BOOT_FAIL" => return broken("ended because its node failed"),
        "OUT_OF_MEMORY" => return cut("was ended for want of memory"),
        "PREEMPTED" => return broken("had to give way to another"),
        "COMPLETED" => "is over",
        "FAILED" if !matches!(reason, "" | "None" | "NonZeroExitCode") => {
            return JobState::Ended(format!("failed{on} ({reason})"));
        }
        "REVOKED" => return broken("was revoked"),
        "FAILED" => "failed",
        _ => return JobState::Runs,
    };
    JobState::Ended(format!("{ended}{on}"))
}

/// Processes get TERM, and after Slurm's KillWait KILL.
pub(super) async fn cancel(job: &Asked) -> Result<(), String> {
    let tool = tool(&["scancel", "--quiet"], &[&job.token], "SCANCEL_*");
    ask("scancel", &tool).await.map(drop).map_err(|failed| failed.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slurm_says_is_understood() {
        let said = "gp-1|PENDING|Priority|\ngp-2|RUNNING|None|n1\ngp-3|FAILED|JobLaunchFailure|n2\n\
                    gp-4|CANCELLED by 0|0:15|None assigned\ngp-5|COMPLETING|None|n1\ngp-6|PENDING|None|\nodd\n";
        let found = read(said);
        let state = |token: &str| found.get(token).cloned();
        assert_eq!(state("gp-1"), Some(JobState::Waits("Priority".to_owned())));
        assert_eq!(state("gp-2"), Some(JobState::Runs));
        assert_eq!(state("gp-3"), Some(JobState::Ended("failed on n2 (JobLaunchFailure)".to_owned())));
        assert_eq!(state("gp-4"), Some(JobState::Cut("was cancelled".to_owned())));
        assert_eq!(state("gp-5"), Some(JobState::Runs));
        assert_eq!(state("gp-6"), Some(JobState::Waits(String::new())));
        assert_eq!(found.len(), 6);
    }

    /// A job may have been submitted twice under its name, when nobody knew whether the first try had come through.
    #[test]
    fn of_jobs_with_one_name_that_counts_which_goes_on() {
        for lines in ["t|FAILED||n1\nt|RUNNING||n2\n", "t|RUNNING||n2\nt|COMPLETED||n1\n"] {
            assert_eq!(read(lines).get("t"), Some(&JobState::Runs));
        }
        assert_eq!(read("t|PENDING|x|\nt|FAILED||n1\n").get("t"), Some(&JobState::Waits("x".to_owned())));
    }

    #[test]
    fn ids_and_refusals_are_told_apart() {
        assert_eq!(
            (id_in("12\n"), id_in("12;alpha\n"), id_in("huh\n"), id_in("")),
            (Some("12"), Some("12"), None, None)
        );
        assert!(is_for_now(
            "sbatch: Batch job submission failed: Unable to contact slurm controller (connect failure)"
        ));
        assert!(is_for_now("sbatch: Socket timed out on send/recv operation"));
        assert!(!is_for_now("sbatch: invalid partition specified: nope"));
    }
}
