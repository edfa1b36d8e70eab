//! The one place that spawns git.
//!
//! Every call is the same in what matters: it asks nothing of anybody (no terminal, no editor, no
//! password), it never starts housekeeping in the background, what it writes is synced to disk, and
//! it runs in a process group of its own, so that a Ctrl-C meant for us does not cut it off half way.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Leash;
use super::environment::{CONFIG, LOCAL_ENV_VARS, QUIET_ENV, USERS_CONFIG};
use crate::run::Text;

/// How long [`Git::retry_locks`] waits for a lock that somebody else holds.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// How long output is read on after git itself ended: a child of a hook may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_secs(1);

/// The most of git's standard error that is kept.
const STDERR_CAP: usize = 64 * 1024;

/// A call of git, to be built and then run.
#[derive(Default)]
pub struct Git {
    args: Vec<OsString>,
    dir: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    stdin_file: Option<File>,
    stdout_file: Option<File>,
    users_repository: bool,
    retry_locks: bool,
    unpinned: bool,
    leash: Option<Leash>,
}

/// What a call of git came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The first part of its standard error.
    pub stderr: String,
}

/// A call of git that failed, in git's own words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GitError {
    /// The subcommand, such as `update-ref`.
    pub command: String,
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The first lines that git said.
    pub words: String,
}

impl fmt::Display for GitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.words.is_empty(), self.code) {
            (false, _) => write!(f, "git {}: {}", self.command, self.words),
            (true, Some(code)) => write!(f, "git {} ended with exit code {code}", self.command),
            (true, None) => write!(f, "git {} was killed by a signal", self.command),
        }
    }
}

impl std::error::Error for GitError {}

impl Git {
    /// A call without arguments yet.
    pub fn new() -> Self {
        Git::default()
    }

    /// Runs it in this directory.
    #[must_use]
    pub fn in_dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Runs it on exactly this git directory, whatever lies around it on disk.
    #[must_use]
    pub fn git_dir(self, git_dir: &Path) -> Self {
        self.in_dir(git_dir).env("GIT_DIR", git_dir)
    }

    /// Runs it in exactly this worktree. Naming both directories means that a `.git` file that somebody
    /// removed or redirected can't lead git into another repository.
    #[must_use]
    pub fn work_tree(self, path: &Path, admin_dir: &Path) -> Self {
        self.in_dir(path).env("GIT_DIR", admin_dir).env("GIT_WORK_TREE", path)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets environment variables.
    #[must_use]
    pub fn env_all<K: AsRef<OsStr>>(self, variables: impl IntoIterator<Item = (K, Text)>) -> Self {
        variables.into_iter().fold(self, |git, (key, value)| git.env(key, value.as_os_str()))
    }

    /// Gives it bytes to read; otherwise it reads the end of the file at once.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Gives it an open file to hold, as its standard input, for as long as it lives. A lock on the file
    /// is then held by git as well.
    #[must_use]
    pub(super) fn holding(mut self, file: File) -> Self {
        self.stdin_file = Some(file);
        self
    }

    /// Has it write its standard output to this file, which may be longer than memory.
    #[must_use]
    pub(super) fn into_file(mut self, file: File) -> Self {
        self.stdout_file = Some(file);
        self
    }

    /// Leaves `GIT_DIR` and its kin in the environment: this is how the user names the repository.
    #[must_use]
    pub(super) fn of_user(mut self) -> Self {
        self.users_repository = true;
        self
    }

    /// Without the settings that [`super::SharedGuard`] has pinned.
    #[must_use]
    pub(super) fn unpinned(mut self) -> Self {
        self.unpinned = true;
        self
    }

    /// Keeps it from taking locks for things it could do by the way, such as refreshing the index.
    #[must_use]
    pub fn read_only(self) -> Self {
        self.env("GIT_OPTIONAL_LOCKS", "0")
    }

    /// Lets another thread end it.
    #[must_use]
    pub(super) fn on(mut self, leash: &Leash) -> Self {
        self.leash = Some(leash.clone());
        self
    }

    /// Tries again, for about two seconds, while another git holds a lock that is needed.
    #[must_use]
    pub fn retry_locks(mut self) -> Self {
        self.retry_locks = true;
        self
    }

    /// Runs it, whatever its exit code.
    ///
    /// # Errors
    /// If git can't be started.
    pub fn output(self) -> Result<Output> {
        let patience = Instant::now() + LOCK_PATIENCE;
        let mut pause = Duration::from_millis(15);
        loop {
            let output = self.run_once()?;
            let locked = self.retry_locks && output.code != Some(0) && is_lock_held(&output.stderr);
            if !locked || Instant::now() + pause > patience {
                return Ok(output);
            }
            thread::sleep(pause);
            pause *= 2;
        }
    }

    /// Runs it and gives its standard output.
    ///
    /// # Errors
    /// If git can't be started, or a [`GitError`] if it fails.
    pub fn ok(self) -> Result<Vec<u8>> {
        let command = self.subcommand();
        let output = self.output()?;
        if output.code == Some(0) { Ok(output.stdout) } else { Err(output.to_error(command).into()) }
    }

    /// Runs it and gives its standard output less the final line feed.
    ///
    /// # Errors
    /// As [`Git::ok`].
    pub fn line(self) -> Result<Text> {
        let mut bytes = self.ok()?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        Ok(Text::from(OsString::from_vec(bytes).as_os_str()))
    }

    /// Runs it and gives the NUL-terminated entries of its standard output.
    ///
    /// # Errors
    /// As [`Git::ok`].
    pub fn entries(self) -> Result<Vec<Text>> {
        Ok(split_nul(&self.ok()?).map(Text::from).collect())
    }

    /// The subcommand, for messages.
    fn subcommand(&self) -> String {
        let mut args = self.args.iter();
        while let Some(arg) = args.next() {
            if arg == "-c" {
                args.next();
            } else if !arg.as_encoded_bytes().starts_with(b"-") {
                return arg.to_string_lossy().into_owned();
            }
        }
        String::new()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn command(&self) -> Command {
        let mut command = Command::new("git");
        if !self.users_repository {
            for var in LOCAL_ENV_VARS.iter().filter(|var| !USERS_CONFIG.contains(var)) {
                command.env_remove(var);
            }
            command.env_remove("GIT_NAMESPACE");
        }
        // Without GPG_TTY a pinentry finds no terminal to ask on.
        command.env_remove("GPG_TTY").envs(QUIET_ENV);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        for setting in CONFIG {
            command.args(["-c", setting]);
        }
        if !self.unpinned && !self.users_repository {
            for setting in super::guard::pinned() {
                command.arg("-c").arg(setting.as_os_str());
            }
        }
        command.args(&self.args).process_group(0);
        command
    }

    fn run_once(&self) -> Result<Output> {
        let begun = Instant::now();
        let output = self.run_untold();
        crate::sys::trace(|| self.told(begun.elapsed(), &output));
        output
    }

    /// For a trace: what is common to all calls is left out, and so is the environment, which may hold secrets.
    fn told(&self, time: Duration, output: &Result<Output>) -> String {
        let args: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        let args = shlex::try_join(args.iter().map(AsRef::as_ref)).unwrap_or_else(|_| args.join(" "));
        let end = match output.as_ref().map(|output| output.code) {
            Ok(Some(0)) => String::new(),
            Ok(Some(code)) => format!(", exit code {code}"),
            Ok(None) => ", killed".to_owned(),
            Err(e) => format!(", {e:#}"),
        };
        let dir = self.dir.as_ref().map(|dir| format!(" in {}", dir.display())).unwrap_or_default();
        format!("git ({:.1} ms{end}){dir}: git {args}", time.as_secs_f64() * 1e3)
    }

    fn run_untold(&self) -> Result<Output> {
        let mut command = self.command();
        let stdin = match (&self.stdin, &self.stdin_file) {
            (Some(_), _) => Stdio::piped(),
            (None, Some(file)) => file.try_clone().context("cannot share a lock with git")?.into(),
            (None, None) => Stdio::null(),
        };
        let stdout = match &self.stdout_file {
            Some(file) => file.try_clone().context("cannot share a file with git")?.into(),
            None => Stdio::piped(),
        };
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        let spawned = match &self.leash {
            Some(leash) => leash.spawn(&mut command),
            None => command.spawn(),
        };
        let mut child = spawned.with_context(|| match &self.dir {
            Some(dir) if !dir.is_dir() => format!("cannot run git in {}", dir.display()),
            _ => "cannot run git".to_owned(),
        })?;
        let stdout = child.stdout.take().map(|pipe| Tap::new(pipe, usize::MAX));
        let stderr = child.stderr.take().map(|pipe| Tap::new(pipe, STDERR_CAP));
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), self.stdin.clone()) {
            // A git that fails early does not read it all; its exit code tells.
            thread::spawn(move || pipe.write_all(&bytes));
        }
        let status = match &self.leash {
            Some(leash) => leash.wait(&mut child),
            None => child.wait(),
        };
        let status = status.context("cannot wait for git")?;
        let mut stderr = String::from_utf8_lossy(&stderr.map_or_else(Vec::new, Tap::finish)).into_owned();
        if let Some(signal) = status.signal() {
            stderr.push_str(&format!("\nkilled by signal {signal}"));
        }
        Ok(Output { code: status.code(), stdout: stdout.map_or_else(Vec::new, Tap::finish), stderr })
    }
}

impl Output {
    /// The error that a failed call stands for.
    pub(super) fn to_error(&self, command: impl Into<String>) -> GitError {
        GitError { command: command.into(), code: self.code, words: first_words(&self.stderr) }
    }
}

/// Reads a pipe in a thread of its own, so that neither of two pipes can fill up unread.
struct Tap {
    bytes: Arc<Mutex<Vec<u8>>>,
    done: Receiver<()>,
}

impl Tap {
    fn new(mut pipe: impl Read + Send + 'static, cap: usize) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (sender, done) = channel();
        let sink = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut chunk = [0; 16 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                let room = cap.saturating_sub(sink.len()).min(count);
                sink.extend_from_slice(&chunk[..room]);
            }
            // Nobody listens any more where the drain took too long.
            let _ = sender.send(());
        });
        Tap { bytes, done }
    }

    /// What was read. To be called after the process ended.
    fn finish(self) -> Vec<u8> {
        let _ = self.done.recv_timeout(DRAIN);
        std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The parts of a NUL-terminated list.
pub(super) fn split_nul(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == 0).filter(|part| !part.is_empty())
}

/// Whether git failed only because another process holds a lock file (`lockfile.c`, `config.c`).
fn is_lock_held(stderr: &str) -> bool {
    stderr.contains("File exists") && (stderr.contains(".lock'") || stderr.contains("could not lock"))
}

/// The first lines of what git said, without its hints: they speak of commands the user did not type.
fn first_words(stderr: &str) -> String {
    let lines = stderr.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("hint:")).take(6).collect();
    lines.join("\n").chars().take(1200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    #[test]
    fn local_env_vars_are_those_of_the_installed_git() {
        let list = Git::new().args(["rev-parse", "--local-env-vars"]).line().unwrap().to_string();
        for var in list.lines() {
            assert!(LOCAL_ENV_VARS.contains(&var), "{var} is missing");
        }
    }

    #[test]
    fn an_error_quotes_git_and_names_the_subcommand() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let git = Git::new().git_dir(&repo.common_dir).args(["-c", "a.b=c", "cat-file", "-p", "nonsense"]);
        let error = git.ok().unwrap_err().to_string();
        assert_eq!(error, "git cat-file: fatal: Not a valid object name nonsense");
    }

    #[test]
    fn a_lock_is_waited_for_and_then_named() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let lock = repo.common_dir.join("refs/heads/new.lock");
        std::fs::write(&lock, "").unwrap();
        let update = || {
            let git = Git::new().git_dir(&repo.common_dir).retry_locks();
            git.args(["update-ref", "refs/heads/new", &sandbox.rev("HEAD")]).ok()
        };
        let error = update().unwrap_err().to_string();
        assert!(error.contains("new.lock"), "{error}");
        let release = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            std::fs::remove_file(lock).unwrap();
        });
        update().unwrap();
        release.join().unwrap();
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_is_not_waited_for() {
        let begun = Instant::now();
        let git = Git::new().args(["-c", "alias.x=!sleep 20 & echo hi", "x"]);
        assert_eq!(git.line().unwrap(), Text::from("hi"));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn bytes_go_in_and_come_out() {
        let bytes = vec![b'x'; 300_000];
        let git = Git::new().args(["-c", "alias.x=!cat", "x"]).stdin(bytes.clone());
        assert_eq!(git.ok().unwrap(), bytes);
    }
}
