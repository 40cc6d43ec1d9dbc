//! Owns the answer: its status, its body where one is needed, two of its headers, and their limits.

use std::time::{Duration, SystemTime};

use reqwest::{Response, Version};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Largest body that is read; a connection's is about 1 KiB.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// Most headers of an answer, as many as hyper reads over HTTP/1.1.
pub const MAX_HEADERS: usize = 100;
/// Longest head of an answer, as in Node.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// How much we read of a body that nobody needs, and for how long.
const MAX_DRAINED_BYTES: usize = 64 * 1024;
const MAX_DRAINING: Duration = Duration::from_millis(100);

/// An answer of the platform.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The whole body of a 2xx or a 404. Empty for other statuses, whose body nobody needs, and for a 404 whose body
    /// is too large to be the platform's.
    pub body: Body,
    /// `Retry-After`, read.
    pub retry_after: Option<Duration>,
    /// `X-Request-Id`.
    pub request_id: Option<String>,
}

/// A body, which may hold a token: wiped when it is dropped.
pub type Body = Zeroizing<Vec<u8>>;

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

/// Reads the whole body; `None` if it is larger than `limit`.
pub async fn read_body(mut response: Response, limit: usize) -> Result<Option<Body>, reqwest::Error> {
    let expected = response.content_length().unwrap_or_default();
    if expected > limit as u64 {
        return Ok(None);
    }
    let mut body = Body::new(Vec::with_capacity(expected as usize));
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Reads a body that nobody needs, within bounds. Over HTTP/1.1 a connection can be reused only if its answer was read to
/// the end, and a platform in trouble should not get a new handshake for each error that it returns.
pub async fn drain(response: Response) {
    if response.version() != Version::HTTP_2 {
        let _ = timeout(MAX_DRAINING, read_body(response, MAX_DRAINED_BYTES)).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

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
