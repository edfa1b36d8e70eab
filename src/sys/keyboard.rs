//! Keys as they are pressed, from the terminal on stdin.

use std::io::{self, ErrorKind, IsTerminal, PipeReader, PipeWriter, Stdin};
use std::thread::{Builder, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use rustix::termios::{tcgetattr, tcgetpgrp, tcsetattr};

/// While it lives, the terminal gives each key at once and does not show it. What Ctrl-C, Ctrl-Z and Ctrl-\
/// mean stays. At its end, the terminal is as it was.
pub struct Keyboard {
    before: Termios,
    /// The reading thread ends when this is dropped.
    stop: Option<PipeWriter>,
    reader: Option<JoinHandle<()>>,
}

impl Keyboard {
    /// Takes the keys: `heard` gets what the terminal sends for them, on a thread of its own. `None` where they
    /// are not ours: stdin is no terminal, or others are in its foreground.
    pub fn take(mut heard: impl FnMut(Vec<u8>) + Send + 'static) -> Option<Keyboard> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || !in_foreground(&stdin) {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let (stopped, stop) = io::pipe().ok()?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&stdin, OptionalActions::Now, &modes).ok()?;
        let mut keyboard = Keyboard { before, stop: Some(stop), reader: None };
        // Others are asked for when we are continued; without a thread, what was set is undone.
        let read = move || {
            while let Ok(Some(keys)) = next(&stdin, &stopped) {
                heard(keys);
            }
        };
        keyboard.reader = Some(Builder::new().name("keys".to_owned()).spawn(read).ok()?);
        Some(keyboard)
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        let stdin = io::stdin();
        // In the background it would stop us, and whoever is in the foreground has set it as it needs it.
        if in_foreground(&stdin) {
            let _ = tcsetattr(&stdin, OptionalActions::Now, &self.before);
        }
        drop(self.stop.take());
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

/// Waits for keys; `None` if it is to end.
fn next(stdin: &Stdin, stopped: &PipeReader) -> io::Result<Option<Vec<u8>>> {
    loop {
        let mut fds = [PollFd::new(stdin, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(_) if !fds[1].revents().is_empty() => return Ok(None),
            Ok(_) => {}
        }
        let keys = pressed(stdin)?;
        if !keys.is_empty() {
            return Ok(Some(keys));
        }
    }
}

/// What was pressed since the last time; it never waits.
///
/// # Errors
/// If no more keys are to be had: the terminal is gone, or belongs to others now.
fn pressed(stdin: &Stdin) -> io::Result<Vec<u8>> {
    let (mut keys, mut chunk) = (Vec::new(), [0; 256]);
    while is_readable(stdin)? {
        // To read in the background would stop us.
        if !in_foreground(stdin) {
            return Err(ErrorKind::WouldBlock.into());
        }
        match rustix::io::read(stdin, &mut chunk) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => keys.extend_from_slice(&chunk[..count]),
            Err(Errno::INTR | Errno::AGAIN) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(keys)
}

fn is_readable(stdin: &Stdin) -> io::Result<bool> {
    let mut fds = [PollFd::new(stdin, PollFlags::IN)];
    match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) | Err(Errno::INTR) => Ok(false),
        Ok(_) if fds[0].revents().contains(PollFlags::IN) => Ok(true),
        Ok(_) => Err(ErrorKind::BrokenPipe.into()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a shell has the terminal on stderr by now, and we are in its background.
pub fn is_in_background() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|group| group != rustix::process::getpgrp())
}

fn in_foreground(stdin: &Stdin) -> bool {
    tcgetpgrp(stdin).is_ok_and(|group| group == rustix::process::getpgrp())
}
