//! One connection for a job: what is to be sent is sent, and what the job does is written down here.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use super::super::frame::Frame;
use super::super::link::{Heard, Link, Trouble, odd, word};
use super::super::order::{self, Place};
use super::super::ticket::Fate;
use super::super::words::{Ask, Progress, Tell};
use super::{Attendant, Stops, failed, lost, stopped};
use crate::engine::Context;
use crate::run::{Event, Exit, SshHost, TaskName};
use crate::shim::{self, Beat, Request};

impl Attendant<'_> {
    /// Connects, and does all that is to be done there.
    pub(super) async fn visit(
        &mut self,
        host: &SshHost,
        heard: &Heard,
        stops: &mut Stops,
    ) -> Result<Exit, Trouble> {
        let given = self.ticket.present().cloned().ok_or_else(odd)?;
        let door = self.hosts.door(&host.name);
        let opening = async {
            // An sshd drops connections of which too many come at once.
            let _turn = door.acquire().await;
            Link::open(self.runner, self.ssh, host, heard).await
        };
        let opened = tokio::select! {
            opened = opening => opened?,
            Some(Request::Stop(stop)) = stops.recv() => {
                self.ask_for_end(stop);
                return Err(Trouble::Off);
            }
        };
        self.hosts.set_away(&host.name, false);
        if self.told.take().is_some() {
            let task = self.task.name().clone();
            self.outbox.event(Event::Submitted { task, job: host.name.clone() });
        }
        let mut link = opened.0;
        let (place, progress) = open(self.context, self.task.name(), &mut link, &given.token).await?;
        if progress != Progress::Started {
            if given.fate == Fate::Started && progress == Progress::New {
                let _ = self.ticket.set(Fate::Gone);
                return Ok(lost(format!("its job is gone from {}", host.name)));
            }
            if self.stop.is_some() {
                // Once it is gone, nothing that is still on its way can start it.
                link.have(&Ask::Remove, None).await?;
                let _ = self.ticket.set(Fate::Gone);
                return Ok(stopped());
            }
            let beginning = self.begin((&mut link, &place), host, progress, &given.token);
            tokio::select! {
                begun = beginning => begun?,
                Some(Request::Stop(stop)) = stops.recv() => {
                    self.ask_for_end(stop);
                    return Err(Trouble::Off);
                }
            }
        }
        if self.ticket.present().is_none_or(|given| given.fate != Fate::Started) {
            self.ticket.set(Fate::Started).map_err(failed)?;
        }
        if let Some((stop, _)) = self.stop {
            link.say(&Ask::Stop { stop }).await?;
        }
        let exit = self.follow(&mut link, host, given.log, stops).await?;
        self.bring_back(&mut link, host, exit).await
    }

    /// Sends what is needed there, and starts the agent.
    async fn begin(
        &mut self,
        (link, place): (&mut Link, &Place),
        host: &SshHost,
        progress: Progress,
        token: &str,
    ) -> Result<(), Trouble> {
        if progress == Progress::New {
            let pushing = self.hosts.pushing(&host.name);
            let standing = self.ticket.standing.clone().unwrap_or_default();
            order::send(self.context, self.task, (&mut *link, place), &standing, &pushing).await?;
        }
        let sides = (self.runner, self.ssh);
        let spec = order::shim_spec(self.context, sides, self.task, place, token);
        // From here on nobody knows that it was not, unless the host says so.
        self.ticket.set(Fate::Started).map_err(failed)?;
        let started = link.have(&Ask::Start { spec: Box::new(spec) }, None).await;
        if matches!(started, Err(Trouble::Bad(_))) {
            self.ticket.set(Fate::Given).map_err(failed)?;
        }
        started
    }

    /// Writes down here what the job writes there, until it has ended.
    async fn follow(
        &mut self,
        link: &mut Link,
        host: &SshHost,
        begin: u64,
        stops: &mut Stops,
    ) -> Result<Exit, Trouble> {
        let path = self.context.dir.log(self.task.name());
        let cannot = |e: std::io::Error| {
            Trouble::Cut(format!("cannot write {}: {}", path.display(), crate::sys::words(&e)))
        };
        let log = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let log = log.map_err(cannot)?;
        let mut length = log.metadata().map_err(cannot)?.len().max(begin);
        link.say(&Ask::Follow { from: length - begin }).await?;
        loop {
            tokio::select! {
                frame = link.frame() => match frame? {
                    Frame::Data(bytes) => {
                        log.write_all_at(&bytes, length).map_err(cannot)?;
                        length += bytes.len() as u64;
                        self.pass_output(length).await;
                    }
                    frame @ Frame::Word(_) => match word(&frame)? {
                        Tell::Beat(beat) => self.beats(host, beat),
                        Tell::Ended { exit } => return Ok(*exit),
                        _ => return Err(odd()),
                    },
                    Frame::Here | Frame::End => {}
                },
                Some(Request::Stop(stop)) = stops.recv() => {
                    self.ask_for_end(stop);
                    link.say(&Ask::Stop { stop }).await?;
                }
            }
        }
    }

    fn beats(&mut self, host: &SshHost, beat: Beat) {
        let task = self.task.name();
        let beat = Beat { host: host.name.clone(), ..beat };
        // It is for people who watch.
        let _ = shim::pass_beat(&self.context.dir.task(task), &beat);
        if !std::mem::replace(&mut self.started, true) {
            let (pid, host) = (beat.pid, Some(beat.host));
            self.outbox.event(Event::AgentStarted { task: task.clone(), pid, host });
        }
    }

    async fn pass_output(&mut self, length: u64) {
        while let Some(text) = self.log.read(length) {
            let _ = self.outbox.output.send((self.task.name().clone(), text)).await;
        }
    }
}

/// Opens the place of a job.
pub(in crate::engine::ssh) async fn open(
    context: &Context,
    task: &TaskName,
    link: &mut Link,
    token: &str,
) -> Result<(Place, Progress), Trouble> {
    match link.ask(&order::opening(context, task, token)).await? {
        Tell::Opened { mirror, job, had, progress } => Ok((Place { mirror, job, had }, progress)),
        _ => Err(odd()),
    }
}
