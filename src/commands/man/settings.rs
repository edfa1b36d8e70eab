//! Every key of the configuration: the one home of what it means, which git-parallel-config(5) shows.

use super::config::{Setting, key};

const COMMAND: &str = "shell command";

/// What a run is.
pub const RUN: [Setting; 5] = [
    key(
        "parallel.jobs",
        "number, 1 to 1000",
        "3",
        Some("jobs"),
        "Agents at once; the rest queue, also while 16 finished tasks (or twice the jobs and checks, if that is \
         more) wait to land.",
    ),
    key(
        "parallel.target",
        "branch",
        "the current branch",
        Some("into"),
        "The branch that finished work lands on.",
    ),
    key(
        "parallel.branchPrefix",
        "text",
        "feature/",
        Some("prefix"),
        "Branch prefix of a task whose name has no '/'.",
    ),
    key(
        "parallel.confirm",
        "true or false",
        "true",
        Some("yes"),
        "Whether run asks before it starts; --yes is false.",
    ),
    key("parallel.timeout", "time", "never", Some("timeout"), "Stop an agent that runs longer."),
];

/// Which agents there are.
pub const AGENTS: [Setting; 4] = [
    key(
        "parallel.agent",
        "name of an agent, several with commas between them, or auto",
        "none",
        Some("agent"),
        "The agent of a run that names none, neither by -a nor after '--'. See git-parallel-agents(1).",
    ),
    key(
        "parallel.agent.NAME.cmd",
        COMMAND,
        "none",
        None,
        "Adds an agent of that name, or changes how a known one is called: a command for 'sh -c', in the task's \
         worktree. Nothing is replaced in it; what it needs to know is in its environment, such as \
         GIT_PARALLEL_PROMPT_FILE. If it mentions that, each task must have a prompt. More arguments (run -a NAME \
         ... -- ARG...) are added at its end.",
    ),
    key(
        "parallel.route.NAME.pattern",
        "text or pathspec, may be given several times",
        "none",
        None,
        "What the agent NAME is for, where the agent is auto: a word or words that stand in the task's name, labels \
         or prompt, or a pathspec of files that the task is expected to change. The agent of whom most patterns match \
         is taken; of those that are as good, the one that the configuration names first; where none matches or is \
         found, the first that is on PATH.",
    ),
    key(
        "parallel.usagePattern",
        "regular expression, may be given several times",
        "none",
        None,
        "Has groups named input, output or cost, such as 'Cost: \\$(?<cost>[0-9.]+)': how an agent says in its own \
         words how many tokens it used and what they cost in US dollars. The syntax is that of Rust's regex crate. Of \
         each the last match counts. What Claude Code, Codex, Gemini and opencode print as JSON is understood without \
         one, and goes first.",
    ),
];

/// Where they run.
pub const RUNNERS: [Setting; 12] = [
    key(
        "parallel.runner",
        "local, slurm, ssh or NAME",
        "local",
        Some("runner"),
        "Where agents run. See git-parallel-runners(7).",
    ),
    key(
        "parallel.slurm.args",
        "words with quotes, may be given several times",
        "none",
        None,
        "More arguments for sbatch.",
    ),
    key("parallel.slurm.verify", "true or false", "false", None, "Whether checks run on the cluster, too."),
    key("parallel.slurm.program", "path", "this program's path", None, "Where this program is on the nodes."),
    key(
        "parallel.ssh.hosts",
        "words, may be given several times",
        "none",
        None,
        "Hosts that agents run on by ssh, as HOST=NUMBER: so many agents at once (1, if it is not said). HOST is as for \
         ssh, or ssh://[USER@]HOST[:PORT].",
    ),
    key(
        "parallel.ssh.dir",
        "path on the hosts",
        "git-parallel in the cache directory there",
        None,
        "Where on the hosts everything goes.",
    ),
    key(
        "parallel.ssh.sendEnv",
        "names of variables, may be given several times",
        "none",
        None,
        "Variables that agents on hosts get as they are here.",
    ),
    key(
        "parallel.ssh.program",
        "path on the hosts",
        "git-parallel",
        None,
        "Where this program is on the hosts.",
    ),
    key(
        "parallel.runner.NAME.submit, .status, .cancel",
        COMMAND,
        "none",
        None,
        "Commands for jobs, which add a runner of that name.",
    ),
    key(
        "parallel.runner.NAME.prefix",
        "words with quotes",
        "none",
        None,
        "A command in front of the agent's, which adds a runner of that name.",
    ),
    key(
        "parallel.runner.NAME.program",
        "path",
        "this program's path",
        None,
        "Where this program is on the machines of that runner.",
    ),
    key(
        "parallel.lostAfter",
        "time",
        "270s",
        None,
        "Give up a job that its runner knows nothing of, after so long without a sign of life.",
    ),
];

/// When they start.
pub const PACE: [Setting; 7] = [
    key(
        "parallel.retries",
        "number, 0 to 100",
        "0",
        Some("retries"),
        "How often an agent that fails is started again.",
    ),
    key(
        "parallel.retryPause",
        "time, or 0",
        "1s",
        None,
        "The pause before an agent that failed is started again, doubled each time, up to an hour; 0 for none.",
    ),
    key(
        "parallel.rateLimitPause",
        "time, or 0",
        "1m",
        None,
        "The pause before an agent that was sent too many requests is started again, likewise.",
    ),
    key(
        "parallel.rateLimitPattern",
        "regular expression, may be given several times",
        "what agents print today",
        None,
        "What an agent prints in its last lines that was sent too many requests, without regard to case. The default \
         has 429, rate limit, overloaded, usage limit and the like. See PACING of git-parallel-run(1).",
    ),
    key(
        "parallel.maxLoad",
        "number",
        "no limit",
        Some("max-load"),
        "Start no agent while the load average is as high.",
    ),
    key(
        "parallel.minFreeMemory",
        "size",
        "no limit",
        Some("min-free-memory"),
        "Start no agent while less memory is available.",
    ),
    key(
        "parallel.maxCost",
        "US dollars",
        "no limit",
        Some("max-cost"),
        "Start no more agents once they told that they cost so much.",
    ),
];

/// What lands, and how.
pub const LANDING: [Setting; 4] = [
    key(
        "parallel.strategy",
        "merge, ff-only, squash or rebase",
        "merge",
        Some("strategy"),
        "How finished work lands.",
    ),
    key(
        "parallel.leftovers",
        "commit or refuse",
        "commit",
        Some("leftovers"),
        "Uncommitted work of an agent that exited 0: commit it, or refuse it, which holds the task for you.",
    ),
    key(
        "parallel.maxFileSize",
        "size",
        "no limit",
        None,
        "Holds a task for you that adds or changes a larger file. Files that Git LFS keeps count as their pointers. \
         Land the task by name if it is meant so. It holds as it was when the run started.",
    ),
    key(
        "parallel.protected",
        "pathspec, may be given several times",
        "none",
        None,
        "A task that changes a path that matches, such as .github/, is held for you, and lands once you name it. It \
         holds as it was when the run started.",
    ),
];

/// What must pass.
pub const CHECKS: [Setting; 4] = [
    key(
        "parallel.verify",
        COMMAND,
        "none",
        Some("verify"),
        "What would land must pass it; --verify '' leaves it out for once. See VERIFICATION of git-parallel-run(1).",
    ),
    key(
        "parallel.verifyJobs",
        "number, 1 to 1000",
        "half the jobs, at least 1",
        Some("verify-jobs"),
        "Checks at once, each on top of the one before.",
    ),
    key(
        "parallel.verifyTimeout",
        "time",
        "never",
        Some("verify-timeout"),
        "A check that runs longer has failed.",
    ),
    key(
        "parallel.verifyRetries",
        "number, 0 to 100",
        "0",
        Some("verify-retries"),
        "How often a check that fails is run again.",
    ),
];

/// What settles conflicts.
pub const CONFLICTS: [Setting; 4] = [
    key(
        "parallel.onConflict",
        "name of an agent, or shell command",
        "none",
        Some("on-conflict"),
        "Settles a conflict before you are asked to; --on-conflict '' leaves it out for once. An agent's prompt tells \
         it what collides, what both sides are for and what it may do. See CONFLICTS of git-parallel-run(1).",
    ),
    key(
        "parallel.regenerate.NAME.pattern",
        "pathspec, may be given several times",
        "none",
        None,
        "Files that are made from others, such as Cargo.lock. If one collides when a task is landed, it is made anew \
         instead of merged. One that merges without a conflict is left as it is.",
    ),
    key(
        "parallel.regenerate.NAME.cmd",
        COMMAND,
        "none",
        None,
        "What makes them, in a checkout of the merge where they are as the target has them, with an agent's \
         environment; GIT_PARALLEL_CONFLICTS names those that collide. Of what it writes, the files that match land. \
         If it fails, the conflict is yours.",
    ),
    key("parallel.regenerate.NAME.timeout", "time", "10m", None, "Stop it if it runs longer."),
];

/// What a worktree is made of, and what becomes of it.
pub const WORKTREES: [Setting; 5] = [
    key(
        "parallel.worktreeDir",
        "path",
        "REPO.worktrees beside the repository",
        None,
        "Where the worktrees go; a relative path starts at the main worktree.",
    ),
    key(
        "parallel.include",
        "pattern as in gitignore(5), may be given several times",
        "none",
        None,
        "Ignored files that new worktrees get, beside those of .worktreeinclude. See NEW WORKTREES of \
         git-parallel-run(1).",
    ),
    key(
        "parallel.setup",
        COMMAND,
        "none",
        Some("setup"),
        "Run in each new worktree before its agent; --setup '' leaves it out for once.",
    ),
    key(
        "parallel.disposable",
        "names of directories, each with a slash at its end, may be given several times",
        "target/ node_modules/ __pycache__/ .venv/ dist/ build/",
        None,
        "Ignored files that may go with the worktree of a landed task.",
    ),
    key(
        "parallel.recycle",
        "true, false or warm",
        "true",
        None,
        "Whether a task gets the worktree of another that is done with it: true, as clean as a new one; false, never; \
         or warm, with the ignored files that did not keep it from being removed (see parallel.disposable), so that \
         build caches are of use to the next. One whose files can't be proved to be as they should, or in which some \
         process stands, is deleted.",
    ),
];

/// Who is told.
pub const HOOKS: [Setting; 4] = [
    key(
        "parallel.beforeGroup",
        COMMAND,
        "none",
        None,
        "Run in the main worktree before the first task of a stage starts. See HOOKS of git-parallel-run(1).",
    ),
    key("parallel.afterLand", COMMAND, "none", None, "Run in the main worktree after a task has landed."),
    key("parallel.onFinish", COMMAND, "none", None, "Run in the main worktree after the end of the run."),
    key(
        "parallel.notify",
        "bell, desktop, none, or a shell command",
        "bell",
        None,
        "How you are told that the run has ended or first needs you.",
    ),
];
