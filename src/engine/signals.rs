//! Ctrl-C, TERM, hang-up and Ctrl-Z.

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
    for (kind, cause) in kinds {
        let mut stream = signal(kind)?;
        let outbox = outbox.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                let _ = outbox.messages.send(Message::Signal(cause));
            }
        });
    }
    Ok(())
}

/// The first signal asks agents to stop, any further one kills them.
pub(super) fn respond(run: &Run, cause: StopCause) -> Event {
    // A run that was stopped long ago may have been taken up again for some of its tasks.
    let asked = |task: &Task| task.state.holds_slot() && task.stop.is_some();
    match run.stop.filter(|_| run.tasks.iter().any(asked)) {
        Some(first) => Event::StopRequested { tasks: None, cause: first, stop: Stop::Kill },
        None => Event::StopRequested { tasks: None, cause, stop: Stop::Term },
    }
}
