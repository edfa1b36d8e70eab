//! What an undo came to, or would come to.

use super::look::{self, Look, pad};
use super::{text, words};
use crate::run::{LeftOut, Prospect, Run, TaskName};

/// The reverts of a run's landings, and what was left out. `trial`: they were not published. `check` is
/// what would have to pass first.
pub fn undo(run: &Run, prospect: &Prospect, trial: bool, check: Option<&str>, look: &Look) -> String {
    let target = words::name(&run.spec.target);
    let names = look::name_width(run.tasks.iter());
    let row = |task: &TaskName, what: &str| format!("  {}  {what}\n", pad(&words::task(task), names));
    let last = prospect.reverts.last();
    let mut lines = String::new();
    match last {
        Some(_) if trial => {
            let at = prospect.onto.short();
            lines.push_str(&format!("This would revert on {target} (at {at}), the latest landing first:\n"));
        }
        Some(last) => lines.push_str(&format!("Reverted on {target}, now at {}:\n", last.commit.short())),
        None => lines.push_str(&format!("Nothing is left to undo on {target}:\n")),
    }
    for revert in &prospect.reverts {
        let landing = run.task(&revert.task).map(words::landing).unwrap_or_default();
        lines.push_str(&row(&revert.task, &landing));
    }
    if last.is_some() && !prospect.left_out.is_empty() {
        lines.push_str("Left alone:\n");
    }
    for (task, why) in &prospect.left_out {
        let landed = run.task(task).and_then(|task| task.landed()).map(|l| l.commit.short());
        let why = match why {
            LeftOut::Undone(commit) => format!("undone by {}", commit.short()),
            LeftOut::Gone => format!("its landing {} is not on {target}", landed.unwrap_or_default()),
            LeftOut::Empty => format!("nothing of its landing {} is left", landed.unwrap_or_default()),
        };
        lines.push_str(&row(task, &why));
    }
    match last {
        Some(_) if trial => {
            lines.extend(check.map(|check| format!("if the result passes: {}\n", text::one_line(check))));
        }
        Some(last) => {
            let (old, new) = (prospect.onto.short(), last.commit.short());
            let command = format!("git revert {old}..{new}   on {target} brings it all back");
            lines.push_str(&look.next_line(&command));
        }
        None => {}
    }
    lines
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixture::{Story, look, oid, spec};
    use super::*;
    use crate::run::{Event, How, Revert};

    fn landed() -> Story {
        let mut story = Story::new(spec(&["auth", "docs", "billing", "x"]));
        for (i, name) in ["auth", "docs", "billing", "x"].into_iter().enumerate() {
            story.start(1, name, 100 + i as u32).finish(9, name, 2).land(10, name, How::Merge);
        }
        story.end(11);
        story
    }

    fn prospect(reverts: &[(&str, u32)], left_out: Vec<(TaskName, LeftOut)>) -> Prospect {
        let revert = |(task, n): &(&str, u32)| Revert { task: (*task).into(), commit: oid(*n) };
        Prospect { onto: oid(0x1a2b3c4), reverts: reverts.iter().map(revert).collect(), left_out }
    }

    #[test]
    fn what_was_done_and_what_was_not() {
        let mut story = landed();
        let left = vec![("billing".into(), LeftOut::Gone), ("x".into(), LeftOut::Empty)];
        let prospect = prospect(&[("docs", 0xd0c5), ("auth", 0xa47)], left);
        let before = undo(&story.run, &prospect, true, Some("make\ntest"), &look());
        story.event(12, Event::UndoMade { reverts: prospect.reverts.clone() });
        story.event(12, Event::Undone { reverts: prospect.reverts.clone() }).end(12);
        let after = undo(&story.run, &prospect, false, None, &look());
        assert_snapshot!(format!("{before}\n{after}"), @r"
        This would revert on main (at 1a2b3c4), the latest landing first:
          docs     merge, 2 commits, 3 files +40 -2
          auth     merge, 2 commits, 3 files +40 -2
        Left alone:
          billing  its landing 000beef is not on main
          x        nothing of its landing 000beef is left
        if the result passes: make; test

        Reverted on main, now at 0000a47:
          docs     by 000d0c5, merge, 2 commits, 3 files +40 -2
          auth     by 0000a47, merge, 2 commits, 3 files +40 -2
        Left alone:
          billing  its landing 000beef is not on main
          x        nothing of its landing 000beef is left
          → git revert 1a2b3c4..0000a47   on main brings it all back
        ");
    }

    #[test]
    fn nothing_is_left() {
        let left = vec![("auth".into(), LeftOut::Undone(oid(0xa47)))];
        assert_snapshot!(undo(&landed().run, &prospect(&[], left), false, None, &look()), @r"
        Nothing is left to undo on main:
          auth     undone by 0000a47
        ");
    }
}
