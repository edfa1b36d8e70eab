//! Holding agents back: fewer at once than was asked for, Ctrl-Z, and the end of a run that can't be recorded.

use super::{Engine, Message, command, ends_a_process};
use crate::error::{Failure, exit};
use crate::run::{Event, Exit, Run, Stop, Task, TaskName, TaskState};
use crate::shim;

/// Open files that an agent takes here: its shim's pipes, and a handle on the process.
const FILES_OF_AN_AGENT: u64 = 4;

/// Open files that all else takes: the journal, the lock, the pipes of git's that work at once.
const FILES_OF_OUR_OWN: u64 = 48;

/// Who would be stopped now, in words.
fn whom(run: &Run) -> String {
    let resolves = |task: &Task| task.state == TaskState::Conflicted && task.working;
    let agents = run.tasks.iter().filter(|t| t.state == TaskState::Running || resolves(t)).count();
    let checks = run.tasks.iter().filter(|t| t.checking.is_some()).count();
    let setups = run.tasks.iter().filter(|t| t.is_being_set_up()).count();
    let parts = [(agents, "agent"), (setups, "setup"), (checks, "check")];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| crate::ui::count(count as u64, what)).collect();
    parts.join(" and ")
}

impl Engine {
    /// Where not even the raised limit of open files suffices for all jobs, there are fewer.
    pub(super) fn fit_open_files(&mut self) {
        let Some(files) = crate::sys::open_file_limit() else { return };
        let room = files.saturating_sub(FILES_OF_OUR_OWN) / FILES_OF_AN_AGENT;
        let jobs = u32::try_from(room).unwrap_or(u32::MAX).max(1);
        if jobs < self.run.jobs {
            let reason = format!("only {files} files may be open (ulimit -n)");
            self.record(Event::JobsReduced { jobs, reason });
        }
    }

    /// The system has no room for one more agent: as many as run now are what it can take. Where none
    /// runs, waiting would not help.
    pub(super) fn run_fewer(&mut self, task: TaskName, reason: String) {
        self.agents.remove(&task);
        let others = self.run.tasks.iter().filter(|t| t.state == TaskState::Running && *t.name() != task);
        match u32::try_from(others.count()).unwrap_or(u32::MAX) {
            0 => {
                let not_started = Some(format!("cannot start the agent: {reason}"));
                self.record(Event::AgentExited { task, exit: Exit { not_started, ..Exit::default() } });
            }
            jobs => {
                self.record(Event::AgentDeferred { task });
                self.record(Event::JobsReduced { jobs, reason });
            }
        }
    }

    /// Ctrl-Z: agents stop too, and their time limits; everything goes on when we do.
    pub(super) fn suspend(&mut self) {
        self.tell_agents(shim::Request::Suspend);
        self.give_keys_back();
        self.ui.suspend(crate::sys::is_in_background());
        // The workers that pass the request on are part of this very thread, so it goes there directly.
        if let Err(e) = crate::sys::stop_myself() {
            self.ui.note(&format!("cannot stop: {e}"));
        }
        self.tell_agents(shim::Request::Resume);
        self.tick();
    }

    pub(super) fn tell_agents(&self, request: shim::Request) {
        command::tell_all(&self.context, request);
        for agent in self.agents.values() {
            // One that can't be reached is about to end.
            let _ = shim::request(&agent.dir, request);
        }
    }

    /// Who stops the run, or the task that is being landed, stops the commands that run for it.
    pub(super) fn stop_commands(&self, event: &Event) {
        let Event::StopRequested { tasks, stop, .. } = event else { return };
        let is_landing = |name| self.run.task(name).is_some_and(|t| t.state == TaskState::Integrating);
        match tasks {
            None => command::stop_all(&self.context, *stop),
            Some(tasks) if tasks.iter().any(is_landing) => {
                command::tell(&self.context, shim::Request::Stop(*stop));
            }
            Some(_) => {}
        }
    }

    pub(super) fn announce_stop(&mut self, event: &Event) {
        let whom = whom(&self.run);
        match event {
            Event::StopRequested { stop: Stop::Term, .. } if whom.is_empty() => {
                self.ui.note("stopping, work is kept");
            }
            Event::StopRequested { stop: Stop::Term, .. } => {
                self.ui.note(&format!("stopping {whom}, work is kept; Ctrl-C again to kill them now"));
            }
            Event::StopRequested { stop: Stop::Kill, .. } => self.ui.note(&format!("killing {whom}")),
            _ => {}
        }
    }

    /// The journal can't be written: ends the agents, lets them save what they can, and tells why.
    pub(super) async fn give_up(&mut self, error: anyhow::Error) -> anyhow::Error {
        self.control = None;
        self.ui.note("the record of the run can't be written; stopping its agents");
        command::stop_all(&self.context, Stop::Term);
        for agent in self.agents.values() {
            let _ = agent.requests.send(shim::Request::Stop(Stop::Term));
        }
        while !self.agents.is_empty() {
            match self.inbox.recv().await {
                Some(Message::Event(event)) if ends_a_process(&event) => {
                    event.task().map(|task| self.agents.remove(task));
                }
                Some(Message::Signal(_)) => {
                    self.tell_agents(shim::Request::Stop(Stop::Kill));
                    for agent in self.agents.values() {
                        // Those that run elsewhere are reached by who attends them alone.
                        let _ = agent.requests.send(shim::Request::Stop(Stop::Kill));
                    }
                }
                Some(Message::Terminal(news)) => self.at_terminal(news),
                Some(_) => {}
                None => break,
            }
        }
        let journal = self.context.dir.journal();
        let message = format!("cannot write {}", journal.display());
        error.context(
            Failure::new(exit::FAILURE, message)
                .safe("Every branch and worktree is as its agent left it.")
                .hint("make room on that file system (see 'df'), then: git parallel resume (or abort)"),
        )
    }
}
