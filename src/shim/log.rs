//! `output.log`: the agent's output, up to a cap, whatever the disk says.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bstr::ByteSlice;

use super::files::{append_private, read_private};

/// Name of the log.
const NAME: &str = "output.log";

/// The log of one attempt. Writing to it never fails: what can't be kept is counted.
pub struct Log<W = File> {
    file: W,
    /// Bytes in the file, of all attempts.
    length: u64,
    /// Bytes that may still be kept.
    room: u64,
    /// Bytes beyond the cap.
    beyond: u64,
    /// Bytes that could not be written and that no line in the log speaks of yet.
    unwritten: u64,
    /// Bytes that are not in the log.
    dropped: u64,
}

impl Log {
    /// Opens the log for one more attempt; what earlier ones wrote stays.
    pub fn open(dir: &Path, attempt: u32, cap: u64) -> io::Result<Log> {
        let file = append_private(&dir.join(NAME))?;
        let length = file.metadata()?.len();
        let mut log = Log::new(file, length, cap);
        if attempt > 1 {
            log.line(&mark(attempt));
        }
        Ok(log)
    }
}

impl<W: Write> Log<W> {
    fn new(file: W, length: u64, cap: u64) -> Self {
        Log { file, length, room: cap, beyond: 0, unwritten: 0, dropped: 0 }
    }

    /// Keeps what fits, counts the rest.
    pub fn write(&mut self, bytes: &[u8]) {
        let fits = usize::try_from(self.room).map_or(bytes.len(), |room| room.min(bytes.len()));
        let (bytes, beyond) = bytes.split_at(fits);
        self.beyond += beyond.len() as u64;
        self.dropped += beyond.len() as u64;
        if bytes.is_empty() {
            return;
        }
        let written = if self.tell_gap() { self.append(bytes) } else { 0 };
        self.room -= written as u64;
        self.unwritten += (bytes.len() - written) as u64;
        self.dropped += (bytes.len() - written) as u64;
    }

    /// Says at the end how much was left out.
    pub fn finish(&mut self) {
        self.tell_gap();
        if self.beyond > 0 {
            self.line(&format!("\n[git-parallel: {} more bytes dropped]\n", self.beyond));
            self.beyond = 0;
        }
    }

    /// Adds a line of our own.
    pub fn note(&mut self, text: &str) {
        self.line(&format!("\n[git-parallel: {text}]\n"));
    }

    /// Bytes in the file, of all attempts.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of output that are not in the log.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Marks the place where bytes are missing, if any are; returns whether the file takes bytes again.
    fn tell_gap(&mut self) -> bool {
        if self.unwritten > 0 {
            let mark = format!("\n[git-parallel: {} bytes could not be written]\n", self.unwritten);
            if !self.line(&mark) {
                return false;
            }
            self.unwritten = 0;
        }
        true
    }

    fn line(&mut self, text: &str) -> bool {
        self.append(text.as_bytes()) == text.len()
    }

    /// Writes as much as the file takes.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                Ok(n) => written += n,
            }
        }
        self.length += written as u64;
        written
    }
}

/// What stands above the output of an attempt that is not the first.
fn mark(attempt: u32) -> String {
    format!("--- attempt {attempt} ---\n")
}

/// The end of the log, `most` bytes of it; nothing if there is none.
pub fn end_of_output(dir: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut end = Vec::new();
    if let Some(mut file) = read_private(&dir.join(NAME))? {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        file.take(most).read_to_end(&mut end)?;
    }
    Ok(end)
}

/// The end of what this attempt wrote, the latest there is: `most` bytes, or less.
pub fn output(dir: &Path, attempt: u32, most: u64) -> io::Result<Vec<u8>> {
    let mut end = end_of_output(dir, most)?;
    if attempt > 1 {
        let mark = mark(attempt);
        match end.rfind(&mark) {
            Some(at) => drop(end.drain(..at + mark.len())),
            // It has written more than that, or nothing could be written for it.
            None if end.len() as u64 == most => {}
            None => end.clear(),
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so many bytes left.
    struct Disk {
        kept: Vec<u8>,
        left: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.left == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let n = bytes.len().min(self.left);
            self.left -= n;
            self.kept.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn beyond_the_cap_bytes_are_counted_and_told_once() {
        let mut log = Log::new(Disk { kept: Vec::new(), left: 1000 }, 0, 5);
        log.write(b"abc");
        log.write(b"defg");
        log.write(b"hij");
        log.finish();
        assert_eq!(log.file.kept, b"abcde\n[git-parallel: 5 more bytes dropped]\n");
        assert_eq!((log.dropped(), log.length()), (5, log.file.kept.len() as u64));
    }

    #[test]
    fn an_attempt_s_output_is_told_from_that_of_others() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(output(dir.path(), 1, 100).unwrap(), b"");
        Log::open(dir.path(), 1, 100).unwrap().write(b"one, no newline");
        assert_eq!(output(dir.path(), 1, 100).unwrap(), b"one, no newline");
        assert_eq!(output(dir.path(), 2, 100).unwrap(), b"", "its mark could not be written");
        Log::open(dir.path(), 2, 100).unwrap().write(b"two");
        assert_eq!(output(dir.path(), 2, 100).unwrap(), b"two");
        assert_eq!(output(dir.path(), 2, 2).unwrap(), b"wo");
        assert_eq!(end_of_output(dir.path(), 7).unwrap(), b"---\ntwo");
    }

    #[test]
    fn a_full_disk_is_tried_again_and_its_gap_is_marked() {
        let mut log = Log::new(Disk { kept: Vec::new(), left: 2 }, 0, 100);
        log.write(b"abc");
        log.write(b"def");
        assert_eq!((log.dropped(), log.length()), (4, 2));
        log.file.left = 1000;
        log.write(b"ghi");
        log.finish();
        assert_eq!(log.file.kept, b"ab\n[git-parallel: 4 bytes could not be written]\nghi");
        assert_eq!(log.dropped(), 4);
    }
}
