//! What the tests of faults share beyond the sandbox: a repository with things of the user's to lose, a
//! hostile task beside a well-behaved one, and processes that are named by who started them.

#![allow(dead_code, clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Signal, kill_process};

use crate::common::{Output, Running, Sandbox, Snapshot, pid, wait_until};

/// A repository with two commits, and things of the user's that nobody may touch: an untracked and an
/// ignored file, a stash, a branch, a tag, a hook.
pub fn scene() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("shared.txt", "base\n");
    sandbox.commit_all("Second");
    sandbox.write("README.md", "A shop.\nNot finished yet.\n");
    sandbox.git(&["stash", "-q"]);
    sandbox.write("notes.txt", "the user's own\n");
    sandbox.write("secret/key", "1234\n");
    sandbox.git(&["branch", "precious"]);
    sandbox.git(&["tag", "v1"]);
    sandbox
}

/// An agent that does `bad` in the task `bad`, and a commit in any other.
pub fn hostile(sandbox: &Sandbox, bad: &str) -> PathBuf {
    sandbox.agent(&format!(
        "if [ \"$task\" = bad ]; then\n{bad}\nelse\necho \"$task\" > \"$task.txt\"; commit\nfi"
    ))
}

/// A run of `bad` and `good` that is over.
pub struct Story {
    pub sandbox: Sandbox,
    pub before: Snapshot,
    pub output: Output,
}

/// Runs the hostile task beside the well-behaved one.
#[track_caller]
pub fn tell(bad: &str, options: &[&str]) -> Story {
    let sandbox = scene();
    let agent = hostile(&sandbox, bad);
    tell_in(sandbox, &agent, options)
}

/// The same in a sandbox of one's own.
#[track_caller]
pub fn tell_in(sandbox: Sandbox, agent: &Path, options: &[&str]) -> Story {
    let before = sandbox.snapshot();
    let output = sandbox.run(&[options, &["bad", "good"]].concat(), agent);
    assert!(!output.all().contains("panicked"), "{}", output.all());
    Story { sandbox, before, output }
}

impl Story {
    /// `bad` ended in this state and was told with these words; `good` landed all the same.
    #[track_caller]
    pub fn bad_is(self, state: &str, words: &[&str]) -> Story {
        let code = i32::from(!matches!(state, "landed" | "unchanged"));
        let output = self.output.clone().expect(code).tells(words);
        assert_eq!(self.sandbox.state("bad"), state, "{}", output.all());
        self.good_landed()
    }

    /// The well-behaved task landed, and the user's checkout followed.
    #[track_caller]
    pub fn good_landed(self) -> Story {
        let sandbox = &self.sandbox;
        assert_eq!(sandbox.state("good"), "landed", "{}", self.output.all());
        assert_eq!(sandbox.show("main", "good.txt"), "good\n");
        assert_eq!(sandbox.read("good.txt"), "good\n");
        self
    }

    /// All promises were kept.
    #[track_caller]
    pub fn kept(self) -> Story {
        self.sandbox.check_run(&self.before, &self.output);
        self
    }

    /// All promises, where the agent itself made refs or left its worktree in a state that git complains
    /// of: what is not ours to explain is not asked for.
    #[track_caller]
    pub fn kept_by_us(self) -> Story {
        let Story { sandbox, before, .. } = &self;
        sandbox.check_processes();
        sandbox.check_commits();
        sandbox.check_landings(before);
        sandbox.check_users_things(before);
        sandbox.check_status();
        sound(sandbox);
        self
    }
}

/// I6, as far as git can tell.
#[track_caller]
pub fn sound(sandbox: &Sandbox) {
    let fsck = sandbox.run_in(&sandbox.repo, "git", &["fsck", "--no-dangling", "--no-progress"]);
    assert!(fsck.code == 0 && !fsck.all().contains("error"), "I6: {}", fsck.all());
    for name in ["index.lock", "HEAD.lock", "packed-refs.lock", "config.lock", "parallel-index"] {
        assert!(!sandbox.common_dir().join(name).exists(), "I6: {name} is left");
    }
}

/// I4, for when the records that would tell which branches are ours are gone: all of [`scene`] is there.
#[track_caller]
pub fn users_things_are_there(sandbox: &Sandbox) {
    assert_eq!(sandbox.read("notes.txt"), "the user's own\n");
    assert_eq!(sandbox.read("secret/key"), "1234\n");
    assert_eq!(sandbox.git(&["stash", "show", "-p", "stash@{0}"]).matches("Not finished yet").count(), 1);
    assert_eq!(sandbox.oid("precious"), sandbox.oid("v1"));
    assert_eq!(sandbox.git(&["status", "--porcelain", "-b"]), "## main\n?? notes.txt");
}

/// Whether a commit with this subject can be reached from a ref.
pub fn is_kept(sandbox: &Sandbox, subject: &str) -> bool {
    sandbox.git(&["log", "--all", "--format=%s"]).lines().any(|line| line == subject)
}

/// Why a task stands where it stands.
#[track_caller]
pub fn reason(sandbox: &Sandbox, task: &str) -> String {
    sandbox.task(task)["reason"].as_str().unwrap_or_default().to_owned()
}

/// Everything that lives below this process: children, their children, and so on.
pub fn descendants(root: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut todo = vec![root];
    while let Some(parent) = todo.pop() {
        for task in fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|id| id.parse().ok()) {
                found.push(child);
                todo.push(child);
            }
        }
    }
    found
}

/// Kills the supervisor alone, with no chance to do anything about it.
#[track_caller]
pub fn kill_supervisor(supervisor: Running) {
    supervisor.signal(Signal::KILL);
    assert_eq!(supervisor.wait().code, 137);
}

/// Kills the supervisor and all that it started: what a power failure or a container's end does. All are
/// stopped first, so that none sees another die and acts on it; and all are dead when this returns.
#[track_caller]
pub fn kill_tree(supervisor: Running) {
    let root = supervisor.pid();
    let mut stopped = vec![root];
    let _ = kill_process(pid(root), Signal::STOP);
    loop {
        // One that is told to stop in the middle of a fork still brings it to its end.
        wait_until("those that were told to stop do so", || stopped.iter().all(|id| !goes_on(*id)));
        let fresh: Vec<u32> = descendants(root).into_iter().filter(|id| !stopped.contains(id)).collect();
        if fresh.is_empty() {
            break;
        }
        for id in fresh {
            let _ = kill_process(pid(id), Signal::STOP);
            stopped.push(id);
        }
    }
    for id in &stopped {
        let _ = kill_process(pid(*id), Signal::KILL);
    }
    supervisor.wait();
    wait_until("all are dead", || stopped.iter().all(|id| !lives(*id)));
}

/// Waits until the task's agent is known to run, and gives its process id.
#[track_caller]
pub fn agent_pid(sandbox: &Sandbox, task: &str) -> u32 {
    let mut found = 0;
    wait_until(&format!("the agent of {task} runs"), || {
        let output = sandbox.parallel(&["status", "--json"]);
        if output.code == 0 {
            let tasks = output.json()["tasks"].as_array().cloned().unwrap_or_default();
            let task = tasks.iter().find(|t| t["name"] == task);
            found = task.and_then(|t| t["pid"].as_u64()).unwrap_or(0);
        }
        found != 0
    });
    u32::try_from(found).expect("a process id")
}

/// Whether the process is there and not a zombie.
pub fn lives(id: u32) -> bool {
    state(&format!("/proc/{id}/stat")).is_some_and(|state| !matches!(state, b'Z' | b'X'))
}

/// Whether a thread of the process goes on though it was told to stop. One that waits for its child to
/// become another program (`D`) has that child already, and may wait for long if the child was stopped.
fn goes_on(id: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let mut states = threads.filter_map(|thread| state(thread.path().join("stat").to_str()?));
    states.any(|state| !matches!(state, b'Z' | b'X' | b'T' | b't' | b'D'))
}

/// The letter for what a process or a thread does; `None` if there is none.
fn state(stat: &str) -> Option<u8> {
    fs::read_to_string(stat).ok()?.rsplit(") ").next()?.bytes().next()
}

/// The most memory a process ever had, in kilobytes.
pub fn peak_memory(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// The agents' files in the record of the latest run.
pub fn record_of(sandbox: &Sandbox, task: &str) -> PathBuf {
    sandbox.record().join("tasks").join(task)
}
