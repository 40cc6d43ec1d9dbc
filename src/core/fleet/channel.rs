//! Owns the channel of Redis over which members of the fleet notify each other: the messages, the subscription with its
//! heartbeat, and the wake-up of those who wait for another member. A message reveals no owner and no token.

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

/// Names a member.
pub type Sender = [u8; 16];

/// What has happened to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// Discard these connections.
    Invalidated = b'i',
    /// Discard every connection that was fetched until now.
    AllInvalidated = b'a',
    /// The fetch of these connections has ended.
    Fetched = b'f',
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    event: Event,
    sender: Sender,
    names: Vec<Name>,
}

/// This member's side of the channel.
pub struct Channel {
    pub redis: Arc<RedisClient>,
    /// The channel's name in Redis.
    pub name: String,
    /// This member.
    pub sender: Sender,
    /// Receives what the others invalidate.
    pub validity: Arc<Validity>,
    /// Receives the reason why there is no subscription.
    pub stats: Arc<FleetStats>,
    pub waiters: Waiters,
    /// The limit of one heartbeat.
    pub heartbeat_timeout: Duration,
    pub clock: Clock,
    /// Yields numbers from 0 up to 1.
    pub jitter: fn() -> f64,
}

/// Those who wait for a message about a connection, by slot: waiters that share a slot wake each other in vain.
pub struct Waiters(Box<[Notify]>);

impl Default for Waiters {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| Notify::new()).collect())
    }
}

impl Waiters {
    fn slot(&self, name: &Name) -> &Notify {
        &self.0[name.prefix() as usize % SLOTS]
    }
}

impl Channel {
    /// A message of this member, to which Redis may append more names.
    pub fn message(&self, event: Event, names: &[Name]) -> Vec<u8> {
        Message { event, sender: self.sender, names: names.to_vec() }.bytes()
    }

    /// Waits for a message about a connection.
    pub fn notified(&self, name: &Name) -> Notified<'_> {
        self.waiters.slot(name).notified()
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
            self.waiters.slot(name).notify_waiters();
        }
    }
}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [&[self.event as u8], &self.sender[..]].concat();
        self.names.iter().for_each(|name| bytes.extend(name.bytes()));
        bytes
    }

    /// Returns `None` for anything else, since others may write to the channel.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        let mut events = [Event::Invalidated, Event::AllInvalidated, Event::Fetched].into_iter();
        let event = events.find(|event| *event as u8 == *first)?;
        let (sender, names) = rest.split_first_chunk()?;
        let names = names.chunks(Name::LENGTH).map(Name::parse).collect::<Option<_>>()?;
        Some(Self { event, sender: *sender, names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_nothing_else_is() {
        let names = [7, 8].map(|byte| Name::parse(&[byte; 32]).unwrap());
        for event in [Event::Invalidated, Event::AllInvalidated, Event::Fetched] {
            for count in 0..=names.len() {
                let message = Message { event, sender: [1; 16], names: names[..count].to_vec() };
                assert_eq!(Message::parse(&message.bytes()), Some(message.clone()));
                assert_eq!(Message::parse(&[&message.bytes()[..], b"x"].concat()), None);
            }
        }
        for strange in [&b""[..], b"i", b"hello", &[b'x'; 49], &[b'i'; 48], &[b'i'; 16]] {
            assert_eq!(Message::parse(strange), None);
        }
    }
}
