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
            ENVIRONMENT). If it exits with 0, no conflict is left in the index or, where files had markers, in \
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
        ("1", "The run ended and some task did not land; or a command could not do what it was asked."),
        ("2", "Wrong usage."),
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

/// What is read from the configuration.
pub const CONFIGURATION: Section = Section {
    title: "CONFIGURATION",
    intro: "Set by git-config(1). An option on the command line goes first.",
    entries: &[
        (
            "parallel.agent",
            "The agent of a run that names none, neither by -a nor after '--'; as -a of git-parallel-run(1), \
             so several may be named, or auto. See git-parallel-agents(1).",
        ),
        (
            "parallel.agent.NAME.cmd",
            "Adds an agent of that name, or changes how a known one is called: a command for 'sh -c', in the \
             task's worktree. Nothing is replaced in it; what it needs to know is in its environment, such as \
             GIT_PARALLEL_PROMPT_FILE. If it mentions that, each task must have a prompt. More arguments (run \
             -a NAME ... -- ARG...) are added at its end.",
        ),
        (
            "parallel.route.NAME.pattern",
            "What the agent NAME is for, where the agent is auto: a word or words that stand in the task's name, \
             labels or prompt, or a pathspec of files that the task is expected to change. May be given several \
             times. The agent of whom most patterns match is taken; of those that are as good, the one that the \
             configuration names first; where none matches or is found, the first that is on PATH.",
        ),
        (
            "parallel.runner",
            "Where agents run: local (the default), slurm, ssh, or NAME. See git-parallel-runners(7).",
        ),
        (
            "parallel.slurm.args, parallel.slurm.verify, parallel.slurm.program",
            "More arguments for sbatch; whether checks run on the cluster, too; where this program is on its nodes.",
        ),
        (
            "parallel.ssh.hosts, parallel.ssh.dir, parallel.ssh.sendEnv, parallel.ssh.program",
            "Hosts that agents run on by ssh, as HOST=NUMBER; where on them everything goes; names of variables that \
             agents there get; where this program is there.",
        ),
        (
            "parallel.runner.NAME.submit, .status, .cancel, .prefix, .program",
            "Adds a runner of that name: by commands for jobs, or by a command in front of the agent's.",
        ),
        ("parallel.lostAfter", "Give up a job after so long without a sign of life. Default: 270s."),
        (
            "parallel.jobs",
            "Agents at once, 1 to 1000; the rest queue, also while 16 finished tasks (or twice the jobs and checks, \
             if that is more) wait to land. Default: 3.",
        ),
        ("parallel.target", "The branch that finished work lands on. Default: the current branch."),
        ("parallel.branchPrefix", "Branch prefix of a task whose name has no '/'. Default: feature/."),
        (
            "parallel.strategy",
            "How finished work lands: merge (the default), ff-only, squash or rebase. See --strategy of \
             git-parallel-run(1).",
        ),
        (
            "parallel.leftovers",
            "Uncommitted work of an agent that exited 0: commit it (the default), or refuse it, which \
             holds the task for you.",
        ),
        (
            "parallel.maxFileSize",
            "Holds a task for you that adds or changes a file with more bytes than this; k, m and g may follow \
             the number. Files that Git LFS keeps count as their pointers. Land the task by name if it is \
             meant so. Default: no limit.",
        ),
        (
            "parallel.protected",
            "A pathspec, as in gitglossary(7): a task that changes a path that matches is held for you, and \
             lands once you name it. May be given several times. Default: none.",
        ),
        (
            "parallel.regenerate.NAME.pattern",
            "A pathspec of files that are made from others, such as Cargo.lock; may be given several times. If \
             such a file collides when a task is landed, it is made anew instead of merged. One that merges \
             without a conflict is left as it is.",
        ),
        (
            "parallel.regenerate.NAME.cmd",
            "What makes them, run by 'sh -c' in a checkout of the merge where they are as the target has them, \
             with an agent's environment; GIT_PARALLEL_CONFLICTS names those that collide. Of what it writes, \
             the files that match land. If it fails, the conflict is yours.",
        ),
        ("parallel.regenerate.NAME.timeout", "Stop it if it runs longer, such as 90s or 30m. Default: 10m."),
        ("parallel.retries", "How often an agent that fails is started again, 0 to 100. Default: 0."),
        (
            "parallel.retryPause",
            "The pause before an agent that failed is started again, doubled each time, up to an hour; 0 for \
             none. Default: 1s.",
        ),
        (
            "parallel.rateLimitPause",
            "The pause before an agent that was sent too many requests is started again, likewise. Default: 1m.",
        ),
        (
            "parallel.rateLimitPattern",
            "A regular expression, without regard to case, of what an agent prints in its last lines that was \
             sent too many requests; may be given several times. Default: what agents print today, such as 429, \
             rate limit, overloaded, usage limit. See PACING of git-parallel-run(1).",
        ),
        ("parallel.maxLoad", "See --max-load of git-parallel-run(1). Default: no limit."),
        ("parallel.minFreeMemory", "See --min-free-memory of git-parallel-run(1). Default: no limit."),
        ("parallel.maxCost", "See --max-cost of git-parallel-run(1). Default: no limit."),
        ("parallel.timeout", "Stop an agent that runs longer, such as 90s, 30m or 2h. Default: never."),
        (
            "parallel.usagePattern",
            "A regular expression (of Rust's regex crate) with groups named input, output or cost, such as \
             'Cost: \\$(?<cost>[0-9.]+)': how an agent says in its own words how many tokens it used and what \
             they cost in US dollars. Of each the last match counts. May be given several times. What Claude \
             Code, Codex, Gemini and opencode print as JSON is understood without one, and goes first. \
             Default: none.",
        ),
        (
            "parallel.verify",
            "Shell command that what would land must pass; --verify '' leaves it out for once. Default: none.",
        ),
        (
            "parallel.verifyJobs",
            "Checks at once, 1 to 1000, each on top of the one before. Default: half the jobs, at least 1.",
        ),
        ("parallel.verifyTimeout", "A check that runs longer has failed. Default: never."),
        ("parallel.verifyRetries", "How often a check that fails is run again, 0 to 100. Default: 0."),
        (
            "parallel.onConflict",
            "Settles a conflict before you are asked to: an agent's name, or else a shell command; --on-conflict '' \
             leaves it out for once. An agent's prompt tells it what collides, what both sides are for and what it \
             may do. Default: none.",
        ),
        (
            "parallel.include",
            "Pattern, as in gitignore(5), of ignored files that new worktrees get; may be given several times. So              does .worktreeinclude. See git-parallel-run(1) for these and all hooks. Default: none.",
        ),
        (
            "parallel.setup",
            "Shell command that is run in each new worktree before its agent; --setup '' leaves it out for once.              Default: none.",
        ),
        (
            "parallel.beforeGroup, parallel.afterLand, parallel.onFinish",
            "Shell commands that run in the main worktree before the first task of a stage starts, after a task has              landed, and after the end of the run. Default: none.",
        ),
        (
            "parallel.notify",
            "How you are told that the run has ended or first needs you: bell (the default), desktop, none, or a              shell command.",
        ),
        ("parallel.confirm", "If false, run does not ask before it starts."),
        (
            "parallel.worktreeDir",
            "Where the worktrees go; a relative path starts at the main worktree. Default: REPO.worktrees \
             beside the repository.",
        ),
        (
            "parallel.disposable",
            "Ignored files that may go with the worktree of a landed task, as directory names with a \
             trailing slash; may be given several times. Default: target/ node_modules/ __pycache__/ .venv/ \
             dist/ build/.",
        ),
        (
            "parallel.recycle",
            "Whether a task gets the worktree of another that is done with it: true (the default), as clean as a \
             new one; false, never; or warm, with the ignored files that did not keep it from being removed (see \
             parallel.disposable), so that build caches are of use to the next. One whose files can't be proved \
             to be as they should, or in which some process stands, is deleted.",
        ),
    ],
};

/// What an agent finds in its environment.
pub const ENVIRONMENT: Section = Section {
    title: "ENVIRONMENT",
    intro: "An agent has the environment that the run was started with, less what ties git to one \
            repository (GIT_DIR and the like), and these. So has the command that resolve runs, and the \
            check (see VERIFICATION); the setup has it too, and hooks have what applies.",
    entries: &[
        ("GIT_PARALLEL_RUN", "The run's id."),
        ("GIT_PARALLEL_TASK", "The task's name."),
        ("GIT_PARALLEL_BRANCH", "The short name of its branch."),
        ("GIT_PARALLEL_BASE", "The commit that its branch starts from."),
        ("GIT_PARALLEL_TARGET", "The short name of the target branch."),
        ("GIT_PARALLEL_WORKTREE", "The absolute path of its worktree, which is its current directory."),
        ("GIT_PARALLEL_ROOT", "The main worktree, or the git directory of a bare repository."),
        (
            "GIT_PARALLEL_PROMPT_FILE",
            "A file that holds the prompt, if the task has one; for an agent that settles a conflict, what it is told.",
        ),
        ("GIT_PARALLEL_SLOT", "As {slot}: for ports, databases and the like."),
        ("GIT_PARALLEL_ATTEMPT", "How often the agent was started for this task, this time included."),
        (
            "GIT_PARALLEL_GROUP, GIT_PARALLEL_EXIT_CODE, GIT_PARALLEL_LANDED, GIT_PARALLEL_FAILED,              GIT_PARALLEL_MESSAGE",
            "For hooks: see HOOKS in git-parallel-run(1).",
        ),
        (
            "GIT_PARALLEL_JOB, GIT_PARALLEL_JOB_ID, GIT_PARALLEL_JOBS, GIT_PARALLEL_JOB_SCRIPT, GIT_PARALLEL_JOB_LOG",
            "For the commands of a runner: see git-parallel-runners(7).",
        ),
        ("GIT_PARALLEL_LABELS", "The labels that a plan file gives the task, joined by commas."),
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
            "For --on-conflict alone: the task whose landing it collides with, if one of the run's did it, and \
             the file that holds its prompt, if it has one.",
        ),
        (
            "GIT_CEILING_DIRECTORIES",
            "Names the directory of the worktrees as well, so that git in a worktree can't find the \
             repository around it.",
        ),
    ],
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
