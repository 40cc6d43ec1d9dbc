//! One connection as the cache holds it, and until when it may be served.

use std::time::Duration;

use super::packed::Packed;
use crate::core::clock::{Moment, Now};
use crate::core::connection::{Connection, ConnectionState, Details};
use crate::core::secret::Secret;
use crate::core::tokens::validity::{Validity, Version};

/// An active connection with its end.
#[derive(Clone)]
pub struct CacheEntry {
    /// The token, its expiry, and the details.
    connection: Packed,
    end: Moment,
    version: Version,
    /// When it was stored, by the clock that runs on during suspension.
    since_micros: u64,
}

impl CacheEntry {
    /// Stores a connection for the given time from now.
    pub fn new(connection: &Connection, life: Duration, version: Version, now: Now) -> Self {
        let end = Moment::after(now, life);
        let since_micros = u64::try_from(now.boot.as_micros()).unwrap_or(u64::MAX);
        Self { connection: pack(connection), end, version, since_micros }
    }

    /// How long it may be served without another look; `None` once it may not be.
    pub fn left(&self, now: Now, validity: &Validity) -> Option<Duration> {
        let left = self.time_left(now)?;
        let since = Duration::from_micros(self.since_micros);
        validity.may_serve(self.version, since, now.boot).then(|| left.min(validity.longest_lease()))
    }

    /// Time until its end, whatever others have invalidated; `None` once it has ended.
    pub fn time_left(&self, now: Now) -> Option<Duration> {
        self.end.left(now)
    }

    /// The connection to serve.
    pub fn connection(&self) -> Connection {
        unpack(&self.connection)
    }

    /// Its token.
    pub fn token(&self) -> &str {
        self.connection.fields().text().unwrap_or_default()
    }
}

fn pack(connection: &Connection) -> Packed {
    let expires_at = match &connection.state {
        ConnectionState::Active { expires_at, .. } => expires_at.map(f64::to_le_bytes),
        ConnectionState::Unavailable { .. } => None,
    };
    let Details {
        slug,
        connection_id,
        connector_name,
        authorization_id,
        authorization_status,
        display_label,
    } = &connection.details;
    let texts = [slug, connection_id, connector_name, authorization_id, authorization_status, display_label];
    let token = connection.token().unwrap_or_default().as_bytes();
    let first = [Some(token), expires_at.as_ref().map(<[u8; 8]>::as_slice)];
    Packed::new(first.into_iter().chain(texts.into_iter().map(|text| text.as_deref().map(str::as_bytes))))
}

fn unpack(packed: &Packed) -> Connection {
    let mut fields = packed.fields();
    let access_token = Secret::new(fields.text().unwrap_or_default().to_owned());
    let expires_at = fields.bytes().and_then(|bytes| bytes.try_into().ok()).map(f64::from_le_bytes);
    let mut text = || fields.text().map(Box::from);
    // In the order in which they were packed.
    let details = Details {
        slug: text(),
        connection_id: text(),
        connector_name: text(),
        authorization_id: text(),
        authorization_status: text(),
        display_label: text(),
    };
    Connection { state: ConnectionState::Active { access_token, expires_at }, details }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_unpacked_as_it_was() {
        for expires_at in [None, Some(1.7e12)] {
            let details = Details {
                slug: Some("slack".into()),
                connector_name: Some("".into()),
                authorization_status: Some("active".into()),
                display_label: Some("né".into()),
                ..Details::default()
            };
            let state = ConnectionState::Active { access_token: Secret::new("t".to_owned()), expires_at };
            let connection = Connection { state, details };
            assert_eq!(unpack(&pack(&connection)), connection);
        }
    }
}
