//! Where agents run that do not run beside their supervisor, and what is known of their jobs there.

use serde::{Deserialize, Serialize};

use super::{Run, RunSpec, Task, TaskSpec, TaskState, Text};

/// What runs tasks elsewhere, as the configuration had it when the run started: agents can write to that.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Runner {
    /// Its name, as for `--runner`.
    pub name: String,
    /// How it is reached.
    #[serde(flatten)]
    pub kind: RunnerKind,
    /// After so many milliseconds without a sign of life a job is given up.
    pub lost_after_ms: u64,
    /// Where this program is on the machines that jobs run on.
    pub program: Text,
}

/// How a runner is reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RunnerKind {
    /// Slurm, by its commands.
    Slurm {
        /// More arguments for sbatch.
        args: Vec<Text>,
        /// Candidates are checked there, too.
        #[serde(default)]
        verify: bool,
    },
    /// Anything else, by the user's own commands for `sh -c`.
    Commands {
        /// Submits a job.
        submit: Text,
        /// Tells of all jobs.
        status: Text,
        /// Ends a job.
        #[serde(default)]
        cancel: Option<Text>,
    },
    /// A command in front of the agent's, which is run here.
    Prefix {
        /// It and its arguments.
        argv: Vec<Text>,
    },
    /// Hosts that share no files with us, by ssh.
    Ssh(Ssh),
}

/// Hosts, and how they are reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ssh {
    /// The hosts, in the order they were given.
    pub hosts: Vec<SshHost>,
    /// Where everything goes there, if not where caches go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<Text>,
    /// Names of variables that agents get as we have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub send_env: Vec<String>,
    /// What is run instead of `ssh`, for `sh -c`, as git would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Text>,
    /// Which options that understands, as in `ssh.variant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SshHost {
    /// As it was given: `[USER@]HOST`, or `ssh://[USER@]HOST[:PORT]`.
    pub name: String,
    /// Agents at once.
    pub slots: u32,
}

impl SshHost {
    /// What ssh calls it, and its port.
    pub fn destination(&self) -> (&str, Option<&str>) {
        let Some(rest) = self.name.strip_prefix("ssh://") else { return (&self.name, None) };
        let rest = rest.trim_end_matches('/');
        // The colons of an IPv6 address stand in brackets.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (rest, None),
        };
        if let (None, Some(inner)) = (host.split_once('@'), host.strip_prefix('[')) {
            return (inner.trim_end_matches(']'), port);
        }
        (host, port)
    }
}

impl Runner {
    /// The name that stands for this very machine.
    pub const LOCAL: &str = "local";

    /// Whether its jobs run on their own, away from the supervisor.
    pub fn is_far(&self) -> bool {
        !matches!(self.kind, RunnerKind::Prefix { .. })
    }

    /// The hosts, if it is about such.
    pub fn ssh(&self) -> Option<&Ssh> {
        match &self.kind {
            RunnerKind::Ssh(ssh) => Some(ssh),
            _ => None,
        }
    }

    /// Whether candidates are checked by it.
    pub fn verifies(&self) -> bool {
        matches!(self.kind, RunnerKind::Slurm { verify: true, .. })
    }
}

/// A job that was submitted, or was about to be, for an attempt of a task or for a check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// The runner's name.
    pub runner: String,
    /// The job's name there: random, and so nobody else's. Ids are used again, this is not.
    pub token: String,
    /// What the runner calls it.
    pub id: Option<String>,
    /// The machine that it runs on.
    pub host: Option<String>,
    /// Why it does not run yet, in the runner's words.
    pub waits: Option<String>,
    /// An earlier supervisor was about to submit it: nobody knows whether it has.
    pub inherited: bool,
}

impl Job {
    /// A job that is about to be submitted.
    pub fn new(runner: &str, token: &str) -> Job {
        let (runner, token) = (runner.to_owned(), token.to_owned());
        Job { runner, token, id: None, host: None, waits: None, inherited: false }
    }

    /// What people look for it by: its id, or else its token.
    pub fn name(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.token)
    }
}

impl RunSpec {
    /// What runs the task's agent, where that is not the supervisor's own machine by itself.
    pub fn runner_of(&self, task: &TaskSpec) -> Option<&Runner> {
        let name = task.runner.as_deref()?;
        self.runners.iter().find(|runner| runner.name == name)
    }

    /// What runs the task's agent, if that is away from the supervisor.
    pub fn far_runner_of(&self, task: &TaskSpec) -> Option<&Runner> {
        self.runner_of(task).filter(|runner| runner.is_far())
    }

    /// Whether other machines work in the repository, too: of their processes nobody here knows whether they live.
    pub fn works_elsewhere(&self) -> bool {
        self.tasks.iter().any(|task| self.far_runner_of(task).is_some_and(|runner| runner.ssh().is_none()))
    }

    /// The hosts that the task's agent runs on one of.
    pub fn ssh_of(&self, task: &TaskSpec) -> Option<&Ssh> {
        self.runner_of(task)?.ssh()
    }

    /// What checks candidates away from the supervisor.
    pub fn far_verifier(&self) -> Option<&Runner> {
        self.runners.iter().find(|runner| runner.verifies())
    }

    /// The command that stands in front of that of the task's agent.
    pub fn prefix_of(&self, task: &TaskSpec) -> &[Text] {
        match self.runner_of(task).map(|runner| &runner.kind) {
            Some(RunnerKind::Prefix { argv }) => argv,
            _ => &[],
        }
    }
}

impl Run {
    /// Whether the task's agent is to run elsewhere, and does not yet.
    pub fn is_in_a_queue(&self, task: &Task) -> bool {
        let started = task.job.as_ref().is_some_and(|job| job.host.is_some());
        task.state == TaskState::Running && !started && self.spec.far_runner_of(&task.spec).is_some()
    }
}
