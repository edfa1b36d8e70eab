//! Running the programs of others that see to jobs elsewhere (`sbatch`, or a command of the user's): they ask nothing
//! of anybody, say something, and end soon. Only `ssh` is talked with for long.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::{Signal, signal_group};

/// The most that is read of each of its streams.
const MOST: u64 = 16 << 20;
/// How long its output is read on after its end.
const DRAIN: Duration = Duration::from_millis(500);

/// A program, to be run.
#[derive(Clone, Debug, Default)]
pub struct Tool {
    /// It and its arguments.
    pub argv: Vec<OsString>,
    /// What it reads.
    pub stdin: Vec<u8>,
    /// Variables that are set for it.
    pub set: Vec<(String, OsString)>,
    /// Variables that it does not get: these, and all that begin so where the last character is `*`.
    pub remove: Vec<&'static str>,
}

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub struct ToolOutput {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Tool {
    /// Runs it to its end. One that takes longer is killed, with what it started.
    ///
    /// # Errors
    /// If it can't be started, or took too long.
    pub async fn run(&self, limit: Duration) -> io::Result<ToolOutput> {
        let mut child = self.spawn()?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let stdin = child.stdin.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                // What it does not read, it does not need.
                let _ = stdin.write_all(&self.stdin).await;
            }
        };
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let talk = async { tokio::join!(write, read(out, &mut stdout), read(err, &mut stderr)) };
        let end = {
            tokio::pin!(talk);
            let mut talks = true;
            let end = async {
                loop {
                    tokio::select! {
                        status = child.wait() => break status,
                        _ = &mut talk, if talks => talks = false,
                    }
                }
            };
            let end = timeout(limit, end).await;
            if talks && end.is_ok() {
                // Something that it left at work may hold its output open.
                let _ = timeout(DRAIN, talk).await;
            }
            end
        };
        let Ok(status) = end else {
            // Unreaped, its id is still its own.
            if let Some(pid) = child.id() {
                let _ = signal_group(pid, Signal::KILL);
            }
            let _ = child.wait().await;
            let what = format!("it did not end within {} s", limit.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(ToolOutput { code: status?.code(), stdout: text(stdout), stderr: text(stderr) })
    }
}

/// A program that is talked with for long. Dropping this ends it, and what it started.
#[derive(Debug)]
pub struct Talk {
    child: Child,
    /// What it reads.
    pub stdin: ChildStdin,
    errors: Arc<Mutex<Vec<u8>>>,
}

impl Tool {
    /// Starts it, to be talked with; gives what it says beside that.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn talk(&self) -> io::Result<(Talk, ChildStdout)> {
        const MOST_ERRORS: usize = 16 << 10;
        let mut child = self.spawn()?;
        let missing = || io::Error::other("it has no pipes");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let mut stderr = child.stderr.take().ok_or_else(missing)?;
        let errors = Arc::new(Mutex::new(Vec::new()));
        let kept = errors.clone();
        tokio::spawn(async move {
            let mut chunk = [0; 1024];
            while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = MOST_ERRORS.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(&chunk[..room]);
            }
        });
        Ok((Talk { child, stdin, errors }, stdout))
    }

    #[expect(clippy::disallowed_methods, reason = "neither git nor an agent: a scheduler's command, or ssh")]
    fn spawn(&self) -> io::Result<Child> {
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut command = Command::new(program);
        // A Ctrl-C meant for us must not cut it off half way.
        command.args(arguments).process_group(0).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if self.remove.iter().any(|pattern| matches(pattern, &name.to_string_lossy())) {
                command.env_remove(name);
            }
        }
        command.envs(self.set.iter().map(|(name, value)| (name, value)));
        command.spawn()
    }
}

impl Talk {
    /// What it said on standard error so far.
    pub fn errors(&self) -> String {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&errors).into_owned()
    }

    /// Waits for its end, which is near; gives its exit code.
    pub async fn end(&mut self) -> Option<i32> {
        let code = timeout(DRAIN, self.child.wait()).await.ok()?.ok()?.code();
        // The last words may still be on their way.
        tokio::task::yield_now().await;
        code
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // Unreaped, its id is still its own.
        if let Some(pid) = self.child.id() {
            let _ = signal_group(pid, Signal::KILL);
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

async fn read(stream: Option<impl AsyncRead + Unpin>, bytes: &mut Vec<u8>) {
    if let Some(stream) = stream {
        let _ = stream.take(MOST).read_to_end(bytes).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> io::Result<ToolOutput> {
        let tool = Tool {
            argv: ["sh", "-c", script].map(OsString::from).to_vec(),
            stdin: b"hello".to_vec(),
            set: vec![("SET".to_owned(), "x y".into())],
            remove: vec!["CARGO_PKG_*", "CARGO"],
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(tool.run(limit))
    }

    #[test]
    fn it_says_what_it_has_to_say() {
        let minute = Duration::from_secs(60);
        let said = sh("cat; echo \"$SET${CARGO_PKG_NAME-}${CARGO-}\" >&2; exit 3", minute).unwrap();
        assert_eq!((said.code, &said.stdout[..], &said.stderr[..]), (Some(3), "hello", "x y\n"));
        assert_eq!(sh("exit 0", minute).unwrap().code, Some(0), "it need not read");
    }

    #[test]
    fn one_that_hangs_is_ended_with_what_it_started() {
        let error = sh("sleep 1000 & wait", Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let said = sh("echo started; sleep 1000 & echo $!", Duration::from_secs(60)).unwrap();
        let (word, pid) = said.stdout.trim().split_once('\n').unwrap();
        assert_eq!(word, "started", "nobody waits for what goes on");
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }
}
