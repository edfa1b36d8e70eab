"""What a task costs where there are many: of a run, and branches of others in the repository.

Runs with '-j 16' on a small repository, by 'git parallel run' and, with '--script', by the careful script,
too; then the smallest of these runs with 5,000 branches in the repository, loose and packed. Memory is that
of all processes together (PSS), looked at every 100 ms.
"""

import os
import time

from common import AGENT, HERE, interleave, machine, megabytes, numbers, table, tasks_named

ROUNDS = 1


def options(parser):
    parser.add_argument("--files", type=int, default=100, help="files of the repository")
    parser.add_argument("--tasks", type=numbers, default=[100, 1000], help="numbers of tasks, by commas")
    parser.add_argument("--jobs", type=int, default=16, help="agents at once")
    parser.add_argument("--branches", type=int, default=5000, help="branches that are in the way; 0 for none")
    parser.add_argument("--script", action="store_true", help="the careful script, too; it takes its time")


def run(bench):
    args = bench.args
    few, *more = sorted(args.tasks)
    kinds = [("none", tasks) for tasks in (few, *more)]
    kinds += [(refs, few) for refs in ("loose", "packed")] if args.branches else []
    who = ["git parallel", "script"] if args.script else ["git parallel"]
    ways = {(way, *kind): lambda way=way, kind=kind: measure(bench, way, *kind) for kind in kinds for way in who}
    medians = interleave("scale", args.rounds, ways)
    rows = []
    for (way, refs, tasks), (wall, processor, memory) in medians.items():
        to_few = wall / medians[way, "none", few][0]
        others = refs if refs == "none" else f"{args.branches:,} {refs}"
        each = [f"{value / tasks * 1000:.1f} ms" for value in (wall, processor)]
        rows.append([way, tasks, others, f"{wall:.2f} s", *each, f"{to_few:.2f}", f"{megabytes(memory)} MB"])
    heads = ["way", "tasks", "other branches", "elapsed", "elapsed, a task", "processor, a task", "elapsed, to the first", "peak memory"]
    return f"{machine(f'-j {args.jobs}', f'median of {args.rounds} rounds')}\n{table(heads, rows)}"


def measure(bench, way, refs, tasks):
    args = bench.args
    repository = bench.fresh(bench.repository(args.files))
    if refs != "none":
        stream = "".join(f"create refs/heads/other/b{number:05} HEAD\n" for number in range(args.branches))
        bench.git("update-ref", "--stdin", cwd=repository, input=stream.encode())
        if refs == "packed":
            bench.git("pack-refs", "--all", cwd=repository)
        # Nobody's branches are all of this second.
        time.sleep(3)
    os.sync()
    jobs = str(args.jobs)
    commands = {
        "git parallel": [bench.binary, "run", "-y", "-q", "-j", jobs, *tasks_named(tasks), "--", AGENT, "{task}"],
        "script": [os.path.join(HERE, "by-hand.sh"), str(tasks), jobs, AGENT],
    }
    return bench.measure(commands[way], repository, sample=0.1)
