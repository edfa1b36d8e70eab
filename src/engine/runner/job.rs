//! What a job is to do, as it finds it on the shared file system; and the end of one that nobody wants any more.

use std::borrow::Cow;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Asked, Desk, JobState};
use crate::engine::{Context, command};
use crate::run::{Job, Runner, Stop, Text};
use crate::shim::{self, Far, ShimSpec};

/// What the job itself says, beside what its agent does.
pub(super) const LOG: &str = "job.log";

/// Writes what the job is to do; gives the program that does it.
pub(super) fn write_job(spec: &ShimSpec, program: &Text) -> io::Result<PathBuf> {
    let file = shim::write_spec(spec)?;
    let script = file.with_extension("sh");
    let quoted = |text: &[u8]| shlex::bytes::try_quote(text).map(Cow::into_owned).map_err(io::Error::other);
    let program = quoted(program.as_bstr())?;
    let file = quoted(file.as_os_str().as_encoded_bytes())?;
    let text = [b"#!/bin/sh\nexec ", &program[..], b" shim ", &file[..], b"\n"].concat();
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700))?;
    Ok(script)
}

pub(super) fn last_line(log: &Path) -> Option<String> {
    const MOST: u64 = 2_000;
    let text = command::end_of(log, MOST);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

/// The spec of a shim as a job far away needs it.
pub(in crate::engine) fn for_job(spec: ShimSpec, job: &Job, runner: &Runner) -> ShimSpec {
    let beat = Desk::new(runner.clone()).beat();
    let far = Far {
        token: job.token.clone(),
        beat_ms: u64::try_from(beat.as_millis()).unwrap_or(u64::MAX),
        git_file: git_file(spec.cwd.as_path()),
    };
    ShimSpec { far: Some(far), ..spec }
}

/// What a worktree's `.git` file says.
fn git_file(worktree: &Path) -> Option<Text> {
    std::fs::read(worktree.join(".git")).ok().map(|bytes| Text::from(bytes.as_slice()))
}

/// Ends a job that a dead supervisor left, and waits until it has ended: nobody wants its result, and what it works in
/// is wanted again. One of which nothing can be heard is given up after a while.
pub(in crate::engine) async fn end_stray(context: &Context, runner: &Runner, job: &Job, dir: &Path) {
    let desk = &context.runners.watch(runner).desk;
    let asked = Asked { token: job.token.clone(), id: job.id.clone() };
    let begin = Instant::now();
    let mut next = shim::next_claim(dir);
    while begin.elapsed() < desk.lost_after() {
        // What is in the queue, or on its way there, starts nothing any more.
        let barred = shim::call_off(dir, next);
        if matches!(barred, Ok(false)) {
            // It started just now.
            next += 1;
            continue;
        }
        let (barred, last) = (barred.is_ok(), next - 1);
        let works =
            last > 0 && shim::signs(dir, last).is_ok_and(|signs| signs.claimed && signs.exit.is_none());
        let _ = desk.cancel(&asked).await;
        if barred && !works {
            return;
        }
        let _ = shim::ask_to_stop(dir, last, Stop::Kill);
        let states = desk.states(std::slice::from_ref(&asked)).await;
        if states.is_ok_and(|states| {
            !matches!(states.get(&asked.token), Some(JobState::Waits(_) | JobState::Runs))
        }) {
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
}
