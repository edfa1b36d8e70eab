//! The supervisor's end of a connection.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{sleep_until, timeout};

use super::frame::{CHUNK, Frame, GREETING, PROTOCOL};
use super::words::{Ask, Tell};
use crate::run::{Runner, Ssh, SshHost, Text};
use crate::sys::{Talk, Tool};

/// How long a host may take until it answers for the first time.
const CONNECT: Duration = Duration::from_secs(30);
/// The most that a shell's start-up files say.
const MOST_NOISE: usize = 1 << 20;
/// How many frames may wait to be looked at.
const AHEAD: usize = 16;

/// Why something could not be done on a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// It can't be reached, or can't any more.
    Cut(String),
    /// It can, and does not do it.
    Bad(String),
    /// Somebody asked for the end meanwhile.
    Off,
}

impl Trouble {
    /// In words.
    pub(super) fn words(&self) -> &str {
        match self {
            Trouble::Cut(why) | Trouble::Bad(why) => why,
            Trouble::Off => "called off",
        }
    }
}

/// When a host was last heard.
#[derive(Clone, Debug)]
pub(super) struct Heard(Arc<Mutex<Instant>>);

impl Heard {
    /// It counts from now.
    pub(super) fn now() -> Heard {
        Heard(Arc::new(Mutex::new(Instant::now())))
    }

    fn at(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long it is silent.
    pub(super) fn silence(&self) -> Duration {
        self.at().elapsed()
    }
}

/// A connection. Dropping it ends it.
pub(super) struct Link {
    talk: Talk,
    frames: Receiver<Frame>,
    heard: Heard,
    patience: Duration,
}

impl Link {
    /// Connects to a host. Gives git's version there, too.
    pub(super) async fn open(
        runner: &Runner,
        ssh: &Ssh,
        host: &SshHost,
        heard: &Heard,
    ) -> Result<(Link, (u32, u32, u32)), Trouble> {
        let tool = Tool {
            argv: argv(runner, ssh, host)?,
            remove: crate::git::LOCAL_ENV_VARS.to_vec(),
            ..Tool::default()
        };
        let cannot = |e: std::io::Error| Trouble::Cut(format!("ssh: {}", crate::sys::words(&e)));
        let (mut talk, stdout) = tool.talk().map_err(cannot)?;
        let mut reader = BufReader::new(stdout);
        match timeout(CONNECT, greeting(&mut reader)).await {
            Ok(Ok(())) => {}
            Ok(Err(Silence::Other(why))) => return Err(Trouble::Bad(why)),
            Ok(Err(Silence::Ended(said))) => return Err(why_none(&mut talk, runner, &said).await),
            Err(_) => return Err(Trouble::Cut(format!("no answer within {} s", CONNECT.as_secs()))),
        }
        heard.set();
        let (sender, frames) = channel(AHEAD);
        let hears = heard.clone();
        tokio::spawn(async move {
            while let Ok(frame) = Frame::receive(&mut reader).await {
                hears.set();
                if frame != Frame::Here && sender.send(frame).await.is_err() {
                    break;
                }
            }
        });
        let lost_after = Duration::from_millis(runner.lost_after_ms);
        let patience = (lost_after / 3).clamp(Duration::from_secs(6), Duration::from_secs(20));
        let mut link = Link { talk, frames, heard: heard.clone(), patience };
        match link.ask(&Ask::Look { dir: ssh.dir.clone() }).await? {
            Tell::Ready { git } => Ok((link, git)),
            _ => Err(odd()),
        }
    }

    /// Waits for something, but no longer than there are signs of life.
    async fn patiently<T>(
        heard: &Heard,
        patience: Duration,
        it: impl Future<Output = T>,
    ) -> Result<T, Trouble> {
        tokio::pin!(it);
        loop {
            let until = heard.at() + patience;
            tokio::select! {
                it = &mut it => return Ok(it),
                () = sleep_until(until.into()) => {
                    if heard.at() + patience <= Instant::now() {
                        return Err(Trouble::Cut(format!("silent for {} s", patience.as_secs())));
                    }
                }
            }
        }
    }

    async fn send(&mut self, frame: &Frame) -> Result<(), Trouble> {
        let sending = frame.send(&mut self.talk.stdin);
        match Link::patiently(&self.heard, self.patience, sending).await? {
            Ok(()) => Ok(()),
            Err(_) => Err(self.cut().await),
        }
    }

    async fn cut(&mut self) -> Trouble {
        self.talk.end().await;
        Trouble::Cut(last_words(&self.talk.errors()).unwrap_or_else(|| "the connection was cut".to_owned()))
    }

    /// Says something.
    pub(super) async fn say(&mut self, ask: &Ask) -> Result<(), Trouble> {
        let frame = Frame::word(ask).map_err(|e| Trouble::Bad(e.to_string()))?;
        self.send(&frame).await
    }

    /// What comes next. Nothing is lost if the future is dropped.
    pub(super) async fn frame(&mut self) -> Result<Frame, Trouble> {
        match Link::patiently(&self.heard, self.patience, self.frames.recv()).await? {
            Some(frame) => Ok(frame),
            None => Err(self.cut().await),
        }
    }

    /// What is said next.
    pub(super) async fn hear(&mut self) -> Result<Tell, Trouble> {
        word(&self.frame().await?)
    }

    /// Asks, and gives the answer.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Result<Tell, Trouble> {
        self.say(ask).await?;
        self.hear().await
    }

    /// Has something done, with a stream if it takes one.
    pub(super) async fn have(&mut self, ask: &Ask, stream: Option<std::fs::File>) -> Result<(), Trouble> {
        self.give(ask, stream).await?;
        self.hear_done().await
    }

    /// Says something, with a stream if it takes one.
    pub(super) async fn give(&mut self, ask: &Ask, stream: Option<std::fs::File>) -> Result<(), Trouble> {
        self.say(ask).await?;
        match stream {
            Some(file) => self.send_stream(file).await,
            None => Ok(()),
        }
    }

    /// Hears that something is done.
    pub(super) async fn hear_done(&mut self) -> Result<(), Trouble> {
        match self.hear().await? {
            Tell::Done => Ok(()),
            _ => Err(odd()),
        }
    }

    async fn send_stream(&mut self, file: std::fs::File) -> Result<(), Trouble> {
        let mut file = File::from_std(file);
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = file.read(&mut chunk).await;
            let count = read.map_err(|e| Trouble::Bad(format!("cannot read what is to be sent: {e}")))?;
            if count == 0 {
                return self.send(&Frame::End).await;
            }
            chunk.truncate(count);
            self.send(&Frame::Data(chunk)).await?;
        }
    }

    /// Takes a stream into a file.
    pub(super) async fn take_stream(&mut self, file: std::fs::File) -> Result<std::fs::File, Trouble> {
        let mut file = File::from_std(file);
        let cannot =
            |e: std::io::Error| Trouble::Bad(format!("cannot write what came: {}", crate::sys::words(&e)));
        loop {
            match self.frame().await? {
                Frame::Data(bytes) => file.write_all(&bytes).await.map_err(cannot)?,
                Frame::End => break,
                other => return word(&other).and(Err(odd())),
            }
        }
        file.flush().await.map_err(cannot)?;
        file.rewind().await.map_err(cannot)?;
        Ok(file.into_std().await)
    }
}

/// A word from the other side.
pub(super) fn word(frame: &Frame) -> Result<Tell, Trouble> {
    match frame.parse::<Tell>() {
        Ok(Tell::Failed { why }) => Err(Trouble::Bad(why)),
        Ok(tell) => Ok(tell),
        Err(_) => Err(odd()),
    }
}

/// What came makes no sense.
pub(super) fn odd() -> Trouble {
    Trouble::Bad(super::frame::unexpected().to_string())
}

enum Silence {
    /// Nothing of ours came; this did.
    Ended(String),
    /// It speaks in other ways.
    Other(String),
}

/// Waits for the greeting, whatever comes before it.
async fn greeting(reader: &mut BufReader<ChildStdout>) -> Result<(), Silence> {
    let mut noise = Vec::new();
    while !noise.ends_with(GREETING) {
        match reader.read_u8().await {
            Ok(byte) if noise.len() < MOST_NOISE => noise.push(byte),
            _ => return Err(Silence::Ended(String::from_utf8_lossy(&noise).into_owned())),
        }
    }
    let mut line = Vec::new();
    while let Ok(byte) = reader.read_u8().await
        && byte != b'\n'
        && line.len() < 100
    {
        line.push(byte);
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    let (protocol, version) = line.split_once(' ').unwrap_or((&line, "?"));
    if protocol.parse() == Ok(PROTOCOL) {
        return Ok(());
    }
    Err(Silence::Other(format!(
        "git-parallel {version} there speaks protocol {protocol}, and {} here {PROTOCOL}; \
         install the same version on both",
        env!("CARGO_PKG_VERSION")
    )))
}

/// Why there was no greeting.
async fn why_none(talk: &mut Talk, runner: &Runner, said: &str) -> Trouble {
    let code = talk.end().await;
    let words = last_words(&talk.errors()).or_else(|| last_words(said));
    let program = &runner.program;
    match (code, words) {
        // ssh's own, as far as anybody can tell.
        (Some(255) | None, words) => {
            Trouble::Cut(words.unwrap_or_else(|| "ssh could not connect".to_owned()))
        }
        (Some(126 | 127), words) => {
            let words = words.map(|words| format!(" ({words})")).unwrap_or_default();
            Trouble::Bad(format!("'{program}' can't be run there{words}; is it installed, and on PATH?"))
        }
        (Some(code), words) => {
            let words = words.unwrap_or_else(|| format!("exit {code}"));
            Trouble::Bad(format!("'{program}' there does not answer: {words}"))
        }
    }
}

/// The last lines of what ssh, or the host's shell, said.
fn last_words(text: &str) -> Option<String> {
    const MOST: usize = 300;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(2)..];
    let words: String = last.join("; ").chars().take(MOST).collect();
    (!words.is_empty()).then_some(words)
}

/// The command that connects to a host: as git would call it.
fn argv(runner: &Runner, ssh: &Ssh, host: &SshHost) -> Result<Vec<OsString>, Trouble> {
    let (destination, port) = host.destination();
    let variant = ssh.variant.as_deref().filter(|variant| *variant != "auto");
    let variant = variant.unwrap_or_else(|| variant_of(ssh.command.as_ref()));
    let mut argv: Vec<OsString> = match &ssh.command {
        None => vec!["ssh".into()],
        Some(command) => {
            let mut script = command.as_os_str().to_owned();
            script.push(" \"$@\"");
            vec!["sh".into(), "-c".into(), script, command.as_os_str().to_owned()]
        }
    };
    match variant {
        "simple" if port.is_some() => {
            return Err(Trouble::Bad("ssh variant 'simple' does not support setting port".to_owned()));
        }
        "simple" => {}
        "plink" | "putty" | "tortoiseplink" => {
            argv.push("-batch".into());
            argv.extend(port.into_iter().flat_map(|port| ["-P".into(), port.into()]));
        }
        _ => {
            argv.extend(["-T", "-o", "BatchMode=yes"].map(Into::into));
            argv.extend(port.into_iter().flat_map(|port| ["-p".into(), port.into()]));
        }
    }
    argv.push(destination.into());
    argv.push(remote(&runner.program)?);
    Ok(argv)
}

fn variant_of(command: Option<&Text>) -> &'static str {
    let text = command.map(|command| command.to_string()).unwrap_or_default();
    let program = text.split_whitespace().next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    match program.trim_end_matches(".exe") {
        "plink" | "tortoiseplink" => "plink",
        _ => "ssh",
    }
}

/// What the host's shell is given: always the same.
fn remote(program: &Text) -> Result<OsString, Trouble> {
    let bytes: &[u8] = program.as_bstr();
    // In quotes it would not be the home directory.
    let (home, rest) = match bytes.strip_prefix(b"~/") {
        Some(rest) => (&b"~/"[..], rest),
        None => (&b""[..], bytes),
    };
    let quoted = shlex::bytes::try_quote(rest).map_err(|e| Trouble::Bad(e.to_string()))?;
    Ok(Text::from([home, &quoted, b" shim --serve"].concat().as_slice()).as_os_str().to_owned())
}
