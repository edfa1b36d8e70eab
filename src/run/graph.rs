//! Dependencies between tasks: which may start, which can't, and which first.
//!
//! There are two kinds. A task that names others starts as soon as those have landed, whatever else goes on.
//! A task of a stage starts once every task of a lower stage has: stages are barriers. Either way it starts
//! from the target as it is then; in an atomic run nothing lands before all has, so there it starts from the
//! chain of candidates.

use std::collections::{BTreeMap, HashMap};

use super::{Action, Oid, Run, Task, TaskName, TaskSpec, TaskState};

impl Run {
    /// The tasks that the task waits for.
    pub fn predecessors<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = &'a Task> {
        let lower = self.tasks.iter().filter(|other| is_before(other, task));
        task.spec.depends_on.iter().filter_map(|name| self.task(name)).chain(lower)
    }

    /// Whether the task is there for others to start from.
    fn is_there(&self, task: &Task) -> bool {
        let in_chain = self.spec.atomic && task.state == TaskState::Integrating;
        task.state.is_success() || (in_chain && self.is_proven(task))
    }

    /// The names of the groups in a stage, each once; its number where none has a name.
    pub fn groups_of(&self, stage: u32) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let tasks = self.tasks.iter().filter(|task| task.spec.stage == Some(stage));
        for name in tasks.filter_map(|task| task.spec.group.as_ref()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        if names.is_empty() { vec![stage.to_string()] } else { names }
    }

    /// The lowest stage that is not over: tasks of higher ones wait.
    pub(super) fn open_stage(&self) -> Option<u32> {
        self.tasks.iter().filter(|task| !self.is_there(task)).filter_map(|task| task.spec.stage).min()
    }

    /// Whether all that the task waits for is there to start from. `open` is the [`open_stage`](Self::open_stage).
    pub(super) fn is_ready(&self, task: &Task, open: Option<u32>) -> bool {
        let waits = task.spec.stage.zip(open).is_some_and(|(own, open)| own > open);
        let mut named = task.spec.depends_on.iter().filter_map(|name| self.task(name));
        !waits && named.all(|before| self.is_there(before))
    }

    /// The commit that a task with predecessors starts from: the target's tip with them, or in an atomic
    /// run the candidate that has them all.
    pub(super) fn start_of(&self, task: &Task) -> Option<Oid> {
        let mut predecessors = self.predecessors(task).peekable();
        predecessors.peek()?;
        let waiting = predecessors.filter(|before| before.state == TaskState::Integrating);
        let last = waiting.max_by_key(|before| before.place);
        let candidate = last.and_then(|before| before.landing.as_ref()).map(|landing| &landing.commit);
        Some(candidate.unwrap_or(&self.tip).clone())
    }

    /// The predecessor because of which the task can't start: it did not land, and does not by itself.
    pub fn blocked_by<'a>(&'a self, task: &'a Task) -> Option<&'a Task> {
        self.named_and_stuck(task).or_else(|| self.stuck_stage().filter(|before| is_before(before, task)))
    }

    fn named_and_stuck<'a>(&'a self, task: &'a Task) -> Option<&'a Task> {
        let mut named = task.spec.depends_on.iter().filter_map(|name| self.task(name));
        named.find(|before| self.is_stuck(before))
    }

    /// The task of the lowest stage that keeps all higher ones from starting.
    fn stuck_stage(&self) -> Option<&Task> {
        let stuck = self.tasks.iter().filter(|task| task.spec.stage.is_some() && self.is_stuck(task));
        stuck.min_by_key(|task| task.spec.stage)
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
    let stage = run.stuck_stage();
    let action = |task: &Task| {
        let name = task.name().clone();
        if !matches!(task.state, TaskState::Queued | TaskState::Blocked) {
            return None;
        }
        let by = run.named_and_stuck(task).or_else(|| stage.filter(|before| is_before(before, task)));
        match (task.state, by) {
            (TaskState::Queued, Some(by)) => Some(Action::Block { task: name, by: by.name().clone() }),
            (TaskState::Blocked, None) if run.takes_up => Some(Action::TakeUp { task: name }),
            _ => None,
        }
    };
    run.tasks.iter().filter_map(action).collect()
}

/// Whether `task` is of a later stage than `other`.
pub(super) fn is_before(other: &Task, task: &Task) -> bool {
    other.spec.stage.zip(task.spec.stage).is_some_and(|(before, own)| before < own)
}

/// For each task, how many tasks there are on the longest way from it to the end: those with the longest
/// start first where slots are scarce (Graham's list scheduling by critical path). Empty where nothing
/// depends on anything.
pub(super) fn heights(tasks: &[TaskSpec]) -> Vec<u32> {
    let stages: BTreeMap<u32, usize> = tasks.iter().filter_map(|task| Some((task.stage?, 0))).collect();
    if stages.len() < 2 && tasks.iter().all(|task| task.depends_on.is_empty()) {
        return Vec::new();
    }
    // Behind the tasks there is a gate at the end of each stage, which counts for nothing.
    let gates: BTreeMap<u32, usize> = stages.keys().copied().zip(tasks.len()..).collect();
    let index: HashMap<&TaskName, usize> = tasks.iter().enumerate().map(|(i, t)| (&t.name, i)).collect();
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); tasks.len() + gates.len()];
    for (i, task) in tasks.iter().enumerate() {
        before[i].extend(task.depends_on.iter().filter_map(|name| index.get(name)));
        if let Some(stage) = task.stage {
            before[gates[&stage]].push(i);
            before[i].extend(gates.range(..stage).next_back().map(|(_, gate)| *gate));
        }
    }
    for (lower, higher) in gates.values().zip(gates.values().skip(1)) {
        before[*higher].push(*lower);
    }
    from_the_end(&before, tasks.len())
}

/// The heights of the first `tasks` nodes, each the longest way over those to the end. From the last nodes
/// back, so that each edge is looked at once (Kahn); those of a cycle, which no plan has, stay at 1.
fn from_the_end(before: &[Vec<usize>], tasks: usize) -> Vec<u32> {
    let weight = |node: usize| u32::from(node < tasks);
    let mut heights: Vec<u32> = (0..before.len()).map(weight).collect();
    let mut open = vec![0_usize; before.len()];
    before.iter().flatten().for_each(|node| open[*node] += 1);
    let mut ready: Vec<usize> = (0..before.len()).filter(|node| open[*node] == 0).collect();
    while let Some(node) = ready.pop() {
        for &earlier in &before[node] {
            heights[earlier] = heights[earlier].max(heights[node] + weight(earlier));
            open[earlier] -= 1;
            if open[earlier] == 0 {
                ready.push(earlier);
            }
        }
    }
    heights.truncate(tasks);
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
        assert_eq!(heights(&spec.tasks), [2, 3, 2, 1]);
        let run = Run::new(spec);
        let first = super::super::decide(&run);
        let Action::Step { task, .. } = &first[0] else { panic!("{first:?}") };
        assert_eq!(task.0, "a", "one slot, and two could start");
    }

    #[test]
    fn stages_count_for_the_longest_way() {
        let mut spec = super::super::fixture::spec(&["a", "b", "free", "c", "d"]);
        for (task, stage) in [(0, 3), (1, 3), (3, 5), (4, 9)] {
            spec.tasks[task].stage = Some(stage);
        }
        spec.tasks[1].depends_on = vec!["free".into()];
        assert_eq!(heights(&spec.tasks), [3, 3, 4, 2, 1]);
        assert!(heights(&super::super::fixture::spec(&["a", "b"]).tasks).is_empty());
    }

    /// Many tasks, each after the one before: nothing grows with their square.
    #[test]
    fn long_lists_are_no_burden() {
        let names: Vec<String> = (0..100_000).map(|i| format!("t{i}")).collect();
        let mut spec = super::super::fixture::spec(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for (task, stage) in spec.tasks.iter_mut().zip(0..) {
            task.stage = Some(stage);
        }
        assert_eq!(heights(&spec.tasks)[0], 100_000);
    }
}
