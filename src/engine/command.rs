//! A command of the user's from the configuration: run by `sh -c`, under a shim of its own, as an agent is.
//! So it has a process group and a log of its own, all that it starts ends with it, and it can be stopped
//! whoever started it.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Context, agent};
use crate::run::{Exit, Stop, TaskState, Text};
use crate::shim::{self, Progress, Shim, ShimSpec};

/// Of its output, what is told when it fails.
const LAST_LINES: usize = 3;
const LAST_BYTES: u64 = 2_000;

/// What to run.
pub(super) struct Command<'a> {
    /// For the shell.
    pub(super) text: &'a str,
    /// The directory to run it in.
    pub(super) dir: &'a Path,
    /// Environment variables to set.
    pub(super) env: Vec<(String, Text)>,
    /// How long it may run, in milliseconds.
    pub(super) timeout_ms: Option<u64>,
}

/// The argument vector of a command that is a string, as git has it for those from its configuration.
pub(super) fn shell(text: &Text) -> Vec<Text> {
    vec!["sh".into(), "-c".into(), text.clone()]
}

/// What a shim is to run for a command of the user's, `record` being its directory.
pub(super) fn under_shim(
    context: &Context,
    record: &Path,
    argv: Vec<Text>,
    dir: &Path,
    env: Vec<(String, Text)>,
    timeout_ms: Option<u64>,
) -> ShimSpec {
    ShimSpec {
        dir: record.into(),
        // An earlier supervisor may have begun it, too.
        attempt: shim::next_attempt(record).max(shim::next_claim(record)),
        argv,
        cwd: dir.into(),
        env,
        scrub: agent::scrubbed(),
        timeout_ms,
        grace_ms: agent::GRACE_MS,
        log_cap: agent::LOG_CAP,
        open_files: context.open_files,
        far: None,
    }
}

/// Runs a command to its end. For the threads of workers; `Err` says in words why it did not succeed, with
/// the last lines that it printed.
///
/// # Errors
/// If it can't even be tried.
pub(super) fn run(context: &Context, command: &Command) -> Result<Result<(), String>> {
    let record = context.dir.new_command().context("cannot create the record of a command")?;
    let (argv, timeout) = (shell(&command.text.into()), command.timeout_ms);
    let spec = under_shim(context, &record, argv, command.dir, command.env.clone(), timeout);
    // The supervisor's loop drives the timers and pipes that this waits for.
    let runtime = tokio::runtime::Handle::try_current().context("no supervisor is at work")?;
    let exit = runtime.block_on(see_through(context, &spec))?;
    Ok(failure(&exit, timeout, &record).map_or(Ok(()), Err))
}

/// Why a command did not succeed, in words and with the last lines that it printed; `None` if it did.
pub(super) fn failure(exit: &Exit, timeout_ms: Option<u64>, record: &Path) -> Option<String> {
    if exit.state() == TaskState::Finished {
        return None;
    }
    let limit = timeout_ms.unwrap_or_default().div_ceil(1000);
    let how = match exit {
        Exit { timed_out: true, .. } => format!("ran for more than {limit} s"),
        Exit { stopped: true, .. } => "was stopped".to_owned(),
        exit => exit.words(),
    };
    let said = last_lines(record);
    Some(if said.is_empty() { how } else { format!("{how}: {said}") })
}

/// Sees a command through that ends with the run.
pub(super) async fn see_through(context: &Context, spec: &ShimSpec) -> Result<Exit> {
    let mut stops = context.stopping.subscribe();
    if stops.borrow_and_update().is_some() {
        return Ok(Exit { stopped: true, ..Exit::default() });
    }
    let mut shim = Shim::spawn(spec).context("cannot start the command")?;
    loop {
        tokio::select! {
            progress = shim.next() => {
                if let Progress::Exited(exit) = progress {
                    return Ok(exit);
                }
            }
            Ok(()) = stops.changed() => {
                if let Some(stop) = *stops.borrow_and_update() {
                    // It fails only where the shim is gone already; its exit is on the way then.
                    let _ = shim.stop(stop);
                }
            }
        }
    }
}

/// The end of what a command printed, on one line.
fn last_lines(record: &Path) -> String {
    let text = end_of(&record.join("output.log"), LAST_BYTES);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join(" | ")
}

/// Up to so many bytes from the end of a log; nothing if it can't be read.
pub(super) fn end_of(log: &Path, bytes: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
        let mut end = Vec::new();
        file.take(bytes).read_to_end(&mut end)?;
        Ok(end)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// Passes something on to the commands that run, hooks aside.
pub(super) fn tell(context: &Context, request: shim::Request) {
    tell_each(context.dir.commands(), request);
}

/// Passes something on to the commands that run and to the hooks.
pub(super) fn tell_all(context: &Context, request: shim::Request) {
    tell_each(context.dir.commands().into_iter().chain(context.dir.hooks()), request);
}

fn tell_each(records: impl IntoIterator<Item = PathBuf>, request: shim::Request) {
    for record in records {
        // Most have ended.
        let _ = shim::request(&record, request);
    }
}

/// Ends the commands that run, and starts no more.
pub(super) fn stop_all(context: &Context, how: Stop) {
    context.stopping.send_replace(Some(how));
    tell_all(context, shim::Request::Stop(how));
}

/// Ends what a dead supervisor left running: what it would have done with the result is done anew.
pub(super) async fn end_leftovers(context: &Context) {
    for record in context.dir.commands().into_iter().chain(context.dir.hooks()) {
        if shim::exit_record(&record, 1).ok().flatten().is_none() {
            end_for_good(&record).await;
        }
    }
}

/// Ends what runs under the shim of this record, also if that died, or was only just started.
pub(super) async fn end_for_good(record: &Path) {
    loop {
        if shim::is_alive(record).unwrap_or(false) {
            // One that can't be reached is about to end; its lock tells when.
            let _ = shim::request(record, shim::Request::Stop(Stop::Term));
            let gone = record.to_owned();
            let _ = tokio::task::spawn_blocking(move || shim::wait_gone(&gone)).await;
        }
        let outdated = record.to_owned();
        match tokio::task::spawn_blocking(move || shim::outdate(&outdated)).await {
            // It took its lock just now.
            Ok(Ok(false)) => {}
            // Where there is no record, nothing was begun.
            Ok(Ok(true) | Err(_)) | Err(_) => break,
        }
    }
    shim::end_orphans(record, Duration::from_millis(agent::GRACE_MS)).await;
    shim::discard(record);
}
