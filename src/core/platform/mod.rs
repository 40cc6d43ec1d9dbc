//! The work of one flight: place → request → verdict → retry, until there is an answer or no more sense in trying.
//!
//! Everything it holds is given back when its future is dropped, so dropping it is how a request is cancelled.

pub mod endpoint;
pub mod retry;
pub mod verdict;

use std::sync::Arc;
use std::time::Duration;

use ::http::Uri;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::core::clock::Clock;
use crate::core::config::Limits;
use crate::core::connection::Connection;
use crate::core::error::{Error, Kind};
use crate::core::http::{Exchange, Fault};
use crate::core::platform::endpoint::Endpoint;
use crate::core::platform::retry::{Class, Failure, Policy, Quota};
use crate::core::stats::Stats;
use crate::core::tokens::cache::Key;
use crate::core::tokens::in_flight::Progress;

/// Flights that may wait for a place. With 100 places and answers in 100 ms, as many as can be served within the
/// default timeout; one beyond them would only wait to fail.
const MAX_QUEUED: u64 = 20_000;

/// What all flights of a client share.
#[derive(Debug)]
pub struct Engine {
    pub origin: String,
    pub limits: Limits,
    pub stats: Stats,
    pub clock: Clock,
    endpoint: Endpoint,
    policy: Policy,
    quota: Quota,
    places: Semaphore,
}

impl Engine {
    /// An engine at rest.
    pub fn new(endpoint: Endpoint, limits: Limits, jitter: fn() -> f64, clock: Clock) -> Self {
        Self {
            origin: endpoint.origin(),
            endpoint,
            limits,
            stats: Stats::default(),
            clock,
            policy: Policy { max_retries: limits.max_retries, jitter },
            quota: Quota::new(),
            places: Semaphore::new(limits.max_concurrency),
        }
    }

    /// Where the platform has a connection.
    pub fn connection_uri(&self, key: &Key) -> Result<Uri, Error> {
        self.endpoint.connection_uri(key.kind, &key.id, &key.slug)
    }

    /// A turn in the queue, unless it is full.
    pub fn queue(self: &Arc<Self>) -> Result<Queued, Error> {
        if self.stats.queued.get() >= MAX_QUEUED {
            return Err(Error::new(
                Kind::Overloaded,
                "Too many calls wait already: make fewer at once, or raise maxConcurrency",
            )
            .retryable());
        }
        Ok(Queued::new(self))
    }

    /// Asks the platform until it answers.
    pub async fn ask(
        self: &Arc<Self>,
        transport: &impl Exchange,
        queued: Queued,
        key: &Key,
        progress: &Progress,
    ) -> Result<Connection, Error> {
        let uri = self.connection_uri(key)?;
        let mut queued = Some(queued);
        let mut retries = 0;
        let mut spent = None;
        let mut free_retry = true;
        loop {
            let place = self.places.acquire().await.map_err(|_| Error::internal())?;
            drop(queued.take());
            progress.attempt();
            self.stats.requests.add();
            let under_way = self.stats.in_flight.hold();
            let exchange = timeout(self.limits.attempt_timeout, transport.exchange(uri.clone())).await;
            drop((under_way, place));

            let exchange = exchange.unwrap_or_else(|_| {
                // A frozen connection looks just so: the next request goes over a new one.
                transport.leave_pool();
                Err(self.slow_attempt())
            });
            let fault = match exchange {
                Ok(answer) => match verdict::judge(&answer, &self.origin, self.clock.now().wall) {
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
            let is_free = stale && free_retry && retries < self.limits.max_retries.max(1);
            if is_free {
                // The platform has not failed, so this costs neither quota nor backoff. It is one of the call's
                // retries all the same, and one is granted where there are none.
                free_retry = false;
            } else {
                let failure = Failure {
                    class,
                    retry_after: error.retry_after,
                    retries,
                    time_left: progress.time_left(),
                };
                let Some(delay) = self.policy.delay(failure) else { return Err(error) };
                let Some(cost) = self.quota.spend(class) else { return Err(error) };
                spent = Some(cost);
                sleep(delay).await;
            }
            if stale && retries + 1 >= self.limits.max_retries {
                // The last try keeps away from the pool, where more connections may have died with this one.
                transport.leave_pool();
            }
            retries += 1;
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

    /// The error of a caller whose own time is up.
    pub fn overdue(&self, timeout: Duration, attempts: u32) -> Error {
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

/// Counts a flight as queued for as long as it lives.
#[derive(Debug)]
pub struct Queued(Arc<Engine>);

impl Queued {
    fn new(engine: &Arc<Engine>) -> Self {
        engine.stats.queued.add();
        Self(Arc::clone(engine))
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.stats.queued.take();
    }
}
