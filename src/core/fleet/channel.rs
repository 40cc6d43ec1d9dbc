//! Owns what members of the fleet tell each other over a channel of Redis: the messages, the subscription with its
//! heartbeat, and the wake-up of those who wait for another member. In a message nothing can be read.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::select;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::task::unconstrained;
use tokio::time::{sleep, timeout};

use super::crypto::Name;
use super::dialer::{Pings, Subscription};
use super::failure::Failure;
use super::redis::Redis;
use crate::core::clock::Clock;
use crate::core::stats::{FleetError, FleetErrorSource, FleetStats};
use crate::core::tokens::validity::Validity;

/// Redis is asked for a heartbeat so often; whoever is subscribed notices a lost connection by that.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(250);
/// Between attempts to subscribe: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Those who wait are woken by slot: a few who share one look in vain.
const SLOTS: usize = 256;

/// Names a member.
pub type Sender = [u8; 16];

/// What one member tells the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// What was kept of these connections is of no use any more.
    Invalidated,
    /// What was fetched until now is of no use any more, whatever the connection.
    AllInvalidated,
    /// Whoever fetched these connections is done.
    Fetched,
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
    redis: Arc<Redis>,
    name: String,
    sender: Sender,
    validity: Arc<Validity>,
    stats: Arc<FleetStats>,
    waiting: Box<[Notify]>,
    heartbeat_timeout: Duration,
    clock: Clock,
    jitter: fn() -> f64,
}

impl fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Channel")
    }
}

/// What a channel is made of.
pub struct Parts {
    /// Where it is.
    pub redis: Arc<Redis>,
    /// What it is called there.
    pub name: String,
    /// This member.
    pub sender: Sender,
    /// Told what the others invalidate.
    pub validity: Arc<Validity>,
    /// Told why there is no subscription.
    pub stats: Arc<FleetStats>,
    /// How long a heartbeat may take.
    pub heartbeat_timeout: Duration,
    /// What time it is.
    pub clock: Clock,
    /// Yields numbers from 0 up to 1.
    pub jitter: fn() -> f64,
}

impl Channel {
    /// Not subscribed yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { redis, name, sender, validity, stats, heartbeat_timeout, clock, jitter } = parts;
        let waiting = (0..SLOTS).map(|_| Notify::new()).collect();
        Self { redis, name, sender, validity, stats, waiting, heartbeat_timeout, clock, jitter }
    }

    /// A message of this member, as Redis passes it on. More names may follow.
    pub fn message(&self, event: Event, names: &[Name]) -> Vec<u8> {
        Message { event, sender: self.sender, names: names.to_vec() }.bytes()
    }

    /// Waits for a message about a connection.
    pub fn notified(&self, name: &Name) -> Notified<'_> {
        self.slot(name).notified()
    }

    /// Stays subscribed, and starts over when the subscription is lost.
    pub async fn listen(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = self.clock.now().boot;
            match self.redis.subscribe(&self.name).await {
                Ok(subscription) => {
                    // Before now, something may have been missed.
                    self.validity.invalidate_all();
                    self.validity.heartbeat(asked);
                    self.stats.forget_error(FleetErrorSource::Subscription);
                    if self.follow(subscription).await {
                        pause = FIRST_PAUSE;
                    }
                    self.validity.mark_disconnected();
                }
                Err(Failure { reason, .. }) => {
                    let at = self.clock.now().wall;
                    self.stats.note_error(FleetErrorSource::Subscription, FleetError { reason, at });
                }
            }
            sleep(pause.mul_f64(0.5 + (self.jitter)() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Until the subscription is lost. `true` if it was any good.
    async fn follow(&self, Subscription { mut messages, pings }: Subscription) -> bool {
        let mut had_heartbeat = false;
        {
            // First the messages, then the heartbeat that came after them.
            let read = pin!(async {
                // The library queues without a bound what arrives. Each turn empties that queue, however much a server sends.
                while let Some(message) = unconstrained(messages.next()).await {
                    self.receive(Message::parse(&message));
                }
            });
            let heartbeats = pin!(self.heartbeats(pings, &mut had_heartbeat));
            select(read, heartbeats).await;
        }
        had_heartbeat
    }

    async fn heartbeats(&self, mut pings: Box<dyn Pings>, had_heartbeat: &mut bool) {
        loop {
            sleep(HEARTBEAT_INTERVAL).await;
            let asked = self.clock.now().boot;
            let answer = timeout(self.heartbeat_timeout, pings.ping()).await;
            if !matches!(answer, Ok(Ok(_))) {
                return;
            }
            self.validity.heartbeat(asked);
            *had_heartbeat = true;
        }
    }

    fn receive(&self, message: Option<Message>) {
        let Some(Message { event, sender, names }) = message else { return };
        // What this member invalidates, it drops before it tells.
        let is_news = sender != self.sender;
        match event {
            Event::Invalidated if is_news => {
                names.iter().for_each(|name| self.validity.invalidate(name.prefix()))
            }
            Event::AllInvalidated if is_news => self.validity.invalidate_all(),
            _ => {}
        }
        for name in &names {
            self.slot(name).notify_waiters();
        }
    }

    fn slot(&self, name: &Name) -> &Notify {
        &self.waiting[name.prefix() as usize % SLOTS]
    }
}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        let event = match self.event {
            Event::Invalidated => b'i',
            Event::AllInvalidated => b'a',
            Event::Fetched => b'f',
        };
        let mut bytes = [&[event], &self.sender[..]].concat();
        self.names.iter().for_each(|name| bytes.extend(name.bytes()));
        bytes
    }

    /// `None` for what is no such message: others may write to the channel.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (event, rest) = bytes.split_first()?;
        let event = match event {
            b'i' => Event::Invalidated,
            b'a' => Event::AllInvalidated,
            b'f' => Event::Fetched,
            _ => return None,
        };
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
