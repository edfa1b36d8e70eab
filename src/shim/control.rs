//! `control`: the FIFO through which a shim takes requests, also from a supervisor that did not start it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tokio::net::unix::pipe;

use crate::run::Stop;
use crate::sys;

const NAME: &str = "control";
/// No request is longer.
const MAX_LINE: usize = 16;

/// What a shim can be asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// End the agent.
    Stop(Stop),
    /// Hold the agent where it is; its time limit waits too.
    Suspend,
    /// Let it go on.
    Resume,
}

impl Request {
    const ALL: [(&'static str, Request); 4] = [
        ("term", Request::Stop(Stop::Term)),
        ("kill", Request::Stop(Stop::Kill)),
        ("stop", Request::Suspend),
        ("cont", Request::Resume),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, request)| *request == self).map_or("", |(word, _)| word)
    }

    fn parse(line: &[u8]) -> Option<Request> {
        Self::ALL.iter().find(|(word, _)| word.as_bytes() == line).map(|(_, request)| *request)
    }
}

/// The shim's end of the FIFO.
pub struct Control {
    path: PathBuf,
    reader: pipe::Receiver,
    /// Our own writing end: with it the reader never sees an end of file.
    _writer: File,
    line: Vec<u8>,
}

impl Control {
    /// Makes the FIFO anew.
    pub fn make(dir: &Path) -> io::Result<Control> {
        let path = dir.join(NAME);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.file_type().is_fifo() => fs::remove_file(&path)?,
            Ok(_) => return Err(io::Error::other("something else is in its place")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        sys::make_fifo(&path)?;
        let reader = pipe::Receiver::from_file(open(&path, OpenOptions::new().read(true))?)?;
        let writer = open(&path, OpenOptions::new().write(true))?;
        Ok(Control { path, reader, _writer: writer, line: Vec::new() })
    }

    /// The next request; what is not one is passed over.
    pub async fn next(&mut self) -> Request {
        loop {
            let mut byte = [0];
            // Requests are rare and short; a byte at a time keeps the rest in the FIFO, so that
            // nothing is lost if this future is dropped.
            match self.reader.try_read(&mut byte) {
                Ok(1) => {
                    if let Some(request) = self.take(byte[0]) {
                        return request;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.reader.readable().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                // Can't be, as long as we hold a writing end; signals still work.
                Ok(_) | Err(_) => std::future::pending().await,
            }
        }
    }

    fn take(&mut self, byte: u8) -> Option<Request> {
        if byte != b'\n' {
            // A line that is too long is kept too long, so that no end of it is taken for a request.
            if self.line.len() <= MAX_LINE {
                self.line.push(byte);
            }
            return None;
        }
        let request = Request::parse(&self.line);
        self.line.clear();
        request
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Takes away the FIFO that a shim left when it was killed. To be called only if none lives.
pub fn discard(dir: &Path) {
    let path = dir.join(NAME);
    if fs::symlink_metadata(&path).is_ok_and(|meta| meta.file_type().is_fifo()) {
        // One that stays is harmless: without a reader it refuses every request.
        let _ = fs::remove_file(path);
    }
}

/// Passes a request to the shim that works for `dir`; returns whether there is one that listens.
pub fn request(dir: &Path, request: Request) -> io::Result<bool> {
    let mut fifo = match open(&dir.join(NAME), OpenOptions::new().write(true)) {
        Ok(fifo) => fifo,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    match fifo.write_all(format!("{}\n", request.word()).as_bytes()) {
        // It died between open and write.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

/// Opens the FIFO, and nothing that an agent may have put in its place.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.custom_flags(flags.bits().cast_signed()).open(path)?;
    let meta = file.metadata()?;
    if meta.file_type().is_fifo() && meta.uid() == rustix::process::geteuid().as_raw() {
        Ok(file)
    } else {
        Err(io::Error::other(format!("'{}' is not a FIFO of ours", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn requests_arrive_in_order_and_noise_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!request(dir.path(), Request::Suspend).unwrap());
        runtime().block_on(async {
            let mut control = Control::make(dir.path()).unwrap();
            let noise = format!("\nhello\n{}term\n", "x".repeat(100));
            fs::write(dir.path().join(NAME), noise).unwrap();
            for (_, each) in Request::ALL {
                assert!(request(dir.path(), each).unwrap());
            }
            for (_, each) in Request::ALL {
                assert_eq!(control.next().await, each);
            }
        });
        assert!(!request(dir.path(), Request::Suspend).unwrap());
    }

    #[test]
    fn only_a_fifo_is_used_or_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        runtime().block_on(async {
            // A stale FIFO: nobody listens, and it is made anew.
            sys::make_fifo(&path).unwrap();
            assert!(!request(dir.path(), Request::Suspend).unwrap());
            drop(Control::make(dir.path()).unwrap());
            let victim = dir.path().join("victim");
            fs::write(&victim, "").unwrap();
            std::os::unix::fs::symlink(&victim, &path).unwrap();
            assert!(Control::make(dir.path()).is_err());
            assert!(request(dir.path(), Request::Suspend).is_err());
            fs::rename(&victim, &path).unwrap();
            assert!(Control::make(dir.path()).is_err());
            assert!(request(dir.path(), Request::Suspend).is_err());
            assert_eq!(fs::read(&path).unwrap(), b"");
        });
    }
}
