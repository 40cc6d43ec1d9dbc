//! Owns this member's subscription to the channel, with its heartbeat: invalidates what the others invalidate, and wakes those
//! who wait for another member.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::select;
use redis::RedisFuture;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::task::unconstrained;
use tokio::time::{sleep, timeout};

use super::crypto::Name;
use super::dial::Subscription;
use super::failure::RedisFailure;
use super::message::{Event, Message, Sender};
use super::redis_client::RedisClient;
use crate::core::clock::Clock;
use crate::core::stats::{FleetError, FleetErrorSource, FleetStats};
use crate::core::tokens::validity::Validity;

/// Between two heartbeats, by which a member notices that it has lost its subscription.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(250);
/// Between attempts to subscribe: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const SLOTS: usize = 256;

pub struct Channel {
    pub redis: Arc<RedisClient>,
    pub name: String,
    /// This member.
    pub sender: Sender,
    /// Receives what the others invalidate.
    pub validity: Arc<Validity>,
    /// Receives the reason why there is no subscription.
    pub stats: Arc<FleetStats>,
    pub waiters: Box<[Notify]>,
    pub heartbeat_timeout: Duration,
    pub clock: Clock,
    /// Yields numbers from 0 up to 1.
    pub jitter: fn() -> f64,
}

/// Those who wait for a message about a connection, by slot: waiters that share a slot wake each other in vain.
pub fn no_waiters() -> Box<[Notify]> {
    (0..SLOTS).map(|_| Notify::new()).collect()
}

impl Channel {
    pub fn notified(&self, name: &Name) -> Notified<'_> {
        self.waiters_of(name).notified()
    }

    fn waiters_of(&self, name: &Name) -> &Notify {
        &self.waiters[name.prefix() as usize % SLOTS]
    }

    /// Stays subscribed, and subscribes again when the subscription is lost.
    pub async fn listen(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = self.clock.now().boot;
            match self.redis.subscribe(&self.name).await {
                Ok(subscription) => {
                    // This member may have missed messages before now.
                    self.validity.invalidate_all();
                    self.validity.heartbeat(asked);
                    self.stats.forget_error(FleetErrorSource::Subscription);
                    if self.follow(subscription).await {
                        pause = FIRST_PAUSE;
                    }
                    self.validity.mark_disconnected();
                }
                Err(RedisFailure { reason, .. }) => {
                    let at = self.clock.now().wall;
                    self.stats.note_error(FleetErrorSource::Subscription, FleetError { reason, at });
                }
            }
            sleep(pause.mul_f64(0.5 + (self.jitter)() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Reads messages until the subscription is lost. Returns `true` if it had a heartbeat.
    async fn follow(&self, Subscription { mut messages, ping }: Subscription) -> bool {
        let mut had_heartbeat = false;
        {
            // Messages go first, so that a heartbeat counts after those that came before it.
            let read = pin!(async {
                // The library's queue of messages has no bound, so each turn empties it, however much a server sends.
                while let Some(message) = unconstrained(messages.next()).await {
                    self.receive(Message::parse(&message));
                }
            });
            let heartbeats = pin!(self.heartbeats(ping, &mut had_heartbeat));
            select(read, heartbeats).await;
        }
        had_heartbeat
    }

    async fn heartbeats(
        &self,
        mut ping: Box<dyn FnMut() -> RedisFuture<'static, ()> + Send>,
        had_heartbeat: &mut bool,
    ) {
        loop {
            sleep(HEARTBEAT_INTERVAL).await;
            let asked = self.clock.now().boot;
            let answer = timeout(self.heartbeat_timeout, ping()).await;
            if !matches!(answer, Ok(Ok(_))) {
                return;
            }
            self.validity.heartbeat(asked);
            *had_heartbeat = true;
        }
    }

    fn receive(&self, message: Option<Message>) {
        let Some(Message { event, sender, names }) = message else { return };
        // This member has discarded what it invalidates before it publishes that.
        let is_news = sender != self.sender;
        match event {
            Event::Invalidated if is_news => {
                names.iter().for_each(|name| self.validity.invalidate(name.prefix()))
            }
            Event::AllInvalidated if is_news => self.validity.invalidate_all(),
            _ => {}
        }
        for name in &names {
            self.waiters_of(name).notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
