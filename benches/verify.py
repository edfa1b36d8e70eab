"""What it costs to check finished tasks before they land, one after the other and several at once.

The tasks are finished when the clock starts; 'git parallel land' then checks each on top of the one before
with 'sleep SECONDS' and lands it. All must have landed, and every tree must have been checked.
"""

import os
import subprocess
import sys
import time

from common import interleave, machine, numbers, table, tasks_named

ROUNDS = 3


def options(parser):
    parser.add_argument("--files", type=int, default=100, help="files of the repository")
    parser.add_argument("--tasks", type=int, default=8, help="finished tasks")
    parser.add_argument("--seconds", type=float, default=2, help="how long a check takes")
    parser.add_argument("--jobs", type=numbers, default=[1, 2, 4, 8], help="checks at once, by commas")


def run(bench):
    args = bench.args
    ways = {jobs: lambda jobs=jobs: (measure(bench, jobs),) for jobs in args.jobs}
    medians = {jobs: taken for jobs, (taken,) in interleave("verify", args.rounds, ways).items()}
    one = medians.get(1, args.tasks * args.seconds)
    rows = [[jobs, f"{taken:.2f} s", f"{one / taken:.1f} times faster"] for jobs, taken in medians.items()]
    heads = ["checks at once", "until all have landed", "to one at a time"]
    told = machine(f"{args.tasks} tasks", f"a check of {args.seconds:g} s", f"median of {args.rounds} rounds")
    return f"{told}\n{table(heads, rows)}"


def measure(bench, jobs):
    args = bench.args
    repository, log = bench.fresh(bench.repository(args.files)), bench.path("checked")
    check = f"git rev-parse HEAD^{{tree}} >>{log}; sleep {args.seconds}"
    command = [bench.binary, "run", "-y", "-q", "-j", "16", "--no-land", "--verify", check, f"--verify-jobs={jobs}"]
    command += [*tasks_named(args.tasks), "--", "sh", "-c", "echo $GIT_PARALLEL_TASK >$GIT_PARALLEL_TASK"]
    subprocess.run(command, cwd=repository, env=bench.env, stdout=subprocess.DEVNULL, check=True)
    started = time.monotonic()
    subprocess.run([bench.binary, "land"], cwd=repository, env=bench.env, stdout=subprocess.DEVNULL, check=True)
    taken = time.monotonic() - started
    trees = bench.git("log", "--first-parent", "--format=%T", f"-n{args.tasks}", cwd=repository)
    with open(log) as file:
        checked = file.read().split()
    os.remove(log)
    if sorted(trees.split()) != sorted(checked):
        sys.exit("what landed is not what was checked")
    return taken
