//! Ctrl-C, TERM, hang-up and Ctrl-Z.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::{Message, Outbox};
use crate::run::{Event, Run, Stop, StopCause, Task};

/// Turns signals into messages, for as long as the runtime lives.
pub(super) fn listen(outbox: Outbox) -> std::io::Result<()> {
    let kinds = [
        (SignalKind::interrupt(), StopCause::Interrupt),
        (SignalKind::terminate(), StopCause::Terminate),
        (SignalKind::hangup(), StopCause::HangUp),
    ];
    let mut stops = signal(SignalKind::from_raw(crate::sys::Signal::TSTP.as_raw()))?;
    let messages = outbox.messages.clone();
    tokio::spawn(async move {
        while stops.recv().await.is_some() {
            let _ = messages.send(Message::Suspend);
        }
    });
    // git passes a signal on to us that the terminal has sent us already: `git parallel` is its child, and
    // in its process group (`clean_on_exit` in git's `execv_dashed_external`).
    let doubled = crate::sys::parent_may_be_git();
    for (kind, cause) in kinds {
        let mut stream = signal(kind)?;
        let outbox = outbox.clone();
        tokio::spawn(async move {
            let mut first: Option<Instant> = None;
            while stream.recv().await.is_some() {
                let echo = doubled && first.is_some_and(|first| first.elapsed() < ECHO);
                first.get_or_insert_with(Instant::now);
                if !echo {
                    let _ = outbox.messages.send(Message::Signal(cause));
                }
            }
        });
    }
    Ok(())
}

/// How soon after the first a signal is taken for the one that git passes on. No finger is as quick.
const ECHO: Duration = Duration::from_millis(80);

/// The first signal asks agents and checks to stop, any further one kills them.
pub(super) fn respond(run: &Run, cause: StopCause) -> Event {
    // A run that was stopped long ago may have been taken up again for some of its tasks.
    let asked = |task: &Task| (task.state.holds_slot() || task.working) && task.stop.is_some();
    match run.stop.filter(|_| run.tasks.iter().any(asked)) {
        Some(first) => Event::StopRequested { tasks: None, cause: first, stop: Stop::Kill },
        None => Event::StopRequested { tasks: None, cause, stop: Stop::Term },
    }
}
