//! What to do next: a pure look at a run.

use super::{Event, Run, Step, Stop, Task, TaskName, TaskState, atomic, graph, queue};

/// An order to a worker. Never stored; its intent ([`Action::intent`]) is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// A worker does this step for the task.
    Step {
        /// The task.
        task: TaskName,
        /// What to do.
        step: Step,
    },
    /// Pass a stop request on to the task's agent.
    Stop {
        /// The task.
        task: TaskName,
        /// How firmly.
        stop: Stop,
    },
    /// What was found of the task's candidate holds now.
    Conclude {
        /// The task.
        task: TaskName,
    },
    /// The task is not landed now.
    PutOff {
        /// The task.
        task: TaskName,
    },
    /// Nothing of an atomic run lands.
    CallOff {
        /// The task because of which.
        task: TaskName,
    },
    /// The task does not land, because another does not.
    RollBack {
        /// The task.
        task: TaskName,
    },
    /// The task can't start.
    Block {
        /// The task.
        task: TaskName,
        /// The one that it depends on, and that did not land.
        by: TaskName,
    },
    /// The task is to go after all.
    TakeUp {
        /// The task.
        task: TaskName,
    },
    /// The hook is run that comes before a stage.
    OpenStage {
        /// The stage.
        stage: u32,
    },
    /// The task is not started any more, for what the run has cost.
    Withhold {
        /// The task.
        task: TaskName,
    },
    /// Nothing is left to do.
    Finish,
}

impl Action {
    /// The event that is journalled before the action is carried out; often it is all there is to do.
    pub fn intent(&self, run: &Run) -> Event {
        match self {
            Action::Conclude { task } => Event::Concluded { task: task.clone() },
            Action::PutOff { task } => Event::PutOff { task: task.clone() },
            Action::CallOff { task } => Event::CalledOff { task: task.clone() },
            Action::RollBack { task } => Event::RolledBack { task: task.clone() },
            Action::Block { task, by } => Event::Blocked { task: task.clone(), by: by.clone() },
            Action::TakeUp { task } => Event::TakenUp { task: task.clone() },
            Action::Withhold { task } => Event::Withheld { task: task.clone() },
            Action::Step { task, step } => Event::Begun { task: task.clone(), step: step.clone() },
            Action::Stop { task, stop } => Event::StopSent { task: task.clone(), stop: *stop },
            Action::OpenStage { stage } => Event::StageOpening { stage: *stage },
            Action::Finish => Event::RunFinished { exit_code: run.exit_code() },
        }
    }
}

/// All that can be started now. To be asked again once the intents of the returned actions were applied,
/// until it returns nothing; then it does so until another event happens.
pub fn decide(run: &Run) -> Vec<Action> {
    if run.finished_at.is_some() {
        return Vec::new();
    }
    // What becomes of the whole comes first: the rest depends on it.
    for of_the_whole in [atomic::decide(run), graph::decide(run)] {
        if !of_the_whole.is_empty() {
            return of_the_whole;
        }
    }
    let mut actions: Vec<Action> = run.tasks.iter().filter_map(|task| next_step(run, task)).collect();
    // After the steps: whoever takes an agent over must be there to be told to stop it.
    actions.extend(run.tasks.iter().filter_map(stop));
    if run.spoilt_by.is_none() {
        actions.extend(queue::integrate(run));
    }
    if !run.is_called_off() {
        actions.extend(open_stage(run));
        actions.extend(prepare(run));
    }
    if actions.is_empty() && run.opening.is_none() && run.tasks.iter().all(|t| run.is_at_rest(t)) {
        actions.push(Action::Finish);
    }
    actions
}

fn stop(task: &Task) -> Option<Action> {
    let running = task.state == TaskState::Running
        || task.is_being_set_up()
        || (task.state == TaskState::Conflicted && task.working);
    let wanted = task.stop.filter(|_| running && task.stop > task.stop_sent)?;
    Some(Action::Stop { task: task.name().clone(), stop: wanted })
}

/// The step that follows for a task without regard to the others.
fn next_step(run: &Run, task: &Task) -> Option<Action> {
    if task.working {
        return None;
    }
    let step = match task.state {
        TaskState::Preparing if task.prepared && run.is_called_off() => return None,
        TaskState::Preparing
            if task.prepared && task.setup_due && run.spec.setup_here(&task.spec).is_some() =>
        {
            Step::Setup
        }
        TaskState::Preparing if task.prepared => Step::Start { attempt: task.attempt + 1 },
        TaskState::Preparing => Step::Prepare { slot: task.slot, base: task.start.clone() },
        TaskState::Running => Step::Start { attempt: task.attempt },
        TaskState::Finished
        | TaskState::Failed
        | TaskState::RateLimited
        | TaskState::TimedOut
        | TaskState::Aborted
            if task.attempt > 0 && !task.collected =>
        {
            Step::Collect
        }
        TaskState::Conflicted if run.will_resolve(task) => Step::Resolve { attempt: task.resolves + 1 },
        TaskState::Landed if run.spec.hooks.after_land.is_some() && !task.hook_ran => Step::AfterLand,
        TaskState::Landed | TaskState::Unchanged if wants_clean_up(run, task) => Step::CleanUp,
        _ => return None,
    };
    Some(Action::Step { task: task.name().clone(), step })
}

fn wants_clean_up(run: &Run, task: &Task) -> bool {
    !run.spec.keep && task.cleanup.is_none() && (task.worktree_created || task.branch_created)
}

/// How many more tasks may start before those whose agents are done must have gone further. Where agents are faster
/// than landing, that takes no longer, and the worktrees that there are at once stay few.
fn room_behind(run: &Run) -> usize {
    const ENOUGH: usize = 16;
    if run.spec.atomic {
        return usize::MAX;
    }
    let checks = run.spec.verify.as_ref().map_or(0, |verify| verify.jobs);
    let most = ENOUGH.max(2 * (run.jobs + checks) as usize);
    most.saturating_sub(run.tasks.iter().filter(|task| is_under_way(run, task)).count())
}

/// Whether the task's agent is done, and the task goes on without anything else being started.
fn is_under_way(run: &Run, task: &Task) -> bool {
    match task.state {
        TaskState::Finished => !task.collected || run.lands(task),
        TaskState::Integrating => true,
        TaskState::Landed | TaskState::Unchanged => wants_clean_up(run, task),
        _ => false,
    }
}

/// Before the first task of a stage starts, the hook for that is run.
fn open_stage(run: &Run) -> Option<Action> {
    if run.opening.is_some() || run.is_spent() || run.held_back.is_some() {
        return None;
    }
    let open = run.open_stage();
    let waits =
        |task: &&Task| task.state == TaskState::Queued && run.is_ready(task, open) && !has_opened(run, task);
    let stage = run.tasks.iter().filter(waits).filter_map(|task| task.spec.stage).min()?;
    Some(Action::OpenStage { stage })
}

/// Whether the hook before the task's stage has run, if there is one.
fn has_opened(run: &Run, task: &Task) -> bool {
    run.spec.hooks.before_group.is_none() || task.spec.stage <= run.opened
}

/// Queued tasks start while there are free slots: those first that most others wait for, else in their
/// order.
fn prepare(run: &Run) -> Vec<Action> {
    if run.is_spent() {
        let queued = run.tasks.iter().filter(|task| task.state == TaskState::Queued);
        return queued.map(|task| Action::Withhold { task: task.name().clone() }).collect();
    }
    if run.held_back.is_some() {
        return Vec::new();
    }
    let taken: Vec<u32> = run.tasks.iter().filter(|t| t.state.holds_slot()).map(|t| t.slot).collect();
    let room = (run.throttled.unwrap_or(run.jobs) as usize).saturating_sub(taken.len());
    let free = (0..run.jobs).filter(|slot| !taken.contains(slot)).take(room.min(room_behind(run)));
    let open = run.open_stage();
    let starts = |t: &Task| t.state == TaskState::Queued && run.is_ready(t, open) && has_opened(run, t);
    let waits = |t: &Task| starts(t) || run.may_try_again(t);
    let mut queued: Vec<(usize, &Task)> = run.tasks.iter().enumerate().filter(|(_, t)| waits(t)).collect();
    queued.sort_by_key(|(i, _)| std::cmp::Reverse(run.heights.get(*i)));
    let step = |((_, task), slot): ((usize, &Task), u32)| {
        let base = if task.attempt == 0 { run.start_of(task) } else { None };
        Action::Step { task: task.name().clone(), step: Step::Prepare { slot, base } }
    };
    // Where the machine is watched, it is looked at before each.
    let most = if run.spec.pacing.watches_machine() { 1 } else { usize::MAX };
    queued.into_iter().zip(free).take(most).map(step).collect()
}
