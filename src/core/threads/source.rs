//! A platform that gives a new token whenever the one before was withdrawn, and takes its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::core::connection::{Connection, ConnectionState, Details};
use crate::core::error::Error;
use crate::core::secret::Secret;
use crate::core::source::{Fetch, Fetched, TokenSource};
use crate::core::tokens::key::ConnectionKey;
use crate::core::tokens::validity::{NamePrefix, Validity, Version};

/// That of the one connection.
const PREFIX: NamePrefix = 7;

/// Counts what it is asked for.
#[derive(Default)]
pub struct Source {
    validity: Arc<Validity>,
    /// Names the token that is valid now.
    token: AtomicUsize,
    requests: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

struct InFlight(Arc<Source>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Source {
    /// Another member's invalidations come by this.
    pub fn new(validity: Arc<Validity>) -> Self {
        Self { validity, ..Self::default() }
    }

    /// Withdraws the token. Its number; later ones have greater numbers.
    pub fn withdraw(&self) -> usize {
        self.token.fetch_add(1, Ordering::Relaxed)
    }

    /// Another member invalidates the connection.
    pub fn invalidate_elsewhere(&self) {
        self.validity.invalidate(PREFIX);
    }

    /// What others invalidated meanwhile is unknown.
    pub fn resubscribe(&self) {
        self.validity.invalidate_all();
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests at once, at most.
    pub fn most_in_flight(&self) -> usize {
        self.most_in_flight.load(Ordering::Relaxed)
    }
}

/// The number of a token.
pub fn number_of(token: &str) -> usize {
    token.strip_prefix("token-").unwrap().parse().unwrap()
}

impl TokenSource for Arc<Source> {
    fn version(&self, _: &ConnectionKey, now: Duration) -> Version {
        self.validity.version(PREFIX, now)
    }

    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Fetched, Error>> {
        async move {
            fetch.state.count_attempt();
            drop(fetch.queued);
            self.requests.fetch_add(1, Ordering::Relaxed);
            let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
            let _in_flight = InFlight(Arc::clone(self));
            self.most_in_flight.fetch_max(in_flight, Ordering::Relaxed);
            // What the platform says when it is asked; its answer takes a while.
            let token = self.token.load(Ordering::Relaxed);
            shuttle::future::yield_now().await;
            shuttle::future::yield_now().await;
            let access_token = Secret::new(format!("token-{token}"));
            let state = ConnectionState::Active { access_token, expires_at: None };
            Ok(Fetched::from(Connection { state, details: Details::default() }))
        }
        .boxed()
    }

    fn invalidate(&self, _: &[ConnectionKey], _: Option<&str>) -> Option<BoxFuture<'static, ()>> {
        None
    }
}
