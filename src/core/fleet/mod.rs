//! The second level of the cache: what the processes of a fleet store in a Redis for each other, around the source that each
//! of them fetches from. No call fails because of Redis: whatever goes wrong there, the fetch goes on without it.
//!
//! The protocol of one fetch:
//!
//! 1. **Flush**: pending invalidations of this connection go to Redis first (`outbox`).
//! 2. **Lookup**: one script reads the entry, or acquires the lock in the same step and returns the fencing token, which
//!    changes with each invalidation (`scripts`). A member that finds the lock held waits for a message, or reads again
//!    (`fetch`).
//! 3. **Fetch**: the holder asks the source, and renews the lock meanwhile; its guard releases the lock if the fetch is dropped.
//! 4. **Write**: one script writes the entry, sealed (`crypto`), if the fencing token is still the same, releases the lock,
//!    and notifies the waiting members.
//! 5. **Invalidate**: an invalidation drops the entry in Redis, begins a fencing token, and goes to all members over the
//!    channel (`channel`), which pushes it into the `Validity` that the cache of each process reads.
//!
//! `settings` → where Redis is; `dial`, `nodes` → how it is reached; `redis_connection`, `bounded` → one connection, and the bound
//! on its replies; `redis_client` → which connection a command takes; `breaker`, `failure` → when Redis is bypassed, and why;
//! `message` → how members notify each other; `membership` → whether this member may read; `tasks` → how it starts tasks.

mod bounded;
mod breaker;
mod channel;
pub mod crypto;
pub mod dial;
pub mod failure;
mod fetch;
mod membership;
mod message;
pub mod nodes;
pub mod outbox;
mod redis_client;
mod redis_connection;
#[cfg(test)]
mod rig;
pub mod scripts;
pub mod settings;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::breaker::Breaker;
use self::channel::{Channel, no_waiters};
use self::crypto::{FleetKeys, MIN_SECRET_BYTES, Name};
use self::dial::Dial;
use self::fetch::Member;
use self::membership::Membership;
use self::outbox::Outbox;
use self::redis_client::RedisClient;
use self::scripts::Scripts;
use self::settings::RedisSettings;
use self::tasks::{Tasks, TasksOwner};
use crate::core::clock::Clock;
use crate::core::error::Error;
use crate::core::source::{Fetch, Fetched, TokenSource};
use crate::core::spawn::Spawn;
use crate::core::stats::FleetStats;
use crate::core::tokens::key::ConnectionKey;
use crate::core::tokens::validity::{Validity, Version};

/// What a fleet runs on. Tests pass another one in.
pub struct FleetEnvironment {
    pub dialer: Box<dyn Dial>,
    pub spawn: Spawn,
    /// Connections that the outbox holds one by one.
    pub max_pending: usize,
}

/// What a fleet is built from, apart from its settings.
pub struct FleetParts<'a> {
    pub environment: FleetEnvironment,
    pub secret_key: &'a str,
    pub publishable_key: &'a str,
    /// The URL of a connection at the platform, from which its name in Redis is made.
    pub url_of: Box<dyn Fn(&ConnectionKey) -> String + Send + Sync>,
    pub connect_timeout: Duration,
    /// The longest wait for another process.
    pub patience: Duration,
    pub ttl: Duration,
    /// Receives what the others invalidate.
    pub validity: Arc<Validity>,
    pub stats: Arc<FleetStats>,
    pub clock: Clock,
    pub jitter: fn() -> f64,
}

/// This process as a member of its fleet, around the source that it fetches from. Its tasks end when it is dropped.
pub struct Fleet<S> {
    source: S,
    url_of: Box<dyn Fn(&ConnectionKey) -> String + Send + Sync>,
    member: Arc<Member>,
    _owner: TasksOwner,
}

impl<S: TokenSource> Fleet<S> {
    /// Connects to nothing and starts nothing yet.
    pub fn new(source: S, settings: &RedisSettings, parts: FleetParts<'_>) -> Result<Self, Error> {
        let keys = Arc::new(derive_keys(settings, &parts)?);
        let sender = keys.random().ok_or_else(Error::internal)?;
        let FleetParts { environment, connect_timeout, validity, stats, clock, jitter, .. } = parts;
        let FleetEnvironment { dialer, spawn, max_pending } = environment;
        let (owner, tasks) = Tasks::new(spawn);
        let redis = Arc::new(RedisClient::new(dialer, tasks.clone(), settings, connect_timeout));
        let breaker = Breaker::new(Arc::clone(&redis), tasks.clone(), Arc::clone(&stats), clock.clone());
        let scripts = Scripts::new(Arc::new(breaker), &settings.key_prefix, &keys.namespace(), sender);
        let scripts = Arc::new(scripts);
        let channel = Arc::new(Channel {
            redis,
            name: scripts.channel.clone(),
            sender,
            validity,
            stats: Arc::clone(&stats),
            waiters: no_waiters(),
            heartbeat_timeout: connect_timeout,
            clock: clock.clone(),
            jitter,
        });
        let outbox = Outbox::new(Arc::clone(&keys), Arc::clone(&scripts), tasks.clone(), max_pending);
        let member = Arc::new(Member {
            keys,
            scripts,
            channel,
            outbox: Arc::new(outbox),
            tasks,
            stats,
            clock,
            jitter,
            patience: parts.patience,
            ttl: parts.ttl,
            membership: Membership::default(),
            is_started: AtomicBool::new(false),
        });
        Ok(Self { source, url_of: parts.url_of, member, _owner: owner })
    }

    fn name(&self, key: &ConnectionKey) -> Name {
        self.member.keys.name(key.kind, &(self.url_of)(key))
    }
}

fn derive_keys(settings: &RedisSettings, parts: &FleetParts<'_>) -> Result<FleetKeys, Error> {
    let secret = settings.encryption_key.as_ref().map_or(parts.secret_key, |key| key.expose());
    if secret.len() < MIN_SECRET_BYTES {
        let problem = "is needed, since the secret key is too short to derive keys from: set 32 random bytes";
        return Err(Error::option("cache.encryptionKey", problem));
    }
    FleetKeys::derive(secret.as_bytes(), parts.publishable_key)
}

impl<S: TokenSource> TokenSource for Fleet<S> {
    fn version(&self, key: &ConnectionKey, now: Duration) -> Version {
        self.member.channel.validity.version(self.name(key).prefix(), now)
    }

    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Fetched, Error>> {
        async move {
            self.member.start();
            self.member.fetch(self.name(&fetch.key), fetch, &self.source).await
        }
        .boxed()
    }

    fn invalidate(&self, keys: &[ConnectionKey], rejected: Option<&str>) -> Option<BoxFuture<'static, ()>> {
        let member = Arc::clone(&self.member);
        let tagged = |key| {
            let name = self.name(key);
            (name, rejected.map(|token| member.keys.tag(&name, token)))
        };
        let event: Vec<_> = keys.iter().map(tagged).collect();
        member.outbox.add(&event);
        let flush = member.outbox.flush_added()?;
        Some(
            async move {
                member.start();
                flush.await;
            }
            .boxed(),
        )
    }
}

#[cfg(test)]
mod tests;
