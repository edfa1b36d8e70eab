#!/usr/bin/env python3
"""Measures what a run costs beside the agents' own work.

The same job (each agent writes a file and commits it) is done by 'git parallel run', by a careful shell
script (by-hand.sh) and by the bare git commands (bare.sh), in turns, each time in a fresh repository.
Prints the medians of the elapsed time and of the processor time of all processes (user and system), and
the ratios to the script, as a table for the README.

The script and the bare commands leave syncing to git's defaults; git parallel syncs what a landing rests
on. '--fsync' makes all three sync alike.
"""

import argparse
import ctypes
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.path.join(HERE, "..", "target", "release", "git-parallel")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement [default: 5]")
    parser.add_argument("--files", type=numbers, default=[100, 10000], help="sizes of the repository, by commas")
    parser.add_argument("--tasks", type=numbers, default=[1, 4, 16], help="tasks at once, by commas")
    parser.add_argument("--binary", help="the git-parallel to measure [default: a release build]")
    parser.add_argument("--fsync", action="store_true", help="let git sync everything in all three ways")
    parser.add_argument("--readme", action="store_true", help="put the table into the README as well")
    parser.add_argument("--dir", help="where to work [default: a temporary directory]")
    args = parser.parse_args()

    binary = os.path.abspath(args.binary or build())
    adopt()
    home = tempfile.mkdtemp(prefix="git-parallel-bench-", dir=args.dir)
    try:
        env = environment(home, args.fsync)
        rows = [row for files in args.files for row in measure_all(args, home, env, binary, files)]
    finally:
        shutil.rmtree(home, ignore_errors=True)
    text = report(rows, args)
    print(text)
    if args.readme:
        update(os.path.join(HERE, "..", "README.md"), text, "benches/overhead")


def update(path, text, name):
    """Replaces what stands between the two marks."""
    begin, end = f"<!-- {name} -->\n", "<!-- end -->"
    with open(path) as file:
        before, rest = file.read().split(begin)
    with open(path, "w") as file:
        file.write(f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}")


def numbers(text):
    return [int(part) for part in text.split(",")]


def build():
    manifest = os.path.join(HERE, "..", "Cargo.toml")
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", manifest], check=True)
    return BINARY


def environment(home, fsync):
    """The user's PATH and nothing else of the user's."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.path.join(home, "gitconfig"),
        "TZ": "UTC",
        "LC_ALL": "C",
    }
    with open(env["GIT_CONFIG_GLOBAL"], "w") as config:
        config.write("[user]\n\tname = Bench\n\temail = bench@example.org\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n")
        if fsync:
            config.write("[core]\n\tfsync = all\n")
    return env


def make_repository(path, env, files):
    """A repository of files of about 4 KiB each, the same every time."""
    source = random.Random(files)
    os.makedirs(path)
    for number in range(files):
        directory = os.path.join(path, f"d{number // 100:03}")
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, f"f{number:05}.txt"), "w") as file:
            file.writelines(f"{source.getrandbits(240):060x}\n" for _ in range(67))
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Start"], ["repack", "-adq"]):
        subprocess.run(["git", *command], cwd=path, env=env, check=True)


def measure_all(args, home, env, binary, files):
    template = os.path.join(home, f"template-{files}")
    make_repository(template, env, files)
    agent = os.path.join(HERE, "agent.sh")
    for tasks in args.tasks:
        names = [f"t{i}" for i in range(1, tasks + 1)]
        ways = {
            "git parallel": [binary, "run", "-y", "-j", str(tasks), *names, "--", agent, "{task}"],
            "script": [os.path.join(HERE, "by-hand.sh"), str(tasks), agent],
            "bare git": [os.path.join(HERE, "bare.sh"), str(tasks), agent],
        }
        times = {way: [] for way in ways}
        for round_number in range(args.rounds):
            print(f"{files} files, {tasks} tasks, round {round_number + 1} of {args.rounds}", file=sys.stderr)
            for way, command in ways.items():
                times[way].append(measure(template, home, env, command, files, tasks))
        yield files, tasks, {way: tuple(map(statistics.median, zip(*taken))) for way, taken in times.items()}
    shutil.rmtree(template)


def measure(template, home, env, command, files, tasks):
    """Elapsed and processor time of one command in a fresh copy of the repository."""
    work = os.path.join(home, "work")
    repository = os.path.join(work, "repo")
    os.makedirs(work)
    shutil.copytree(template, repository, symlinks=True)
    # Copies have other inodes and times: git shall not have to look at every file again.
    subprocess.run(["git", "update-index", "-q", "--refresh"], cwd=repository, env=env, check=True)
    os.sync()
    with open(os.path.join(home, "output"), "w+") as output:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=repository, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        processor = usage.ru_utime + usage.ru_stime + rest()
        output.seek(0)
        if process.returncode != 0:
            sys.exit(f"{command[0]} failed:\n{output.read()}")
    check(repository, env, tasks)
    shutil.rmtree(work)
    return elapsed, processor


def adopt():
    """Makes orphans of what is measured our children, so that their time is seen. Linux alone can."""
    try:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    except (OSError, AttributeError):
        pass


def rest():
    """The processor time of children that are left."""
    total = 0.0
    while True:
        try:
            _, _, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return total
        total += usage.ru_utime + usage.ru_stime


def check(repository, env, tasks):
    """Whether the work was really done."""
    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=repository, env=env, check=True, capture_output=True, text=True)
        return done.stdout.split()

    made = [name for name in git("ls-tree", "--name-only", "main") if name.endswith(".txt")]
    if len(made) != tasks or git("for-each-ref", "--format=%(refname)", "refs/heads") != ["refs/heads/main"]:
        sys.exit(f"{repository}: not what was asked: {made}")
    if git("worktree", "list", "--porcelain").count("worktree") != 1:
        sys.exit(f"{repository}: worktrees are left")


def report(rows, args):
    git_version = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.strip()
    synced = ", all syncing alike" if args.fsync else ""
    lines = [
        f"{git_version}, {os.cpu_count()} processors, median of {args.rounds} rounds{synced}:",
        "",
        "| files | tasks | git parallel | script | bare git | elapsed, to script | processor, to script |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for files, tasks, medians in rows:
        ways = [medians[way] for way in ("git parallel", "script", "bare git")]
        cells = [f"{wall:.2f} s ({cpu:.2f} s)" for wall, cpu in ways]
        ratios = [f"{mine / theirs:.2f}" for mine, theirs in zip(medians["git parallel"], medians["script"])]
        lines.append(f"| {files:,} | {tasks} | {' | '.join(cells + ratios)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
