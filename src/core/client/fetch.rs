//! The fetches of a client: how one starts, and what happens with its result.

use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use tokio::time::{Instant, timeout_at};

use crate::core::client::state::{ClientState, OpenGuard};
use crate::core::client::sweep;
use crate::core::connection::Fetched;
use crate::core::error::Error;
use crate::core::source::{Fetch, Purpose};
use crate::core::tokens::FetchNumber;
use crate::core::tokens::in_flight::{FetchResult, NewFetch, SharedFetchState, Waiter};
use crate::core::tokens::key::ConnectionKey;
use crate::core::tokens::validity::Version;

/// The most fetches that wait for a permit. With 100 permits and answers in 100 ms, so many are served within the
/// default timeout; one more would wait until it times out.
const MAX_QUEUED: u64 = 20_000;

/// Starts a fetch, which runs as long as a call waits for it. If another one has started since the caller's lookup,
/// joins that one instead and returns `true`; the new fetch is then dropped, after the lock is released.
pub fn join_or_start(
    shared: &Arc<ClientState>,
    open: &OpenGuard,
    key: &ConnectionKey,
    number: FetchNumber,
    deadline: Instant,
    purpose: Purpose,
) -> Result<(Waiter, bool), Error> {
    if shared.stats.queued.get() >= MAX_QUEUED {
        return Err(Error::overloaded());
    }
    let now = shared.clock.now();
    let version = open.source.version(key, now.boot);
    let state = Arc::new(SharedFetchState::new(deadline));
    let queued = shared.stats.queued.hold();
    let fetch = Fetch { key: key.clone(), purpose, state: Arc::clone(&state), queued };
    let source = Arc::clone(&open.source);
    let mut guard = InFlightGuard { shared: Arc::clone(shared), key: key.clone(), number, has_ended: false };
    let result = async move {
        let fetched = source.fetch(fetch).await;
        guard.end(fetched, version)
    };
    let new = NewFetch { number, version, result: result.boxed().shared(), state };
    let mut tokens = shared.tokens();
    let other = if purpose == Purpose::Fresh { None } else { tokens.join(key, deadline, now) };
    if let Some(waiter) = other {
        drop(tokens);
        return Ok((waiter, true));
    }
    Ok((tokens.start(key, new, now), false))
}

/// Refreshes a cached connection; `None` when the queue is full, since nobody waits for it. Closing the client ends the
/// refresh, unless a call has joined it.
pub fn refresh(
    shared: &Arc<ClientState>,
    open: &OpenGuard,
    key: &ConnectionKey,
    number: FetchNumber,
) -> Option<BoxFuture<'static, ()>> {
    let deadline = Instant::now() + shared.limits.timeout;
    let (waiter, _) = join_or_start(shared, open, key, number, deadline, Purpose::Refresh).ok()?;
    let Waiter { result, guard } = waiter;
    let mut closing = shared.closing.subscribe();
    let stats = Arc::clone(&shared.stats);
    let refresh = async move {
        let closed = pin!(closing.wait_for(|is_closing| *is_closing));
        match timeout_at(deadline, select(result, closed)).await {
            Ok(Either::Left((Ok(_), _)) | Either::Right(_)) => {}
            Ok(Either::Left((Err(_), _))) | Err(_) => stats.failures.add(),
        }
        drop(guard);
    };
    Some(refresh.boxed())
}

/// Removes a fetch from those in flight however it ends: with a result, dropped by its last caller, or by a panic.
struct InFlightGuard {
    shared: Arc<ClientState>,
    key: ConnectionKey,
    number: FetchNumber,
    has_ended: bool,
}

impl InFlightGuard {
    fn end(&mut self, fetched: Result<Fetched, Error>, version: Version) -> FetchResult {
        self.has_ended = true;
        let Self { shared, key, number, .. } = self;
        let now = shared.clock.now();
        let mut tokens = shared.tokens();
        let result = match fetched {
            Ok(fetched) => {
                tokens.fetched(key, *number, version, &fetched, now);
                Ok(Arc::new(fetched.connection))
            }
            Err(error) => {
                tokens.failed(key, *number, Some(&error), now);
                Err(error)
            }
        };
        let sweeper = tokens.begin_sweeping();
        drop(tokens);
        if let Some(sweeper) = sweeper {
            (shared.spawn)(sweep::sweeper(shared, sweeper));
        }
        result
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if !self.has_ended {
            let now = self.shared.clock.now();
            self.shared.tokens().failed(&self.key, self.number, None, now);
        }
    }
}
