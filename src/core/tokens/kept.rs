//! A connection that is kept in the process, and until when it may be handed out.

use std::fmt;
use std::iter;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::core::clock::{Moment, Now};
use crate::core::connection::{Connection, DETAILS, Details, State};
use crate::core::secret::Secret;
use crate::core::tokens::validity::{Validity, Version};

/// An active connection with its end.
#[derive(Clone, Debug)]
pub struct Kept {
    connection: Packed,
    end: Moment,
    version: Version,
    /// When it was put here, by the clock that runs on during suspension.
    since_micros: u64,
}

impl Kept {
    /// Keeps a connection for so long, from now on.
    pub fn new(connection: &Connection, life: Duration, version: Version, now: Now) -> Self {
        let end = Moment::after(now, life);
        let since_micros = u64::try_from(now.boot.as_micros()).unwrap_or(u64::MAX);
        Self { connection: Packed::new(connection), end, version, since_micros }
    }

    /// For how long it may be handed out without another look; `None` once it may not.
    pub fn left(&self, now: Now, validity: &Validity) -> Option<Duration> {
        let left = self.end.left(now)?;
        let since = Duration::from_micros(self.since_micros);
        validity.allows(self.version, since, now.boot).then(|| left.min(validity.lease()))
    }

    /// The connection, to be handed out.
    pub fn connection(&self) -> Connection {
        self.connection.unpack()
    }

    /// Its token.
    pub fn token(&self) -> &str {
        self.connection.token()
    }
}

/// An active connection in one buffer, since many are kept and few are looked at: fields that each begin with their length,
/// or with 0 where there is none. The token is the first.
#[derive(Clone)]
struct Packed(Zeroizing<Box<[u8]>>);

impl Packed {
    fn new(connection: &Connection) -> Self {
        let expiry = match &connection.state {
            State::Active { expires_at, .. } => expires_at.map(f64::to_le_bytes),
            State::Unavailable { .. } => None,
        };
        let details = connection.details.unpack();
        let token = connection.token().unwrap_or_default();
        let fields = || {
            iter::once(Some(token.as_bytes()))
                .chain(iter::once(expiry.as_ref().map(<[u8; 8]>::as_slice)))
                .chain(details.all().map(|text| text.map(str::as_bytes)))
        };
        // Exactly as long as it will be: what grows leaves copies behind.
        let mut buffer = Vec::with_capacity(fields().map(packed_bytes).sum());
        for field in fields() {
            pack(field, &mut buffer);
        }
        Self(Zeroizing::new(buffer.into_boxed_slice()))
    }

    fn token(&self) -> &str {
        text(unpack(&mut &self.0[..])).unwrap_or_default()
    }

    fn unpack(&self) -> Connection {
        let mut rest = &self.0[..];
        let mut next = || unpack(&mut rest);
        let access_token = Secret::new(text(next()).unwrap_or_default().to_owned());
        let expires_at = next().and_then(|bytes| bytes.try_into().ok()).map(f64::from_le_bytes);
        let details = Details::from_all([(); DETAILS].map(|()| text(next())));
        Connection { state: State::Active { access_token, expires_at }, details: details.pack() }
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unpack().fmt(formatter)
    }
}

/// Bits of a length in one byte; the one above them says whether there are more.
const LENGTH_BITS: u32 = 7;

fn packed_bytes(field: Option<&[u8]>) -> usize {
    let bits = usize::BITS - length(field).leading_zeros();
    bits.div_ceil(LENGTH_BITS).max(1) as usize + field.map_or(0, <[u8]>::len)
}

/// One more than it has bytes.
fn length(field: Option<&[u8]>) -> usize {
    field.map_or(0, |field| field.len() + 1)
}

fn pack(field: Option<&[u8]>, buffer: &mut Vec<u8>) {
    let mut length = length(field);
    while length >> LENGTH_BITS > 0 {
        buffer.push(length as u8 | 1 << LENGTH_BITS);
        length >>= LENGTH_BITS;
    }
    buffer.push(length as u8);
    buffer.extend_from_slice(field.unwrap_or_default());
}

/// Takes a field off the front.
fn unpack<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut length = 0;
    for shift in (0..usize::BITS).step_by(LENGTH_BITS as usize) {
        let byte = *rest.split_off_first()?;
        length |= usize::from(byte & !(1 << LENGTH_BITS)) << shift;
        if byte >> LENGTH_BITS == 0 {
            break;
        }
    }
    rest.split_off(..length.checked_sub(1)?)
}

fn text(field: Option<&[u8]>) -> Option<&str> {
    field.and_then(|bytes| str::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_as_it_was_and_takes_no_byte_more() {
        for token in ["t", &"é".repeat(63), &"x".repeat(126), &"x".repeat(127), &"x".repeat(300_000)] {
            for expires_at in [None, Some(1.7e12)] {
                let details = Details {
                    slug: Some("slack"),
                    connection_id: None,
                    connector_name: Some(""),
                    authorization_id: Some("7"),
                    authorization_status: None,
                    display_label: Some("né"),
                };
                let state = State::Active { access_token: Secret::new(token.to_owned()), expires_at };
                let connection = Connection { state, details: details.pack() };

                let packed = Packed::new(&connection);

                assert_eq!(packed.token(), token);
                assert_eq!(packed.unpack(), connection);
                let lengths = if token.len() < 127 {
                    8
                } else if token.len() < 16_383 {
                    9
                } else {
                    10
                };
                let texts = token.len() + "slack7né".len() + expires_at.map_or(0, |_| 8);
                assert_eq!(packed.0.len(), lengths + texts);
            }
        }
    }
}
