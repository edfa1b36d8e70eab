//! Dependencies between tasks: which may start, which can't, and which first.
//!
//! There are no barriers: a task starts as soon as its own predecessors have landed, from the target as it
//! is then. In an atomic run nothing lands before all has, so there it starts from the chain of candidates.

use super::{Action, Oid, Run, Task, TaskState};

impl Run {
    /// The tasks that the task waits for.
    pub fn predecessors<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = &'a Task> {
        task.spec.depends_on.iter().filter_map(|name| self.task(name))
    }

    /// Whether all that the task waits for is there to start from.
    pub(super) fn is_ready(&self, task: &Task) -> bool {
        self.predecessors(task).all(|before| {
            let in_chain = self.spec.atomic && before.state == TaskState::Integrating;
            before.state.is_success() || (in_chain && self.is_proven(before))
        })
    }

    /// The commit that a task with predecessors starts from: the target's tip with them, or in an atomic
    /// run the candidate that has them all.
    pub(super) fn start_of(&self, task: &Task) -> Option<Oid> {
        if task.spec.depends_on.is_empty() {
            return None;
        }
        let waiting = self.predecessors(task).filter(|before| before.state == TaskState::Integrating);
        let last = waiting.max_by_key(|before| before.place);
        let candidate = last.and_then(|before| before.landing.as_ref()).map(|landing| &landing.commit);
        Some(candidate.unwrap_or(&self.tip).clone())
    }

    /// The predecessor because of which the task can't start: it did not land, and does not by itself.
    pub fn blocked_by<'a>(&'a self, task: &'a Task) -> Option<&'a Task> {
        self.predecessors(task).find(|before| self.is_stuck(before))
    }

    /// Whether the task does not land by itself, whatever is still done about it.
    fn is_stuck(&self, task: &Task) -> bool {
        match task.state {
            TaskState::Finished => self.is_at_rest(task),
            TaskState::Conflicted if task.working => false,
            state => {
                let goes_on = self.has_tries_left(task) || self.will_resolve(task);
                state.is_settled() && !state.is_success() && !goes_on
            }
        }
    }
}

/// Tasks that can't start, and tasks that can after all. (An atomic run is called off because of what they
/// depend on.)
pub(super) fn decide(run: &Run) -> Vec<Action> {
    if run.spec.atomic {
        return Vec::new();
    }
    let action = |task: &Task| {
        let name = task.name().clone();
        match (task.state, run.blocked_by(task)) {
            (TaskState::Queued, Some(by)) => Some(Action::Block { task: name, by: by.name().clone() }),
            (TaskState::Blocked, None) if run.takes_up => Some(Action::TakeUp { task: name }),
            _ => None,
        }
    };
    run.tasks.iter().filter_map(action).collect()
}

/// For each task, how many tasks there are on the longest way from it to the end: those with the longest
/// start first where slots are scarce (Graham's list scheduling by critical path). Empty where nothing
/// depends on anything.
pub(super) fn heights(run: &Run) -> Vec<usize> {
    if run.tasks.iter().all(|task| task.spec.depends_on.is_empty()) {
        return Vec::new();
    }
    let mut heights = vec![1; run.tasks.len()];
    // In a graph without cycles no way is longer than the number of tasks.
    for _ in 0..run.tasks.len() {
        let mut changed = false;
        for (i, task) in run.tasks.iter().enumerate() {
            for before in task.spec.depends_on.iter().filter_map(|name| run.index.get(name)) {
                if heights[*before] <= heights[i] {
                    heights[*before] = heights[i] + 1;
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_way_goes_first() {
        let mut spec = super::super::fixture::spec(&["short", "a", "b", "c"]);
        spec.tasks[2].depends_on = vec!["a".into()];
        spec.tasks[3].depends_on = vec!["b".into(), "short".into()];
        let run = Run::new(spec);
        assert_eq!(heights(&run), [2, 3, 2, 1]);
        let first = super::super::decide(&run);
        let Action::Step { task, .. } = &first[0] else { panic!("{first:?}") };
        assert_eq!(task.0, "a", "one slot, and two could start");
    }
}
