//! What goes over a connection: words as JSON, and streams of bytes in pieces, each with its length before it.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The most that one frame holds.
const MOST: u32 = 256 << 20;
/// How much of a stream goes into one.
pub const CHUNK: usize = 64 << 10;

/// What a host says first, before its protocol's number and its version. Before it there may be whatever the shell's
/// start-up files say.
pub const GREETING: &[u8] = b"\x01git-parallel serves ";

/// The protocol that this version speaks.
pub const PROTOCOL: u32 = 1;

/// A piece of what goes over a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A word, as JSON.
    Word(Vec<u8>),
    /// A piece of a stream.
    Data(Vec<u8>),
    /// The end of a stream.
    End,
    /// Nothing but a sign of life.
    Here,
}

impl Frame {
    /// A word.
    ///
    /// # Errors
    /// If it has no JSON.
    pub fn word(word: &impl Serialize) -> io::Result<Frame> {
        Ok(Frame::Word(serde_json::to_vec(word)?))
    }

    /// The word that it is.
    ///
    /// # Errors
    /// If it is something else.
    pub fn parse<T: DeserializeOwned>(&self) -> io::Result<T> {
        match self {
            Frame::Word(json) => Ok(serde_json::from_slice(json)?),
            Frame::Data(_) | Frame::End | Frame::Here => Err(unexpected()),
        }
    }

    fn parts(&self) -> (u8, &[u8]) {
        match self {
            Frame::Word(bytes) => (b'w', bytes),
            Frame::Data(bytes) => (b'd', bytes),
            Frame::End => (b'e', &[]),
            Frame::Here => (b'h', &[]),
        }
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let (kind, bytes) = self.parts();
        let length =
            u32::try_from(bytes.len()).ok().filter(|length| *length <= MOST).ok_or_else(unexpected)?;
        Ok([&[kind], &length.to_be_bytes()[..], bytes].concat())
    }

    /// Writes it.
    ///
    /// # Errors
    /// As the stream has them.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.bytes()?)?;
        to.flush()
    }

    /// Writes it.
    ///
    /// # Errors
    /// As the stream has them.
    pub async fn send(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        to.write_all(&self.bytes()?).await?;
        to.flush().await
    }

    /// Reads the next one.
    ///
    /// # Errors
    /// As the stream has them, also at its end.
    pub fn read(from: &mut impl Read) -> io::Result<Frame> {
        let mut head = [0; 5];
        from.read_exact(&mut head)?;
        let mut bytes = vec![0; length(head)?];
        from.read_exact(&mut bytes)?;
        Frame::of(head[0], bytes)
    }

    /// Reads the next one.
    ///
    /// # Errors
    /// As the stream has them, also at its end.
    pub async fn receive(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
        let mut head = [0; 5];
        from.read_exact(&mut head).await?;
        let mut bytes = vec![0; length(head)?];
        from.read_exact(&mut bytes).await?;
        Frame::of(head[0], bytes)
    }

    fn of(kind: u8, bytes: Vec<u8>) -> io::Result<Frame> {
        match kind {
            b'w' => Ok(Frame::Word(bytes)),
            b'd' => Ok(Frame::Data(bytes)),
            b'e' => Ok(Frame::End),
            b'h' => Ok(Frame::Here),
            _ => Err(unexpected()),
        }
    }
}

fn length(head: [u8; 5]) -> io::Result<usize> {
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if length > MOST {
        return Err(unexpected());
    }
    usize::try_from(length).map_err(|_| unexpected())
}

/// What came makes no sense.
pub fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what came over the connection makes no sense")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_nonsense_is_refused() {
        let all = [Frame::word(&"hello").unwrap(), Frame::Data(vec![0; 100_000]), Frame::End, Frame::Here];
        let mut wire = Vec::new();
        all.iter().for_each(|frame| frame.write(&mut wire).unwrap());
        let mut from = &wire[..];
        for frame in &all {
            assert_eq!(Frame::read(&mut from).unwrap(), *frame);
        }
        assert_eq!(Frame::read(&mut from).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(all[0].parse::<String>().unwrap(), "hello");
        assert!(all[2].parse::<String>().is_err());
        for nonsense in [&b"x\0\0\0\0"[..], b"w\xff\xff\xff\xff"] {
            assert!(Frame::read(&mut &nonsense[..]).is_err());
        }
    }
}
