//! What the man pages say of JSON.

use super::sections::Section;

/// What `agents --json` prints.
pub const AGENTS_JSON: Section = Section {
    title: "JSON",
    intro: "With --json, one object. A path or argument that is not UTF-8 is {\"bytes\": [...]}.",
    entries: &[
        ("version", "1."),
        (
            "agents",
            "A list of objects, those that are found first: name; found, whether it can be called; path of \
             its executable, or null; command, how it is called, a list; title, what it calls itself, or null; \
             configured, whether it is from the configuration; default, whether parallel.agent names it; \
             docs, where its documentation tells of this, or null.",
        ),
    ],
};

/// What `conflicts --json` prints.
pub const CONFLICTS_JSON: Section = Section {
    title: "JSON",
    intro: "With --json, one object. A name or path that is not UTF-8 is {\"bytes\": [...]}.",
    entries: &[
        ("version", "1."),
        ("branches", "What was compared, under the names it was asked for."),
        ("target", "The branch to land them on."),
        (
            "conflicts",
            "A list of objects: branches, the two that conflict, and paths, where. First those with the \
             target, which is the first of the two, then the others in the order of branches. paths is empty \
             where only directories conflict, that were renamed, and where the two have no history in common.",
        ),
        (
            "independent",
            "A list of sets: the first is a largest one that lands without a conflict, the next a largest one \
             of the others, and so on. What conflicts with the target is in none.",
        ),
    ],
};

/// What `status --json` prints.
pub const STATUS_JSON: Section = Section {
    title: "JSON",
    intro: "With --json, one object: version, which is 1; run; supervisor; tasks; and counts. 'git parallel schema status' \
            tells every key of it, as a JSON Schema. See git-parallel-protocol(7).",
    entries: &[],
};

/// What `report --json` prints.
pub const REPORT_JSON: Section = Section {
    title: "JSON",
    intro: "With --json, one object, of which 'git parallel schema report' prints a JSON Schema. Times are RFC 3339 in \
            UTC; a name or path that is not UTF-8 is {\"bytes\": [...]}; what is not known is null.",
    entries: &[
        ("version", "1."),
        (
            "run",
            "id; state: running, finished, interrupted or aborted; target; base and tip, of the target, as commits; \
             jobs; atomic; started_at; finished_at.",
        ),
        ("seconds, agent_seconds", "How long the run went on, and the sum of what its agents took."),
        ("speed_up", "The second by the first; null where that says nothing."),
        (
            "success",
            "tasks that landed or had nothing to land, of those whose end is known; what was undone is no success.",
        ),
        ("counts, undone", "How many tasks are in each state, and how many landings were undone."),
        (
            "usage",
            "What agents said they used: input_tokens, those from a cache among them; output_tokens; cost_usd. null \
             if none said anything.",
        ),
        (
            "tasks",
            "A list of objects: name; branch; state; attempts; agent, its name and command; runner, job and host, if it ran elsewhere; seconds, spent queued, \
             preparing, running, ready, landing and resolving; spans, each such stretch of time with its phase, the \
             agent's attempt, from, to and the state that it ended in; tip, commits, files, insertions and \
             deletions of its branch; landed: onto, tip, commit, how, and how a conflict settled itself; landed_at; \
             undone, by which commit; conflicts, each a path and the task that it is with (null: the target), also \
             if they were settled since; exit_code; reason; usage; log, a path; log_end and check_log_end, the last \
             lines of its log, and of its check's, if that failed.",
        ),
        ("merges", "What landed, in this order: task, commit, onto, how, at, undone."),
    ],
};
