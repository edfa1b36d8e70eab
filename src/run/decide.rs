//! What to do next: a pure look at a run.

use super::{Event, Run, Step, Stop, Task, TaskName, TaskState};

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
    /// Nothing is left to do.
    Finish,
}

impl Action {
    /// The event that is journalled before the action is carried out.
    pub fn intent(&self, run: &Run) -> Event {
        match self {
            Action::Step { task, step } => Event::Begun { task: task.clone(), step: step.clone() },
            Action::Stop { task, stop } => Event::StopSent { task: task.clone(), stop: *stop },
            Action::Finish => Event::RunFinished { exit_code: run.exit_code() },
        }
    }
}

/// All that can be started now. After the intents of the returned actions were applied, it returns
/// nothing until another event happens.
pub fn decide(run: &Run) -> Vec<Action> {
    if run.finished_at.is_some() {
        return Vec::new();
    }
    let mut actions: Vec<Action> = run.tasks.iter().filter_map(|task| next_step(run, task)).collect();
    // After the steps: whoever takes an agent over must be there to be told to stop it.
    actions.extend(run.tasks.iter().filter_map(stop));
    actions.extend(merge(run));
    actions.extend(prepare(run));
    if actions.is_empty() && run.tasks.iter().all(|t| run.is_at_rest(t)) {
        actions.push(Action::Finish);
    }
    actions
}

fn stop(task: &Task) -> Option<Action> {
    let wanted = task.stop.filter(|_| task.state == TaskState::Running && task.stop > task.stop_sent)?;
    Some(Action::Stop { task: task.name().clone(), stop: wanted })
}

/// The step that follows for a task without regard to the others.
fn next_step(run: &Run, task: &Task) -> Option<Action> {
    if task.working {
        return None;
    }
    let step = match task.state {
        TaskState::Preparing if task.prepared => Step::Start { attempt: task.attempt + 1 },
        TaskState::Preparing => Step::Prepare { slot: task.slot },
        TaskState::Running => Step::Start { attempt: task.attempt },
        TaskState::Finished | TaskState::Failed | TaskState::TimedOut | TaskState::Aborted
            if task.attempt > 0 && !task.collected =>
        {
            Step::Collect
        }
        TaskState::Integrating if task.landing.is_some() => Step::Publish,
        TaskState::Integrating => Step::Merge,
        TaskState::Landed | TaskState::Unchanged if wants_clean_up(run, task) => Step::CleanUp,
        _ => return None,
    };
    Some(Action::Step { task: task.name().clone(), step })
}

fn wants_clean_up(run: &Run, task: &Task) -> bool {
    !run.spec.keep && task.cleanup.is_none() && (task.worktree_created || task.branch_created)
}

/// Work lands one at a time, in the order in which it became ready.
fn merge(run: &Run) -> Option<Action> {
    if run.tasks.iter().any(|t| t.state == TaskState::Integrating) {
        return None;
    }
    let ready = |t: &&Task| t.state == TaskState::Finished && t.collected && !t.working && run.lands(t);
    let first = run.tasks.iter().filter(ready).min_by_key(|t| t.ready)?;
    Some(Action::Step { task: first.name().clone(), step: Step::Merge })
}

/// Queued tasks start in their order while there are free slots.
fn prepare(run: &Run) -> Vec<Action> {
    let taken: Vec<u32> = run.tasks.iter().filter(|t| t.state.holds_slot()).map(|t| t.slot).collect();
    let free = (0..run.jobs).filter(|slot| !taken.contains(slot));
    let queued = run.tasks.iter().filter(|t| t.state == TaskState::Queued || run.will_retry(t));
    queued
        .zip(free)
        .map(|(task, slot)| Action::Step { task: task.name().clone(), step: Step::Prepare { slot } })
        .collect()
}
