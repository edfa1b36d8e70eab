//! What a plan tells of the commands and files around the agents.

use super::{text, words};
use crate::run::{RunSpec, Runner, RunnerKind, TaskSpec, Text};

/// Tasks named before the rest is counted.
const MOST: usize = 6;

/// What happens in the worktrees before the agents start.
pub(super) fn before(spec: &RunSpec, tasks: &[&TaskSpec]) -> Vec<String> {
    let mut steps = Vec::new();
    let comments = |pattern: &&Text| !pattern.as_bstr().starts_with(b"#");
    if spec.include.iter().any(|pattern| comments(&pattern)) {
        steps
            .push("bring along the ignored files that .worktreeinclude and parallel.include name".to_owned());
    }
    let mut told: Vec<&Text> = Vec::new();
    for command in tasks.iter().filter_map(|task| spec.setup_of(task)) {
        if told.contains(&command) {
            continue;
        }
        told.push(command);
        let those: Vec<&&TaskSpec> = tasks.iter().filter(|t| spec.setup_of(t) == Some(command)).collect();
        let names: Vec<String> = those.iter().map(|task| words::task(&task.name)).collect();
        let whom = match (those.len() == tasks.len(), tasks.len()) {
            (true, 1) => "it".to_owned(),
            (true, _) => "each".to_owned(),
            (false, _) => words::listed(&names, MOST),
        };
        steps.push(format!("set {whom} up with {}", text::quote(command)));
    }
    steps
}

/// What starts which agents, where that is not this machine by itself.
pub(super) fn runners(spec: &RunSpec, tasks: &[&TaskSpec]) -> Vec<String> {
    let step = |runner: &Runner| {
        let meant = |task: &&&TaskSpec| task.runner.as_ref() == Some(&runner.name);
        let names: Vec<String> = tasks.iter().filter(meant).map(|task| words::task(&task.name)).collect();
        let whom = match (names.len() == tasks.len(), tasks.len()) {
            (true, 1) => "it".to_owned(),
            (true, _) => "each".to_owned(),
            (false, _) => words::listed(&names, MOST),
        };
        let with = match &runner.kind {
            RunnerKind::Slurm { args, .. } if !args.is_empty() => {
                format!(": sbatch {}", args.iter().map(text::argument).collect::<Vec<_>>().join(" "))
            }
            RunnerKind::Prefix { argv } => {
                format!(": {}", argv.iter().map(text::argument).collect::<Vec<_>>().join(" "))
            }
            RunnerKind::Commands { submit, .. } => format!(": {}", text::quote(submit)),
            RunnerKind::Ssh(ssh) => {
                let hosts = ssh.hosts.iter().map(|host| match host.slots {
                    1 => text::one_line(&host.name),
                    slots => format!("{} ({slots} at once)", text::one_line(&host.name)),
                });
                format!(" on {}", words::listed(&hosts.collect::<Vec<_>>(), MOST))
            }
            RunnerKind::Slurm { .. } => String::new(),
        };
        (!names.is_empty()).then(|| format!("start {whom} by {}{with}", text::one_line(&runner.name)))
    };
    spec.runners.iter().filter_map(step).collect()
}

/// When which hook runs.
pub(super) fn hooks(spec: &RunSpec) -> Vec<String> {
    let hooks = &spec.hooks;
    let stages = hooks.before_group.as_ref().filter(|_| spec.tasks.iter().any(|task| task.stage.is_some()));
    [
        (stages, "before each group"),
        (hooks.after_land.as_ref().filter(|_| spec.land), "after each landing"),
        (hooks.on_finish.as_ref(), "when the run has ended"),
    ]
    .into_iter()
    .filter_map(|(hook, when)| Some(format!("run {} {when}", text::quote(hook?))))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Hooks, fixture};

    #[test]
    fn it_is_told_what_runs_when() {
        let mut spec = fixture::spec(&["a", "b", "c"]);
        let tasks: Vec<TaskSpec> = spec.tasks.clone();
        let tasks: Vec<&TaskSpec> = tasks.iter().collect();
        assert!(before(&spec, &tasks).is_empty() && hooks(&spec).is_empty());
        spec.include = vec!["# nothing yet".into()];
        assert!(before(&spec, &tasks).is_empty());
        spec.include.push(".env".into());
        let command = |text: &str| Some(Text::from(text));
        spec.hooks = Hooks {
            setup: command("npm ci"),
            before_group: command("make up"),
            after_land: command("bd close {task}"),
            on_finish: command("say 'done'"),
            notify: None,
        };
        spec.tasks[1].setup = command("make\nenv");
        spec.tasks[2].stage = Some(1);
        let tasks: Vec<&TaskSpec> = spec.tasks.iter().collect();
        insta::assert_snapshot!([before(&spec, &tasks), hooks(&spec)].concat().join("\n"), @r#"
        bring along the ignored files that .worktreeinclude and parallel.include name
        set a, c up with 'npm ci'
        set b up with $'make\nenv'
        run 'make up' before each group
        run 'bd close {task}' after each landing
        run "say 'done'" when the run has ended
        "#);
        assert_eq!(before(&spec, &tasks[..1])[1], "set it up with 'npm ci'");
    }
}
