//! What a task carries along from its events, beside its state.

use jiff::Timestamp;

use super::{Event, Exit, Job, Step, Stop, Task, TaskState, name_some};

/// What the task carries along from an event, beside its state.
pub(super) fn remember(task: &mut Task, at: Timestamp, event: &Event, clock: u64) {
    match event {
        Event::Begun { step, .. } => begin(task, at, step),
        Event::Prepared { base, branch_created, worktree_created, is_new, note, .. } => {
            task.prepared = true;
            task.setup_due |= is_new;
            task.base = Some(base.clone());
            task.reason = note.clone();
            task.branch_created = *branch_created;
            task.worktree_created = *worktree_created;
        }
        Event::SetUp { .. } => task.setup_due = false,
        Event::PrepareFailed { reason, .. } => {
            task.unprepared = true;
            task.reason = Some(reason.clone());
        }
        Event::AgentStarted { pid, host, .. } => {
            task.pid = Some(*pid);
            if let Some(job) = &mut task.job {
                // Until then it waited for a machine.
                task.started_at = Some(at);
                job.host = host.clone();
                job.waits = None;
            }
        }
        Event::Submitting { runner, token, .. } => *job_of(task) = Some(Job::new(runner, token)),
        Event::Submitted { job: id, .. } => {
            if let Some(job) = job_of(task) {
                job.id = Some(id.clone());
                job.waits = None;
            }
        }
        Event::JobWaits { reason, .. } => {
            if let Some(job) = job_of(task) {
                job.waits = Some(reason.clone());
            }
        }
        Event::AgentDeferred { .. } => {
            // It was not an attempt.
            task.attempt = task.attempt.saturating_sub(1);
            task.started_at = None;
        }
        Event::StopSent { stop, .. } => task.stop_sent = Some(*stop),
        Event::AgentExited { exit, .. } => {
            task.finished_at = Some(at);
            task.pid = None;
            task.ready = clock;
            task.reason = match exit.state() {
                TaskState::Failed => Some(exit.words()),
                TaskState::RateLimited => exit.limited.clone(),
                _ => None,
            };
            count(task, exit);
            task.usage = [task.usage, exit.usage].into_iter().flatten().reduce(|a, b| a + b);
            task.exit = Some(exit.clone());
        }
        Event::Collected { work, note, .. } => {
            task.collected = true;
            task.work = Some(work.clone());
            if note.is_some() {
                task.reason = note.clone();
            }
        }
        Event::NothingToLand { tip, .. } => {
            task.collected = true;
            task.work.get_or_insert_default().tip = tip.clone();
        }
        Event::Held { reason, tip, .. } => {
            task.checking = None;
            task.check_job = None;
            task.collected = true;
            task.reason = Some(reason.clone());
            if tip.is_some() {
                task.work.get_or_insert_default().tip = tip.clone();
            }
        }
        Event::CandidateMade { landing, .. } | Event::Landed { landing, .. } => {
            task.landing = Some(landing.clone());
            task.conflicts.clear();
        }
        Event::HookRan { failure, .. } => {
            task.hook_ran = true;
            if let Some(why) = failure {
                task.reason = Some(format!("the afterLand hook failed: {why}"));
            }
        }
        Event::TargetMoved { .. } => task.landing = None,
        Event::Verified { commit, .. } => {
            task.checking = None;
            task.check_job = None;
            task.verified = Some(commit.clone());
        }
        Event::Rejected { reason, log, said, .. } => {
            task.checking = None;
            task.check_job = None;
            task.reason = Some(reason.clone());
            task.check_log = Some((log.clone(), said.clone()));
        }
        Event::PutOff { .. } => {
            task.checking = None;
            task.check_job = None;
            task.reason = task.stop.map(|_| "its landing was stopped".to_owned()).or(task.reason.take());
        }
        Event::TakenUp { .. } => {
            take_up(task);
            task.retried = true;
            task.ready = clock;
        }
        Event::Conflicted { conflicts, onto, note, .. } => {
            task.conflicts = conflicts.clone();
            task.collided_on = Some(onto.clone());
            if note.is_some() {
                task.reason = note.clone();
            }
        }
        Event::Resolved { landing, beside, .. } => {
            task.resolution = Some(landing.clone());
            task.ready = clock;
            let also = name_some(beside);
            task.reason = (!beside.is_empty()).then(|| format!("its resolver also changed {also}"));
        }
        Event::Unresolved { reason, .. } => {
            task.unresolved = true;
            task.reason = Some(reason.clone());
        }
        Event::LandRequested { all, .. } => {
            take_up(task);
            task.land_asked = true;
            task.land_named |= !all;
            task.ready = clock;
        }
        Event::RetryRequested { fresh, .. } => {
            take_up(task);
            task.fresh = *fresh;
            task.retried = true;
            task.land_asked = false;
            task.land_named = false;
            task.conflicts.clear();
            task.cleanup = None;
            task.agent = 0;
            task.limits = 0;
        }
        Event::CleanedUp { cleanup, .. } => {
            // What comes under its name once it is gone is somebody else's.
            task.worktree_created &= cleanup.worktree_kept.is_some();
            task.branch_created &= cleanup.branch_kept.is_some();
            task.cleanup = Some(cleanup.clone());
        }
        Event::PauseOver { .. } => task.rested = true,
        Event::Withheld { .. } => task.reason = Some("the run has cost as much as it may".to_owned()),
        Event::Blocked { by, .. } => task.reason = Some(format!("{by} did not land")),
        Event::Concluded { .. } | Event::CalledOff { .. } | Event::RolledBack { .. } => {}
        Event::RunStarted { .. }
        | Event::JobsReduced { .. }
        | Event::StartsHeld { .. }
        | Event::StartsFreed
        | Event::StopRequested { .. }
        | Event::StageOpening { .. }
        | Event::StageOpened { .. }
        | Event::UndoMade { .. }
        | Event::Undone { .. }
        | Event::RunFinished { .. } => {}
    }
}

/// The job of what is under way: of the task's agent, or of the check of its candidate.
fn job_of(task: &mut Task) -> &mut Option<Job> {
    if task.state == TaskState::Integrating { &mut task.check_job } else { &mut task.job }
}

/// What an attempt was that has ended, and what it means for the next.
fn count(task: &mut Task, exit: &Exit) {
    let state = exit.state();
    task.falls_back = task.cannot_start(exit) && task.agent < task.spec.fallback.len();
    task.agent += usize::from(task.falls_back);
    task.limits = if state == TaskState::RateLimited { task.limits + 1 } else { 0 };
    let failed = matches!(state, TaskState::Failed | TaskState::TimedOut) && !task.falls_back;
    task.failures += u32::from(failed);
    task.rested = task.falls_back;
}

fn begin(task: &mut Task, at: Timestamp, step: &Step) {
    match step {
        Step::Prepare { slot, base } => {
            task.slot = *slot;
            task.start = base.clone().or(task.start.take());
            task.prepared = false;
        }
        Step::Setup => task.stop_sent = None,
        Step::Start { attempt } => {
            // Begun again after a supervisor's death, it is the same attempt.
            if task.attempt != *attempt || task.started_at.is_none() {
                task.started_at = Some(at);
                task.job = None;
            }
            task.attempt = *attempt;
            task.collected = false;
            task.fresh = false;
            task.exit = None;
            task.falls_back = false;
            task.finished_at = None;
        }
        Step::Merge { onto } => {
            task.landing = None;
            task.verified = None;
            task.ahead = onto.clone();
            if task.verdict.is_some() {
                task.reason = None;
            }
        }
        Step::Verify { slot } => {
            task.checking = Some(*slot);
            task.stop_sent = None;
            task.check_log = None;
        }
        Step::Resolve { attempt } => {
            task.resolves = *attempt;
            task.stop_sent = None;
        }
        Step::Collect | Step::Publish | Step::AfterLand | Step::CleanUp => {}
    }
}

/// A settled task is taken up again: what was found about it does not hold any more.
fn take_up(task: &mut Task) {
    task.collected = false;
    task.unprepared = false;
    task.reason = None;
    task.landing = None;
    task.verdict = None;
    task.check_log = None;
    task.resolves = 0;
    task.unresolved = false;
    task.resolution = None;
    task.stop = None;
    task.stop_sent = None;
}

/// `in_line`: the task would land, as soon as its turn comes.
pub(super) fn request_stop(task: &mut Task, stop: Stop, in_line: bool) {
    match task.state {
        TaskState::Queued => task.state = TaskState::Aborted,
        // Its worktree is there, its agent was not started.
        TaskState::Preparing if task.prepared && !task.working => task.state = TaskState::Aborted,
        TaskState::Conflicted if !task.working => {}
        TaskState::Preparing | TaskState::Running | TaskState::Integrating | TaskState::Conflicted => {
            task.stop = task.stop.max(Some(stop));
        }
        TaskState::Finished if in_line => task.stop = task.stop.max(Some(stop)),
        // Not to be tried again.
        TaskState::Failed | TaskState::RateLimited | TaskState::TimedOut => {
            task.stop = task.stop.max(Some(stop));
        }
        _ => {}
    }
}
