//! The check of a candidate (`--verify`): in a checkout of exactly that commit, never in the user's or an
//! agent's.
//!
//! The places to check in are scratch worktrees beside the tasks' own, reused from one candidate to the next
//! so that a build's caches stay warm, and removed when the run ends. The command runs under a shim like an
//! agent's, in a process group of its own; a supervisor that takes a run over ends the checks that the dead
//! one left, and runs them again.
//!
//! What an exit means is `git bisect run`'s convention: 0 is good, 1 to 124 is bad, 125 is "can't tell", and
//! 126 and above (not runnable, or killed by a signal) says nothing about the commit.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc::UnboundedReceiver;

use super::agent::{self, LogReader, WantedOutput};
use super::{Context, Outbox, command, runner, trouble};
use crate::git::{self, Scratch};
use crate::run::{Event, Exit, Oid, Run, Stop, Task, Text, Verify};
use crate::shim::{self, Shim};
use crate::store::Layout;

/// How the places to check in are named, beside the tasks' worktrees; no task's name begins with a dot.
const PLACE: &str = ".verify-";

/// What programs say of a full disk (`strerror(ENOSPC)`), also of one that is none of ours.
const NO_ROOM: &str = "No space left on device";

/// Of what a check wrote, so many lines are told, and no more than so many bytes.
const SAID_LINES: usize = 10;
const SAID_BYTES: u64 = 2_000;

/// Runs the check on the task's candidate.
pub(super) async fn verify(
    context: Arc<Context>,
    task: Task,
    slot: u32,
    mut stops: UnboundedReceiver<shim::Request>,
    outbox: Outbox,
    wanted: WantedOutput,
) {
    let event = match try_verify(&context, &task, slot, &mut stops, &outbox, wanted).await {
        Ok(event) => event,
        Err(e) => held(&task, format!("it could not be checked: {}", trouble::words(&context, &e))),
    };
    outbox.event(event);
}

fn held(task: &Task, reason: String) -> Event {
    Event::Held { task: task.name().clone(), reason, tip: None }
}

async fn try_verify(
    context: &Arc<Context>,
    task: &Task,
    slot: u32,
    stops: &mut UnboundedReceiver<shim::Request>,
    outbox: &Outbox,
    wanted: WantedOutput,
) -> Result<Event> {
    let name = task.name().clone();
    let commit = task.landing.as_ref().map(|landing| landing.commit.clone()).context("no candidate")?;
    let checked = check(context, task, &commit, slot, stops, outbox, wanted).await?;
    Ok(match checked {
        Checked::Passed { tries } => Event::Verified { task: name, commit, tries },
        Checked::Failed { reason, log, said } => Event::Rejected { task: name, commit, reason, log, said },
        Checked::NoVerdict(reason) => held(task, reason),
        Checked::Stopped => Event::PutOff { task: name },
    })
}

/// What became of a check.
pub(super) enum Checked {
    /// The commit is good.
    Passed {
        /// How often the command was run; 0 if the same tree had passed before.
        tries: u32,
    },
    /// It is not.
    Failed {
        /// How the command ended.
        reason: String,
        /// What it wrote.
        log: Text,
        /// The end of that.
        said: String,
    },
    /// The command told nothing of the commit, for this reason.
    NoVerdict(String),
    /// It was called off.
    Stopped,
}

/// Runs the run's check on a commit, in the place of that slot; the command finds the task in its environment.
///
/// # Errors
/// If it can't be tried.
pub(super) async fn check(
    context: &Arc<Context>,
    task: &Task,
    commit: &Oid,
    slot: u32,
    stops: &mut UnboundedReceiver<shim::Request>,
    outbox: &Outbox,
    wanted: WantedOutput,
) -> Result<Checked> {
    let verify = context.spec.verify.clone().context("the run has no check")?;
    let (tree, known) = {
        let (context, commit, command) = (context.clone(), commit.clone(), verify.command.clone());
        blocking(move || {
            let tree = git::tree_of(&context.repo, &commit)?;
            let known = Layout::new(&context.repo.common_dir).passed().contains(&tree, &command);
            Ok((tree, known))
        })
        .await?
    };
    if known {
        return Ok(Checked::Passed { tries: 0 });
    }
    let dir = context.dir.make_check_dir(commit)?;
    let log = dir.join("output.log");
    let place = place(context, slot)?;
    let mut tries = 0;
    loop {
        tries += 1;
        {
            let (context, place, commit) = (context.clone(), place.clone(), commit.clone());
            blocking(move || Scratch::open(&context.repo, &place)?.reset_to(&commit)).await?;
        }
        if matches!(stops.try_recv(), Ok(shim::Request::Stop(_))) {
            return Ok(Checked::Stopped);
        }
        let env = environment(context, task, slot, &place, tries);
        let spec = command::under_shim(
            context,
            &dir,
            command::shell(&verify.command),
            &place,
            env,
            verify.timeout_ms,
        );
        let reader = LogReader::new(log.clone(), wanted);
        let exit = match runner::of_check(context, task) {
            Some((runner, job)) => {
                let spec = runner::for_job(spec, job, runner);
                let order = runner::Order { runner, job, task, spec };
                runner::attend(context, order, reader, stops, outbox, |_, _| {}).await
            }
            None => {
                let mut shim = Shim::spawn(&spec).context("its shim does not start")?;
                agent::see_through(&mut shim, task, reader, stops, outbox, |_| {}).await
            }
        };
        let no_room = || trouble::is_full(context) || last_lines(&log).contains(NO_ROOM);
        match judge(&verify, &exit, no_room) {
            Outcome::Passed => {
                remember(context, tree, verify.command).await;
                return Ok(Checked::Passed { tries });
            }
            Outcome::Failed(_) if tries <= verify.retries => {}
            Outcome::Failed(reason) => {
                let tried = if tries > 1 { format!(" ({tries} tries)") } else { String::new() };
                let (reason, said) = (format!("the check {reason}{tried}"), last_lines(&log));
                return Ok(Checked::Failed { reason, log: log.into(), said });
            }
            Outcome::NoVerdict(reason) => {
                let reason =
                    format!("the check {reason}, which says nothing of the work; its log: {}", log.display());
                return Ok(Checked::NoVerdict(reason));
            }
            Outcome::Stopped => return Ok(Checked::Stopped),
        }
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("git parallel itself failed here; please report it")?
}

/// It costs no more than another check if that can't be written.
async fn remember(context: &Arc<Context>, tree: Oid, command: Text) {
    let passed = Layout::new(&context.repo.common_dir).passed();
    let _ = blocking(move || Ok(passed.add(&tree, &command)?)).await;
}

/// What a check's exit says, to follow "the check".
#[derive(PartialEq, Eq, Debug)]
enum Outcome {
    Passed,
    Failed(String),
    NoVerdict(String),
    Stopped,
}

fn judge(verify: &Verify, exit: &Exit, disk_is_full: impl Fn() -> bool) -> Outcome {
    let by_signal = |signal: i32| Outcome::NoVerdict(format!("was killed by signal {signal}"));
    match exit {
        Exit { not_started: Some(why), .. } => Outcome::NoVerdict(format!("did not start: {why}")),
        Exit { lost: Some(why), .. } => Outcome::NoVerdict(format!("was cut off: {why}")),
        Exit { timed_out: true, .. } => {
            let limit = verify.timeout_ms.map(Duration::from_millis).unwrap_or_default();
            Outcome::Failed(format!("did not end within {limit:?}"))
        }
        Exit { stopped: true, .. } => Outcome::Stopped,
        Exit { signal: Some(signal), .. } => by_signal(*signal),
        Exit { code: Some(0), .. } => Outcome::Passed,
        Exit { code: Some(125), .. } => Outcome::NoVerdict("can't tell (exit 125)".to_owned()),
        Exit { code: Some(code @ (126 | 127)), .. } => {
            Outcome::NoVerdict(format!("could not be run (exit {code})"))
        }
        // A shell says so of a command of its own that a signal killed.
        Exit { code: Some(code @ 129..=192), .. } => by_signal(code - 128),
        Exit { code: Some(code), .. } if disk_is_full() => {
            Outcome::NoVerdict(format!("failed (exit {code}) on a full disk"))
        }
        Exit { code: Some(code), .. } => Outcome::Failed(format!("failed: exit {code}")),
        Exit { code: None, signal: None, .. } => {
            Outcome::NoVerdict("died, and its exit was not seen".to_owned())
        }
    }
}

fn environment(context: &Context, task: &Task, slot: u32, place: &Path, tries: u32) -> Vec<(String, Text)> {
    let mut env = context.environment(task);
    // Agents and checks run at once: numbers for ports and databases must not meet.
    let number = context.spec.jobs.saturating_add(slot);
    for (name, value) in &mut env {
        match name.as_str() {
            "GIT_PARALLEL_WORKTREE" | "PWD" => *value = place.to_owned().into(),
            "GIT_PARALLEL_SLOT" => *value = number.to_string().into(),
            "GIT_PARALLEL_ATTEMPT" => *value = tries.to_string().into(),
            _ => {}
        }
    }
    env
}

/// The end of what a check wrote.
fn last_lines(log: &Path) -> String {
    let text = command::end_of(log, SAID_BYTES);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(SAID_LINES)..].join("\n")
}

fn place(context: &Context, slot: u32) -> Result<PathBuf> {
    let dir = context.worktree_dir().context("the run has no worktrees")?;
    Ok(dir.join(format!("{PLACE}{slot}")))
}

/// Removes the places to check in, also those that a dead supervisor made.
///
/// # Errors
/// If one can't be removed; the error names it.
pub(super) fn remove_places(context: &Context) -> Result<()> {
    let Some(dir) = context.worktree_dir() else { return Ok(()) };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let slots: BTreeSet<u32> = entries.filter_map(|entry| slot_of(&entry.file_name())).collect();
    for slot in slots {
        let place = place(context, slot)?;
        git::discard_scratch(&context.repo, &place)?;
        git::prune_parents(&place, dir);
    }
    Ok(())
}

/// The slot that a place is for, also if it is half removed: `..verify-0.x3Fg.trash`.
fn slot_of(name: &OsStr) -> Option<u32> {
    let name = name.to_str()?;
    let number = name.strip_prefix('.').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    number.strip_prefix(PLACE)?.split('.').next()?.parse().ok()
}

/// Ends the checks that a dead supervisor left: nobody waits for them any more.
pub(super) async fn end_stray_checks(context: &Context, run: &Run) {
    for task in run.tasks.iter().filter(|task| task.checking.is_some()) {
        if let (Some((runner, job)), Some(landing)) = (runner::of_check(context, task), &task.landing) {
            runner::end_stray(context, runner, job, &context.dir.check_of(&landing.commit)).await;
        }
    }
    for entry in std::fs::read_dir(context.dir.checks()).into_iter().flatten().flatten() {
        end_stray(&entry.path()).await;
    }
}

/// Ends the shim that works for `dir`, with all it started, also if it died before.
pub(super) async fn end_stray(dir: &Path) {
    if shim::is_alive(dir).unwrap_or(false) {
        // One that can't be reached is about to end; its lock tells when.
        let _ = shim::request(dir, shim::Request::Stop(Stop::Kill));
        let gone = dir.to_owned();
        let _ = blocking(move || Ok(shim::wait_gone(&gone)?)).await;
    }
    let last = shim::next_attempt(dir) - 1;
    if last > 0 && !matches!(shim::exit_record(dir, last), Ok(Some(_))) {
        shim::end_orphans(dir, Duration::from_millis(agent::GRACE_MS)).await;
        shim::discard(dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_mean_what_they_mean_to_git_bisect() {
        let verify = Verify { command: "t".into(), jobs: 1, retries: 0, timeout_ms: Some(90_000) };
        let judge = |exit: Exit, full: bool| judge(&verify, &exit, || full);
        let code = |code| Exit { code: Some(code), ..Exit::default() };
        assert_eq!(judge(code(0), true), Outcome::Passed);
        for bad in [1, 2, 77, 124, 128, 255] {
            assert_eq!(judge(code(bad), false), Outcome::Failed(format!("failed: exit {bad}")));
            assert!(matches!(judge(code(bad), true), Outcome::NoVerdict(_)), "a full disk explains it");
        }
        for unclear in [125, 126, 127, 137, 143] {
            assert!(matches!(judge(code(unclear), false), Outcome::NoVerdict(_)), "{unclear}");
        }
        let exit = Exit { signal: Some(9), ..Exit::default() };
        assert!(matches!(judge(exit.clone(), false), Outcome::NoVerdict(_)));
        let timed_out = Exit { timed_out: true, ..exit.clone() };
        assert_eq!(judge(timed_out, false), Outcome::Failed("did not end within 90s".to_owned()));
        assert_eq!(judge(Exit { stopped: true, ..exit }, false), Outcome::Stopped);
        assert!(matches!(judge(Exit::default(), false), Outcome::NoVerdict(_)));
    }

    #[test]
    fn places_are_known_by_their_names() {
        let slot = |name: &str| slot_of(OsStr::new(name));
        assert_eq!(
            [slot(".verify-0"), slot(".verify-17"), slot("..verify-3.x3Fg.trash")],
            [Some(0), Some(17), Some(3)]
        );
        assert_eq!([slot("verify-0"), slot(".verify-"), slot("auth"), slot(".verify-x")], [None; 4]);
    }

    #[test]
    fn only_the_end_of_a_log_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        assert_eq!(last_lines(&log), "");
        let lines: String = (0..500).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&log, lines).unwrap();
        let said = last_lines(&log);
        assert_eq!(said.lines().count(), SAID_LINES);
        assert!(said.starts_with("line 490") && said.ends_with("line 499"));
        std::fs::write(&log, "x".repeat(9_000)).unwrap();
        assert_eq!(last_lines(&log).len() as u64, SAID_BYTES);
    }
}
