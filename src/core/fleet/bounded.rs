//! Owns the bound on what one reply or message of a Redis may take. The library buffers a reply until it is whole, however long
//! its head says that it is, so whoever answers in place of a Redis could fill the memory. This wraps the stream that the
//! library reads, and fails as soon as a reply passes the bound.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use redis::RedisError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::failure::Failure;

/// Bytes of one reply. The largest real one is an entry: an answer of the platform has 256 KiB at the most.
const MAX_REPLY: u64 = 1 << 20;
/// Parts of one reply. The largest real one has three.
const MAX_PARTS: u64 = 1 << 10;

/// A stream whose replies are bounded.
pub struct Bounded<S> {
    stream: S,
    replies: Replies,
    fault: Fault,
}

/// Why the stream of a connection failed here. The library does not pass the error on.
#[derive(Clone, Debug, Default)]
pub struct Fault(Arc<OnceLock<ErrorKind>>);

impl Fault {
    /// The failure, if there was one.
    pub fn get(&self) -> Option<Failure> {
        self.0.get().map(|kind| io::Error::from(*kind).into())
    }

    /// The failure, or the library's error if the stream is not to blame.
    pub fn or(&self, error: RedisError) -> Failure {
        self.get().unwrap_or_else(|| error.into())
    }
}

/// Follows the replies in a stream of bytes (RESP 2).
#[derive(Debug, Default)]
struct Replies {
    /// Bytes of this reply so far.
    bytes: u64,
    /// Values until this reply is complete.
    missing: u64,
    next: Next,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default)]
enum Next {
    /// The byte that says what kind of value begins.
    #[default]
    Kind,
    /// The line after it, which holds a length or the value itself.
    Line { kind: u8, number: i64 },
    /// A text of this length, its line end included.
    Text(u64),
}

impl<S> Bounded<S> {
    /// Nothing has been read of the stream yet.
    pub fn new(stream: S) -> (Self, Fault) {
        let fault = Fault::default();
        (Self { stream, replies: Replies::default(), fault: fault.clone() }, fault)
    }
}

impl Replies {
    fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some(first) = bytes.first() {
            let taken = match self.next {
                Next::Text(left) => self.text(left, bytes.len()),
                Next::Kind => {
                    self.begin(*first)?;
                    1
                }
                Next::Line { kind, number } => {
                    self.line(kind, number, *first)?;
                    1
                }
            };
            self.bytes += taken as u64;
            if self.bytes > MAX_REPLY {
                return Err(too_large());
            }
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn begin(&mut self, kind: u8) -> io::Result<()> {
        if self.missing == 0 {
            (self.bytes, self.missing) = (0, 1);
        }
        if !b"+-:$*".contains(&kind) {
            return Err(ErrorKind::InvalidData.into());
        }
        self.next = Next::Line { kind, number: 0 };
        Ok(())
    }

    /// One byte of a line.
    fn line(&mut self, kind: u8, number: i64, byte: u8) -> io::Result<()> {
        let number = match byte {
            b'-' => -1,
            b'0'..=b'9' if number >= 0 => number.saturating_mul(10).saturating_add((byte - b'0').into()),
            _ => number,
        };
        if byte != b'\n' {
            self.next = Next::Line { kind, number };
            return Ok(());
        }
        // Negative for a text or an array that is absent.
        match (kind, u64::try_from(number)) {
            (b'$', Ok(length)) if length > MAX_REPLY => return Err(too_large()),
            (b'$', Ok(length)) => self.next = Next::Text(length + 2),
            (b'*', Ok(parts)) if parts > MAX_PARTS || self.missing > MAX_PARTS => return Err(too_large()),
            (b'*', Ok(parts)) => self.end_value(parts),
            _ => self.end_value(0),
        }
        Ok(())
    }

    /// As many bytes of a text as there are.
    fn text(&mut self, left: u64, available: usize) -> usize {
        let taken = available.min(usize::try_from(left).unwrap_or(usize::MAX));
        self.next = Next::Text(left - taken as u64);
        if left == taken as u64 {
            self.end_value(0);
        }
        taken
    }

    /// A value is complete, but for the parts that follow it.
    fn end_value(&mut self, parts: u64) {
        self.missing = self.missing - 1 + parts;
        self.next = Next::Kind;
    }
}

fn too_large() -> io::Error {
    ErrorKind::FileTooLarge.into()
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = self.replies.read(&buffer.filled()[before..]);
        Poll::Ready(read.inspect_err(|error| {
            let _ = self.fault.0.set(error.kind());
        }))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads it whole and byte by byte.
    fn read(bytes: &[u8]) -> Result<u64, ErrorKind> {
        let (mut whole, mut single) = (Replies::default(), Replies::default());
        let read_whole = whole.read(bytes);
        let read_single = bytes.iter().try_for_each(|byte| single.read(&[*byte]));
        assert_eq!(read_whole.is_ok(), read_single.is_ok());
        read_whole.map(|()| whole.missing).map_err(|error| error.kind())
    }

    #[test]
    fn replies_pass_as_they_come_however_many_they_are() {
        let replies = b"+OK\r\n-ERR no\r\n:-7\r\n$-1\r\n*-1\r\n$0\r\n\r\n$5\r\n\r\n$9*\r\n*0\r\n*2\r\n*1\r\n:1\r\n$1\r\n$\r\n";
        assert_eq!(read(&replies.repeat(3)), Ok(0));
        let entry = [b"*3\r\n$5\r\nentry\r\n$500000\r\n", &[b'*'; 500_000][..], b"\r\n:5\r\n"].concat();
        assert_eq!(read(&entry.repeat(5)), Ok(0));
    }

    #[test]
    fn a_reply_over_the_bound_fails_before_it_is_read() {
        for head in
            ["$8000000000", "$1048577", "*1025", "*99999999999999999999", "*2\r\n$99999999999999999999"]
        {
            assert_eq!(read(format!("{head}\r\n").as_bytes()), Err(ErrorKind::FileTooLarge), "{head}");
        }
        let line = [b"+", &[b'x'; MAX_REPLY as usize][..]].concat();
        assert_eq!(read(&line), Err(ErrorKind::FileTooLarge));
        let parts =
            [b"*2\r\n$1048000\r\n", &[b'x'; 1_048_000][..], b"\r\n$1048000\r\n", &[b'x'; 2_000]].concat();
        assert_eq!(read(&parts), Err(ErrorKind::FileTooLarge));
        assert_eq!(read("*1000\r\n".repeat(1_000).as_bytes()), Err(ErrorKind::FileTooLarge));
    }

    #[test]
    fn what_no_redis_says_fails_at_its_first_byte() {
        for strange in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"\x15\x03\x01", b"+OK\r\n%1\r\n"] {
            assert_eq!(read(strange), Err(ErrorKind::InvalidData));
        }
    }
}
