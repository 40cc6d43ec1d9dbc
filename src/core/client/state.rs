//! The state that a client shares with its calls and fetches. All locks of a client are here.

use std::sync::Arc;

use tokio::sync::watch;

use crate::core::clock::Clock;
use crate::core::config::CallLimits;
use crate::core::source::TokenSource;
use crate::core::spawn::Spawn;
use crate::core::stats::Stats;
use crate::core::sync::{Mutex, MutexGuard, SharedCounter, lock};
use crate::core::tokens::Tokens;
use crate::core::tokens::cache::Cache;
use crate::core::tokens::validity::Validity;

/// The parts of a client.
pub struct ClientParts {
    pub source: Arc<dyn TokenSource>,
    /// The platform's scheme, host and port, for messages.
    pub origin: String,
    pub limits: CallLimits,
    /// The invalidations of other processes.
    pub validity: Arc<Validity>,
    pub stats: Arc<Stats>,
    pub clock: Clock,
    /// Yields numbers from 0 up to 1.
    pub jitter: fn() -> f64,
    /// Runs what no caller waits for.
    pub spawn: Spawn,
}

/// The state of a client.
pub struct ClientState {
    pub origin: String,
    pub limits: CallLimits,
    pub stats: Arc<Stats>,
    pub clock: Clock,
    pub spawn: Spawn,
    tokens: Mutex<Tokens>,
    pub discards: Arc<SharedCounter>,
    open: Mutex<Option<Arc<OpenGuard>>>,
    pub closing: watch::Sender<bool>,
    pub ended: watch::Receiver<()>,
}

/// Held by an open client and by each of its calls; dropped once the client is closed and the last call has ended.
pub struct OpenGuard {
    pub source: Arc<dyn TokenSource>,
    _ends: watch::Sender<()>,
}

impl ClientState {
    /// Open, and without a call.
    pub fn new(parts: ClientParts) -> Self {
        let ClientParts { source, origin, limits, validity, stats, clock, jitter, spawn } = parts;
        let (ends, ended) = watch::channel(());
        let discards = validity.discards();
        let cache = limits.cache.map(|limits| Cache::new(limits, jitter));
        Self {
            origin,
            limits,
            stats,
            clock,
            spawn,
            tokens: Mutex::new(Tokens::new(cache, validity)),
            discards,
            open: Mutex::new(Some(Arc::new(OpenGuard { source, _ends: ends }))),
            closing: watch::Sender::new(false),
            ended,
        }
    }

    /// Held while the client is open; `None` once it is closed.
    pub fn open(&self) -> MutexGuard<'_, Option<Arc<OpenGuard>>> {
        lock(&self.open)
    }

    pub fn tokens(&self) -> MutexGuard<'_, Tokens> {
        lock(&self.tokens)
    }

    /// Counts a call that got another token than the rejected one.
    pub fn count_repair(&self, rejected: Option<&str>, token: Option<&str>) {
        if rejected.is_some() && token.is_some() && rejected != token {
            self.stats.repairs.add();
        }
    }
}
