//! Owns the outbox: the invalidations of this process that are not yet in Redis. Each one stays until it is, however many there
//! are and however long that takes; beyond a bound, one invalidation of everything takes the place of all.

use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use super::crypto::{FleetKeys, Name, Tag};
use super::redis_client::RedisUnavailable;
use super::scripts::Scripts;
use super::tasks::Tasks;
use crate::core::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering};

#[cfg(test)]
mod tests;

/// Connections that the outbox holds one by one: those of 33,000 webhooks, each of which is about three. They take 12 MiB.
pub const MAX_PENDING: usize = 100_000;
/// Rejected tokens of one connection that the outbox holds. Beyond them, it invalidates the connection whole.
const MAX_TAGS: usize = 8;
/// Connections that one command invalidates: that takes Redis well under a millisecond.
const BATCH: usize = 64;
/// Between attempts to flush after one has failed: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The outbox, and what it is flushed to.
pub struct Outbox {
    keys: Arc<FleetKeys>,
    scripts: Arc<Scripts>,
    tasks: Tasks,
    pending: Mutex<OutboxEntries>,
    added: Notify,
    /// Held while a command is sent: one at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    failures: AtomicU64,
    /// Whether a future of [`Outbox::flush_added`] has not ended.
    is_flushing: AtomicBool,
}

/// The invalidations that are not yet in Redis.
struct OutboxEntries {
    max_connections: usize,
    last_number: u64,
    connections: FxHashMap<Name, PendingInvalidation>,
    /// The number of the invalidation that exceeded the bound.
    all: Option<u64>,
}

#[derive(Debug)]
struct PendingInvalidation {
    number: u64,
    /// The tags of the rejected tokens; none for the whole connection.
    tags: Vec<Tag>,
}

/// What one command invalidates.
#[derive(Debug)]
enum InvalidationBatch {
    All(u64),
    Connections(Vec<(Name, u64, Vec<Tag>)>),
}

impl Outbox {
    /// Holds up to `max_pending` connections one by one; empty at first.
    pub fn new(keys: Arc<FleetKeys>, scripts: Arc<Scripts>, tasks: Tasks, max_pending: usize) -> Self {
        Self {
            keys,
            scripts,
            tasks,
            pending: Mutex::new(OutboxEntries::new(max_pending)),
            added: Notify::new(),
            turn: Arc::default(),
            failures: AtomicU64::new(0),
            is_flushing: AtomicBool::new(false),
        }
    }

    /// Adds the connections of one event, each with the tag of the rejected token if the event is about that alone.
    pub fn add(&self, event: &[(Name, Option<Tag>)]) {
        let replaced = self.pending().add(event);
        // Dropped outside the lock, since they may be many.
        drop(replaced);
        self.added.notify_one();
    }

    /// Flushes what is pending for a connection, or everything. Callers that come meanwhile wait for the same command, and
    /// fail with it. What fails stays pending.
    pub async fn flush(self: &Arc<Self>, name: Option<&Name>) -> Result<(), RedisUnavailable> {
        while self.pending().holds(name) {
            let failed_before = self.failures.load(Ordering::Relaxed);
            let turn = Arc::clone(&self.turn).lock_owned().await;
            if self.failures.load(Ordering::Relaxed) != failed_before {
                return Err(self.scripts.breaker.unavailable());
            }
            let Some(batch) = self.pending().batch(name) else { continue };
            let outbox = Arc::clone(self);
            let (done, is_done) = oneshot::channel();
            let flush = async move {
                let _ = done.send(outbox.flush_batch(batch).await);
                drop(turn);
            };
            // The command goes on if this caller leaves, since others wait for it.
            self.tasks.spawn_to_end(flush.boxed());
            is_done.await.unwrap_or_else(|_| Err(RedisUnavailable::default()))?;
        }
        Ok(())
    }

    /// Flushes everything; `None` while an earlier future does, so that a burst of thousands is one task. That one flushes
    /// what is added until it ends. What fails is left to [`Outbox::keep_flushed`].
    pub fn flush_added(self: &Arc<Self>) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut guard = self.begin_flush()?;
        Some(async move {
            while guard.outbox.flush(None).await.is_ok() {
                let outbox = Arc::clone(&guard.outbox);
                drop(guard);
                // Whoever added an invalidation before the guard was dropped has left it to this future.
                if !outbox.pending().holds(None) {
                    break;
                }
                let Some(next) = outbox.begin_flush() else { break };
                guard = next;
            }
        })
    }

    /// `None` while a future of [`Outbox::flush_added`] has not ended.
    fn begin_flush(self: &Arc<Self>) -> Option<FlushGuard> {
        let was_flushing = self.is_flushing.swap(true, Ordering::AcqRel);
        (!was_flushing).then(|| FlushGuard { outbox: Arc::clone(self) })
    }

    async fn flush_batch(&self, batch: InvalidationBatch) -> Result<(), RedisUnavailable> {
        let sent = self.send(&batch).await;
        match sent {
            Ok(()) => self.pending().confirm(batch),
            Err(_) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        sent
    }

    async fn send(&self, batch: &InvalidationBatch) -> Result<(), RedisUnavailable> {
        let random = self.keys.random().ok_or_else(RedisUnavailable::default)?;
        match batch {
            InvalidationBatch::All(_) => self.scripts.invalidate_all(&random).await,
            InvalidationBatch::Connections(connections) => {
                let connections = connections.iter().map(|(name, _, tags)| (name, tags.as_slice()));
                self.scripts.invalidate(connections, &random).await
            }
        }
    }

    /// Flushes what is added, and what has failed as soon as Redis is back.
    pub async fn keep_flushed(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.flush(None).await.is_ok() {
                pause = FIRST_PAUSE;
                self.added.notified().await;
            } else {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                self.scripts.breaker.closed().await;
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, OutboxEntries> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands for a future of [`Outbox::flush_added`], even for one that is never run.
struct FlushGuard {
    outbox: Arc<Outbox>,
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        self.outbox.is_flushing.store(false, Ordering::Release);
    }
}

impl OutboxEntries {
    fn new(max_connections: usize) -> Self {
        Self { max_connections, last_number: 0, connections: FxHashMap::default(), all: None }
    }

    /// Adds one event, and returns what an invalidation of everything replaces.
    fn add(&mut self, event: &[(Name, Option<Tag>)]) -> FxHashMap<Name, PendingInvalidation> {
        self.last_number += 1;
        if self.connections.len() + event.len() > self.max_connections {
            self.all = Some(self.last_number);
            return mem::take(&mut self.connections);
        }
        for (name, tag) in event {
            self.add_one(*name, *tag);
        }
        FxHashMap::default()
    }

    fn add_one(&mut self, name: Name, tag: Option<Tag>) {
        let number = self.last_number;
        let Some(pending) = self.connections.get_mut(&name) else {
            self.connections.insert(name, PendingInvalidation { number, tags: tag.into_iter().collect() });
            return;
        };
        pending.number = number;
        let is_whole = pending.tags.is_empty();
        match tag {
            Some(tag) if pending.tags.contains(&tag) => {}
            Some(tag) if !is_whole && pending.tags.len() < MAX_TAGS => pending.tags.push(tag),
            _ => pending.tags.clear(),
        }
    }

    /// Whether anything is pending for the connection, or for any.
    fn holds(&self, name: Option<&Name>) -> bool {
        let holds_one = |name| self.connections.contains_key(name);
        self.all.is_some() || name.map_or(!self.connections.is_empty(), holds_one)
    }

    /// What the next command invalidates, this connection first; `None` if nothing is pending for it any more.
    fn batch(&self, first: Option<&Name>) -> Option<InvalidationBatch> {
        if let Some(number) = self.all {
            return Some(InvalidationBatch::All(number));
        }
        let first = match first {
            Some(name) => Some(self.connections.get_key_value(name)?),
            None => None,
        };
        let others =
            self.connections.iter().filter(|(name, _)| first.is_none_or(|(first, _)| first != *name));
        let batch = first.into_iter().chain(others).take(BATCH);
        let batch: Vec<_> =
            batch.map(|(name, pending)| (*name, pending.number, pending.tags.clone())).collect();
        (!batch.is_empty()).then_some(InvalidationBatch::Connections(batch))
    }

    /// Removes what is in Redis now. An invalidation that was added meanwhile stays.
    fn confirm(&mut self, batch: InvalidationBatch) {
        match batch {
            InvalidationBatch::All(number) => {
                self.all.take_if(|last| *last == number);
            }
            InvalidationBatch::Connections(connections) => {
                for (name, number, _) in connections {
                    if self.connections.get(&name).is_some_and(|pending| pending.number == number) {
                        self.connections.remove(&name);
                    }
                }
                // A burst leaves no megabytes behind.
                if self.connections.is_empty() {
                    self.connections.shrink_to(BATCH);
                }
            }
        }
    }
}
