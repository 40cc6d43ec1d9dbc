//! Counters of a client since its construction. Counts, and decides nothing.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The live counters.
#[derive(Debug, Default)]
pub struct Stats {
    pub calls: Counter,
    pub requests: Counter,
    pub retries: Counter,
    pub coalesced: Counter,
    pub cache_hits: Counter,
    pub cache_misses: Counter,
    pub failures: Counter,
    pub in_flight: Counter,
    pub queued: Counter,
    /// Of the second level of the cache, where there is one.
    pub fleet: Option<Arc<FleetStats>>,
}

/// The counters of the second level of the cache.
#[derive(Debug, Default)]
pub struct FleetStats {
    pub hits: Counter,
    pub misses: Counter,
    pub errors: Counter,
    /// Whether it is left alone now.
    pub is_bypassed: AtomicBool,
    last_error: Mutex<Option<Cow<'static, str>>>,
}

impl FleetStats {
    /// Counts a command that failed, and keeps the words for why.
    pub fn failed(&self, reason: Cow<'static, str>) {
        self.errors.add();
        self.note_error(reason);
    }

    /// Keeps the words for what went wrong last, without counting a command.
    pub fn note_error(&self, reason: Cow<'static, str>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// What went wrong last.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).as_deref().map(str::to_owned)
    }
}

/// One counter. Relaxed, since what hangs on it bears being a moment late.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one up.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one down.
    pub fn take(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The count now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one for as long as the guard lives, on every path out.
    pub fn hold(&self) -> Held<'_> {
        self.add();
        Held(self)
    }
}

/// Takes its count back when dropped.
#[derive(Debug)]
pub struct Held<'a>(&'a Counter);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.take();
    }
}
