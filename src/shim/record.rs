//! `exit.json`: how an attempt ended, written so that it is there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::ExitRecord;
use super::files::read_private;
use crate::run::Exit;

const NAME: &str = "exit.json";
/// A fixed name, so that a crash leaves no litter: the lock sees to it that there is one writer.
const NEW: &str = "exit.json.new";
/// The most that is read of a record.
const MAX: u64 = 64 << 10;

/// Writes the record and makes it durable.
pub fn write(dir: &Path, record: &ExitRecord) -> io::Result<()> {
    let new = dir.join(NEW);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let result = fill(&new, record).and_then(|()| fs::rename(&new, dir.join(NAME)));
    if result.is_err() {
        let _ = fs::remove_file(&new);
    }
    result?;
    File::open(dir)?.sync_all()
}

fn fill(path: &Path, record: &ExitRecord) -> io::Result<()> {
    let mut json = serde_json::to_vec(record)?;
    json.push(b'\n');
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&json)?;
    file.sync_all()
}

/// How this attempt ended, if it is recorded. A record of another attempt counts for nothing; one that
/// can't be understood is an error.
pub fn exit_record(dir: &Path, attempt: u32) -> io::Result<Option<Exit>> {
    let path = dir.join(NAME);
    let in_words =
        |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("'{}': {why}", path.display()));
    let Some(file) = read_private(&path).map_err(|error| in_words(error.to_string()))? else {
        return Ok(None);
    };
    let mut json = Vec::new();
    file.take(MAX + 1).read_to_end(&mut json).map_err(|error| in_words(error.to_string()))?;
    if json.len() as u64 > MAX {
        return Err(in_words("too long to be the record of an exit".to_owned()));
    }
    let record: ExitRecord = serde_json::from_slice(&json)
        .map_err(|error| in_words(format!("not the record of an exit ({error})")))?;
    Ok((record.attempt == attempt).then_some(record.exit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(attempt: u32) -> ExitRecord {
        ExitRecord { attempt, exit: Exit { code: Some(3), left_behind: 2, ..Exit::default() } }
    }

    #[test]
    fn a_record_comes_back_for_its_own_attempt_only() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(exit_record(dir.path(), 1).unwrap(), None);
        fs::write(dir.path().join(NEW), "torn by a crash").unwrap();
        write(dir.path(), &record(1)).unwrap();
        write(dir.path(), &record(2)).unwrap();
        assert_eq!(exit_record(dir.path(), 2).unwrap(), Some(record(2).exit));
        assert_eq!(exit_record(dir.path(), 1).unwrap(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_a_record_is_an_error_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        for bad in [&b""[..], b"{}", b"[1, 2", b"\xff\xfe", &vec![b' '; 1 << 20]] {
            fs::write(&path, bad).unwrap();
            let error = exit_record(dir.path(), 1).unwrap_err().to_string();
            assert!(error.contains("exit.json") && error.contains("record of an exit"), "{error}");
        }
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(exit_record(dir.path(), 1).is_err());
        fs::remove_file(&path).unwrap();
        crate::sys::make_fifo(&path).unwrap();
        assert!(exit_record(dir.path(), 1).unwrap_err().to_string().contains("not a regular file"));
    }
}
