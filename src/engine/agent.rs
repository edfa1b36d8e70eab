//! One agent: starting its shim, passing its output and our stop requests along, and its exit.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bstr::ByteSlice;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Context, Outbox, pacing, runner, ssh};
use crate::plan;
use crate::run::{AgentCall, Event, Exit, Task, Text};
use crate::shim::{self, Progress, Shim, ShimSpec};

/// Time between TERM and KILL.
pub(super) const GRACE_MS: u64 = 5_000;

/// The most that is kept of an agent's output.
pub(super) const LOG_CAP: u64 = 64 << 20;

/// How much of the agents' output somebody looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WantedOutput {
    /// Nothing.
    None,
    /// What comes last.
    LastLine,
    /// Everything.
    All,
}

/// Sees an agent through, whoever started it: a new one is started; one that a dead supervisor left
/// behind is adopted; of one that ended meanwhile, the record is read.
pub(super) async fn supervise(
    context: Arc<Context>,
    task: Task,
    mut stops: UnboundedReceiver<shim::Request>,
    outbox: Outbox,
    wanted: WantedOutput,
) {
    if let Some(exit) = attend_far(&context, &task, &mut stops, &outbox, wanted).await {
        return tell(context, task, exit, &outbox).await;
    }
    let exit = match fate(&context, &task).await {
        Fate::Ended(exit) => exit,
        Fate::Lives => adopt(&context, &task, &mut stops).await,
        // Asked to stop before it was started, it is not started at all.
        Fate::New => match stops.try_recv() {
            Ok(shim::Request::Stop(_)) => Exit { stopped: true, ..Exit::default() },
            _ => match start(&context, &task, &mut stops, &outbox, wanted).await {
                Ok(exit) => exit,
                Err(why) => return outbox.no_room(task.name().clone(), why),
            },
        },
    };
    // A shim that a dead supervisor had only just started may have been first.
    let dir = context.dir.task(task.name());
    let exit = if exit.not_started.is_some() && shim::is_alive(&dir).unwrap_or(false) {
        adopt(&context, &task, &mut stops).await
    } else {
        exit
    };
    tell(context, task, exit, &outbox).await;
}

/// Tells how an agent ended, and what its output says of that.
async fn tell(context: Arc<Context>, task: Task, exit: Exit, outbox: &Outbox) {
    let exit = super::usage::add(&context, &task, exit).await;
    let name = task.name().clone();
    let plain = exit.clone();
    let read = tokio::task::spawn_blocking(move || pacing::read_output(&context, &task, plain));
    let exit = read.await.unwrap_or(exit);
    outbox.event(Event::AgentExited { task: name, exit });
}

/// Sees an agent through that runs elsewhere; `None` if it does not.
async fn attend_far(
    context: &Arc<Context>,
    task: &Task,
    stops: &mut UnboundedReceiver<shim::Request>,
    outbox: &Outbox,
    wanted: WantedOutput,
) -> Option<Exit> {
    let runner = context.spec.far_runner_of(&task.spec)?;
    let Some(job) = &task.job else {
        let why = "its job has no name; please report it".to_owned();
        return Some(Exit { not_started: Some(why), ..Exit::default() });
    };
    if let Some(ssh) = runner.ssh() {
        let log = LogReader::new(context.dir.log(task.name()), wanted);
        return Some(ssh::attend(context, (runner, ssh), (task, job), log, stops, outbox).await);
    }
    let spec = runner::for_job(shim_spec(context, task), job, runner);
    let order = runner::Order { runner, job, task, spec };
    let log = LogReader::new(context.dir.log(task.name()), wanted);
    let started = |pid, host| {
        let host = Some(host);
        outbox.event(Event::AgentStarted { task: task.name().clone(), pid, host });
    };
    Some(runner::attend(context, order, log, stops, outbox, started).await)
}

/// What became of this attempt so far.
enum Fate {
    New,
    Lives,
    Ended(Exit),
}

async fn fate(context: &Arc<Context>, task: &Task) -> Fate {
    let dir = context.dir.task(task.name());
    let attempt = task.attempt;
    if shim::is_alive(&dir).unwrap_or(false) {
        return Fate::Lives;
    }
    if let Ok(Some(exit)) = shim::exit_record(&dir, attempt) {
        return Fate::Ended(exit);
    }
    // It may have died between being started and being told of, so what its shim left counts, too.
    if task.pid.is_none() && !shim::was_begun(&dir, attempt) {
        return Fate::New;
    }
    Fate::Ended(end_shimless(&dir).await)
}

/// Ends what is left of an agent whose shim died without a word.
async fn end_shimless(dir: &Path) -> Exit {
    let left_behind = shim::end_orphans(dir, Duration::from_millis(GRACE_MS)).await;
    shim::discard(dir);
    Exit { left_behind, ..Exit::default() }
}

async fn start(
    context: &Context,
    task: &Task,
    stops: &mut UnboundedReceiver<shim::Request>,
    outbox: &Outbox,
    wanted: WantedOutput,
) -> Result<Exit, String> {
    let not_started = |why: String| Exit { not_started: Some(why), ..Exit::default() };
    let mut shim = match Shim::spawn(&shim_spec(context, task)) {
        Ok(shim) => shim,
        Err(e) if crate::sys::is_out_of_room(&e) => return Err(e.to_string()),
        Err(e) => return Ok(not_started(format!("cannot start the agent: {e}"))),
    };
    let log = LogReader::new(context.dir.log(task.name()), wanted);
    let started = |pid| outbox.event(Event::AgentStarted { task: task.name().clone(), pid, host: None });
    Ok(see_through(&mut shim, task, log, stops, outbox, started).await)
}

/// Passes along what a shim tells and what it is asked, until all is over.
pub(super) async fn see_through(
    shim: &mut Shim,
    task: &Task,
    mut log: LogReader,
    stops: &mut UnboundedReceiver<shim::Request>,
    outbox: &Outbox,
    started: impl Fn(u32),
) -> Exit {
    loop {
        tokio::select! {
            progress = shim.next() => match progress {
                Progress::Started { pid } => started(pid),
                Progress::Output { bytes } => {
                    while let Some(text) = log.read(bytes) {
                        let _ = outbox.output.send((task.name().clone(), text)).await;
                    }
                }
                Progress::Exited(exit) => return exit,
            },
            Some(shim::Request::Stop(stop)) = stops.recv() => {
                // It fails only where the shim is gone already; its exit is on the way then.
                let _ = shim.stop(stop);
            }
        }
    }
}

/// Waits for an agent that another supervisor started.
async fn adopt(context: &Context, task: &Task, stops: &mut UnboundedReceiver<shim::Request>) -> Exit {
    let dir = context.dir.task(task.name());
    let attempt = task.attempt;
    let gone = {
        let dir = dir.clone();
        tokio::task::spawn_blocking(move || shim::wait_gone(&dir))
    };
    tokio::pin!(gone);
    loop {
        tokio::select! {
            _ = &mut gone => break,
            Some(request) = stops.recv() => {
                // If it can't be reached it is about to end, or its record was tampered with; its lock
                // tells which.
                let _ = shim::request(&dir, request);
            }
        }
    }
    match shim::exit_record(&dir, attempt).ok().flatten() {
        Some(exit) => exit,
        None => end_shimless(&dir).await,
    }
}

fn shim_spec(context: &Context, task: &Task) -> ShimSpec {
    shim_spec_with(context, task, &context.dir.prompt(task.name()).into())
}

/// What the task's agent is to do that finds its prompt in this file.
pub(super) fn shim_spec_with(context: &Context, task: &Task, prompt_file: &Text) -> ShimSpec {
    let prompt = prompt_in(context, task, prompt_file).unwrap_or_default();
    let (argv, _, shell) = task.agent(&context.spec);
    let prefix = context.spec.prefix_of(&task.spec);
    let mut command = arguments(context, task, (prefix, false), &prompt, prompt_file);
    command.extend(arguments(context, task, (argv, shell), &prompt, prompt_file));
    ShimSpec {
        dir: context.dir.task(task.name()).into(),
        attempt: task.attempt,
        argv: command,
        cwd: task.spec.worktree.clone(),
        env: context.environment(task),
        scrub: scrubbed(),
        timeout_ms: task.spec.timeout_ms.or(context.spec.timeout_ms),
        grace_ms: GRACE_MS,
        log_cap: LOG_CAP,
        open_files: context.open_files,
        far: None,
    }
}

/// What of our environment must not reach a command that works somewhere else.
pub(super) fn scrubbed() -> Vec<String> {
    crate::git::LOCAL_ENV_VARS.iter().map(|name| (*name).to_owned()).collect()
}

/// The task's prompt, if it has one, with its placeholders replaced.
pub(super) fn prompt(context: &Context, task: &Task) -> Option<Text> {
    prompt_in(context, task, &context.dir.prompt(task.name()).into())
}

/// The same, where its agent finds it in this file.
pub(super) fn prompt_in(context: &Context, task: &Task, prompt_file: &Text) -> Option<Text> {
    let prompt = task.spec.prompt.as_deref()?;
    let literal_from = task.spec.literal_from.unwrap_or(prompt.len());
    let (prompt, literal) = prompt.split_at_checked(literal_from).unwrap_or((prompt, ""));
    let prompt = Text::from(prompt);
    let replaced: Text = with_placeholders(context, task, &[("prompt_file", prompt_file)], |known| {
        plan::expand(&prompt, known)
    });
    Some(Text::from([replaced.as_bstr().as_bytes(), literal.as_bytes()].concat().as_slice()))
}

/// An argument vector with its placeholders replaced; if it is a shell's, nothing is in its command.
pub(super) fn arguments(
    context: &Context,
    task: &Task,
    (argv, shell): (&[Text], bool),
    prompt: &Text,
    prompt_file: &Text,
) -> Vec<Text> {
    with_placeholders(context, task, &[("prompt", prompt), ("prompt_file", prompt_file)], |known| {
        let expand = |(place, argument): (usize, &Text)| match shell && place == AgentCall::SCRIPT {
            true => argument.clone(),
            false => plan::expand(argument, known),
        };
        argv.iter().enumerate().map(expand).collect()
    })
}

/// Lets `then` see what the placeholders stand for: what is known of every task, and `more`.
fn with_placeholders<T>(
    context: &Context,
    task: &Task,
    more: &plan::Placeholders,
    then: impl FnOnce(&plan::Placeholders) -> T,
) -> T {
    let spec = &task.spec;
    let name = Text::from(spec.name.0.as_str());
    let base = Text::from(context.base_of(task).as_str());
    let slot = Text::from(task.slot.to_string());
    let mut known = vec![
        ("task", &name),
        ("branch", &spec.branch),
        ("worktree", &spec.worktree),
        ("base", &base),
        ("target", &context.spec.target),
        ("slot", &slot),
    ];
    known.extend_from_slice(more);
    then(&known)
}

/// Reads what is new in a log, as much of it as somebody wants to see.
pub(super) struct LogReader {
    path: PathBuf,
    offset: u64,
    wanted: WantedOutput,
}

impl LogReader {
    const CHUNK: u64 = 64 * 1024;
    /// Enough for a last line.
    const END: u64 = 4 * 1024;

    pub(super) fn new(path: PathBuf, wanted: WantedOutput) -> LogReader {
        LogReader { path, offset: 0, wanted }
    }

    /// The next piece up to `length`, the log's length; `None` once all is read.
    pub(super) fn read(&mut self, length: u64) -> Option<Vec<u8>> {
        let from = match self.wanted {
            WantedOutput::None => return None,
            WantedOutput::LastLine => self.offset.max(length.saturating_sub(Self::END)),
            WantedOutput::All => self.offset,
        };
        let size = length.saturating_sub(from).min(Self::CHUNK);
        if size == 0 {
            return None;
        }
        let mut file = std::fs::File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut text = Vec::new();
        let read = file.take(size).read_to_end(&mut text).ok()?;
        self.offset = from + read as u64;
        (read > 0).then_some(text)
    }
}
