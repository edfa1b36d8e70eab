//! What the tests share: a repository of its own for each, agents that wait for the test instead of for
//! time, and [`Sandbox::check`], which looks after every run whether the promises were kept.
//!
//! I1 work stays reachable, I2 the target only moves forward, I3 what lands is the merge and nothing else,
//! I4 the user's things are untouched, I5 nothing that was started lives on, I6 the repository is sound,
//! I8 one supervisor, I10 status, journal and refs agree.

#![allow(dead_code, unused_imports, clippy::disallowed_methods)]

mod promises;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use promises::{Entry, Snapshot, journal, processes, tree};
use serde_json::Value;
use tempfile::TempDir;

/// No single command of a test takes longer, unless something hangs.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_git-parallel");

/// A repository in a directory of its own, and all that belongs to it.
///
/// ```text
/// <root>/shop             the repository (or whatever it is called)
/// <root>/shop.worktrees   where runs make worktrees
/// <root>/home             HOME
/// <root>/io               files that agents and the test tell each other something by
/// <root>/bin              agents
/// ```
pub struct Sandbox {
    /// Top of everything.
    pub root: PathBuf,
    /// The repository's main worktree, or the bare repository.
    pub repo: PathBuf,
    /// Set for every command that is started.
    pub env: Vec<(OsString, OsString)>,
    commands: AtomicU32,
    _tmp: TempDir,
}

/// How a command ended, and all that it said.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code, or 128 and the signal's number.
    pub code: i32,
    /// What it answered.
    pub stdout: String,
    /// What it told.
    pub stderr: String,
}

impl Output {
    /// Fails the test unless the command ended with this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Output {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// Both streams.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Fails the test unless both streams together hold each of these.
    #[track_caller]
    pub fn tells(self, needles: &[&str]) -> Output {
        for needle in needles {
            assert!(self.all().contains(needle), "{needle:?} is not in:\n{}", self.all());
        }
        self
    }

    /// stdout as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e}:\n{}\n{}", self.stdout, self.stderr))
    }
}

/// A command that goes on while the test does something else.
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Its process id; it leads a process group of its own.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, to it alone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(pid(self.pid()), signal).expect("it is there");
    }

    /// Sends its process group a signal, as a terminal does.
    pub fn signal_group(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process_group(pid(self.pid()), signal).expect("it is there");
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    /// What it said so far.
    pub fn so_far(&self) -> (String, String) {
        (lossy(&self.stdout), lossy(&self.stderr))
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> Output {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            if start.elapsed() > DEADLINE {
                let (stdout, stderr) = self.so_far();
                panic!("it hangs; stdout:\n{stdout}\nstderr:\n{stderr}");
            }
            std::thread::sleep(Duration::from_millis(3));
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        let (stdout, stderr) = self.so_far();
        Output { code, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// A process id in rustix's words.
pub fn pid(id: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(id.cast_signed()).expect("a process id")
}

/// Waits until something is so.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Does something for each item, for two at a time.
pub fn two_at_a_time<T: Send>(items: impl Iterator<Item = T> + Send, work: impl Fn(T) + Sync) {
    let next = std::sync::Mutex::new(items);
    let take = || {
        while let Some(item) = { next.lock().expect("no panic").next() } {
            work(item);
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(take))));
}

/// Builds the library that counts calls and kills before one of them (`crash/kill_at.c`); `None`, said aloud,
/// where there is no C compiler.
pub fn kill_library(dir: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/kill_at.c");
    let library = dir.join("kill_at.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    match cc.status() {
        Ok(status) => {
            assert!(status.success(), "the library does not compile");
            Some(library)
        }
        Err(error) => {
            eprintln!("skipped: no C compiler ({error})");
            None
        }
    }
}

/// What every agent script starts with. `commit` logs what it commits, so that the promises can be checked.
const PRELUDE: &str = r#"
set -eu
task=${GIT_PARALLEL_TASK-}
mark() { : > "$IO/$1"; }
await() { until [ -e "$IO/$1" ]; do sleep 0.01; done; }
pass() { read -r _ < "$IO/$1" || :; }
log_commit() { git rev-parse HEAD >> "$IO/commits"; }
commit() { git add -A; git commit -q -m "${1-work of $task}"; log_commit; }
"#;

impl Default for Sandbox {
    fn default() -> Self {
        Sandbox::new()
    }
}

impl Sandbox {
    /// A repository `shop` with one commit on `main`: `README.md`, `src/db.rs`, `.gitignore`.
    pub fn new() -> Sandbox {
        Sandbox::named("shop")
    }

    /// The same under another name.
    pub fn named(name: impl AsRef<OsStr>) -> Sandbox {
        Sandbox::with(name, &[])
    }

    /// The same with more options for `git init`.
    pub fn with(name: impl AsRef<OsStr>, init: &[&str]) -> Sandbox {
        let sandbox = Sandbox::empty(name, init);
        sandbox.write("README.md", "A shop.\n");
        sandbox.write("src/db.rs", "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n");
        sandbox.write(".gitignore", "*.log\n/target/\n/secret/\nnode_modules/\n");
        sandbox.commit_all("First");
        sandbox
    }

    /// A repository without a commit.
    pub fn empty(name: impl AsRef<OsStr>, init: &[&str]) -> Sandbox {
        let tmp = tempfile::Builder::new().prefix("git-parallel-").tempdir().expect("a temporary directory");
        let root = tmp.path().canonicalize().expect("it is there");
        let repo = root.join(name.as_ref());
        for dir in ["home", "io", "bin", "out", "tmp"] {
            fs::create_dir(root.join(dir)).expect("a new directory");
        }
        let mut sandbox = Sandbox { repo, env: Vec::new(), commands: AtomicU32::new(0), _tmp: tmp, root };
        sandbox.env = sandbox.pinned_env();
        let mut arguments: Vec<OsString> = ["init", "-q", "-b", "main"].map(Into::into).to_vec();
        arguments.extend(init.iter().map(Into::into));
        arguments.push(sandbox.repo.clone().into());
        sandbox.run_in(&sandbox.root, "git", &arguments).expect(0);
        sandbox.identify(&sandbox.repo);
        sandbox
    }

    /// Settings that every repository of a test has: who commits, and nothing in the background.
    pub fn identify(&self, repo: &Path) {
        let settings = [
            ("user.name", "Ann User"),
            ("user.email", "ann@example.org"),
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            ("core.fsync", "none"),
        ];
        for (key, value) in settings {
            self.run_in(repo, "git", &["config", key, value]).expect(0);
        }
    }

    fn pinned_env(&self) -> Vec<(OsString, OsString)> {
        let program = Path::new(PROGRAM).parent().expect("it is in a directory");
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(program.to_owned()).chain(std::env::split_paths(&inherited));
        let pinned: [(&str, OsString); 12] = [
            ("PATH", std::env::join_paths(path).expect("no colon in it")),
            ("HOME", self.root.join("home").into()),
            ("TMPDIR", self.root.join("tmp").into()),
            ("XDG_CONFIG_HOME", self.root.join("home/.config").into()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("TZ", "UTC".into()),
            ("LC_ALL", "C.UTF-8".into()),
            ("TERM", "dumb".into()),
            ("RUST_BACKTRACE", "0".into()),
            ("SHELL", "/bin/sh".into()),
        ];
        pinned.into_iter().map(|(key, value)| (key.into(), value)).collect()
    }

    /// Sets a variable for every command that is started from now on.
    pub fn set_env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        self.env.retain(|(k, _)| k != key.as_ref());
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
    }

    // Commands

    /// A command with the pinned environment, in `dir`, with an empty stdin.
    pub fn command(&self, dir: &Path, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.env.iter().map(|(k, v)| (k, v))).current_dir(dir).stdin(Stdio::null());
        command
    }

    /// Starts a command; what it says goes to files, so that nobody has to read it.
    pub fn start(&self, mut command: Command) -> Running {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        let [stdout, stderr] =
            ["out", "err"].map(|stream| self.root.join("out").join(format!("{number}.{stream}")));
        command.stdout(File::create(&stdout).expect("a new file"));
        command.stderr(File::create(&stderr).expect("a new file"));
        command.process_group(0);
        let child = command.spawn().expect("it can be started");
        Running { child, stdout, stderr }
    }

    /// Runs a command in `dir`, whatever its exit code.
    #[track_caller]
    pub fn run_in<A: AsRef<OsStr>>(&self, dir: &Path, program: impl AsRef<OsStr>, args: &[A]) -> Output {
        let mut command = self.command(dir, program);
        command.args(args);
        self.start(command).wait()
    }

    /// Runs git in the repository; it must succeed. Gives what it answered, without the last newline.
    #[track_caller]
    pub fn git<A: AsRef<OsStr>>(&self, args: &[A]) -> String {
        self.git_in(&self.repo, args)
    }

    /// Runs git in `dir`; it must succeed.
    #[track_caller]
    pub fn git_in<A: AsRef<OsStr>>(&self, dir: &Path, args: &[A]) -> String {
        let output = self.run_in(dir, "git", args).expect(0);
        output.stdout.strip_suffix('\n').map(str::to_owned).unwrap_or(output.stdout)
    }

    /// Runs `git parallel` in the repository.
    #[track_caller]
    pub fn parallel<A: AsRef<OsStr>>(&self, args: &[A]) -> Output {
        self.parallel_in(&self.repo, args)
    }

    /// Runs `git parallel` in `dir`.
    #[track_caller]
    pub fn parallel_in<A: AsRef<OsStr>>(&self, dir: &Path, args: &[A]) -> Output {
        self.spawn_in(dir, args).wait()
    }

    /// Starts `git parallel` in the repository. The process is the program itself, not git.
    pub fn spawn<A: AsRef<OsStr>>(&self, args: &[A]) -> Running {
        self.spawn_in(&self.repo, args)
    }

    /// Starts `git parallel` in `dir`.
    pub fn spawn_in<A: AsRef<OsStr>>(&self, dir: &Path, args: &[A]) -> Running {
        let mut command = self.command(dir, PROGRAM);
        command.args(args);
        self.start(command)
    }

    /// `git parallel run -y OPTIONS TASKS -- AGENT`.
    #[track_caller]
    pub fn run(&self, options_and_tasks: &[&str], agent: &Path) -> Output {
        self.spawn_run(options_and_tasks, agent).wait()
    }

    /// The same, going on while the test does.
    pub fn spawn_run(&self, options_and_tasks: &[&str], agent: &Path) -> Running {
        self.spawn(&self.run_args(options_and_tasks, agent))
    }

    /// The arguments of [`Sandbox::run`].
    pub fn run_args(&self, options_and_tasks: &[&str], agent: &Path) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["run".into(), "-y".into()];
        args.extend(options_and_tasks.iter().map(Into::into));
        args.extend(["--".into(), agent.into()]);
        args
    }

    /// `status --json` of the latest run.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.parallel(&["status", "--json"]).expect(0).json()
    }

    /// One task of [`Sandbox::status`].
    #[track_caller]
    pub fn task(&self, name: &str) -> Value {
        let status = self.status();
        let tasks = status["tasks"].as_array().expect("a list");
        tasks
            .iter()
            .find(|task| task["name"] == name)
            .unwrap_or_else(|| panic!("no {name}: {status}"))
            .clone()
    }

    /// The state of a task.
    #[track_caller]
    pub fn state(&self, task: &str) -> String {
        self.task(task)["state"].as_str().expect("a state").to_owned()
    }

    /// Fails the test unless the tasks are in these states.
    #[track_caller]
    pub fn expect_states(&self, states: &[(&str, &str)]) {
        let status = self.status();
        let found: Vec<(&str, &str)> = status["tasks"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|task| (task["name"].as_str().unwrap_or("?"), task["state"].as_str().unwrap_or("?")))
            .collect();
        assert_eq!(found, states, "{status:#}");
    }

    // Agents and what they are told

    /// An agent outside of the repository. In its body, `$IO` is [`Sandbox::io`], `commit [MESSAGE]` commits
    /// all there is and logs it, `mark NAME` makes a file in `$IO`, `await NAME` waits for one, and `pass NAME`
    /// waits at a [`Sandbox::gate`].
    pub fn agent(&self, body: &str) -> PathBuf {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        self.script(&self.root.join(format!("bin/agent-{number}")), body)
    }

    /// An agent that writes its task's name into `<task>.txt` and commits it.
    pub fn simple_agent(&self) -> PathBuf {
        self.agent(r#"echo "$task" > "$task.txt"; commit"#)
    }

    /// A script with the agents' prelude at `path`.
    pub fn script(&self, path: &Path, body: &str) -> PathBuf {
        fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        let io = self.root.join("io");
        fs::write(path, format!("#!/bin/sh\nIO='{}'\n{PRELUDE}\n{body}\n", io.display())).expect("a file");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        path.to_owned()
    }

    /// A hook of the user's.
    pub fn hook(&self, name: &str, body: &str) {
        let hooks = self.git(&["rev-parse", "--git-path", "hooks"]);
        self.script(&self.repo.join(hooks).join(name), body);
    }

    /// A file that agents and the test share.
    pub fn io(&self, name: &str) -> PathBuf {
        self.root.join("io").join(name)
    }

    /// What is in such a file; empty if it isn't there.
    pub fn read_io(&self, name: &str) -> String {
        lossy(&self.io(name))
    }

    /// Makes a file that agents `await`.
    pub fn mark(&self, name: &str) {
        fs::write(self.io(name), "").expect("a new file");
    }

    /// Waits for a file that an agent makes with `mark`.
    #[track_caller]
    pub fn await_mark(&self, name: &str) {
        wait_until(&format!("an agent marks {name}"), || self.io(name).exists());
    }

    /// A named pipe that agents stop at by `pass NAME`.
    pub fn gate(&self, name: &str) {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, self.io(name), mode).expect("a new pipe");
    }

    /// Waits until an agent stands at the gate, and lets it pass.
    #[track_caller]
    pub fn open_gate(&self, name: &str) {
        use std::io::Write;
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut gate = None;
        wait_until(&format!("somebody stands at gate {name}"), || {
            gate = File::options().write(true).custom_flags(nonblock).open(self.io(name)).ok();
            gate.is_some()
        });
        gate.expect("it is open").write_all(b"go\n").expect("somebody reads");
    }

    // Files and commits of the user's

    /// Writes a file in the main worktree.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.repo.join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    /// Reads a file of the main worktree.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        let path = self.repo.join(path);
        String::from_utf8_lossy(&fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).into()
    }

    /// Whether the path is there in the main worktree.
    pub fn has(&self, path: &str) -> bool {
        self.repo.join(path).symlink_metadata().is_ok()
    }

    /// Commits all there is, and gives the commit.
    pub fn commit_all(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// The commit that a revision names.
    #[track_caller]
    pub fn oid(&self, revision: &str) -> String {
        self.git(&["rev-parse", "--verify", revision])
    }

    /// Whether there is such a ref.
    pub fn has_ref(&self, name: &str) -> bool {
        self.run_in(&self.repo, "git", &["rev-parse", "--verify", "-q", name]).code == 0
    }

    /// The file as the commit has it.
    #[track_caller]
    pub fn show(&self, revision: &str, path: &str) -> String {
        self.run_in(&self.repo, "git", &["show", &format!("{revision}:{path}")]).expect(0).stdout
    }

    /// Where the worktree of a task is.
    pub fn worktree(&self, task: &str) -> PathBuf {
        self.worktrees().join(task)
    }

    /// Where all worktrees are.
    pub fn worktrees(&self) -> PathBuf {
        let name = self.repo.file_name().expect("it has a name").as_bytes();
        let name = name.strip_suffix(b".git").unwrap_or(name);
        self.repo.with_file_name(OsStr::from_bytes(&[name, b".worktrees"].concat()))
    }

    /// The record of the latest run.
    #[track_caller]
    pub fn record(&self) -> PathBuf {
        let id = self.status()["run"]["id"].as_str().expect("an id").to_owned();
        self.common_dir().join("parallel/runs").join(id)
    }

    /// `.git`, or the bare repository.
    pub fn common_dir(&self) -> PathBuf {
        let own = self.repo.join(".git");
        if own.is_dir() { own } else { self.repo.clone() }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A test that failed may leave agents that wait for ever. All of them carry this sandbox's path.
        if std::thread::panicking() {
            for id in promises::processes(&self.root) {
                let _ = rustix::process::kill_process(pid(id), rustix::process::Signal::KILL);
            }
        }
    }
}
