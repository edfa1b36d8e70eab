//! What was asked: a run and its tasks, as `run.json` keeps them.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Oid, Pacing, Runner, Text};

/// Identifies a run: the time it started in UTC and four random characters, `20261120-143201-k3f9`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

/// A task's name as the user gave it; checked by `plan` before it gets here.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskName(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for TaskName {
    fn from(value: &str) -> Self {
        TaskName(value.to_owned())
    }
}

/// What to do with uncommitted work of an agent that exited 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leftovers {
    /// Commit all that git does not ignore.
    #[default]
    Commit,
    /// Hold the task for a person.
    Refuse,
}

/// How finished work lands on the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// By fast-forward when possible, else by a merge commit.
    #[default]
    Merge,
    /// By fast-forward, or not at all.
    FfOnly,
    /// As one commit on top of the target.
    Squash,
    /// Commit by commit, on top of the target.
    Rebase,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Strategy; 4] = [Strategy::Merge, Strategy::FfOnly, Strategy::Squash, Strategy::Rebase];

    /// The strategy's name, as for `--strategy`.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Merge => "merge",
            Strategy::FfOnly => "ff-only",
            Strategy::Squash => "squash",
            Strategy::Rebase => "rebase",
        }
    }
}

/// The check that a candidate must pass before it may land.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verify {
    /// For `sh -c`.
    pub command: Text,
    /// Checks at once.
    pub jobs: u32,
    /// How often a check that fails is run again.
    pub retries: u32,
    /// How long a check may run, in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// An agent, and how it is called.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AgentCall {
    /// Its name; empty if it was given as a command.
    pub name: String,
    /// The argument vector, with its placeholders.
    pub argv: Vec<Text>,
    /// The third argument is a command of the user's for `sh -c`: nothing is replaced in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shell: bool,
}

impl AgentCall {
    /// Where the command stands in a shell's argument vector.
    pub const SCRIPT: usize = 2;
}

/// What settles conflicts before a person is asked to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Resolver {
    /// A command for `sh -c`.
    Command(Text),
    /// An agent that is given a prompt.
    Agent(AgentCall),
}

/// Commands of the user's that run at certain points of a run, each for `sh -c`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Hooks {
    /// In each new worktree, before its agent; if it fails, so does the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<Text>,
    /// In the main worktree, before the first task of a group starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_group: Option<Text>,
    /// In the main worktree, after a task has landed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_land: Option<Text>,
    /// In the main worktree, after the run's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_finish: Option<Text>,
    /// How a person is told that the run has ended or needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Text>,
}

impl Hooks {
    fn is_empty(&self) -> bool {
        *self == Hooks::default()
    }
}

/// What holds a finished task for a person: it lands if somebody names it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Gates {
    /// The most bytes that a file may have which the task adds or changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_file_size: Option<u64>,
    /// Pathspecs of what no task changes unseen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protected: Vec<Text>,
}

/// How files are made that are generated from others, and so are not to be merged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Regenerate {
    /// Its name in the configuration.
    pub name: String,
    /// Pathspecs of the files.
    pub patterns: Vec<Text>,
    /// What makes them, for `sh -c` in a checkout of the merge.
    pub cmd: String,
    /// How long that may take, in milliseconds.
    pub timeout_ms: u64,
}

/// What was asked: written once as `run.json` when the run starts, never changed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RunSpec {
    /// The version of this record's format ([`RunSpec::VERSION`]).
    pub version: u32,
    /// The run's id.
    pub id: RunId,
    /// When the run started.
    pub started_at: Timestamp,
    /// Short name of the branch that finished work lands on, such as `main`.
    pub target: Text,
    /// The commit that task branches start from.
    pub base: Oid,
    /// The main worktree, or the git directory of a bare repository.
    pub root: Text,
    /// The agent's argument vector, with its placeholders.
    pub agent: Vec<Text>,
    /// The name that the agent was asked for by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<String>,
    /// See [`AgentCall::shell`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agent_shell: bool,
    /// Agents at once.
    pub jobs: u32,
    /// How finished work lands.
    #[serde(default)]
    pub strategy: Strategy,
    /// Never fast-forward: every landing is a merge commit. Goes with [`Strategy::Merge`] alone.
    pub no_ff: bool,
    /// Land finished branches; off with `--no-land`.
    pub land: bool,
    /// Keep worktrees and branches of landed tasks.
    pub keep: bool,
    /// What happens to uncommitted work of an agent that exited 0.
    pub leftovers: Leftovers,
    /// How long an agent may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How often an agent that fails is started again.
    #[serde(default)]
    pub retries: u32,
    /// The check of the merged result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// Settles conflicts before a person is asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<Resolver>,
    /// All tasks land in one step, or none.
    #[serde(default)]
    pub atomic: bool,
    /// In an atomic run, the others finish their work after one has failed.
    #[serde(default)]
    pub keep_going: bool,
    /// What holds a finished task.
    #[serde(default)]
    pub gates: Gates,
    /// Files that are made anew instead of merged.
    #[serde(default)]
    pub regenerate: Vec<Regenerate>,
    /// Patterns as in `.gitignore`: which ignored files of the main worktree each new one gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<Text>,
    /// Regular expressions that find what an agent says it used, where it says so in words of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usage_patterns: Vec<Text>,
    /// What holds new starts back.
    #[serde(default)]
    pub pacing: Pacing,
    /// The user's commands at certain points.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// What runs tasks elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runners: Vec<Runner>,
    /// The tasks, in the order they were given.
    pub tasks: Vec<TaskSpec>,
}

impl RunSpec {
    /// The format that this version writes and the newest one that it reads. Whoever reads only 1 knows of
    /// no check, and would land without it; whoever reads only 2 would start agents here that are at work elsewhere.
    pub const VERSION: u32 = 3;

    /// How long an agent may run.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }

    /// What is run in a task's new worktree before its agent.
    pub fn setup_of<'a>(&'a self, task: &'a TaskSpec) -> Option<&'a Text> {
        let setup = task.setup.as_ref().or(self.hooks.setup.as_ref());
        setup.filter(|command| !command.as_bstr().trim_ascii().is_empty())
    }

    /// The same, where the supervisor runs it: on a host it is run with the agent.
    pub fn setup_here<'a>(&'a self, task: &'a TaskSpec) -> Option<&'a Text> {
        self.setup_of(task).filter(|_| self.ssh_of(task).is_none())
    }

    /// The target's full ref name.
    pub fn target_ref(&self) -> Text {
        full_branch_name(&self.target)
    }
}

/// One task, as it was asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The task's name.
    pub name: TaskName,
    /// Short name of its branch, such as `feature/auth`.
    pub branch: Text,
    /// Absolute path of its worktree.
    pub worktree: Text,
    /// Its prompt, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Where in the prompt that begins in bytes in which nothing is replaced: what tasks agree on is the same for
    /// all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub literal_from: Option<usize>,
    /// The branch existed before the run and is used as it is (`--existing reuse`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuse: bool,
    /// Its worktree existed too, and is used as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuse_worktree: bool,
    /// The branch existed, and its old tip is pinned before it is reset (`--existing overwrite`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<Oid>,
    /// Tasks that must have landed before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskName>,
    /// Its agent, where that is not the run's; without a name where it was given as a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentCall>,
    /// Agents that take its place, one after the other, if it can't be started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<AgentCall>,
    /// The group that it belongs to, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its stage: it waits until every task of a lower one has landed. Without one it waits for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<u32>,
    /// Pathspecs of what it is expected to change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub touches: Vec<Text>,
    /// Takes the place of [`Hooks::setup`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<Text>,
    /// The commit that its branch starts from, where that is not the run's base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Oid>,
    /// How long its agent may run, in milliseconds, where that is not as for the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How often its agent is started again if it fails, where that is not as for the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Environment variables for its agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, Text)>,
    /// The name of what runs its agent; `None` is the supervisor's own machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// The task is not started, because its branch or worktree was there (`--existing skip`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip: bool,
}

impl TaskSpec {
    /// The branch's full ref name.
    pub fn branch_ref(&self) -> Text {
        full_branch_name(&self.branch)
    }
}

/// The full ref name of a branch: `refs/heads/` and its short name.
pub fn full_branch_name(short: &Text) -> Text {
    let mut full = b"refs/heads/".to_vec();
    full.extend_from_slice(short.as_bstr());
    Text::from(full.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::fixture::spec;

    #[test]
    fn a_record_from_before_there_were_strategies_is_read() {
        let mut json = serde_json::to_value(spec(&["a"])).unwrap();
        let without = json.as_object_mut().unwrap();
        assert_eq!(without.remove("strategy"), Some("merge".into()));
        let read: RunSpec = serde_json::from_value(json).unwrap();
        assert_eq!(read.strategy, Strategy::Merge);
    }

    /// A record from before agents could settle conflicts holds the command alone.
    #[test]
    fn resolvers_come_back_as_they_were() {
        let call =
            |shell| AgentCall { name: "mine".to_owned(), argv: vec!["sh".into(), "{prompt}".into()], shell };
        let bytes = Text::from(&b"\xff"[..]);
        let commands = ["./settle".into(), bytes].map(Resolver::Command);
        for resolver in commands.into_iter().chain([false, true].map(|shell| Resolver::Agent(call(shell)))) {
            let spec = RunSpec { on_conflict: Some(resolver), ..spec(&["a"]) };
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<RunSpec>(&json).unwrap(), spec, "{json}");
        }
        let mut json = serde_json::to_value(spec(&["a"])).unwrap();
        json["on_conflict"] = "./settle".into();
        let read: RunSpec = serde_json::from_value(json).unwrap();
        assert_eq!(read.on_conflict, Some(Resolver::Command("./settle".into())));
        assert_eq!((read.agent_name, read.agent_shell), (None, false));
    }

    #[test]
    fn strategies_are_recorded_by_name() {
        for strategy in Strategy::ALL {
            assert_eq!(serde_json::to_value(strategy).unwrap(), strategy.name());
        }
    }
}
