//! Owns the bound on one reply or message of a Redis. The library buffers a reply until it is whole, whatever length its head
//! announces, so a server in place of the Redis could fill the memory. This wraps the stream that the library reads, and
//! fails as soon as a reply exceeds the bound, or is not RESP 2.

use std::io::{self, ErrorKind};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use redis::RedisError;
use redis::aio::AsyncStream;
use tokio::io::{AsyncRead, ReadBuf, ReadHalf, join, split};

use super::failure::RedisFailure;

/// Bytes of one reply. The largest real one is an entry: an answer of the platform has 256 KiB at most.
const MAX_REPLY: usize = 1 << 20;
/// Parts of one reply. The largest real one has three.
const MAX_PARTS: i64 = 1 << 10;

pub struct Bounded {
    pub stream: Pin<Box<dyn AsyncStream + Send + Sync>>,
    pub error: StreamError,
}

/// Why a bounded stream failed. The library tells it to the first command in flight alone.
#[derive(Clone, Debug, Default)]
pub struct StreamError(Arc<OnceLock<ErrorKind>>);

impl StreamError {
    /// The failure of the stream, or else the library's error.
    pub fn or(&self, error: RedisError) -> RedisFailure {
        self.0.get().map_or_else(|| error.into(), |kind| io::Error::from(*kind).into())
    }
}

impl Bounded {
    pub fn new(stream: impl AsyncStream + Send + Sync + 'static) -> Self {
        let (stream, write) = split(stream);
        let error = StreamError::default();
        let read = BoundedRead { stream, meter: ReplyMeter::default(), error: error.clone() };
        Self { stream: Box::pin(join(read, write)), error }
    }
}

/// The half of a stream that the library reads.
struct BoundedRead<S> {
    stream: ReadHalf<S>,
    meter: ReplyMeter,
    error: StreamError,
}

/// Measures each reply in a stream of bytes.
#[derive(Debug, Default)]
struct ReplyMeter {
    /// Bytes of this reply so far.
    bytes: usize,
    /// Values until this reply is complete.
    missing: i64,
    /// Bytes until the current text is complete, with its line end.
    text: usize,
    /// The bytes so far of the current line.
    line: Vec<u8>,
}

impl ReplyMeter {
    fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.missing == 0 {
                (self.bytes, self.missing) = (0, 1);
            }
            let line_end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = match self.text {
                0 => line_end.map_or(bytes.len(), |end| end + 1),
                left => left.min(bytes.len()),
            };
            self.bytes += taken;
            if self.bytes > MAX_REPLY {
                return Err(too_large());
            }
            let (now, later) = bytes.split_at(taken);
            if self.text > 0 {
                self.text -= taken;
                self.missing -= i64::from(self.text == 0);
            } else {
                self.read_line(now)?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Reads a part of the line that begins a value, up to its end at most.
    fn read_line(&mut self, part: &[u8]) -> io::Result<()> {
        self.line.extend_from_slice(part);
        let kind = self.line[0];
        if !b"+-:$*".contains(&kind) {
            return Err(ErrorKind::InvalidData.into());
        }
        if !self.line.ends_with(b"\n") {
            return Ok(());
        }
        let line = mem::take(&mut self.line);
        let number = str::from_utf8(&line[1..]).ok().and_then(|text| text.trim_end().parse().ok());
        match (kind, number.unwrap_or(i64::MAX)) {
            (b'$', length) if length > MAX_REPLY as i64 => return Err(too_large()),
            (b'*', parts) if parts > MAX_PARTS || self.missing > MAX_PARTS => return Err(too_large()),
            (b'$', length @ 0..) => self.text = length as usize + 2,
            (b'*', parts @ 0..) => self.missing += parts - 1,
            // A negative length stands for a text or an array that is absent.
            _ => self.missing -= 1,
        }
        Ok(())
    }
}

fn too_large() -> io::Error {
    ErrorKind::FileTooLarge.into()
}

impl<S: AsyncRead> AsyncRead for BoundedRead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = self.meter.read(&buffer.filled()[before..]);
        Poll::Ready(read.inspect_err(|error| {
            let _ = self.error.0.set(error.kind());
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads it whole and byte by byte.
    fn read(bytes: &[u8]) -> Result<i64, ErrorKind> {
        let (mut whole, mut single) = (ReplyMeter::default(), ReplyMeter::default());
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
    fn a_reply_passes_up_to_the_bound() {
        let line = [b"+", &[b'x'; MAX_REPLY - 3][..], b"\r\n"].concat();
        assert_eq!(read(&line), Ok(0));
        assert_eq!(read(format!("*{MAX_PARTS}\r\n*1\r\n").as_bytes()), Ok(MAX_PARTS));
        assert_eq!(read(format!("${MAX_REPLY}\r\n").as_bytes()), Ok(1));
    }

    #[test]
    fn a_reply_over_the_bound_fails_before_it_is_read() {
        for head in
            ["$8000000000", "$1048577", "*1025", "*99999999999999999999", "*2\r\n$99999999999999999999"]
        {
            assert_eq!(read(format!("{head}\r\n").as_bytes()), Err(ErrorKind::FileTooLarge), "{head}");
        }
        let line = [b"+", &[b'x'; MAX_REPLY][..]].concat();
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
