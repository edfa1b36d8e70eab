//! The agent's output on its way from the pipe to the log.

use std::io;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

use super::log::Log;

const BUFFER: usize = 64 << 10;
/// How long to wait for the end of the output once nobody of ours can write any more.
const PATIENCE: Duration = Duration::from_secs(1);

/// The reading end of the agent's output, and its log.
pub struct Output {
    /// `None` after the end.
    pipe: Option<Receiver>,
    /// Never filled up for nothing: of an agent that is silent, it takes no memory.
    buffer: Vec<u8>,
    /// Where it goes.
    pub log: Log,
}

impl Output {
    /// Takes the output from `pipe` to `log`.
    pub fn new(pipe: Receiver, log: Log) -> Output {
        Output { pipe: Some(pipe), buffer: Vec::with_capacity(BUFFER), log }
    }

    /// Moves one portion as soon as there is one; waits for ever after the end.
    pub async fn pump(&mut self) {
        let Some(pipe) = &self.pipe else { return std::future::pending().await };
        let read = match pipe.readable().await {
            Ok(()) => {
                self.buffer.clear();
                pipe.try_read_buf(&mut self.buffer)
            }
            Err(error) => Err(error),
        };
        match read {
            Ok(0) => self.pipe = None,
            Ok(_) => self.log.write(&self.buffer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.pipe = None,
        }
    }

    /// Moves the rest.
    pub async fn drain(&mut self) {
        let rest = async {
            while self.pipe.is_some() {
                self.pump().await;
            }
        };
        // Somebody outside may have been handed the writing end; nobody waits for that.
        let _ = timeout(PATIENCE, rest).await;
    }
}
