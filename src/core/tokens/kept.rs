//! A connection that is kept in the process, and until when it may be handed out.

use std::sync::Arc;
use std::time::Duration;

use crate::core::clock::{Moment, Now};
use crate::core::connection::Connection;
use crate::core::tokens::validity::{Validity, Version};

/// An active connection with its end.
#[derive(Clone, Debug)]
pub struct Kept {
    pub connection: Arc<Connection>,
    end: Moment,
    version: Version,
    /// When it was put here, by the clock that runs on during suspension.
    since_micros: u64,
}

impl Kept {
    /// Keeps a connection for so long, from now on.
    pub fn new(connection: &Arc<Connection>, life: Duration, version: Version, now: Now) -> Self {
        let end = Moment::after(now, life);
        let since_micros = u64::try_from(now.boot.as_micros()).unwrap_or(u64::MAX);
        Self { connection: Arc::clone(connection), end, version, since_micros }
    }

    /// For how long it may be handed out without another look; `None` once it may not.
    pub fn left(&self, now: Now, validity: &Validity) -> Option<Duration> {
        let left = self.end.left(now)?;
        let since = Duration::from_micros(self.since_micros);
        validity.allows(self.version, since, now.boot).then(|| left.min(validity.lease()))
    }
}
