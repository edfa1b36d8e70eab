"""What runs on a Slurm cluster of this machine's own cost (tests/slurm/cluster; needs root, slurm-wlm and munge).

First many short tasks at once: how long from the first being started until the last has landed, and how long each
takes until its agent has ended and until it has landed. Then as many that only sleep: how much of a processor the
supervisor takes while all of them run. All tasks must land. The same is measured with agents that are processes of
this machine.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from datetime import datetime

from common import HERE, machine, table

CLUSTER = os.path.join(HERE, "..", "tests", "slurm", "cluster")

ROUNDS = 3


def options(parser):
    parser.add_argument("--files", type=int, default=100, help="files of the repository")
    parser.add_argument("--tasks", type=int, default=50, help="tasks, all at once")
    parser.add_argument("--seconds", type=int, default=60, help="how long the supervisor is watched")


def run(bench):
    args = bench.args
    cluster = bench.path("cluster")
    os.mkdir(cluster)
    cpus = {**os.environ, "CLUSTER_CPUS": str(-(-args.tasks // 3))}
    guard = subprocess.Popen([CLUSTER, cluster, "guard"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=cpus)
    try:
        if guard.stdout.readline() != b"up\n":
            sys.exit("the cluster does not start")
        env = {**bench.env, "SLURM_CONF": os.path.join(cluster, "slurm.conf")}
        repository = bench.fresh(bench.repository(args.files))
        measured = [measure(bench.binary, repository, env, runner, args) for runner in ("slurm", "local")]
        return report(measured, args, env)
    finally:
        guard.stdin.close()
        guard.wait()


def measure(binary, repository, env, runner, args):
    """The three medians, and the supervisor's share of a processor."""
    whole, ended, landed = [], [], []
    for number in range(args.rounds):
        print(f"{runner}: short tasks, round {number + 1} of {args.rounds}", file=sys.stderr)
        names = [f"{runner}{number}t{task}" for task in range(args.tasks)]
        start(binary, repository, env, runner, names, "echo $GIT_PARALLEL_TASK >$GIT_PARALLEL_TASK").wait()
        times = journal(repository, args.tasks)
        whole.append(times[0])
        ended += times[1]
        landed += times[2]
    print(f"{runner}: the supervisor's own time", file=sys.stderr)
    share = idle(binary, repository, env, runner, args)
    return [statistics.median(times) for times in (whole, ended, landed)] + [share]


def start(binary, repository, env, runner, names, agent):
    run = [binary, "run", "-y", "-q", "--runner", runner, "-j", str(len(names)), *names, "--", "sh", "-c", agent]
    return subprocess.Popen(run, cwd=repository, env=env, stdout=subprocess.DEVNULL)


def events(repository):
    runs = os.path.join(repository, ".git", "parallel", "runs")
    with open(os.path.join(runs, max(os.listdir(runs)), "journal.jsonl")) as file:
        return [json.loads(line) for line in file]


def seconds(event):
    # Of its nine digits, Python before 3.11 takes six.
    return datetime.strptime(event["at"].rstrip("Z")[:26].ljust(26, "0"), "%Y-%m-%dT%H:%M:%S.%f").timestamp()


def journal(repository, tasks):
    """From the first start to the last landing; and of each task, until its agent had ended and until it had landed."""
    found = events(repository)
    times = lambda event, step=None: {e["task"]: seconds(e) for e in found if (e["event"], e.get("step")) == (event, step)}
    started, ended, landed = times("begun", "start"), times("agent-exited"), times("landed")
    if len(landed) != tasks:
        sys.exit(f"{len(landed)} of {tasks} tasks have landed")
    whole = max(landed.values()) - min(started.values())
    return whole, *([at - started[task] for task, at in those.items()] for those in (ended, landed))


def idle(binary, repository, env, runner, args):
    """The share of a processor that the supervisor takes while all agents run."""
    names = [f"{runner}s{task}" for task in range(args.tasks)]
    supervisor = start(binary, repository, env, runner, names, f"sleep {args.seconds + 30}; echo x >$GIT_PARALLEL_TASK")
    while sum(e["event"] == "agent-started" for e in wait_for_events(repository, names[0])) < args.tasks:
        time.sleep(0.5)
    time.sleep(5)
    before = ticks(supervisor.pid)
    time.sleep(args.seconds)
    share = (ticks(supervisor.pid) - before) / os.sysconf("SC_CLK_TCK") / args.seconds
    if supervisor.wait() != 0:
        sys.exit("some task did not land")
    return share


def wait_for_events(repository, task):
    """The events of the run that this task is of, once it has begun."""
    found = events(repository)
    return found if any(e.get("task") == task for e in found) else []


def ticks(pid):
    """The time of a process and of the children that it has waited for."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return sum(int(field) for field in fields[11:15])


def report(measured, args, env):
    slurm = subprocess.run(["sbatch", "--version"], env=env, capture_output=True, text=True, check=True).stdout.strip()
    what = [
        f"{args.tasks} short tasks, from the first started to the last landed",
        "one of them, from started until its agent's end is known",
        "one of them, from started to landed",
    ]
    rows = [(text, f"{there:.1f} s", f"{here:.1f} s") for text, there, here in zip(what, *measured)]
    shares = [f"{one[-1] * 100:.1f} %" for one in measured]
    rows.append((f"the supervisor's share of a processor while {args.tasks} agents run, with what it starts", *shares))
    intro = machine(slurm, "three nodes on it", f"{args.tasks} tasks at once", f"median of {args.rounds} rounds")
    return f"{intro}\n{table(['what', '`slurm`', '`local`'], rows)}"
