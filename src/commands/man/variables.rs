//! What stands in the environment of what a run starts; git-parallel-config(5) shows it.

use super::sections::Section;

/// All variables, by who finds them.
pub const SECTIONS: [&Section; 4] = [&ENVIRONMENT, &OF_HOOKS, &OF_RESOLVERS, &OF_RUNNERS];

const ENVIRONMENT: Section = Section {
    title: "ENVIRONMENT OF AGENTS",
    intro: "An agent has the environment that the run was started with, less what ties git to one repository (GIT_DIR \
            and the like), and these. So have the setup, the check (see VERIFICATION of git-parallel-run(1)), the \
            command that resolve runs, and, as far as they apply, hooks. The program itself reads none of them.",
    entries: &[
        ("GIT_PARALLEL_RUN", "The run's id."),
        ("GIT_PARALLEL_TASK", "The task's name."),
        ("GIT_PARALLEL_BRANCH", "The short name of its branch."),
        ("GIT_PARALLEL_BASE", "The commit that its branch starts from, in full."),
        ("GIT_PARALLEL_TARGET", "The short name of the target branch."),
        ("GIT_PARALLEL_WORKTREE", "The absolute path of its worktree, which is its current directory."),
        (
            "GIT_PARALLEL_ROOT",
            "The absolute path of the main worktree, or of a bare repository's git directory.",
        ),
        (
            "GIT_PARALLEL_PROMPT_FILE",
            "The absolute path of a file that holds the prompt, if the task has one; for an agent that settles a \
             conflict, what it is told.",
        ),
        (
            "GIT_PARALLEL_SLOT",
            "A number from 0 to one less than the jobs, which no other running agent of the run has: for ports, \
             databases and the like. Checks count on from there.",
        ),
        (
            "GIT_PARALLEL_ATTEMPT",
            "A number from 1: how often the agent was started for this task, this time included.",
        ),
        ("GIT_PARALLEL_LABELS", "The labels that a plan file gives the task, with commas between them."),
        (
            "GIT_CEILING_DIRECTORIES",
            "Names the directory of the worktrees as well, so that git in a worktree can't find the repository around \
             it.",
        ),
    ],
};

const OF_HOOKS: Section = Section {
    title: "ENVIRONMENT OF HOOKS",
    intro: "See HOOKS of git-parallel-run(1). Lists have one name a line.",
    entries: &[
        (
            "GIT_PARALLEL_GROUP",
            "For parallel.beforeGroup: the groups of the stage that starts, or its number.",
        ),
        (
            "GIT_PARALLEL_EXIT_CODE, GIT_PARALLEL_LANDED, GIT_PARALLEL_FAILED",
            "For parallel.onFinish: the run's exit code, the tasks that landed, and those that came to no good end.",
        ),
        ("GIT_PARALLEL_MESSAGE", "For parallel.notify: what a person is to be told."),
    ],
};

const OF_RESOLVERS: Section = Section {
    title: "ENVIRONMENT OF WHAT SETTLES CONFLICTS",
    intro: "See CONFLICTS of git-parallel-run(1).",
    entries: &[
        (
            "GIT_PARALLEL_CONFLICTS",
            "For resolve, --on-conflict and parallel.regenerate.NAME.cmd: the paths that collide, one a line.",
        ),
        ("GIT_PARALLEL_CONFLICTS_FILE", "For --on-conflict alone: a file with these paths."),
        (
            "GIT_PARALLEL_OUR_LOG, GIT_PARALLEL_THEIR_LOG",
            "For --on-conflict alone: files with the log of what the task's branch and what the other side has.",
        ),
        ("GIT_PARALLEL_ONTO", "For --on-conflict alone: the commit that the task's branch collides with."),
        (
            "GIT_PARALLEL_OTHER_TASK, GIT_PARALLEL_OTHER_PROMPT_FILE",
            "For --on-conflict alone: the task whose landing it collides with, if one of the run's did it, and the \
             file that holds its prompt, if it has one.",
        ),
    ],
};

const OF_RUNNERS: Section = Section {
    title: "ENVIRONMENT OF A RUNNER'S COMMANDS",
    intro: "See BY COMMANDS of git-parallel-runners(7).",
    entries: &[
        ("GIT_PARALLEL_JOB", "The job's name, which is random."),
        ("GIT_PARALLEL_JOB_ID", "What the scheduler calls it, if that is known."),
        ("GIT_PARALLEL_JOBS", "For .status: the jobs that are asked for, one a line."),
        (
            "GIT_PARALLEL_JOB_SCRIPT, GIT_PARALLEL_JOB_LOG",
            "For .submit: the program to run, and where its output goes.",
        ),
    ],
};
