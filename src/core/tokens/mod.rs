//! What is known of tokens at one moment: which are kept, which are being fetched, which were rejected. All of it changes
//! together, so that an invalidation beats whatever is under way. Fetches nothing and reads no clock.

pub mod cache;
pub mod in_flight;
mod kept;
pub mod key;
pub mod lifetime;
mod replacement;
pub mod validity;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use self::cache::{Cache, Hit};
use self::in_flight::{FetchResult, InFlight, Progress, Waiter};
use self::kept::Kept;
use self::key::Key;
use self::lifetime::lifetime;
pub use self::replacement::FetchNumber;
use self::replacement::{MEMORY, Replacements};
use self::validity::{Validity, Version};
use crate::core::clock::Now;
use crate::core::connection::Connection;
use crate::core::error::Error;
use crate::core::mutation::{self, Mutation};

/// The state.
#[derive(Debug)]
pub struct Tokens {
    in_flight: InFlight,
    cache: Option<Cache>,
    replacements: Replacements,
    validity: Arc<Validity>,
}

/// What is known of a connection that may be handed out.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// For how long others have kept it already.
    pub age: Duration,
    /// For how long it may be kept at the most.
    pub most: Duration,
    /// What was invalidated when its fetch began.
    pub version: Version,
}

impl Tokens {
    /// Nothing is known.
    pub fn new(cache: Option<Cache>, validity: Arc<Validity>) -> Self {
        Self { in_flight: InFlight::default(), cache, replacements: Replacements::new(), validity }
    }

    /// Whether connections are kept at all.
    pub fn is_caching(&self) -> bool {
        self.cache.is_some()
    }

    /// The connection that is kept.
    pub fn kept(&mut self, key: &Key, now: Now) -> Option<Hit> {
        self.cache.as_mut()?.get(key, now, &self.validity)
    }

    /// What came in the place of a token that was rejected a moment ago.
    pub fn replacement(&self, key: &Key, rejected: &str, now: Now) -> Option<Connection> {
        let is_good = |kept: &Kept| kept.left(now, &self.validity).is_some();
        self.replacements.replacement(key, rejected, is_good).map(Kept::connection)
    }

    /// Whether a fetch is under way that may be joined.
    pub fn is_under_way(&self, key: &Key) -> bool {
        self.in_flight.is_under_way(key)
    }

    /// A share in the fetch under way.
    pub fn join(&mut self, key: &Key, deadline: Instant) -> Option<Waiter> {
        self.in_flight.join(key, deadline, &self.validity)
    }

    /// Starts a fetch, in place of one that was under way.
    pub fn start(
        &mut self,
        key: &Key,
        version: Version,
        progress: Arc<Progress>,
        now: Now,
        work: impl FnOnce(FetchNumber) -> BoxFuture<'static, FetchResult>,
    ) -> Waiter {
        self.replacements.begin(key, now);
        self.in_flight.start(key.clone(), version, progress, work)
    }

    /// Notes that a kept connection is being fetched anew, so that the next attempt waits its turn.
    pub fn refreshing(&mut self, key: &Key, now: Now) {
        if let Some(cache) = &mut self.cache {
            cache.refreshing(key, now);
        }
    }

    /// A fetch has ended, with what it brought or without. What it brought is kept unless the fetch was superseded.
    pub fn end(
        &mut self,
        key: &Key,
        number: FetchNumber,
        result: Option<Result<(&Arc<Connection>, Life), &Error>>,
        now: Now,
    ) {
        let is_current = self.in_flight.end(key, number);
        if !self.in_flight.is_under_way(key) {
            self.replacements.end(key, now);
        }
        match result {
            Some(Ok((connection, life))) => self.keep(key, number, connection, life, is_current, now),
            Some(Err(error)) if is_current && error.is_refusal() => self.refuse(key),
            _ => {}
        }
    }

    fn keep(
        &mut self,
        key: &Key,
        number: FetchNumber,
        connection: &Arc<Connection>,
        Life { age, most, version }: Life,
        is_current: bool,
        now: Now,
    ) {
        let is_rejected = connection.token().is_some_and(|token| self.replacements.is_rejected(key, token));
        if let Some(life) = lifetime(connection, most.min(MEMORY), now) {
            self.replacements.replace(key, number, || Kept::new(connection, life, version, now));
        }
        let is_current = is_current || mutation::is(Mutation::SupersededIsKept);
        let Some(cache) = self.cache.as_mut().filter(|_| is_current) else { return };
        match lifetime(connection, most.min(cache.ttl()), now) {
            // A service has said that it is of no use.
            Some(life) if !is_rejected => {
                let replaced = cache.token(key).is_some_and(|kept| connection.token() != Some(kept));
                let evicted =
                    cache.put(key.clone(), Kept::new(connection, life, version, now), life, age, now);
                if replaced || evicted {
                    self.validity.discard();
                }
            }
            _ => self.refuse(key),
        }
    }

    /// There is nothing to be kept.
    fn refuse(&mut self, key: &Key) {
        if !mutation::is(Mutation::RefusalEvictsNothing) {
            self.evict(key);
        }
    }

    /// Drops what is kept and supersedes what is under way.
    pub fn invalidate(&mut self, key: &Key) {
        let last = self.in_flight.last();
        self.replacements.invalidate(key, last);
        if !mutation::is(Mutation::NothingSuperseded) {
            self.in_flight.supersede(key);
        }
        self.evict(key);
    }

    /// Drops a token that a service rejected, and supersedes what might bring it again: a newer token stays, but whoever begins
    /// once it is over joins nothing that is older than the rejection. Nothing happens if that was known. `false` then.
    pub fn reject(&mut self, key: &Key, token: &str, now: Now) -> bool {
        let last = self.in_flight.last();
        let is_news =
            self.replacements.reject(key, token, last, now) || mutation::is(Mutation::EveryReportIsNews);
        let kept = self.cache.as_ref().and_then(|cache| cache.token(key));
        let has_newer = kept.is_some_and(|kept| kept != token);
        if is_news && !(has_newer && mutation::is(Mutation::RejectedIsJoined)) {
            self.in_flight.supersede(key);
        }
        if is_news && !has_newer {
            self.evict(key);
        }
        is_news
    }

    /// Forgets what is kept; what is under way goes on.
    pub fn close(&mut self) {
        if self.cache.take().is_some_and(|cache| !cache.is_empty()) {
            self.validity.discard();
        }
        self.replacements = Replacements::new();
    }

    fn evict(&mut self, key: &Key) {
        if self.cache.as_mut().is_some_and(|cache| cache.evict(key)) {
            self.validity.discard();
        }
    }
}
