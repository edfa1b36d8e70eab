//! What the man pages say of the commands and files around an agent.

use super::sections::Section;

/// Of `run`: ignored files and the setup.
pub const WORKTREES: Section = Section {
    title: "NEW WORKTREES",
    intro: "A new worktree has what is committed, and nothing else. Two things add to that:",
    entries: &[
        (
            ".worktreeinclude, parallel.include",
            "Patterns as in gitignore(5), in a file at the top of the main worktree and in the configuration, \
             whose patterns come last. What they match in the main worktree and git ignores is brought along, \
             such as .env or node_modules/: shared with the original until one of them changes where the file \
             system can (reflink), else copied, with modes and times; symbolic links as such, and never \
             followed. Files that git does not ignore are left out, in the new worktree as in the main one: \
             they would be committed as the agent's work. So are repositories inside, and anything that the \
             checkout made stays as it is. A file that can't be read is told of.",
        ),
        (
            "--setup CMD, parallel.setup",
            "Run by 'sh -c' in the new worktree once that is there, before the agent starts, and like an agent: \
             in a process group of its own and with its environment, its time limit and its place among \
             --jobs. If it fails, so does the task, without the agent having been started; worktree and \
             branch are kept, --retries does not count, and 'git parallel retry' runs it again. A worktree \
             that is there already is not set up again. What a setup leaves that git does not ignore is \
             committed with what the agent leaves.",
        ),
    ],
};

/// Of `run`: hooks.
pub const HOOKS: Section = Section {
    title: "HOOKS",
    intro: "Commands from the configuration, or a plan's [hooks], that run by 'sh -c' in the main worktree, one \
            after the other. One that fails is told of with what it said, and changes nothing else. Ctrl-C \
            ends them. In their texts, and in that of a setup, {task}, {branch}, {worktree}, {base}, {target}, \
            {slot}, {run}, {root}, {group}, {landed}, {failed}, {message} and {prompt_file} are replaced by \
            references to variables of these names (${GIT_PARALLEL_TASK}), never by the values: so 'bd close \
            {task}' does what it says, whatever the value, but quote \"{worktree}\", and not with single quotes.",
    entries: &[
        (
            "parallel.beforeGroup",
            "Before the first task of a stage starts, once; GIT_PARALLEL_GROUP names the groups in that stage, one \
             a line, or else its number. Tasks of the stage wait for it.",
        ),
        (
            "parallel.afterLand",
            "After a task has landed, before its worktree is removed, with its agent's environment. Other landings \
             do not wait for it. If the supervisor dies meanwhile, it is run again by resume.",
        ),
        (
            "parallel.onFinish",
            "After the end of the run, each time that it comes to one: again after land and retry. \
             GIT_PARALLEL_EXIT_CODE is the run's, GIT_PARALLEL_LANDED and GIT_PARALLEL_FAILED name the tasks \
             that have landed and those that came to no good end, one a line. The repository is still locked, \
             so it can't start or land anything here. The exit code stays what it was.",
        ),
        (
            "parallel.notify",
            "How you are told that the run has ended, unless by your Ctrl-C, or, once, that it first needs you: \
             bell, the terminal's, unless -q (the default); desktop, by notify-send, terminal-notifier or \
             osascript, else the bell; none; or a command, with GIT_PARALLEL_MESSAGE and half a minute's time.",
        ),
    ],
};
