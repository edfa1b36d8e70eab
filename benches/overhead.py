"""What a run costs beside the agents' own work.

The same job (each agent writes a file and commits it) is done by 'git parallel run', by a careful shell
script (by-hand.sh) and by the bare git commands (bare.sh), each time in a fresh repository, with all agents
at once and with three. Elapsed time; in brackets the processor time of all processes (user and system) and
the peak of their memory together, shared pages counted once (PSS, looked at every 5 ms in a round of its
own, which is not timed).

The script and the bare commands leave syncing to git's defaults; git parallel syncs what a landing rests
on. '--fsync' makes all three sync alike.
"""

import os
import sys

from common import AGENT, HERE, files_of, interleave, machine, megabytes, numbers, sized, table, tasks_named

LOOK = 0.005

ROUNDS = 5


def options(parser):
    parser.add_argument("--files", type=numbers, default=[100, 10000], help="sizes of the repository, by commas")
    parser.add_argument("--repository", help="a real one instead, of which HEAD is taken")
    parser.add_argument("--tasks", type=numbers, default=[1, 4, 16], help="numbers of tasks, by commas")
    parser.add_argument("--jobs", type=jobs, default=["all", 3], help="agents at once, by commas [default: all,3]")
    parser.add_argument("--fsync", action="store_true", help="let git sync everything in all three ways")


def jobs(text):
    return [part if part == "all" else int(part) for part in text.split(",")]


def run(bench):
    rows = []
    for files in bench.sizes():
        for tasks in bench.args.tasks:
            for at_once in sorted({tasks if jobs == "all" else min(jobs, tasks) for jobs in bench.args.jobs}, reverse=True):
                rows.append(row(bench, files, tasks, at_once))
    heads = ["files", "tasks", "at once", "git parallel", "script", "bare git", "elapsed, to script", "processor, to script"]
    synced = ["all syncing alike"] if bench.args.fsync else []
    brackets = "in brackets: processor time, and the peak of all processes' memory (PSS)"
    return f"{machine(f'median of {bench.args.rounds} rounds', *synced, brackets)}\n{table(heads, rows)}"


def row(bench, files, tasks, at_once):
    template = bench.repository(files)
    count = [str(tasks), str(at_once), AGENT]
    commands = {
        "git parallel": [bench.binary, "run", "-y", "-j", str(at_once), *tasks_named(tasks), "--", AGENT, "{task}"],
        "script": [os.path.join(HERE, "by-hand.sh"), *count],
        "bare git": [os.path.join(HERE, "bare.sh"), *count],
    }

    def measure(command, sample=None):
        repository = bench.fresh(template)
        before = bench.git("ls-tree", "--name-only", "main", cwd=repository)
        result = bench.measure(command, repository, sample)
        check(bench, repository, before, tasks)
        return result

    ways = {way: lambda command=command: measure(command)[:2] for way, command in commands.items()}
    medians = interleave(f"overhead, {sized(files)}, {tasks} tasks, {at_once} at once", bench.args.rounds, ways)
    peaks = {way: measure(command, LOOK)[2] for way, command in commands.items()}
    cells = [f"{wall:.2f} s ({cpu:.2f} s, {megabytes(peaks[way])} MB)" for way, (wall, cpu) in medians.items()]
    ratios = [f"{mine / theirs:.2f}" for mine, theirs in zip(medians["git parallel"], medians["script"])]
    return [files_of(files), tasks, at_once, *cells, *ratios]


def check(bench, repository, before, tasks):
    """Whether the work was really done."""
    made = set(bench.git("ls-tree", "--name-only", "main", cwd=repository).split("\n")) - set(before.split("\n"))
    branches = bench.git("for-each-ref", "--format=%(refname)", "refs/heads", cwd=repository).split()
    if len(made) != tasks or branches != ["refs/heads/main"]:
        sys.exit(f"{repository}: not what was asked: {made}, {branches}")
    if bench.git("worktree", "list", "--porcelain", cwd=repository).count("worktree ") != 1:
        sys.exit(f"{repository}: worktrees are left")
