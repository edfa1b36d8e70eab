//! What is kept on disk: paths, the lock, the journal and the other records of a run.
//!
//! All of it lies in `<git-common-dir>/parallel`, readable by the owner alone. State files are hints:
//! nothing is deleted or killed because a file says so.

mod journal;
mod layout;
mod lock;
mod passed;
mod runs;
mod untouched;

pub use journal::{Journal, Tail};
pub use layout::{Layout, RunDir};
pub use lock::{Holder, Lock};
pub use passed::Passed;
pub use runs::{Loaded, create, list, load, load_with};
pub use untouched::{remember_files, untouched_files};

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Writes a file so that it is there whole or not at all, whatever happens, and only for the owner.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = write_beside(path, bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    File::open(folder_of(path))?.sync_all()
}

/// As [`write_atomically`], but it may be lost, in part too, if the machine dies: for what is of no use then.
pub fn write_briefly(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_beside(path, bytes)?.persist(path).map(drop).map_err(|e| e.error)
}

fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let permissions = std::fs::Permissions::from_mode(0o600);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder_of(path))?;
    file.write_all(bytes)?;
    Ok(file)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Creates a file for the owner alone.
pub fn create_private(path: &Path) -> io::Result<File> {
    open_private(path, OpenOptions::new().write(true).create_new(true))
}

/// Opens a file of ours, never through a symbolic link, creating it for the owner alone.
fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    options.mode(0o600).custom_flags(NOFOLLOW).open(path)
}
