//! Owns one fetch through Redis: read the entry that another member has written, or acquire the lock, fetch, and write.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select;
use tokio::time::{Instant, sleep, timeout_at};

use super::channel::Channel;
use super::crypto::{Entry, FleetKeys, Name};
use super::membership::Membership;
use super::outbox::Outbox;
use super::redis_client::RedisUnavailable;
use super::scripts::{FencingToken, Found, LOCK_RENEWAL, LockId, Scripts};
use super::tasks::Tasks;
use crate::core::clock::Clock;
use crate::core::connection::{Connection, ConnectionState};
use crate::core::error::Error;
use crate::core::source::{Fetch, Fetched, Purpose, TokenSource};
use crate::core::stats::FleetStats;
use crate::core::tokens::lifetime::{REFRESH_FROM, lifetime};

#[cfg(test)]
mod tests;

/// Between two reads of a member that waits for another one, in case that no message comes: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Holders of the lock that one fetch waits for. The first may have been killed.
const MAX_HOLDERS: u32 = 2;
/// Entries that this member cannot use before it fetches without the lock. Another process writes them.
const MAX_UNUSABLE: u32 = 2;

/// This process as a member of its fleet.
pub struct Member {
    pub keys: Arc<FleetKeys>,
    pub scripts: Arc<Scripts>,
    pub channel: Arc<Channel>,
    pub outbox: Arc<Outbox>,
    pub tasks: Tasks,
    pub stats: Arc<FleetStats>,
    pub clock: Clock,
    pub jitter: fn() -> f64,
    /// The longest wait for another member.
    pub patience: Duration,
    pub ttl: Duration,
    pub membership: Membership,
    pub is_started: AtomicBool,
}

enum LookupResult {
    Entry(Box<Fetched>),
    Missing(WritePermit),
}

/// The permit to write what is fetched, unless the connection is invalidated meanwhile.
struct WritePermit {
    fencing_token: FencingToken,
    lock: LockGuard,
}

/// Releases the lock when it is dropped: with the fetch when its last caller leaves, with the write when the client is closed,
/// and after a write that failed.
struct LockGuard {
    member: Arc<Member>,
    name: Name,
    id: LockId,
    is_held: bool,
    has_failed: bool,
}

/// The wait of one fetch for the holders of its lock.
struct HolderWait {
    deadline: Instant,
    pause: Duration,
    holder: Option<LockId>,
    holders: u32,
}

impl Member {
    /// Starts the tasks in the background, once.
    pub fn start(&self) {
        if !self.is_started.swap(true, Ordering::Relaxed) {
            self.tasks.spawn(Arc::clone(&self.channel).listen().boxed());
            self.tasks.spawn(Arc::clone(&self.outbox).keep_flushed().boxed());
        }
    }

    /// Returns the connection: from Redis, or from the source, which one member of the fleet asks at best.
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
        // Half of a short time is left for a fetch of its own.
        let patience = self.patience.min(fetch.state.time_left() / 2);
        match self.lookup(&name, purpose, patience).await {
            Ok(LookupResult::Entry(fetched)) => {
                self.stats.hits.add();
                Ok(*fetched)
            }
            Ok(LookupResult::Missing(permit)) => {
                self.stats.misses.add();
                let result = permit.lock.renewed_during(self.ask_source(fetch, source)).await;
                self.finish(purpose, permit, &result);
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
    ) -> Result<LookupResult, RedisUnavailable> {
        if self.scripts.breaker.is_open() {
            return Err(self.scripts.breaker.unavailable());
        }
        self.outbox.flush(Some(name)).await?;
        let lock = self.lock_guard(name)?;
        if purpose == Purpose::Fresh {
            let fencing_token = self.scripts.outdate(name, &lock.id).await?;
            return Ok(LookupResult::Missing(WritePermit { fencing_token, lock }));
        }
        self.read_or_lock(lock, purpose, HolderWait::new(patience)).await
    }

    /// Reads the entry or acquires the lock, after the holders that it waits for.
    async fn read_or_lock(
        &self,
        mut lock: LockGuard,
        purpose: Purpose,
        mut wait: HolderWait,
    ) -> Result<LookupResult, RedisUnavailable> {
        let name = lock.name;
        let (mut unusable, mut unusable_count) = (Vec::new(), 0);
        loop {
            let mut notified = pin!(self.channel.notified(&name));
            notified.as_mut().enable();
            // If the reply is lost, Redis may have given the lock all the same.
            lock.is_held = true;
            let found = self.scripts.take(&name, &lock.id, &unusable, wait.holder.as_ref()).await?;
            lock.is_held = matches!(found, Found::Locked(_));
            match found {
                Found::Entry(sealed, left) => {
                    if let Some(fetched) = self.usable(&name, purpose, &sealed, left) {
                        return Ok(LookupResult::Entry(Box::new(fetched)));
                    }
                    if unusable_count == MAX_UNUSABLE {
                        return Err(RedisUnavailable::default());
                    }
                    unusable = sealed;
                    unusable_count += 1;
                }
                Found::Locked(fencing_token) | Found::Failed(fencing_token) => {
                    return Ok(LookupResult::Missing(WritePermit { fencing_token, lock }));
                }
                Found::Held(holder, fencing_token) => {
                    if !wait.goes_on(holder) {
                        return Ok(LookupResult::Missing(WritePermit { fencing_token, lock }));
                    }
                    wait.pause(notified, (self.jitter)()).await;
                }
            }
        }
    }

    fn lock_guard(self: &Arc<Self>, name: &Name) -> Result<LockGuard, RedisUnavailable> {
        let id = self.keys.random().ok_or_else(RedisUnavailable::default)?;
        Ok(LockGuard { member: Arc::clone(self), name: *name, id, is_held: false, has_failed: false })
    }

    /// The connection of an entry, if this member may serve it: written by this fleet, unaltered, expired by neither clock,
    /// and not older than this member's `ttl`.
    fn usable(&self, name: &Name, purpose: Purpose, sealed: &[u8], left: Duration) -> Option<Fetched> {
        let Entry { connection, from, until } = self.keys.open(name, sealed)?;
        let now = self.clock.now();
        let until_expiry = Duration::try_from_secs_f64((until - now.wall) / 1e3).ok()?;
        let age = Duration::try_from_secs_f64((now.wall - from) / 1e3).unwrap_or_default();
        let left = left.min(until_expiry).min(self.ttl.checked_sub(age)?);
        let left = left.min(lifetime(&connection, self.ttl, now)?);
        let is_late = purpose == Purpose::Refresh && age >= (age + left).mul_f64(REFRESH_FROM);
        (!left.is_zero() && !is_late).then_some(Fetched { connection, age, left })
    }

    /// Writes the entry in the background, so that the caller does not wait for Redis; or releases the lock.
    fn finish(self: &Arc<Self>, purpose: Purpose, mut permit: WritePermit, result: &Result<Fetched, Error>) {
        let name = permit.lock.name;
        if purpose != Purpose::Missing && is_unavailable(result) {
            // The platform has withdrawn the token, so the entry and the copies of other members are outdated.
            self.outbox.add(&[(name, None)]);
        }
        let entry = result.as_ref().ok().and_then(|fetched| self.seal(&name, &fetched.connection));
        let Some((sealed, life)) = entry else {
            permit.lock.has_failed = true;
            return;
        };
        let member = Arc::clone(self);
        let write = async move {
            let WritePermit { fencing_token, mut lock } = permit;
            let is_fresh = purpose == Purpose::Fresh;
            let written =
                member.scripts.put(&name, &lock.id, &fencing_token, (&sealed, life), is_fresh).await;
            // After a failure, which the breaker counts, the guard releases the lock.
            lock.is_held = written.is_err();
        };
        self.tasks.spawn(write.boxed());
    }

    fn seal(&self, name: &Name, connection: &Connection) -> Option<(Vec<u8>, Duration)> {
        let now = self.clock.now();
        let life = lifetime(connection, self.ttl, now)?;
        let until = now.wall + life.as_secs_f64() * 1e3;
        let entry = Entry { connection: connection.clone(), from: now.wall, until };
        Some((self.keys.seal(name, &entry)?, life))
    }
}

impl HolderWait {
    fn new(patience: Duration) -> Self {
        Self { deadline: Instant::now() + patience, pause: FIRST_PAUSE, holder: None, holders: 0 }
    }

    /// Whether the fetch waits for this holder.
    fn goes_on(&mut self, holder: LockId) -> bool {
        if self.holder != Some(holder) {
            self.holder = Some(holder);
            self.holders += 1;
        }
        self.holders <= MAX_HOLDERS && Instant::now() < self.deadline
    }

    /// Waits until it is notified, or for a while.
    async fn pause(&mut self, notified: impl Future<Output = ()>, jitter: f64) {
        let until = Instant::now() + self.pause.mul_f64(0.5 + jitter);
        let _ = timeout_at(until.min(self.deadline), notified).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

impl LockGuard {
    /// Renews the lock until the future ends.
    async fn renewed_during<T>(&self, fetching: impl Future<Output = T>) -> T {
        if !self.is_held {
            return fetching.await;
        }
        let (result, _) = select(pin!(fetching), pin!(self.renew())).await.factor_first();
        result
    }

    /// Never ends.
    async fn renew<T>(&self) -> T {
        loop {
            sleep(LOCK_RENEWAL).await;
            let _ = self.member.scripts.renew(&self.name, &self.id).await;
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if !mem::take(&mut self.is_held) {
            return;
        }
        let (member, name, id, has_failed) = (Arc::clone(&self.member), self.name, self.id, self.has_failed);
        let release = async move { member.scripts.release(&name, &id, has_failed).await };
        self.member.tasks.spawn_to_end(release.boxed());
    }
}

/// Whether the platform says that the connection has no token. An error does not say that: 401 and 403 judge the keys of this
/// member, and other members may have better ones.
fn is_unavailable(result: &Result<Fetched, Error>) -> bool {
    result
        .as_ref()
        .is_ok_and(|fetched| matches!(fetched.connection.state, ConnectionState::Unavailable { .. }))
}
