//! Owns the way to Redis: its faults, the latency of commands and messages, and how connections end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{StreamExt, unfold};
use redis::{Cmd, RedisError, RedisFuture, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::chance;
use super::executor::{self, Process, WORLD};
use super::names::{NAMES, describe};
use super::plan::RedisFault;
use super::redis::{Mode, RedisLink, Subscriber};
use super::time::Seq;
use super::world::{World, WorldState};
use crate::core::fleet::dial::{Commands, Dial, Subscription};
use crate::core::fleet::failure::{RedisFailure, Stage};
use crate::core::fleet::scripts::replica::{Command, parse};
use crate::core::fleet::settings::Address;

/// Applies a fault to Redis.
pub fn befall(world: &Arc<World>, fault: RedisFault) {
    world.with(|state| {
        state.happens();
        match fault {
            RedisFault::Evict => evict(state),
            RedisFault::LoseWrites => state.loses_writes(),
            _ => {}
        }
        state.redis.befall(fault);
    });
    world.redis_changed.notify_waiters();
    if matches!(fault, RedisFault::FailOver | RedisFault::LoseWrites) {
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

fn evict(state: &mut WorldState) {
    let Some(key) = state.redis.store.evict(chance::below) else { return };
    state.redis.written.clear();
    let place = NAMES.get(key.split(':').take(3).collect::<Vec<_>>().join(":").as_bytes());
    let part = key.split(':').nth(3).unwrap_or("entry");
    state.time.note(|| format!("the {part} of {place:?} is evicted"));
}

/// The way of a process to Redis.
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

/// Waits until Redis answers this member.
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
    async fn reach(&self) -> Result<(), RedisFailure> {
        travel(&self.world).await;
        until_heard(&self.world, self.slot).await;
        if self.world.with(|state| state.redis.mode == Mode::Down) {
            return Err(RedisFailure::lasting("Connection refused"));
        }
        travel(&self.world).await;
        if self.world.with(|state| state.redis.mode == Mode::Down) {
            return Err(RedisFailure::passing("the connection was lost"));
        }
        Ok(())
    }
}

impl Dial for Wire {
    fn connect<'a>(
        &'a self,
        _: Option<Address>,
        _: &'a Stage,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, RedisFailure>> {
        async move {
            self.reach().await?;
            let (world, process, slot) = (Arc::clone(&self.world), self.process, self.slot);
            let link = world.with(|state| {
                state.time.note(|| format!("process {process} connects to Redis"));
                state.redis.links.push(RedisLink { is_gone: false });
                state.redis.links.len() - 1
            });
            let (commands, mut queue) = mpsc::unbounded_channel::<(Sent, oneshot::Sender<_>)>();
            let served = Arc::clone(&world);
            // Redis runs a command that was sent, even if its caller has left.
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
    ) -> BoxFuture<'a, Result<Subscription, RedisFailure>> {
        async move {
            self.reach().await?;
            if self.world.with(|state| state.redis.is_deaf) {
                return Err(RedisFailure::lasting("no permission for the channel"));
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
            Ok(Subscription { messages: messages.boxed(), ping: Box::new(move || pings.ping()) })
        }
        .boxed()
    }
}

impl Commands for Connected {
    fn send<'a>(&'a self, command: &'a Cmd) -> BoxFuture<'a, Result<Value, RedisFailure>> {
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
            let value = answer.await.map_err(|_| reset())?.extract_error()?;
            travel(&self.world).await;
            let is_gone = self.world.with(|state| state.redis.links[self.link].is_gone);
            if is_gone { Err(reset().into()) } else { Ok(value) }
        }
        .boxed()
    }
}

impl Heartbeats {
    fn ping(&self) -> RedisFuture<'static, ()> {
        let (world, slot, subscriber) = (Arc::clone(&self.world), self.slot, self.subscriber);
        async move {
            travel(&world).await;
            until_heard(&world, slot).await;
            let due = world.with(|state| {
                let latency = state.redis.latency();
                let subscriber = &mut state.redis.subscribers[subscriber];
                subscriber.last_due = subscriber.last_due.max(Instant::now() + latency);
                subscriber.messages.is_some().then_some(subscriber.last_due)
            });
            let Some(due) = due else { return Err(reset()) };
            until(due).await;
            until_heard(&world, slot).await;
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
