//! The second level of the cache: what the processes of a fleet keep in a Redis for each other, around the source that each
//! of them fetches from. No call fails because of Redis: whatever goes wrong there, the fetch goes on without it.
//!
//! The protocol of one fetch:
//!
//! 1. **Flush**: invalidations of this connection that Redis has not been told of yet go first (`outbox`).
//! 2. **Look**: one script reads the entry, or takes the lock in the same step and gives the fencing token, which changes
//!    with each invalidation (`scripts`). Whoever finds the lock held waits for a message or looks again (`fetch`).
//! 3. **Fetch**: the holder asks the source, and renews the lock meanwhile; its guard gives the lock back if the fetch is
//!    dropped.
//! 4. **Write**: one script writes the entry, sealed (`crypto`), if the fencing token is still the same, gives the lock
//!    back, and tells those who wait.
//! 5. **Invalidate**: what is invalidated anywhere is dropped in Redis with a new fencing token, and told to all over the
//!    channel (`channel`), which pushes it into the `Validity` that the cache of each process reads.
//!
//! `settings` → where Redis is; `redis`, `dialer`, `nodes` → the connections to it; `breaker`, `failure` → when it is left alone, and
//! why; `tasks` → what runs in the background.

mod bounded;
mod breaker;
mod channel;
pub mod crypto;
pub mod dialer;
pub mod failure;
mod fetch;
mod membership;
mod nodes;
mod outbox;
mod redis;
pub mod scripts;
pub mod settings;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::breaker::Breaker;
use self::channel::Channel;
use self::crypto::{Keys, MIN_SECRET_BYTES, Name};
use self::dialer::{Dial, Dialer};
use self::fetch::Fetcher;
use self::membership::Membership;
use self::outbox::{MAX_OPEN, Outbox, Queue};
use self::redis::Redis;
use self::scripts::Scripts;
use self::settings::Settings;
use self::tasks::{Tasks, TasksOwner};
use crate::core::clock::Clock;
use crate::core::error::Error;
use crate::core::source::{Fetch, Fetched, TokenSource};
use crate::core::spawn::{Spawn, on_runtime};
use crate::core::stats::FleetStats;
use crate::core::tokens::key::ConnectionKey;
use crate::core::tokens::validity::{Validity, Version};

/// What a fleet runs on. Tests pass another one in.
pub struct Environment {
    pub dialer: Box<dyn Dial>,
    pub spawn: Spawn,
    /// Invalidations that are remembered one by one.
    pub max_open: usize,
}

impl Environment {
    /// The runtime of the process.
    pub fn new(dialer: Dialer) -> Self {
        Self { dialer: Box::new(dialer), spawn: on_runtime, max_open: MAX_OPEN }
    }
}

/// What a fleet is built from, apart from its settings.
pub struct Parts<'a> {
    pub environment: Environment,
    pub secret_key: &'a str,
    pub publishable_key: &'a str,
    /// The URL of a connection at the platform, which its name in Redis is made of.
    pub url_of: Box<dyn Fn(&ConnectionKey) -> String + Send + Sync>,
    pub connect_timeout: Duration,
    /// The longest that another process is waited for.
    pub patience: Duration,
    pub ttl: Duration,
    /// Told what the others invalidate.
    pub validity: Arc<Validity>,
    pub stats: Arc<FleetStats>,
    pub clock: Clock,
    pub jitter: fn() -> f64,
}

/// This process as a member of its fleet, around the source that it fetches from. Its tasks end when it is dropped.
pub struct Fleet<S> {
    source: S,
    keys: Arc<Keys>,
    url_of: Box<dyn Fn(&ConnectionKey) -> String + Send + Sync>,
    validity: Arc<Validity>,
    fetcher: Arc<Fetcher>,
    background: Arc<Background>,
    _owner: TasksOwner,
}

/// What a member does for as long as it is one.
struct Background {
    channel: Arc<Channel>,
    outbox: Arc<Outbox>,
    is_started: AtomicBool,
    tasks: Tasks,
}

impl<S: TokenSource> Fleet<S> {
    /// Connects to nothing and starts nothing yet.
    pub fn new(source: S, settings: &Settings, parts: Parts<'_>) -> Result<Self, Error> {
        let Environment { dialer, spawn, max_open } = parts.environment;
        let Parts { url_of, validity, stats, clock, jitter, connect_timeout, patience, ttl, .. } = parts;
        let secret = settings.encryption_key.as_ref().map_or(parts.secret_key, |key| key.expose());
        if secret.len() < MIN_SECRET_BYTES {
            let problem =
                "is needed, since the secret key is too short to derive keys from: set 32 random bytes";
            return Err(Error::option("cache.encryptionKey", problem));
        }
        let keys = Arc::new(Keys::derive(secret.as_bytes(), parts.publishable_key)?);
        let sender = keys.random().ok_or_else(Error::internal)?;
        let (owner, tasks) = TasksOwner::new(spawn);
        let redis = Arc::new(Redis::new(dialer, tasks.clone(), settings, connect_timeout));
        let breaker =
            Arc::new(Breaker::new(Arc::clone(&redis), tasks.clone(), Arc::clone(&stats), clock.clone()));
        let scripts = Arc::new(Scripts::new(Arc::clone(&breaker), &settings.key_prefix, &keys.namespace()));
        let channel = Arc::new(Channel::new(channel::Parts {
            redis,
            name: scripts.channel.clone(),
            sender,
            validity: Arc::clone(&validity),
            stats: Arc::clone(&stats),
            heartbeat_timeout: connect_timeout,
            clock: clock.clone(),
            jitter,
        }));
        let outbox = Arc::new(Outbox {
            keys: Arc::clone(&keys),
            breaker: Arc::clone(&breaker),
            scripts: Arc::clone(&scripts),
            channel: Arc::clone(&channel),
            tasks: tasks.clone(),
            queue: Queue::new(max_open),
        });
        let fetcher = Arc::new(Fetcher {
            keys: Arc::clone(&keys),
            breaker,
            scripts,
            channel: Arc::clone(&channel),
            outbox: Arc::clone(&outbox),
            tasks: tasks.clone(),
            stats,
            clock,
            jitter,
            patience,
            ttl,
            membership: Membership::default(),
        });
        let background = Arc::new(Background { channel, outbox, is_started: AtomicBool::new(false), tasks });
        Ok(Self { source, keys, url_of, validity, fetcher, background, _owner: owner })
    }

    fn name(&self, key: &ConnectionKey) -> Name {
        self.keys.name(key.kind, &(self.url_of)(key))
    }
}

impl Background {
    /// Starts the tasks, once.
    fn start(&self) {
        if !self.is_started.swap(true, Ordering::Relaxed) {
            self.tasks.spawn(Arc::clone(&self.channel).listen().boxed());
            self.tasks.spawn(Arc::clone(&self.outbox).keep_flushed().boxed());
        }
    }
}

impl<S: TokenSource> TokenSource for Fleet<S> {
    fn version(&self, key: &ConnectionKey) -> Version {
        self.validity.version(self.name(key).prefix())
    }

    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Fetched, Error>> {
        async move {
            self.background.start();
            self.fetcher.fetch(self.name(&fetch.key), fetch, &self.source).await
        }
        .boxed()
    }

    fn invalidate(&self, keys: &[ConnectionKey], rejected: Option<&str>) -> Option<BoxFuture<'static, ()>> {
        let tagged = |key| {
            let name = self.name(key);
            (name, rejected.map(|token| self.keys.tag(&name, token)))
        };
        let event: Vec<_> = keys.iter().map(tagged).collect();
        self.background.outbox.add(&event);
        let background = Arc::clone(&self.background);
        let flush = background.outbox.flush_added()?;
        Some(
            async move {
                background.start();
                flush.await;
            }
            .boxed(),
        )
    }
}
