//! Owns the invalidations of this process that Redis has not been told of yet. Each is kept until it has, or until nothing
//! that it is about can be left there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::Breaker;
use super::channel::{Channel, Event};
use super::crypto::{Keys, NO_TAG, Name, Tag};
use super::redis::Unavailable;
use super::scripts::{Scripts, generation};

/// Connections that are remembered. Beyond that nothing in Redis is trusted until all of it is over.
const MAX_OPEN: usize = 10_000;

/// What is to be dropped: one token, or whatever there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    Token(Tag),
    Any,
}

/// What the outbox is flushed to.
#[derive(Debug)]
pub struct Outbox {
    keys: Arc<Keys>,
    breaker: Arc<Breaker>,
    scripts: Arc<Scripts>,
    channel: Arc<Channel>,
    invalidations: Invalidations,
}

/// The invalidations that are open.
#[derive(Debug)]
struct Invalidations {
    longest_life: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_number: u64,
    open: HashMap<Name, Open>,
    trust_nothing_until: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    number: u64,
    dropped: Dropped,
    until: Instant,
    /// Held by whoever tells Redis.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// An invalidation to tell Redis of.
#[derive(Debug)]
struct Invalidation {
    dropped: Dropped,
    number: u64,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Outbox {
    /// Empty. Nothing in Redis outlasts the longest life.
    pub fn new(
        keys: Arc<Keys>,
        breaker: Arc<Breaker>,
        scripts: Arc<Scripts>,
        channel: Arc<Channel>,
        longest_life: Duration,
    ) -> Self {
        Self { keys, breaker, scripts, channel, invalidations: Invalidations::new(longest_life) }
    }

    /// Notes an invalidation.
    pub fn add(&self, name: Name, dropped: Dropped) {
        self.invalidations.add(name, dropped);
    }

    /// Whether too many invalidations came to know what in Redis is good.
    pub fn trusts_nothing(&self) -> bool {
        self.invalidations.trusts_nothing()
    }

    /// Tells Redis of what is open for a connection; whoever comes meanwhile waits for it. What fails stays open.
    pub async fn flush(&self, name: &Name) -> Result<(), Unavailable> {
        let Some(invalidation) = self.invalidations.open(name) else { return Ok(()) };
        let _turn = invalidation.turn.lock().await;
        let Some(invalidation) = self.invalidations.open(name) else { return Ok(()) };
        let (tag, by_tag) = match invalidation.dropped {
            Dropped::Token(tag) => (tag, true),
            Dropped::Any => (NO_TAG, false),
        };
        let generation = generation(&tag, &self.keys.random().ok_or(Unavailable)?);
        let message = self.channel.message(Event::Invalidated, name);
        self.scripts.invalidate(name, &generation, by_tag, &message).await?;
        self.invalidations.close(name, &invalidation);
        Ok(())
    }

    /// Tells Redis of everything that is open, each time that it is back.
    pub async fn flush_when_back(self: Arc<Self>) {
        loop {
            self.breaker.opened().await;
            self.breaker.closed().await;
            for name in self.invalidations.names() {
                if self.flush(&name).await.is_err() {
                    break;
                }
            }
        }
    }
}

impl Invalidations {
    fn new(longest_life: Duration) -> Self {
        Self { longest_life, state: Mutex::default() }
    }

    /// Two different ones make one for whatever there is.
    fn add(&self, name: Name, dropped: Dropped) {
        let mut state = self.state();
        let now = Instant::now();
        let until = now + self.longest_life;
        state.last_number += 1;
        let number = state.last_number;
        if let Some(open) = state.open.get_mut(&name) {
            open.dropped = if open.dropped == dropped { dropped } else { Dropped::Any };
            (open.number, open.until) = (number, until);
            return;
        }
        if state.open.len() >= MAX_OPEN {
            state.open.retain(|_, open| open.until > now);
        }
        if state.open.len() >= MAX_OPEN {
            state.trust_nothing_until = Some(until);
        } else {
            state.open.insert(name, Open { number, dropped, until, turn: Arc::default() });
        }
    }

    /// What Redis has to know before anything about the connection may be read.
    fn open(&self, name: &Name) -> Option<Invalidation> {
        let mut state = self.state();
        let open = state.open.get(name)?;
        if open.until <= Instant::now() {
            state.open.remove(name);
            return None;
        }
        Some(Invalidation { dropped: open.dropped, number: open.number, turn: Arc::clone(&open.turn) })
    }

    /// Redis was told. What came meanwhile stays.
    fn close(&self, name: &Name, invalidation: &Invalidation) {
        let mut state = self.state();
        if state.open.get(name).is_some_and(|open| open.number == invalidation.number) {
            state.open.remove(name);
        }
    }

    fn names(&self) -> Vec<Name> {
        self.state().open.keys().copied().collect()
    }

    fn trusts_nothing(&self) -> bool {
        let mut state = self.state();
        state.trust_nothing_until.take_if(|until| *until <= Instant::now());
        state.trust_nothing_until.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::core::tokens::key::{Key, OwnerKind};

    const LIFE: Duration = Duration::from_secs(60);

    fn name(id: usize) -> Name {
        Keys::derive(b"secret", "pk")
            .unwrap()
            .name("p", &Key::new(OwnerKind::User, &id.to_string(), "s").unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalidation_stays_until_it_was_told_or_is_pointless() {
        let invalidations = Invalidations::new(LIFE);
        invalidations.add(name(1), Dropped::Token([1; 16]));
        let told = invalidations.open(&name(1)).unwrap();
        assert_eq!(told.dropped, Dropped::Token([1; 16]));
        invalidations.add(name(1), Dropped::Token([1; 16]));
        invalidations.close(&name(1), &told);
        let told = invalidations.open(&name(1)).expect("the one that came meanwhile");
        invalidations.close(&name(1), &told);
        assert!(invalidations.open(&name(1)).is_none());
        invalidations.add(name(1), Dropped::Any);
        advance(LIFE).await;
        assert!(invalidations.open(&name(1)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn two_tokens_of_one_connection_make_it_any() {
        let invalidations = Invalidations::new(LIFE);
        for tag in [[1; 16], [1; 16], [2; 16]] {
            invalidations.add(name(1), Dropped::Token(tag));
        }
        assert_eq!(invalidations.open(&name(1)).unwrap().dropped, Dropped::Any);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_make_everything_suspect_for_a_life() {
        let invalidations = Invalidations::new(LIFE);
        for id in 0..=MAX_OPEN {
            assert!(!invalidations.trusts_nothing());
            invalidations.add(name(id), Dropped::Any);
        }
        assert_eq!(invalidations.names().len(), MAX_OPEN);
        assert!(invalidations.trusts_nothing());
        advance(LIFE).await;
        assert!(!invalidations.trusts_nothing());
    }
}
