//! One run on its way: takes what happens and tells it, live, line by line or as JSON.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use console::Term;
use jiff::Timestamp;

use super::keys::keys;
use super::live::{Frame, Layout, arrange};
use super::out::Out;
use super::rows::Aside;
use super::screen::Screen;
use super::tail::{Tail, end_of};
use super::view::{View, Wish};
use super::{Format, Settings, Verbosity, foreseen, json, lines, summary, text, words};
use crate::run::{Event, Foreseen, Record, Run, Step, Task, TaskName, Text, Work};

/// The live view is not redrawn more often than this, whatever happens.
const PAUSE: Duration = Duration::from_millis(100);
/// How long stderr waits for lines that were written to stdout before it.
const IN_ORDER: Duration = Duration::from_millis(50);

/// Tells a run. None of its functions fails or waits for a reader, but [`Ui::finish`].
pub struct Ui {
    settings: Settings,
    stdout: Out,
    stderr: Out,
    logs: Box<dyn Fn(&TaskName) -> Text + Send>,
    tails: HashMap<TaskName, Tail>,
    foreseen: Vec<Foreseen>,
    /// Lines of output that were dropped because nobody read them.
    dropped: u64,
    since: Option<Timestamp>,
    live: Live,
    /// Rows and columns of the terminal, asked for at each drawing.
    size: Box<dyn Fn() -> (usize, usize) + Send>,
}

#[derive(Default)]
struct Live {
    screen: Screen,
    drawn: Option<Instant>,
    turn: usize,
    suspended: bool,
    view: View,
    /// What is on the branches by now.
    so_far: HashMap<TaskName, Work>,
    /// Since when tasks are being checked.
    steps: HashMap<TaskName, Timestamp>,
}

impl Ui {
    /// A run told on stdout and stderr. `logs` tells where the log of a task is.
    pub fn new(settings: Settings, logs: impl Fn(&TaskName) -> Text + Send + 'static) -> Ui {
        let size = || {
            Term::stderr().size_checked().map_or((24, 80), |(rows, columns)| (rows.into(), columns.into()))
        };
        Ui::on(settings, Out::stdout(), Out::stderr(), Box::new(size), Box::new(logs))
    }

    fn on(
        settings: Settings,
        stdout: Out,
        stderr: Out,
        size: Box<dyn Fn() -> (usize, usize) + Send>,
        logs: Box<dyn Fn(&TaskName) -> Text + Send>,
    ) -> Ui {
        let live = Live::default();
        let (tails, foreseen) = (HashMap::new(), Vec::new());
        Ui { settings, stdout, stderr, logs, tails, foreseen, dropped: 0, since: None, live, size }
    }

    /// Tells an event that was just applied to the run.
    pub fn event(&mut self, run: &Run, record: &Record) {
        if let Event::RunStarted { .. } = record.event {
            self.since = Some(record.at);
        }
        if let Event::Begun { task, step: Step::Verify { .. } } = &record.event {
            self.live.steps.insert(task.clone(), record.at);
        }
        match self.settings.format {
            Format::Json => self.stdout.write(&json::event(run, record)),
            Format::Plain => self.plain(run, record),
            Format::Live if self.live.drawn.is_none_or(|drawn| drawn.elapsed() >= PAUSE) => {
                self.draw(run, record.at);
            }
            Format::Live => {}
        }
    }

    /// Takes all conflicts that are foreseen now, and tells what is new of them.
    pub fn foresee(&mut self, run: &Run, now: Timestamp, all: Vec<Foreseen>, news: &[Foreseen]) {
        let changed = std::mem::replace(&mut self.foreseen, all) != self.foreseen;
        match (self.settings.format, self.settings.verbosity) {
            (Format::Json, _) => {
                news.iter().for_each(|one| self.stdout.write(&json::foreseen(run, now, one)))
            }
            (Format::Live, _) if changed => self.tick(run, now),
            (Format::Live, _) | (Format::Plain, Verbosity::Quiet) => {}
            (Format::Plain, _) => {
                for one in news {
                    self.stdout.write(&(foreseen::line(run, now, one, &self.settings.stdout) + "\n"));
                }
            }
        }
    }

    /// Takes what is on the branches of tasks by now.
    pub fn made(&mut self, run: &Run, now: Timestamp, made: Vec<(TaskName, Work)>) {
        self.live.so_far.extend(made);
        self.tick(run, now);
    }

    /// Whether there is a view that keys can be pressed in.
    pub fn wants_keys(&self) -> bool {
        self.settings.format == Format::Live
    }

    /// Tells the view whether keys are read. Who has pressed one knows it.
    pub fn has_keys(&mut self, has: bool) {
        self.live.view.hint = has && !self.live.view.touched;
    }

    /// Takes what a terminal sent for keys that were pressed; gives what is asked of the run.
    pub fn press(&mut self, run: &Run, now: Timestamp, bytes: &[u8]) -> Vec<Wish> {
        if !self.wants_tick() {
            return Vec::new();
        }
        let mut wishes = Vec::new();
        for key in keys(bytes) {
            let layout = Layout::new((self.size)().0, run.tasks.len(), &self.live.view);
            let order = arrange(&run.tasks, layout.tasks);
            wishes.extend(self.live.view.press(run, &order, layout.shown(order.len()), key));
        }
        // Who presses a key waits for what comes of it.
        self.stderr.drain(Some(IN_ORDER));
        self.draw(run, now);
        wishes
    }

    fn plain(&mut self, run: &Run, record: &Record) {
        if let Event::AgentExited { task, .. } | Event::SetUp { task } | Event::PrepareFailed { task, .. } =
            &record.event
        {
            self.end_output(task);
        }
        if self.settings.verbosity == Verbosity::Quiet {
            return;
        }
        for line in lines::lines(run, record, &self.settings.stdout) {
            self.stdout.write(&(line + "\n"));
        }
    }

    /// Takes new bytes of an agent's output.
    pub fn output(&mut self, task: &TaskName, bytes: &[u8]) {
        let verbose = self.settings.verbosity == Verbosity::Verbose && self.settings.format == Format::Plain;
        if !verbose && self.settings.format != Format::Live {
            return;
        }
        let tail = self.tails.entry(task.clone()).or_default();
        let mut complete = Vec::new();
        tail.feed(bytes, &mut |line| {
            if verbose {
                complete.push(line.to_owned());
            }
        });
        complete.iter().for_each(|line| self.output_line(task, line));
    }

    /// The last words of an agent that ended without a newline.
    fn end_output(&mut self, task: &TaskName) {
        if let Some(rest) = self.tails.get_mut(task).and_then(Tail::flush) {
            self.output_line(task, &rest);
        }
    }

    fn output_line(&mut self, task: &TaskName, line: &str) {
        if self.stdout.is_swamped() {
            self.dropped += 1;
            return;
        }
        match std::mem::take(&mut self.dropped) {
            0 => {}
            n => self
                .stdout
                .write(&format!("({} of output not shown: nobody read them)\n", words::count(n, "line"))),
        }
        let prefix = self.settings.stdout.dim(&format!("{} |", words::task(task)));
        self.stdout.write(&format!("{}\n", format!("{prefix} {line}").trim_end()));
    }

    /// Brings times in the live view up to date; to be called about once a second if [`Ui::wants_tick`].
    pub fn tick(&mut self, run: &Run, now: Timestamp) {
        if self.wants_tick() {
            self.draw(run, now);
        }
    }

    /// Whether there is anything that moves with time.
    pub fn wants_tick(&self) -> bool {
        self.settings.format == Format::Live && !self.live.suspended
    }

    fn draw(&mut self, run: &Run, now: Timestamp) {
        // A terminal that has not taken the last drawing gets the next one when it has.
        if self.live.suspended || !self.stderr.is_idle() {
            return;
        }
        self.live.turn += 1;
        self.live.drawn = Some(Instant::now());
        let lines = self.frame(run, now, |frame| frame.lines());
        let drawing = self.live.screen.draw(lines, self.settings.stderr.width);
        self.stderr.write(&drawing);
    }

    fn frame(&mut self, run: &Run, now: Timestamp, lines: impl Fn(&Frame) -> Vec<String>) -> Vec<String> {
        let (height, width) = (self.size)();
        self.settings.stderr.width = width;
        self.live.view.follow(run, height);
        let aside = |task: &Task| Aside {
            output: self.tails.get(task.name()).map(Tail::last),
            ahead: foreseen::of_task(run, task, &self.foreseen),
            so_far: self.live.so_far.get(task.name()),
            step: self.live.steps.get(task.name()).map(|since| words::between(*since, now)),
        };
        let log = |task: &Task, rows: usize| end_of((self.logs)(task.name()).as_path(), rows);
        // The last column stays free: some terminals wrap as soon as it is written to.
        let look = super::Look { width: width.saturating_sub(1), ..self.settings.stderr.clone() };
        let since = self.since.unwrap_or(run.spec.started_at);
        let (turn, view) = (self.live.turn, &self.live.view);
        lines(&Frame { run, now, since, look: &look, height, turn, view, aside: &aside, log: &log })
    }

    /// Tells the person at the terminal something, on a line of its own.
    pub fn note(&mut self, message: &str) {
        let line = text::one_line(message);
        if self.settings.format == Format::Live && !self.live.suspended {
            let above = self.live.screen.insert(&line, (self.size)().1);
            self.stderr.write(&above);
        } else {
            self.stdout.drain(Some(IN_ORDER));
            self.stderr.write(&(line + "\n"));
        }
    }

    /// Rings the terminal's bell, unless there is none or little is to be told.
    pub fn bell(&mut self) {
        if self.settings.stderr_is_terminal && self.settings.verbosity != Verbosity::Quiet {
            self.stderr.write("\x07");
        }
    }

    /// Leaves the terminal to somebody else: the live view goes away and the cursor comes back. If somebody
    /// has `taken` it already (git stops at once, where it started us), the view stays above what they write.
    pub fn suspend(&mut self, taken: bool) {
        self.live.suspended = true;
        if taken {
            self.live.screen.forget();
        }
        self.release();
        self.stderr.drain_patiently();
    }

    /// Takes the terminal back after [`Ui::suspend`].
    pub fn restore(&mut self, run: &Run, now: Timestamp) {
        self.live.suspended = false;
        self.tick(run, now);
    }

    fn release(&mut self) {
        let cleared = self.live.screen.clear((self.size)().1);
        self.stderr.write(&cleared);
        self.stderr.write(self.live.screen.release());
    }

    /// Tells how the run ended. What the live view showed last stays above it. Returns when everything
    /// was read, or the reader is gone.
    pub fn finish(&mut self, run: &Run, now: Timestamp) {
        let names: Vec<TaskName> = self.tails.keys().cloned().collect();
        if self.settings.format == Format::Plain {
            names.iter().for_each(|name| self.end_output(name));
        }
        if self.wants_tick() {
            let lines = self.frame(run, now, |frame| frame.last_lines());
            let last = self.live.screen.draw(lines, self.settings.stderr.width);
            self.stderr.write(&last);
            self.stderr.write(self.live.screen.release());
            self.live = Live { suspended: true, ..Live::default() };
        }
        self.stderr.drain_patiently();
        if self.settings.format != Format::Json {
            let since = self.since.unwrap_or(run.spec.started_at);
            let text = summary::summary(run, since, now, &self.logs, &self.settings.stdout);
            let gap = if self.settings.verbosity == Verbosity::Quiet { "" } else { "\n" };
            self.stdout.write(&format!("{gap}{text}"));
        }
        self.stdout.drain_patiently();
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        // After `finish` there is nothing left to do; on any other way out the cursor must come back.
        self.stderr.write(self.live.screen.release());
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixture::{self, Story, at, log_of};
    use super::super::out::tests::Paper;
    use super::*;

    /// Tells a whole story and gives back what came out on stdout and stderr.
    fn told(format: Format, verbosity: Verbosity, story: &Story) -> (String, String) {
        let (stdout, stderr) = (Paper::default(), Paper::default());
        let mut ui = ui(format, verbosity, &stdout, &stderr);
        for (record, run) in &story.records {
            if let Event::AgentExited { task, .. } = &record.event {
                ui.output(task, b"\x1b[32mdone\x1b[0m with ");
                ui.output(task, b"it\n\nlast words");
            }
            ui.event(run, record);
        }
        ui.finish(&story.run, at(story.clock));
        drop(ui);
        (stdout.text(), stderr.text())
    }

    fn ui(format: Format, verbosity: Verbosity, stdout: &Paper, stderr: &Paper) -> Ui {
        let settings = fixture::settings(format, verbosity);
        Ui::on(settings, stdout.out(), stderr.out(), Box::new(|| (24, 80)), Box::new(log_of))
    }

    #[test]
    fn plain_lines_and_the_summary_go_to_stdout() {
        let (stdout, stderr) = told(Format::Plain, Verbosity::Normal, &fixture::sample());
        assert_snapshot!(stdout);
        assert_eq!(stderr, "");
    }

    #[test]
    fn quiet_tells_only_the_end() {
        let (stdout, stderr) = told(Format::Plain, Verbosity::Quiet, &fixture::sample());
        assert!(stdout.starts_with("1 of 3 tasks needs you:\n"), "{stdout}");
        assert_eq!(stderr, "");
    }

    #[test]
    fn verbose_tells_every_line_of_every_agent() {
        let (stdout, _) = told(Format::Plain, Verbosity::Verbose, &fixture::sample());
        assert_snapshot!(stdout);
    }

    #[test]
    fn json_has_nothing_but_events() {
        let (stdout, stderr) = told(Format::Json, Verbosity::Normal, &fixture::sample());
        assert_eq!(stdout.lines().count(), fixture::sample().records.len());
        let events: Vec<serde_json::Value> =
            stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let last = &events[events.len() - 1];
        assert_eq!((&last["event"], &last["exit_code"]), (&"run-finished".into(), &1.into()));
        assert_eq!(last["counts"]["landed"], 2);
        assert_eq!(stderr, "");
    }

    #[test]
    fn the_live_view_leaves_its_last_state_and_the_cursor() {
        let (stdout, stderr) = told(Format::Live, Verbosity::Normal, &fixture::sample());
        assert!(stdout.starts_with("\n1 of 3 tasks needs you:\n"), "{stdout}");
        assert_eq!(stderr.matches("\x1b[?25l").count(), 1);
        assert!(stderr.ends_with("\x1b[J\x1b[?25h"), "{stderr:?}");
        let last = stderr.rsplit("A").next().unwrap();
        assert_snapshot!(last.replace('\x1b', "ESC"));
    }

    #[test]
    fn notes_stand_above_the_live_view() {
        let (stdout, stderr) = (Paper::default(), Paper::default());
        let mut ui = ui(Format::Live, Verbosity::Normal, &stdout, &stderr);
        let story = fixture::sample();
        let (record, run) = &story.records[4];
        ui.event(run, record);
        ui.stderr.drain(None);
        ui.output(&"auth".into(), b"\x1b]0;x\x07Reading files");
        ui.note("stopping 3 agents; press Ctrl-C again to kill them now");
        ui.stderr.drain(None);
        ui.tick(run, at(3));
        drop(ui);
        assert_snapshot!(stderr.text().replace('\x1b', "ESC"));
        assert_eq!(stdout.text(), "");
    }

    #[test]
    fn a_suspended_view_is_silent_and_comes_back() {
        let (stdout, stderr) = (Paper::default(), Paper::default());
        let mut ui = ui(Format::Live, Verbosity::Normal, &stdout, &stderr);
        let run = &fixture::sample().run;
        ui.tick(run, at(3));
        ui.suspend(false);
        let before = stderr.text();
        assert!(before.ends_with("\x1b[4A\x1b[J\x1b[?25h"), "{before:?}");
        ui.tick(run, at(4));
        assert!(!ui.wants_tick());
        ui.stderr.drain(None);
        assert_eq!(stderr.text(), before);
        ui.restore(run, at(5));
        ui.stderr.drain(None);
        assert!(stderr.text()[before.len()..].starts_with("\x1b[?25l"));
    }
}
