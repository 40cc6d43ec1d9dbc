//! Owns the connections to Redis: how long they take, and how they end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{StreamExt, unfold};
use redis::{Cmd, RedisError, RedisFuture, Value};
use rustc_hash::FxHashMap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::chance;
use super::executor::{self, Process, WORLD};
use super::plan::RedisFault;
use super::platform::Which;
use super::redis::{Command, KEYS, Mode, NAMES, Store, describe, parse};
use super::world::{Seq, World};
use crate::core::fleet::dialer::{Commands, Dial, Pings, Subscription};
use crate::core::fleet::failure::{Failure, Stage};
use crate::core::fleet::settings::Address;

/// Redis, and who is connected to it.
pub struct Redis {
    pub mode: Mode,
    pub is_slow: bool,
    pub is_deaf: bool,
    /// Members that do not reach it.
    pub cut: Vec<usize>,
    pub store: Store,
    pub written: FxHashMap<Which, (Seq, Instant)>,
    /// Who took which lock.
    pub holders: FxHashMap<Vec<u8>, Process>,
    /// When it was not well for the last time.
    pub trouble: Option<Instant>,
    /// When subscriptions ended for the last time.
    pub dropped: Option<Instant>,
    /// Since when nobody gets anything from it.
    pub dead_since: Option<Instant>,
    links: Vec<Link>,
    subscribers: Vec<Subscriber>,
}

struct Link {
    is_gone: bool,
    ended: Option<Box<dyn FnOnce() + Send>>,
}

struct Subscriber {
    channel: Vec<u8>,
    /// Nothing that is sent later arrives earlier.
    last_due: Instant,
    messages: Option<mpsc::UnboundedSender<(Instant, Vec<u8>)>>,
}

impl Redis {
    pub fn new() -> Self {
        Self {
            mode: Mode::Up,
            is_slow: false,
            is_deaf: false,
            cut: Vec::new(),
            store: Store::default(),
            written: FxHashMap::default(),
            holders: FxHashMap::default(),
            trouble: None,
            dropped: None,
            dead_since: None,
            links: Vec::new(),
            subscribers: Vec::new(),
        }
    }

    /// Whether nothing was wrong for so long.
    pub fn was_calm_for(&self, time: Duration) -> bool {
        let is_well = self.mode == Mode::Up && !self.is_slow && !self.is_deaf && self.cut.is_empty();
        is_well && self.trouble.is_none_or(|last| last.elapsed() > time)
    }

    /// Whether nothing was wrong for so long, and no subscription ended.
    pub fn was_in_touch_for(&self, time: Duration) -> bool {
        self.was_calm_for(time) && self.dropped.is_none_or(|last| last.elapsed() > time)
    }

    /// How long an entry will stay.
    pub fn left(&self, which: Which) -> Duration {
        KEYS[which].as_ref().map_or(Duration::ZERO, |key| self.store.left(key))
    }

    /// Since when a member gets nothing from it.
    pub fn dead_for(&self) -> Option<Duration> {
        self.dead_since.map(|since| since.elapsed())
    }

    fn latency(&self) -> Duration {
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

    /// What has to be told that its connection ended.
    fn drop_connections(&mut self) -> Vec<Box<dyn FnOnce() + Send>> {
        let gone = |link: &mut Link| {
            link.is_gone = true;
            link.ended.take()
        };
        self.links.iter_mut().filter_map(gone).collect()
    }

    fn is_silent(&self, slot: usize) -> bool {
        self.mode == Mode::Frozen || self.cut.contains(&slot)
    }
}

/// Something happens to Redis.
pub fn befall(world: &Arc<World>, fault: RedisFault) {
    let ended = world.with(|state| {
        state.happens();
        let redis = &mut state.redis;
        let mut ended = Vec::new();
        match fault {
            RedisFault::Heal => {
                (redis.mode, redis.is_slow, redis.is_deaf) = (Mode::Up, false, false);
                redis.cut.clear();
            }
            RedisFault::Down => redis.mode = Mode::Down,
            RedisFault::Frozen => redis.mode = Mode::Frozen,
            RedisFault::ReadOnly => redis.mode = Mode::ReadOnly,
            RedisFault::Slow => redis.is_slow = true,
            RedisFault::Cut(slot) => redis.cut.push(slot),
            RedisFault::FailOver => redis.mode = Mode::Down,
            RedisFault::DropConnections => ended = redis.drop_connections(),
            RedisFault::DropSubscriptions => redis.drop_subscriptions(),
            RedisFault::Deaf => {
                redis.is_deaf = true;
                redis.drop_subscriptions();
            }
            RedisFault::LoseData => {
                redis.store.clear();
                redis.written.clear();
            }
            RedisFault::Evict => {
                let key = redis.store.evict();
                redis.written.clear();
                state.time.note(|| {
                    let place = key.as_ref().and_then(|key| {
                        let name = key.split(':').take(3).collect::<Vec<_>>().join(":");
                        NAMES.get(name.as_bytes())
                    });
                    let part = key.as_ref().and_then(|key| key.split(':').nth(3)).unwrap_or("entry");
                    format!("the {part} of {place:?} is evicted")
                });
            }
        }
        let redis = &mut state.redis;
        if redis.mode == Mode::Down {
            redis.drop_subscriptions();
            ended = redis.drop_connections();
        }
        if !matches!(fault, RedisFault::DropSubscriptions | RedisFault::LoseData | RedisFault::Evict) {
            redis.trouble = Some(Instant::now());
        }
        let is_dead = matches!(redis.mode, Mode::Down | Mode::Frozen);
        redis.dead_since = redis.dead_since.or(Some(Instant::now())).filter(|_| is_dead);
        ended
    });
    ended.into_iter().for_each(|ended| ended());
    world.redis_changed.notify_waiters();
    if fault == RedisFault::FailOver {
        let world = Arc::clone(world);
        executor::spawn(WORLD, async move {
            sleep(Duration::from_millis(chance::between(50, 2_000))).await;
            world.with(|state| {
                if state.redis.mode == Mode::Down {
                    (state.redis.mode, state.redis.dead_since) = (Mode::Up, None);
                    state.redis.trouble = Some(Instant::now());
                }
            });
            world.redis_changed.notify_waiters();
        });
    }
}

/// What connects a process to Redis.
pub struct Wire {
    pub world: Arc<World>,
    pub process: Process,
    pub slot: usize,
}

/// One connection for commands.
struct Connected {
    world: Arc<World>,
    process: Process,
    link: usize,
    commands: mpsc::UnboundedSender<(Sent, oneshot::Sender<Value>)>,
}

/// A command on its way.
struct Sent {
    seq: Seq,
    due: Instant,
    command: Command,
}

/// Pings of one subscription.
struct Heartbeats {
    world: Arc<World>,
    slot: usize,
    subscriber: usize,
}

/// Until Redis, as this member sees it, says something.
async fn until_heard(world: &World, slot: usize) {
    loop {
        let changed = world.redis_changed.notified();
        if !world.with(|state| state.redis.is_silent(slot)) {
            return;
        }
        changed.await;
    }
}

async fn until(due: Instant) {
    if due > Instant::now() {
        sleep_until(due).await;
    }
}

async fn travel(world: &World) {
    let latency = world.with(|state| state.redis.latency());
    if latency.is_zero() {
        executor::step_aside().await;
    } else {
        sleep(latency).await;
    }
}

fn reset() -> RedisError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

impl Wire {
    async fn reach(&self) -> Result<(), Failure> {
        travel(&self.world).await;
        until_heard(&self.world, self.slot).await;
        if self.world.with(|state| state.redis.mode == Mode::Down) {
            return Err(Failure::lasting("Connection refused"));
        }
        travel(&self.world).await;
        if self.world.with(|state| state.redis.mode == Mode::Down) {
            return Err(Failure::passing("the connection was lost"));
        }
        Ok(())
    }
}

impl Dial for Wire {
    fn connect<'a>(
        &'a self,
        _: Option<Address>,
        _: &'a Stage,
        ended: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, Failure>> {
        async move {
            self.reach().await?;
            let (world, process, slot) = (Arc::clone(&self.world), self.process, self.slot);
            let link = world.with(|state| {
                state.time.note(|| format!("process {process} connects to Redis"));
                state.redis.links.push(Link { is_gone: false, ended: Some(ended) });
                state.redis.links.len() - 1
            });
            let (commands, mut queue) = mpsc::unbounded_channel::<(Sent, oneshot::Sender<_>)>();
            let served = Arc::clone(&world);
            // What was sent is run, whether or not somebody still waits for it.
            executor::spawn(WORLD, async move {
                while let Some((sent, reply)) = queue.recv().await {
                    until(sent.due).await;
                    until_heard(&served, slot).await;
                    if served.with(|state| state.redis.links[link].is_gone) {
                        return;
                    }
                    let _ = reply.send(served.with(|state| state.execute(process, sent.seq, &sent.command)));
                }
            });
            Ok(Arc::new(Connected { world, process, link, commands }) as Arc<dyn Commands>)
        }
        .boxed()
    }

    fn subscribe<'a>(
        &'a self,
        _: Option<Address>,
        channel: &'a str,
        _: &'a Stage,
    ) -> BoxFuture<'a, Result<Subscription, Failure>> {
        async move {
            self.reach().await?;
            if self.world.with(|state| state.redis.is_deaf) {
                return Err(Failure::lasting("no permission for the channel"));
            }
            let (messages, queue) = mpsc::unbounded_channel();
            let (world, process, slot) = (Arc::clone(&self.world), self.process, self.slot);
            let subscriber = world.with(|state| {
                state.time.note(|| format!("process {process} subscribes"));
                let (channel, last_due) = (channel.as_bytes().to_vec(), Instant::now());
                let messages = Some(messages);
                state.redis.subscribers.push(Subscriber { channel, last_due, messages });
                state.redis.subscribers.len() - 1
            });
            travel(&world).await;
            world.with(|state| state.heard(process, None));
            let pings = Heartbeats { world: Arc::clone(&world), slot, subscriber };
            let messages = unfold((world, queue), move |(world, mut queue)| async move {
                let (due, message) = queue.recv().await?;
                until(due).await;
                until_heard(&world, slot).await;
                world.with(|state| state.heard(process, Some(&message)));
                Some((message, (world, queue)))
            });
            Ok(Subscription { messages: messages.boxed(), pings: Box::new(pings) })
        }
        .boxed()
    }
}

impl Commands for Connected {
    fn send<'a>(&'a self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let command = parse(command);
        let (seq, latency) = self.world.with(|state| {
            state.happens();
            let process = self.process;
            state.time.note(|| format!("process {process} sends {} to Redis", describe(&command)));
            (state.time.next(), state.redis.latency())
        });
        let due = Instant::now() + latency;
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send((Sent { seq, due, command }, reply));
        async move {
            let value = answer.await.map_err(|_| reset())?;
            travel(&self.world).await;
            let is_gone = self.world.with(|state| state.redis.links[self.link].is_gone);
            if is_gone { Err(reset()) } else { Ok(value) }
        }
        .boxed()
    }
}

impl Pings for Heartbeats {
    fn ping(&mut self) -> RedisFuture<'_, ()> {
        async move {
            travel(&self.world).await;
            until_heard(&self.world, self.slot).await;
            let due = self.world.with(|state| {
                let latency = state.redis.latency();
                let subscriber = &mut state.redis.subscribers[self.subscriber];
                subscriber.last_due = subscriber.last_due.max(Instant::now() + latency);
                subscriber.messages.is_some().then_some(subscriber.last_due)
            });
            let Some(due) = due else { return Err(reset()) };
            until(due).await;
            until_heard(&self.world, self.slot).await;
            Ok(())
        }
        .boxed()
    }
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.world.with(|state| state.redis.subscribers[self.subscriber].messages = None);
    }
}
