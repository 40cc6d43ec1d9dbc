//! Requests under way, so that identical calls share one. Whoever waits for a flight keeps it in the air; when the
//! last one leaves, its future is dropped, and with it the request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use crate::core::connection::Connection;
use crate::core::error::Error;
use crate::core::fleet::Mark;
use crate::core::tokens::cache::Key;

/// What a flight ends with; each of its callers gets a copy of its own.
pub type Landed = Result<Arc<Connection>, Error>;

/// A call's share in a flight.
#[derive(Clone, Debug)]
pub struct Flight {
    pub landed: Shared<BoxFuture<'static, Landed>>,
    pub progress: Arc<Progress>,
}

/// What the callers of a flight and the one that works on it tell each other.
#[derive(Debug)]
pub struct Progress {
    attempts: AtomicU32,
    deadline: Mutex<Instant>,
    /// What the fleet had dropped when it began.
    mark: Option<Mark>,
}

impl Progress {
    /// No request yet.
    pub fn new(deadline: Instant, mark: Option<Mark>) -> Self {
        Self { attempts: AtomicU32::new(0), deadline: Mutex::new(deadline), mark }
    }

    /// Counts a request.
    pub fn attempt(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests so far.
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Until the deadline of the caller who has the most time.
    pub fn time_left(&self) -> Duration {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner).saturating_duration_since(Instant::now())
    }

    fn extend(&self, deadline: Instant) {
        let mut latest = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = deadline.max(*latest);
    }
}

/// The flights that may be joined. One that was called off, because its connection was invalidated or somebody asked
/// for a fresh one, goes on for those who wait for it, but nobody joins it and its result is not kept.
#[derive(Debug, Default)]
pub struct Flights {
    joinable: HashMap<Key, Joinable>,
    last_number: u64,
}

#[derive(Debug)]
struct Joinable {
    number: u64,
    landed: WeakShared<BoxFuture<'static, Landed>>,
    progress: Arc<Progress>,
}

impl Flights {
    /// A share in the flight under way, which then lasts for this caller's deadline too.
    pub fn join(&self, key: &Key, deadline: Instant) -> Option<Flight> {
        let joinable = self.joinable.get(key)?;
        let landed = joinable.landed.upgrade()?;
        joinable.progress.extend(deadline);
        Some(Flight { landed, progress: Arc::clone(&joinable.progress) })
    }

    /// The mark of the flight that may be joined.
    pub fn mark(&self, key: &Key) -> Option<Mark> {
        self.joinable.get(key)?.progress.mark
    }

    /// Whether a flight may be joined.
    pub fn is_under_way(&self, key: &Key) -> bool {
        self.joinable.contains_key(key)
    }

    /// Starts a flight, in place of one that was under way; `work` gets its number.
    pub fn start(
        &mut self,
        key: Key,
        progress: Arc<Progress>,
        work: impl FnOnce(u64) -> BoxFuture<'static, Landed>,
    ) -> Flight {
        self.last_number += 1;
        let number = self.last_number;
        let landed = work(number).shared();
        if let Some(weak) = landed.downgrade() {
            self.joinable.insert(key, Joinable { number, landed: weak, progress: Arc::clone(&progress) });
        }
        Flight { landed, progress }
    }

    /// Nobody joins the flight any more. `false` if it was called off before.
    pub fn end(&mut self, key: &Key, number: u64) -> bool {
        let is_current = self.joinable.get(key).is_some_and(|joinable| joinable.number == number);
        if is_current {
            self.joinable.remove(key);
        }
        is_current
    }

    /// Calls off whatever flight is under way.
    pub fn call_off(&mut self, key: &Key) {
        self.joinable.remove(key);
    }
}
