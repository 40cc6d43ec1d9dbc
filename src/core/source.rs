//! Where a connection is fetched from. The client knows its source by this trait alone. A source may wrap another one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

pub use crate::core::connection::Fetched;
use crate::core::error::Error;
use crate::core::stats::CountGuard;
use crate::core::tokens::in_flight::SharedFetchState;
use crate::core::tokens::key::ConnectionKey;
use crate::core::tokens::validity::Version;

/// Fetches connections.
pub trait TokenSource: Send + Sync + 'static {
    /// The version of a connection, which changes when another process invalidates it. The client asks before each
    /// fetch; `now` is the time by the clock that does not stop during suspension.
    fn version(&self, _key: &ConnectionKey, _now: Duration) -> Version {
        Version::default()
    }

    /// Fetches the connection, whatever its state. Dropping the future cancels the request and releases all that it
    /// holds.
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Fetched, Error>>;

    /// Invalidates the copies that other processes share of these connections, or only of the rejected token: at once
    /// for the fetches that begin after this call, and for other processes once the returned future has ended. `None`
    /// if nothing is shared, or if the future of an earlier event includes this one. The keys are those of one event.
    fn invalidate(&self, _keys: &[ConnectionKey], _rejected: Option<&str>) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

/// One fetch, for all calls that wait for it.
#[derive(Debug)]
pub struct Fetch {
    pub key: ConnectionKey,
    pub purpose: Purpose,
    /// The state that its waiters and the source share.
    pub state: Arc<SharedFetchState>,
    /// Counts the fetch as queued. The source drops it as soon as the fetch has a permit to send a request, or needs
    /// none.
    pub queued: CountGuard,
}

/// Why a connection is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is not cached in this process.
    Missing,
    /// It is cached and due for a refresh.
    Refresh,
    /// The caller set `fresh`: nothing older than the call will do.
    Fresh,
}
