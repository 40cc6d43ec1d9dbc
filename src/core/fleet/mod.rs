//! The second level of the cache: what the processes of a fleet keep in a Redis for each other. Owns the way of one
//! fetch through it, and goes on without it at any trouble: no call ever fails because of Redis.
//!
//! `settings` → where it is; `redis` → the connection; `scripts` → keys and scripts; `crypto` → what Redis gets to see;
//! `breaker` → when it is left alone; `hearing`, `channel`, `news` → what the others tell; `outbox` → what they do not
//! know yet.

mod breaker;
mod channel;
mod crypto;
mod hearing;
mod news;
mod outbox;
mod redis;
mod scripts;
pub mod settings;

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use rustls::ClientConfig;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use self::breaker::Breaker;
use self::crypto::{Entry, Keys, NO_TAG, Name, Tag};
use self::hearing::Waiting;
use self::news::{Event, News, Sender};
use self::outbox::{Order, Orders};
use self::redis::{Link, Trouble};
use self::scripts::{Ending, Found, GENERATION_LIFE, Generation, LOCK_RENEWAL, LockId, Store, generation};
use self::settings::Settings;
use crate::core::clock::Clock;
use crate::core::connection::{Connection, State};
use crate::core::error::Error;
use crate::core::source::{Fetch, Fetched, Purpose, TokenSource};
use crate::core::stats::{FleetStats, Stats};
use crate::core::tokens::key::Key;
use crate::core::tokens::lifetime::{REFRESH_FROM, lifetime};
use crate::core::tokens::validity::{Validity, Version};

/// Whoever waits for another process looks by itself too, in case that no news come: first after this time, then less
/// and less often.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Holders of the lock that are waited for in turn. The first may have been killed.
const MAX_HOLDERS: u32 = 2;

/// What a fleet is built from, apart from its settings.
#[derive(Debug)]
pub struct Parts<'a> {
    /// What is trusted, if Redis is spoken to over TLS.
    pub tls: Option<ClientConfig>,
    pub secret_key: &'a str,
    pub publishable_key: &'a str,
    /// Tells the platform apart from others.
    pub scope: String,
    pub connect_timeout: Duration,
    /// The longest that another process is waited for.
    pub patience: Duration,
    pub ttl: Duration,
    /// Told what the others invalidate.
    pub validity: Arc<Validity>,
    pub stats: Arc<Stats>,
    pub clock: Clock,
    pub jitter: fn() -> f64,
}

/// This process as a member of its fleet, around the source that it fetches from. Its tasks end when it is dropped.
#[derive(Debug)]
pub struct Fleet<S> {
    member: Arc<Member>,
    source: S,
    _life: watch::Sender<()>,
}

struct Member {
    keys: Keys,
    link: Arc<Link>,
    store: Store,
    breaker: Breaker,
    validity: Arc<Validity>,
    stats: Arc<Stats>,
    waiting: Waiting,
    scope: String,
    orders: Orders,
    sender: Sender,
    is_listening: AtomicBool,
    ended: watch::Receiver<()>,
    clock: Clock,
    jitter: fn() -> f64,
    connect_timeout: Duration,
    patience: Duration,
    ttl: Duration,
}

impl fmt::Debug for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Member")
    }
}

/// A fetch, as it stood when it began.
struct Ticket {
    name: Name,
    purpose: Purpose,
}

/// What came of a look at Redis.
enum Look {
    Entry(Box<Entry>, Life),
    Fetch(Hold),
}

struct Life {
    age: Duration,
    left: Duration,
}

/// Leave to fetch, and to write what was fetched.
struct Hold {
    lock: LockId,
    generation: Generation,
    is_locked: bool,
}

impl<S: TokenSource> Fleet<S> {
    /// Connects to nothing and starts nothing yet.
    pub fn new(source: S, settings: Settings, parts: Parts<'_>) -> Result<Self, Error> {
        let secret = settings.encryption_key.as_ref().map_or(parts.secret_key, |key| key.expose());
        let keys = Keys::derive(secret.as_bytes(), parts.publishable_key)?;
        let key_prefix = settings.key_prefix.clone();
        let link = Arc::new(Link::new(settings, parts.tls, parts.connect_timeout));
        let (life, ended) = watch::channel(());
        let member = Member {
            store: Store::new(Arc::clone(&link), &key_prefix, &keys.namespace()),
            link,
            breaker: Breaker::default(),
            validity: parts.validity,
            stats: parts.stats,
            waiting: Waiting::new(),
            scope: parts.scope,
            orders: Orders::new(parts.ttl),
            sender: keys.random().ok_or_else(Error::internal)?,
            keys,
            is_listening: AtomicBool::new(false),
            ended,
            clock: parts.clock,
            jitter: parts.jitter,
            connect_timeout: parts.connect_timeout,
            patience: parts.patience,
            ttl: parts.ttl,
        };
        Ok(Self { member: Arc::new(member), source, _life: life })
    }

    /// The connection: from Redis, or from the source around which this stands, which at best one process of the fleet asks.
    async fn bring(&self, fetch: Fetch) -> Result<Fetched, Error> {
        let member = &self.member;
        member.listen();
        let ticket = Ticket { name: member.name(&fetch.key), purpose: fetch.purpose };
        // Half of a short time is left for asking by oneself.
        let patience = member.patience.min(fetch.progress.time_left() / 2);
        match member.look(&ticket, patience).await {
            Ok(Look::Entry(entry, Life { age, left })) => {
                member.count(|fleet| fleet.hits.add());
                Ok(Fetched { connection: entry.connection, age, left })
            }
            Ok(Look::Fetch(hold)) => {
                member.count(|fleet| fleet.misses.add());
                member.fetch(&ticket, hold, self.source.fetch(fetch)).await
            }
            Err(Trouble) => {
                member.count(|fleet| fleet.misses.add());
                self.source.fetch(fetch).await
            }
        }
    }
}

impl<S: TokenSource> TokenSource for Fleet<S> {
    fn version(&self, key: &Key) -> Version {
        self.member.validity.version(self.member.name(key).slot())
    }

    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Fetched, Error>> {
        self.bring(fetch).boxed()
    }

    fn invalidate(&self, keys: &[Key], rejected: Option<&str>) -> Option<BoxFuture<'static, ()>> {
        let names: Vec<_> = keys.iter().map(|key| self.member.name(key)).collect();
        for name in &names {
            let order = rejected.map_or(Order::Any, |token| Order::Token(self.member.keys.tag(name, token)));
            self.member.orders.add(*name, order);
        }
        let member = Arc::clone(&self.member);
        let carry_out = async move {
            for name in &names {
                // What fails stays ordered.
                let _ = member.carry_out(name).await;
            }
        };
        Some(carry_out.boxed())
    }
}

impl Member {
    fn listen(self: &Arc<Self>) {
        if !self.is_listening.swap(true, Ordering::Relaxed) {
            self.spawn(channel::listen(Arc::clone(self)).boxed());
        }
    }

    /// Runs a task until the client is closed.
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let mut ended = self.ended.clone();
        let until_ended = async move {
            let ended = pin!(async { while ended.changed().await.is_ok() {} });
            select(task, ended).await;
        };
        redis::spawn(until_ended.boxed());
    }

    fn name(&self, key: &Key) -> Name {
        self.keys.name(&self.scope, key)
    }

    fn count(&self, count: impl FnOnce(&FleetStats)) {
        if let Some(fleet) = &self.stats.fleet {
            count(fleet);
        }
    }

    fn take_note(&self, news: Option<News>) {
        match news {
            // What this process drops, it drops before it tells.
            Some(News { event: Event::Dropped, sender, name }) if sender != self.sender => {
                self.validity.invalidate(name.slot());
                self.waiting.wake(&name);
            }
            Some(News { name, .. }) => self.waiting.wake(&name),
            None => {}
        }
    }

    /// Notes trouble: Redis is left alone, and is seen after in the background.
    fn heed<T>(self: &Arc<Self>, result: Result<T, Trouble>) -> Result<T, Trouble> {
        if result.is_err() {
            self.count(|fleet| fleet.errors.add());
            if self.breaker.trip() {
                self.count(|fleet| fleet.is_bypassed.store(true, Ordering::Relaxed));
                let member = Arc::clone(self);
                let mend = async move {
                    member.breaker.mend(|| member.link.probe()).await;
                    member.count(|fleet| fleet.is_bypassed.store(false, Ordering::Relaxed));
                    member.carry_out_all().await;
                };
                self.spawn(mend.boxed());
            }
        }
        result
    }

    async fn look(self: &Arc<Self>, ticket: &Ticket, patience: Duration) -> Result<Look, Trouble> {
        if self.breaker.is_open() || self.orders.trusts_nothing() {
            return Err(Trouble);
        }
        self.carry_out(&ticket.name).await?;
        let lock = self.keys.random().ok_or(Trouble)?;
        if ticket.purpose == Purpose::Fresh {
            let generation = self.generation(&NO_TAG)?;
            self.heed(self.store.outdate(&ticket.name, &generation).await)?;
            return Ok(Look::Fetch(Hold { lock, generation, is_locked: false }));
        }
        let deadline = Instant::now() + patience;
        let mut useless = Vec::new();
        let mut awaited = None;
        let mut holders = 0;
        let mut pause = FIRST_PAUSE;
        loop {
            let mut woken = pin!(self.waiting.woken(&ticket.name));
            woken.as_mut().enable();
            let found = self.store.take(&ticket.name, &lock, &useless, awaited.as_ref()).await;
            let hold = |generation, is_locked| Ok(Look::Fetch(Hold { lock, generation, is_locked }));
            let generation = match self.heed(found)? {
                Found::Entry(sealed, left) => match self.judge(ticket, &sealed, left) {
                    Some((entry, life)) => return Ok(Look::Entry(Box::new(entry), life)),
                    None if Instant::now() >= deadline => return Err(Trouble),
                    None => {
                        useless = sealed;
                        continue;
                    }
                },
                Found::Locked(generation) => return hold(generation, true),
                Found::Failed(generation) => return hold(generation, false),
                Found::Held(holder, generation) => {
                    if awaited != Some(holder) {
                        awaited = Some(holder);
                        holders += 1;
                    }
                    generation
                }
            };
            if holders > MAX_HOLDERS || Instant::now() >= deadline || self.breaker.is_open() {
                return hold(generation, false);
            }
            let until = Instant::now() + pause.mul_f64(0.5 + (self.jitter)());
            let _ = timeout_at(until.min(deadline), woken).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// An entry that may be used: ours, whole, not over by either clock, and not too old for this process.
    fn judge(&self, ticket: &Ticket, sealed: &[u8], left: Duration) -> Option<(Entry, Life)> {
        let entry = self.keys.open(&ticket.name, sealed)?;
        let now = self.clock.now();
        let until = |moment: f64| Duration::try_from_secs_f64((moment - now.wall) / 1e3).ok();
        let age = Duration::try_from_secs_f64((now.wall - entry.from) / 1e3).unwrap_or_default();
        let left = left.min(until(entry.until)?).min(self.ttl.checked_sub(age)?);
        let left = left.min(lifetime(&entry.connection, self.ttl, now)?);
        let is_late = ticket.purpose == Purpose::Refresh && age >= (age + left).mul_f64(REFRESH_FROM);
        (!left.is_zero() && !is_late).then_some((entry, Life { age, left }))
    }

    async fn fetch(
        self: &Arc<Self>,
        ticket: &Ticket,
        hold: Hold,
        ask: impl Future<Output = Result<Fetched, Error>>,
    ) -> Result<Fetched, Error> {
        let began = Instant::now();
        let mut giving_up =
            GivingUp { member: self, name: &ticket.name, hold: &hold, is_over: !hold.is_locked };
        let result = if hold.is_locked {
            match select(pin!(ask), pin!(self.keep_lock(&ticket.name, &hold.lock))).await {
                Either::Left((result, _)) => result,
                Either::Right((never, _)) => match never {},
            }
        } else {
            ask.await
        };
        giving_up.is_over = true;
        if !self.breaker.is_open() {
            // What fails here is noted; the caller has what it came for.
            let _ = self.heed(self.conclude(ticket, &hold, began, &result).await);
        }
        result
    }

    /// Writes what was fetched, or tells that there is nothing to be had.
    async fn conclude(
        &self,
        ticket: &Ticket,
        hold: &Hold,
        began: Instant,
        result: &Result<Fetched, Error>,
    ) -> Result<(), Trouble> {
        let name = &ticket.name;
        if let Ok(Fetched { connection, .. }) = result
            && began.elapsed() < GENERATION_LIFE / 2
            && let Some((sealed, life)) = self.seal(name, connection)
        {
            let news = self.news(Event::Fetched, name);
            let put = self.store.put(name, &hold.lock, &hold.generation, &sealed, life, &news);
            if put.await? && ticket.purpose == Purpose::Fresh {
                self.store.publish(&self.news(Event::Dropped, name)).await?;
            }
            return Ok(());
        }
        if hold.is_locked {
            let news = self.news(Event::Fetched, name);
            self.store.release(name, &hold.lock, Ending::Failed, &news).await?;
        }
        if ticket.purpose != Purpose::Missing && is_refusal(result) {
            let generation = self.generation(&NO_TAG)?;
            self.store.drop_entry(name, &generation, false, &self.news(Event::Dropped, name)).await?;
        }
        Ok(())
    }

    fn seal(&self, name: &Name, connection: &Connection) -> Option<(Vec<u8>, Duration)> {
        let now = self.clock.now();
        let life = lifetime(connection, self.ttl, now)?;
        let until = now.wall + life.as_secs_f64() * 1e3;
        let entry = Entry { connection: connection.clone(), from: now.wall, until };
        Some((self.keys.seal(name, &entry)?, life))
    }

    /// Renews the lock for as long as it is asked for.
    async fn keep_lock(self: &Arc<Self>, name: &Name, lock: &LockId) -> Infallible {
        loop {
            sleep(LOCK_RENEWAL).await;
            if !self.breaker.is_open() {
                let _ = self.heed(self.store.renew(name, lock).await);
            }
        }
    }

    /// Tells Redis what was ordered of a connection; whoever comes meanwhile waits for it.
    async fn carry_out(self: &Arc<Self>, name: &Name) -> Result<(), Trouble> {
        let Some(task) = self.orders.open(name) else { return Ok(()) };
        let _turn = task.turn.lock().await;
        let Some(task) = self.orders.open(name) else { return Ok(()) };
        if self.breaker.is_open() {
            return Err(Trouble);
        }
        let (tag, by_tag) = match task.order {
            Order::Token(tag) => (tag, true),
            Order::Any => (NO_TAG, false),
        };
        let generation = self.generation(&tag)?;
        let news = self.news(Event::Dropped, name);
        self.heed(self.store.drop_entry(name, &generation, by_tag, &news).await)?;
        self.orders.close(name, &task);
        Ok(())
    }

    async fn carry_out_all(self: &Arc<Self>) {
        for name in self.orders.names() {
            if self.carry_out(&name).await.is_err() {
                return;
            }
        }
    }

    fn generation(&self, tag: &Tag) -> Result<Generation, Trouble> {
        Ok(generation(tag, &self.keys.random().ok_or(Trouble)?))
    }

    fn news(&self, event: Event, name: &Name) -> Vec<u8> {
        News { event, sender: self.sender, name: *name }.bytes()
    }
}

/// Gives the lock back when the fetch is dropped, as it is when its last caller leaves, so that nobody waits for it.
struct GivingUp<'a> {
    member: &'a Arc<Member>,
    name: &'a Name,
    hold: &'a Hold,
    is_over: bool,
}

impl Drop for GivingUp<'_> {
    fn drop(&mut self) {
        if self.is_over || self.member.breaker.is_open() || Handle::try_current().is_err() {
            return;
        }
        let (member, name, lock) = (Arc::clone(self.member), *self.name, self.hold.lock);
        let release = async move {
            let news = member.news(Event::Fetched, &name);
            let _ = member.heed(member.store.release(&name, &lock, Ending::GaveUp, &news).await);
        };
        redis::spawn(release.boxed());
    }
}

/// Whether the platform itself says that there is no token.
fn is_refusal(result: &Result<Fetched, Error>) -> bool {
    match result {
        Ok(fetched) => matches!(fetched.connection.state, State::Unavailable { .. }),
        Err(error) => error.is_refusal(),
    }
}
