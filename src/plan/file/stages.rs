//! Phases and groups as stages: all of one must have landed before any task of the next starts.

use super::Problem;
use super::graph::{Edge, Link};
use super::node::quoted;
use super::settings::{Phase, Settings};

/// The stage of each task, from 0. Phases go by their numbers, or else in the order they first stand in; within
/// a phase, so do its groups, and what has no group is with the first. In a plan without phases the groups are
/// the stages. What has neither has no stage.
///
/// A group alone is a mistake where others have a phase: nothing would tell when it starts.
pub(super) fn assign(tasks: &[(&Settings, &str)], problems: &mut Vec<Problem>) -> Vec<Option<u32>> {
    let mut phases: Vec<&Phase> = Vec::new();
    for phase in tasks.iter().filter_map(|(task, _)| phase(task)) {
        if !phases.contains(&phase) {
            phases.push(phase);
        }
    }
    let number = |phase: &&Phase| match phase {
        Phase::Number(number) => Some(*number),
        Phase::Name(_) => None,
    };
    if phases.iter().all(|phase| number(phase).is_some()) {
        phases.sort_by_key(number);
    }
    if phases.is_empty() {
        let groups = groups(tasks.iter().map(|(task, _)| *task));
        return tasks.iter().map(|(task, _)| place(&groups, group(task)?)).collect();
    }
    for (task, called) in tasks {
        if let (Some((name, line)), None) = (&task.group, &task.phase) {
            let what = format!(
                "{called}group: others have a phase, so {} needs one too: write 'phase', or leave 'group' out",
                quoted(name)
            );
            problems.push(Problem::at(*line, what));
        }
    }
    let mut first = 0;
    let mut stages = vec![None; tasks.len()];
    for one in phases {
        let groups = groups(tasks.iter().map(|(task, _)| *task).filter(|task| phase(task) == Some(one)));
        for ((task, _), stage) in
            tasks.iter().zip(&mut stages).filter(|((task, _), _)| phase(task) == Some(one))
        {
            let within = group(task).and_then(|group| place(&groups, group)).unwrap_or(0);
            *stage = Some(first + within);
        }
        first += u32::try_from(groups.len().max(1)).unwrap_or(u32::MAX);
    }
    stages
}

fn phase(task: &Settings) -> Option<&Phase> {
    task.phase.as_ref().map(|(phase, _)| phase)
}

fn group(task: &Settings) -> Option<&str> {
    task.group.as_ref().map(|(group, _)| group.as_str())
}

/// The groups in the order they first stand in.
fn groups<'a>(tasks: impl Iterator<Item = &'a Settings>) -> Vec<&'a str> {
    let mut groups = Vec::new();
    for group in tasks.filter_map(group) {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

fn place(groups: &[&str], group: &str) -> Option<u32> {
    groups.iter().position(|one| *one == group).and_then(|place| u32::try_from(place).ok())
}

/// As a message calls where a task stands.
fn called(task: &Settings) -> String {
    let phase = phase(task).map(|phase| match phase {
        Phase::Number(number) => format!("phase {number}"),
        Phase::Name(name) => format!("phase {}", quoted(name)),
    });
    let group = group(task).map(|group| format!("group {}", quoted(group)));
    phase.into_iter().chain(group).collect::<Vec<_>>().join(", ")
}

/// Finds tasks that depend on one of a later stage, be it through others that have no stage: neither could
/// ever start. `edges` have no cycle.
pub(super) fn check(
    links: &[Link],
    edges: &[Vec<Edge>],
    stages: &[Option<u32>],
    settings: &[&Settings],
    problems: &mut Vec<Problem>,
) {
    let latest = latest(edges, stages);
    let name = |task: usize| quoted(links[task].name.as_deref().unwrap_or("?"));
    for (task, stage) in stages.iter().enumerate() {
        let Some(stage) = stage else { continue };
        for (need, line) in &edges[task] {
            let Some((_, later)) = latest[*need].filter(|(latest, _)| latest > stage) else { continue };
            let via = if later == *need { String::new() } else { format!("{} depends on ", name(*need)) };
            let what = format!(
                "{}{}: {via}{}, which is in {} and waits for all of {}, this task's own; \
                 move one of them, or take the dependency out",
                links[task].place,
                links[task].key,
                name(later),
                called(settings[later]),
                called(settings[task]),
            );
            problems.push(Problem::at(*line, what));
        }
    }
}

/// For each task its stage, or that of the latest task that it depends on through tasks without a stage; and
/// the task that has it.
fn latest(edges: &[Vec<Edge>], stages: &[Option<u32>]) -> Vec<Option<(u32, usize)>> {
    let mut latest: Vec<Option<(u32, usize)>> =
        stages.iter().enumerate().map(|(task, stage)| stage.map(|stage| (stage, task))).collect();
    // What waits for each, and for how many it waits itself: what waits for nothing more is settled.
    let mut dependents = vec![Vec::new(); edges.len()];
    for (task, needs) in edges.iter().enumerate() {
        needs.iter().for_each(|(need, _)| dependents[*need].push(task));
    }
    let mut waits: Vec<usize> = edges.iter().map(Vec::len).collect();
    let mut ready: Vec<usize> = (0..edges.len()).filter(|task| waits[*task] == 0).collect();
    while let Some(settled) = ready.pop() {
        for &task in &dependents[settled] {
            if stages[task].is_none() {
                latest[task] = latest[task].max(latest[settled]);
            }
            waits[task] -= 1;
            if waits[task] == 0 {
                ready.push(task);
            }
        }
    }
    latest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(tasks: &[(Option<&str>, Option<&str>)]) -> (Vec<Option<u32>>, usize) {
        let settings: Vec<Settings> = tasks
            .iter()
            .map(|(phase, group)| Settings {
                phase: phase.map(|phase| {
                    (phase.parse().map_or_else(|_| Phase::Name(phase.to_owned()), Phase::Number), 1)
                }),
                group: group.map(|group| (group.to_owned(), 1)),
                ..Settings::default()
            })
            .collect();
        let tasks: Vec<(&Settings, &str)> = settings.iter().map(|settings| (settings, "")).collect();
        let mut problems = Vec::new();
        (assign(&tasks, &mut problems), problems.len())
    }

    #[test]
    fn groups_alone_are_stages_in_their_order() {
        let none = (None, None);
        assert_eq!(stages(&[none, none]).0, [None, None]);
        let (a, b) = ((None, Some("a")), (None, Some("b")));
        assert_eq!(stages(&[b, none, a, b]), (vec![Some(0), None, Some(1), Some(0)], 0));
    }

    #[test]
    fn phases_go_by_number_or_else_as_they_stand() {
        let of = |phase| (Some(phase), None);
        assert_eq!(stages(&[of("10"), of("9"), (None, None)]).0, [Some(1), Some(0), None]);
        assert_eq!(stages(&[of("10"), of("9"), of("last")]).0, [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn groups_stand_within_their_phase() {
        let of = |phase, group| (Some(phase), Some(group));
        let tasks = [of("2", "x"), of("1", "b"), of("1", "a"), (Some("1"), None), of("2", "y"), of("2", "x")];
        assert_eq!(stages(&tasks), (vec![Some(2), Some(0), Some(1), Some(0), Some(3), Some(2)], 0));
        assert_eq!(stages(&[of("1", "x"), (None, Some("x"))]), (vec![Some(0), None], 1));
    }
}
