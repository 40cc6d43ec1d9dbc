//! Which tokens are cached, which are being fetched, and which were rejected. All three change together, under one
//! lock, so that an invalidation supersedes whatever is in flight. Only bookkeeping: the client fetches, notifies and
//! drops futures, after it has released that lock.

pub mod cache;
pub mod entry;
pub mod in_flight;
pub mod key;
pub mod lifetime;
pub mod packed;
mod replacement;
pub mod validity;

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use self::cache::{Cache, Hit};
use self::entry::CacheEntry;
use self::in_flight::{InFlight, NewFetch, Waiter};
use self::key::ConnectionKey;
use self::lifetime::lifetime;
pub use self::replacement::FetchNumber;
use self::replacement::{REJECTION_RETENTION, Replacements};
use self::validity::{Validity, Version};
use crate::core::clock::Now;
use crate::core::connection::Fetched;
use crate::core::error::Error;

/// The tokens of one client.
pub struct Tokens {
    in_flight: InFlight,
    cache: Option<Cache>,
    replacements: Replacements,
    validity: Arc<Validity>,
    /// The sweeper, as long as it runs.
    sweeper: Weak<Sweeper>,
}

/// The question of a call.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Whether to skip the cache and join no fetch.
    pub fresh: bool,
    /// A token that a service rejected.
    pub rejected: Option<&'a str>,
}

/// How a call is answered.
pub enum Lookup {
    /// From the cache. With a number, the client refreshes the entry.
    Hit(Hit, Option<FetchNumber>),
    /// By what a fetch brought in place of the rejected token.
    Replaced(CacheEntry),
    /// By the fetch in flight.
    Joined(Waiter),
    /// By a fetch of this number, which the client starts.
    Miss(FetchNumber),
}

/// Held by the one sweeper of a client.
pub struct Sweeper;

impl Tokens {
    pub fn new(cache: Option<Cache>, validity: Arc<Validity>) -> Self {
        Self {
            in_flight: InFlight::default(),
            cache,
            replacements: Replacements::new(),
            validity,
            sweeper: Weak::new(),
        }
    }

    /// Answers a call from the cache, or says how the client answers it.
    pub fn look_up(&mut self, key: &ConnectionKey, query: Query<'_>, deadline: Instant, now: Now) -> Lookup {
        let replaced = query.rejected.and_then(|rejected| self.replacement(key, rejected, now));
        if let Some(entry) = replaced {
            return Lookup::Replaced(entry);
        }
        if query.fresh {
            return Lookup::Miss(self.in_flight.next_number());
        }
        let hit = self.cache.as_mut().and_then(|cache| cache.get(key, now, &self.validity));
        if let Some(hit) = hit {
            let refreshes = hit.refresh_due && !self.in_flight.is_in_flight(key);
            if let Some(cache) = self.cache.as_mut().filter(|_| refreshes) {
                cache.note_refresh(key, now);
            }
            return Lookup::Hit(hit, refreshes.then(|| self.in_flight.next_number()));
        }
        match self.join(key, deadline, now) {
            Some(waiter) => Lookup::Joined(waiter),
            None => Lookup::Miss(self.in_flight.next_number()),
        }
    }

    fn replacement(&self, key: &ConnectionKey, rejected: &str, now: Now) -> Option<CacheEntry> {
        let entry = self.replacements.replacement(key, rejected, now)?;
        entry.left(now, &self.validity).map(|_| entry.clone())
    }

    pub fn join(&mut self, key: &ConnectionKey, deadline: Instant, now: Now) -> Option<Waiter> {
        self.in_flight.join(key, deadline, &self.validity, now)
    }

    #[cfg(test)]
    pub fn is_in_flight(&self, key: &ConnectionKey) -> bool {
        self.in_flight.is_in_flight(key)
    }

    /// Lets calls join a fetch, in place of the one before it.
    pub fn start(&mut self, key: &ConnectionKey, fetch: NewFetch, now: Now) -> Waiter {
        self.replacements.begin(key, now);
        self.in_flight.start(key.clone(), fetch)
    }

    /// A fetch has brought a connection. It is cached unless the fetch was superseded. A connection without a token
    /// discards the cached one, also if the fetch was superseded.
    /// `version` is that of the connection when the fetch began.
    pub fn fetched(
        &mut self,
        key: &ConnectionKey,
        number: FetchNumber,
        version: Version,
        fetched: &Fetched,
        now: Now,
    ) {
        let Fetched { connection, age, left } = fetched;
        let is_current = self.in_flight.end(key, number);
        if let Some(life) = lifetime(connection, REJECTION_RETENTION.min(*left), now) {
            let entry = || CacheEntry::new(connection, life, version, now);
            self.replacements.replace(key, number, now, entry);
        }
        self.end_rejections(key, now);
        let Some(token) = connection.token() else { return self.discard(key) };
        let Some(cache) = self.cache.as_mut().filter(|_| is_current) else { return };
        // A rejected token is not cached, since the platform may soon have a better one.
        let is_rejected = self.replacements.is_rejected(key, token, now);
        let life = lifetime(connection, cache.ttl().min(*left), now).filter(|_| !is_rejected);
        let Some(life) = life else { return self.discard(key) };
        let entry = CacheEntry::new(connection, life, version, now);
        let replaces_another = cache.token(key).is_some_and(|cached| cached != token);
        if cache.put(key.clone(), entry, life, *age, now) || replaces_another {
            self.validity.count_discard();
        }
    }

    /// A fetch has brought no connection. There is no error if it was cancelled, or panicked.
    pub fn failed(&mut self, key: &ConnectionKey, number: FetchNumber, error: Option<&Error>, now: Now) {
        let is_current = self.in_flight.end(key, number);
        self.end_rejections(key, now);
        if is_current && error.is_some_and(Error::is_refusal) {
            self.discard(key);
        }
    }

    fn end_rejections(&mut self, key: &ConnectionKey, now: Now) {
        if !self.in_flight.is_in_flight(key) {
            self.replacements.end(key, now);
        }
    }

    /// Drops what is cached and supersedes the fetch in flight.
    pub fn invalidate(&mut self, key: &ConnectionKey, now: Now) {
        self.replacements.invalidate(key, self.in_flight.last(), now);
        self.in_flight.supersede(key);
        self.discard(key);
    }

    /// Whether a service is known to have rejected this token.
    pub fn is_rejected(&self, key: &ConnectionKey, token: &str, now: Now) -> bool {
        self.replacements.is_rejected(key, token, now)
    }

    /// Discards a token that a service rejected, and supersedes the fetch that might bring it again. A newer token
    /// stays cached; once it has expired, no call joins a fetch that began before the rejection. Does nothing if the
    /// rejection is known.
    pub fn reject(&mut self, key: &ConnectionKey, token: &str, now: Now) {
        if self.is_rejected(key, token, now) {
            return;
        }
        self.replacements.reject(key, token, self.in_flight.last(), now);
        self.in_flight.supersede(key);
        let cached = self.cache.as_ref().and_then(|cache| cache.token(key));
        if cached.is_some_and(|cached| cached == token) {
            self.discard(key);
        }
    }

    /// Forgets all tokens; the fetches in flight continue. Returns the cache, so that the caller drops it outside the
    /// lock, since that takes time.
    pub fn close(&mut self) -> Option<Cache> {
        let cache = self.cache.take();
        if cache.as_ref().is_some_and(|cache| !cache.is_empty()) {
            self.validity.count_discard();
        }
        self.replacements = Replacements::new();
        cache
    }

    /// Drops what has expired, so that no secret stays in memory longer than needed. Returns the time until the next
    /// entry expires; `None` if none is left, and the sweeper may end.
    pub fn sweep(&mut self, now: Now) -> Option<Duration> {
        let cache = self.cache.as_mut().and_then(|cache| cache.sweep(now));
        let next = cache.into_iter().chain(self.replacements.sweep(now)).min();
        if next.is_none() {
            self.sweeper = Weak::new();
        }
        next
    }

    /// Whether no token is cached and no rejection remembered.
    pub fn is_empty(&self) -> bool {
        self.replacements.is_empty() && self.cache.as_ref().is_none_or(Cache::is_empty)
    }

    /// The client has to start a sweeper, which holds this until it ends; `None` if there is nothing to sweep, or a
    /// sweeper runs.
    pub fn begin_sweeping(&mut self) -> Option<Arc<Sweeper>> {
        if self.is_empty() || self.sweeper.strong_count() > 0 {
            return None;
        }
        let sweeper = Arc::new(Sweeper);
        self.sweeper = Arc::downgrade(&sweeper);
        Some(sweeper)
    }

    fn discard(&mut self, key: &ConnectionKey) {
        if self.cache.as_mut().is_some_and(|cache| cache.discard(key)) {
            self.validity.count_discard();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt;

    use super::*;
    use crate::core::connection::{Connection, ConnectionState, Details};
    use crate::core::secret::Secret;
    use crate::core::tokens::cache::CacheLimits;
    use crate::core::tokens::in_flight::SharedFetchState;
    use crate::core::tokens::key::OwnerKind;

    const ONE_QUERY: Query<'static> = Query { fresh: false, rejected: None };

    fn at(millis: u64) -> Now {
        let since = Duration::from_millis(millis);
        Now { wall: 1.7e12 + since.as_secs_f64() * 1e3, boot: Duration::from_secs(1_000) + since }
    }

    fn active() -> Fetched {
        let state = ConnectionState::Active { access_token: Secret::new("t".to_owned()), expires_at: None };
        Fetched::from(Connection { state, details: Details::default() })
    }

    /// Another process may have invalidated the connection since the fetch began, and this one cannot hear of it.
    #[tokio::test]
    async fn without_a_subscription_nobody_gets_what_a_fetch_brings_that_began_half_a_second_ago() {
        let limits = CacheLimits { ttl: Duration::from_secs(60), max_entries: 10 };
        let validity = Arc::new(Validity::shared());
        let mut tokens = Tokens::new(Some(Cache::new(limits, || 0.0)), Arc::clone(&validity));
        let key = ConnectionKey::new(OwnerKind::User, "u", "slack").unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let begin = |tokens: &mut Tokens, now: Now| {
            let number = tokens.in_flight.next_number();
            let version = validity.version(7, now.boot);
            let (result, state) = (pending().boxed().shared(), Arc::new(SharedFetchState::new(deadline)));
            let waiter = tokens.start(&key, NewFetch { number, version, result, state }, now);
            (number, version, waiter)
        };
        let look_up = |tokens: &mut Tokens, millis| tokens.look_up(&key, ONE_QUERY, deadline, at(millis));

        let (number, version, _waiter) = begin(&mut tokens, at(0));
        assert!(matches!(look_up(&mut tokens, 499), Lookup::Joined(_)));
        tokens.fetched(&key, number, version, &active(), at(499));
        assert!(matches!(look_up(&mut tokens, 499), Lookup::Hit(..)));
        assert!(matches!(look_up(&mut tokens, 500), Lookup::Miss(_)));

        let (_, _, _waiter) = begin(&mut tokens, at(1_000));
        assert!(matches!(look_up(&mut tokens, 1_500), Lookup::Miss(_)));

        let (_, _, _waiter) = begin(&mut tokens, at(2_000));
        validity.heartbeat(at(9_000).boot);
        assert!(matches!(look_up(&mut tokens, 9_000), Lookup::Joined(_)), "with a subscription");
    }
}
