//! `GIT_PARALLEL_TRACE`: telling what is done while it is done, to where `GIT_TRACE` would tell it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::Zoned;

/// Writes a line, if anybody wants to know. A line is written whole, so that those of several processes in one
/// file don't mix.
pub fn trace(line: impl FnOnce() -> String) {
    static SINK: OnceLock<Option<File>> = OnceLock::new();
    let sink = SINK.get_or_init(|| std::env::var_os("GIT_PARALLEL_TRACE").and_then(|value| open(&value)));
    let Some(mut sink) = sink.as_ref() else { return };
    let at = Zoned::now().strftime("%H:%M:%S%.6f");
    // A trace that can't be written is no reason to stop.
    let _ = sink.write_all(format!("{at} {}\n", one_line(&line())).as_bytes());
}

/// What a value of the variable stands for, as with git's own.
fn open(value: &OsStr) -> Option<File> {
    let path = match value.to_str().map(str::to_ascii_lowercase).as_deref() {
        Some("" | "0" | "false" | "no" | "off") => return None,
        Some("1" | "2" | "true" | "yes" | "on") => PathBuf::from("/dev/fd/2"),
        Some(fd) if matches!(fd.as_bytes(), [b'3'..=b'9']) => Path::new("/dev/fd").join(fd),
        _ => PathBuf::from(value),
    };
    if !path.is_absolute() {
        warn(&path, "it must be 1, 2, a number of an open file up to 9, or an absolute path");
        return None;
    }
    let file = match path.to_str() {
        // A second opening of a file would write over what the first one has written.
        Some("/dev/fd/2") => rustix::io::dup(std::io::stderr()).map(File::from).map_err(Into::into),
        _ => File::options().append(true).create(true).open(&path),
    };
    file.map_err(|e| warn(&path, &e.to_string())).ok()
}

fn warn(path: &Path, why: &str) {
    let line = format!("warning: can't trace to GIT_PARALLEL_TRACE={}: {why}\n", path.display());
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// One line, whatever stands in it.
fn one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}
