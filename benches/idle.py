"""What a run costs while all its agents think: processor time of the supervisor and of the process beside
each agent over some time, and their memory, with shared pages counted once (PSS); what a shim has for itself
is what it shares with nobody (USS). The agents' own memory is left out.
"""

import os
import signal
import subprocess
import sys
import time

from common import descendants, machine, megabytes, memory_of, table, tasks_named

ROUNDS = 1


def options(parser):
    parser.add_argument("--tasks", type=int, default=50, help="agents that sleep [default: 50]")
    parser.add_argument("--seconds", type=float, default=10, help="how long they are looked at; a minute tells more")
    parser.add_argument("--files", type=int, default=100, help="files of the repository")


def run(bench):
    args = bench.args
    looks = [look(bench) for _ in range(args.rounds)]
    rows = [row for one in looks for row in one]
    heads = ["what", "value"]
    return f"{machine(f'{args.tasks} agents that sleep', f'{args.seconds:g} s')}\n{table(heads, rows)}"


def look(bench):
    args = bench.args
    repository = bench.fresh(bench.repository(args.files))
    pipe = bench.path("pipe")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)
    agent = f"echo >{pipe}; exec sleep 100000"
    command = [bench.binary, "run", "-y", "-q", "-j", str(args.tasks), *tasks_named(args.tasks), "--", "sh", "-c", agent]
    process = subprocess.Popen(command, cwd=repository, env=bench.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    there = 0
    while there < args.tasks:
        there += len(os.read(reader, args.tasks))
    os.remove(pipe)
    os.close(reader)
    # What belongs to the start comes to its end.
    time.sleep(3)
    shims = [pid for pid in descendants(process.pid) if is_ours(pid, bench.binary)]
    if len(shims) < args.tasks:
        sys.exit(f"{len(shims)} processes beside {args.tasks} agents are to be seen")
    before = [spent(pid) for pid in [process.pid, *shims]]
    time.sleep(args.seconds)
    after = [spent(pid) for pid in [process.pid, *shims]]
    used = [(a[0] - b[0], a[1] - b[1]) for a, b in zip(after, before)]
    memory = [memory_of(pid) for pid in [process.pid, *shims]]
    process.send_signal(signal.SIGTERM)
    process.wait()
    own = sorted(one["Private_Clean"] + one["Private_Dirty"] for one in memory[1:])
    each = sorted(one["Pss"] for one in memory[1:])
    return [
        ["processor time of the supervisor", f"{used[0][0] * 1000:.2f} ms, woken {used[0][1]} times"],
        ["processor time of all shims", f"{sum(one[0] for one in used[1:]) * 1000:.2f} ms, woken {sum(one[1] for one in used[1:])} times"],
        ["memory of all together (PSS)", f"{megabytes(sum(one['Pss'] for one in memory))} MB"],
        ["of it, the supervisor", f"{megabytes(memory[0]['Pss'])} MB"],
        ["a shim (PSS), median", f"{megabytes(each[len(each) // 2])} MB"],
        ["what a shim shares with nobody (USS), at most", f"{megabytes(own[-1])} MB"],
    ]


def is_ours(pid, binary):
    """Whether the process is one of git parallel's own: its program is the same file, or a copy of that."""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False
    return "parallel" in os.path.basename(program) or os.path.basename(binary) in program


def spent(pid):
    """Processor time in seconds, and how often it was put on a processor, all threads together."""
    total = [0.0, 0]
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                ran, _, times = file.read().split()
            total = [total[0] + int(ran) / 1e9, total[1] + int(times)]
    except OSError:
        pass
    return total
