//! The tables of a plan and their keys: what the checks, their messages and the JSON Schema all go by.

use crate::run::Strategy;

/// A table that plans have.
pub(super) struct Shape {
    /// As a message calls it.
    pub name: &'static str,
    /// Its keys; tables share some.
    pub keys: &'static [&'static [Key]],
    /// Keys that it can't do without.
    pub required: &'static [&'static str],
    /// Two keys that exclude each other, and why.
    pub either: &'static [(&'static str, &'static str, &'static str)],
    /// Keys of other tables, and what to do about them.
    pub elsewhere: &'static [(&'static [Key], &'static str)],
}

/// A key of a table.
pub(super) struct Key {
    pub name: &'static str,
    pub value: Value,
    /// What it is for, as an editor shows it.
    pub what: &'static str,
}

/// What the value of a key may be.
#[derive(Clone, Copy)]
pub(super) enum Value {
    /// Any text.
    Text,
    /// Text with something in it.
    Word,
    /// A task's name.
    Name,
    /// A length of time.
    Time,
    /// `true` or `false`.
    Flag,
    /// A whole number between these, both included.
    Whole(u32, u32),
    /// A word or a whole number.
    Phase,
    /// One of the strategies.
    Strategy,
    /// A list of words, each different.
    Words,
    /// A list of words, or one alone.
    WordOrWords,
    /// Text for the shell, or a list of arguments.
    Command,
    /// Variables and their texts.
    Variables,
    /// A table.
    Table(&'static Shape),
    /// A list of tables, at least one.
    Tables(&'static Shape),
}

impl Shape {
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static Key> + Clone {
        self.keys.iter().flat_map(|keys| keys.iter())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.keys().map(|key| key.name)
    }

    /// The numbers that this key may have.
    pub(super) fn range(&self, name: &str) -> (u32, u32) {
        match self.keys().find(|key| key.name == name).map(|key| key.value) {
            Some(Value::Whole(least, most)) => (least, most),
            _ => (0, u32::MAX),
        }
    }
}

const fn key(name: &'static str, value: Value, what: &'static str) -> Key {
    Key { name, value, what }
}

/// What every strategy is called.
pub(super) fn strategies() -> [&'static str; Strategy::ALL.len()] {
    Strategy::ALL.map(Strategy::name)
}

const TASKS: &[Key] = &[
    key("tasks", Value::Tables(&TASK), "The tasks, in their order."),
    key("task", Value::Tables(&TASK), "The tasks, as [[task]] in TOML."),
];

const OF_ALL: &[Key] = &[key("defaults", Value::Table(&DEFAULTS), "What tasks have that say nothing else.")];

const RUN: &[Key] = &[
    key("target", Value::Word, "The branch that finished work lands on."),
    key("jobs", Value::Whole(1, 1000), "Agents at once."),
    key("strategy", Value::Strategy, "How finished work lands."),
    key("verify", Value::Text, "Command for 'sh -c' that what would land must pass."),
    key("atomic", Value::Flag, "All tasks land in one step, or none."),
    key("hooks", Value::Table(&HOOKS), "Commands that run at certain points of the run."),
    key("contracts", Value::Tables(&CONTRACT), "Interfaces that tasks agree on; each is told its part."),
    key("contract", Value::Tables(&CONTRACT), "The contracts, as [[contract]] in TOML."),
];

const EDITOR: &[Key] = &[key("$schema", Value::Text, "The schema of this file, for editors.")];

const CRITERIA: &[Key] =
    &[key("completion_criteria", Value::WordOrWords, "When the work is done; the prompts say so.")];

const OWN: &[Key] = &[
    key("name", Value::Name, "The task's name; its branch and worktree are called so."),
    key("depends_on", Value::WordOrWords, "Tasks that must have landed before it starts."),
];

const PROMPT: &[Key] = &[
    key("prompt", Value::Text, "What the agent is to do."),
    key("prompt_file", Value::Word, "File that holds the prompt; its path starts at the plan."),
];

const SETTINGS: &[Key] = &[
    key("agent", Value::Word, "An agent that is known by this name, or 'auto'."),
    key("command", Value::Command, "The agent's command: text for 'sh -c', or a list of arguments."),
    key("fallback", Value::WordOrWords, "Agents that take its place, one after the other."),
    key(
        "runner",
        Value::Word,
        "Where its agent runs: 'local', 'slurm', or a name that the configuration has.",
    ),
    key("group", Value::Word, "The group that it belongs to; groups start one after the other."),
    key("phase", Value::Phase, "The phase that it belongs to; phases start one after the other."),
    key("touches", Value::WordOrWords, "Pathspecs of what it is expected to change."),
    key("setup", Value::Word, "Command for 'sh -c' in its worktree, before its agent."),
    key("base", Value::Word, "Commit that its branch starts from."),
    key("timeout", Value::Time, "How long its agent may run, such as 90s, 30m or 2h."),
    key("retries", Value::Whole(0, 100), "How often its agent is started again if it fails."),
    key("env", Value::Variables, "Environment variables for its agent."),
    key("labels", Value::Words, "Words for whoever reads GIT_PARALLEL_LABELS."),
];

/// No key of ours, but one that is looked for.
const PHASES: &[Key] = &[key("phases", Value::Words, "")];

const OF_THE_RUN: &str = "it is for the whole run: write it at the top of the plan, before any task";
const ONE_PROMPT: (&str, &str, &str) =
    ("prompt", "prompt_file", "a task has one prompt: keep 'prompt' or 'prompt_file'");
const ONE_AGENT: (&str, &str, &str) =
    ("agent", "command", "'agent' names one that is known, 'command' says how to call one; keep one of them");

pub(super) static PLAN: Shape = Shape {
    name: "a plan",
    keys: &[TASKS, OF_ALL, RUN, CRITERIA, EDITOR],
    required: &[],
    either: &[
        ("task", "tasks", "'task' and 'tasks' mean the same; write all tasks under one of them"),
        ("contract", "contracts", "'contract' and 'contracts' mean the same; keep one of them"),
    ],
    elsewhere: &[
        (OWN, "it belongs to a task"),
        (PROMPT, "it belongs to a task, or to 'defaults'"),
        (SETTINGS, "it belongs to a task, or to 'defaults'"),
        (PHASES, "write each phase by itself: phase_1 = [...], phase_2 = [...]"),
    ],
};

pub(super) static DEFAULTS: Shape = Shape {
    name: "'defaults'",
    keys: &[PROMPT, SETTINGS],
    required: &[],
    either: &[ONE_PROMPT, ONE_AGENT],
    elsewhere: &[(RUN, OF_THE_RUN), (OWN, "each task has its own"), (CRITERIA, OF_THE_RUN)],
};

pub(super) static TASK: Shape = Shape {
    name: "a task",
    keys: &[OWN, PROMPT, CRITERIA, SETTINGS],
    required: &["name"],
    either: &[ONE_PROMPT, ONE_AGENT],
    elsewhere: &[(RUN, OF_THE_RUN), (OF_ALL, OF_THE_RUN)],
};

pub(super) static CONTRACT: Shape = Shape {
    name: "a contract",
    keys: &[&[
        key("name", Value::Word, "What the interface is called."),
        key("provider", Value::Word, "The task that makes it."),
        key("consumers", Value::WordOrWords, "The tasks that use it."),
        key("interface", Value::Word, "The interface: signatures, routes, formats."),
        key("for", Value::Word, "What it is for."),
        key("purpose", Value::Word, "The same as 'for'."),
    ]],
    required: &["name", "provider", "consumers", "interface"],
    either: &[("for", "purpose", "'for' and 'purpose' mean the same; keep one of them")],
    elsewhere: &[],
};

pub(super) static HOOKS: Shape = Shape {
    name: "'hooks'",
    keys: &[&[
        key("setup", Value::Text, "In each new worktree, before its agent; if it fails, so does the task."),
        key("before_group", Value::Text, "In the main worktree, before the first task of a group starts."),
        key("after_land", Value::Text, "In the main worktree, after a task has landed."),
        key("on_finish", Value::Text, "In the main worktree, after the run's end."),
        key("notify", Value::Text, "Tells a person that the run has ended or needs them."),
    ]],
    required: &[],
    either: &[],
    elsewhere: &[],
};
