#!/usr/bin/env python3
"""Measures what it costs to check finished tasks before they land, one after the other and several at once.

The tasks are finished when the clock starts; 'git parallel land' then checks each on top of the one before
with 'sleep SECONDS' and lands it. All must have landed, and every tree must have been checked. Prints the
medians of the elapsed time and the ratio to one check at a time, as a table for the README.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def load(name):
    """Another benchmark, for what they share."""
    import importlib.machinery
    import importlib.util

    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(HERE, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


overhead = load("overhead")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement [default: 3]")
    parser.add_argument("--files", type=int, default=100, help="files of the repository")
    parser.add_argument("--tasks", type=int, default=8, help="finished tasks")
    parser.add_argument("--seconds", type=float, default=2, help="how long a check takes")
    parser.add_argument("--jobs", type=overhead.numbers, default=[1, 2, 4, 8], help="checks at once, by commas")
    parser.add_argument("--binary", help="the git-parallel to measure [default: a release build]")
    parser.add_argument("--readme", action="store_true", help="put the table into the README as well")
    parser.add_argument("--dir", help="where to work [default: a temporary directory]")
    args = parser.parse_args()

    binary = os.path.abspath(args.binary or overhead.build())
    home = tempfile.mkdtemp(prefix="git-parallel-bench-", dir=args.dir)
    try:
        env = overhead.environment(home, False)
        template = os.path.join(home, "template")
        overhead.make_repository(template, env, args.files)
        times = {jobs: [] for jobs in args.jobs}
        for number in range(args.rounds):
            for jobs, taken in times.items():
                print(f"{jobs} at once, round {number + 1} of {args.rounds}", file=sys.stderr)
                taken.append(measure(args, template, home, env, binary, jobs))
        text = report({jobs: statistics.median(taken) for jobs, taken in times.items()}, args)
        print(text)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if args.readme:
        overhead.update(os.path.join(HERE, "..", "README.md"), text, "benches/verify")


def measure(args, template, home, env, binary, jobs):
    repository, log = os.path.join(home, "work", "repo"), os.path.join(home, "checked")
    shutil.copytree(template, repository)
    tasks = [f"t{number}" for number in range(args.tasks)]
    check = f"git rev-parse HEAD^{{tree}} >>{log}; sleep {args.seconds}"
    run = [binary, "run", "-y", "-q", "-j", "16", "--no-land", "--verify", check, f"--verify-jobs={jobs}", *tasks]
    run += ["--", "sh", "-c", "echo $GIT_PARALLEL_TASK >$GIT_PARALLEL_TASK"]
    subprocess.run(run, cwd=repository, env=env, stdout=subprocess.DEVNULL, check=True)
    started = time.monotonic()
    subprocess.run([binary, "land"], cwd=repository, env=env, stdout=subprocess.DEVNULL, check=True)
    taken = time.monotonic() - started
    trees = subprocess.run(["git", "log", "--first-parent", "--format=%T", f"-n{args.tasks}"], cwd=repository, env=env, stdout=subprocess.PIPE, text=True, check=True)
    with open(log) as file:
        checked = file.read().split()
    if sorted(trees.stdout.split()) != sorted(checked):
        sys.exit("what landed is not what was checked")
    shutil.rmtree(os.path.join(home, "work"))
    os.remove(log)
    return taken


def report(medians, args):
    git_version = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.strip()
    one = medians.get(1, args.tasks * args.seconds)
    lines = [
        f"{git_version}, {os.cpu_count()} processors, {args.tasks} tasks, a check of {args.seconds:g} s, median of {args.rounds} rounds:",
        "",
        "| checks at once | until all have landed | to one at a time |",
        "| ---: | ---: | ---: |",
    ]
    lines += [f"| {jobs} | {taken:.2f} s | {one / taken:.1f} times faster |" for jobs, taken in medians.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
