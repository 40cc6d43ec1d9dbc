//! The client: takes a call on, answers it from the cache or has it share a flight, and remembers what comes back.
//!
//! The cache and the flights stand behind one lock, so that an invalidation beats whatever is under way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::core::clock::Clock;
use crate::core::config::{Config, Limits, Options};
use crate::core::connection::{Connection, State};
use crate::core::error::Error;
use crate::core::fleet::{Brought, Fleet, Purpose};
use crate::core::http::{Exchange, Transport};
use crate::core::platform::endpoint::{Catalog, Endpoint, OwnerKind, Segment};
use crate::core::platform::{Engine, Queued};
use crate::core::stats::Stats;
use crate::core::tokens::cache::{Cache, Hit, Key, Shared as Origin};
use crate::core::tokens::in_flight::{Flight, Flights, Landed, Progress};

/// One client serves every owner of a backend.
#[derive(Debug)]
pub struct Client<T = Transport> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    engine: Arc<Engine>,
    catalog: Option<Catalog>,
    tokens: Mutex<Tokens>,
    open: Mutex<Option<Arc<Open<T>>>>,
    ended: watch::Receiver<()>,
}

/// What is known of tokens now.
#[derive(Debug)]
struct Tokens {
    flights: Flights,
    cache: Option<Cache>,
}

/// What an open client holds and its calls share; gone when the client is closed and the last call has ended.
#[derive(Debug)]
struct Open<T> {
    transport: T,
    fleet: Option<Fleet>,
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
}

/// A call that has been taken on.
#[derive(Debug)]
pub enum Begun<T = Transport> {
    /// Answered from the cache.
    Hit {
        /// An active connection.
        connection: Arc<Connection>,
        /// How long it may be given out without asking again.
        valid_for: Duration,
        /// A call to run in the background, when it is time to fetch the connection anew.
        refresh: Option<Call<T>>,
    },
    /// To be run.
    Call(Call<T>),
}

/// How a call ended.
#[derive(Debug)]
pub struct Outcome {
    /// The connection, whatever its state, or why there is none.
    pub result: Landed,
    /// Where the owner sets the connection up, when it is unavailable and the catalog is known.
    pub connect_url: Option<String>,
    /// Requests sent.
    pub attempts: u32,
    /// Whether it joined the flight of an earlier call.
    pub coalesced: bool,
}

impl Client {
    /// Checks the options. Opens no connection and starts no thread.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let Config { endpoint, catalog, limits, fleet, transport } = options.check()?;
        let transport = Transport::new(transport);
        Ok(Self::with_parts(endpoint, catalog, limits, fastrand::f64, Clock::system(), transport, fleet))
    }
}

impl<T: Exchange> Client<T> {
    fn with_parts(
        endpoint: Endpoint,
        catalog: Option<Catalog>,
        limits: Limits,
        jitter: fn() -> f64,
        clock: Clock,
        transport: T,
        fleet: Option<Fleet>,
    ) -> Self {
        let (ends, ended) = watch::channel(());
        let cache = limits.cache.map(|limits| Cache::new(limits, jitter));
        let mut engine = Engine::new(endpoint, limits, jitter, clock);
        engine.stats.fleet = fleet.as_ref().map(Fleet::health);
        Self {
            shared: Arc::new(Shared {
                engine: Arc::new(engine),
                catalog,
                tokens: Mutex::new(Tokens { flights: Flights::default(), cache }),
                open: Mutex::new(Some(Arc::new(Open { transport, fleet, _ends: ends }))),
                ended,
            }),
        }
    }

    /// Takes a call on: its arguments are checked and its deadline runs from here. Sends nothing yet.
    pub fn begin(&self, request: Request<'_>) -> Result<Begun<T>, Error> {
        let key = Key::new(request.kind, request.id, request.slug)?;
        let open = self.shared.open().clone().ok_or_else(Error::closed)?;
        let stats = self.stats();
        stats.calls.add();
        let mut tokens = self.shared.tokens();
        if !request.fresh {
            let now = self.shared.engine.clock.now();
            if let Some(cache) = &mut tokens.cache {
                let hit = cache.get(&key, now).and_then(|hit| match &open.fleet {
                    Some(fleet) => fleet.vouch(hit, now),
                    None => Some(hit),
                });
                if let Some(Hit { connection, valid_for, refresh_due, .. }) = hit {
                    stats.cache_hits.add();
                    let refresh = if refresh_due && !tokens.flights.is_under_way(&key) {
                        self.refresh(&mut tokens, open, key)
                    } else {
                        None
                    };
                    return Ok(Begun::Hit { connection, valid_for, refresh });
                }
                stats.cache_misses.add();
            }
        }
        let timeout = request.timeout.unwrap_or(self.shared.engine.limits.timeout);
        let deadline = Instant::now() + timeout;
        if let (Some(fleet), Some(mark)) = (&open.fleet, tokens.flights.mark(&key))
            && !fleet.is_current(mark)
        {
            tokens.flights.call_off(&key);
        }
        let joined = if request.fresh { None } else { tokens.flights.join(&key, deadline) };
        let coalesced = joined.is_some();
        let flight = match joined {
            Some(flight) => {
                stats.coalesced.add();
                flight
            }
            None => {
                let queued = self.shared.engine.queue().inspect_err(|_| stats.failures.add())?;
                let purpose = if request.fresh { Purpose::Fresh } else { Purpose::Missing };
                self.shared.take_off(&mut tokens, open, &key, queued, deadline, purpose)
            }
        };
        drop(tokens);
        let shared = Arc::clone(&self.shared);
        Ok(Begun::Call(Call { shared, flight, slug: key.slug, timeout, deadline, coalesced }))
    }

    /// A call that fetches a cached connection anew; `None` when the queue is full, since nobody waits for it.
    fn refresh(&self, tokens: &mut Tokens, open: Arc<Open<T>>, key: Key) -> Option<Call<T>> {
        let queued = self.shared.engine.queue().ok()?;
        if let Some(cache) = &mut tokens.cache {
            cache.refreshing(&key, self.shared.engine.clock.now());
        }
        let timeout = self.shared.engine.limits.timeout;
        let deadline = Instant::now() + timeout;
        let flight = self.shared.take_off(tokens, open, &key, queued, deadline, Purpose::Refresh);
        let shared = Arc::clone(&self.shared);
        Some(Call { shared, flight, slug: key.slug, timeout, deadline, coalesced: false })
    }

    /// Drops what is cached and calls off what is under way: the next call asks the platform. With the token that a
    /// service rejected, nothing is done if another one is cached by now. What is returned tells the fleet.
    pub fn invalidate(
        &self,
        kind: OwnerKind,
        id: &str,
        slug: &str,
        rejected: Option<&str>,
    ) -> Result<Option<BoxFuture<'static, ()>>, Error> {
        let key = Key::new(kind, id, slug)?;
        let open = self.shared.open().clone();
        // Before the lock is taken: the call that comes next is to find the order.
        let order = match open.as_ref().and_then(|open| open.fleet.as_ref()) {
            Some(fleet) => Some(fleet.order(kind, &self.shared.engine.connection_uri(&key)?, rejected)),
            None => None,
        };
        let mut tokens = self.shared.tokens();
        let cached = tokens.cache.as_ref().and_then(|cache| cache.token(&key));
        let is_replaced = rejected.is_some() && cached.is_some() && cached != rejected;
        if !is_replaced {
            tokens.flights.call_off(&key);
            if let Some(cache) = &mut tokens.cache {
                cache.evict(&key);
            }
        }
        Ok(order.zip(open).map(|(name, open)| {
            let carry_out = async move {
                if let Some(fleet) = &open.fleet {
                    fleet.carry_out(&name).await;
                }
            };
            carry_out.boxed()
        }))
    }

    /// The page where an owner sets up or repairs the connector; `None` when no catalog is known.
    pub fn connector_url(&self, slug: &str) -> Result<Option<String>, Error> {
        let slug = Segment::new(slug, "slug")?;
        Ok(self.shared.catalog.as_ref().map(|catalog| catalog.connector_url(&slug)))
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.shared.engine.stats
    }

    /// Takes no more calls on and forgets what is cached. What is returned ends when the calls under way have; `None`
    /// when there are none.
    pub fn close(&self) -> Option<impl Future<Output = ()> + Send + use<T>> {
        drop(self.shared.open().take());
        self.shared.tokens().cache = None;
        let mut ended = self.shared.ended.clone();
        let is_over = ended.has_changed().is_err();
        (!is_over).then_some(async move { while ended.changed().await.is_ok() {} })
    }
}

impl<T: Exchange> Shared<T> {
    /// Starts a flight. It holds the client open until it lands.
    fn take_off(
        self: &Arc<Self>,
        tokens: &mut Tokens,
        open: Arc<Open<T>>,
        key: &Key,
        queued: Queued,
        deadline: Instant,
        purpose: Purpose,
    ) -> Flight {
        let ticket = open.fleet.as_ref().and_then(|fleet| {
            let uri = self.engine.connection_uri(key).ok()?;
            Some(fleet.ticket(key.kind, &uri, purpose))
        });
        let progress = Arc::new(Progress::new(deadline, ticket.map(|ticket| ticket.mark)));
        let (shared, key, told) = (Arc::clone(self), key.clone(), Arc::clone(&progress));
        tokens.flights.start(key.clone(), progress, |number| {
            let mut landing = Landing { shared, key, number, has_landed: false };
            async move {
                let engine = &landing.shared.engine;
                let ask = || engine.ask(&open.transport, queued, &landing.key, &told);
                // In boxes, so that what the caller's thread makes and moves is small.
                let Brought { result, shared } = match open.fleet.as_ref().zip(ticket) {
                    Some((fleet, ticket)) => Box::pin(fleet.fetch(&ticket, told.time_left(), ask())).await,
                    None => Brought { result: Box::pin(ask()).await, shared: None },
                };
                let landed = result.map(Arc::new);
                landing.land(&landed, shared);
                landed
            }
            .boxed()
        })
    }
}

impl<T> Shared<T> {
    fn open(&self) -> MutexGuard<'_, Option<Arc<Open<T>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By the slug that the platform returned, since that is how the catalog names the connector (source: given);
    /// by the one that was asked for where there is none or it is no slug.
    fn connect_url(&self, connection: &Connection, asked: &Segment) -> Option<String> {
        if matches!(connection.state, State::Active { .. }) {
            return None;
        }
        let returned = connection.details.slug.as_deref().and_then(|slug| Segment::new(slug, "slug").ok());
        Some(self.catalog.as_ref()?.connector_url(returned.as_ref().unwrap_or(asked)))
    }
}

/// Takes a flight off the list however it ends: landed, dropped by its last caller, or panicking.
struct Landing<T> {
    shared: Arc<Shared<T>>,
    key: Key,
    number: u64,
    has_landed: bool,
}

impl<T> Landing<T> {
    /// Remembers the result, unless the flight was called off.
    fn land(&mut self, landed: &Landed, origin: Option<Origin>) {
        self.has_landed = true;
        let mut tokens = self.shared.tokens();
        if !tokens.flights.end(&self.key, self.number) {
            return;
        }
        let Some(cache) = &mut tokens.cache else { return };
        let now = self.shared.engine.clock.now();
        match landed {
            Ok(connection) => cache.put(self.key.clone(), connection, origin, now),
            Err(error) if error.is_refusal() => cache.evict(&self.key),
            Err(_) => {}
        }
    }
}

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        if !self.has_landed {
            self.shared.tokens().flights.end(&self.key, self.number);
        }
    }
}

/// A call's share in a flight, with the call's own deadline.
#[derive(Debug)]
pub struct Call<T = Transport> {
    shared: Arc<Shared<T>>,
    flight: Flight,
    slug: Segment,
    timeout: Duration,
    deadline: Instant,
    coalesced: bool,
}

impl<T> Call<T> {
    /// Runs the call to its end. Dropping the future of the last call of a flight cancels the request.
    pub async fn run(self) -> Outcome {
        let Self { shared, flight: Flight { landed, progress }, slug, timeout, deadline, coalesced } = self;
        let landed = timeout_at(deadline, landed).await;
        let attempts = progress.attempts();
        let mut result = landed.unwrap_or_else(|_| Err(shared.engine.overdue(timeout, attempts)));
        if let Err(error) = &mut result {
            error.attempts = attempts;
            shared.engine.stats.failures.add();
        }
        let connect_url = result.as_ref().ok().and_then(|connection| shared.connect_url(connection, &slug));
        Outcome { result, connect_url, attempts, coalesced }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use http::Uri;
    use tokio::sync::Semaphore;
    use zeroize::Zeroizing;

    use super::*;
    use crate::core::clock::Now;
    use crate::core::error::Kind;
    use crate::core::http::Fault;
    use crate::core::platform::endpoint::Paths;
    use crate::core::platform::retry::Class;
    use crate::core::platform::verdict::Answer;
    use crate::core::tokens::cache;

    /// Answers from a script; what it does not hold is a hang.
    #[derive(Debug, Default)]
    struct Script {
        steps: Mutex<VecDeque<Result<Answer, Fault>>>,
        left: AtomicU32,
    }

    impl Exchange for Script {
        async fn exchange(&self, _: Uri) -> Result<Answer, Fault> {
            let next = self.steps.lock().unwrap().pop_front();
            match next {
                Some(result) => result,
                None => std::future::pending().await,
            }
        }

        fn leave_pool(&self) {
            self.left.fetch_add(1, Ordering::Relaxed);
        }
    }

    const TOKEN: &str =
        r#"{"connection":{"enabled":true},"authorization":{"status":"active","access_token":"t"}}"#;

    fn answer(status: u16, retry_after: Option<u64>) -> Result<Answer, Fault> {
        Ok(Answer {
            status,
            body: Zeroizing::new(TOKEN.as_bytes().to_vec()),
            retry_after: retry_after.map(Duration::from_secs),
            request_id: None,
        })
    }

    fn lost(stale: bool) -> Result<Answer, Fault> {
        Err(Fault { error: Error::new(Kind::Connect, "lost"), class: Some(Class::Transient), stale })
    }

    fn client(max_retries: u32, script: Vec<Result<Answer, Fault>>) -> Client<Script> {
        Client::with_parts(
            Endpoint::new(Some("https://p.test"), &Paths::default()).unwrap(),
            None,
            Limits {
                timeout: Duration::from_secs(20),
                attempt_timeout: Duration::from_secs(8),
                max_retries,
                max_concurrency: 1,
                cache: None,
            },
            || 1.0,
            Clock::system(),
            Script { steps: Mutex::new(script.into()), ..Script::default() },
            None,
        )
    }

    /// A call for a user that is not answered from the cache.
    fn begin<T: Exchange>(client: &Client<T>, id: &str, timeout: Option<Duration>) -> Result<Call<T>, Error> {
        let request = Request { kind: OwnerKind::User, id, slug: "s", timeout, fresh: false };
        client.begin(request).map(|begun| match begun {
            Begun::Call(call) => call,
            Begun::Hit { .. } => panic!("answered from the cache"),
        })
    }

    async fn call(client: &Client<Script>) -> (Result<(), Kind>, u32, Duration) {
        let started = Instant::now();
        let outcome = begin(client, "u", None).unwrap().run().await;
        (outcome.result.map(drop).map_err(|error| error.kind), outcome.attempts, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn passing_faults_are_retried_with_backoff() {
        let client = client(2, vec![answer(503, None), lost(false), answer(200, None)]);
        assert_eq!(call(&client).await, (Ok(()), 3, Duration::from_millis(50 + 100)));
        assert_eq!((client.stats().requests.get(), client.stats().retries.get()), (3, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_waited_for_or_handed_to_the_caller() {
        let client = client(2, vec![answer(429, Some(3)), answer(200, None), answer(503, Some(60))]);
        assert_eq!(call(&client).await, (Ok(()), 2, Duration::from_millis(3_050)));
        assert_eq!(call(&client).await, (Err(Kind::Server), 1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_connection_is_retried_for_free_even_without_retries() {
        for max_retries in [0, 2] {
            let client = client(max_retries, vec![lost(true), answer(200, None)]);
            assert_eq!(call(&client).await, (Ok(()), 2, Duration::ZERO));
        }
        let client = client(0, vec![lost(true), lost(true)]);
        assert_eq!(call(&client).await, (Err(Kind::Connect), 2, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn only_one_retry_of_a_call_is_free() {
        let client = client(2, (0..3).map(|_| lost(true)).collect());
        assert_eq!(call(&client).await, (Err(Kind::Connect), 3, Duration::from_millis(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_retry_of_a_stale_connection_leaves_the_pool() {
        for (max_retries, left) in [(0, [1, 1]), (1, [1, 1]), (2, [0, 1])] {
            for (stale, expected) in [1, 2].into_iter().zip(left) {
                let script = (0..stale).map(|_| lost(true)).chain([answer(200, None)]).collect();
                let client = client(max_retries, script);
                let _ = call(&client).await;
                let open = client.shared.open().clone().unwrap();
                assert_eq!(open.transport.left.load(Ordering::Relaxed), expected, "{max_retries} {stale}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_attempt_is_retried_until_the_call_is_overdue() {
        let (result, attempts, elapsed) = call(&client(2, vec![])).await;
        assert_eq!((result, attempts), (Err(Kind::Timeout), 3));
        assert_eq!(elapsed, Duration::from_secs(20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_platform_that_always_leaves_without_looking_is_spared() {
        const CALLS: u64 = 10_000;
        let leaves = || Err(Fault { class: Some(Class::Unhandled), ..lost(false).unwrap_err() });
        let client = client(2, (0..CALLS * 3).map(|_| leaves()).collect());
        for _ in 0..CALLS {
            assert!(call(&client).await.0.is_err());
        }
        assert_eq!(client.stats().requests.get(), CALLS + 500 / 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_not_answered_in_time_is_not_repeated_on_the_same_connection() {
        let client = client(1, vec![]);
        let _ = call(&client).await;
        let open = client.shared.open().clone().unwrap();
        assert_eq!(open.transport.left.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_platform_that_always_fails_is_spared() {
        const CALLS: u64 = 10_000;
        for (status, bound) in [(503, CALLS + 500 / 14), (429, CALLS + 500 / 5)] {
            let client = client(2, (0..CALLS * 3).map(|_| answer(status, None)).collect());
            for _ in 0..CALLS {
                assert!(call(&client).await.0.is_err());
            }
            assert_eq!(client.stats().requests.get(), bound);
            assert_eq!(client.stats().failures.get(), CALLS);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_in_the_queue_ends_at_its_deadline_without_a_request() {
        let client = client(0, vec![]);
        let first = begin(&client, "u", None).unwrap();
        let short = begin(&client, "v", Some(Duration::from_millis(70))).unwrap();
        assert_eq!(client.stats().queued.get(), 2);
        let mut first = Box::pin(first.run());
        tokio::select! {
            biased;
            _ = &mut first => panic!("the first call hangs"),
            outcome = short.run() => {
                assert_eq!(outcome.result.unwrap_err().kind, Kind::Timeout);
                assert_eq!(outcome.attempts, 0);
            }
        }
        drop(first);
        assert_eq!((client.stats().in_flight.get(), client.stats().queued.get()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_beyond_the_queue_are_refused() {
        let client = client(0, vec![]);
        let taken: Vec<_> = (0..20_000).map(|id| begin(&client, &id.to_string(), None).unwrap()).collect();
        let refused = begin(&client, "u", None).unwrap_err();
        assert_eq!((refused.kind, refused.retryable), (Kind::Overloaded, true));
        drop(taken);
        assert!(begin(&client, "u", None).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn closing_refuses_new_calls_and_waits_for_those_under_way() {
        let client = client(0, vec![answer(200, None)]);
        let under_way = begin(&client, "u", None).unwrap();
        let closed = client.close().unwrap();
        assert_eq!(begin(&client, "u", None).unwrap_err().kind, Kind::Closed);
        let (outcome, ()) = tokio::join!(under_way.run(), closed);
        assert!(outcome.result.is_ok());
        assert!(client.close().is_none());
    }

    /// Hands out a new token at each request, once it gets leave to.
    #[derive(Debug)]
    struct Platform {
        requests: AtomicU32,
        cancelled: Arc<AtomicU32>,
        leave: Semaphore,
        status: AtomicU32,
    }

    struct Cancelled(Arc<AtomicU32>);

    impl Drop for Cancelled {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Exchange for Platform {
        async fn exchange(&self, _: Uri) -> Result<Answer, Fault> {
            let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
            let cancelled = Cancelled(Arc::clone(&self.cancelled));
            self.leave.acquire().await.unwrap().forget();
            std::mem::forget(cancelled);
            let status = self.status.load(Ordering::Relaxed) as u16;
            assert_ne!(status, 0, "a defect");
            let body = TOKEN.replace("\"t\"", &format!("\"token-{number}\""));
            Ok(Answer {
                status,
                body: Zeroizing::new(body.into_bytes()),
                retry_after: None,
                request_id: None,
            })
        }

        fn leave_pool(&self) {}
    }

    struct Rig {
        client: Client<Platform>,
        platform: Arc<Open<Platform>>,
        now: Arc<Mutex<Now>>,
    }

    impl Rig {
        /// With a cache of 60 s, or none.
        fn new(cached: bool) -> Self {
            let now = Arc::new(Mutex::new(Now { wall: 1.7e12, boot: Duration::from_secs(1_000) }));
            let read = Arc::clone(&now);
            let client = Client::with_parts(
                Endpoint::new(Some("https://p.test"), &Paths::default()).unwrap(),
                None,
                Limits {
                    timeout: Duration::from_secs(20),
                    attempt_timeout: Duration::from_secs(8),
                    max_retries: 0,
                    max_concurrency: 100,
                    cache: cached.then_some(cache::Limits { ttl: Duration::from_secs(60), max_entries: 100 }),
                },
                || 0.0,
                Clock::new(move || *read.lock().unwrap()),
                Platform {
                    requests: AtomicU32::new(0),
                    cancelled: Arc::default(),
                    leave: Semaphore::new(0),
                    status: AtomicU32::new(200),
                },
                None,
            );
            let platform = client.shared.open().clone().unwrap();
            Self { client, platform, now }
        }

        fn answers(&self, times: usize) {
            self.platform.transport.leave.add_permits(times);
        }

        fn fails_with(&self, status: u32) {
            self.platform.transport.status.store(status, Ordering::Relaxed);
        }

        fn requests(&self) -> u32 {
            self.platform.transport.requests.load(Ordering::Relaxed)
        }

        fn cancelled(&self) -> u32 {
            self.platform.transport.cancelled.load(Ordering::Relaxed)
        }

        fn passes(&self, seconds: u64) {
            let mut now = self.now.lock().unwrap();
            now.wall += seconds as f64 * 1e3;
            now.boot += Duration::from_secs(seconds);
        }

        fn under_way(&self) -> usize {
            let key = Key::new(OwnerKind::User, "u", "s").unwrap();
            usize::from(self.client.shared.tokens().flights.is_under_way(&key))
        }

        fn hit(&self) -> Option<(String, Option<Call<Platform>>)> {
            let request = Request { kind: OwnerKind::User, id: "u", slug: "s", timeout: None, fresh: false };
            match self.client.begin(request).unwrap() {
                Begun::Hit { connection, refresh, .. } => {
                    Some((connection.token().unwrap().to_owned(), refresh))
                }
                Begun::Call(_) => None,
            }
        }

        fn fresh(&self) -> Call<Platform> {
            let request = Request { kind: OwnerKind::User, id: "u", slug: "s", timeout: None, fresh: true };
            match self.client.begin(request).unwrap() {
                Begun::Call(call) => call,
                Begun::Hit { .. } => panic!("not fresh"),
            }
        }

        fn invalidate(&self, rejected: Option<&str>) {
            assert!(self.client.invalidate(OwnerKind::User, "u", "s", rejected).unwrap().is_none());
        }
    }

    fn token(outcome: &Outcome) -> &str {
        outcome.result.as_ref().unwrap().token().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn identical_calls_share_one_request() {
        for calls in [50, 10_000] {
            let rig = Rig::new(false);
            rig.answers(2);
            let taken: Vec<_> = (0..calls).map(|_| begin(&rig.client, "u", None).unwrap().run()).collect();
            for (number, outcome) in join_all(taken).await.iter().enumerate() {
                assert_eq!((token(outcome), outcome.attempts), ("token-1", 1));
                assert_eq!(outcome.coalesced, number > 0);
            }
            assert_eq!((rig.requests(), rig.client.stats().coalesced.get()), (1, calls - 1));
            assert_eq!(rig.under_way(), 0);
            assert_eq!(token(&begin(&rig.client, "u", None).unwrap().run().await), "token-2");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_differs_in_kind_id_or_slug_shares_nothing() {
        let rig = Rig::new(true);
        rig.answers(6);
        let parts = [
            (OwnerKind::User, "1", "s"),
            (OwnerKind::Group, "1", "s"),
            (OwnerKind::Context, "1", "s"),
            (OwnerKind::User, "1", "t"),
            (OwnerKind::User, "a:b", "c"),
            (OwnerKind::User, "a", "b:c"),
        ];
        let calls = parts.map(|(kind, id, slug)| {
            match rig.client.begin(Request { kind, id, slug, timeout: None, fresh: false }).unwrap() {
                Begun::Call(call) => call.run(),
                Begun::Hit { .. } => panic!("answered from the cache"),
            }
        });
        let tokens: std::collections::HashSet<_> =
            join_all(calls).await.iter().map(|outcome| token(outcome).to_owned()).collect();
        assert_eq!((tokens.len(), rig.requests()), (6, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_leaves_or_runs_out_of_time_touches_no_other() {
        let rig = Rig::new(false);
        let mut first = Box::pin(begin(&rig.client, "u", None).unwrap().run());
        let short = begin(&rig.client, "u", Some(Duration::from_millis(10))).unwrap().run();
        let last = begin(&rig.client, "u", None).unwrap().run();
        assert!(futures_util::poll!(&mut first).is_pending());
        let outcome = short.await;
        assert_eq!(outcome.result.unwrap_err().kind, Kind::Timeout);
        drop(first);
        rig.answers(1);
        assert_eq!(token(&last.await), "token-1");
        assert_eq!((rig.requests(), rig.cancelled()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_have_left_the_request_is_cancelled_and_the_next_call_asks_again() {
        let rig = Rig::new(false);
        let mut calls: Vec<_> =
            (0..3).map(|_| Box::pin(begin(&rig.client, "u", None).unwrap().run())).collect();
        for call in &mut calls {
            assert!(futures_util::poll!(call).is_pending());
        }
        assert_eq!((rig.requests(), rig.under_way()), (1, 1));
        drop(calls);
        assert_eq!((rig.cancelled(), rig.under_way()), (1, 0));
        rig.answers(1);
        assert_eq!(token(&begin(&rig.client, "u", None).unwrap().run().await), "token-2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shared_failure_reaches_everyone_and_is_not_kept() {
        let rig = Rig::new(true);
        rig.fails_with(503);
        rig.answers(1);
        let calls: Vec<_> = (0..5).map(|_| begin(&rig.client, "u", None).unwrap().run()).collect();
        for outcome in join_all(calls).await {
            assert_eq!(outcome.result.unwrap_err().kind, Kind::Server);
        }
        assert_eq!((rig.requests(), rig.client.stats().failures.get()), (1, 5));
        rig.fails_with(200);
        rig.answers(1);
        assert_eq!(token(&begin(&rig.client, "u", None).unwrap().run().await), "token-2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_leaves_no_flight_behind() {
        let rig = Rig::new(false);
        rig.fails_with(0);
        rig.answers(1);
        let call = begin(&rig.client, "u", None).unwrap();
        let panicked = std::panic::AssertUnwindSafe(call.run()).catch_unwind().await;
        assert!(panicked.is_err());
        assert_eq!(rig.under_way(), 0);
        rig.fails_with(200);
        rig.answers(1);
        assert_eq!(token(&begin(&rig.client, "u", None).unwrap().run().await), "token-2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cached_token_is_served_until_its_end_and_fetched_anew_before() {
        let rig = Rig::new(true);
        rig.answers(1);
        begin(&rig.client, "u", None).unwrap().run().await;
        assert!(matches!(rig.hit(), Some((token, None)) if token == "token-1"));
        rig.passes(46);
        let refreshes: Vec<_> = (0..1_000).filter_map(|_| rig.hit().unwrap().1).collect();
        assert_eq!(refreshes.len(), 1);
        rig.answers(1);
        for refresh in refreshes {
            refresh.run().await;
        }
        assert!(matches!(rig.hit(), Some((token, None)) if token == "token-2"));
        rig.passes(60);
        assert!(rig.hit().is_none());
        assert_eq!(rig.client.stats().cache_hits.get(), 1_002);
        assert_eq!(rig.client.stats().cache_misses.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_refresh_keeps_the_token_and_a_refusal_evicts_it() {
        for (status, is_kept) in [(503, true), (429, true), (401, false), (403, false), (404, false)] {
            let rig = Rig::new(true);
            rig.answers(2);
            begin(&rig.client, "u", None).unwrap().run().await;
            rig.passes(50);
            rig.fails_with(status);
            rig.hit().unwrap().1.unwrap().run().await;
            assert_eq!(rig.hit().is_some(), is_kept, "{status}");
            if is_kept {
                assert!(rig.hit().unwrap().1.is_none());
                rig.passes(5);
                assert!(rig.hit().unwrap().1.is_some());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalidation_or_a_fresh_call_beats_what_is_under_way() {
        for by_fresh in [false, true] {
            let rig = Rig::new(true);
            let old = begin(&rig.client, "u", None).unwrap();
            let mut old = Box::pin(old.run());
            assert!(futures_util::poll!(&mut old).is_pending());
            let new = if by_fresh {
                rig.fresh()
            } else {
                rig.invalidate(None);
                begin(&rig.client, "u", None).unwrap()
            };
            let mut new = Box::pin(new.run());
            assert!(futures_util::poll!(&mut new).is_pending());
            rig.answers(1);
            assert_eq!(token(&old.await), "token-1");
            assert!(rig.hit().is_none(), "the older result is not kept");
            rig.answers(1);
            assert_eq!(token(&new.await), "token-2");
            assert!(matches!(rig.hit(), Some((token, _)) if token == "token-2"));
            assert_eq!(rig.requests(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_token_is_dropped_by_its_value() {
        let rig = Rig::new(true);
        rig.answers(2);
        begin(&rig.client, "u", None).unwrap().run().await;
        rig.invalidate(Some("another"));
        assert!(rig.hit().is_some());
        rig.invalidate(Some("token-1"));
        assert!(rig.hit().is_none());
        assert_eq!(token(&begin(&rig.client, "u", None).unwrap().run().await), "token-2");
        rig.invalidate(Some("token-1"));
        assert!(rig.hit().is_some());
    }
}
