//! What a run is about to do, told before anything is created.

use super::look::Look;
use super::{around, text, words};
use crate::run::{AgentCall, Leftovers, Resolver, RunSpec, Strategy, TaskName, TaskSpec, Text};

/// Branches named before the rest is counted.
const MOST: usize = 6;

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
        steps.extend(order(&tasks));
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

/// Which tasks start at once, and which then, where some depend on others.
fn order(tasks: &[&TaskSpec]) -> Option<String> {
    if tasks.iter().all(|task| task.depends_on.is_empty()) {
        return None;
    }
    let mut started: Vec<&TaskSpec> = Vec::new();
    let mut waves = Vec::new();
    loop {
        let is_there = |name: &TaskName| {
            started.iter().any(|t| t.name == *name) || !tasks.iter().any(|t| t.name == *name)
        };
        let can = |task: &&&TaskSpec| {
            !started.iter().any(|t| t.name == task.name) && task.depends_on.iter().all(is_there)
        };
        let wave: Vec<&TaskSpec> = tasks.iter().filter(can).copied().collect();
        if wave.is_empty() {
            break;
        }
        let names: Vec<String> = wave.iter().map(|task| words::task(&task.name)).collect();
        waves.push(words::listed(&names, MOST));
        started.extend(wave);
    }
    Some(format!("start each when what it depends on has landed: {}", waves.join("; then ")))
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
        let worktree_dir = "/home/ann/shop.worktrees".into();
        plan(&PlanView { spec, worktree_dir, base_name: "main".into(), changed_files }, &look())
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
