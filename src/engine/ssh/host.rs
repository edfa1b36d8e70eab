//! The side of the host: this program, run by ssh as `git-parallel shim --serve`. It answers one supervisor and ends
//! with the connection; what goes on after that is the shim of the job, which it leaves to itself.

mod follow;
mod gather;
mod make;
mod place;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Stdout, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::frame::{CHUNK, Frame, GREETING, PROTOCOL};
use super::words::{Ask, Tell};
use crate::git;
use place::{Job, Root};

/// How often a sign of life is given, whatever else goes on.
const HERE: Duration = Duration::from_secs(2);
/// How many frames may wait to be looked at.
const AHEAD: usize = 16;

/// Whether this process is to serve.
pub fn is_asked_for() -> bool {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    matches!(&args[..], [shim, serve] if shim == "shim" && serve == "--serve")
}

/// Serves whoever is at the other end of the standard streams.
pub fn main() -> ExitCode {
    crate::sys::set_own_name("git-parallel");
    let out = Arc::new(Mutex::new(io::stdout()));
    let greeting = format!("{PROTOCOL} {}\n", env!("CARGO_PKG_VERSION"));
    let greeted = {
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(&[GREETING, greeting.as_bytes()].concat()).and_then(|()| out.flush())
    };
    if greeted.is_err() {
        return ExitCode::FAILURE;
    }
    let (sender, inbox) = sync_channel(AHEAD);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        while let Ok(frame) = Frame::read(&mut stdin) {
            if sender.send(frame).is_err() {
                break;
            }
        }
    });
    let beating = out.clone();
    thread::spawn(move || {
        loop {
            thread::sleep(HERE);
            let mut out = beating.lock().unwrap_or_else(PoisonError::into_inner);
            if Frame::Here.write(&mut *out).is_err() {
                break;
            }
        }
    });
    Serving { inbox, out, root: None, job: None }.serve();
    ExitCode::SUCCESS
}

struct Serving {
    inbox: Receiver<Frame>,
    out: Arc<Mutex<Stdout>>,
    root: Option<Root>,
    job: Option<Job>,
}

impl Serving {
    fn serve(&mut self) {
        while let Ok(frame) = self.inbox.recv() {
            // A stream that nobody wants any more is what is left of something that failed.
            if !matches!(frame, Frame::Word(_)) {
                continue;
            }
            let answered = match frame.parse::<Ask>() {
                Ok(ask) => self.answer(ask),
                Err(e) => Err(e.into()),
            };
            let told = match answered {
                Ok(Some(tell)) => self.tell(&tell),
                Ok(None) => Ok(()),
                Err(e) => self.tell(&Tell::Failed { why: format!("{e:#}") }),
            };
            if told.is_err() {
                break;
            }
        }
    }

    fn answer(&mut self, ask: Ask) -> Result<Option<Tell>> {
        match ask {
            Ask::Look { dir } => {
                self.root = Some(Root::find(dir.as_ref())?);
                return Ok(Some(Tell::Ready { git: git::git_version()? }));
            }
            Ask::Open { repository, format, token, task } => {
                let root = self.root.as_ref().context("nobody looked first")?;
                let job = Job::open(root, &repository, &format, &token, &task)?;
                let told = Tell::Opened {
                    mirror: job.mirror.clone().into(),
                    job: job.dir.clone().into(),
                    had: job.had()?,
                    progress: job.progress()?,
                };
                self.job = Some(job);
                return Ok(Some(told));
            }
            Ask::Follow { from } => self.follow(from)?,
            Ask::Stop { stop } => self.job()?.stop(stop)?,
            Ask::Gather { disposable } => {
                let (left, pack) = self.job()?.gather(&disposable)?;
                self.tell(&Tell::Left(Box::new(left)))?;
                self.send_file(pack)?;
            }
            Ask::Fetch { path } => self.send_file(self.job()?.file(&path)?)?,
            order => return self.carry_out(order).map(|()| Some(Tell::Done)),
        }
        Ok(None)
    }

    /// Does what is answered by nothing but that it is done.
    fn carry_out(&self, order: Ask) -> Result<()> {
        match order {
            Ask::Push { base, shallow } => {
                let pack = self.receive_file()?;
                self.job()?.push(&base, &shallow, pack)
            }
            Ask::Make { order } => {
                let pack = self.receive_file()?;
                self.job()?.make(&order, pack)
            }
            Ask::File { path, mode } => {
                let content = self.receive_file()?;
                self.job()?.put_file(&path, mode, content)
            }
            Ask::Made => self.job()?.made(),
            Ask::Start { spec } => self.job()?.start(*spec),
            Ask::Remove => self.job()?.remove(),
            _ => bail!("that is no order"),
        }
    }

    fn job(&self) -> Result<&Job> {
        self.job.as_ref().context("no job was opened")
    }

    fn send(&self, frame: &Frame) -> io::Result<()> {
        frame.write(&mut *self.out.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, tell: &Tell) -> io::Result<()> {
        self.send(&Frame::word(tell)?)
    }

    /// Takes a stream, in a file without a name.
    fn receive_file(&self) -> Result<File> {
        let place = &self.job()?.repository;
        let mut file =
            tempfile::tempfile_in(place).with_context(|| format!("cannot write in {}", place.display()))?;
        let mut written = Ok(());
        loop {
            match self.inbox.recv().context("the connection is gone")? {
                Frame::Data(bytes) => written = written.and_then(|()| file.write_all(&bytes)),
                Frame::End => break,
                Frame::Here => {}
                Frame::Word(_) => bail!("a stream was not sent to its end"),
            }
        }
        written.with_context(|| format!("cannot write in {}", place.display()))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }

    fn send_file(&self, mut file: File) -> Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            self.send(&Frame::Data(chunk[..count].to_vec()))?;
        }
        Ok(self.send(&Frame::End)?)
    }
}
