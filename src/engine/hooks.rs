//! Hooks: commands of the user's that run in the main worktree at certain points of a run. One that fails is
//! told of, and changes nothing.
//!
//! They run one after the other, in the order in which their time comes, each under a shim of its own.

use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::{Context, Outbox, command};
use crate::plan;
use crate::run::{Event, Run, Task, Text};

/// What stands for a variable in the text of a hook. Never for its value: that could be anything, and the
/// text is a program.
const PLACEHOLDERS: [(&str, &str); 13] = [
    ("task", "${GIT_PARALLEL_TASK}"),
    ("branch", "${GIT_PARALLEL_BRANCH}"),
    ("worktree", "${GIT_PARALLEL_WORKTREE}"),
    ("base", "${GIT_PARALLEL_BASE}"),
    ("target", "${GIT_PARALLEL_TARGET}"),
    ("prompt_file", "${GIT_PARALLEL_PROMPT_FILE}"),
    ("slot", "${GIT_PARALLEL_SLOT}"),
    ("run", "${GIT_PARALLEL_RUN}"),
    ("root", "${GIT_PARALLEL_ROOT}"),
    ("group", "${GIT_PARALLEL_GROUP}"),
    ("message", "${GIT_PARALLEL_MESSAGE}"),
    ("landed", "${GIT_PARALLEL_LANDED}"),
    ("failed", "${GIT_PARALLEL_FAILED}"),
];

/// The text of a hook for the shell: `{task}` and its kin are references to variables.
pub(super) fn with_variables(text: &Text) -> Text {
    let values = PLACEHOLDERS.map(|(name, variable)| (name, Text::from(variable)));
    let values: Vec<(&'static str, &Text)> = values.iter().map(|(name, value)| (*name, value)).collect();
    plan::expand(text, &values)
}

/// Runs the hook for a task that has landed.
pub(super) async fn after_land(context: Arc<Context>, task: Task, outbox: Outbox) {
    let env = of_task(&context, &task);
    let failure = run(&context, context.spec.hooks.after_land.as_ref(), env).await;
    outbox.event(Event::HookRan { task: task.name().clone(), failure });
}

/// Runs the hook before a stage.
pub(super) async fn before_group(context: Arc<Context>, stage: u32, groups: Vec<String>, outbox: Outbox) {
    let mut env = of_run(&context);
    env.push(("GIT_PARALLEL_GROUP".to_owned(), groups.join("\n").into()));
    let failure = run(&context, context.spec.hooks.before_group.as_ref(), env).await;
    outbox.event(Event::StageOpened { stage, failure });
}

/// Runs the hook after the run's end. Gives what went wrong, for people.
pub(super) async fn on_finish(context: &Context, ended: &Run) -> Option<String> {
    let env = of_end(context, ended);
    let failure = run(context, context.spec.hooks.on_finish.as_ref(), env).await?;
    Some(format!("warning: the onFinish hook failed: {failure}"))
}

/// Runs one, if there is one; says why it failed.
async fn run(context: &Context, hook: Option<&Text>, env: Vec<(String, Text)>) -> Option<String> {
    let hook = hook?;
    let _turn = context.hooks.lock().await;
    match try_run(context, command::shell(&with_variables(hook)), env, None).await {
        Ok(failure) => failure,
        Err(e) => Some(format!("{e:#}")),
    }
}

/// Runs a command in the main worktree; says why it failed.
///
/// # Errors
/// If it can't even be tried.
pub(super) async fn try_run(
    context: &Context,
    argv: Vec<Text>,
    env: Vec<(String, Text)>,
    timeout_ms: Option<u64>,
) -> Result<Option<String>> {
    let record = context.dir.new_hook().context("cannot create its record")?;
    let root = context.spec.root.as_path();
    let spec = command::under_shim(context, &record, argv, root, env, timeout_ms);
    let exit = command::see_through(context, &spec).await?;
    Ok(command::failure(&exit, timeout_ms, &record)
        .map(|why| format!("{why} (its output: {})", record.join("output.log").display())))
}

/// What every hook finds in its environment.
pub(super) fn of_run(context: &Context) -> Vec<(String, Text)> {
    let spec = &context.spec;
    vec![
        ("GIT_PARALLEL_RUN".to_owned(), spec.id.0.as_str().into()),
        ("GIT_PARALLEL_TARGET".to_owned(), spec.target.clone()),
        ("GIT_PARALLEL_ROOT".to_owned(), spec.root.clone()),
        ("PWD".to_owned(), spec.root.clone()),
    ]
}

/// What a hook for a task finds: what its agent found, but that it is in the main worktree.
fn of_task(context: &Context, task: &Task) -> Vec<(String, Text)> {
    let mut env = context.environment(task);
    env.retain(|(name, _)| name != "GIT_CEILING_DIRECTORIES" && name != "PWD");
    env.push(("PWD".to_owned(), context.spec.root.clone()));
    env
}

/// What a hook for the end of a run finds; names stand one a line.
pub(super) fn of_end(context: &Context, ended: &Run) -> Vec<(String, Text)> {
    let names = |wanted: &dyn Fn(&Task) -> bool| -> Text {
        let names: Vec<&str> =
            ended.tasks.iter().filter(|t| wanted(t)).map(|t| t.name().0.as_str()).collect();
        names.join("\n").into()
    };
    let mut env = of_run(context);
    env.push(("GIT_PARALLEL_EXIT_CODE".to_owned(), ended.exit_code().to_string().into()));
    env.push(("GIT_PARALLEL_LANDED".to_owned(), names(&|task| task.landed().is_some())));
    env.push(("GIT_PARALLEL_FAILED".to_owned(), names(&|task| !ended.is_done(task))));
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_variables_never_values() {
        let text = with_variables(&"bd close {task} && echo {branch} '${task}' {x} awk '{print}'".into());
        let expected =
            "bd close ${GIT_PARALLEL_TASK} && echo ${GIT_PARALLEL_BRANCH} '${task}' {x} awk '{print}'";
        assert_eq!(text, expected.into());
    }
}
