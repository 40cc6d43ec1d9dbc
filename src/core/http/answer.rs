//! Owns what came back: the status, the body where one is needed, and the headers that count.

use std::ops::Deref;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use zeroize::Zeroizing;

/// Largest body that is read; a connection's is about 1 KiB.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// Most headers of an answer, as many as hyper reads over HTTP/1.1.
pub const MAX_HEADERS: usize = 100;
/// Longest head of an answer, as in Node.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// What the platform answered, as far as anything depends on it.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body, whole, of a 2xx or a 404. Empty for other statuses, which say all by themselves, and for a 404 whose
    /// body is too large to be the platform's.
    pub body: Body,
    /// `Retry-After`, read.
    pub retry_after: Option<Duration>,
    /// `X-Request-Id`.
    pub request_id: Option<String>,
}

/// What was received of a body: one piece as it came, as most are, or several that are put together.
#[derive(Debug)]
pub enum Body {
    Received(Bytes),
    Joined(Zeroizing<Vec<u8>>),
}

impl Body {
    /// Adds a piece; `expected` is the length of the whole, as far as it is known.
    pub fn push(&mut self, piece: Bytes, expected: usize) {
        match self {
            Self::Received(first) if first.is_empty() => *first = piece,
            Self::Received(first) => {
                let mut joined = Zeroizing::new(Vec::with_capacity(expected.max(first.len() + piece.len())));
                joined.extend_from_slice(first);
                joined.extend_from_slice(&piece);
                *self = Self::Joined(joined);
            }
            Self::Joined(joined) => joined.extend_from_slice(&piece),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Received(Bytes::new())
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Received(piece) => piece,
            Self::Joined(pieces) => pieces,
        }
    }
}

/// Reads `Retry-After`: seconds, or a date judged by the response's own `Date` (`now` where there is none). Garbage
/// and repeated headers count as absent; a number too large to hold is the largest.
pub fn read_retry_after<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
    date: Option<&[u8]>,
    now: SystemTime,
) -> Option<Duration> {
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let text = str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(
            text.parse().unwrap_or(u64::from(u32::MAX)).min(u64::from(u32::MAX)),
        ));
    }
    let read_date = |text: &str| httpdate::parse_http_date(text.trim()).ok();
    let sent = date.and_then(|date| str::from_utf8(date).ok()).and_then(read_date).unwrap_or(now);
    Some(read_date(text)?.duration_since(sent).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_body_is_whole_however_many_pieces_it_comes_in() {
        let mut body = Body::default();
        assert_eq!(*body, *b"");
        for (piece, whole) in [("", ""), ("to", "to"), ("k", "tok"), ("en", "token")] {
            body.push(piece.into(), 3);
            assert_eq!(*body, *whole.as_bytes());
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH;
        let date = "Tue, 14 Nov 2023 22:13:20 GMT";
        let read = |values: &[&str], date: Option<&str>| {
            read_retry_after(values.iter().map(|value| value.as_bytes()), date.map(str::as_bytes), now)
        };
        assert_eq!(read(&["3"], None), Some(3 * SECOND));
        assert_eq!(read(&[" 0 "], None), Some(Duration::ZERO));
        assert_eq!(read(&["99999999999999999999999"], None), Some(Duration::from_secs(u64::from(u32::MAX))));
        assert_eq!(read(&["Tue, 14 Nov 2023 22:13:25 GMT"], Some(date)), Some(5 * SECOND));
        assert_eq!(read(&["Tue, 14 Nov 2023 22:13:10 GMT"], Some(date)), Some(Duration::ZERO));
        assert!(read(&["Tue, 14 Nov 2023 22:13:25 GMT"], None).unwrap() > 1_000_000 * SECOND);
        for garbage in [&["soon"][..], &[""], &["-1"], &["1.5"], &["5, 5"], &["5", "5"], &[]] {
            assert_eq!(read(garbage, Some(date)), None, "{garbage:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(value in any::<Vec<u8>>(), date in any::<Option<Vec<u8>>>()) {
            let _ = read_retry_after([value.as_slice()].into_iter(), date.as_deref(), SystemTime::UNIX_EPOCH);
        }
    }
}
