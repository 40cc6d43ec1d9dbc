//! Owns the Redis of a world: its health, its connections and its subscribers.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::chance;
use super::executor::Process;
use super::names::KEYS;
use super::plan::RedisFault;
use super::platform::Which;
use super::time::Seq;
use crate::core::fleet::scripts::replica::Store;

/// A replica has all writes but those of this time, at most.
const LAG: Duration = Duration::from_secs(1);

/// The health of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Up,
    Down,
    Frozen,
    ReadOnly,
}

/// The Redis of a world.
pub struct SimulatedRedis {
    pub mode: Mode,
    pub is_slow: bool,
    pub is_deaf: bool,
    /// Members that cannot reach it.
    pub cut: Vec<usize>,
    pub store: Store,
    /// The keys before each of the last writes, where such writes may be lost.
    before_writes: Option<VecDeque<(Instant, Store)>>,
    pub written: FxHashMap<Which, (Seq, Instant)>,
    /// The process that holds a lock, by the lock's id.
    pub holders: FxHashMap<Vec<u8>, Process>,
    /// The last time at which it was not well.
    pub trouble: Option<Instant>,
    /// The last time at which subscriptions ended.
    pub dropped: Option<Instant>,
    /// Since when it answers no member.
    pub dead_since: Option<Instant>,
    pub links: Vec<RedisLink>,
    pub subscribers: Vec<Subscriber>,
}

pub struct RedisLink {
    pub is_gone: bool,
}

pub struct Subscriber {
    pub channel: Vec<u8>,
    /// Messages arrive in the order in which they are sent.
    pub last_due: Instant,
    pub messages: Option<mpsc::UnboundedSender<(Instant, Vec<u8>)>>,
}

impl SimulatedRedis {
    pub fn new(may_lose_writes: bool) -> Self {
        Self {
            mode: Mode::Up,
            is_slow: false,
            is_deaf: false,
            cut: Vec::new(),
            store: Store::default(),
            before_writes: may_lose_writes.then(VecDeque::new),
            written: FxHashMap::default(),
            holders: FxHashMap::default(),
            trouble: None,
            dropped: None,
            dead_since: None,
            links: Vec::new(),
            subscribers: Vec::new(),
        }
    }

    /// Applies a fault.
    pub fn befall(&mut self, fault: RedisFault) {
        match fault {
            RedisFault::Heal => {
                (self.mode, self.is_slow, self.is_deaf) = (Mode::Up, false, false);
                self.cut.clear();
            }
            RedisFault::Down | RedisFault::FailOver | RedisFault::LoseWrites => self.mode = Mode::Down,
            RedisFault::Frozen => self.mode = Mode::Frozen,
            RedisFault::ReadOnly => self.mode = Mode::ReadOnly,
            RedisFault::Slow => self.is_slow = true,
            RedisFault::Cut(slot) => self.cut.push(slot),
            RedisFault::DropConnections => self.drop_connections(),
            RedisFault::DropSubscriptions => self.drop_subscriptions(),
            RedisFault::Deaf => {
                self.is_deaf = true;
                self.drop_subscriptions();
            }
            RedisFault::LoseData => {
                self.store.clear();
                self.written.clear();
            }
            RedisFault::Evict => {}
        }
        if self.mode == Mode::Down {
            self.drop_subscriptions();
            self.drop_connections();
        }
        if !matches!(fault, RedisFault::DropSubscriptions | RedisFault::LoseData | RedisFault::Evict) {
            self.trouble = Some(Instant::now());
        }
        let is_dead = matches!(self.mode, Mode::Down | Mode::Frozen);
        self.dead_since = self.dead_since.or(Some(Instant::now())).filter(|_| is_dead);
    }

    /// A command is about to run.
    pub fn writes(&mut self) {
        let Some(before) = &mut self.before_writes else { return };
        while before.pop_front_if(|(at, _)| at.elapsed() > LAG).is_some() {}
        before.push_back((Instant::now(), self.store.clone()));
    }

    /// Loses the last writes. Returns the time of the first that is lost.
    pub fn lose_writes(&mut self) -> Option<Instant> {
        let lag = Duration::from_millis(chance::between(1, LAG.as_millis() as u64));
        let mut before = self.before_writes.as_mut()?.drain(..);
        let (since, store) = before.find(|(at, _)| at.elapsed() <= lag)?;
        drop(before);
        self.store = store;
        self.written.clear();
        Some(since)
    }

    /// Whether it has been well for so long.
    pub fn was_calm_for(&self, time: Duration) -> bool {
        let is_well = self.mode == Mode::Up && !self.is_slow && !self.is_deaf && self.cut.is_empty();
        is_well && self.trouble.is_none_or(|last| last.elapsed() > time)
    }

    /// Whether it has been well for so long, and no subscription ended.
    pub fn was_in_touch_for(&self, time: Duration) -> bool {
        self.was_calm_for(time) && self.dropped.is_none_or(|last| last.elapsed() > time)
    }

    /// The time until an entry expires.
    pub fn left(&self, which: Which) -> Duration {
        KEYS[which].as_ref().map_or(Duration::ZERO, |key| self.store.left(key))
    }

    /// For how long it has answered no member.
    pub fn dead_for(&self) -> Option<Duration> {
        self.dead_since.map(|since| since.elapsed())
    }

    pub fn latency(&self) -> Duration {
        Duration::from_millis(if self.is_slow {
            chance::between(8, 60)
        } else if chance::percent(60) {
            0
        } else {
            chance::between(1, 2)
        })
    }

    pub fn publish(&mut self, channel: &[u8], message: &[u8]) {
        let now = Instant::now();
        let latency: Vec<_> = self.subscribers.iter().map(|_| self.latency()).collect();
        for (subscriber, latency) in self.subscribers.iter_mut().zip(latency) {
            if subscriber.channel == channel
                && let Some(messages) = &subscriber.messages
            {
                subscriber.last_due = subscriber.last_due.max(now + latency);
                let _ = messages.send((subscriber.last_due, message.to_vec()));
            }
        }
    }

    fn drop_subscriptions(&mut self) {
        self.dropped = Some(Instant::now());
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.messages = None);
    }

    fn drop_connections(&mut self) {
        self.links.iter_mut().for_each(|link| link.is_gone = true);
    }

    pub fn is_silent(&self, slot: usize) -> bool {
        self.mode == Mode::Frozen || self.cut.contains(&slot)
    }
}
