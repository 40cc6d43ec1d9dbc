//! Where a connection is fetched from: the one way from the client to whatever stands behind it. A source may stand around
//! another one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::core::connection::Connection;
use crate::core::error::Error;
use crate::core::stats::CountGuard;
use crate::core::tokens::in_flight::SharedFetchState;
use crate::core::tokens::key::ConnectionKey;
use crate::core::tokens::validity::Version;

/// What brings connections.
pub trait TokenSource: Send + Sync + 'static {
    /// What is known to be invalidated of a connection now; asked before a fetch begins.
    fn version(&self, _key: &ConnectionKey) -> Version {
        Version::default()
    }

    /// Brings the connection, whatever its state. Dropping the future gives everything back that it holds.
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Fetched, Error>>;

    /// Invalidates what is kept elsewhere of these connections, or only the one token that a service rejected: at once for
    /// the fetches that begin after this, and for others once the returned future has ended. `None` if nothing is kept
    /// elsewhere. The keys are those of one event.
    fn invalidate(&self, _keys: &[ConnectionKey], _rejected: Option<&str>) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

/// One fetch, for all who wait for it.
#[derive(Debug)]
pub struct Fetch {
    /// Whose connection to what.
    pub key: ConnectionKey,
    /// Why it is fetched.
    pub purpose: Purpose,
    /// What its waiters and the source tell each other.
    pub state: Arc<SharedFetchState>,
    /// Counts the fetch as queued. Dropped as soon as the fetch has a permit to send a request, or needs none.
    pub queued: CountGuard,
}

/// Why a connection is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is not in the process.
    Missing,
    /// It is, and is late in its life.
    Refresh,
    /// The caller wants nothing that is older than the call.
    Fresh,
}

/// What a fetch brings.
#[derive(Debug)]
pub struct Fetched {
    /// The connection, whatever its state.
    pub connection: Connection,
    /// For how long others have kept it already.
    pub age: Duration,
    /// For how long it may be kept at the most.
    pub left: Duration,
}

impl From<Connection> for Fetched {
    /// Fetched just now.
    fn from(connection: Connection) -> Self {
        Self { connection, age: Duration::ZERO, left: Duration::MAX }
    }
}
