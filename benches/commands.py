"""What the small commands cost: '-h', 'status' and its kin after a run of many tasks, and the time from
'git parallel run' to its first agent.

'status' replays the journal, so that its cost per task tells whether a replay is linear. The first agent
tells by a pipe that it is there; to it counts everything from the start of the process.
"""

import os
import subprocess
import time

from common import AGENT, interleave, machine, numbers, sized, table, tasks_named

ROUNDS = 15


def options(parser):
    parser.add_argument("--files", type=numbers, default=[100], help="sizes of the repository, by commas")
    parser.add_argument("--repository", help="a real one instead, of which HEAD is taken")
    parser.add_argument("--tasks", type=numbers, default=[100, 1000], help="tasks of the runs that status tells of")
    parser.add_argument("--starts", type=numbers, default=[1, 16], help="tasks of the runs that are started")


def run(bench):
    rows = []
    for files in bench.sizes():
        rows += started(bench, files)
    for tasks in bench.args.tasks:
        rows += asked(bench, bench.sizes()[0], tasks)
    heads = ["command", "elapsed", "processor"]
    return f"{machine(f'median of {bench.args.rounds} rounds')}\n{table(heads, rows)}"


def shown(name, medians):
    return [name, *(f"{value * 1000:.1f} ms" for value in medians)]


def asked(bench, files, tasks):
    """What is asked of a run that is over."""
    repository = bench.fresh(bench.repository(files))
    bench.measure([bench.binary, "run", "-y", "-q", "-j", "16", *tasks_named(tasks), "--", AGENT, "{task}"], repository)
    commands = {"-h": ["-h"], "status": ["status"], "status --json": ["status", "--json"], "list": ["list"], "report": ["report"]}
    if tasks != max(bench.args.tasks):
        commands = {"status": ["status"]}
    ways = {name: lambda words=words: bench.measure([bench.binary, *words], repository)[:2] for name, words in commands.items()}
    medians = interleave(f"commands, after {tasks} tasks", bench.args.rounds, ways)
    return [shown(name if name == "-h" else f"{name}, {tasks:,} tasks", values) for name, values in medians.items()]


def started(bench, files):
    """From the start of 'run' to its first agent."""
    ways = {tasks: lambda tasks=tasks: first_agent(bench, files, tasks) for tasks in bench.args.starts}
    medians = interleave(f"commands, start-up, {sized(files)}", bench.args.rounds, ways)
    name = lambda tasks: f"run to its first agent, {tasks} task{'s' * (tasks > 1)}, {sized(files)}"  # noqa: E731
    return [[name(tasks), f"{elapsed * 1000:.1f} ms", ""] for tasks, (elapsed,) in medians.items()]


def first_agent(bench, files, tasks):
    repository = bench.fresh(bench.repository(files))
    pipe = bench.path("pipe")
    os.mkfifo(pipe)
    # For writing, too: else it would be at its end whenever no agent has it open.
    reader = os.open(pipe, os.O_RDWR)
    command = [bench.binary, "run", "-y", "-q", "-j", str(tasks), *tasks_named(tasks), "--", "sh", "-c", f"echo >{pipe}"]
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=repository, env=bench.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.read(reader, 1)
    elapsed = time.monotonic() - begun
    process.wait()
    os.close(reader)
    os.remove(pipe)
    return (elapsed,)
