"""What it costs to land one more finished task.

The branches and worktrees of finished tasks are there when the clock starts. 'git parallel land' lands them
all; a script merges each branch, removes its worktree and deletes the branch. What one task costs is the
slope between two numbers of tasks, so that starting up does not count; so is the number of git processes
(git's own children among them), counted by GIT_TRACE2_EVENT in a round of its own.
"""

import os
import shutil

from common import AGENT, files_of, interleave, machine, numbers, sized, table, tasks_named

SCRIPT = """
set -eu
for task; do
    git merge -q --no-edit "feature/$task"
    git worktree remove "../repo.worktrees/$task"
    git branch -q -d "feature/$task"
done
"""

ROUNDS = 3


def options(parser):
    parser.add_argument("--files", type=numbers, default=[100, 10000], help="sizes of the repository, by commas")
    parser.add_argument("--repository", help="a real one instead, of which HEAD is taken")
    parser.add_argument("--tasks", type=numbers, default=[4, 24], help="the two numbers of tasks")


def run(bench):
    few, many = sorted(bench.args.tasks)
    rows = []
    for files in bench.sizes():
        results = interleave(f"landing, {sized(files)}", bench.args.rounds, ways(bench, files, (few, many)))
        spawned = {way: count(bench, files, *way) for way in results}
        for way in ("git parallel", "script"):
            slopes = [(b - a) / (many - few) for a, b in zip(results[way, few], results[way, many])]
            git = (spawned[way, many] - spawned[way, few]) / (many - few)
            rows.append([way, files_of(files), *(f"{slope * 1000:.1f} ms" for slope in slopes), f"{git:.1f}"])
    heads = ["way", "files", "elapsed, a task", "processor, a task", "git processes, a task"]
    return f"{machine(f'median of {bench.args.rounds} rounds')}\n{table(heads, rows)}"


def ways(bench, files, sizes):
    made = {}
    for way in ("git parallel", "script"):
        for tasks in sizes:
            made[way, tasks] = lambda way=way, tasks=tasks: land(bench, files, way, tasks)
    return made


def land(bench, files, way, tasks, **env):
    repository = bench.fresh(bench.repository(files))
    names = tasks_named(tasks)
    bench.measure([bench.binary, "run", "-y", "-q", "-j", "8", "--no-land", *names, "--", AGENT, "{task}"], repository)
    os.sync()
    command = [bench.binary, "land"] if way == "git parallel" else ["sh", "-c", SCRIPT, "sh", *names]
    result = bench.measure(command, repository, **env)[:2]
    if bench.git("for-each-ref", "--format=%(refname)", "refs/heads", cwd=repository).split() != ["refs/heads/main"]:
        raise SystemExit(f"{way}: not all have landed")
    return result


def count(bench, files, way, tasks):
    """The git processes of a landing: each writes a file."""
    traces = bench.path("traces")
    os.makedirs(traces)
    land(bench, files, way, tasks, GIT_TRACE2_EVENT=traces)
    spawned = len(os.listdir(traces))
    shutil.rmtree(traces)
    return spawned
