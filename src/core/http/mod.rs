//! Sends one request and reads one answer, by reqwest.
//!
//! Turns every failure below HTTP into a [`Fault`]. Decides on no retry.

pub mod answer;
mod causes;
mod fault;
mod gate;
pub mod identity;
mod pem;
pub mod pool;
pub mod proxy;
mod refusal;
mod resolver;
mod route;
mod settings;
mod signatures;
pub mod tls;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

pub use self::answer::Answer;
pub use self::fault::{Fault, FaultKind};
pub use self::pool::PoolChoice;
pub use self::settings::TransportSettings;

use self::pool::{Pool, Pools};
use self::route::Route;
use crate::core::error::Error;

/// A transport, as the attempts of a fetch use it.
pub trait Exchange: Send + Sync + 'static {
    /// Sends one request over the chosen connections, and waits for the answer up to `limit`.
    fn exchange(
        &self,
        url: Url,
        limit: Duration,
        choice: PoolChoice,
    ) -> impl Future<Output = Result<Answer, Fault>> + Send;
}

/// Sends requests to the platform.
pub struct Transport {
    pools: Pools,
    route: Route,
}

impl Transport {
    /// Opens nothing and builds nothing before the first request.
    pub fn new(settings: TransportSettings, authorization: HeaderValue) -> Self {
        Self { pools: Pools::new(settings.max_connection_age), route: Route::new(settings, authorization) }
    }
}

impl Exchange for Transport {
    async fn exchange(&self, url: Url, limit: Duration, choice: PoolChoice) -> Result<Answer, Fault> {
        let Self { pools, route } = self;
        let build = |connections| route.build_client(connections);
        let round_trip = |pool: Arc<Pool>| async move { route.round_trip(&pool, url).await };
        let Some((pool, result)) = pools.exchange(choice, limit, build, round_trip).await else {
            return Err(Error::internal().into());
        };
        let fault = match result {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(fault)) => fault,
            Err(_) => route.settings.timed_out(limit),
        };
        if pool.connections.have_negotiated_http2() {
            if !route.offers_http2.load(Ordering::Relaxed) {
                pools.abandon(pool.number);
            } else if !route.has_http2_answered.load(Ordering::Relaxed) {
                return Err(fault.suspect_http2());
            }
        }
        Err(fault)
    }
}

#[cfg(test)]
mod tests;
