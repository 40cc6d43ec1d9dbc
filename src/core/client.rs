//! The pipeline of a call: arguments → place → request → verdict → retry, all within one deadline.
//!
//! Everything a call holds is given back when its future is dropped, so dropping it is how a call is cancelled.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::config::{Config, Limits, Options};
use super::connection::{Connection, EpochMillis, State};
use super::endpoint::{Catalog, Endpoint, OwnerKind, Segment};
use super::error::{Error, Kind};
use super::retry::{Class, Failure, Policy, Quota};
use super::stats::Stats;
use super::transport::{Exchange, Fault, Transport};
use super::verdict;

/// Calls that may wait for a place. With 100 places and answers in 100 ms, as many as can be served within the
/// default timeout; a call beyond them would only wait to fail.
const MAX_QUEUED: u64 = 20_000;

/// One client serves every owner of a backend.
#[derive(Debug)]
pub struct Client<T = Transport> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    endpoint: Endpoint,
    catalog: Option<Catalog>,
    origin: String,
    limits: Limits,
    policy: Policy,
    quota: Quota,
    places: Semaphore,
    stats: Stats,
    open: Mutex<Option<Arc<Open<T>>>>,
    ended: watch::Receiver<()>,
}

/// What an open client holds and its calls share; gone when the client is closed and the last call has ended.
#[derive(Debug)]
struct Open<T> {
    transport: T,
    _ends: watch::Sender<()>,
}

/// How a call ended.
#[derive(Debug)]
pub struct Outcome {
    /// The connection, whatever its state, or why there is none.
    pub result: Result<Connection, Error>,
    /// Where the owner sets the connection up, when it is unavailable and the catalog is known.
    pub connect_url: Option<String>,
    /// Requests sent.
    pub attempts: u32,
}

impl Client {
    /// Checks the options. Opens no connection and starts no thread.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let Config { endpoint, catalog, limits, transport } = options.check()?;
        Ok(Self::with_transport(endpoint, catalog, limits, fastrand::f64, Transport::new(transport)))
    }
}

impl<T: Exchange> Client<T> {
    fn with_transport(
        endpoint: Endpoint,
        catalog: Option<Catalog>,
        limits: Limits,
        jitter: fn() -> f64,
        transport: T,
    ) -> Self {
        let (ends, ended) = watch::channel(());
        Self {
            shared: Arc::new(Shared {
                origin: endpoint.origin(),
                endpoint,
                catalog,
                limits,
                policy: Policy { max_retries: limits.max_retries, jitter },
                quota: Quota::new(),
                places: Semaphore::new(limits.max_concurrency),
                stats: Stats::default(),
                open: Mutex::new(Some(Arc::new(Open { transport, _ends: ends }))),
                ended,
            }),
        }
    }

    /// Takes a call on: its arguments are checked and its deadline runs from here. Sends nothing yet.
    pub fn begin(
        &self,
        kind: OwnerKind,
        id: &str,
        slug: &str,
        timeout: Option<Duration>,
    ) -> Result<Call<T>, Error> {
        let id = Segment::new(id, kind.id_name())?;
        let slug = Segment::new(slug, "slug")?;
        let open = self.shared.open().clone().ok_or_else(Error::closed)?;
        self.shared.stats.calls.add();
        if self.shared.stats.queued.get() >= MAX_QUEUED {
            self.shared.stats.failures.add();
            return Err(Error::new(
                Kind::Overloaded,
                "Too many calls wait already: make fewer at once, or raise maxConcurrency",
            )
            .retryable());
        }
        let timeout = timeout.unwrap_or(self.shared.limits.timeout);
        Ok(Call {
            queued: Queued::new(&self.shared),
            shared: Arc::clone(&self.shared),
            open,
            kind,
            id,
            slug,
            timeout,
            deadline: Instant::now() + timeout,
        })
    }

    /// The page where an owner sets up or repairs the connector; `None` when no catalog is known.
    pub fn connector_url(&self, slug: &str) -> Result<Option<String>, Error> {
        let slug = Segment::new(slug, "slug")?;
        Ok(self.shared.catalog.as_ref().map(|catalog| catalog.connector_url(&slug)))
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Takes no more calls on. What is returned ends when the calls under way have; `None` when there are none.
    pub fn close(&self) -> Option<impl Future<Output = ()> + Send + use<T>> {
        drop(self.shared.open().take());
        let mut ended = self.shared.ended.clone();
        let is_over = ended.has_changed().is_err();
        (!is_over).then_some(async move { while ended.changed().await.is_ok() {} })
    }
}

impl<T> Shared<T> {
    fn open(&self) -> MutexGuard<'_, Option<Arc<Open<T>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a call as queued for as long as it lives.
#[derive(Debug)]
struct Queued<T>(Arc<Shared<T>>);

impl<T> Queued<T> {
    fn new(shared: &Arc<Shared<T>>) -> Self {
        shared.stats.queued.add();
        Self(Arc::clone(shared))
    }
}

impl<T> Drop for Queued<T> {
    fn drop(&mut self) {
        self.0.stats.queued.take();
    }
}

/// A call that has been taken on.
#[derive(Debug)]
pub struct Call<T = Transport> {
    shared: Arc<Shared<T>>,
    open: Arc<Open<T>>,
    queued: Queued<T>,
    kind: OwnerKind,
    id: Segment,
    slug: Segment,
    timeout: Duration,
    deadline: Instant,
}

impl<T: Exchange> Call<T> {
    /// Runs the call to its end. Dropping the future cancels the request.
    pub async fn run(self) -> Outcome {
        let Self { shared, open, queued, kind, id, slug, timeout, deadline } = self;
        let attempts = AtomicU32::new(0);
        let work = shared.attempt(&open.transport, queued, (kind, &id, &slug), deadline, &attempts);
        let mut result =
            timeout_at(deadline, work).await.unwrap_or_else(|_| Err(shared.overdue(timeout, &attempts)));
        let attempts = attempts.into_inner();
        if let Err(error) = &mut result {
            error.attempts = attempts;
            shared.stats.failures.add();
        }
        let connect_url = result.as_ref().ok().and_then(|connection| shared.connect_url(connection, &slug));
        Outcome { result, connect_url, attempts }
    }
}

impl<T: Exchange> Shared<T> {
    async fn attempt(
        self: &Arc<Self>,
        transport: &T,
        queued: Queued<T>,
        (kind, id, slug): (OwnerKind, &Segment, &Segment),
        deadline: Instant,
        attempts: &AtomicU32,
    ) -> Result<Connection, Error> {
        let url = self.endpoint.connection_url(kind, id, slug)?;
        let mut queued = Some(queued);
        let mut retries = 0;
        let mut spent = None;
        loop {
            let place = self.places.acquire().await.map_err(|_| Error::internal())?;
            drop(queued.take());
            attempts.fetch_add(1, Ordering::Relaxed);
            self.stats.requests.add();
            let under_way = self.stats.in_flight.hold();
            let exchange = timeout(self.limits.attempt_timeout, transport.exchange(url.clone())).await;
            drop((under_way, place));

            let fault = match exchange.unwrap_or_else(|_| Err(self.slow_attempt())) {
                Ok(answer) => match verdict::judge(&answer, &self.origin, wall_clock()) {
                    Ok(connection) => {
                        self.quota.succeed(spent);
                        return Ok(connection);
                    }
                    Err(error) => Fault::of_answer(error, answer.status),
                },
                Err(fault) => fault,
            };
            let Fault { error, class, stale } = fault;
            let Some(class) = class else { return Err(error) };
            if stale && retries < self.limits.max_retries.max(1) {
                // The platform has not failed, so this costs neither quota nor backoff. It is one of the call's
                // retries all the same, and one is granted where there are none. The last one keeps away from the
                // pool, where more connections may have died with this one.
                retries += 1;
                if retries >= self.limits.max_retries {
                    transport.leave_pool();
                }
            } else {
                let failure = Failure {
                    class,
                    retry_after: error.retry_after,
                    retries,
                    time_left: deadline.saturating_duration_since(Instant::now()),
                };
                let Some(delay) = self.policy.delay(failure) else { return Err(error) };
                let Some(cost) = self.quota.spend(class) else { return Err(error) };
                spent = Some(cost);
                retries += 1;
                sleep(delay).await;
            }
            self.stats.retries.add();
            queued = Some(Queued::new(self));
        }
    }

    fn slow_attempt(&self) -> Fault {
        let limit = self.limits.attempt_timeout.as_millis();
        Fault {
            error: Error::new(
                Kind::Timeout,
                format!(
                    "{} did not answer within {limit} ms: call again later, or raise attemptTimeoutMs",
                    self.origin
                ),
            )
            .retryable(),
            class: Some(Class::Transient),
            stale: false,
        }
    }

    fn overdue(&self, timeout: Duration, attempts: &AtomicU32) -> Error {
        let limit = timeout.as_millis();
        let message = if attempts.load(Ordering::Relaxed) == 0 {
            format!(
                "The call waited {limit} ms for one of maxConcurrency places: make fewer at once, or raise it"
            )
        } else {
            format!("No answer from {} within {limit} ms: call again later, or raise timeoutMs", self.origin)
        };
        Error::new(Kind::Timeout, message).retryable()
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

impl Fault {
    /// An answer that is a failure.
    fn of_answer(error: Error, status: u16) -> Self {
        let class = match error.kind {
            Kind::RateLimited => Some(Class::Throttled),
            Kind::Server | Kind::Http if verdict::is_passing(status) => Some(Class::Transient),
            _ => None,
        };
        Self { error, class, stale: false }
    }
}

fn wall_clock() -> EpochMillis {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use url::Url;
    use zeroize::Zeroizing;

    use super::*;
    use crate::core::endpoint::Paths;
    use crate::core::verdict::Answer;

    /// Answers from a script; what it does not hold is a hang.
    #[derive(Debug, Default)]
    struct Script {
        steps: Mutex<VecDeque<Result<Answer, Fault>>>,
        left: AtomicU32,
    }

    impl Exchange for Script {
        async fn exchange(&self, _: Url) -> Result<Answer, Fault> {
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
        Client::with_transport(
            Endpoint::new(Some("https://p.test"), &Paths::default()).unwrap(),
            None,
            Limits {
                timeout: Duration::from_secs(20),
                attempt_timeout: Duration::from_secs(8),
                max_retries,
                max_concurrency: 1,
            },
            || 1.0,
            Script { steps: Mutex::new(script.into()), ..Script::default() },
        )
    }

    async fn call(client: &Client<Script>) -> (Result<(), Kind>, u32, Duration) {
        let started = Instant::now();
        let outcome = client.begin(OwnerKind::User, "u", "s", None).unwrap().run().await;
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
        let first = client.begin(OwnerKind::User, "u", "s", None).unwrap();
        let short = client.begin(OwnerKind::User, "u", "s", Some(Duration::from_millis(70))).unwrap();
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
        let taken: Vec<_> =
            (0..MAX_QUEUED).map(|_| client.begin(OwnerKind::User, "u", "s", None).unwrap()).collect();
        let refused = client.begin(OwnerKind::User, "u", "s", None).unwrap_err();
        assert_eq!((refused.kind, refused.retryable), (Kind::Overloaded, true));
        drop(taken);
        assert!(client.begin(OwnerKind::User, "u", "s", None).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn closing_refuses_new_calls_and_waits_for_those_under_way() {
        let client = client(0, vec![answer(200, None)]);
        let under_way = client.begin(OwnerKind::User, "u", "s", None).unwrap();
        let closed = client.close().unwrap();
        assert_eq!(client.begin(OwnerKind::User, "u", "s", None).unwrap_err().kind, Kind::Closed);
        let (outcome, ()) = tokio::join!(under_way.run(), closed);
        assert!(outcome.result.is_ok());
        assert!(client.close().is_none());
    }
}
