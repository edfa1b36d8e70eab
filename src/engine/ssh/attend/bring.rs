//! Bringing back what a job left.

use super::super::fetch;
use super::super::link::{Link, Trouble, odd};
use super::super::ticket::Fate;
use super::super::words::{Ask, Left, Tell};
use super::{Attendant, failed};
use crate::engine::Context;
use crate::engine::verify::blocking;
use crate::run::{Exit, SshHost, TaskName};
use crate::shim::{self, ExitRecord};

impl Attendant<'_> {
    /// Brings back what the job left, then tells here how it ended, then removes it there.
    pub(super) async fn bring_back(
        &mut self,
        link: &mut Link,
        host: &SshHost,
        exit: Exit,
    ) -> Result<Exit, Trouble> {
        let exit = match self.bring_all(link, host).await? {
            None => exit,
            Some(why) => self.keep(host, exit, &why)?,
        };
        self.record(&exit);
        let keeps = self.ticket.jobs.last().is_some_and(|given| given.keeps);
        self.ticket.set(if keeps { Fate::Kept } else { Fate::Fetched }).map_err(failed)?;
        if !keeps && link.have(&Ask::Remove, None).await.is_ok() {
            self.ticket.set(Fate::Gone).map_err(failed)?;
        }
        Ok(exit)
    }

    /// Something of the job can't be had: how it ended, then.
    pub(super) fn keep(&mut self, host: &SshHost, exit: Exit, why: &str) -> Result<Exit, Trouble> {
        self.ticket.set_keeps().map_err(failed)?;
        let why = format!("what it made could not all be brought back ({why}); it is kept on {}", host.name);
        Ok(Exit { lost: Some(why), ..exit })
    }

    /// Writes down how it ended. The journal tells it, too.
    pub(super) fn record(&self, exit: &Exit) {
        let record = ExitRecord { attempt: self.task.attempt, exit: exit.clone() };
        let _ = shim::record_exit(&self.context.dir.task(self.task.name()), &record);
    }

    /// Gives why something can't be had, if that is certain.
    async fn bring_all(&mut self, link: &mut Link, host: &SshHost) -> Result<Option<String>, Trouble> {
        let (left, pack) = gather(self.context, self.task.name(), link).await?;
        let (context, task, name) = (self.context.clone(), self.task.clone(), host.name.clone());
        let before = self.ticket.standing.clone();
        let Left { ignored, too_much, trouble, .. } = left.clone();
        {
            let _turn = self.context.errands.acquire().await;
            let taken = blocking(move || fetch::take(&context, &task, &name, (&left, pack), before.as_ref()));
            taken.await.map_err(failed)?;
        }
        if trouble.is_some() {
            return Ok(trouble);
        }
        for (path, mode) in ignored {
            link.say(&Ask::Fetch { path: path.clone() }).await?;
            let file = take_file(self.context, self.task.name(), link).await?;
            let top = self.task.spec.worktree.to_path_buf();
            blocking(move || fetch::put_file(&top, &path, mode, file)).await.map_err(failed)?;
        }
        if let Some(what) = too_much {
            let (host, name) = (&host.name, self.task.name());
            self.note(
                &format!("{what} stay on {host}; to remove them: git parallel cleanup --force {name}"),
                true,
            );
            self.ticket.set_keeps().map_err(failed)?;
        }
        Ok(None)
    }
}

/// Asks for what a job left.
pub(in crate::engine::ssh) async fn gather(
    context: &Context,
    task: &TaskName,
    link: &mut Link,
) -> Result<(Left, std::fs::File), Trouble> {
    let left = match link.ask(&Ask::Gather { disposable: context.disposable.clone() }).await? {
        Tell::Left(left) => *left,
        _ => return Err(odd()),
    };
    Ok((left, take_file(context, task, link).await?))
}

/// Takes a stream, into a file without a name.
async fn take_file(context: &Context, task: &TaskName, link: &mut Link) -> Result<std::fs::File, Trouble> {
    let dir = context.dir.task(task);
    let file = tempfile::tempfile_in(&dir);
    let file = file.map_err(|e| Trouble::Cut(format!("cannot write in {}: {e}", dir.display())))?;
    link.take_stream(file).await
}
