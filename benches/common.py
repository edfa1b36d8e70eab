"""What the measurements share: repositories that are the same every time, processes with all that they
start, medians of interleaved rounds, and tables."""

import ctypes
import os
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
README = os.path.join(HERE, "..", "README.md")
AGENT = os.path.join(HERE, "agent.sh")


class Bench:
    """Where it is measured, and with what."""

    def __init__(self, args, home):
        self.args = args
        self.home = home
        self.binary = os.path.abspath(args.binary or build())
        self.env = environment(home, getattr(args, "fsync", False))

    def path(self, *names):
        return os.path.join(self.home, *names)

    def repository(self, files):
        """The template with so many files; `None` stands for the real one that was named."""
        real = getattr(self.args, "repository", None)
        path = self.path("template-real" if files is None else f"template-{files}")
        if not os.path.exists(path):
            if files is None:
                # HEAD alone counts, on a branch of a known name, and its objects may stay where they are.
                self.git("clone", "-q", "--shared", os.path.abspath(real), path, cwd=self.home)
                self.git("switch", "-q", "-C", "main", cwd=path)
                for branch in self.git("for-each-ref", "--format=%(refname:short)", "refs/heads", cwd=path).split():
                    if branch != "main":
                        self.git("branch", "-q", "-D", branch, cwd=path)
            else:
                make_repository(path, self.env, files)
        return path

    def sizes(self):
        """The sizes to be measured with."""
        real = getattr(self.args, "repository", None)
        return [None] if real else self.args.files

    def fresh(self, template):
        """A copy of the template, and nothing else, in the place to work in."""
        work = self.path("work")
        shutil.rmtree(work, ignore_errors=True)
        repository = os.path.join(work, "repo")
        shutil.copytree(template, repository, symlinks=True)
        # Copies have other inodes and times: git shall not have to look at every file again.
        self.git("update-index", "-q", "--refresh", cwd=repository)
        os.sync()
        return repository

    def git(self, *arguments, cwd, input=None):
        done = subprocess.run(["git", *arguments], cwd=cwd, env=self.env, check=True, input=input, stdout=subprocess.PIPE)
        return done.stdout.decode()

    def measure(self, command, cwd, sample=None, **env):
        """Elapsed and processor time of a command and of all that it leaves behind, which is waited for. With
        `sample`, the peak of their memory as well, looked at so often (seconds); that takes time of its own."""
        with open(self.path("output"), "w+") as output:
            pipes = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            with Memory(sample) as memory:
                started = time.monotonic()
                process = subprocess.Popen(command, cwd=cwd, env={**self.env, **env}, **pipes)
                _, status, usage = os.wait4(process.pid, 0)
                elapsed = time.monotonic() - started
                process.returncode = os.waitstatus_to_exitcode(status)
                processor = usage.ru_utime + usage.ru_stime + rest()
            output.seek(0)
            if process.returncode != 0:
                sys.exit(f"{' '.join(command[:4])}... failed:\n{output.read()[-2000:]}")
        return elapsed, processor, memory.peak


class Memory:
    """The peak of the memory of all our descendants, shared pages counted once (PSS)."""

    def __init__(self, interval):
        self.interval, self.peak = interval, None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def __enter__(self):
        if self.interval:
            self.peak = 0
            self.thread.start()
        return self

    def __exit__(self, *_):
        if self.interval:
            self.stop.set()
            self.thread.join()

    def look(self):
        while not self.stop.wait(self.interval):
            self.peak = max(self.peak, sum(pss(pid) for pid in descendants(os.getpid())))


def descendants(root):
    """All processes below one."""
    children = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(name))
    found = children.get(root, [])[:]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def memory_of(pid):
    """What /proc tells of a process's memory, in bytes; nothing of one that is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            lines = [line.split() for line in file.readlines()[1:]]
    except OSError:
        return {}
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines}


def pss(pid):
    return memory_of(pid).get("Pss", 0)


def build():
    manifest = os.path.join(HERE, "..", "Cargo.toml")
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", manifest], check=True)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(HERE, "..", "target"))
    return os.path.join(target, "release", "git-parallel")


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


def interleave(title, rounds, ways):
    """The ways in turns, so often; the medians of all that each returns."""
    taken = {way: [] for way in ways}
    for number in range(rounds):
        print(f"{title}: round {number + 1} of {rounds}", file=sys.stderr)
        for way, measure in ways.items():
            taken[way].append(measure())
    return {way: tuple(map(statistics.median, zip(*results))) for way, results in taken.items()}


def tasks_named(count):
    return [f"t{number}" for number in range(1, count + 1)]


def table(heads, rows):
    """A table in Markdown; the first column to the left if it has words."""
    words = any(not str(row[0]).replace(",", "").isdigit() for row in rows)
    lines = [heads, [":--" if words else "---:"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def machine(*more):
    """What the numbers were taken with."""
    version = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.strip()
    return ", ".join([version, f"{os.cpu_count()} processors", *more]) + ":\n"


def files_of(files):
    return "real" if files is None else f"{files:,}"


def sized(files):
    return "a real repository" if files is None else f"{files:,} files"


def megabytes(count):
    return f"{count / 1e6:.1f}" if count < 1e7 else f"{count / 1e6:.0f}"


def numbers(text):
    return [int(part) for part in text.split(",")]


def update(text, name):
    """Replaces what stands between the two marks in the README."""
    begin, end = f"<!-- benches/{name} -->\n", "<!-- end -->"
    with open(README) as file:
        before, rest_of_it = file.read().split(begin)
    with open(README, "w") as file:
        file.write(f"{before}{begin}\n{text}\n{end}{rest_of_it.split(end, 1)[1]}")
