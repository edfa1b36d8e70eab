//! Jobs that don't count any more: of hosts that stay away, or that were called off.

use std::time::Duration;

use super::super::strays;
use super::super::ticket::{Fate, Given};
use super::{Attendant, MARGIN, stopped};
use crate::engine::agent::GRACE_MS;
use crate::run::{Exit, SshHost, Stop};

impl Attendant<'_> {
    /// A host that stays away: whatever it does with the job does not count any more.
    pub(super) fn give_up(&mut self, host: &SshHost, lost_after: Duration) -> Result<(), String> {
        let (name, seconds) = (&host.name, lost_after.as_secs());
        let token = self.ticket.present().map(|given| given.token.clone()).unwrap_or_default();
        let run = &self.context.spec.id;
        self.outbox.note(format!(
            "warning: {}: nothing was heard of {name} for {seconds} s; what its agent does there (job {token}) does \
             not count any more, and 'git parallel cleanup --run {run}' ends it",
            self.task.name(),
        ));
        self.why = format!("nothing was heard of {name} for {seconds} s ({})", self.why);
        self.tired_of.push(name.clone());
        self.set(Fate::Stray)
    }

    /// How it ends if somebody asked for that and its host is not there.
    pub(super) async fn call_off(&mut self, host: &SshHost) -> Result<Option<Exit>, String> {
        let Some((stop, at)) = self.stop else { return Ok(None) };
        if !self.is_started() {
            self.forget(Fate::Stray).await?;
            return Ok(Some(stopped()));
        }
        let patience = match stop {
            Stop::Term => Duration::from_millis(GRACE_MS) + MARGIN,
            Stop::Kill => MARGIN,
        };
        let lost_after = Duration::from_millis(self.runner.lost_after_ms);
        if at.elapsed() < patience.min(lost_after) {
            return Ok(None);
        }
        self.set(Fate::Stray)?;
        let (name, run) = (&host.name, &self.context.spec.id);
        self.outbox.note(format!(
            "warning: {}: {name} can't be reached, and its agent may still be at work there; \
             once it can be, this ends it: git parallel cleanup --run {run}",
            self.task.name(),
        ));
        Ok(Some(stopped()))
    }

    /// The last job does not matter any more: it is removed, if that can be done now, or else later.
    pub(super) async fn forget(&mut self, fate: Fate) -> Result<(), String> {
        let Some(given) = self.ticket.jobs.last().filter(|given| given.fate != Fate::Gone).cloned() else {
            return Ok(());
        };
        self.set(fate)?;
        let given = Given { fate, ..given };
        let sides = (self.runner, self.ssh);
        if strays::end_one(self.context, sides, self.task.name(), (&self.ticket, &given)).await.is_ok() {
            self.set(Fate::Gone)?;
        }
        Ok(())
    }

    /// Removes what other hosts still have of the attempt, if they are there.
    pub(super) async fn clean_up(&mut self) {
        let sides = (self.runner, self.ssh);
        for given in self.ticket.jobs.clone() {
            if given.fate.is_left() && !self.hosts.is_away(&given.host) {
                let of = (&self.ticket, &given);
                let ended = strays::end_one(self.context, sides, self.task.name(), of).await;
                if let Ok(Some(text)) = ended {
                    self.note(&text, true);
                }
            }
        }
    }
}
