//! The fetches under way, so that identical calls share one. Whoever waits for a fetch keeps it going; when the last one
//! leaves, its future is dropped, and with it the request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use crate::core::connection::Connection;
use crate::core::error::Error;
use crate::core::mutation::{self, Mutation};
use crate::core::tokens::key::Key;
use crate::core::tokens::replacement::FetchNumber;
use crate::core::tokens::validity::{Validity, Version};

/// What a fetch ends with; each of those who wait gets a copy of its own.
pub type FetchResult = Result<Arc<Connection>, Error>;

/// A call's share in a fetch.
#[derive(Debug)]
pub struct Waiter {
    pub result: Shared<BoxFuture<'static, FetchResult>>,
    pub seat: Seat,
}

/// Counts a call among those who wait for a fetch until it leaves, or is told to by whoever cancels it: a fetch that all have
/// left is joined by nobody, even before the thread that works on it has let go.
#[derive(Debug)]
pub struct Seat(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    progress: Arc<Progress>,
    is_left: AtomicBool,
}

impl Seat {
    fn new(progress: Arc<Progress>) -> Self {
        Self(Arc::new(Taken { progress, is_left: AtomicBool::new(false) }))
    }

    /// What is known of the fetch.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.0.progress)
    }

    /// For whoever may cancel the call.
    pub fn leave(&self) -> Leave {
        Leave(Arc::clone(&self.0))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Gives a call's seat up from outside.
#[derive(Debug)]
pub struct Leave(Arc<Taken>);

impl Leave {
    /// The call waits no more. Nothing happens if it has left.
    pub fn now(&self) {
        self.0.leave();
    }
}

impl Taken {
    fn leave(&self) {
        if !self.is_left.swap(true, Ordering::Relaxed) {
            self.progress.waiting.fetch_sub(1, Ordering::Relaxed);
            if mutation::is(Mutation::LeavingIsForAll) {
                self.progress.waiting.store(0, Ordering::Relaxed);
            }
        }
    }
}

/// What those who wait for a fetch and the one that works on it tell each other.
#[derive(Debug)]
pub struct Progress {
    attempts: AtomicU32,
    waiting: AtomicU32,
    deadline: Mutex<Instant>,
}

impl Progress {
    /// No request yet, and one who waits.
    pub fn new(deadline: Instant) -> Self {
        Self { attempts: AtomicU32::new(0), waiting: AtomicU32::new(1), deadline: Mutex::new(deadline) }
    }

    /// Counts a request.
    pub fn attempt(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests so far.
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Until the deadline of the one who has the most time.
    pub fn time_left(&self) -> Duration {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner).saturating_duration_since(Instant::now())
    }

    /// One more waits; `false` if all have left.
    fn join(&self, deadline: Instant) -> bool {
        let more = |waiting: u32| (waiting > 0).then(|| waiting + 1);
        if self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            return false;
        }
        let mut latest = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = deadline.max(*latest);
        true
    }
}

/// The fetches that may be joined. One that was superseded, because its connection was invalidated or somebody asked for a
/// fresh one, goes on for those who wait for it, but nobody joins it and its result is not kept.
#[derive(Debug, Default)]
pub struct InFlight {
    joinable: HashMap<Key, Joinable>,
    last: FetchNumber,
}

#[derive(Debug)]
struct Joinable {
    number: FetchNumber,
    version: Version,
    result: WeakShared<BoxFuture<'static, FetchResult>>,
    progress: Arc<Progress>,
}

impl InFlight {
    /// The number of the last fetch that began.
    pub fn last(&self) -> FetchNumber {
        self.last
    }

    /// A share in the fetch under way, which then lasts for this caller's deadline too. One that is older than what others
    /// have invalidated is superseded.
    pub fn join(&mut self, key: &Key, deadline: Instant, validity: &Validity) -> Option<Waiter> {
        let joinable = self.joinable.get(key)?;
        if !validity.is_current(joinable.version) {
            self.joinable.remove(key);
            return None;
        }
        // First the seat: a fetch that all have left is not touched, since to let go of its future is to drop it, here, under
        // the lock that its destructor takes.
        if !joinable.progress.join(deadline) {
            return None;
        }
        let seat = Seat::new(Arc::clone(&joinable.progress));
        joinable.result.upgrade().map(|result| Waiter { result, seat })
    }

    /// Whether a fetch may be joined.
    pub fn is_under_way(&self, key: &Key) -> bool {
        self.joinable.contains_key(key)
    }

    /// Starts a fetch, in place of one that was under way; `work` gets its number.
    pub fn start(
        &mut self,
        key: Key,
        version: Version,
        progress: Arc<Progress>,
        work: impl FnOnce(FetchNumber) -> BoxFuture<'static, FetchResult>,
    ) -> Waiter {
        self.last += 1;
        let number = self.last;
        let result = work(number).shared();
        if let Some(weak) = result.downgrade() {
            let progress = Arc::clone(&progress);
            self.joinable.insert(key, Joinable { number, version, result: weak, progress });
        }
        Waiter { result, seat: Seat::new(progress) }
    }

    /// Nobody joins the fetch any more. `false` if it was superseded before.
    pub fn end(&mut self, key: &Key, number: FetchNumber) -> bool {
        let is_current = self.joinable.get(key).is_some_and(|joinable| joinable.number == number);
        if is_current {
            self.joinable.remove(key);
        }
        is_current
    }

    /// Supersedes the fetch under way.
    pub fn supersede(&mut self, key: &Key) {
        self.joinable.remove(key);
    }
}
