//! Writing to a reader that may be slow, stopped or gone.
//!
//! A terminal held by Ctrl-S and a pager that nobody scrolls both stop whoever writes to them. The
//! agents must not wait for that, so a thread of its own does the writing, and a reader that went away
//! is remembered and never written to again.

use std::io::{ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How much may wait before output that can be spared is dropped.
const PLENTY: usize = 4 * 1024 * 1024;

/// One output stream.
pub(super) struct Out {
    shared: Arc<Shared>,
    /// `None` if no thread could be had; then writing is done in place.
    thread: Option<JoinHandle<()>>,
    sink: Box<dyn Fn() -> Box<dyn Write> + Send>,
    /// How long to wait for the reader at the very end; without a limit if `None`.
    patience: Option<Duration>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    writing: bool,
    closing: bool,
    gone: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Out {
    /// The answer: nothing of it may get lost while there is a reader.
    pub(super) fn stdout() -> Out {
        Out::new(|| Box::new(std::io::stdout()), None)
    }

    /// The narration: a terminal that takes no more does not keep the program from ending.
    pub(super) fn stderr() -> Out {
        Out::new(|| Box::new(std::io::stderr()), Some(Duration::from_secs(2)))
    }

    pub(super) fn new(
        sink: impl Fn() -> Box<dyn Write> + Clone + Send + 'static,
        patience: Option<Duration>,
    ) -> Out {
        let shared = Arc::new(Shared::default());
        let (theirs, open) = (Arc::clone(&shared), sink.clone());
        let thread = Builder::new().name("output".to_owned()).spawn(move || write_all(&theirs, &mut *open()));
        Out { shared, thread: thread.ok(), sink: Box::new(sink), patience }
    }

    /// Writes text, sooner or later, after all that was written before.
    pub(super) fn write(&self, text: &str) {
        let mut queue = self.shared.lock();
        if queue.gone || text.is_empty() {
            return;
        }
        if self.thread.is_none() {
            queue.gone = !put(&mut *(self.sink)(), text.as_bytes());
            return;
        }
        queue.bytes.extend_from_slice(text.as_bytes());
        self.shared.changed.notify_all();
    }

    /// Everything that was written so far is with the reader.
    pub(super) fn is_idle(&self) -> bool {
        let queue = self.shared.lock();
        queue.bytes.is_empty() && !queue.writing
    }

    /// So much waits already that output which can be spared should be.
    pub(super) fn is_swamped(&self) -> bool {
        self.shared.lock().bytes.len() > PLENTY
    }

    /// Waits until all is written, the reader is gone or the time is over.
    pub(super) fn drain(&self, limit: Option<Duration>) {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut queue = self.shared.lock();
        while !queue.gone && (queue.writing || !queue.bytes.is_empty()) {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            queue = match left {
                Some(Duration::ZERO) => return,
                Some(left) => {
                    self.shared.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// [`Out::drain`] for as long as this stream is worth waiting for.
    pub(super) fn drain_patiently(&self) {
        self.drain(self.patience);
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.drain_patiently();
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        // A thread that still hangs in a write is left to the end of the process.
        if let Some(thread) = self.thread.take().filter(|_| self.is_idle()) {
            let _ = thread.join();
        }
    }
}

/// The thread: writes what is queued until the stream is closed and everything is out.
fn write_all(shared: &Shared, sink: &mut dyn Write) {
    let mut queue = shared.lock();
    loop {
        if queue.gone {
            queue.bytes.clear();
        }
        if queue.bytes.is_empty() {
            if queue.closing {
                return;
            }
            queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let bytes = std::mem::take(&mut queue.bytes);
        queue.writing = true;
        drop(queue);
        let written = put(sink, &bytes);
        queue = shared.lock();
        queue.writing = false;
        queue.gone |= !written;
        shared.changed.notify_all();
    }
}

/// Writes it all. False if the reader is gone for good.
fn put(sink: &mut dyn Write, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return false,
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Somebody who shares the terminal made it non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(20))
            }
            Err(_) => return false,
        }
    }
    loop {
        match sink.flush() {
            Ok(()) => return true,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(20))
            }
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// What was written, to be looked at.
    #[derive(Clone, Default)]
    pub(in crate::ui) struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        pub(in crate::ui) fn out(&self) -> Out {
            let paper = self.clone();
            Out::new(move || Box::new(paper.clone()), None)
        }

        pub(in crate::ui) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A reader that takes nothing until it is told to, and then goes away.
    struct Stuck(Arc<Mutex<Receiver<()>>>);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.lock().unwrap().recv();
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_arrives_in_order() {
        let paper = Paper::default();
        let out = paper.out();
        (0..100).for_each(|i| out.write(&format!("{i}\n")));
        drop(out);
        assert_eq!(paper.text(), (0..100).map(|i| format!("{i}\n")).collect::<String>());
    }

    #[test]
    fn a_stuck_reader_stops_nobody_and_a_gone_one_is_remembered() {
        let (go, wait): (Sender<()>, _) = channel();
        let wait = Arc::new(Mutex::new(wait));
        let out = Out::new(move || Box::new(Stuck(Arc::clone(&wait))), Some(Duration::from_millis(1)));
        out.write("first");
        out.drain_patiently();
        assert!(!out.is_idle());
        out.write("second");
        go.send(()).unwrap();
        out.drain(None);
        assert!(out.shared.lock().gone);
        out.write("third");
        out.drain(None);
    }
}
