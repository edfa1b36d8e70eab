#!/usr/bin/env python3
"""Measures what it costs to make several worktrees of the same commit.

They are made by 'git worktree add', one after the other and all at once, by 'cp -a' of one that is there
(all at once; the copies are no worktrees yet), and by 'git parallel run' with agents that do nothing, its
whole run included; in turns, each time in a fresh clone. Prints the medians of the elapsed time and of the
processor time of all processes (user and system), as a table.
"""

import argparse
import importlib.machinery
import importlib.util
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
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(HERE, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


overhead = load("overhead")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement [default: 5]")
    parser.add_argument("--worktrees", type=int, default=8, help="how many are made [default: 8]")
    parser.add_argument("--repository", help="a real one, of which HEAD is taken [default: one that is made]")
    parser.add_argument("--files", type=int, default=10000, help="files of the repository that is made")
    parser.add_argument("--binary", help="the git-parallel to measure [default: a release build]")
    parser.add_argument("--dir", help="where to work [default: a temporary directory]")
    args = parser.parse_args()

    binary = os.path.abspath(args.binary or overhead.build())
    overhead.adopt()
    home = tempfile.mkdtemp(prefix="git-parallel-bench-", dir=args.dir)
    try:
        env = overhead.environment(home, False)
        source = args.repository and os.path.abspath(args.repository)
        if not source:
            source = os.path.join(home, "source")
            overhead.make_repository(source, env, args.files)
        print(report(measure_all(args, home, env, binary, source), args.rounds))
    finally:
        shutil.rmtree(home, ignore_errors=True)


def measure_all(args, home, env, binary, source):
    names = [f"t{number}" for number in range(1, args.worktrees + 1)]
    add = [["git", "worktree", "add", "-q", "-B", name, f"../{name}", "HEAD"] for name in names]
    run = [binary, "run", "-y", "--no-land", "--keep", "-j", str(len(names)), *names, "--", "true"]
    ways = {
        "git worktree add, one after the other": lambda: one_after_the_other(add, home, env),
        "git worktree add, all at once": lambda: all_at_once(add, home, env),
        "cp -a, all at once": lambda: all_at_once([["cp", "-a", ".", f"../{name}"] for name in names], home, env),
        "git parallel run": lambda: one_after_the_other([run], home, env),
    }
    times = {way: [] for way in ways}
    for number in range(args.rounds):
        for way, make in ways.items():
            print(f"round {number + 1} of {args.rounds}: {way}", file=sys.stderr)
            times[way].append(measure(home, env, source, way, make, len(names)))
    return {way: tuple(map(statistics.median, zip(*taken))) for way, taken in times.items()}


def measure(home, env, source, way, make, count):
    """Elapsed and processor time of one way in a fresh clone."""
    work = os.path.join(home, "work")
    repository = os.path.join(work, "repo")
    os.makedirs(work)
    subprocess.run(["git", "clone", "-q", "--shared", source, repository], env=env, check=True)
    if way.startswith("cp"):
        shutil.move(os.path.join(repository, ".git"), os.path.join(work, "git"))
    os.sync()
    started = time.monotonic()
    processor = make()
    elapsed = time.monotonic() - started
    if way.startswith("cp"):
        made = sum(len(os.listdir(os.path.join(work, name))) > 0 for name in os.listdir(work) if name.startswith("t"))
    else:
        listed = subprocess.run(["git", "worktree", "list", "--porcelain"], cwd=repository, env=env, check=True, capture_output=True, text=True)
        paths = [line[9:] for line in listed.stdout.splitlines() if line.startswith("worktree ")][1:]
        made = sum(not changes(path, env) for path in paths)
    if made != count:
        sys.exit(f"{way}: {made} worktrees are as they should be")
    shutil.rmtree(work)
    return elapsed, processor


def changes(path, env):
    return subprocess.run(["git", "status", "--porcelain"], cwd=path, env=env, check=True, capture_output=True).stdout


def one_after_the_other(commands, home, env):
    return sum(all_at_once([command], home, env) for command in commands)


def all_at_once(commands, home, env):
    """The processor time. What fails is done again by itself: git reads what another git has half written."""
    repository, processor, failed = os.path.join(home, "work", "repo"), 0.0, []
    with open(os.path.join(home, "output"), "w+") as output:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        running = [(subprocess.Popen(command, cwd=repository, env=env, **pipes), command) for command in commands]
        for process, command in running:
            _, status, usage = os.wait4(process.pid, 0)
            processor += usage.ru_utime + usage.ru_stime
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                failed.append(command)
        output.seek(0)
        if len(failed) == len(commands):
            sys.exit(f"{failed[0]} failed:\n{output.read()}")
    processor += overhead.rest()
    return processor + sum(all_at_once([command], home, env) for command in failed)


def report(medians, rounds):
    git_version = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.strip()
    first = next(iter(medians.values()))
    lines = [
        f"{git_version}, {os.cpu_count()} processors, median of {rounds} rounds:",
        "",
        "| way | elapsed | processor | elapsed, to the first | processor, to the first |",
        "| :-- | ---: | ---: | ---: | ---: |",
    ]
    for way, (elapsed, processor) in medians.items():
        lines.append(f"| {way} | {elapsed:.2f} s | {processor:.2f} s | {elapsed / first[0]:.2f} | {processor / first[1]:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
