//! The fetches in flight, so that identical calls share one. A fetch runs for as long as somebody waits for it: when the last
//! caller leaves, its future is dropped, and with it the request.
//!
//! Dropping that future runs a destructor that locks the tokens, so this module, which runs under that lock, never
//! drops one: it holds fetches weakly, and returns every strong reference to its caller.

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::core::clock::Now;
use crate::core::connection::Connection;
use crate::core::error::Error;
use crate::core::sync::{AtomicBool, AtomicU32, Mutex, Ordering, lock};
use crate::core::tokens::key::ConnectionKey;
use crate::core::tokens::replacement::FetchNumber;
use crate::core::tokens::validity::{Validity, Version};

/// The result of a fetch; each waiter gets a clone.
pub type FetchResult = Result<Arc<Connection>, Error>;

/// A fetch that several callers can wait for.
pub type SharedFetch = Shared<BoxFuture<'static, FetchResult>>;

/// A call's share in a fetch.
#[derive(Debug)]
pub struct Waiter {
    pub result: SharedFetch,
    pub guard: Arc<WaiterGuard>,
}

impl Waiter {
    /// A handle by which another thread can take the call off the waiters.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle(Arc::downgrade(&self.guard))
    }
}

/// Counts a call among the waiters of a fetch until it is dropped or cancelled. No call joins a fetch without waiters, even
/// before the runtime has dropped it.
#[derive(Debug)]
pub struct WaiterGuard {
    pub state: Arc<SharedFetchState>,
    has_left: AtomicBool,
}

impl WaiterGuard {
    /// For the first waiter, which [`SharedFetchState::new`] has counted, or one that [`SharedFetchState::join`] has.
    fn new(state: Arc<SharedFetchState>) -> Arc<Self> {
        Arc::new(Self { state, has_left: AtomicBool::new(false) })
    }

    fn leave(&self) {
        if !self.has_left.swap(true, Ordering::Relaxed) {
            self.state.waiters.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for WaiterGuard {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Takes a call off the waiters of its fetch at once. Dropping the call's future would do so later, when the runtime's
/// thread gets to it.
#[derive(Debug)]
pub struct CancelHandle(Weak<WaiterGuard>);

impl CancelHandle {
    /// Does nothing if the call has left already.
    pub fn cancel(&self) {
        if let Some(guard) = self.0.upgrade() {
            guard.leave();
        }
    }
}

/// The state that the waiters of a fetch and its source share.
#[derive(Debug)]
pub struct SharedFetchState {
    attempts: AtomicU32,
    waiters: AtomicU32,
    progress: Mutex<FetchProgress>,
    paused: Notify,
}

#[derive(Debug)]
struct FetchProgress {
    /// Among the waiters.
    latest_deadline: Instant,
    pause: Option<Pause>,
    /// Why the second level of the cache did not answer.
    fleet_error: Option<Cow<'static, str>>,
}

/// The source waits before it tries again.
#[derive(Clone, Debug)]
struct Pause {
    until: Instant,
    /// Why the last attempt failed.
    error: Error,
}

impl SharedFetchState {
    /// No request yet, and one waiter.
    pub fn new(deadline: Instant) -> Self {
        Self {
            attempts: AtomicU32::new(0),
            waiters: AtomicU32::new(1),
            progress: Mutex::new(FetchProgress { latest_deadline: deadline, pause: None, fleet_error: None }),
            paused: Notify::new(),
        }
    }

    /// Notes why the second level of the cache did not answer, if that is known.
    pub fn note_fleet_error(&self, reason: Option<Cow<'static, str>>) {
        lock(&self.progress).fleet_error = reason;
    }

    pub fn fleet_error(&self) -> Option<Cow<'static, str>> {
        lock(&self.progress).fleet_error.clone()
    }

    pub fn count_attempt(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    pub fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Time until the latest deadline among the waiters.
    pub fn time_left(&self) -> Duration {
        lock(&self.progress).latest_deadline.saturating_duration_since(Instant::now())
    }

    /// Tells the waiters that the next attempt begins no earlier than then.
    pub fn pause(&self, until: Instant, error: &Error) {
        lock(&self.progress).pause = Some(Pause { until, error: error.clone() });
        self.paused.notify_waiters();
    }

    /// The error of the last attempt before a pause.
    pub fn last_failure(&self) -> Option<Error> {
        lock(&self.progress).pause.as_ref().map(|pause| pause.error.clone())
    }

    /// Resolves as soon as a pause would outlast a waiter's deadline, with the error that caused the pause. If the
    /// waiter went on waiting, it would get a timeout in place of that error.
    pub async fn out_of_reach(&self, deadline: Instant) -> Error {
        loop {
            let mut paused = pin!(self.paused.notified());
            paused.as_mut().enable();
            let pause = lock(&self.progress).pause.clone().filter(|pause| pause.until >= deadline);
            if let Some(Pause { until, mut error }) = pause {
                // For a caller that joined during the pause, only a part of it is left.
                let left = until.saturating_duration_since(Instant::now());
                error.retry_after = error.retry_after.map(|asked| asked.min(left));
                return error;
            }
            paused.await;
        }
    }

    /// Counts one more waiter; `false` if all have left.
    fn join(&self, deadline: Instant) -> bool {
        let one_more = |waiters: u32| (waiters > 0).then(|| waiters + 1);
        if self.waiters.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return false;
        }
        let mut progress = lock(&self.progress);
        progress.latest_deadline = deadline.max(progress.latest_deadline);
        true
    }
}

/// A fetch that has not started yet.
pub struct NewFetch {
    pub number: FetchNumber,
    pub version: Version,
    pub result: SharedFetch,
    pub state: Arc<SharedFetchState>,
}

/// The fetches that calls may join. A superseded fetch, whose connection was invalidated or fetched with `fresh` meanwhile,
/// continues for its waiters, but no call joins it and its token is not cached.
#[derive(Debug, Default)]
pub struct InFlight {
    joinable: HashMap<ConnectionKey, Joinable>,
    last: FetchNumber,
}

#[derive(Debug)]
struct Joinable {
    number: FetchNumber,
    version: Version,
    result: WeakShared<BoxFuture<'static, FetchResult>>,
    state: Arc<SharedFetchState>,
}

impl InFlight {
    pub fn last(&self) -> FetchNumber {
        self.last
    }

    pub fn next_number(&mut self) -> FetchNumber {
        self.last += 1;
        self.last
    }

    /// Joins the fetch in flight, which then runs until this caller's deadline at least. A fetch that began before
    /// another process invalidated the connection, or may have, is superseded.
    pub fn join(
        &mut self,
        key: &ConnectionKey,
        deadline: Instant,
        validity: &Validity,
        now: Now,
    ) -> Option<Waiter> {
        let joinable = self.joinable.get(key)?;
        if !validity.may_serve(joinable.version, now.boot) {
            self.joinable.remove(key);
            return None;
        }
        // We count the waiter before we upgrade the future: after all others have left, we would have to drop it here,
        // under the lock.
        if !joinable.state.join(deadline) {
            return None;
        }
        let guard = WaiterGuard::new(Arc::clone(&joinable.state));
        joinable.result.upgrade().map(|result| Waiter { result, guard })
    }

    pub fn is_in_flight(&self, key: &ConnectionKey) -> bool {
        self.joinable.contains_key(key)
    }

    /// Lets calls join a fetch, in place of the one before it. Returns the share of its first waiter, the caller.
    pub fn start(&mut self, key: ConnectionKey, fetch: NewFetch) -> Waiter {
        let NewFetch { number, version, result, state } = fetch;
        let guard = WaiterGuard::new(Arc::clone(&state));
        if let Some(result) = result.downgrade() {
            self.joinable.insert(key, Joinable { number, version, result, state });
        }
        Waiter { result, guard }
    }

    /// No call joins the fetch any more. Returns `false` if it was superseded before.
    pub fn end(&mut self, key: &ConnectionKey, number: FetchNumber) -> bool {
        let is_current = self.joinable.get(key).is_some_and(|joinable| joinable.number == number);
        if is_current {
            self.joinable.remove(key);
        }
        is_current
    }

    pub fn supersede(&mut self, key: &ConnectionKey) {
        self.joinable.remove(key);
    }
}
