//! The client: accepts a call, answers it from the cache or has it share a fetch, and caches the result.
//!
//! `tokens` decides under its lock; the client acts after it has released that lock. Under a lock we drop, call and
//! wake nothing that could take a lock.

mod call;
mod fetch;
#[cfg(test)]
mod real_threads;
mod state;
mod sweep;
#[cfg(test)]
mod tests;

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join};
use tokio::time::Instant;

pub use self::call::{Call, Outcome};
pub use self::state::ClientParts;
use self::state::{ClientState, OpenGuard};
use crate::core::error::Error;
use crate::core::secret::Secret;
use crate::core::source::Purpose;
use crate::core::stats::Stats;
use crate::core::sync::SharedCounter;
use crate::core::tokens::cache::Hit;
use crate::core::tokens::entry::CacheEntry;
use crate::core::tokens::key::{ConnectionKey, OwnerKind};
use crate::core::tokens::{Lookup, Query, Tokens};

/// One client serves every owner of a backend.
pub struct Client {
    shared: Arc<ClientState>,
}

/// The arguments of a call.
#[derive(Clone, Copy, Debug)]
pub struct CallRequest<'a> {
    pub kind: OwnerKind,
    pub id: &'a str,
    pub slug: &'a str,
    /// The call's own limit, in place of the client's.
    pub timeout: Option<Duration>,
    /// Whether to skip the cache and join no request that began earlier.
    pub fresh: bool,
    /// A token that a service rejected: the call asks for another one.
    pub rejected: Option<&'a str>,
}

/// A call that was accepted.
pub enum Begun {
    /// Answered at once.
    Known(Known),
    /// To be run.
    Call(Call),
}

/// An answer that needed no fetch of its own.
pub struct Known {
    /// The active connection, still packed.
    pub entry: CacheEntry,
    /// How long it may be served without asking again; zero if it is not cached.
    pub valid_for: Duration,
    /// Whether it was fetched for another call, which reported the same rejected token.
    pub coalesced: bool,
    /// The caller runs it in the background: it refreshes the connection, or notifies other processes of a rejection.
    pub background: Option<BoxFuture<'static, ()>>,
}

impl Client {
    /// Opens no connection and starts no thread.
    pub fn new(parts: ClientParts) -> Self {
        Self { shared: Arc::new(ClientState::new(parts)) }
    }

    /// Accepts a call: checks its arguments and starts its deadline. Sends nothing yet.
    pub fn begin(&self, request: CallRequest<'_>) -> Result<Begun, Error> {
        let key = ConnectionKey::new(request.kind, request.id, request.slug)?;
        let open = self.shared.open().clone().ok_or_else(Error::closed)?;
        let stats = self.stats();
        stats.calls.add();
        let CallRequest { fresh, rejected, .. } = request;
        let notify = rejected.and_then(|_| self.discard(Some(&open), slice::from_ref(&key), rejected));
        let timeout = request.timeout.unwrap_or(self.shared.limits.timeout);
        let deadline = Instant::now() + timeout;
        let now = self.shared.clock.now();
        let lookup = self.shared.tokens().look_up(&key, Query { fresh, rejected }, deadline, now);
        let is_hit = matches!(lookup, Lookup::Hit(..));
        if !fresh && self.shared.limits.cache.is_some() {
            if is_hit { stats.cache_hits.add() } else { stats.cache_misses.add() }
        }
        let (waiter, coalesced) = match lookup {
            Lookup::Hit(Hit { entry, valid_for, .. }, refresh) => {
                let refresh = refresh.and_then(|number| fetch::refresh(&self.shared, &open, &key, number));
                let background = both(notify, refresh);
                return Ok(self.serve(Known { entry, valid_for, coalesced: false, background }, rejected));
            }
            Lookup::Replaced(entry) => {
                let valid_for = Duration::ZERO;
                let known = Known { entry, valid_for, coalesced: true, background: notify };
                return Ok(self.serve(known, rejected));
            }
            Lookup::Joined(waiter) => (waiter, true),
            Lookup::Miss(number) => {
                let purpose = if fresh { Purpose::Fresh } else { Purpose::Missing };
                let started = fetch::join_or_start(&self.shared, &open, &key, number, deadline, purpose);
                started.inspect_err(|_| stats.failures.add())?
            }
        };
        if coalesced {
            stats.coalesced.add();
        }
        let shared = Arc::clone(&self.shared);
        let rejected = rejected.map(|token| Secret::new(token.to_owned()));
        Ok(Begun::Call(Call { shared, open, waiter, key, timeout, deadline, coalesced, rejected }))
    }

    fn serve(&self, known: Known, rejected: Option<&str>) -> Begun {
        if known.coalesced {
            self.stats().coalesced.add();
        }
        self.shared.count_repair(rejected, Some(known.entry.token()));
        Begun::Known(known)
    }

    /// Discards the cached connection and supersedes the fetch in flight: the next call asks the platform. With
    /// `rejected`, discards only that token. One event may concern several kinds of owners. The returned future
    /// notifies other processes.
    pub fn invalidate(
        &self,
        kinds: &[OwnerKind],
        id: &str,
        slug: &str,
        rejected: Option<&str>,
    ) -> Result<Option<BoxFuture<'static, ()>>, Error> {
        let keys =
            kinds.iter().map(|kind| ConnectionKey::new(*kind, id, slug)).collect::<Result<Vec<_>, _>>()?;
        let open = self.shared.open().clone();
        Ok(self.discard(open.as_deref(), &keys, rejected))
    }

    /// Discards all that is cached of these connections, or only a token that a service rejected. The returned future
    /// notifies other processes, and sweeps the rejection.
    fn discard(
        &self,
        open: Option<&OpenGuard>,
        keys: &[ConnectionKey],
        rejected: Option<&str>,
    ) -> Option<BoxFuture<'static, ()>> {
        let now = self.shared.clock.now();
        if let Some(token) = rejected {
            let is_known = |tokens: &Tokens| keys.iter().all(|key| tokens.is_rejected(key, token, now));
            if is_known(&self.shared.tokens()) {
                return None;
            }
            self.stats().rejections.add();
        }
        // First for other processes, then here: else a fetch that begins in between would read the old entry from
        // Redis and count as a new one.
        let notify = open.and_then(|open| open.source.invalidate(keys, rejected));
        let mut tokens = self.shared.tokens();
        for key in keys {
            match rejected {
                Some(token) => tokens.reject(key, token, now),
                None => tokens.invalidate(key, now),
            }
        }
        // A rejection is remembered where nothing was cached, too.
        let sweeper = open.filter(|_| rejected.is_some()).and_then(|_| tokens.begin_sweeping());
        drop(tokens);
        both(notify, sweeper.map(|sweeper| sweep::sweeper(&self.shared, sweeper)))
    }

    /// The count of tokens that the cache discarded before they expired: invalidated or rejected, here or by another
    /// process; replaced by another token; withdrawn by the platform; evicted for lack of room; or no longer known to
    /// be valid, since the subscription was lost. It grows before anybody learns of the discard, so a copy of a token
    /// is valid as long as the count is what it was before `begin`.
    pub fn discards(&self) -> &Arc<SharedCounter> {
        &self.shared.discards
    }

    pub fn stats(&self) -> &Arc<Stats> {
        &self.shared.stats
    }

    /// Accepts no more calls and forgets all tokens. The returned future resolves when the calls in flight have ended;
    /// `None` when there are none.
    pub fn close(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let open = self.shared.open().take();
        drop(open);
        self.shared.closing.send_replace(true);
        let cache = self.shared.tokens().close();
        drop(cache);
        let mut ended = self.shared.ended.clone();
        let have_ended = ended.has_changed().is_err();
        (!have_ended).then_some(async move { while ended.changed().await.is_ok() {} })
    }
}

fn both(
    first: Option<BoxFuture<'static, ()>>,
    second: Option<BoxFuture<'static, ()>>,
) -> Option<BoxFuture<'static, ()>> {
    match (first, second) {
        (Some(first), Some(second)) => Some(join(first, second).map(drop).boxed()),
        (first, second) => first.or(second),
    }
}
