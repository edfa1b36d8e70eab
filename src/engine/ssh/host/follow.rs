//! Telling what a job does, as it does it, and passing on that it is to end.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::super::frame::{CHUNK, Frame};
use super::super::words::{Ask, Tell};
use super::Serving;
use super::place::Job;
use crate::run::{Exit, Stop};
use crate::shim;

/// How often the job's files are looked at: at once while something happens, more seldom while nothing does.
const LEAST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_millis(500);

/// How long what an agent left has to end whose shim died.
const GRACE: Duration = Duration::from_secs(5);

impl Serving {
    /// Tells of the job until it has ended.
    pub(super) fn follow(&mut self, from: u64) -> Result<()> {
        let job = self.job()?.clone();
        let record = job.record();
        let attempt = job.order()?.context("there is no such job")?.attempt;
        let (mut offset, mut last, mut pause) = (from, None, LEAST);
        loop {
            // In this order: who lives no longer has written all that it will.
            let lives = shim::is_alive(&record).unwrap_or(true);
            let signs = shim::signs(&record, attempt).context("cannot read what the job wrote")?;
            let mut calm = !self.send_log(&record.join("output.log"), &mut offset)?;
            if signs.beat.is_some() && signs.beat != last {
                last = signs.beat;
                if let Some(beat) = &last {
                    self.tell(&Tell::Beat(beat.clone()))?;
                }
                calm = false;
            }
            let exit = match signs.exit {
                Some(exit) => Some(exit),
                None if !lives => Some(shimless(&record)?),
                None => None,
            };
            if let Some(exit) = exit {
                self.send_log(&record.join("output.log"), &mut offset)?;
                return Ok(self.tell(&Tell::Ended { exit: Box::new(exit) })?);
            }
            pause = if calm { (pause * 2).min(MOST) } else { LEAST };
            match self.inbox.recv_timeout(pause) {
                Ok(Frame::Word(json)) => match Frame::Word(json).parse()? {
                    Ask::Stop { stop } => job.stop(stop)?,
                    _ => bail!("only a stop can be asked for while a job is followed"),
                },
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("the connection is gone"),
            }
        }
    }

    /// Sends what is new in the log; returns whether anything is.
    fn send_log(&self, log: &Path, offset: &mut u64) -> Result<bool> {
        let Ok(mut file) = File::open(log) else { return Ok(false) };
        file.seek(SeekFrom::Start(*offset))?;
        let mut any = false;
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                return Ok(any);
            }
            self.send(&Frame::Data(chunk[..count].to_vec()))?;
            *offset += count as u64;
            any = true;
        }
    }
}

/// How a job ended whose shim died without a word; what its agent left is ended.
fn shimless(record: &Path) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let left_behind = runtime.block_on(shim::end_orphans(record, GRACE));
    let said = crate::engine::command::end_of(&record.join("job.log"), 2_000);
    let said = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    let said = said.map(|line| format!(": {line}")).unwrap_or_default();
    let lost = Some(format!("what saw to its agent died there{said}"));
    Ok(Exit { lost, left_behind, ..Exit::default() })
}

impl Job {
    /// Asks its shim to end its agent.
    pub(super) fn stop(&self, stop: Stop) -> Result<()> {
        let attempt = self.order()?.context("there is no such job")?.attempt;
        shim::ask_to_stop(&self.record(), attempt, stop).context("cannot ask the shim")
    }
}
