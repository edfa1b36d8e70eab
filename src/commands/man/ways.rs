//! What the manual says of git's own ways: colours, advice, the pager, lines for scripts, traces.

use super::config::{Setting, key};
use super::sections::Section;

/// Settings of git that are for this command, too.
pub const ANSWERS: [Setting; 6] = [
    key(
        "color.parallel",
        "always, never, auto, true or false",
        "color.ui, and auto without that",
        None,
        "Whether answers are in colour; as color.status does, true means auto: on a terminal that is not dumb, and \
         unless NO_COLOR is set. always and never go before NO_COLOR, CLICOLOR and CLICOLOR_FORCE.",
    ),
    key(
        "pager.parallel",
        "true, false, or a shell command",
        "true",
        None,
        "Whether the answers of status, list, logs and report go through a pager where stdout is a terminal, or through \
         which one: that of GIT_PAGER, else this one, else that of core.pager, of PAGER, or less. cat, or an empty \
         one, is none. LESS is FRX where it is not set, so that what fits on the screen does not wait. What goes on \
         (status --watch, logs -f, a run) goes through none, except that 'git parallel' itself obeys true and a \
         command for all that it runs, as with any command; 'git -c pager.parallel=false' and 'git --no-pager' \
         leave it out for once.",
    ),
    key(
        "color.pager",
        "true or false",
        "true",
        None,
        "Whether there are colours, too, in a pager that git started.",
    ),
    key(
        "advice.parallel",
        "true or false",
        "true",
        None,
        "If false, no advice is given: neither of the two below. So it is with 'git --no-advice' (GIT_ADVICE=0).",
    ),
    key(
        "advice.parallelHints",
        "true or false",
        "true",
        None,
        "The lines that begin with 'hint:' below an error: what to do about it, and the nearest name to one that is \
         not known.",
    ),
    key(
        "advice.parallelNext",
        "true or false",
        "true",
        None,
        "The next command, behind an arrow, in what status, agents, conflicts, undo and the end of a run tell.",
    ),
];

/// Of git-parallel-config: what the program itself reads.
pub const READ: Section = Section {
    title: "ENVIRONMENT OF THE PROGRAM",
    intro: "What git reads, git parallel obeys as well: GIT_DIR, GIT_CONFIG_COUNT, GIT_PAGER and so on. Beside that:",
    entries: &[
        (
            "GIT_PARALLEL_TRACE",
            "As GIT_TRACE: 1, 2 or true traces to stderr, a number from 3 to 9 to that open file, an absolute path to \
             the end of that file; 0 or nothing is no trace. A line each with its time: each git that was started, how \
             long it took, how it ended, where, and its arguments; and each event of a run, as run --json has it. The \
             environment is never in it, but arguments and events may tell of names, paths and what agents said. \
             Agents inherit the variable, for a git parallel of their own.",
        ),
        (
            "NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM",
            "No colours; 0 for none; colours also where there is no terminal; dumb for neither colours nor a live view.",
        ),
        ("LC_ALL, LC_CTYPE, LANG", "Marks are ASCII unless the character set is UTF-8."),
        ("GIT_ADVICE", "0 silences all advice, as advice.parallel does."),
        ("GIT_PAGER, PAGER, LESS, LV", "See pager.parallel."),
    ],
};

/// Of `status`.
pub const STATUS_PORCELAIN: Section = Section {
    title: "PORCELAIN",
    intro: "Lines for scripts; later versions may add lines that begin otherwise, and nothing else. Names and paths \
            with a control character, a byte above 127, a double quote or a backslash are in double quotes with the \
            escapes of C, as with git status --porcelain; with -z they are as they are, and each line ends with NUL \
            instead of a line feed. TAB stands between names. What is not known is '-'.",
    entries: &[
        (
            "# run.id ID",
            "Headers: also run.state (running, finished, interrupted or aborted), run.target, run.base and run.tip \
             (commits), run.started and run.finished (times as in RFC 3339), run.pid (of its supervisor).",
        ),
        (
            "t STATE ATTEMPT EXIT-CODE COMMITS TIP LANDED NAME<TAB>BRANCH<TAB>WORKTREE",
            "A task: its state, how often its agent was started, how that ended, how many commits its branch has and \
             its tip, and the commit by which it landed, if it has.",
        ),
        ("u NAME<TAB>PATH", "A path in which that task collides."),
    ],
};

/// Of `list`.
pub const LIST_PORCELAIN: Section = Section {
    title: "PORCELAIN",
    intro: "A line for each run, the latest last. The target is quoted as git quotes paths, unless -z is given, which \
            also ends each line with NUL instead of a line feed.",
    entries: &[(
        "ID STATE STARTED TASKS LANDED UNDONE TARGET",
        "STATE is running, finished, interrupted or aborted; STARTED a time as in RFC 3339; TASKS, LANDED and UNDONE \
         are numbers: of all tasks, of those that have landed, and of those whose landing was undone.",
    )],
};

/// Of `conflicts`.
pub const CONFLICTS_PORCELAIN: Section = Section {
    title: "PORCELAIN",
    intro: "A line for each path of each two that conflict; nothing if nothing does. Names and paths are quoted as git \
            quotes paths, unless -z is given, which also ends each line with NUL instead of a line feed.",
    entries: &[(
        "ONE<TAB>OTHER<TAB>PATH",
        "The target, where it is one of them, is ONE. PATH is empty where only renamed directories conflict, and where \
         the two have no history in common.",
    )],
};
