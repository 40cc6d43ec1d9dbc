//! Owns the way of one fetch through Redis: read what another member has fetched, or take the lock, fetch, and write.

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout_at};

use super::breaker::Breaker;
use super::channel::{Channel, Event};
use super::crypto::{Entry, Keys, NO_TAG, Name};
use super::outbox::Outbox;
use super::redis::Unavailable;
use super::scripts::{
    Found, GENERATION_LIFE, Generation, LOCK_RENEWAL, LockId, Release, Scripts, generation,
};
use super::tasks;
use crate::core::clock::Clock;
use crate::core::connection::{Connection, State};
use crate::core::error::Error;
use crate::core::source::{Fetch, Fetched, Purpose, TokenSource};
use crate::core::stats::FleetStats;
use crate::core::tokens::lifetime::{REFRESH_FROM, lifetime};

/// Whoever waits for another member looks by itself too, in case that no message comes: first after this time, then less
/// and less often.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Holders of the lock that are waited for in turn. The first may have been killed.
const MAX_HOLDERS: u32 = 2;

/// What fetches need of a member.
pub struct Fetcher {
    pub keys: Arc<Keys>,
    pub breaker: Arc<Breaker>,
    pub scripts: Arc<Scripts>,
    pub channel: Arc<Channel>,
    pub outbox: Arc<Outbox>,
    pub stats: Arc<FleetStats>,
    pub clock: Clock,
    pub jitter: fn() -> f64,
    /// The longest that another member is waited for.
    pub patience: Duration,
    pub ttl: Duration,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fetcher")
    }
}

/// What came of a look into Redis.
enum Look {
    Entry(Box<Entry>, Life),
    Fetch(Permit),
}

struct Life {
    age: Duration,
    left: Duration,
}

/// Leave to fetch, and to write what was fetched unless something was invalidated since.
struct Permit {
    generation: Generation,
    lock: LockId,
    is_locked: bool,
}

/// Gives the lock back when the fetch is dropped, as it is when its last caller leaves, so that nobody waits for it.
struct LockGuard<'a> {
    fetcher: &'a Arc<Fetcher>,
    name: &'a Name,
    lock: &'a LockId,
    is_released: bool,
}

impl Fetcher {
    /// The connection: from Redis, or from the source, which at best one member of the fleet asks.
    pub async fn fetch<S: TokenSource>(
        self: &Arc<Self>,
        name: Name,
        fetch: Fetch,
        source: &S,
    ) -> Result<Fetched, Error> {
        let purpose = fetch.purpose;
        // Half of a short time is left for asking by oneself.
        let patience = self.patience.min(fetch.progress.time_left() / 2);
        match self.look(&name, purpose, patience).await {
            Ok(Look::Entry(entry, Life { age, left })) => {
                self.stats.hits.add();
                Ok(Fetched { connection: entry.connection, age, left })
            }
            Ok(Look::Fetch(permit)) => {
                self.stats.misses.add();
                self.fetch_and_write(&name, purpose, permit, source.fetch(fetch)).await
            }
            Err(Unavailable) => {
                self.stats.misses.add();
                source.fetch(fetch).await
            }
        }
    }

    async fn look(&self, name: &Name, purpose: Purpose, patience: Duration) -> Result<Look, Unavailable> {
        if self.breaker.is_open() || self.outbox.trusts_nothing() {
            return Err(Unavailable);
        }
        self.outbox.flush(name).await?;
        let lock = self.keys.random().ok_or(Unavailable)?;
        if purpose == Purpose::Fresh {
            let generation = self.new_generation()?;
            self.scripts.outdate(name, &generation).await?;
            return Ok(Look::Fetch(Permit { generation, lock, is_locked: false }));
        }
        let deadline = Instant::now() + patience;
        let mut useless = Vec::new();
        let mut awaited = None;
        let mut holders = 0;
        let mut pause = FIRST_PAUSE;
        loop {
            let mut told = pin!(self.channel.told(name));
            told.as_mut().enable();
            let permit = |generation, is_locked| Ok(Look::Fetch(Permit { generation, lock, is_locked }));
            let generation = match self.scripts.take(name, &lock, &useless, awaited.as_ref()).await? {
                Found::Entry(sealed, left) => match self.judge(name, purpose, &sealed, left) {
                    Some((entry, life)) => return Ok(Look::Entry(Box::new(entry), life)),
                    None if Instant::now() >= deadline => return Err(Unavailable),
                    None => {
                        useless = sealed;
                        continue;
                    }
                },
                Found::Locked(generation) => return permit(generation, true),
                Found::Failed(generation) => return permit(generation, false),
                Found::Held(holder, generation) => {
                    if awaited != Some(holder) {
                        awaited = Some(holder);
                        holders += 1;
                    }
                    generation
                }
            };
            if holders > MAX_HOLDERS || Instant::now() >= deadline {
                return permit(generation, false);
            }
            let until = Instant::now() + pause.mul_f64(0.5 + (self.jitter)());
            let _ = timeout_at(until.min(deadline), told).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// An entry that may be used: ours, whole, not over by either clock, and not too old for this process.
    fn judge(&self, name: &Name, purpose: Purpose, sealed: &[u8], left: Duration) -> Option<(Entry, Life)> {
        let entry = self.keys.open(name, sealed)?;
        let now = self.clock.now();
        let until = |moment: f64| Duration::try_from_secs_f64((moment - now.wall) / 1e3).ok();
        let age = Duration::try_from_secs_f64((now.wall - entry.from) / 1e3).unwrap_or_default();
        let left = left.min(until(entry.until)?).min(self.ttl.checked_sub(age)?);
        let left = left.min(lifetime(&entry.connection, self.ttl, now)?);
        let is_late = purpose == Purpose::Refresh && age >= (age + left).mul_f64(REFRESH_FROM);
        (!left.is_zero() && !is_late).then_some((entry, Life { age, left }))
    }

    async fn fetch_and_write(
        self: &Arc<Self>,
        name: &Name,
        purpose: Purpose,
        permit: Permit,
        fetching: impl Future<Output = Result<Fetched, Error>>,
    ) -> Result<Fetched, Error> {
        let began = Instant::now();
        let mut guard = LockGuard { fetcher: self, name, lock: &permit.lock, is_released: !permit.is_locked };
        let result = if permit.is_locked {
            match select(pin!(fetching), pin!(self.renew_lock(name, &permit.lock))).await {
                Either::Left((result, _)) => result,
                Either::Right((never, _)) => match never {},
            }
        } else {
            fetching.await
        };
        guard.is_released = true;
        // What fails here is counted; the caller has what it came for.
        let _ = self.write(name, purpose, &permit, began, &result).await;
        result
    }

    /// Writes what was fetched, or tells that there is nothing to be had.
    async fn write(
        &self,
        name: &Name,
        purpose: Purpose,
        permit: &Permit,
        began: Instant,
        result: &Result<Fetched, Error>,
    ) -> Result<(), Unavailable> {
        if let Ok(Fetched { connection, .. }) = result
            && began.elapsed() < GENERATION_LIFE / 2
            && let Some((sealed, life)) = self.seal(name, connection)
        {
            let message = self.channel.message(Event::Fetched, name);
            let put = self.scripts.put(name, &permit.lock, &permit.generation, &sealed, life, &message);
            if put.await? && purpose == Purpose::Fresh {
                self.scripts.publish(&self.channel.message(Event::Invalidated, name)).await?;
            }
            return Ok(());
        }
        if permit.is_locked {
            let message = self.channel.message(Event::Fetched, name);
            self.scripts.release(name, &permit.lock, Release::Failed, &message).await?;
        }
        if purpose != Purpose::Missing && is_refusal(result) {
            let generation = self.new_generation()?;
            let message = self.channel.message(Event::Invalidated, name);
            self.scripts.invalidate(name, &generation, false, &message).await?;
        }
        Ok(())
    }

    fn seal(&self, name: &Name, connection: &Connection) -> Option<(Vec<u8>, Duration)> {
        let now = self.clock.now();
        let life = lifetime(connection, self.ttl, now)?;
        let until = now.wall + life.as_secs_f64() * 1e3;
        let entry = Entry { connection: connection.clone(), from: now.wall, until };
        Some((self.keys.seal(name, &entry)?, life))
    }

    /// Renews the lock for as long as it is polled.
    async fn renew_lock(&self, name: &Name, lock: &LockId) -> Infallible {
        loop {
            sleep(LOCK_RENEWAL).await;
            let _ = self.scripts.renew(name, lock).await;
        }
    }

    fn new_generation(&self) -> Result<Generation, Unavailable> {
        Ok(generation(&NO_TAG, &self.keys.random().ok_or(Unavailable)?))
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        if self.is_released || Handle::try_current().is_err() {
            return;
        }
        let (fetcher, name, lock) = (Arc::clone(self.fetcher), *self.name, *self.lock);
        let release = async move {
            let message = fetcher.channel.message(Event::Fetched, &name);
            let _ = fetcher.scripts.release(&name, &lock, Release::GaveUp, &message).await;
        };
        tasks::spawn(release.boxed());
    }
}

/// Whether the platform itself says that there is no token.
fn is_refusal(result: &Result<Fetched, Error>) -> bool {
    match result {
        Ok(fetched) => matches!(fetched.connection.state, State::Unavailable { .. }),
        Err(error) => error.is_refusal(),
    }
}
