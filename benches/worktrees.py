"""What it costs to make several worktrees of the same commit.

They are made by 'git worktree add', one after the other and all at once, by 'cp -a' of one that is there
(all at once; the copies are no worktrees yet), and by 'git parallel run' with agents that do nothing, its
whole run included; each time in a fresh clone. Elapsed time, and processor time of all processes.
"""

import os
import shutil
import subprocess
import sys
import time

from common import interleave, machine, numbers, rest, sized, table, tasks_named

ROUNDS = 5


def options(parser):
    parser.add_argument("--worktrees", type=int, default=8, help="how many are made [default: 8]")
    parser.add_argument("--repository", help="a real one, of which HEAD is taken [default: one that is made]")
    parser.add_argument("--files", type=numbers, default=[10000], help="files of the repository that is made")


def run(bench):
    args = bench.args
    text = []
    for files in bench.sizes():
        medians = measure_all(bench, files)
        first = next(iter(medians.values()))
        rows = [
            [way, f"{elapsed:.2f} s", f"{processor:.2f} s", f"{elapsed / first[0]:.2f}", f"{processor / first[1]:.2f}"]
            for way, (elapsed, processor) in medians.items()
        ]
        heads = ["way", "elapsed", "processor", "elapsed, to the first", "processor, to the first"]
        told = machine(f"{args.worktrees} worktrees, {sized(files)}", f"median of {args.rounds} rounds")
        text.append(f"{told}\n{table(heads, rows)}")
    return "\n".join(text)


def measure_all(bench, files):
    names = tasks_named(bench.args.worktrees)
    add = [["git", "worktree", "add", "-q", "-B", name, f"../{name}", "HEAD"] for name in names]
    copy = [["cp", "-a", ".", f"../{name}"] for name in names]
    run = [bench.binary, "run", "-y", "--no-land", "--keep", "-j", str(len(names)), *names, "--", "true"]
    makers = {
        "git worktree add, one after the other": lambda: one_after_the_other(add, bench),
        "git worktree add, all at once": lambda: all_at_once(add, bench),
        "cp -a, all at once": lambda: all_at_once(copy, bench),
        "git parallel run": lambda: one_after_the_other([run], bench),
    }
    ways = {way: lambda way=way, make=make: measure(bench, files, way, make, len(names)) for way, make in makers.items()}
    return interleave(f"worktrees, {sized(files)}", bench.args.rounds, ways)


def measure(bench, files, way, make, count):
    """Elapsed and processor time of one way in a fresh clone."""
    source = bench.repository(files)
    work = bench.path("work")
    repository = os.path.join(work, "repo")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    bench.git("clone", "-q", "--shared", source, repository, cwd=work)
    if way.startswith("cp"):
        shutil.move(os.path.join(repository, ".git"), os.path.join(work, "git"))
    os.sync()
    started = time.monotonic()
    processor = make()
    elapsed = time.monotonic() - started
    if way.startswith("cp"):
        made = sum(len(os.listdir(os.path.join(work, name))) > 0 for name in os.listdir(work) if name.startswith("t"))
    else:
        listed = bench.git("worktree", "list", "--porcelain", cwd=repository)
        paths = [line[9:] for line in listed.splitlines() if line.startswith("worktree ")][1:]
        made = sum(not bench.git("status", "--porcelain", cwd=path) for path in paths)
    if made != count:
        sys.exit(f"{way}: {made} worktrees are as they should be")
    shutil.rmtree(work)
    return elapsed, processor


def one_after_the_other(commands, bench):
    return sum(all_at_once([command], bench) for command in commands)


def all_at_once(commands, bench):
    """The processor time. What fails is done again by itself: git reads what another git has half written."""
    repository, processor, failed = bench.path("work", "repo"), 0.0, []
    with open(bench.path("output"), "w+") as output:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        running = [(subprocess.Popen(command, cwd=repository, env=bench.env, **pipes), command) for command in commands]
        for process, command in running:
            _, status, usage = os.wait4(process.pid, 0)
            processor += usage.ru_utime + usage.ru_stime
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                failed.append(command)
        output.seek(0)
        if len(failed) == len(commands):
            sys.exit(f"{failed[0]} failed:\n{output.read()}")
    processor += rest()
    return processor + sum(all_at_once([command], bench) for command in failed)
