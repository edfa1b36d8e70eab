//! Conflicts that are seen coming, in words.

use jiff::Timestamp;

use super::conflicts::place;
use super::look::{Look, Mark};
use super::words;
use crate::run::{Foreseen, Run, Task};

/// `[10:30:01] auth and billing will conflict in src/db.rs`
pub(super) fn line(run: &Run, at: Timestamp, one: &Foreseen, look: &Look) -> String {
    let (task, at_paths) = (words::task(&one.task), place(&one.paths));
    let words = match &one.with {
        Some(with) => format!("{task} and {} will conflict {at_paths}", words::task(with)),
        None => format!("{task} will conflict with {} {at_paths}", words::name(&run.spec.target)),
    };
    format!("{} {}", look.dim(&format!("[{}]", look.time(at))), look.paint(Mark::Warning, &words))
}

/// What a task will conflict with: `conflict ahead with auth in src/db.rs`. Nothing that the run has passed.
pub(super) fn of_task(run: &Run, task: &Task, foreseen: &[Foreseen]) -> Option<String> {
    let mut ahead = foreseen.iter().filter(|one| one.concerns(task.name()) && one.is_ahead(run));
    let first = ahead.next()?;
    let with = match &first.with {
        None => words::name(&run.spec.target),
        Some(with) if *with == *task.name() => words::task(&first.task),
        Some(with) => words::task(with),
    };
    let more = match ahead.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("conflict ahead with {with} {}{more}", place(&first.paths)))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixture::{Story, at, look, spec};
    use super::super::json;
    use super::*;
    use crate::run::{TaskName, Text};

    fn foreseen(task: &str, with: Option<&str>, paths: &[&str]) -> Foreseen {
        let paths = paths.iter().map(|path| Text::from(*path)).collect();
        Foreseen { task: task.into(), with: with.map(TaskName::from), paths }
    }

    fn sample() -> (Story, Vec<Foreseen>) {
        let mut story = Story::new(spec(&["auth", "docs", "billing"]));
        story.start(1, "auth", 1).start(1, "billing", 2);
        let foreseen = vec![
            foreseen("billing", None, &["a", "b", "c", "d", "e"]),
            foreseen("auth", Some("billing"), &["src/db.rs"]),
            foreseen("auth", Some("docs"), &["x"]),
        ];
        (story, foreseen)
    }

    #[test]
    fn lines_and_json() {
        let (story, foreseen) = sample();
        let lines = foreseen.iter().map(|one| line(&story.run, at(9), one, &look()) + "\n");
        let json = foreseen.iter().map(|one| json::foreseen(&story.run, at(9), one));
        assert_snapshot!(lines.chain(json).collect::<String>());
    }

    #[test]
    fn each_task_has_its_own_view_of_it() {
        let (story, foreseen) = sample();
        let of = |name: &str| of_task(&story.run, story.run.task(&name.into()).unwrap(), &foreseen);
        assert_eq!(of("auth").unwrap(), "conflict ahead with billing in src/db.rs");
        assert_eq!(of("billing").unwrap(), "conflict ahead with main in a, b, c, d and 1 more and 1 more");
        assert_eq!(of("docs"), None, "it has not begun");
    }
}
