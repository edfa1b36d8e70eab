//! Running the programs of others that see to jobs elsewhere (`sbatch`, or a command of the user's): they ask nothing
//! of anybody, say something, and end soon.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
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
    #[expect(clippy::disallowed_methods, reason = "neither git nor an agent: a scheduler's command")]
    pub async fn run(&self, limit: Duration) -> io::Result<ToolOutput> {
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
        let mut child = command.spawn()?;
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
