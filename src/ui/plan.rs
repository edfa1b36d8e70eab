//! What a run is about to do, told before anything is created.

use std::collections::HashSet;

use super::look::Look;
use super::{around, text, words};
use crate::run::{AgentCall, Expected, Leftovers, Resolver, RunSpec, Strategy, TaskName, TaskSpec, Text};

/// Branches named before the rest is counted.
const MOST: usize = 6;
/// Steps of the order that are told.
const MOST_WAVES: usize = 12;

/// What a plan tells beyond the run's own record.
#[derive(Clone, Debug)]
pub struct PlanView<'a> {
    /// What is asked.
    pub spec: &'a RunSpec,
    /// The directory that the worktrees go to.
    pub worktree_dir: Text,
    /// The base as the user named it, or the target's name.
    pub base_name: Text,
    /// Tracked files with changes that are not committed (`--allow-dirty`).
    pub changed_files: usize,
    /// Tasks that may change the same paths at the same time.
    pub collisions: &'a [Expected],
}

/// The plan, for stderr: `This will` and one indented line a step.
pub fn plan(view: &PlanView, look: &Look) -> String {
    let spec = view.spec;
    let tasks: Vec<&TaskSpec> = spec.tasks.iter().filter(|t| !t.skip).collect();
    let mut steps = vec![];
    if !tasks.is_empty() {
        steps.push(create(view, &tasks, look));
        steps.extend(branches("use", &tasks, "as it is", "as they are", |t| t.reuse));
        steps.extend(branches("reset", &tasks, "and keep its old tip", "and keep their old tips", |t| {
            t.overwrite.is_some()
        }));
        steps.extend(around::before(spec, &tasks));
        steps.extend(run_agents(spec, &tasks, look));
        steps.extend(around::runners(spec, &tasks));
        steps.extend(fall_back(&tasks));
        steps.extend(order(&tasks));
        steps.extend(collisions(view.collisions));
        steps.extend(check(spec));
        steps.push(land(spec, &tasks));
        steps.extend(spec.on_conflict.as_ref().map(|resolver| {
            let by = match resolver {
                Resolver::Command(command) => text::quote(command),
                Resolver::Agent(call) => text::name(call.name.as_bytes()),
            };
            format!("have conflicts settled by {by} before you are asked to")
        }));
        steps.extend(around::hooks(spec));
        if spec.leftovers == Leftovers::Refuse {
            steps.push("hold what an agent leaves uncommitted".to_owned());
        }
        if spec.keep && spec.land {
            steps.push("keep the worktrees and branches of what landed".to_owned());
        }
    }
    let skipped: Vec<&TaskSpec> = spec.tasks.iter().filter(|t| t.skip).collect();
    steps.extend(branches("skip", &skipped, "because it exists", "because they exist", |_| true));
    if view.changed_files > 0 {
        let files = words::count(view.changed_files as u64, "changed file");
        steps.push(format!("leave your {files} alone; agents start without the changes"));
    }
    let steps: String = steps.iter().map(|step| format!("  {step}\n")).collect();
    format!("{}\n{steps}", look.bold("This will"))
}

fn create(view: &PlanView, tasks: &[&TaskSpec], look: &Look) -> String {
    let base = format!("from {} ({})", words::name(&view.base_name), view.spec.base.short());
    match tasks {
        [one] => format!("create a worktree at {} {base}", look.path(&one.worktree)),
        all => {
            let directory = look.path(&view.worktree_dir);
            let slash = if directory.ends_with(['/', '\'']) { "" } else { "/" };
            format!("create {} in {directory}{slash} {base}", words::count_of(all, "worktree"))
        }
    }
}

fn branches(
    verb: &str,
    tasks: &[&TaskSpec],
    singular: &str,
    plural: &str,
    which: impl Fn(&TaskSpec) -> bool,
) -> Option<String> {
    let names: Vec<String> = tasks.iter().filter(|t| which(t)).map(|t| words::name(&t.branch)).collect();
    let noun = if names.len() == 1 { "branch" } else { "branches" };
    let how = if names.len() == 1 { singular } else { plural };
    (!names.is_empty()).then(|| format!("{verb} {noun} {} {how}", words::listed(&names, MOST)))
}

/// Which tasks start at once, and which then, where some wait for others.
fn order(tasks: &[&TaskSpec]) -> Option<String> {
    let staged = tasks.iter().any(|task| task.stage != tasks[0].stage);
    if !staged && tasks.iter().all(|task| task.depends_on.is_empty()) {
        return None;
    }
    let mut left = tasks.to_vec();
    let mut missing: HashSet<&TaskName> = tasks.iter().map(|task| &task.name).collect();
    let mut waves = Vec::new();
    while !left.is_empty() {
        let open = left.iter().filter_map(|task| task.stage).min();
        let can = |task: &&TaskSpec| {
            task.stage.is_none_or(|stage| Some(stage) == open)
                && !task.depends_on.iter().any(|name| missing.contains(name))
        };
        let (now, later): (Vec<&TaskSpec>, Vec<&TaskSpec>) = left.into_iter().partition(can);
        if now.is_empty() {
            break;
        }
        for task in &now {
            missing.remove(&task.name);
        }
        waves.push(wave(&now));
        left = later;
    }
    let more = waves.len().saturating_sub(MOST_WAVES);
    waves.truncate(MOST_WAVES);
    if more > 0 {
        waves.push(format!("{more} more times"));
    }
    let what = if staged { "waits for" } else { "depends on" };
    Some(format!("start each when what it {what} has landed: {}", waves.join("; then ")))
}

/// The tasks that are started together, those of a group side by side.
fn wave(tasks: &[&TaskSpec]) -> String {
    let mut groups: Vec<(Option<&str>, Vec<String>)> = Vec::new();
    for task in tasks {
        let (group, name) = (task.group.as_deref(), words::task(&task.name));
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, names)) => names.push(name),
            None => groups.push((group, vec![name])),
        }
    }
    let told = groups.iter().map(|(group, names)| {
        let names = words::listed(names, MOST);
        group.map_or(names.clone(), |group| format!("{names} ({})", text::name(group.as_bytes())))
    });
    words::listed(&told.collect::<Vec<_>>(), MOST)
}

/// Pairs of tasks that may change the same paths, one line each.
fn collisions(expected: &[Expected]) -> Vec<String> {
    let line = |Expected { tasks: [one, other], paths }: &Expected| {
        let (one, other) = (words::task(one), words::task(other));
        let paths: Vec<String> = paths.iter().map(words::name).collect();
        format!("expect {one} and {other} to collide in {} (touches)", words::listed(&paths, MOST))
    };
    let mut lines: Vec<String> = expected.iter().take(MOST).map(line).collect();
    if expected.len() > MOST {
        lines.push(format!("expect {} more pairs of tasks to collide (touches)", expected.len() - MOST));
    }
    lines
}

/// The agents that take the place of one that can't be started.
fn fall_back(tasks: &[&TaskSpec]) -> Vec<String> {
    let mut lists: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for task in tasks.iter().filter(|task| !task.fallback.is_empty()) {
        let agents: Vec<String> = task.fallback.iter().map(|call| text::name(call.name.as_bytes())).collect();
        match lists.iter_mut().find(|(known, _)| *known == agents) {
            Some((_, names)) => names.push(words::task(&task.name)),
            None => lists.push((agents, vec![words::task(&task.name)])),
        }
    }
    let line = |(agents, names): &(Vec<String>, Vec<String>)| {
        format!("fall back on {} for {}", agents.join(", then "), words::listed(names, MOST))
    };
    lists.iter().map(line).collect()
}

/// What runs in the worktrees: the agent of the run, and those that tasks have of their own.
fn run_agents(spec: &RunSpec, tasks: &[&TaskSpec], look: &Look) -> Vec<String> {
    let (own, others): (Vec<&TaskSpec>, Vec<&TaskSpec>) = tasks.iter().partition(|task| task.agent.is_some());
    let mut steps = Vec::new();
    if !others.is_empty() {
        steps.push(run_agent(spec, &others, look));
    }
    let mut told: Vec<&AgentCall> = Vec::new();
    for call in own.iter().filter_map(|task| task.agent.as_ref()) {
        if told.contains(&call) {
            continue;
        }
        told.push(call);
        let names: Vec<String> =
            own.iter().filter(|t| t.agent.as_ref() == Some(call)).map(|t| words::task(&t.name)).collect();
        let command = match call.argv.get(AgentCall::SCRIPT).filter(|_| call.shell) {
            Some(script) => script.to_string(),
            None => call.argv.iter().map(text::argument).collect::<Vec<_>>().join(" "),
        };
        let how = format!(" in {}", words::listed(&names, MOST));
        let room = look.width.min(110).saturating_sub(6 + how.len()).max(30);
        steps.push(format!("run {}{how}", look.fit(&text::one_line(&command), room)));
    }
    steps
}

fn run_agent(spec: &RunSpec, tasks: &[&TaskSpec], look: &Look) -> String {
    let command = match (&spec.agent_name, spec.agent.get(AgentCall::SCRIPT)) {
        (Some(name), Some(script)) if spec.agent_shell => {
            let more = spec
                .agent
                .iter()
                .skip(AgentCall::SCRIPT + 2)
                .map(|more| format!(" {}", text::argument(more)));
            format!("{} ({}){}", text::name(name.as_bytes()), text::quote(script), more.collect::<String>())
        }
        _ => spec.agent.iter().map(text::argument).collect::<Vec<_>>().join(" "),
    };
    let timeout =
        spec.timeout().map(|time| format!(", for {} at most", words::limit(time))).unwrap_or_default();
    let jobs = spec.jobs as usize;
    let how = match tasks.len() {
        1 => format!(" in it{timeout}"),
        n if jobs == 1 => format!(" in each of the {n}, one after the other{timeout}"),
        n if jobs < n => format!(" in each, at most {jobs} at once{timeout}"),
        n => format!(" in each, {n} at once{timeout}"),
    };
    // A prompt can be long: enough of the command to know it by, and the rest of the line.
    let room = look.width.min(110).saturating_sub(6 + how.len()).max(30);
    format!("run {}{how}", look.fit(&command, room))
}

fn check(spec: &RunSpec) -> Option<String> {
    let verify = spec.verify.as_ref()?;
    let limit = verify.timeout_ms.map(std::time::Duration::from_millis);
    let limit = limit.map(|time| format!(", for {} at most", words::limit(time))).unwrap_or_default();
    let jobs = if verify.jobs > 1 { format!(", {} at once", verify.jobs) } else { String::new() };
    Some(format!("check what would land with {}{jobs}{limit}", text::quote(&verify.command)))
}

fn land(spec: &RunSpec, tasks: &[&TaskSpec]) -> String {
    if !spec.land {
        let what = if tasks.len() == 1 { "the branch" } else { "the branches" };
        return format!("leave {what} for git parallel land");
    }
    let names: Vec<String> = tasks.iter().map(|t| words::name(&t.branch)).collect();
    let when = match tasks.len() {
        1 => "when it finishes",
        _ if spec.atomic => "in one step once all have finished, or none of them",
        _ => "as they finish",
    };
    let how = match spec.strategy {
        Strategy::Merge if !spec.no_ff => "",
        Strategy::Merge => "with a merge commit",
        Strategy::FfOnly => "by fast-forward or not at all",
        Strategy::Squash => "as one commit",
        Strategy::Rebase => "rebased",
    };
    let how = match (how, tasks.len()) {
        ("", _) => String::new(),
        (how, 1) => format!(", {how}"),
        (how, _) => format!(", each {how}"),
    };
    format!("land {} on {} {when}{how}", words::listed(&names, MOST), words::name(&spec.target))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixture::{look, oid, spec};
    use super::*;

    fn told(spec: &RunSpec, changed_files: usize) -> String {
        told_with(spec, changed_files, &[])
    }

    fn told_with(spec: &RunSpec, changed_files: usize, collisions: &[Expected]) -> String {
        let worktree_dir = "/home/ann/shop.worktrees".into();
        plan(&PlanView { spec, worktree_dir, base_name: "main".into(), changed_files, collisions }, &look())
    }

    #[test]
    fn stages_fallbacks_and_collisions() {
        let mut spec = spec(&["schema", "mail", "api", "page", "docs", "free"]);
        for (task, stage, group) in [(0, 0, "infra"), (1, 0, "infra"), (2, 1, "app"), (3, 1, "app")] {
            (spec.tasks[task].stage, spec.tasks[task].group) = (Some(stage), Some(group.to_owned()));
        }
        spec.tasks[3].depends_on = vec!["api".into()];
        spec.tasks[4].stage = Some(2);
        let agent = |name: &str| AgentCall { name: name.to_owned(), ..AgentCall::default() };
        spec.tasks[0].fallback = vec![agent("codex"), agent("gemini")];
        spec.tasks[2].fallback = vec![agent("codex"), agent("gemini")];
        spec.tasks[5].fallback = vec![agent("claude")];
        let pair = |one: &str, other: &str, paths: &[&str]| Expected {
            tasks: [one.into(), other.into()],
            paths: paths.iter().map(|path| Text::from(*path)).collect(),
        };
        let mut collisions =
            vec![pair("schema", "mail", &["src/db.rs", "src/schema/"]), pair("api", "free", &["odd\n"])];
        assert_snapshot!(told_with(&spec, 0, &collisions));
        collisions.extend(vec![pair("schema", "free", &["x"]); 8]);
        assert_snapshot!(told_with(&spec, 0, &collisions));
    }

    #[test]
    fn many_tasks_one_after_the_other() {
        let names: Vec<String> = (0..1000).map(|i| format!("t{i:03}")).collect();
        let mut spec = spec(&names.iter().map(String::as_str).collect::<Vec<_>>());
        spec.tasks.iter_mut().zip(0..).for_each(|(task, stage)| task.stage = Some(stage));
        assert_snapshot!(told(&spec, 0));
    }

    #[test]
    fn the_sample_of_the_manual() {
        assert_snapshot!(told(&spec(&["auth", "docs", "billing"]), 0));
    }

    #[test]
    fn one_task_and_a_long_prompt() {
        let mut spec = spec(&["auth"]);
        spec.agent =
            vec!["claude".into(), "-p".into(), format!("Do {{task}}\nwell {}", "x".repeat(200)).into()];
        spec.timeout_ms = Some(1_800_000);
        spec.no_ff = true;
        assert_snapshot!(told(&spec, 1));
    }

    #[test]
    fn every_strategy() {
        let told_of = |strategy, names: &[&str]| {
            let spec = RunSpec { strategy, ..spec(names) };
            told(&spec, 0).lines().last().unwrap_or_default().to_owned()
        };
        let all: Vec<String> = Strategy::ALL.map(|s| told_of(s, &["auth", "docs"])).to_vec();
        assert_snapshot!(format!("{}\n{}", all.join("\n"), told_of(Strategy::Squash, &["auth"])));
    }

    #[test]
    fn many_tasks() {
        let names: Vec<String> = (0..100).map(|i| format!("t{i:02}")).collect();
        assert_snapshot!(told(&spec(&names.iter().map(String::as_str).collect::<Vec<_>>()), 0));
    }

    #[test]
    fn every_option() {
        let mut spec = spec(&["auth", "docs", "billing", "old", "older", "odd\n"]);
        spec.jobs = 1;
        spec.keep = true;
        spec.leftovers = Leftovers::Refuse;
        spec.tasks[0].reuse = true;
        spec.tasks[1].overwrite = Some(oid(7));
        spec.tasks[2].overwrite = Some(oid(8));
        spec.tasks[3].skip = true;
        spec.tasks[4].skip = true;
        assert_snapshot!(told(&spec, 2));
        spec.land = false;
        spec.jobs = 2;
        assert_snapshot!(told(&spec, 0));
    }
}
