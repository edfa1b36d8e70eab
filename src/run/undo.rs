//! What an undo comes to.

use serde::{Deserialize, Serialize};

use super::{Oid, TaskName};

/// A landing that was taken back off the target, and the commit that did it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Revert {
    /// The task that had landed.
    pub task: TaskName,
    /// The commit that takes it back.
    pub commit: Oid,
}

/// The reverts of a run's landings, and what there is nothing to revert of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prospect {
    /// The target's tip that they are made on.
    pub onto: Oid,
    /// Each on top of the one before; the latest landing comes first.
    pub reverts: Vec<Revert>,
    /// Tasks that landed and have no revert, and why.
    pub left_out: Vec<(TaskName, LeftOut)>,
}

/// Why there is nothing to revert of a landing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LeftOut {
    /// This commit has done it, and the target has it.
    Undone(Oid),
    /// Its commit is not in the target's history any more.
    Gone,
    /// Its commit is, but nothing of what it changed is left.
    Empty,
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::run::{Event, How, Landing, Record, Run, TaskState, fixture};

    fn oid(n: u8) -> Oid {
        format!("{n:02x}").repeat(20).try_into().unwrap()
    }

    fn happens(run: &mut Run, event: Event) -> bool {
        let before = run.clone();
        let applied = run.apply(&Record { at: Timestamp::UNIX_EPOCH, event }).is_ok();
        assert!(applied || *run == before, "what is refused changes nothing");
        applied
    }

    /// A run that is over: `a` has landed, `b` has failed.
    fn over() -> Run {
        let mut run = Run::new(fixture::spec(&["a", "b"]));
        for task in &mut run.tasks {
            task.state = TaskState::Failed;
            task.collected = true;
        }
        run.tasks[0].state = TaskState::Landed;
        let landing = Landing { onto: oid(0), tip: oid(1), commit: oid(2), how: How::Merge, settled: None };
        run.tasks[0].landing = Some(landing);
        assert!(happens(&mut run, Event::RunFinished { exit_code: 1 }));
        run
    }

    fn reverts(task: &str, commit: u8) -> Vec<Revert> {
        vec![Revert { task: task.into(), commit: oid(commit) }]
    }

    #[test]
    fn an_undo_opens_the_run_until_its_end_is_recorded_again() {
        let mut run = over();
        let (code, tip) = (run.exit_code(), run.tip.clone());
        assert!(happens(&mut run, Event::UndoMade { reverts: reverts("a", 3) }));
        assert!(run.finished_at.is_none() && run.undoing.is_some() && run.tasks[0].undone.is_none());
        // The target moved meanwhile.
        assert!(happens(&mut run, Event::UndoMade { reverts: reverts("a", 4) }));
        assert_eq!(run.tip, tip);
        assert!(happens(&mut run, Event::Undone { reverts: reverts("a", 4) }));
        assert!(happens(&mut run, Event::RunStarted { pid: 1 }), "it died, and was taken up");
        assert!(happens(&mut run, Event::RunFinished { exit_code: 1 }));
        assert_eq!((run.tasks[0].state, &run.tasks[0].undone), (TaskState::Landed, &Some(oid(4))));
        assert_eq!((run.tip.clone(), run.exit_code()), (oid(4), code));
        assert!(run.finished_at.is_some() && run.undoing.is_none());
        // Somebody reset the target since, and it is undone once more.
        assert!(happens(&mut run, Event::UndoMade { reverts: reverts("a", 5) }));
    }

    #[test]
    fn what_has_not_landed_or_goes_on_is_not_undone() {
        for (task, commit) in [("b", 3), ("none", 3)] {
            assert!(!happens(&mut over(), Event::UndoMade { reverts: reverts(task, commit) }));
        }
        assert!(!happens(&mut over(), Event::UndoMade { reverts: Vec::new() }));
        assert!(!happens(&mut over(), Event::Undone { reverts: reverts("a", 3) }), "it was not made");
        let mut going = over();
        assert!(happens(&mut going, Event::RunStarted { pid: 1 }));
        assert!(!happens(&mut going, Event::UndoMade { reverts: reverts("a", 3) }));
    }
}
