#!/usr/bin/env python3
"""Measures what it costs to know which of many branches conflict.

Each branch changes a line in 20 files, 4 of them out of the hundredth of all files that is changed often.
The same matrix is made by 'git parallel conflicts' and by one 'git merge-tree' for each pair of branches,
and for each branch with the target, in turns. Both must find the same conflicts. Prints the medians of the
elapsed time and the ratio, as a table for the README. '--objects' also measures what the temporary
object directory costs against the repository's own.
"""

import argparse
import importlib.machinery
import importlib.util
import itertools
import json
import os
import random
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
    parser.add_argument("--files", type=int, default=10000, help="files of the repository")
    parser.add_argument("--branches", type=overhead.numbers, default=[10, 50], help="numbers of branches, by commas")
    parser.add_argument("--changes", type=int, default=20, help="files that each branch changes [default: 20]")
    parser.add_argument("--binary", help="the git-parallel to measure [default: a release build]")
    parser.add_argument("--objects", action="store_true", help="measure both places for objects, too")
    parser.add_argument("--readme", action="store_true", help="put the table into the README as well")
    parser.add_argument("--dir", help="where to work [default: a temporary directory]")
    args = parser.parse_args()

    binary = os.path.abspath(args.binary or overhead.build())
    home = tempfile.mkdtemp(prefix="git-parallel-bench-", dir=args.dir)
    try:
        env = overhead.environment(home, False)
        repository = os.path.join(home, "repo")
        overhead.make_repository(repository, env, args.files)
        names = make_branches(repository, env, args)
        rows = [measure(args, repository, env, binary, names[:count]) for count in args.branches]
        text = report(rows, args)
        print(text)
        if args.objects:
            objects(repository, env, home, names, args.rounds)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if args.readme:
        overhead.update(os.path.join(HERE, "..", "README.md"), text, "benches/conflicts")


def make_branches(repository, env, args):
    """Branches that each change a line of some files, of which some are changed often, and add one."""
    source = random.Random(args.changes)
    busy = source.sample(range(args.files), args.files // 100)
    count = max(args.branches)
    stream = []
    for number in range(count):
        stream.append(f"commit refs/heads/b{number:02}\ncommitter Bench <bench@example.org> 0 +0000\ndata 1\nb\nfrom main^0\n")
        some = args.changes // 5
        files = {*source.sample(busy, some), *source.sample(range(args.files), args.changes - some)}
        for file in sorted(files):
            path = f"d{file // 100:03}/f{file:05}.txt"
            with open(os.path.join(repository, path)) as old:
                lines = old.readlines()
            lines[source.randrange(len(lines))] = f"changed by {number}\n"
            stream.append(f"M 100644 inline {path}\n{data(''.join(lines))}")
        stream.append(f"M 100644 inline new/{number}\n{data(f'{number}')}")
    stream = "".join(stream).encode()
    subprocess.run(["git", "fast-import", "--quiet"], input=stream, cwd=repository, env=env, check=True)
    return [f"b{number:02}" for number in range(count)]


def data(text):
    return f"data {len(text)}\n{text}\n"


def measure(args, repository, env, binary, names):
    ways = {"git parallel": lambda: matrix(repository, env, binary, names), "git merge-tree": lambda: by_hand(repository, env, names)}
    times = {way: [] for way in ways}
    for number in range(args.rounds):
        print(f"{len(names)} branches, round {number + 1} of {args.rounds}", file=sys.stderr)
        found = {}
        for way, run in ways.items():
            started = time.monotonic()
            found[way] = run()
            times[way].append(time.monotonic() - started)
        if found["git parallel"] != found["git merge-tree"]:
            sys.exit(f"they do not agree: {found}")
    conflicts = len(found["git parallel"])
    return len(names), conflicts, {way: statistics.median(taken) for way, taken in times.items()}


def matrix(repository, env, binary, names):
    command = [binary, "conflicts", "--json", "--into", "main", *names]
    done = subprocess.run(command, cwd=repository, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode > 1:
        sys.exit("git parallel conflicts failed")
    return sorted(tuple(conflict["branches"]) for conflict in json.loads(done.stdout)["conflicts"])


def by_hand(repository, env, names):
    """What a careful script does: one call for each pair, and no more asked than whether it conflicts."""
    found = []
    for pair in itertools.combinations(["main", *names], 2):
        command = ["git", "merge-tree", "--write-tree", "--name-only", "--no-messages", *pair]
        done = subprocess.run(command, cwd=repository, env=env, stdout=subprocess.PIPE)
        if done.returncode == 1:
            found.append(pair)
        elif done.returncode != 0:
            sys.exit("git merge-tree failed")
    return sorted(found)


def objects(repository, env, home, names, rounds):
    """All pairs by one 'git merge-tree --stdin', with its objects here or there."""
    pairs = "".join(f"{one} {other}\n" for one, other in itertools.combinations(names, 2)).encode()
    command = ["git", "-c", "core.fsync=none", "merge-tree", "--write-tree", "--stdin", "-z", "--name-only", "--no-messages"]
    times = {"its own": [], "temporary": []}
    for number in range(rounds):
        for place in times:
            work, there = os.path.join(home, "copy"), os.path.join(home, "objects")
            shutil.copytree(repository, work)
            os.makedirs(there)
            extra = {"GIT_OBJECT_DIRECTORY": there, "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.path.join(work, ".git/objects")}
            call = [*command[:1], *(["-c", "core.looseCompression=0"] if place == "temporary" else []), *command[1:]]
            started = time.monotonic()
            subprocess.run(call, cwd=work, env={**env, **(extra if place == "temporary" else {})}, input=pairs, stdout=subprocess.DEVNULL, check=True)
            shutil.rmtree(there)
            times[place].append(time.monotonic() - started)
            shutil.rmtree(work)
    for place, taken in times.items():
        print(f"{len(names)} branches, each pair, objects in {place} directory: {statistics.median(taken):.2f} s")


def report(rows, args):
    git_version = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.strip()
    lines = [
        f"{git_version}, {os.cpu_count()} processors, {args.files:,} files, median of {args.rounds} rounds:",
        "",
        "| branches | conflicts | git parallel conflicts | git merge-tree for each pair | ratio |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for count, conflicts, medians in rows:
        mine, theirs = medians["git parallel"], medians["git merge-tree"]
        lines.append(f"| {count} | {conflicts} | {mine:.3f} s | {theirs:.2f} s | {theirs / mine:.0f} times faster |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
