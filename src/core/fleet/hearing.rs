//! Wakes those who wait for another process to fetch a connection.

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::crypto::Name;

const SLOTS: usize = 256;

/// Those who wait, by slot: a few who share one look in vain.
#[derive(Debug)]
pub struct Waiting(Box<[Notify]>);

impl Waiting {
    /// Nobody waits.
    pub fn new() -> Self {
        Self((0..SLOTS).map(|_| Notify::new()).collect())
    }

    /// There is something to see for whoever waits for this connection.
    pub fn wake(&self, name: &Name) {
        self.0[usize::from(name.slot()) % SLOTS].notify_waiters();
    }

    /// Waits for that.
    pub fn woken(&self, name: &Name) -> Notified<'_> {
        self.0[usize::from(name.slot()) % SLOTS].notified()
    }
}
