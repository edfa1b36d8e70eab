//! Telling a person that the run has ended, or that it first needs them: `parallel.notify`.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Context, command, hooks};
use crate::run::{Run, Task, TaskState, Text};

/// Nobody waits longer for a notice to be given.
const PATIENCE_MS: u64 = 30_000;

/// What became of a notice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// It was given, or nobody wants any.
    Given,
    /// The terminal's bell is to ring.
    ByBell,
    /// It could not be given, for this reason.
    Not(String),
}

/// Gives a notice as it is configured; `env` is for a command of the user's.
pub(super) async fn give(context: Arc<Context>, message: String, mut env: Vec<(String, Text)>) -> Told {
    let wanted = context.spec.hooks.notify.as_ref().map(Text::to_string);
    let argv = match wanted.as_deref() {
        None | Some("bell") => return Told::ByBell,
        Some("none") => return Told::Given,
        Some("desktop") => match on_desktop(&message, |program| which::which(program).ok()) {
            Some(argv) => argv,
            None => return Told::ByBell,
        },
        Some(text) => command::shell(&hooks::with_variables(&text.into())),
    };
    env.push(("GIT_PARALLEL_MESSAGE".to_owned(), message.into()));
    match hooks::try_run(&context, argv, env, Some(PATIENCE_MS)).await {
        Ok(None) => Told::Given,
        // Nobody may be logged in there.
        _ if wanted.as_deref() == Some("desktop") => Told::ByBell,
        Ok(Some(why)) => Told::Not(why),
        Err(e) => Told::Not(format!("{e:#}")),
    }
}

/// What shows a message on the desktop; `None` where nothing can. The message is an argument, never part of a
/// program.
fn on_desktop(message: &str, find: impl Fn(&str) -> Option<PathBuf>) -> Option<Vec<Text>> {
    let script = "on run argv\ndisplay notification (item 1 of argv) with title \"git parallel\"\nend run";
    let ways: [(&str, &[&str]); 3] = [
        ("notify-send", &["--app-name=git parallel", "--", "git parallel", message]),
        ("terminal-notifier", &["-title", "git parallel", "-message", message]),
        ("osascript", &["-e", script, message]),
    ];
    ways.iter().find_map(|(program, arguments)| {
        let program = Text::from(find(program)?);
        Some(std::iter::once(program).chain(arguments.iter().map(|&argument| argument.into())).collect())
    })
}

/// Whether the run goes no further with this task without a person.
pub(super) fn needs_a_person(run: &Run, task: &Task) -> bool {
    use TaskState::{Conflicted, Failed, Held, RateLimited, Rejected, TimedOut};
    matches!(task.state, Conflicted | Rejected | Held | Failed | TimedOut | RateLimited)
        && run.is_at_rest(task)
}

/// The repository's name, for whoever has several.
pub(super) fn place(context: &Context) -> String {
    let name = context.spec.root.as_path().file_name().unwrap_or_default();
    crate::ui::name(name.as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_program_that_is_there_shows_it() {
        let there =
            |known: &'static str| move |name: &str| (name == known).then(|| PathBuf::from("/bin").join(name));
        let message = "-x \"; do shell script \"id\"";
        for known in ["notify-send", "terminal-notifier", "osascript"] {
            let argv = on_desktop(message, there(known)).unwrap();
            assert_eq!(argv[0], format!("/bin/{known}").into());
            assert_eq!(argv.last(), Some(&message.into()));
        }
        assert_eq!(on_desktop(message, |_| None), None);
    }
}
