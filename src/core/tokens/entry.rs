//! One cached connection, and until when it may be served.

use std::time::Duration;

use super::packed::{Packed, pack, unpack};
use crate::core::clock::{Moment, Now};
use crate::core::connection::Connection;
use crate::core::tokens::validity::{Validity, Version};

/// An active connection, with the moment until which it may be served.
#[derive(Clone)]
pub struct CacheEntry {
    /// The token, its expiry, and the details.
    connection: Packed,
    end: Moment,
    version: Version,
}

impl CacheEntry {
    /// Stores a connection for the given time from now.
    pub fn new(connection: &Connection, life: Duration, version: Version, now: Now) -> Self {
        let end = Moment::after(now, life);
        Self { connection: pack(connection), end, version }
    }

    /// How long it may be served without asking again; `None` if it must not be served.
    pub fn left(&self, now: Now, validity: &Validity) -> Option<Duration> {
        let left = self.time_left(now)?;
        validity.may_serve(self.version, now.boot).then(|| left.min(validity.longest_lease()))
    }

    /// Time until it expires, regardless of invalidations; `None` once it has expired.
    pub fn time_left(&self, now: Now) -> Option<Duration> {
        self.end.left(now)
    }

    pub fn connection(&self) -> Connection {
        unpack(self.connection.fields())
    }

    pub fn token(&self) -> &str {
        self.connection.fields().text().unwrap_or_default()
    }
}
