//! Seeing an undo through: journal, check, publish.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::{is_published, look_after, prospect};
use crate::engine::agent::WantedOutput;
use crate::engine::control::{self, Request};
use crate::engine::verify::{self, Checked};
use crate::engine::{Context, Message, Outbox, recover, signals};
use crate::error::{Failure, exit};
use crate::git::{self, Published};
use crate::run::{Event, Oid, Prospect, Record, Revert, Run, Stop, StopCause, Text, name_some};
use crate::shim;
use crate::store::Journal;
use crate::ui;

/// An undo of a run, by this process, which holds the repository's lock.
pub struct Undo<'a> {
    context: Arc<Context>,
    run: Run,
    journal: Journal,
    /// Tells a person what goes on.
    tell: &'a dyn Fn(&str),
    /// Who asked it to stop.
    stopped: Option<StopCause>,
}

impl<'a> Undo<'a> {
    /// An undo of this run, as it stands.
    pub fn new(context: Context, run: Run, journal: Journal, tell: &'a dyn Fn(&str)) -> Self {
        Undo { context: Arc::new(context), run, journal, tell, stopped: None }
    }

    /// Takes the run's landings back: gives what was reverted, and the run as it is now. Where nothing is
    /// left to revert, there are no reverts. `check` is whether the run's check has a say.
    ///
    /// # Errors
    /// A [`Failure`] if it can't be done; the target is as it was then.
    pub fn drive(mut self, check: bool) -> Result<(Prospect, Run)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start the supervisor")?;
        let result = runtime.block_on(self.go(check));
        // A failure leaves nothing lying about either, and the run as closed as it was.
        let closed = self.close();
        runtime.shutdown_background();
        let prospect = result?;
        closed?;
        Ok((prospect, self.run))
    }

    async fn go(&mut self, check: bool) -> Result<Prospect> {
        // What a check leaves comes to us, as in a run.
        let _ = crate::sys::become_subreaper();
        let (messages, mut inbox) = mpsc::unbounded_channel();
        let outbox = Outbox { messages, output: mpsc::channel(1).0 };
        signals::listen(outbox.clone()).context("cannot listen for signals")?;
        let _control = control::listen(&self.context.dir.control(), outbox.clone());
        verify::end_stray_checks(&self.context, &self.run).await;
        for line in recover::recover(&self.context, &self.run)? {
            (self.tell)(&line);
        }
        if let Some(Ok(undone)) = look_after(&self.context, &self.run)? {
            (self.tell)("an undo that was cut off had come as far as the target");
            self.record(undone)?;
        }
        loop {
            let prospect = prospect(&self.context, &self.run, false)?;
            let Some(Revert { commit, .. }) = prospect.reverts.last() else { return Ok(prospect) };
            self.record(Event::UndoMade { reverts: prospect.reverts.clone() })?;
            if check {
                self.check(&prospect, &outbox, &mut inbox).await?;
            }
            // Signals that came meanwhile get here only if we let them.
            tokio::task::yield_now().await;
            while let Ok(message) = inbox.try_recv() {
                self.receive(message, commit);
            }
            self.refuse_if_stopped()?;
            match self.publish(&prospect.onto, commit)? {
                Published::Done { .. } => {
                    self.record(Event::Undone { reverts: prospect.reverts.clone() })?;
                    return Ok(prospect);
                }
                Published::Moved(tip) => {
                    let target = self.target();
                    let tip = tip.short().to_owned();
                    (self.tell)(&format!("{target} moved to {tip} meanwhile; reverting again"));
                }
                Published::Refused { reason, paths } => return Err(self.in_the_way(&reason, &paths)),
            }
        }
    }

    /// Runs the run's check on what would be published; it is an error if that did not pass.
    async fn check(
        &mut self,
        prospect: &Prospect,
        outbox: &Outbox,
        inbox: &mut UnboundedReceiver<Message>,
    ) -> Result<()> {
        let Some(Revert { task, commit }) = prospect.reverts.last() else { return Ok(()) };
        let Some(verify) = &self.context.spec.verify else { return Ok(()) };
        let task = self.run.task(task).cloned().context("the run has no such task")?;
        (self.tell)(&format!("checking {}: {}", commit.short(), ui::one_line(&verify.command.to_string())));
        let context = self.context.clone();
        let (requests, mut stops) = mpsc::unbounded_channel();
        let checked = verify::check(&context, &task, commit, 0, &mut stops, outbox, WantedOutput::None);
        tokio::pin!(checked);
        let checked = loop {
            tokio::select! {
                checked = &mut checked => break checked?,
                Some(message) = inbox.recv() => if let Some(stop) = self.receive(message, commit) {
                    let _ = requests.send(shim::Request::Stop(stop));
                },
            }
        };
        self.refuse_if_stopped()?;
        match checked {
            Checked::Passed { .. } => Ok(()),
            Checked::Failed { reason, log, said } => {
                said.lines().for_each(|line| (self.tell)(&format!("| {}", ui::one_line(line))));
                let message = format!("{} would not pass its check: {reason}", self.target());
                Err(self
                    .unchanged(message)
                    .hint(format!("what the check wrote: {log}"))
                    .hint(self.without_check())
                    .into())
            }
            Checked::NoVerdict(reason) => Err(self
                .unchanged(format!("the result could not be checked: {reason}"))
                .hint(self.without_check())
                .into()),
            Checked::Stopped => Err(self.unchanged("the check was stopped").into()),
        }
    }

    /// Takes a message in, and says how firmly the check is to be stopped by it, if at all.
    fn receive(&mut self, message: Message, commit: &Oid) -> Option<Stop> {
        let cause = match message {
            Message::Signal(cause) => cause,
            Message::Request(Request::Abort { .. }) => StopCause::Abort,
            Message::Suspend => {
                let dir = self.context.dir.check_of(commit);
                // One that can't be reached is about to end, or there is none.
                let _ = shim::request(&dir, shim::Request::Suspend);
                if let Err(e) = crate::sys::stop_myself() {
                    (self.tell)(&format!("cannot stop: {e}"));
                }
                let _ = shim::request(&dir, shim::Request::Resume);
                return None;
            }
            _ => return None,
        };
        let again = self.stopped.replace(cause).is_some();
        Some(if again { Stop::Kill } else { Stop::Term })
    }

    fn refuse_if_stopped(&self) -> Result<()> {
        match self.stopped {
            None => Ok(()),
            Some(cause) => {
                let message = format!("the undo of run {} was stopped", self.run.spec.id);
                Err(self.failure(cause.exit_code(), message).into())
            }
        }
    }

    fn publish(&self, onto: &Oid, commit: &Oid) -> Result<Published> {
        let (repo, spec) = (&self.context.repo, &self.context.spec);
        git::make_durable(repo, commit, onto, SystemTime::from(spec.started_at))?;
        let message = format!("parallel: undo {}", spec.id);
        let published = git::publish(repo, &spec.target_ref(), onto, commit, &message);
        match published {
            // It failed after the target had moved: what is left is mended at the next start.
            Err(e) if is_published(&self.context, &self.run).unwrap_or(false) => {
                (self.tell)(&format!("warning: {e:#}"));
                Ok(Published::Done { updated_worktree: None })
            }
            other => other,
        }
    }

    fn target(&self) -> String {
        ui::name(self.run.spec.target.as_bstr())
    }

    fn unchanged(&self, message: impl Into<String>) -> Failure {
        self.failure(exit::FAILURE, message)
    }

    fn failure(&self, code: u8, message: impl Into<String>) -> Failure {
        Failure::new(code, message).safe(format!("Nothing was undone: {} is as it was.", self.target()))
    }

    fn without_check(&self) -> String {
        format!("to undo it without the check: git parallel undo --no-verify {}", self.run.spec.id)
    }

    fn in_the_way(&self, reason: &str, paths: &[Text]) -> anyhow::Error {
        let paths: Vec<Text> = paths.iter().map(|path| ui::name(path.as_bstr()).into()).collect();
        let paths = if paths.is_empty() { String::new() } else { format!(": {}", name_some(&paths)) };
        let id = &self.run.spec.id;
        let message = format!("run {id} can't be undone: {}{paths}", ui::one_line(reason));
        self.unchanged(message).hint(format!("once that is settled: git parallel undo {id}")).into()
    }

    /// Journal and state, in this order; it survives a power failure.
    fn record(&mut self, event: Event) -> Result<()> {
        let record = Record { at: Timestamp::now(), event };
        self.run.permits(&record.event)?;
        let journal = self.context.dir.journal();
        let written = self.journal.append(&record).and_then(|()| self.journal.sync());
        written.with_context(|| format!("cannot write {}", journal.display()))?;
        self.run.apply(&record)?;
        crate::sys::trace(|| ui::told(&self.run, &record));
        Ok(())
    }

    /// Ends it: what was made for the check goes, and the run is over again.
    fn close(&mut self) -> Result<()> {
        if self.run.finished_at.is_some() {
            return Ok(());
        }
        // Whatever failed after the target had moved, it is undone.
        if let Some(Ok(undone)) = look_after(&self.context, &self.run)? {
            self.record(undone)?;
        }
        if let Err(e) = verify::remove_places(&self.context) {
            (self.tell)(&format!("warning: {e:#}"));
        }
        self.record(Event::RunFinished { exit_code: self.run.exit_code() })
    }
}
