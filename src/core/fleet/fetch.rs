//! Owns one fetch through Redis: read what another member has fetched, or take the lock, fetch, and write.

use std::convert::Infallible;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use tokio::time::{Instant, sleep, timeout_at};

use super::breaker::Breaker;
use super::channel::{Channel, Event};
use super::crypto::{Entry, Keys, Name};
use super::membership::Membership;
use super::outbox::Outbox;
use super::redis::RedisUnavailable;
use super::scripts::{FencingToken, Found, GENERATION_LIFE, LOCK_RENEWAL, LockId, Release, Scripts, Write};
use super::tasks::Tasks;
use crate::core::clock::Clock;
use crate::core::connection::{Connection, ConnectionState};
use crate::core::error::Error;
use crate::core::source::{Fetch, Fetched, Purpose, TokenSource};
use crate::core::stats::FleetStats;
use crate::core::tokens::lifetime::{REFRESH_FROM, lifetime};

/// A member that waits for another one also reads by itself, in case that no message comes: first after this time, then
/// less and less often.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Holders of the lock that are waited for in turn. The first may have been killed.
const MAX_HOLDERS: u32 = 2;
/// Entries that turn out to be useless before this member fetches without the lock. Somebody else writes them.
const MAX_USELESS: u32 = 2;

/// What fetches need of a member.
pub struct Fetcher {
    pub keys: Arc<Keys>,
    pub breaker: Arc<Breaker>,
    pub scripts: Arc<Scripts>,
    pub channel: Arc<Channel>,
    pub outbox: Arc<Outbox>,
    pub tasks: Tasks,
    pub stats: Arc<FleetStats>,
    pub clock: Clock,
    pub jitter: fn() -> f64,
    /// The longest that another member is waited for.
    pub patience: Duration,
    pub ttl: Duration,
    pub membership: Membership,
}

/// What a member finds in Redis.
enum Lookup {
    Entry(Box<Entry>, Life),
    Missing(WritePermit),
}

struct Life {
    age: Duration,
    left: Duration,
}

/// Permission to write what is fetched, unless the connection was invalidated since.
struct WritePermit {
    fencing_token: FencingToken,
    lock: LockGuard,
    began: Instant,
}

/// Releases the lock when it is dropped, so that nobody waits for it: with the fetch when its last caller leaves, with the
/// write when the client is closed, and after a write that failed.
struct LockGuard {
    fetcher: Arc<Fetcher>,
    name: Name,
    id: LockId,
    is_held: bool,
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
        if !self.membership.may_read(purpose, self.clock.now().boot) {
            self.stats.misses.add();
            return self.ask_source(fetch, source).await;
        }
        // Half of a short time is left for asking by oneself.
        let patience = self.patience.min(fetch.state.time_left() / 2);
        match self.lookup(&name, purpose, patience).await {
            Ok(Lookup::Entry(entry, Life { age, left })) => {
                self.stats.hits.add();
                Ok(Fetched { connection: entry.connection, age, left })
            }
            Ok(Lookup::Missing(permit)) => {
                self.stats.misses.add();
                let result = permit.lock.renewed_during(self.ask_source(fetch, source)).await;
                // In the background, so that the caller does not wait for Redis.
                if let Some(write) = self.writing(purpose, permit, &result) {
                    self.tasks.spawn(write);
                }
                result
            }
            Err(RedisUnavailable(reason)) => {
                fetch.state.note_fleet_error(reason);
                self.stats.misses.add();
                self.ask_source(fetch, source).await
            }
        }
    }

    async fn ask_source<S: TokenSource>(&self, fetch: Fetch, source: &S) -> Result<Fetched, Error> {
        let result = source.fetch(fetch).await;
        self.membership.note(&result, self.clock.now().boot);
        result
    }

    async fn lookup(
        self: &Arc<Self>,
        name: &Name,
        purpose: Purpose,
        patience: Duration,
    ) -> Result<Lookup, RedisUnavailable> {
        if self.breaker.is_open() {
            return Err(self.breaker.unavailable());
        }
        self.outbox.flush(Some(name)).await?;
        let id = self.keys.random().ok_or(RedisUnavailable(None))?;
        let mut lock = LockGuard { fetcher: Arc::clone(self), name: *name, id, is_held: false };
        let missing = |fencing_token, lock| {
            Ok(Lookup::Missing(WritePermit { fencing_token, lock, began: Instant::now() }))
        };
        if purpose == Purpose::Fresh {
            return missing(self.scripts.outdate(name, &id).await?, lock);
        }
        let deadline = Instant::now() + patience;
        let (mut useless, mut useless_count) = (Vec::new(), 0);
        let (mut awaited, mut holders) = (None, 0);
        let mut pause = FIRST_PAUSE;
        loop {
            let mut notified = pin!(self.channel.notified(name));
            notified.as_mut().enable();
            // If the answer is lost, the lock may be held all the same.
            lock.is_held = true;
            let found = self.scripts.take(name, &id, &useless, awaited.as_ref()).await?;
            lock.is_held = matches!(found, Found::Locked(_));
            let fencing_token = match found {
                Found::Entry(sealed, left) => match self.judge(name, purpose, &sealed, left) {
                    Some((entry, life)) => return Ok(Lookup::Entry(Box::new(entry), life)),
                    None if useless_count == MAX_USELESS => return Err(RedisUnavailable(None)),
                    None => {
                        useless = sealed;
                        useless_count += 1;
                        continue;
                    }
                },
                Found::Locked(fencing_token) | Found::Failed(fencing_token) => {
                    return missing(fencing_token, lock);
                }
                Found::Held(holder, fencing_token) => {
                    if awaited != Some(holder) {
                        awaited = Some(holder);
                        holders += 1;
                    }
                    fencing_token
                }
            };
            if holders > MAX_HOLDERS || Instant::now() >= deadline {
                return missing(fencing_token, lock);
            }
            let until = Instant::now() + pause.mul_f64(0.5 + (self.jitter)());
            let _ = timeout_at(until.min(deadline), notified).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The entry, if it may be served: written by this fleet, unaltered, expired by neither clock, and not too old for this
    /// member.
    fn judge(&self, name: &Name, purpose: Purpose, sealed: &[u8], left: Duration) -> Option<(Entry, Life)> {
        let entry = self.keys.open(name, sealed)?;
        let now = self.clock.now();
        let until_expiry = Duration::try_from_secs_f64((entry.until - now.wall) / 1e3).ok()?;
        let age = Duration::try_from_secs_f64((now.wall - entry.from) / 1e3).unwrap_or_default();
        let left = left.min(until_expiry).min(self.ttl.checked_sub(age)?);
        let left = left.min(lifetime(&entry.connection, self.ttl, now)?);
        let is_late = purpose == Purpose::Refresh && age >= (age + left).mul_f64(REFRESH_FROM);
        (!left.is_zero() && !is_late).then_some((entry, Life { age, left }))
    }

    /// What has to be written, if anything: an entry for others, or that the fetch failed.
    fn writing(
        self: &Arc<Self>,
        purpose: Purpose,
        permit: WritePermit,
        result: &Result<Fetched, Error>,
    ) -> Option<BoxFuture<'static, ()>> {
        let name = permit.lock.name;
        let entry = result.as_ref().ok().and_then(|fetched| self.seal(&name, &fetched.connection));
        let entry = entry.filter(|_| permit.began.elapsed() < GENERATION_LIFE / 2);
        if purpose != Purpose::Missing && is_unavailable(result) {
            // The platform has withdrawn the token, so that the copies of others are outdated too.
            self.outbox.add(&[(name, None)]);
        }
        if entry.is_none() && !permit.lock.is_held {
            return None;
        }
        let fetcher = Arc::clone(self);
        let write = async move {
            match entry {
                // What fails here is counted.
                Some((sealed, life)) => {
                    let _ = fetcher.write(purpose, permit, &sealed, life).await;
                }
                None => permit.lock.release(Release::Failed).await,
            }
        };
        Some(write.boxed())
    }

    async fn write(
        &self,
        purpose: Purpose,
        WritePermit { fencing_token, mut lock, .. }: WritePermit,
        sealed: &[u8],
        life: Duration,
    ) -> Result<(), RedisUnavailable> {
        let names = [lock.name];
        let invalidated = match purpose {
            Purpose::Fresh => self.channel.message(Event::Invalidated, &names),
            Purpose::Missing | Purpose::Refresh => Vec::new(),
        };
        let fetched = self.channel.message(Event::Fetched, &names);
        let write = Write {
            lock: &lock.id,
            fencing_token: &fencing_token,
            sealed,
            life,
            fetched: &fetched,
            invalidated: &invalidated,
        };
        self.scripts.put(&lock.name, &write).await?;
        lock.is_held = false;
        Ok(())
    }

    fn seal(&self, name: &Name, connection: &Connection) -> Option<(Vec<u8>, Duration)> {
        let now = self.clock.now();
        let life = lifetime(connection, self.ttl, now)?;
        let until = now.wall + life.as_secs_f64() * 1e3;
        let entry = Entry { connection: connection.clone(), from: now.wall, until };
        Some((self.keys.seal(name, &entry)?, life))
    }
}

impl LockGuard {
    /// Renews the lock until the future ends.
    async fn renewed_during<T>(&self, fetching: impl Future<Output = T>) -> T {
        if !self.is_held {
            return fetching.await;
        }
        match select(pin!(fetching), pin!(self.renew())).await {
            Either::Left((result, _)) => result,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn renew(&self) -> Infallible {
        loop {
            sleep(LOCK_RENEWAL).await;
            let _ = self.fetcher.scripts.renew(&self.name, &self.id).await;
        }
    }

    async fn release(mut self, how: Release) {
        let Self { fetcher, name, id, .. } = &self;
        let message = fetcher.channel.message(Event::Fetched, &[*name]);
        if self.is_held && fetcher.scripts.release(name, id, how, &message).await.is_ok() {
            self.is_held = false;
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if !mem::take(&mut self.is_held) {
            return;
        }
        let (fetcher, name, id) = (Arc::clone(&self.fetcher), self.name, self.id);
        let release = async move {
            let message = fetcher.channel.message(Event::Fetched, &[name]);
            let _ = fetcher.scripts.release(&name, &id, Release::GaveUp, &message).await;
        };
        self.fetcher.tasks.spawn_to_end(release.boxed());
    }
}

/// Whether the platform says that the connection has no token. An error says nothing about the connection: 401 and 403
/// judge the keys of this member, and other members may have better ones.
fn is_unavailable(result: &Result<Fetched, Error>) -> bool {
    result
        .as_ref()
        .is_ok_and(|fetched| matches!(fetched.connection.state, ConnectionState::Unavailable { .. }))
}
