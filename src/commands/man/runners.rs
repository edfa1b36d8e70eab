//! git-parallel-runners(7): where agents run, and which runner is for which need.

use clap_mangen::roff::{Roff, roman};

use super::sections::Section;
use super::{commands, head, see_also, tagged};

/// The page's name.
pub const NAME: &str = "git-parallel-runners";

const DESCRIPTION: [&str; 4] = [
    "A runner is where the agents of a run are started: 'git parallel run --runner NAME', the key parallel.runner, or the \
     key runner of a task in a plan. A plan may name a runner and no more: what that executes comes from the \
     configuration alone, and holds as it was when the run started.",
    "Whatever the runner, branches, worktrees, the record of the run, the landing and its order are the supervisor's, on \
     the machine where the run was started. So are setup (but with ssh), hooks and resolvers, and checks unless \
     parallel.slurm.verify says otherwise. --jobs is how many tasks are submitted at once, and --timeout begins when the agent does.",
    "Beside each agent is the same small process as on one machine, the shim. It takes an attempt up once: if a scheduler \
     starts the job again, nothing happens. It looks whether the worktree is the one that was made for the task before \
     it starts the agent, streams the agent's output, gives a sign of life every few seconds, ends the agent with its \
     grace if it is asked to, and records how that ended. How an agent ended is told by this record alone, and never by \
     what a scheduler says of the job.",
    "If the supervisor dies, jobs go on. 'git parallel resume' finds them again by their names, whether or not it was \
     still heard what the scheduler calls them, and submits those that had not been; 'git parallel abort' ends them. The \
     names are random, so no other job is ever taken for one, and none is cancelled by an id that was given anew.",
];

const WHICH: Section = Section {
    title: "WHICH RUNNER",
    intro: "",
    entries: &[
        ("local", "The default: agents are processes of this machine. Nothing is polled."),
        ("slurm", "A cluster with Slurm, whose nodes share the file system of the repository."),
        ("ssh", "Machines that can be reached by ssh, and that share nothing with this one."),
        (
            "NAME, by commands",
            "Another scheduler that starts a program on machines which share the file system: HyperQueue, HTCondor, \
             Kubernetes.",
        ),
        (
            "NAME, by a prefix",
            "A command in front of the agent's: a container, a sandbox, nice, srun. It runs here, as a local agent does: \
             it outlives the supervisor, but not this machine, and what it starts elsewhere ends with it only if it sees \
             to that itself.",
        ),
    ],
};

const NEEDS: Section = Section {
    title: "WHAT THE MACHINES NEED",
    intro: "For slurm and for runners by commands: the repository and its worktrees at the same paths, writable by the \
            same user; git; the agent's command; and this program, at the path that it has here unless \
            parallel.slurm.program or parallel.runner.NAME.program names another. Locks and pipes need not work across \
            machines. For ssh: git 2.38 or later, the agent's command, and this program on the PATH of a shell that is not \
            a login shell (or parallel.ssh.program), in a version that speaks the same protocol; and what a user leaves behind must be let live, which is for \
            'loginctl enable-linger' to say where systemd-logind has KillUserProcesses. Ctrl-Z does not stop \
            agents elsewhere.",
    entries: &[],
};

const SLURM: Section = Section {
    title: "SLURM",
    intro: "Each task is a job of its own, by sbatch with --no-requeue and the user's environment. status and report tell \
            its id and its node, and why it waits. What sbatch refuses fails the task with its words; if it can't be \
            reached, or takes no more jobs now, it is tried again. squeue is asked for all jobs at once, every 2 to 30 \
            seconds, and only while some have not started or are silent; sacct where the queue has forgotten them. A \
            question that is not answered means nothing. A job that both know nothing of and that gave no sign of life for \
            parallel.lostAfter is lost, and its task has failed. So has one whose job Slurm ended (its time is over, its \
            node failed, somebody's scancel): --retries starts them again. A job that is lost before it started is \
            submitted again.",
    entries: &[
        (
            "parallel.slurm.args",
            "More arguments for sbatch, as words with quotes; may be given several times.",
        ),
        ("parallel.slurm.verify", "If true, candidates are checked by jobs, too (see --verify)."),
        ("parallel.slurm.program", "Where this program is on the nodes."),
    ],
};

const SSH: Section = Section {
    title: "SSH",
    intro: "A task goes to the host that has most room. One connection carries all of it: this program connects as git \
            would (GIT_SSH_COMMAND, core.sshCommand, GIT_SSH, or ssh; keys, host keys and agent forwarding as ssh has \
            them; BatchMode, since nobody is there to answer), and what answers there is this program again. It is sent \
            the base, unless it is there from earlier, and gets a repository of its own for each attempt, which borrows \
            the objects of a mirror: the task's branch, the target where the base is, and nothing else; no remotes, no \
            tags. Included files (.worktreeinclude, parallel.include) travel, and what this user ignores; of the environment only \
            what parallel.ssh.sendEnv names; who commits is who would here. setup runs there, as a part of the agent's \
            command. GIT_PARALLEL_WORKTREE, {worktree} and {prompt_file} are paths there, and GIT_PARALLEL_ROOT is the \
            mirror.",
    entries: &[
        (
            "parallel.ssh.hosts",
            "The hosts, as words; may be given several times. A host is [USER@]HOST, as ssh_config has it, or \
             ssh://[USER@]HOST[:PORT]; after it may stand =NUMBER, how many agents it takes at once (default: 1). \
             --jobs holds for all of them together. Each is asked once before a run starts: that some can't be used is \
             told, and that none can stops it.",
        ),
        (
            "parallel.ssh.dir",
            "Where on the hosts everything goes, if not absolute then below the home directory. Default: \
             git-parallel in $XDG_CACHE_HOME or ~/.cache. All of it is for its owner alone.",
        ),
        (
            "parallel.ssh.sendEnv",
            "Names of variables that agents get as they are here, as words; may be given several times. Their values \
             are in a file there while the agent runs.",
        ),
        ("parallel.ssh.program", "This program, on the hosts. Default: git-parallel."),
    ],
};

const AWAY: Section = Section {
    title: "WHAT COMES BACK FROM A HOST",
    intro: "When an agent has ended, what it made is brought here before anything else is done: its commits, those that it \
            left behind among them; its files, index and HEAD, and a merge or rebase that it did not finish, into the \
            task's worktree, as if it had worked here. Then it is removed there; the mirror stays, and may be removed at \
            any time when nothing runs (rm -rf ~/.cache/git-parallel).",
    entries: &[
        (
            "Other branches and tags",
            "Are kept as refs/parallel/RUN/TASK/other-branch and the like. A HEAD that was on one of them is detached here.",
        ),
        (
            "Ignored files",
            "Come back if they are new or were changed, but for those that parallel.disposable names. More than 1000 of them, \
             or 64 MB, stay there with the job, and so does anything else that can't be brought back; that is told, and \
             'git parallel cleanup --force TASK' removes it.",
        ),
        (
            "Large files and submodules",
            "What Git LFS holds does not travel, only the pointers do; nor do submodules.",
        ),
        (
            "A connection that is cut",
            "Is made again, after 1 to 30 seconds. The agent does not see it; its output is passed on from where it was. \
             Nothing that ssh says or exits with is taken for the agent's end.",
        ),
        (
            "A host that stays away",
            "For parallel.lostAfter: its tasks are begun anew on another, which is no retry. If there is none, they have \
             failed. What the host's agents do then does not count; as soon as it is back in the course of the run, or at \
             'git parallel cleanup', they are ended, and what they made is pinned as refs/parallel/RUN/TASK/abandoned-....",
        ),
        (
            "An abort while a host is away",
            "Is told, with the command that ends the agent there later: git parallel cleanup --run RUN.",
        ),
    ],
};

const COMMANDS: Section = Section {
    title: "BY COMMANDS",
    intro: "Three commands for 'sh -c'. In their texts {job}, {id}, {jobs}, {script}, {log}, {task}, {worktree} and {run} \
            are replaced by references to variables (${GIT_PARALLEL_JOB}), never by the values: put double quotes around \
            them. A status that fails means nothing; a job that it leaves out is not there.",
    entries: &[
        (
            "parallel.runner.NAME.submit",
            "Submits the program {script}, which takes no arguments, under the name {job}; its own output, which is \
             rarely any, belongs in {log}. The last word that it prints is the job's id. Exit 75 is tried again; any \
             other failure fails the task.",
        ),
        (
            "parallel.runner.NAME.status",
            "Prints a line for each job: its name or id, a word for its state, and more words, as 'ID STATE REASON'. \
             Waiting, pending, queued, idle or held have not started; running, active or suspended are at work; \
             whatever else is over. It may tell of all jobs that there are; {jobs} are those that are asked for, one a \
             line.",
        ),
        (
            "parallel.runner.NAME.cancel",
            "Ends {job}, or {id}: of a job that has not started, or whose agent did not end in time. May be left out.",
        ),
        ("parallel.runner.NAME.program", "Where this program is on the machines that jobs run on."),
    ],
};

const PREFIX: Section = Section {
    title: "BY A PREFIX",
    intro: "Words with quotes, no shell. The placeholders of git-parallel-run(1) are replaced in each.",
    entries: &[("parallel.runner.NAME.prefix", "What stands in front of the agent's command.")],
};

const FILES: Section = Section {
    title: "FILES",
    intro: "In parallel/runs/RUN/tasks/TASK of the common git directory, beside those of every task:",
    entries: &[
        ("spec-N.json, spec-N.sh", "What the job of attempt N is to do, and the program that is submitted."),
        ("job.log", "What the job itself said, such as that this program is not there."),
        ("claim-N", "Who took attempt N up."),
        ("beat", "The latest sign of life: where the agent runs."),
        ("hosts-N.json", "Which hosts had attempt N, and what became of that (ssh)."),
        ("stop", "That it is to end."),
    ],
};

/// Commands to try, under what they are for.
const EXAMPLES: [(&str, &[&str]); 5] = [
    (
        "Slurm:",
        &[
            "git config parallel.slurm.args '--partition=short --cpus-per-task=4 --time=1:00:00'",
            "git parallel run --runner slurm -j 20 a b c -- sh -c 'hostname >$GIT_PARALLEL_TASK'",
            "git parallel status",
        ],
    ),
    (
        "Two machines by ssh, with four and eight agents at once:",
        &[
            "git config parallel.ssh.hosts 'build1=4 ssh://ann@build2:2222=8'",
            "git parallel doctor",
            "git parallel run --runner ssh -j 12 a b c -- sh -c 'hostname >$GIT_PARALLEL_TASK'",
        ],
    ),
    (
        "HyperQueue (see examples/hyperqueue of the source):",
        &["./hyperqueue", "git parallel run --runner hq -j 20 a b c -- sh -c 'hostname >$GIT_PARALLEL_TASK'"],
    ),
    (
        "A container for each agent, here:",
        &[
            "git config parallel.runner.box.prefix 'podman run --rm -v {worktree}:{worktree} -w {worktree} IMAGE'",
            "git parallel run --runner box auth docs -- ./agent.sh {task}",
        ],
    ),
    (
        "An interactive job in front of each agent, here:",
        &[
            "git config parallel.runner.srun.prefix 'srun --chdir={worktree}'",
            "git parallel run --runner srun a -- hostname",
        ],
    ),
];

/// The page.
pub fn page() -> String {
    let mut roff = head(NAME, "7", "where agents run");
    roff.control("SH", ["DESCRIPTION"]);
    for (number, paragraph) in DESCRIPTION.into_iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(paragraph)]);
    }
    for section in [&WHICH, &NEEDS, &SLURM, &SSH, &AWAY, &COMMANDS, &PREFIX, &FILES] {
        tagged(&mut roff, section);
    }
    roff.control("SH", ["EXAMPLES"]);
    commands(&mut roff, &EXAMPLES);
    let others = ["git-parallel-run(1)", "git-parallel-plan(5)", "git-config(1)", "sbatch(1)", "ssh(1)"];
    see_also(&mut roff, &others.map(str::to_owned));
    Roff::render(&roff)
}
