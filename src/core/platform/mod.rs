//! Asks the platform: permit → request → verdict → retry, until there is an answer or another attempt makes no sense.
//!
//! A fetch releases everything that it holds when its future is dropped, so dropping it cancels the request.

mod answer;
mod attempts;
pub mod catalog;
pub mod endpoint;
mod moment;
pub mod retry;
pub mod verdict;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::core::clock::Clock;
use crate::core::connection::{Connection, ConnectionState};
use crate::core::error::Error;
use crate::core::http::{Answer, Exchange, Fault};
use crate::core::platform::attempts::Attempts;
use crate::core::platform::catalog::Catalog;
use crate::core::platform::endpoint::Endpoint;
use crate::core::platform::retry::{RetryPolicy, RetryQuota};
use crate::core::source::{Fetch, Fetched, TokenSource};
use crate::core::stats::Stats;
use crate::core::tokens::key::{OwnerKind, Segment};

/// The limits of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct AttemptLimits {
    pub attempt_timeout: Duration,
    pub max_retries: u32,
    pub max_concurrency: usize,
}

/// The source that no other one wraps: the Platform API.
pub struct Platform<T> {
    transport: T,
    origin: String,
    endpoint: Endpoint,
    catalog: Option<Catalog>,
    attempt_timeout: Duration,
    policy: RetryPolicy,
    quota: RetryQuota,
    permits: Semaphore,
    stats: Arc<Stats>,
    clock: Clock,
}

impl<T: Exchange> Platform<T> {
    pub fn new(
        transport: T,
        endpoint: Endpoint,
        catalog: Option<Catalog>,
        limits: AttemptLimits,
        stats: Arc<Stats>,
        clock: Clock,
        jitter: fn() -> f64,
    ) -> Self {
        Self {
            transport,
            origin: endpoint.origin(),
            endpoint,
            catalog,
            attempt_timeout: limits.attempt_timeout,
            policy: RetryPolicy { max_retries: limits.max_retries, jitter },
            quota: RetryQuota::new(limits.max_concurrency),
            permits: Semaphore::new(limits.max_concurrency),
            stats,
            clock,
        }
    }

    /// Asks until there is an answer.
    async fn ask(&self, fetch: Fetch) -> Result<Connection, Error> {
        let Fetch { key, state, queued, .. } = fetch;
        let transport = &self.transport;
        let url = self.endpoint.connection_url(key.kind, key.id(), key.slug())?;
        let mut queued = Some(queued);
        let mut attempts = Attempts::default();
        loop {
            let permit = self.permits.acquire().await.map_err(|_| Error::internal())?;
            drop(queued.take());
            state.count_attempt();
            self.stats.requests.add();
            let under_way = self.stats.in_flight.hold();
            let exchange = transport.exchange(url.clone(), self.attempt_timeout, attempts.pool).await;
            drop(permit);
            drop(under_way);

            let failed = match self.judge(exchange, key.kind) {
                Ok(connection) => {
                    self.quota.succeed(attempts.spent);
                    return Ok(self.with_connect_url(connection, key.slug()));
                }
                Err(failed) => failed,
            };
            let time_left = state.time_left();
            let Some(delay) = attempts.after(&failed, &self.policy, &self.quota, time_left) else {
                return Err(*failed.error);
            };
            if !delay.is_zero() {
                let until = Instant::now() + delay;
                state.pause(until, &failed.error);
                sleep_until(until).await;
            }
            self.stats.retries.add();
            queued = Some(self.stats.queued.hold());
        }
    }

    fn judge(&self, exchange: Result<Answer, Fault>, kind: OwnerKind) -> Result<Connection, Fault> {
        let answer = exchange?;
        let (path, now) = (self.endpoint.path_template(kind), self.clock.now().wall);
        verdict::judge(&answer, &self.origin, path, now).map_err(Fault::from)
    }

    /// The catalog names the connector by the slug that the platform returned, as the platform's documentation says.
    /// If there is none, or it is no slug, the caller's takes its place.
    fn with_connect_url(&self, mut connection: Connection, asked: Segment<'_>) -> Connection {
        if let (ConnectionState::Unavailable { trouble, .. }, Some(catalog)) =
            (&mut connection.state, &self.catalog)
        {
            let returned = connection.details.slug.as_deref();
            let returned = returned.and_then(|slug| Segment::new(slug, "slug").ok());
            trouble.connect_url = Some(catalog.connector_url(returned.unwrap_or(asked)));
        }
        connection
    }
}

impl<T: Exchange> TokenSource for Platform<T> {
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Fetched, Error>> {
        async move { self.ask(fetch).await.map(Fetched::from) }.boxed()
    }
}
