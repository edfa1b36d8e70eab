//! A person at the terminal: keys in the live view, and all else that a terminal tells.

use std::io;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use super::{Engine, Message};
use crate::run::{Event, Stop, StopCause};
use crate::sys::{Keyboard, Signal, is_in_background};
use crate::ui::Wish;

/// What comes from the terminal.
#[derive(Debug)]
pub(super) enum Terminal {
    /// Keys, as the terminal sends them.
    Pressed(Vec<u8>),
    /// It has another size.
    Resized,
    /// We were stopped and go on, in its foreground or not.
    Continued,
    /// Ctrl-\: the end, at once.
    Quit,
}

impl Engine {
    /// Listens to the terminal, if there is a view on it.
    pub(super) fn listen_to_terminal(&mut self) -> io::Result<()> {
        if !self.ui.wants_keys() {
            return Ok(());
        }
        self.take_keys();
        let told = [
            (SignalKind::window_change(), (|| Terminal::Resized) as fn() -> Terminal),
            (SignalKind::from_raw(Signal::CONT.as_raw()), || Terminal::Continued),
            (SignalKind::quit(), || Terminal::Quit),
        ];
        for (kind, news) in told {
            let (mut stream, outbox) = (signal(kind)?, self.outbox.clone());
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    let _ = outbox.messages.send(Message::Terminal(news()));
                }
            });
        }
        Ok(())
    }

    /// Takes the keys if they are ours now, and not if not.
    pub(super) fn take_keys(&mut self) {
        self.give_keys_back();
        if self.ui.wants_keys() {
            let messages = self.outbox.messages.clone();
            self.keys = Keyboard::take(move |keys| {
                let _ = messages.send(Message::Terminal(Terminal::Pressed(keys)));
            });
        }
        self.ui.has_keys(self.keys.is_some());
    }

    /// Draws the view, where we are in the terminal's foreground. In the background it would be drawn into what
    /// a person does in their shell. That is looked at each second: nobody is told when a job that runs is
    /// brought to the foreground.
    pub(super) fn tick(&mut self) {
        let now = Timestamp::now();
        match (is_in_background(), self.ui.wants_tick()) {
            (false, true) => self.ui.tick(&self.run, now),
            (false, false) => {
                self.take_keys();
                self.ui.restore(&self.run, now);
            }
            (true, true) => {
                self.give_keys_back();
                self.ui.suspend(true);
            }
            (true, false) => {}
        }
    }

    /// Leaves the terminal as it was.
    pub(super) fn give_keys_back(&mut self) {
        self.keys = None;
    }

    pub(super) fn at_terminal(&mut self, news: Terminal) {
        let now = Timestamp::now();
        match &news {
            Terminal::Pressed(bytes) => {
                for wish in self.ui.press(&self.run, now, bytes) {
                    self.request(asked(wish));
                }
            }
            Terminal::Resized => self.tick(),
            Terminal::Continued => {
                if self.ui.wants_tick() {
                    self.take_keys();
                }
                self.tick();
            }
            Terminal::Quit => {
                self.give_keys_back();
                self.ui.suspend(false);
                quit_if_asked(&news);
            }
        }
    }
}

/// Ctrl-\ ends at once whoever catches nothing; who restores the terminal first does the same then.
pub(super) fn quit_if_asked(news: &Terminal) {
    if matches!(news, Terminal::Quit) {
        std::process::abort();
    }
}

fn asked(wish: Wish) -> Event {
    match wish {
        Wish::Abort(task) => {
            Event::StopRequested { tasks: Some(vec![task]), cause: StopCause::Abort, stop: Stop::Term }
        }
        Wish::Retry(task) => Event::RetryRequested { task, fresh: false },
    }
}
