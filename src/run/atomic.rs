//! Atomic runs: all tasks land in one step, or none does.
//!
//! As soon as it is certain that one task does not land, the run is called off because of it: what still
//! goes on is stopped (or let finish, with `keep_going`), and every task that could have landed is rolled
//! back. If that one task is tried again, so are they.

use super::{Action, Run, Stop, Task, TaskState, queue};

impl Run {
    /// Whether nothing can land any more, and what goes on is to stop.
    pub fn is_called_off(&self) -> bool {
        self.spoilt_by.is_some() && !self.spec.keep_going
    }

    /// Whether the task will not land by itself, and so keeps the others from it.
    fn is_spoilt(&self, task: &Task) -> bool {
        let bad = matches!(
            task.state,
            TaskState::Failed
                | TaskState::RateLimited
                | TaskState::TimedOut
                | TaskState::Aborted
                | TaskState::Conflicted
                | TaskState::Rejected
                | TaskState::Held
        );
        bad && !task.working && !self.has_tries_left(task) && !self.will_resolve(task)
    }
}

/// No worker is busy with it, and what its agent left was looked at.
fn has_settled(task: &Task) -> bool {
    !task.working && (task.collected || task.attempt == 0)
}

/// What being atomic asks for now.
pub(super) fn decide(run: &Run) -> Vec<Action> {
    if !run.spec.atomic {
        return Vec::new();
    }
    if run.spoilt_by.is_some() {
        return run.tasks.iter().filter_map(|task| roll_back(run, task)).collect();
    }
    if let Some(task) = run.tasks.iter().find(|task| run.is_spoilt(task)) {
        return vec![Action::CallOff { task: task.name().clone() }];
    }
    let rolled_back = run.tasks.iter().filter(|task| task.state == TaskState::RolledBack);
    rolled_back.map(|task| Action::TakeUp { task: task.name().clone() }).collect()
}

fn roll_back(run: &Run, task: &Task) -> Option<Action> {
    let name = task.name().clone();
    match task.state {
        TaskState::Integrating if task.working => queue::call_off(task, false),
        TaskState::Conflicted if task.working && task.stop.max(task.stop_sent).is_none() => {
            Some(Action::Stop { task: name, stop: Stop::Term })
        }
        TaskState::Preparing | TaskState::Running
            if run.is_called_off()
                && (task.state == TaskState::Running || task.is_being_set_up())
                && task.stop.max(task.stop_sent).is_none() =>
        {
            Some(Action::Stop { task: name, stop: Stop::Term })
        }
        TaskState::Queued if run.is_called_off() || run.blocked_by(task).is_some() => {
            Some(Action::RollBack { task: name })
        }
        TaskState::Preparing if run.is_called_off() && task.prepared && !task.working => {
            Some(Action::RollBack { task: name })
        }
        TaskState::Integrating => Some(Action::RollBack { task: name }),
        TaskState::Finished if has_settled(task) => Some(Action::RollBack { task: name }),
        TaskState::Aborted if has_settled(task) && run.spoilt_by.as_ref() != Some(task.name()) => {
            Some(Action::RollBack { task: name })
        }
        _ => None,
    }
}
