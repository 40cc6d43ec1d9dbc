//! Owns the invalidations of this process that are not yet in Redis. Each one stays until it is, however many they are and
//! however long that takes; beyond a bound, one invalidation of everything takes the place of all.

use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use super::breaker::Breaker;
use super::channel::{Channel, Event};
use super::crypto::{Keys, Name, Tag};
use super::redis::RedisUnavailable;
use super::scripts::Scripts;
use super::tasks::Tasks;
use crate::core::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering};

#[cfg(test)]
mod tests;

/// Connections that are remembered one by one: those of 33,000 webhooks, each of which is about three. They take 12 MiB.
pub const MAX_OPEN: usize = 100_000;
/// Rejected tokens of one connection that are remembered. Beyond them, whatever there is of it is invalidated.
const MAX_TAGS: usize = 8;
/// Connections that one command invalidates: Redis is busy with it for well under a millisecond.
const BATCH: usize = 64;
/// Between attempts to flush after one has failed: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The outbox, and what it is flushed to.
pub struct Outbox {
    pub keys: Arc<Keys>,
    pub breaker: Arc<Breaker>,
    pub scripts: Arc<Scripts>,
    pub channel: Arc<Channel>,
    pub tasks: Tasks,
    pub queue: Queue,
}

/// The invalidations that are open.
#[derive(Debug)]
pub struct Queue {
    max_open: usize,
    state: Mutex<State>,
    added: Notify,
    /// Held while a command is sent: one at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    failures: AtomicU64,
    /// Whether a task flushes everything that is added.
    is_flushing: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    last_number: u64,
    open: FxHashMap<Name, Open>,
    /// The number of the invalidation with which there were too many.
    all: Option<u64>,
}

#[derive(Debug)]
struct Open {
    number: u64,
    /// Those of rejected tokens; none for whatever there is.
    tags: Vec<Tag>,
}

/// What one command tells Redis.
#[derive(Debug)]
enum Batch {
    All(u64),
    Connections(Vec<(Name, u64, Vec<Tag>)>),
}

impl Outbox {
    /// Notes one event: connections, and the tag of the token that was rejected if it is about no more than that.
    pub fn add(&self, event: &[(Name, Option<Tag>)]) {
        self.queue.add(event);
    }

    /// Tells Redis of what is open for a connection, or for all. Whoever comes meanwhile waits for it, and fails with it.
    /// What fails stays open.
    pub async fn flush(self: &Arc<Self>, name: Option<&Name>) -> Result<(), RedisUnavailable> {
        let Queue { turn, failures, .. } = &self.queue;
        while self.queue.is_open(name) {
            let failed_before = failures.load(Ordering::Relaxed);
            let turn = Arc::clone(turn).lock_owned().await;
            if failures.load(Ordering::Relaxed) != failed_before {
                return Err(self.breaker.unavailable());
            }
            let Some(batch) = self.queue.batch(name) else { continue };
            let outbox = Arc::clone(self);
            let (told, is_told) = oneshot::channel();
            let tell = async move {
                let _ = told.send(outbox.tell(batch).await);
                drop(turn);
            };
            // To its end, even if this caller leaves: else each of those who wait would have to begin once more.
            self.tasks.spawn_to_end(tell.boxed());
            is_told.await.unwrap_or(Err(RedisUnavailable(None)))?;
        }
        Ok(())
    }

    /// Flushes everything; `None` while an earlier future does, since that one sends what is added meanwhile too. So a burst
    /// of thousands is one task, not thousands.
    pub fn flush_added(self: &Arc<Self>) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut guard = FlushGuard::claim(self)?;
        Some(async move {
            // What fails stays open, for `keep_flushed`.
            while guard.outbox.flush(None).await.is_ok() {
                let outbox = Arc::clone(&guard.outbox);
                drop(guard);
                if !outbox.queue.is_open(None) {
                    return;
                }
                match FlushGuard::claim(&outbox) {
                    Some(claimed) => guard = claimed,
                    None => return,
                }
            }
        })
    }

    async fn tell(&self, batch: Batch) -> Result<(), RedisUnavailable> {
        let sent = self.send(&batch).await;
        if sent.is_ok() {
            self.queue.close(batch);
        }
        if sent.is_err() {
            self.queue.failures.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    async fn send(&self, batch: &Batch) -> Result<(), RedisUnavailable> {
        let random = self.keys.random().ok_or(RedisUnavailable(None))?;
        match batch {
            Batch::All(_) => {
                let message = self.channel.message(Event::AllInvalidated, &[]);
                self.scripts.invalidate_all(&random, &message).await
            }
            Batch::Connections(connections) => {
                let message = self.channel.message(Event::Invalidated, &[]);
                let connections = connections.iter().map(|(name, _, tags)| (name, tags.as_slice()));
                self.scripts.invalidate(connections, &random, &message).await
            }
        }
    }

    /// Flushes what is added, and what failed once more, as soon as Redis is back.
    pub async fn keep_flushed(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.flush(None).await.is_ok() {
                pause = FIRST_PAUSE;
                self.queue.added.notified().await;
            } else {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                self.breaker.closed().await;
            }
        }
    }
}

/// Says that everything is being flushed for as long as it lives, also if its future is never run.
struct FlushGuard {
    outbox: Arc<Outbox>,
}

impl FlushGuard {
    fn claim(outbox: &Arc<Outbox>) -> Option<Self> {
        let was_flushing = outbox.queue.is_flushing.swap(true, Ordering::AcqRel);
        (!was_flushing).then(|| Self { outbox: Arc::clone(outbox) })
    }
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        self.outbox.queue.is_flushing.store(false, Ordering::Release);
    }
}

impl Queue {
    /// Nothing is open. Up to `max_open` connections are remembered one by one.
    pub fn new(max_open: usize) -> Self {
        Self {
            max_open,
            state: Mutex::default(),
            added: Notify::new(),
            turn: Arc::default(),
            failures: AtomicU64::new(0),
            is_flushing: AtomicBool::new(false),
        }
    }

    fn add(&self, event: &[(Name, Option<Tag>)]) {
        let mut state = self.state();
        state.last_number += 1;
        let number = state.last_number;
        let mut replaced = FxHashMap::default();
        if state.open.len() + event.len() > self.max_open {
            replaced = mem::take(&mut state.open);
            state.all = Some(number);
        } else {
            for (name, tag) in event {
                state.add(*name, *tag, number);
            }
        }
        drop(state);
        drop(replaced);
        self.added.notify_one();
    }

    /// Whether Redis has to be told of something before anything about the connection may be read; or of anything at all.
    fn is_open(&self, name: Option<&Name>) -> bool {
        let State { open, all, .. } = &*self.state();
        all.is_some() || name.map_or(!open.is_empty(), |name| open.contains_key(name))
    }

    /// What is to be told next, this connection first; `None` if nothing is open for it any more.
    fn batch(&self, first: Option<&Name>) -> Option<Batch> {
        let State { open, all, .. } = &*self.state();
        if let Some(number) = all {
            return Some(Batch::All(*number));
        }
        let first = match first {
            Some(name) => Some(open.get_key_value(name)?),
            None => None,
        };
        let others = open.iter().filter(|(name, _)| first.is_none_or(|(first, _)| first != *name));
        let batch = first.into_iter().chain(others).take(BATCH);
        let batch: Vec<_> = batch.map(|(name, open)| (*name, open.number, open.tags.clone())).collect();
        (!batch.is_empty()).then_some(Batch::Connections(batch))
    }

    /// Redis was told. What came meanwhile stays.
    fn close(&self, batch: Batch) {
        let mut state = self.state();
        match batch {
            Batch::All(number) => {
                state.all.take_if(|last| *last == number);
            }
            Batch::Connections(connections) => {
                for (name, number, _) in connections {
                    if state.open.get(&name).is_some_and(|open| open.number == number) {
                        state.open.remove(&name);
                    }
                }
                // A burst leaves no megabytes behind.
                if state.open.is_empty() {
                    state.open.shrink_to(BATCH);
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, name: Name, tag: Option<Tag>, number: u64) {
        let Some(open) = self.open.get_mut(&name) else {
            self.open.insert(name, Open { number, tags: tag.into_iter().collect() });
            return;
        };
        open.number = number;
        let is_all = open.tags.is_empty();
        match tag {
            Some(tag) if open.tags.contains(&tag) => {}
            Some(tag) if !is_all && open.tags.len() < MAX_TAGS => open.tags.push(tag),
            _ => open.tags.clear(),
        }
    }
}
