//! How the platform is asked: permit → request → verdict → retry, until there is an answer or no more sense in trying.
//!
//! Everything that a fetch holds is given back when its future is dropped, so dropping it is how a request is cancelled.

mod answer;
pub mod catalog;
pub mod endpoint;
mod moment;
pub mod retry;
pub mod verdict;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::core::clock::Clock;
use crate::core::connection::{Connection, State};
use crate::core::error::{Error, Kind};
use crate::core::http::{Class, Exchange, Fault, is_passing};
use crate::core::mutation::{self, Mutation};
use crate::core::platform::catalog::Catalog;
use crate::core::platform::endpoint::Endpoint;
use crate::core::platform::retry::{Failure, Policy, Quota};
use crate::core::source::{Fetch, Fetched, Queued, TokenSource};
use crate::core::stats::Stats;
use crate::core::tokens::key::{Key, Segment};
use crate::core::tokens::validity::Version;

/// What a fetch may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub attempt_timeout: Duration,
    pub max_retries: u32,
    pub max_concurrency: usize,
}

/// The source that stands behind all others: the Platform API itself.
#[derive(Debug)]
pub struct Platform<T> {
    transport: T,
    origin: String,
    endpoint: Endpoint,
    catalog: Option<Catalog>,
    attempt_timeout: Duration,
    policy: Policy,
    quota: Quota,
    permits: Semaphore,
    stats: Arc<Stats>,
    clock: Clock,
}

impl<T: Exchange> Platform<T> {
    /// Asks nothing yet.
    pub fn new(
        transport: T,
        endpoint: Endpoint,
        catalog: Option<Catalog>,
        limits: Limits,
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
            policy: Policy { max_retries: limits.max_retries, jitter },
            quota: Quota::new(),
            permits: Semaphore::new(limits.max_concurrency),
            stats,
            clock,
        }
    }

    /// Asks until there is an answer.
    async fn ask(&self, fetch: Fetch) -> Result<Connection, Error> {
        let Fetch { key, progress, queued, .. } = fetch;
        let transport = &self.transport;
        let url = self.endpoint.connection_url(key.kind, key.id(), key.slug())?;
        let mut queued = Some(queued);
        let mut retries = 0;
        let mut spent = None;
        let mut free_retry = true;
        let mut avoid = None;
        loop {
            let mut permit = Some(self.permits.acquire().await.map_err(|_| Error::internal())?);
            if mutation::is(Mutation::PermitNotHeld) {
                permit = None;
            }
            drop(queued.take());
            progress.attempt();
            self.stats.requests.add();
            let under_way = self.stats.in_flight.hold();
            let exchange = transport.exchange(url.clone(), self.attempt_timeout, avoid).await;
            drop(permit);
            if mutation::is(Mutation::CountLeaks) {
                mem::forget(under_way);
            } else {
                drop(under_way);
            }

            let fault = match exchange {
                Ok(answer) => match verdict::judge(
                    &answer,
                    &self.origin,
                    self.endpoint.path_template(key.kind),
                    self.clock.now().wall,
                ) {
                    Ok(connection) => {
                        self.quota.succeed(spent);
                        return Ok(self.with_connect_url(connection, key.slug()));
                    }
                    Err(error) => Fault::of_answer(error, answer.status),
                },
                Err(fault) => fault,
            };
            let Fault { error, class, stale } = fault;
            let Some(class) = class else { return Err(*error) };
            let is_free = stale.is_some() && free_retry && retries < self.policy.max_retries.max(1);
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
                let Some(delay) = self.policy.delay(failure) else { return Err(*error) };
                let Some(cost) = self.quota.spend(class) else { return Err(*error) };
                spent = Some(cost);
                sleep(delay).await;
            }
            // The last try keeps away from the pool, where more connections may have died with this one.
            avoid = stale.filter(|_| retries + 1 >= self.policy.max_retries);
            retries += 1;
            self.stats.retries.add();
            queued = Some(Queued::new(&self.stats));
        }
    }

    /// By the slug that the platform returned, since that is how the catalog names the connector (source: given); by the
    /// one that was asked for where there is none or it is no slug.
    fn with_connect_url(&self, mut connection: Connection, asked: Segment<'_>) -> Connection {
        if let (State::Unavailable { trouble, .. }, Some(catalog)) = (&mut connection.state, &self.catalog) {
            let returned = connection.details.unpack().slug;
            let returned = returned.and_then(|slug| Segment::new(slug, "slug").ok());
            trouble.connect_url = Some(catalog.connector_url(returned.unwrap_or(asked)));
        }
        connection
    }
}

impl<T: Exchange + std::fmt::Debug> TokenSource for Platform<T> {
    /// The platform keeps nothing that could be invalidated.
    fn version(&self, _: &Key) -> Version {
        Version::default()
    }

    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Fetched, Error>> {
        async move { self.ask(fetch).await.map(Fetched::from) }.boxed()
    }

    fn invalidate(&self, _: &[Key], _: Option<&str>) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

impl Fault {
    /// An answer that is a failure.
    fn of_answer(error: Error, status: u16) -> Self {
        let class = match error.kind {
            Kind::RateLimited => Some(Class::Throttled),
            Kind::Server | Kind::Http if is_passing(status) => Some(Class::Transient),
            _ => None,
        };
        Self { error: Box::new(error), class, stale: None }
    }
}
