//! What a person does with the live view: the task they have selected, and what they asked to see.

use super::keys::Key;
use super::live::{Layout, arrange};
use super::words;
use crate::run::{Run, Task, TaskName, TaskState};

/// What a key asks of the run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Stop this task and keep its work.
    Abort(TaskName),
    /// Run its agent again.
    Retry(TaskName),
}

/// The state of the view, beside the run's.
#[derive(Clone, Default, Debug)]
pub(super) struct View {
    /// Keys are read, and none was pressed yet.
    pub(super) hint: bool,
    /// One was pressed.
    pub(super) touched: bool,
    /// The task that keys are about.
    pub(super) selected: Option<TaskName>,
    /// The end of its log is shown.
    pub(super) log: bool,
    /// What the keys do is shown.
    pub(super) help: bool,
    /// The task that is to be aborted, if the next key is a yes.
    pub(super) asks: Option<TaskName>,
    /// What came of the last key, if it is not seen otherwise.
    pub(super) said: Option<String>,
    /// The first task on the screen, in the order they are drawn in.
    pub(super) top: usize,
}

impl View {
    /// Takes a key. `order` has the tasks as they are drawn, `page` is how many of them are.
    pub(super) fn press(&mut self, run: &Run, order: &[&Task], page: usize, key: Key) -> Option<Wish> {
        self.said = None;
        (self.hint, self.touched) = (false, true);
        if let Some(task) = self.asks.take() {
            let yes = matches!(key, Key::Char('y' | 'Y'));
            return yes.then_some(Wish::Abort(task));
        }
        let page = isize::try_from(page.max(1)).unwrap_or(1);
        match key {
            Key::Up => self.step(order, -1),
            Key::Down => self.step(order, 1),
            Key::PageUp => self.step(order, -page),
            Key::PageDown => self.step(order, page),
            Key::First => self.selected = order.first().map(|task| task.name().clone()),
            Key::Last => self.selected = order.last().map(|task| task.name().clone()),
            Key::Escape if self.log || self.help => (self.log, self.help) = (false, false),
            Key::Escape => (self.selected, self.top) = (None, 0),
            Key::Char('?' | 'h') => self.help = !self.help,
            Key::Char('l') => {
                self.select_one(order);
                self.log = !self.log && self.selected.is_some();
            }
            Key::Char('a') => self.ask(run, order),
            Key::Char('r') => return self.retry(run, order),
            Key::Char(_) => {}
        }
        None
    }

    /// Whether there is something to tell beside the run.
    pub(super) fn has_line(&self) -> bool {
        self.help || self.asks.is_some() || self.said.is_some()
    }

    /// Where the selected task is.
    pub(super) fn place(&self, order: &[&Task]) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        order.iter().position(|task| task.name() == selected)
    }

    fn step(&mut self, order: &[&Task], by: isize) {
        let last = order.len().saturating_sub(1);
        let to = match self.place(order) {
            Some(place) => place.saturating_add_signed(by).min(last),
            None if by > 0 => 0,
            None => last,
        };
        self.selected = order.get(to).map(|task| task.name().clone());
    }

    /// Where there is one task, nobody need select it.
    fn select_one(&mut self, order: &[&Task]) {
        if let ([only], None) = (order, &self.selected) {
            self.selected = Some(only.name().clone());
        }
        if self.selected.is_none() {
            self.said = Some("select a task first: up and down, or j and k".to_owned());
        }
    }

    fn task<'a>(&mut self, order: &[&'a Task]) -> Option<&'a Task> {
        self.select_one(order);
        self.place(order).and_then(|place| order.get(place)).copied()
    }

    fn ask(&mut self, run: &Run, order: &[&Task]) {
        let Some(task) = self.task(order) else { return };
        let name = words::task(task.name());
        if task.stop.is_some() && task.state == TaskState::Running {
            self.said = Some(format!("{name} is stopping already"));
        } else if run.is_at_rest(task) {
            self.said = Some(format!("{name} is {}: there is nothing to stop", words::state(task.state)));
        } else {
            self.asks = Some(task.name().clone());
        }
    }

    fn retry(&mut self, run: &Run, order: &[&Task]) -> Option<Wish> {
        let task = self.task(order)?;
        if task.may_retry() && !task.working && !run.will_retry(task) {
            return Some(Wish::Retry(task.name().clone()));
        }
        let (name, state) = (words::task(task.name()), words::state(task.state));
        self.said = Some(match run.will_retry(task) {
            true => format!("{name} will be run again by itself"),
            false if task.may_retry() => {
                format!("what {name} left is being looked at; try again in a moment")
            }
            false => format!("{name} is {state}: there is nothing to run again"),
        });
        None
    }

    /// Keeps the selected task in sight on a terminal of this height.
    pub(super) fn follow(&mut self, run: &Run, height: usize) {
        let all = run.tasks.len();
        let layout = Layout::new(height, all, self);
        let place = self.place(&arrange(&run.tasks, layout.tasks));
        self.scroll(place, layout.shown(all), all);
    }

    /// Moves the window so that the selected task is in it; `rows` of `all` tasks are shown.
    fn scroll(&mut self, place: Option<usize>, rows: usize, all: usize) {
        if let Some(place) = place {
            self.top = self.top.min(place).max((place + 1).saturating_sub(rows));
        }
        self.top = self.top.min(all.saturating_sub(rows));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Story, spec};
    use super::*;
    use crate::run::{Exit, How};

    fn story() -> Story {
        let mut story = Story::new(spec(&["a", "b", "c", "d"]));
        story.start(1, "a", 1).start(1, "b", 2).start(1, "c", 3);
        story.finish(2, "b", 1).land(2, "b", How::Merge);
        story.fail(3, "c", Exit { code: Some(1), ..Exit::default() });
        story
    }

    fn press(view: &mut View, run: &Run, keys: &[Key]) -> Option<Wish> {
        let order: Vec<&Task> = run.tasks.iter().collect();
        keys.iter().filter_map(|key| view.press(run, &order, 2, *key)).last()
    }

    #[test]
    fn a_selection_moves_and_stops_at_the_ends() {
        let (story, mut view) = (story(), View::default());
        let mut after = |keys: &[Key]| {
            press(&mut view, &story.run, keys);
            view.selected.clone().map(|name| name.0).unwrap_or_default()
        };
        assert_eq!(after(&[Key::Down]), "a");
        assert_eq!(after(&[Key::Up, Key::Up]), "a");
        assert_eq!(after(&[Key::PageDown, Key::Down, Key::Down, Key::Down]), "d");
        assert_eq!(after(&[Key::Escape]), "");
        assert_eq!(after(&[Key::Up]), "d");
        assert_eq!(after(&[Key::First]), "a");
    }

    #[test]
    fn only_a_yes_aborts() {
        let (story, mut view) = (story(), View::default());
        let a = || Key::Char('a');
        assert_eq!(press(&mut view, &story.run, &[a()]), None);
        assert_eq!(view.said.as_deref(), Some("select a task first: up and down, or j and k"));
        assert_eq!(press(&mut view, &story.run, &[Key::Down, a(), Key::Char('n')]), None);
        assert_eq!(press(&mut view, &story.run, &[a(), a(), Key::Char('y')]), None, "the second is a no");
        assert_eq!(press(&mut view, &story.run, &[a(), Key::Char('y')]), Some(Wish::Abort("a".into())));
        assert_eq!(press(&mut view, &story.run, &[Key::Down, a()]), None);
        assert_eq!(view.said.as_deref(), Some("b is landed: there is nothing to stop"));
    }

    #[test]
    fn what_failed_is_run_again_and_nothing_else() {
        let (story, mut view) = (story(), View::default());
        let r = || Key::Char('r');
        assert_eq!(press(&mut view, &story.run, &[Key::Down, r()]), None);
        assert_eq!(view.said.as_deref(), Some("a is running: there is nothing to run again"));
        assert_eq!(press(&mut view, &story.run, &[Key::PageDown, r()]), Some(Wish::Retry("c".into())));
    }

    #[test]
    fn the_window_follows_the_selection() {
        let mut view = View::default();
        let mut tops = |places: &[usize]| {
            places
                .iter()
                .map(|place| {
                    view.scroll(Some(*place), 3, 10);
                    view.top
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(tops(&[0, 2, 3, 9, 8, 6, 0]), [0, 0, 1, 7, 7, 6, 0]);
        view.top = 9;
        view.scroll(None, 3, 4);
        assert_eq!(view.top, 1);
    }
}
