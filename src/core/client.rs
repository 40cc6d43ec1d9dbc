//! The client: takes a call on, answers it from what is known, or has it share a fetch, and remembers what comes back.

use std::fmt;
use std::pin::pin;
use std::slice;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::core::clock::Clock;
use crate::core::config::Limits;
use crate::core::connection::Connection;
use crate::core::error::{Error, Kind};
use crate::core::mutation::{self, Mutation};
use crate::core::source::{Fetch, Fetched, Purpose, Queued, TokenSource};
use crate::core::stats::Stats;
use crate::core::tokens::cache::{Cache, Hit};
use crate::core::tokens::in_flight::{FetchResult, Leave, Progress, Waiter};
use crate::core::tokens::key::{Key, OwnerKind};
use crate::core::tokens::validity::{Validity, Version};
use crate::core::tokens::{FetchNumber, Life, Tokens};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod threads;

/// Fetches that may wait for a permit. With 100 permits and answers in 100 ms, as many as can be served within the default
/// timeout; one beyond them would only wait to fail.
const MAX_QUEUED: u64 = 20_000;

/// One client serves every owner of a backend.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What a client is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where connections are fetched from.
    pub source: Arc<dyn TokenSource>,
    /// What the platform is called in messages.
    pub origin: String,
    /// What a call may take.
    pub limits: Limits,
    /// The say that others have in what is kept.
    pub validity: Arc<Validity>,
    /// The counters.
    pub stats: Arc<Stats>,
    /// What time it is.
    pub clock: Clock,
    /// Yields numbers from 0 up to 1.
    pub jitter: fn() -> f64,
}

#[derive(Debug)]
struct Shared {
    origin: String,
    limits: Limits,
    stats: Arc<Stats>,
    clock: Clock,
    tokens: Mutex<Tokens>,
    discards: Arc<AtomicU32>,
    open: Mutex<Option<Arc<Open>>>,
    closing: watch::Sender<bool>,
    ended: watch::Receiver<()>,
}

/// What an open client holds, and each of its calls; gone when the client is closed and the last call has ended.
#[derive(Debug)]
struct Open {
    source: Arc<dyn TokenSource>,
    _ends: watch::Sender<()>,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Which kind of owner.
    pub kind: OwnerKind,
    /// The owner's id.
    pub id: &'a str,
    /// The connector's slug.
    pub slug: &'a str,
    /// The call's own limit, in place of the client's.
    pub timeout: Option<Duration>,
    /// Whether to skip the cache and join no request that began earlier.
    pub fresh: bool,
    /// A token that a service rejected: another one is wanted.
    pub rejected: Option<&'a str>,
}

/// A call that has been taken on.
#[derive(Debug)]
pub enum Begun {
    /// Answered from what is known.
    Known(Known),
    /// To be run.
    Call(Call),
}

/// What is known may be handed out.
pub struct Known {
    /// An active connection.
    pub connection: Connection,
    /// How long it may be given out without asking again; nothing if it is not kept.
    pub valid_for: Duration,
    /// To be run in the background: fetches a connection anew that is late in its life, or tells others of a rejection.
    pub background: Option<BoxFuture<'static, ()>>,
}

/// How a call ended.
#[derive(Debug)]
pub struct Outcome {
    /// The connection, whatever its state, or why there is none.
    pub result: FetchResult,
    /// The failure of a caller who wants the token of a connection that is unavailable.
    pub unavailable: Option<Error>,
    /// Requests sent.
    pub attempts: u32,
    /// Whether it joined the fetch of an earlier call.
    pub coalesced: bool,
}

impl Client {
    /// Opens no connection and starts no thread.
    pub fn new(parts: Parts) -> Self {
        let Parts { source, origin, limits, validity, stats, clock, jitter } = parts;
        let (ends, ended) = watch::channel(());
        let discards = validity.discards();
        let cache = limits.cache.map(|limits| Cache::new(limits, jitter));
        Self {
            shared: Arc::new(Shared {
                origin,
                limits,
                stats,
                clock,
                tokens: Mutex::new(Tokens::new(cache, validity)),
                discards,
                open: Mutex::new(Some(Arc::new(Open { source, _ends: ends }))),
                closing: watch::Sender::new(false),
                ended,
            }),
        }
    }

    /// Takes a call on: its arguments are checked and its deadline runs from here. Sends nothing yet.
    pub fn begin(&self, request: Request<'_>) -> Result<Begun, Error> {
        let key = Key::new(request.kind, request.id, request.slug)?;
        let open = self.shared.open().clone().ok_or_else(Error::closed)?;
        let stats = self.stats();
        stats.calls.add();
        let now = self.shared.clock.now();
        let mut tokens = self.shared.tokens();
        let mut tell = None;
        if let Some(rejected) = request.rejected {
            if tokens.reject(&key, rejected, now) {
                tell = open.source.invalidate(slice::from_ref(&key), Some(rejected));
            }
            if let Some(connection) = tokens.replacement(&key, rejected, now) {
                return Ok(Begun::Known(Known { connection, valid_for: Duration::ZERO, background: tell }));
            }
        }
        if !request.fresh && tokens.is_caching() {
            if let Some(hit) = tokens.kept(&key, now) {
                stats.cache_hits.add();
                return Ok(Begun::Known(self.hand_out(&mut tokens, &open, key, hit, tell)));
            }
            stats.cache_misses.add();
        }
        let timeout = request.timeout.unwrap_or(self.shared.limits.timeout);
        let deadline = Instant::now() + timeout;
        let joins_nobody = request.fresh && !mutation::is(Mutation::FreshJoins);
        let joined = if joins_nobody { None } else { tokens.join(&key, deadline) };
        let coalesced = joined.is_some();
        let asked = key.clone();
        let waiter = match joined {
            Some(waiter) => {
                stats.coalesced.add();
                waiter
            }
            None => {
                let purpose = if request.fresh { Purpose::Fresh } else { Purpose::Missing };
                self.start(&mut tokens, &open, key, deadline, purpose)
                    .inspect_err(|_| stats.failures.add())?
            }
        };
        drop(tokens);
        let shared = Arc::clone(&self.shared);
        Ok(Begun::Call(Call { shared, waiter, key: asked, timeout, deadline, coalesced, _open: open }))
    }

    fn hand_out(
        &self,
        tokens: &mut Tokens,
        open: &Open,
        key: Key,
        hit: Hit,
        tell: Option<BoxFuture<'static, ()>>,
    ) -> Known {
        let Hit { connection, valid_for, refresh_due } = hit;
        let is_due = refresh_due && tell.is_none() && !tokens.is_under_way(&key);
        let background = if is_due { self.refresh(tokens, open, key) } else { tell };
        Known { connection, valid_for, background }
    }

    /// Fetches a kept connection anew; `None` when the queue is full, since nobody waits for it. Closing the client ends it,
    /// unless a call has joined it.
    fn refresh(&self, tokens: &mut Tokens, open: &Open, key: Key) -> Option<BoxFuture<'static, ()>> {
        let deadline = Instant::now() + self.shared.limits.timeout;
        tokens.refreshing(&key, self.shared.clock.now());
        let Waiter { result, seat } = self.start(tokens, open, key, deadline, Purpose::Refresh).ok()?;
        let mut closing = self.shared.closing.subscribe();
        Some(
            async move {
                let closed =
                    pin!(closing.wait_for(|is_closing| *is_closing && !mutation::is(Mutation::CloseWaits)));
                let _ = timeout_at(deadline, select(result, closed)).await;
                drop(seat);
            }
            .boxed(),
        )
    }

    /// Starts a fetch, which those who wait for it keep going.
    fn start(
        &self,
        tokens: &mut Tokens,
        open: &Open,
        key: Key,
        deadline: Instant,
        purpose: Purpose,
    ) -> Result<Waiter, Error> {
        let Shared { stats, clock, .. } = &*self.shared;
        if stats.queued.get() >= MAX_QUEUED {
            return Err(Error::overloaded());
        }
        let queued = Queued::new(stats);
        let source = Arc::clone(&open.source);
        let version = source.version(&key);
        let progress = Arc::new(Progress::new(deadline));
        let told = Arc::clone(&progress);
        let shared = Arc::clone(&self.shared);
        let waiter = tokens.start(&key.clone(), version, progress, clock.now(), |number| {
            let mut ending = Ending { shared, key: key.clone(), number, has_ended: false };
            async move {
                let mut fetching = source.fetch(Fetch { key, purpose, progress: told, queued });
                if mutation::is(Mutation::FirstCallersTime) {
                    let ended = timeout_at(deadline, fetching);
                    fetching = ended.map(|ended| ended.unwrap_or_else(|_| Err(Error::internal()))).boxed();
                }
                ending.end(fetching.await, version)
            }
            .boxed()
        });
        if mutation::is(Mutation::NotCancelled) {
            std::mem::forget(waiter.result.clone());
        }
        Ok(waiter)
    }

    /// Drops what is kept and supersedes what is under way: the next call asks the platform. With the token that a service
    /// rejected, only what that concerns. One event may be about several kinds of owners. What is returned tells others.
    pub fn invalidate(
        &self,
        kinds: &[OwnerKind],
        id: &str,
        slug: &str,
        rejected: Option<&str>,
    ) -> Result<Option<BoxFuture<'static, ()>>, Error> {
        let keys = kinds.iter().map(|kind| Key::new(*kind, id, slug)).collect::<Result<Vec<_>, _>>()?;
        let now = self.shared.clock.now();
        let open = self.shared.open().clone();
        let mut tokens = self.shared.tokens();
        let mut is_news = false;
        for key in &keys {
            is_news |= match rejected {
                Some(token) => tokens.reject(key, token, now),
                None => {
                    tokens.invalidate(key);
                    true
                }
            };
        }
        // Under the lock, so that the fetch that comes next knows of it.
        Ok(open.filter(|_| is_news).and_then(|open| open.source.invalidate(&keys, rejected)))
    }

    /// Counts the tokens that the cache discarded before their time: invalidated or rejected, here or by another process;
    /// replaced by another token; withdrawn by the platform; evicted for lack of room; or no longer known to be valid, since
    /// the subscription was lost. A token that reached its end is not counted. Nobody learns of the cause before it is
    /// counted, so a copy is valid while the count is what it was before `begin`.
    pub fn discards(&self) -> &Arc<AtomicU32> {
        &self.shared.discards
    }

    /// The counters.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.shared.stats
    }

    /// Takes no more calls on and forgets what is kept. What is returned ends when the calls under way have; `None` when
    /// there are none.
    pub fn close(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        drop(self.shared.open().take());
        self.shared.closing.send_replace(true);
        self.shared.tokens().close();
        let mut ended = self.shared.ended.clone();
        let is_over = ended.has_changed().is_err();
        (!is_over).then_some(async move { while ended.changed().await.is_ok() {} })
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Option<Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of a caller whose own time is up.
    fn overdue(&self, timeout: Duration, attempts: u32) -> Error {
        let limit = timeout.as_millis();
        let message = if attempts == 0 {
            format!(
                "The call waited {limit} ms for one of maxConcurrency places: make fewer at once, or raise it"
            )
        } else {
            format!("No answer from {} within {limit} ms: call again later, or raise timeoutMs", self.origin)
        };
        Error::new(Kind::Timeout, message).retryable()
    }
}

/// Takes a fetch off the list however it ends: with a result, dropped by its last caller, or panicking.
struct Ending {
    shared: Arc<Shared>,
    key: Key,
    number: FetchNumber,
    has_ended: bool,
}

impl Ending {
    fn end(&mut self, fetched: Result<Fetched, Error>, version: Version) -> FetchResult {
        self.has_ended = true;
        let now = self.shared.clock.now();
        let mut tokens = self.shared.tokens();
        match fetched {
            Ok(Fetched { connection, age, left }) => {
                let connection = Arc::new(connection);
                let life = Life { age, most: left, version };
                tokens.end(&self.key, self.number, Some(Ok((&connection, life))), now);
                Ok(connection)
            }
            Err(error) => {
                tokens.end(&self.key, self.number, Some(Err(&error)), now);
                Err(error)
            }
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.has_ended {
            let now = self.shared.clock.now();
            self.shared.tokens().end(&self.key, self.number, None, now);
        }
    }
}

/// A call's share in a fetch, with the call's own deadline.
#[derive(Debug)]
pub struct Call {
    shared: Arc<Shared>,
    waiter: Waiter,
    key: Key,
    timeout: Duration,
    deadline: Instant,
    coalesced: bool,
    _open: Arc<Open>,
}

impl Call {
    /// For whoever may cancel the call: dropping its future alone takes the time until its thread comes to it.
    pub fn leave(&self) -> Leave {
        self.waiter.seat.leave()
    }

    /// Ends the call without running it: something that it needs cannot be had.
    pub fn fail(self, error: Error) -> Outcome {
        self.shared.stats.failures.add();
        Outcome { result: Err(error), unavailable: None, attempts: 0, coalesced: false }
    }

    /// Runs the call to its end. Dropping the future of the last call of a fetch cancels the request.
    pub async fn run(self) -> Outcome {
        let Self { shared, waiter, key, timeout, deadline, coalesced, _open } = self;
        let Waiter { result, seat } = waiter;
        let result = timeout_at(deadline, result).await;
        let attempts = seat.progress().attempts();
        drop(seat);
        let mut result = result.unwrap_or_else(|_| Err(shared.overdue(timeout, attempts)));
        if let Err(error) = &mut result {
            error.attempts = attempts;
            shared.stats.failures.add();
        }
        let unavailable = result.as_ref().ok().and_then(|connection| {
            let error = Error::unavailable(connection, key.slug().text())?;
            Some(Error { attempts, ..error })
        });
        Outcome { result, unavailable, attempts, coalesced }
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Known").field("valid_for", &self.valid_for).finish_non_exhaustive()
    }
}
