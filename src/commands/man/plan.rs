//! git-parallel-plan(5): what a plan file may say.

use clap_mangen::roff::{Roff, bold, roman};

use super::sections::Section;
use super::{head, see_also, tagged};

/// The page's name.
pub const NAME: &str = "git-parallel-plan";

const DESCRIPTION: [&str; 4] = [
    "A plan has the tasks of a run, and what they need: 'git parallel run -f PLAN'. It is written in TOML, YAML, \
     JSON or Markdown, which is told by its extension (.toml, .yaml, .yml, .json, .md, .markdown); standard input \
     (-f -) is guessed. The lists that some other tools write are read, too: see OTHER LISTS.",
    "All mistakes are told at once, each with its line and what to write instead; nothing is created then. \
     'git parallel run -n -f PLAN' only tells what would be done: the order, each task's agent, and which tasks \
     may collide.",
    "A task starts as soon as all that it waits for has landed, from the target as it is then; those that most \
     others wait for go first. If something that it waits for does not land, it is blocked, and goes on once that \
     has landed after all.",
    "Options on the command line go before what stands at the top of the plan, and the plan before the \
     configuration. What a task says itself, or [defaults] for it, goes before the options.",
];

const TOP: Section = Section {
    title: "AT THE TOP",
    intro: "",
    entries: &[
        ("target", "The branch that finished work lands on; as --into."),
        ("jobs", "Agents at once, 1 to 1000; as --jobs."),
        ("strategy", "How finished work lands: merge, ff-only, squash or rebase; as --strategy."),
        ("verify", "For 'sh -c': what would land must pass it; as --verify."),
        ("atomic", "If true, all tasks land in one step, or none; as --atomic."),
        ("completion_criteria", "Texts that stand at the end of every prompt: when the work is done."),
        ("hooks", "A table of commands; see HOOKS."),
        ("contracts, contract", "A list of tables, or [[contract]]; see CONTRACTS."),
        (
            "defaults",
            "A table: what tasks have that say nothing else. It may have all keys of a task from prompt on.",
        ),
        ("tasks, task", "The tasks, a list of tables, or [[task]]."),
        ("$schema", "For editors; see SCHEMA."),
        (
            "phase_1, phase_2, ...",
            "Tasks by phase; see PHASES AND GROUPS. Each is a list of tables as in tasks, of names, or of prompts: \
             a text that can't be a name is a prompt, and the name is made of its first words.",
        ),
    ],
};

const TASK: Section = Section {
    title: "A TASK",
    intro: "",
    entries: &[
        ("name", "Its name, by the rules of the command line. Every task needs one."),
        (
            "depends_on",
            "Names of tasks that must have landed before it starts: a list, or one alone. A circle is a mistake.",
        ),
        ("completion_criteria", "Texts that stand at the end of its prompt, before those of the plan."),
        ("prompt", "What its agent is to do; the placeholders of git-parallel-run(1) are replaced in it."),
        ("prompt_file", "A file that holds the prompt; its path starts at the plan."),
        (
            "agent",
            "An agent that is known by this name (see git-parallel-agents(1)), or auto: the one that suits the task.",
        ),
        (
            "command",
            "In place of agent: a list of words is run as it stands, with the placeholders of git-parallel-run(1); \
             a text is for 'sh -c', and nothing is replaced in it. With neither, AGENT, -a or parallel.agent.",
        ),
        (
            "fallback",
            "Names of agents that take its agent's place, one after the other, if it can't be started.",
        ),
        (
            "runner",
            "Where its agent runs: local, slurm, ssh, or a name that the configuration has (git-parallel-runners(7)).",
        ),
        ("group", "Its group; see PHASES AND GROUPS."),
        ("phase", "Its phase: a whole number, or a name."),
        (
            "touches",
            "Pathspecs, as in gitglossary(7), of what it is expected to change: a list, or one alone. Tasks that \
             may be at work at once and touch the same are told before the run starts. What matches no file of \
             the base counts as a path that will be there. Nothing is refused because of it.",
        ),
        ("setup", "For 'sh -c' in its worktree, before its agent; in place of the setup of hooks."),
        ("base", "The commit that its branch starts from, for a task that waits for none."),
        ("timeout", "How long its agent may run: 90s, 30m, 2h."),
        ("retries", "How often its agent is started again if it fails, 0 to 100."),
        ("env", "A table of environment variables for its agent; those of [defaults] are merged."),
        ("labels", "Words for whoever reads GIT_PARALLEL_LABELS."),
    ],
};

const STAGES: Section = Section {
    title: "PHASES AND GROUPS",
    intro: "Both are barriers: all tasks of one must have landed before any of the next starts. Phases go by their \
            numbers if all have one, else in the order in which they first stand in the plan. Within a phase its \
            groups follow each other in the same way, and a task without a group starts with the first. In a plan \
            without phases, the groups alone follow each other. A task that has neither waits for no barrier. A \
            depends_on that leads from an earlier phase or group to a later one is a mistake.",
    entries: &[],
};

const CONTRACTS: Section = Section {
    title: "CONTRACTS",
    intro: "Interfaces that tasks agree on beforehand, so that both sides are worked on at once. The prompt of each \
            task that has a part in one goes on with it; a task without a prompt has that for one. Each has:",
    entries: &[
        ("name", "What it is called."),
        ("provider", "The task that makes it."),
        ("consumers", "The tasks that use it: a list, or one alone."),
        ("interface", "The interface: signatures, routes, formats."),
        ("for, purpose", "What it is for. May be left out."),
    ],
};

const HOOKS: Section = Section {
    title: "HOOKS",
    intro: "Each is for 'sh -c'.",
    entries: &[
        ("setup", "In each new worktree, before its agent; if it fails, so does the task."),
        ("before_group", "In the main worktree, before the first task of a group or phase starts."),
        ("after_land", "In the main worktree, after a task has landed."),
        ("on_finish", "In the main worktree, after the end of the run."),
        ("notify", "Tells a person that the run has ended, or needs them."),
    ],
};

const OTHERS: Section = Section {
    title: "OTHER LISTS",
    intro: "They are known by their form. Keys that do not stand here are left alone. The agents that they name are \
            advice: AGENT or -a on the command line goes before them.",
    entries: &[
        (
            "A list of issues, as 'bd list --json' prints it",
            "Each is a table: id is the name, title and description are the prompt, followed by design, \
             acceptance_criteria, notes and metadata.applicable_skills. dependencies are ids, or tables with \
             depends_on_id (or id) and type, of which blocks, conditional-blocks, waits-for and none at all count. \
             Issues whose status is open, in_progress or blocked are worked on, those of the lowest priority number \
             first; closed and done ones count as landed, others wait, and it is a mistake to depend on them. \
             metadata.subagent_type is the agent, metadata.fallback_agents are its fallback.",
        ),
        (
            "Markdown",
            "A task is an item with a box (- [ ] Set up PostgreSQL), or a heading with a priority (### PRIORITY 65: \
             Recipes), a box or a group. What is indented below an item, or stands below a heading up to the next \
             of its level, belongs to its prompt. Each waits for the one before it, but those marked with the same \
             [P:Group-NAME] start together, where the first of them has its turn. Headings with a priority go \
             first, the highest number before the others. Done is an item whose box is checked, and a heading that \
             ends in Done, Completed or a check mark; it is left out. Names are made of the first words.",
        ),
        (
            "parallel_execution",
            "A table with tasks, integration_points and completion_criteria. Of a task, id is its name, worker its \
             agent, description its prompt, followed by output_format and integration; depends_on or dependencies \
             are ids. An integration point is told to the tasks whose ids stand in it, and to all if none does. What \
             else stands at the top of a plan may stand beside it.",
        ),
    ],
};

const SCHEMA: &str = "'git parallel schema' prints the JSON Schema of plans, which editors complete and check keys by. In TOML a \
     first line '#:schema FILE' names it, in YAML '# yaml-language-server: $schema=FILE', in JSON the key $schema.";

const EXAMPLE: &str = r#"jobs = 4
verify = "make test"
completion_criteria = ["The guide tells of it"]

[defaults]
agent = "claude"
fallback = ["codex"]
timeout = "30m"

[[contract]]
name = "invoices"
provider = "api"
consumers = ["client"]
interface = "GET /invoices -> 200 [{id, cents}]"

[[task]]
name = "schema"
phase = 1
prompt = "Add a table 'invoices'"

[[task]]
name = "api"
phase = 2
prompt = "Serve invoices"
touches = ["src/api/"]

[[task]]
name = "client"
phase = 2
prompt_file = "prompts/client.md""#;

/// The page.
pub fn page() -> String {
    let mut roff = head(NAME, "5", "the tasks of a run, in a file");
    roff.control("SH", ["DESCRIPTION"]);
    for (number, paragraph) in DESCRIPTION.into_iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(paragraph)]);
    }
    for section in [&TOP, &TASK, &STAGES, &CONTRACTS, &HOOKS, &OTHERS] {
        tagged(&mut roff, section);
    }
    roff.control("SH", ["SCHEMA"]);
    roff.text([roman(SCHEMA)]);
    roff.control("SH", ["EXAMPLES"]);
    roff.control("nf", []);
    for line in EXAMPLE.lines() {
        match line {
            "" => roff.control("sp", []),
            line => roff.text([bold(line)]),
        };
    }
    roff.control("fi", []);
    see_also(
        &mut roff,
        &["git-parallel-run(1)", "git-parallel-agents(1)", "git-parallel-runners(7)", "gitglossary(7)"]
            .map(str::to_owned),
    );
    Roff::render(&roff)
}
