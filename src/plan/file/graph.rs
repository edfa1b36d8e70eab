//! How the tasks depend on each other.

use std::collections::{HashMap, HashSet};

use super::Problem;
use super::node::quoted;
use crate::plan::nearest;

/// A task as its dependencies see it.
pub(super) struct Link {
    /// Its name; also one that was refused, so that it isn't told again as unknown.
    pub name: Option<String>,
    /// What stands before messages.
    pub place: String,
    /// The key that names what it depends on.
    pub key: &'static str,
    /// Names and the lines they stand in.
    pub needs: Vec<(String, usize)>,
}

/// An edge to the task with this number, and its line.
pub(super) type Edge = (usize, usize);

/// So many cycles are told, and so many names compared with others: it costs time with each task.
const MOST_TOLD: usize = 100;

/// Finds names of no task, names that stand twice and cycles. Gives what each task depends on, if there is no
/// cycle.
pub(super) fn check(links: &[Link], problems: &mut Vec<Problem>) -> Option<Vec<Vec<Edge>>> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for (number, link) in links.iter().enumerate() {
        if let Some(name) = &link.name {
            numbers.entry(name).or_insert(number);
        }
    }
    let edges: Vec<Vec<Edge>> = links.iter().map(|link| edges(link, links, &numbers, problems)).collect();
    let before = problems.len();
    cycles(links, &edges, problems);
    (problems.len() == before).then_some(edges)
}

fn edges(
    link: &Link,
    links: &[Link],
    numbers: &HashMap<&str, usize>,
    problems: &mut Vec<Problem>,
) -> Vec<Edge> {
    let mut seen = HashSet::new();
    let mut edges = Vec::new();
    for (need, line) in &link.needs {
        let known = numbers.get(need.as_str());
        let what = if !seen.insert(need) {
            format!("{} stands twice; keep one of them", quoted(need))
        } else if link.name.as_ref() == Some(need) {
            "a task can't depend on itself; take its name out".to_owned()
        } else if let Some(number) = known {
            edges.push((*number, *line));
            continue;
        } else {
            let names = links.iter().filter_map(|link| link.name.as_deref());
            let others = names.filter(|name| link.name.as_deref() != Some(name));
            let few = problems.len() < MOST_TOLD;
            match few.then(|| nearest(need, others)).flatten() {
                Some(near) => {
                    format!("no task is called {}; did you mean {}?", quoted(need), quoted(near))
                }
                None => format!("no task is called {}; add it, or take it out", quoted(need)),
            }
        };
        problems.push(Problem::at(*line, format!("{}{}: {what}", link.place, link.key)));
    }
    edges
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Fresh,
    OnPath,
    Done,
}

/// A walk in depth, on a stack of its own: a chain may have any length. Each edge that leads back to its own
/// path closes a cycle; with all of those edges gone there is none left.
fn cycles(links: &[Link], edges: &[Vec<Edge>], problems: &mut Vec<Problem>) {
    let mut marks = vec![Mark::Fresh; links.len()];
    let mut told = 0;
    for start in 0..links.len() {
        if marks[start] != Mark::Fresh {
            continue;
        }
        marks[start] = Mark::OnPath;
        // The tasks on the path, and how many of their edges were followed.
        let mut path = vec![(start, 0)];
        while let Some((task, followed)) = path.last_mut() {
            let Some(&(next, line)) = edges[*task].get(*followed) else {
                marks[*task] = Mark::Done;
                path.pop();
                continue;
            };
            *followed += 1;
            match marks[next] {
                Mark::Fresh => {
                    marks[next] = Mark::OnPath;
                    path.push((next, 0));
                }
                Mark::OnPath => {
                    let tasks = path.iter().map(|(task, _)| *task);
                    let cycle: Vec<usize> = tasks.skip_while(|task| *task != next).collect();
                    problems.push(Problem::at(line, shown(&cycle, links)));
                    told += 1;
                    if told == MOST_TOLD {
                        return;
                    }
                }
                Mark::Done => {}
            }
        }
    }
}

fn shown(cycle: &[usize], links: &[Link]) -> String {
    const MOST: usize = 10;
    let name = |task: &usize| links[*task].name.as_deref().unwrap_or("?").escape_debug().to_string();
    let mut names: Vec<String> = cycle.iter().take(MOST).map(name).collect();
    if cycle.len() > MOST {
        names.push(format!("({} more)", cycle.len() - MOST));
    }
    names.extend(cycle.first().map(name));
    format!("tasks depend on each other in a circle: {}; take one dependency out", names.join(" -> "))
}
