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
use http::Uri;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use self::breaker::Breaker;
use self::crypto::{Entry, Keys, NO_TAG, Name, Tag};
pub use self::hearing::Mark;
use self::hearing::{Hearing, LONGEST_LEASE};
use self::news::{Event, News, Sender};
use self::outbox::{Order, Orders};
use self::redis::{Link, Trouble};
use self::scripts::{Ending, Found, GENERATION_LIFE, Generation, LOCK_RENEWAL, LockId, Store, generation};
use self::settings::Settings;
use crate::core::clock::{Clock, Now};
use crate::core::connection::{Connection, State};
use crate::core::error::Error;
use crate::core::http::tls::Trust;
use crate::core::platform::endpoint::OwnerKind;
use crate::core::stats::Counter;
use crate::core::tokens::cache::{self, Hit, REFRESH_FROM, Shared};

/// Whoever waits for another process looks by itself too, in case that no news come: first after this time, then less
/// and less often.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Holders of the lock that are waited for in turn. The first may have been killed.
const MAX_HOLDERS: u32 = 2;

/// How the second level does. Outlives it, as the counters of a closed client may still be read.
#[derive(Debug, Default)]
pub struct Health {
    pub hits: Counter,
    pub misses: Counter,
    pub errors: Counter,
    breaker: Breaker,
}

impl Health {
    /// Whether Redis is left alone now.
    pub fn is_bypassed(&self) -> bool {
        self.breaker.is_open()
    }
}

/// What a fleet is built from, apart from its settings.
#[derive(Debug)]
pub struct Parts<'a> {
    pub trust: &'a Trust,
    pub secret_key: &'a str,
    pub publishable_key: &'a str,
    pub connect_timeout: Duration,
    /// The longest that another process is waited for.
    pub patience: Duration,
    pub ttl: Duration,
}

/// This process as a member of its fleet. Its tasks end when it is dropped.
#[derive(Debug)]
pub struct Fleet {
    member: Arc<Member>,
    _life: watch::Sender<()>,
}

struct Member {
    keys: Keys,
    link: Arc<Link>,
    store: Store,
    health: Arc<Health>,
    hearing: Hearing,
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

/// Why a connection is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is not in the process.
    Missing,
    /// It is, and is late in its life.
    Refresh,
    /// The caller wants nothing that is older than the call.
    Fresh,
}

/// A fetch, as it stood when it began.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    name: Name,
    pub mark: Mark,
    purpose: Purpose,
}

/// What a fetch brings.
#[derive(Debug)]
pub struct Brought {
    pub result: Result<Connection, Error>,
    /// What the cache of the process has to know of it.
    pub shared: Option<Shared>,
}

/// What came of a look at Redis.
enum Look {
    Entry(Entry, Life),
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

impl Fleet {
    /// Connects to nothing and starts nothing yet.
    pub fn new(
        settings: Settings,
        parts: Parts<'_>,
        clock: Clock,
        jitter: fn() -> f64,
    ) -> Result<Self, Error> {
        let secret = settings.encryption_key.as_ref().map_or(parts.secret_key, |key| key.expose());
        let keys = Keys::derive(secret.as_bytes(), parts.publishable_key)?;
        let key_prefix = settings.key_prefix.clone();
        let link = Arc::new(Link::new(settings, parts.trust, parts.connect_timeout)?);
        let (life, ended) = watch::channel(());
        let member = Member {
            store: Store::new(Arc::clone(&link), &key_prefix, &keys.namespace()),
            link,
            health: Arc::default(),
            hearing: Hearing::new(),
            orders: Orders::new(parts.ttl),
            sender: keys.random().ok_or_else(Error::internal)?,
            keys,
            is_listening: AtomicBool::new(false),
            ended,
            clock,
            jitter,
            connect_timeout: parts.connect_timeout,
            patience: parts.patience,
            ttl: parts.ttl,
        };
        Ok(Self { member: Arc::new(member), _life: life })
    }

    /// How it does.
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.member.health)
    }

    /// Begins a fetch of the connection that the platform has under the URI.
    pub fn ticket(&self, kind: OwnerKind, uri: &Uri, purpose: Purpose) -> Ticket {
        let name = self.member.keys.name(kind, &uri.to_string());
        Ticket { name, mark: self.member.hearing.mark(&name), purpose }
    }

    /// Whether the others have dropped nothing of it since the fetch began.
    pub fn is_current(&self, mark: Mark) -> bool {
        self.member.hearing.is_current(mark)
    }

    /// What is kept in the process, if the others have nothing against it; for as long as may pass unheard.
    pub fn vouch(&self, hit: Hit, now: Now) -> Option<Hit> {
        let (mark, since) = hit.shared?;
        let is_good = self.member.hearing.vouches(mark, since, now.boot);
        is_good.then(|| Hit { valid_for: hit.valid_for.min(LONGEST_LEASE), ..hit })
    }

    /// Drops a connection for the whole fleet, or one token of it: from now on for this process, and for the others
    /// once [`Fleet::carry_out`] has told Redis.
    pub fn order(&self, kind: OwnerKind, uri: &Uri, rejected: Option<&str>) -> Name {
        let name = self.member.keys.name(kind, &uri.to_string());
        let order = rejected.map_or(Order::Any, |token| Order::Token(self.member.keys.tag(&name, token)));
        self.member.orders.add(name, order);
        name
    }

    /// Tells Redis what was ordered. If that fails, it is told when it is back.
    pub async fn carry_out(&self, name: &Name) {
        // What fails stays ordered.
        let _ = self.member.carry_out(name).await;
    }

    /// The connection: from Redis, or from the platform by `ask`, which at best one process of the fleet does.
    pub async fn fetch(
        &self,
        ticket: &Ticket,
        time_left: Duration,
        ask: impl Future<Output = Result<Connection, Error>>,
    ) -> Brought {
        let member = &self.member;
        member.listen();
        // Half of a short time is left for asking by oneself.
        let patience = member.patience.min(time_left / 2);
        let mut shared = Shared { mark: ticket.mark, age: Duration::ZERO, left: Duration::MAX };
        let result = match member.look(ticket, patience).await {
            Ok(Look::Entry(entry, Life { age, left })) => {
                member.health.hits.add();
                shared = Shared { age, left, ..shared };
                Ok(entry.connection)
            }
            Ok(Look::Fetch(hold)) => {
                member.health.misses.add();
                member.fetch(ticket, hold, ask).await
            }
            Err(Trouble) => {
                member.health.misses.add();
                ask.await
            }
        };
        Brought { result, shared: Some(shared) }
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

    fn take_note(&self, news: Option<News>) {
        match news {
            // What this process drops, it drops before it tells.
            Some(News { event: Event::Dropped, sender, name }) if sender != self.sender => {
                self.hearing.drop_one(&name);
            }
            Some(News { name, .. }) => self.hearing.wake(&name),
            None => {}
        }
    }

    /// Notes trouble: Redis is left alone, and is seen after in the background.
    fn heed<T>(self: &Arc<Self>, result: Result<T, Trouble>) -> Result<T, Trouble> {
        if result.is_err() {
            self.health.errors.add();
            if self.health.breaker.trip() {
                let member = Arc::clone(self);
                let mend = async move {
                    member.health.breaker.mend(|| member.link.probe()).await;
                    member.carry_out_all().await;
                };
                self.spawn(mend.boxed());
            }
        }
        result
    }

    async fn look(self: &Arc<Self>, ticket: &Ticket, patience: Duration) -> Result<Look, Trouble> {
        if self.health.is_bypassed() || self.orders.trusts_nothing() {
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
            let mut woken = pin!(self.hearing.woken(&ticket.name));
            woken.as_mut().enable();
            let found = self.store.take(&ticket.name, &lock, &useless, awaited.as_ref()).await;
            let hold = |generation, is_locked| Ok(Look::Fetch(Hold { lock, generation, is_locked }));
            let generation = match self.heed(found)? {
                Found::Entry(sealed, left) => match self.judge(ticket, &sealed, left) {
                    Some((entry, life)) => return Ok(Look::Entry(entry, life)),
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
            if holders > MAX_HOLDERS || Instant::now() >= deadline || self.health.is_bypassed() {
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
        let left = left.min(cache::lifetime(&entry.connection, self.ttl, now)?);
        let is_late = ticket.purpose == Purpose::Refresh && age >= (age + left).mul_f64(REFRESH_FROM);
        (!left.is_zero() && !is_late).then_some((entry, Life { age, left }))
    }

    async fn fetch(
        self: &Arc<Self>,
        ticket: &Ticket,
        hold: Hold,
        ask: impl Future<Output = Result<Connection, Error>>,
    ) -> Result<Connection, Error> {
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
        if !self.health.is_bypassed() {
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
        result: &Result<Connection, Error>,
    ) -> Result<(), Trouble> {
        let name = &ticket.name;
        if let Ok(connection) = result
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
        let life = cache::lifetime(connection, self.ttl, now)?;
        let until = now.wall + life.as_secs_f64() * 1e3;
        let entry = Entry { connection: connection.clone(), from: now.wall, until };
        Some((self.keys.seal(name, &entry)?, life))
    }

    /// Renews the lock for as long as it is asked for.
    async fn keep_lock(self: &Arc<Self>, name: &Name, lock: &LockId) -> Infallible {
        loop {
            sleep(LOCK_RENEWAL).await;
            if !self.health.is_bypassed() {
                let _ = self.heed(self.store.renew(name, lock).await);
            }
        }
    }

    /// Tells Redis what was ordered of a connection; whoever comes meanwhile waits for it.
    async fn carry_out(self: &Arc<Self>, name: &Name) -> Result<(), Trouble> {
        let Some(task) = self.orders.open(name) else { return Ok(()) };
        let _turn = task.turn.lock().await;
        let Some(task) = self.orders.open(name) else { return Ok(()) };
        if self.health.is_bypassed() {
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
        if self.is_over || self.member.health.is_bypassed() || Handle::try_current().is_err() {
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
fn is_refusal(result: &Result<Connection, Error>) -> bool {
    match result {
        Ok(connection) => matches!(connection.state, State::Unavailable { .. }),
        Err(error) => error.is_refusal(),
    }
}
