//! What the man pages say beyond the command line's definitions.

/// A section of tags, each with its text.
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// What stands above the tags.
    pub intro: &'static str,
    /// The tags and their texts.
    pub entries: &'static [(&'static str, &'static str)],
}

/// Of the program itself: the usual way through a run.
pub const EXAMPLES: &str = "\
git parallel run auth docs billing -- ./agent.sh {task}
git parallel status
git parallel resolve billing --with mergetool
git parallel land billing
git parallel report --html report.html";

/// Of `run`: what is replaced in the agent's arguments.
pub const AGENT_ARGUMENTS: Section = Section {
    title: "PLACEHOLDERS",
    intro: "These are replaced inside each argument of AGENT. Anything else in braces stays as it is.",
    entries: &[
        ("{task}", "The task's name."),
        ("{branch}", "The short name of its branch."),
        ("{worktree}", "The absolute path of its worktree."),
        ("{base}", "The commit that its branch starts from."),
        ("{target}", "The short name of the target branch."),
        ("{prompt}", "The task's prompt, in which the others are replaced, too."),
        ("{prompt_file}", "The path of a file that holds the prompt."),
        ("{slot}", "A number from 0 to one less than --jobs, which no other running agent of the run has."),
    ],
};

/// Of `run`: the check of what would land.
pub const VERIFICATION: Section = Section {
    title: "VERIFICATION",
    intro: "With --verify, what would land is checked first, merged with the target as it will be: by \
            'sh -c CMD' in a clean checkout of exactly that commit, beside the tasks' worktrees, never in \
            yours or an agent's. Ignored files stay there from one check to the next, so that build caches \
            are warm; nothing that a check writes is landed. The check has an agent's environment; its \
            GIT_PARALLEL_SLOT counts on from --jobs. With several checks at once, the first finished task \
            is checked on the target, the second on top of the first, and so on; they land in this order, \
            and when one fails, those on top of it are made and checked again without it. A tree that \
            passed the same command before, in any run, is not checked again. What the exit code means, as \
            with git bisect run:",
    entries: &[
        ("0", "It passed: this very commit is landed."),
        (
            "1 to 124, 128 and above 192",
            "It failed: the task is rejected, and the next one goes on. Its log is kept, the end of it shown.",
        ),
        ("125", "It can't tell: the task is held for you; 'git parallel land TASK' checks it again."),
        (
            "126, 127, 129 to 192, a signal",
            "It could not be run or was killed, which says nothing of the work: the task is held for you. So \
             does a failure on a full disk.",
        ),
    ],
};

/// Of `run`: plan files, in short.
pub const PLAN_FILE: Section = Section {
    title: "PLAN FILES",
    intro: "With -f, the tasks come from a file in TOML, YAML, JSON or Markdown, with what each of them needs, and \
            how they wait for each other: git-parallel-plan(5) tells of it. All mistakes in it are told at once, \
            each with its line, and nothing is created then. A task starts as soon as all that it waits for has \
            landed, from the target as it is then. Options on the command line go before the plan, and the plan \
            before the configuration.",
    entries: &[],
};

/// Of `run`: what a person can do while it goes on.
pub const KEYS: Section = Section {
    title: "KEYS",
    intro: "On a terminal a run is shown live: a line a task with its state, how long its agent runs, what it has \
            committed so far, a conflict that is ahead, and the last line that its agent printed; below them how \
            many are done, and by what the others took, about how long the rest may take. Where not all tasks have a \
            line, those have one that go on or need you. While stdin is the terminal, too, there are keys (retry, \
            resume and land have them as well):",
    entries: &[
        (
            "Up, Down, k, j, Page Up, Page Down, Home, End",
            "Select a task. The window follows; Escape goes back to how it was.",
        ),
        ("l", "Show the end of the log of the selected task below, and what comes; or close it."),
        ("a", "Abort the selected task, after a yes. Its work is kept, and the others go on."),
        ("r", "Run the selected task again, as git parallel retry does, while the others go on."),
        ("?", "Tell what the keys do, on one line."),
        (
            "Ctrl-C, Ctrl-Z",
            "Stop the run, keeping its work; hold it and its agents up, until fg. To leave a run alone from \
             the start, there is --detach.",
        ),
    ],
};

/// Of `run`: when agents are started.
pub const PACING: Section = Section {
    title: "PACING",
    intro: "An agent that fails is started again after a pause, up to --retries times. One that exits with \
            other than 0 and tells in its last lines that it was sent too many requests is rate-limited: it is \
            started again, after a pause that doubles each time, without counting as a failure. Half as many \
            agents run at once then, and one more for each that ends well. After 14 such ends in a row, which \
            takes about eight hours with the pauses that are the default, the task is left to you. The pauses \
            go on while no supervisor lives, and end at once when the run or the task is stopped. An agent that \
            can't be started at all gives way to the next of the task's fallback, if a plan names one. With \
            --max-load or --min-free-memory, agents are started one by one while the machine has room for \
            them; the load average of a minute is known to be late, so those that were started within it count \
            as busy. With --max-cost, what agents print of their cost counts: those that run are left alone, \
            those that were not started are aborted, and 'git parallel retry' allows as much again.",
    entries: &[],
};

/// Of `run`: having conflicts settled.
pub const RESOLVER: Section = Section {
    title: "CONFLICTS",
    intro: "What git rerere has recorded settles a conflict, and generated files are made anew (see \
            parallel.regenerate.NAME.pattern). With --on-conflict, 'sh -c CMD' gets the rest: the merge is put \
            into the task's own worktree, conflict markers and all, and CMD runs there like an agent (see \
            git-parallel-config(5)). If it exits with 0, no conflict is left in the index or, where files had markers, in \
            the files, and nothing but the merge was committed, then the merge is made of it, checked like any \
            other, and landed. What CMD changed beside the conflict is told; files that it did not add and \
            that git does not track are left out. Otherwise the conflict is yours, as it was, and what CMD \
            left is kept at refs/parallel/RUN/TASK/resolver. In either case branch and worktree are put back. \
            It is tried again if the target moves meanwhile, three times at most.",
    entries: &[],
};

/// What exit codes mean.
pub const EXIT_STATUS: Section = Section {
    title: "EXIT STATUS",
    intro: "",
    entries: &[
        ("0", "Every task landed or had nothing to land; or you declined; or a dry run."),
        (
            "1",
            "The run ended and some task did not land; or a command could not do what it was asked; of conflicts: \
             something conflicts.",
        ),
        ("2", "Wrong usage: of the command line, or of a plan file."),
        ("3", "Refused before anything was created."),
        ("4", "Another run holds the repository."),
        ("124", "wait --timeout ran out."),
        ("130, 143, 129", "Stopped by Ctrl-C, TERM or hang-up; the work is kept."),
    ],
};

/// What exit codes of `conflicts` mean, which are those of `git merge-tree`.
pub const CONFLICTS_STATUS: Section = Section {
    title: "EXIT STATUS",
    intro: "",
    entries: &[
        ("0", "Nothing conflicts."),
        ("1", "Something does."),
        ("2", "Wrong usage."),
        ("3", "It can't be told: a name that is not known, or a repository that can't be read."),
    ],
};

/// Of `agents`: what is said above the list.
pub const KNOWN_AGENTS: &str = "\
An agent that nobody can answer is denied, or fails, where it would ask. Each is called with the least that \
lets it change files in its worktree; it need not commit, since what it leaves is committed by the run. To \
allow it more, use its own settings, name more arguments (git parallel run -a NAME TASK... -- ARG...), or \
change how it is called: parallel.agent.NAME.cmd. None of this makes a sandbox of a worktree. A prompt may \
be any text; each is called so that one which begins with a dash is no option.";

/// Where the keys are told.
pub const CONFIGURATION: Section = Section {
    title: "CONFIGURATION",
    intro: "git-parallel-config(5) has every key, parallel.*, with its type, its default and the option that goes \
            before it, and every variable, GIT_PARALLEL_*, that agents, checks and hooks find in their environment.",
    entries: &[],
};

/// What is where.
pub const FILES: Section = Section {
    title: "FILES",
    intro: "All but the worktrees is in the repository's common git directory.",
    entries: &[
        ("parallel/runs/RUN/run.json", "What was asked."),
        ("parallel/runs/RUN/journal.jsonl", "What happened, one event a line."),
        ("parallel/runs/RUN/tasks/TASK/output.log", "The agent's output."),
        ("parallel/runs/RUN/verify/COMMIT/output.log", "What the check of that commit wrote."),
        ("parallel/runs/RUN/tasks/TASK/setup/output.log", "The output of its setup."),
        ("parallel/runs/RUN/hooks/N/output.log", "The output of a hook or a notice."),
        ("parallel/passed", "Which trees passed which check."),
        ("parallel/runs/RUN/commands/N/output.log", "The output of a command from the configuration."),
        ("parallel/lock", "Held while a run goes on; it tells which."),
        ("refs/parallel/RUN/", "Keeps the commits of the run's tasks reachable."),
        ("../REPO.worktrees/TASK", "The task's worktree."),
        ("../REPO.worktrees/.settle", "Where conflicts settle themselves; gone when the run ends."),
    ],
};
