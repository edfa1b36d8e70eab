//! Conflicts that are seen coming while agents still work, and which of them are news.
//!
//! They are advice: no event tells of them, no state knows them, and nothing is decided by them.

use std::collections::{BTreeSet, HashMap};

use super::{Run, Task, TaskName, TaskState, Text};

/// A conflict that landing would meet as things stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Foreseen {
    /// The task.
    pub task: TaskName,
    /// The other one; `None` is the target.
    pub with: Option<TaskName>,
    /// Where; empty where only directories collide, that were renamed.
    pub paths: Vec<Text>,
}

/// What was told already.
#[derive(Default, Debug)]
pub struct Told(HashMap<(TaskName, Option<TaskName>), BTreeSet<Text>>);

/// Whether a task's branch is worth a look: somebody works on it, or it waits to land.
pub fn is_open(task: &Task) -> bool {
    use TaskState::{Conflicted, Finished, Held, Integrating, Rejected, RolledBack, Running};
    matches!(task.state, Running | Finished | Integrating | Held | Conflicted | Rejected | RolledBack)
}

/// Whether there is still time to do something about a conflict of this task that is not known anyway.
fn has_time(task: &Task) -> bool {
    matches!(task.state, TaskState::Running | TaskState::Finished | TaskState::Held | TaskState::Rejected)
}

/// Whether the target may have the task's work already.
fn has_landed(task: &Task) -> bool {
    matches!(task.state, TaskState::Integrating | TaskState::Landed)
}

impl Foreseen {
    /// Whether it is still ahead: the run may have gone on since it was found.
    pub fn is_ahead(&self, run: &Run) -> bool {
        let task = |name: &TaskName| run.task(name).filter(|task| is_open(task));
        match (task(&self.task), &self.with) {
            (None, _) => false,
            (Some(one), None) => has_time(one),
            (Some(one), Some(other)) => task(other).is_some_and(|other| has_time(one) || has_time(other)),
        }
    }

    /// Whether the task is one of the two.
    pub fn concerns(&self, task: &TaskName) -> bool {
        self.task == *task || self.with.as_ref() == Some(task)
    }
}

impl Told {
    /// Those that were not told yet, or not with all of their paths. What was foreseen of two tasks, one of
    /// which has landed since, is no news when it is foreseen of the other and the target.
    pub fn news(&mut self, run: &Run, foreseen: &[Foreseen]) -> Vec<Foreseen> {
        let mut news = Vec::new();
        for one in foreseen {
            let key = (one.task.clone(), one.with.clone());
            let mut known = self.0.get(&key).cloned();
            for ((task, with), paths) in self.0.iter().filter(|_| one.with.is_none()) {
                let other = if *task == one.task { with.as_ref() } else { Some(task) };
                let landed = other.and_then(|other| run.task(other)).is_some_and(has_landed);
                if landed && (*task == one.task || with.as_ref() == Some(&one.task)) {
                    known.get_or_insert_default().extend(paths.iter().cloned());
                }
            }
            if !known.is_some_and(|known| one.paths.iter().all(|path| known.contains(path))) {
                news.push(one.clone());
            }
            self.0.entry(key).or_default().extend(one.paths.iter().cloned());
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::fixture::spec;

    fn run(states: &[(&str, TaskState)]) -> Run {
        let names: Vec<&str> = states.iter().map(|(name, _)| *name).collect();
        let mut run = Run::new(spec(&names));
        run.tasks.iter_mut().zip(states).for_each(|(task, (_, state))| task.state = *state);
        run
    }

    fn foreseen(task: &str, with: Option<&str>, paths: &[&str]) -> Foreseen {
        let paths = paths.iter().map(|path| Text::from(*path)).collect();
        Foreseen { task: task.into(), with: with.map(TaskName::from), paths }
    }

    #[test]
    fn a_conflict_is_news_once_for_each_path() {
        let run = run(&[("a", TaskState::Running), ("b", TaskState::Running)]);
        let mut told = Told::default();
        let mut news = |paths: &[&str]| told.news(&run, &[foreseen("a", Some("b"), paths)]).len();
        assert_eq!((news(&["x"]), news(&["x"])), (1, 0));
        assert_eq!((news(&["x", "y"]), news(&["y"]), news(&["x"])), (1, 0, 0));
        assert_eq!(told.news(&run, &[]), []);
        let renamed = foreseen("b", None, &[]);
        assert_eq!(told.news(&run, std::slice::from_ref(&renamed)).len(), 1);
        assert_eq!(told.news(&run, &[renamed]).len(), 0);
    }

    #[test]
    fn a_conflict_that_landed_in_between_is_no_news() {
        let mut told = Told::default();
        let before = run(&[("a", TaskState::Running), ("b", TaskState::Running)]);
        told.news(&before, &[foreseen("a", Some("b"), &["x"])]);
        let with_target = [foreseen("b", None, &["x"])];
        let after = run(&[("a", TaskState::Landed), ("b", TaskState::Running)]);
        assert_eq!(told.news(&after, &with_target), []);
        let more = [foreseen("b", None, &["x", "y"])];
        assert_eq!(told.news(&after, &more), more);
        // With a still at work, the target is another story.
        let mut told = Told::default();
        told.news(&before, &[foreseen("a", Some("b"), &["x"])]);
        assert_eq!(told.news(&before, &with_target), with_target);
    }

    #[test]
    fn what_the_run_has_passed_is_not_ahead() {
        use TaskState::{Conflicted, Failed, Held, Integrating, Landed, Running};
        let ahead = |state| {
            let run = run(&[("a", state), ("b", Running), ("c", Conflicted)]);
            ["b", "c", ""]
                .map(|with| foreseen("a", Some(with).filter(|w| !w.is_empty()), &["x"]).is_ahead(&run))
        };
        assert_eq!(ahead(Running), [true, true, true]);
        assert_eq!(ahead(Held), [true, true, true]);
        assert_eq!(ahead(Integrating), [true, false, false]);
        assert_eq!(ahead(Conflicted), [true, false, false]);
        assert_eq!(ahead(Landed), [false, false, false]);
        assert_eq!(ahead(Failed), [false, false, false]);
    }
}
