//! Agent commands: which are known or configured, are they there, and how each is called.

mod known;
mod limits;
mod route;
mod usage;

use std::ffi::OsStr;
use std::path::PathBuf;

use bstr::ByteSlice;

use crate::plan;
use crate::run::{AgentCall, Text};

pub use known::{KNOWN, Known};
pub use limits::Limits;
pub use route::{Route, Subject, suited};
pub use usage::{UsagePatterns, usage};

/// Whether a command is on `PATH`, or an executable file where it is a path.
pub fn find(command: &OsStr) -> bool {
    which::which(command).is_ok()
}

/// The variable that tells an agent of its prompt.
const PROMPT_FILE: &[u8] = b"GIT_PARALLEL_PROMPT_FILE";

/// An agent that can be asked for by name.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its name.
    pub name: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Known(&'static Known),
    /// For `sh -c`.
    Configured(Text),
}

impl Agent {
    /// What it calls itself; `None` for a configured one.
    pub fn title(&self) -> Option<&'static str> {
        self.known().map(|known| known.title)
    }

    /// Where its arguments were looked up; `None` for a configured one.
    pub fn docs(&self) -> Option<&'static str> {
        self.known().map(|known| known.docs)
    }

    /// Whether it comes from the user's configuration.
    pub fn is_configured(&self) -> bool {
        self.known().is_none()
    }

    /// The executable to look for; `None` for a configured one, of which only the shell knows.
    pub fn program(&self) -> Option<&'static str> {
        self.known().map(|known| known.program)
    }

    /// Where its executable is.
    pub fn path(&self) -> Option<PathBuf> {
        self.program().and_then(|program| which::which(program).ok())
    }

    /// Whether it can be called, as far as that can be told: a configured one always.
    pub fn is_found(&self) -> bool {
        self.is_configured() || self.path().is_some()
    }

    /// Whether it makes no sense without a prompt.
    pub fn wants_prompt(&self) -> bool {
        match &self.kind {
            Kind::Known(_) => true,
            Kind::Configured(command) => command.as_bstr().contains_str(PROMPT_FILE),
        }
    }

    /// How it is called. `more` are arguments beside its own: they stand before the prompt, or in its place
    /// where they mention `{prompt}` or `{prompt_file}`. A configured command gets them as git's aliases do.
    pub fn call(&self, more: &[Text]) -> AgentCall {
        let mut argv: Vec<Text>;
        match &self.kind {
            Kind::Known(known) => {
                argv = vec![known.program.into()];
                argv.extend(known.options.iter().map(|option| Text::from(*option)));
                argv.extend(more.iter().cloned());
                let mentions = |name| more.iter().any(|argument| plan::mentions(argument, name));
                if !mentions("prompt") && !mentions("prompt_file") {
                    argv.extend(known.prompt.iter().map(|argument| Text::from(*argument)));
                }
            }
            Kind::Configured(command) if more.is_empty() => {
                argv = vec!["sh".into(), "-c".into(), command.clone()];
            }
            Kind::Configured(command) => {
                let mut script: Vec<u8> = command.as_bstr().trim_end().to_vec();
                script.extend_from_slice(b" \"$@\"");
                argv = vec!["sh".into(), "-c".into(), script.as_slice().into(), self.name.as_str().into()];
                argv.extend(more.iter().cloned());
            }
        }
        AgentCall { name: self.name.clone(), argv, shell: self.is_configured() }
    }

    fn known(&self) -> Option<&'static Known> {
        match self.kind {
            Kind::Known(known) => Some(known),
            Kind::Configured(_) => None,
        }
    }
}

/// The agents that can be asked for by name.
#[derive(Clone, Debug)]
pub struct Registry {
    agents: Vec<Agent>,
}

impl Registry {
    /// Those that are known, and those of the configuration: names and commands for `sh -c`. A configured one
    /// takes the place of a known one of its name.
    pub fn new(configured: Vec<(String, Text)>) -> Registry {
        let known = |known: &'static Known| Agent { name: known.name.to_owned(), kind: Kind::Known(known) };
        let mut agents: Vec<Agent> = KNOWN.iter().map(known).collect();
        for (name, command) in configured {
            let kind = Kind::Configured(command);
            match agents.iter_mut().find(|agent| agent.name == name) {
                Some(agent) => agent.kind = kind,
                None => agents.push(Agent { name, kind }),
            }
        }
        Registry { agents }
    }

    /// All of them.
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// The agent of that name.
    pub fn get(&self, name: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.name == name)
    }

    /// The name that is most like this one, if one is.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        crate::plan::nearest(name, self.agents.iter().map(|agent| agent.name.as_str()))
    }

    /// The names of those that can be called.
    pub fn found(&self) -> Vec<&str> {
        self.agents.iter().filter(|agent| agent.is_found()).map(|agent| agent.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn called(agent: &Agent, more: &[&str]) -> Vec<String> {
        let more: Vec<Text> = more.iter().map(|argument| Text::from(*argument)).collect();
        agent.call(&more).argv.iter().map(Text::to_string).collect()
    }

    fn registry() -> Registry {
        Registry::new(vec![
            ("codex".to_owned(), "codex exec - < \"$GIT_PARALLEL_PROMPT_FILE\"".into()),
            ("mine".to_owned(), "make \"$GIT_PARALLEL_TASK\"".into()),
        ])
    }

    /// A prompt is never taken for an option, a subcommand or several arguments, and it is handed over once.
    #[test]
    fn every_recipe_keeps_its_prompt_apart() {
        let names: HashSet<&str> = KNOWN.iter().map(|known| known.name).collect();
        assert_eq!(names.len(), KNOWN.len());
        for known in KNOWN {
            let placeholders = known.prompt.iter().filter(|argument| argument.contains("{prompt")).count();
            assert_eq!(placeholders, 1, "{}", known.name);
            assert!(!known.options.iter().any(|option| option.contains('{')), "{}", known.name);
            match known.prompt {
                [option] => assert!(option.starts_with("--") && option.ends_with("={prompt}"), "{option}"),
                ["--", "{prompt}"] => {}
                [option, "{prompt_file}"] => assert!(option.starts_with("--"), "{option}"),
                other => panic!("{}: {other:?}", known.name),
            }
            assert!(known.docs.starts_with("https://") && !known.may.ends_with('.'), "{}", known.name);
            for name in ["yolo", "dangerously", "skip-permissions", "danger-full-access", "allow-all"] {
                assert!(!known.options.iter().any(|option| option.contains(name)), "{}", known.name);
            }
        }
    }

    #[test]
    fn more_arguments_stand_before_the_prompt_or_in_its_place() {
        let registry = registry();
        let claude = registry.get("claude").unwrap();
        let plain = ["claude", "-p", "--permission-mode", "acceptEdits", "--", "{prompt}"];
        assert_eq!(called(claude, &[]), plain);
        let tools = called(claude, &["--allowedTools", "Bash(make *)"]);
        assert_eq!(tools[4..], ["--allowedTools", "Bash(make *)", "--", "{prompt}"]);
        assert_eq!(called(claude, &["--", "Read {prompt_file}"])[4..], ["--", "Read {prompt_file}"]);
    }

    #[test]
    fn a_configured_command_gets_arguments_as_an_alias_of_git_does() {
        let registry = registry();
        let mine = registry.get("mine").unwrap();
        assert_eq!(called(mine, &[]), ["sh", "-c", "make \"$GIT_PARALLEL_TASK\""]);
        let more = called(mine, &["-k", "{task}"]);
        assert_eq!(more, ["sh", "-c", "make \"$GIT_PARALLEL_TASK\" \"$@\"", "mine", "-k", "{task}"]);
        assert!(mine.call(&[]).shell && !registry.get("claude").unwrap().call(&[]).shell);
        assert!(!mine.wants_prompt());
        let codex = registry.get("codex").unwrap();
        assert!(codex.is_configured() && codex.wants_prompt() && codex.is_found());
    }

    #[test]
    fn a_name_that_is_nearly_known_is_found() {
        let registry = registry();
        assert_eq!(registry.nearest("cluade"), Some("claude"));
        assert_eq!(registry.nearest("gemeni"), Some("gemini"));
        assert_eq!(registry.nearest("mien"), Some("mine"));
        assert_eq!(registry.nearest("zzz"), None);
    }
}
