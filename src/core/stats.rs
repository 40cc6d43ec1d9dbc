//! Counters of a client since its construction. Counts, and decides nothing.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::core::connection::EpochMillis;
use crate::core::sync::{Mutex, lock};

#[derive(Debug, Default)]
pub struct Stats {
    pub calls: Counter,
    pub requests: Counter,
    pub retries: Counter,
    pub coalesced: Counter,
    pub cache_hits: Counter,
    pub cache_misses: Counter,
    pub failures: Counter,
    /// Tokens that services rejected, each once for all calls that report it.
    pub rejections: Counter,
    /// Calls that got another token in place of a rejected one.
    pub repairs: Counter,
    pub in_flight: Arc<Counter>,
    pub queued: Arc<Counter>,
    /// The counters of the second level of the cache; `None` without one.
    pub fleet: Option<Arc<FleetStats>>,
}

impl Stats {
    pub fn new(has_fleet: bool) -> Self {
        Self { fleet: has_fleet.then(Arc::default), ..Self::default() }
    }
}

/// The counters of the second level of the cache.
#[derive(Debug, Default)]
pub struct FleetStats {
    pub hits: Counter,
    pub misses: Counter,
    pub errors: Counter,
    pub is_bypassed: AtomicBool,
    errors_by_source: Mutex<[Option<FleetError>; 2]>,
}

/// How the second level of the cache fared in one call.
#[derive(Clone, Debug)]
pub struct FleetReport {
    /// Whether it was bypassed when the call ended.
    pub is_bypassed: bool,
    /// Why it is bypassed, or why it did not answer this call.
    pub error: Option<Cow<'static, str>>,
}

/// The two ways in which Redis fails, each of which recovers by itself.
#[derive(Clone, Copy, Debug)]
pub enum FleetErrorSource {
    Commands,
    Subscription,
}

/// Why Redis failed, and when.
#[derive(Clone, Debug)]
pub struct FleetError {
    pub reason: Cow<'static, str>,
    pub at: EpochMillis,
}

impl FleetStats {
    /// Remembers the last error of a source until it recovers.
    pub fn note_error(&self, source: FleetErrorSource, error: FleetError) {
        lock(&self.errors_by_source)[source as usize] = Some(error);
    }

    /// The source has recovered.
    pub fn forget_error(&self, source: FleetErrorSource) {
        lock(&self.errors_by_source)[source as usize] = None;
    }

    /// The last error of a source that has not recovered.
    pub fn last_error(&self) -> Option<FleetError> {
        let errors = lock(&self.errors_by_source).clone();
        errors.into_iter().flatten().max_by(|one, other| one.at.total_cmp(&other.at))
    }

    /// The report on a call that ends now, which Redis did not answer for this reason.
    pub fn report(&self, error: Option<Cow<'static, str>>) -> FleetReport {
        let is_bypassed = self.is_bypassed.load(Ordering::Relaxed);
        let last = || self.last_error().filter(|_| is_bypassed).map(|error| error.reason);
        FleetReport { is_bypassed, error: error.or_else(last) }
    }
}

/// One counter. Relaxed, since its readers tolerate a count that is a moment late.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn take(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one for as long as the guard lives, on every path out.
    pub fn hold(self: &Arc<Self>) -> CountGuard {
        self.add();
        CountGuard(Arc::clone(self))
    }
}

/// Takes its count back when dropped.
#[derive(Debug)]
pub struct CountGuard(Arc<Counter>);

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.take();
    }
}
