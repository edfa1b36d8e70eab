//! The shim's files: private, never through a symbolic link, and the lock that proves it lives.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::OFlags;

/// Name of the lock file.
const ALIVE: &str = "alive";

/// How often and how long to try for the lock: somebody who only asks whether we live holds it for an
/// instant too.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// Opens a regular file for appending, 0600 if it is made, whatever an agent may have put in its place.
pub fn append_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    regular(path, &mut options)
}

/// Opens a regular file for reading; `None` if there is none.
pub fn read_private(path: &Path) -> io::Result<Option<File>> {
    match regular(path, OpenOptions::new().read(true)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn regular(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Without NONBLOCK a FIFO in the file's place would make us wait for ever.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Takes the lock of a task's directory; `None` if another shim has it. It is held until the file is
/// closed, at the latest by the kernel at the shim's death.
pub fn hold(dir: &Path) -> io::Result<Option<File>> {
    let file = append_private(&dir.join(ALIVE))?;
    for tried in 1..=TRIES {
        match fs2::FileExt::try_lock_exclusive(&file) {
            Ok(()) => return Ok(Some(file)),
            Err(error) if !is_contended(&error) => return Err(error),
            Err(_) if tried < TRIES => sleep(PAUSE),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Writes into the held lock which attempt is under way: from now on its agent may have been started.
pub fn claim(mut held: &File, attempt: u32) -> io::Result<()> {
    held.set_len(0)?;
    held.write_all(attempt.to_string().as_bytes())?;
    held.sync_data()
}

/// Makes all attempts so far out of date: a shim that was only just started for one, and has not taken it up
/// yet, does nothing any more. Returns whether no other lives.
pub fn outdate(dir: &Path) -> io::Result<bool> {
    let Some(held) = hold(dir)? else { return Ok(false) };
    claim(&held, next_attempt(dir).saturating_add(1))?;
    Ok(true)
}

/// Whether the attempt is [out of date](outdate).
pub fn is_outdated(dir: &Path, attempt: u32) -> bool {
    last_attempt(dir).is_some_and(|last| last > attempt)
}

/// Whether a shim took up this attempt, alive or dead.
pub fn was_begun(dir: &Path, attempt: u32) -> bool {
    last_attempt(dir) == Some(attempt)
}

/// The attempt that no shim took up yet.
pub fn next_attempt(dir: &Path) -> u32 {
    last_attempt(dir).map_or(1, |last| last.saturating_add(1))
}

fn last_attempt(dir: &Path) -> Option<u32> {
    let file = read_private(&dir.join(ALIVE)).ok().flatten()?;
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.parse().ok()
}

/// Whether a shim lives that works for this directory.
pub fn is_alive(dir: &Path) -> io::Result<bool> {
    let Some(file) = read_private(&dir.join(ALIVE))? else { return Ok(false) };
    match fs2::FileExt::try_lock_shared(&file) {
        Ok(()) => Ok(false),
        Err(error) if is_contended(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Waits, blocking the thread, until no shim works for this directory any more.
pub fn wait_gone(dir: &Path) -> io::Result<()> {
    let Some(file) = read_private(&dir.join(ALIVE))? else { return Ok(()) };
    loop {
        match fs2::FileExt::lock_shared(&file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn is_contended(error: &io::Error) -> bool {
    error.raw_os_error() == fs2::lock_contended_error().raw_os_error()
}
