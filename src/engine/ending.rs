//! What comes after the end of a run, and notices while it goes on.

use super::notice::{self, Told};
use super::{Engine, Message, command, hooks, keys, landing, settling, verify};
use crate::run::{Stop, StopCause, TaskName};
use crate::{shim, ui};

impl Engine {
    /// Tells a person once that they are needed, unless it is told next that the run has ended.
    pub(super) fn notice_needs(&mut self) {
        if self.noticed || self.run.finished_at.is_some() || self.run.stop.is_some() {
            return;
        }
        let news = |name: &TaskName| !self.known_needs.contains(name);
        let mut needy = self.run.tasks.iter().filter(|task| notice::needs_a_person(&self.run, task));
        let Some(task) = needy.find(|task| news(task.name())) else { return };
        let message = format!("{}: {} needs you ({})", notice::place(&self.context), task.name(), task.state);
        let mut env = hooks::of_run(&self.context);
        env.push(("GIT_PARALLEL_TASK".to_owned(), task.name().0.as_str().into()));
        self.noticed = true;
        self.notices.spawn(notice::give(self.context.clone(), message, env));
    }

    /// What needs a person already when the run is taken up is no news.
    pub(super) fn know_needs(&mut self) {
        let needy = self.run.tasks.iter().filter(|task| notice::needs_a_person(&self.run, task));
        self.known_needs = needy.map(|task| task.name().clone()).collect();
    }

    pub(super) fn noticed(&mut self, told: Told) {
        match told {
            Told::Given => {}
            Told::ByBell => self.ui.bell(),
            Told::Not(why) => self.ui.note(&format!("warning: parallel.notify failed: {why}")),
        }
    }

    /// A run that is over has nothing lying about, also if we are killed right after saying so.
    pub(super) fn tidy_up(&mut self) {
        self.control = None;
        let removed = [verify::remove_places(&self.context), settling::remove_scratch(&self.context)];
        let dropped = landing::drop_candidates(&self.context, &self.run.tasks);
        let failed = removed.into_iter().chain([dropped]).filter_map(Result::err).map(|e| format!("{e:#}"));
        let left = self.context.recycling.as_ref().map(|recycling| recycling.close()).unwrap_or_default();
        for trouble in failed.chain(left) {
            self.ui.note(&format!("warning: {trouble}"));
        }
        for task in &self.run.tasks {
            self.context.prune_parents(task);
        }
    }

    /// Tells that the run has ended, and runs the hook for that. Both end with Ctrl-C.
    pub(super) async fn after_end(&mut self) {
        // Whatever stopped the run has done so.
        self.context.stopping.send_replace(None);
        let context = self.context.clone();
        let ended = self.run.clone();
        // Who pressed Ctrl-C is there, and knows.
        if ended.stop != Some(StopCause::Interrupt) {
            let message = format!("{}: {}", notice::place(&context), ui::tally_of(&ended));
            self.notices.spawn(notice::give(context.clone(), message, hooks::of_end(&context, &ended)));
        }
        let hook = hooks::on_finish(&context, &ended);
        tokio::pin!(hook);
        let mut at_work = true;
        while at_work || !self.notices.is_empty() {
            tokio::select! {
                failure = &mut hook, if at_work => {
                    at_work = false;
                    failure.iter().for_each(|why| self.ui.note(why));
                }
                Some(told) = self.notices.join_next(), if !self.notices.is_empty() => {
                    self.noticed(told.unwrap_or(Told::Given));
                }
                Some(message) = self.inbox.recv() => self.receive_after_end(message),
                Some(_) = self.output.recv() => {}
            }
        }
    }

    fn receive_after_end(&mut self, message: Message) {
        match message {
            Message::Signal(_) => {
                let asked = self.context.stopping.borrow().is_some();
                self.ui.note(if asked { "killing the hook" } else { "stopping the hook; the run is over" });
                command::stop_all(&self.context, if asked { Stop::Kill } else { Stop::Term });
            }
            Message::Note(text) => self.ui.note(&text),
            Message::Suspend => {
                command::tell_all(&self.context, shim::Request::Suspend);
                if let Err(e) = crate::sys::stop_myself() {
                    self.ui.note(&format!("cannot stop: {e}"));
                }
                command::tell_all(&self.context, shim::Request::Resume);
            }
            Message::Event(_) | Message::Request(_) | Message::NoRoom(..) => {}
            Message::Foreseen(_) | Message::Made(_) => {}
            // The view is over, and the terminal is as it was.
            Message::Terminal(news) => keys::quit_if_asked(&news),
        }
    }
}
