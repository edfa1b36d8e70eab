"""What it costs to know which of many branches conflict.

Each branch changes a line in 20 files, 4 of them out of the hundredth of all files that is changed often.
The same matrix is made by 'git parallel conflicts' and by one 'git merge-tree' for each pair of branches,
and for each branch with the target. Both must find the same conflicts. '--objects' also measures what the
temporary object directory costs against the repository's own.
"""

import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time

from common import interleave, machine, numbers, table

ROUNDS = 5


def options(parser):
    parser.add_argument("--files", type=int, default=10000, help="files of the repository")
    parser.add_argument("--branches", type=numbers, default=[10, 50], help="numbers of branches, by commas")
    parser.add_argument("--changes", type=int, default=20, help="files that each branch changes [default: 20]")
    parser.add_argument("--objects", action="store_true", help="measure both places for objects, too")


def run(bench):
    args = bench.args
    repository = bench.fresh(bench.repository(args.files))
    names = make_branches(repository, bench.env, args)
    rows = [measure(bench, repository, names[:count]) for count in args.branches]
    heads = ["branches", "conflicts", "git parallel conflicts", "git merge-tree for each pair", "ratio"]
    text = f"{machine(f'{args.files:,} files', f'median of {args.rounds} rounds')}\n{table(heads, rows)}"
    return text + (objects(bench, repository, names) if args.objects else "")


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


def measure(bench, repository, names):
    found = {}

    def timed(way, look):
        started = time.monotonic()
        found[way] = look(repository, bench, names)
        return (time.monotonic() - started,)

    ways = {"git parallel": lambda: timed("mine", matrix), "git merge-tree": lambda: timed("theirs", by_hand)}
    medians = interleave(f"conflicts, {len(names)} branches", bench.args.rounds, ways)
    if found["mine"] != found["theirs"]:
        sys.exit(f"they do not agree: {found}")
    (mine,), (theirs,) = medians.values()
    return [len(names), len(found["mine"]), f"{mine:.3f} s", f"{theirs:.2f} s", f"{theirs / mine:.2g} times faster"]


def matrix(repository, bench, names):
    command = [bench.binary, "conflicts", "--json", "--into", "main", *names]
    done = subprocess.run(command, cwd=repository, env=bench.env, stdout=subprocess.PIPE, text=True)
    if done.returncode > 1:
        sys.exit("git parallel conflicts failed")
    return sorted(tuple(conflict["branches"]) for conflict in json.loads(done.stdout)["conflicts"])


def by_hand(repository, bench, names):
    """What a careful script does: one call for each pair, and no more asked than whether it conflicts."""
    found = []
    for pair in itertools.combinations(["main", *names], 2):
        command = ["git", "merge-tree", "--write-tree", "--name-only", "--no-messages", *pair]
        done = subprocess.run(command, cwd=repository, env=bench.env, stdout=subprocess.PIPE)
        if done.returncode == 1:
            found.append(pair)
        elif done.returncode != 0:
            sys.exit("git merge-tree failed")
    return sorted(found)


def objects(bench, repository, names):
    """All pairs by one 'git merge-tree --stdin', with its objects here or there."""
    pairs = "".join(f"{one} {other}\n" for one, other in itertools.combinations(names, 2)).encode()
    command = ["git", "-c", "core.fsync=none", "merge-tree", "--write-tree", "--stdin", "-z", "--name-only", "--no-messages"]
    times = {"its own": [], "temporary": []}
    for _ in range(bench.args.rounds):
        for place in times:
            work, there = bench.path("copy"), bench.path("objects")
            shutil.copytree(repository, work)
            os.makedirs(there)
            extra = {"GIT_OBJECT_DIRECTORY": there, "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.path.join(work, ".git/objects")}
            call = [*command[:1], *(["-c", "core.looseCompression=0"] if place == "temporary" else []), *command[1:]]
            started = time.monotonic()
            subprocess.run(call, cwd=work, env={**bench.env, **(extra if place == "temporary" else {})}, input=pairs, stdout=subprocess.DEVNULL, check=True)
            shutil.rmtree(there)
            times[place].append(time.monotonic() - started)
            shutil.rmtree(work)
    told = [f"{len(names)} branches, each pair, objects in {place} directory: {statistics.median(taken):.2f} s\n" for place, taken in times.items()]
    return "\n" + "".join(told)
