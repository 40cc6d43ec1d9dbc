//! One call: it waits for a fetch, until its own deadline.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::{Instant, timeout_at};

use crate::core::client::state::{ClientState, OpenGuard};
use crate::core::error::{Error, Kind};
use crate::core::secret::Secret;
use crate::core::stats::FleetReport;
use crate::core::tokens::in_flight::{CancelHandle, FetchResult, SharedFetchState, Waiter};
use crate::core::tokens::key::ConnectionKey;

/// A call in flight.
pub struct Call {
    pub(super) shared: Arc<ClientState>,
    /// Keeps the source until the call has ended, also if the client is closed meanwhile.
    pub(super) open: Arc<OpenGuard>,
    pub(super) waiter: Waiter,
    pub(super) key: ConnectionKey,
    pub(super) timeout: Duration,
    pub(super) deadline: Instant,
    /// Whether it joined the fetch of an earlier call.
    pub(super) coalesced: bool,
    /// The token that a service rejected.
    pub(super) rejected: Option<Secret>,
}

/// How a call ended.
#[derive(Debug)]
pub struct Outcome {
    /// The connection, whatever its state, or why there is none.
    pub result: FetchResult,
    /// The error for a caller who wants the token of a connection that is unavailable.
    pub unavailable: Option<Error>,
    pub attempts: u32,
    /// Whether it joined the fetch of an earlier call.
    pub coalesced: bool,
    /// How the second level of the cache fared, where there is one.
    pub fleet: Option<FleetReport>,
}

impl Call {
    /// A handle that takes the call off the waiters of its fetch at once.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.waiter.cancel_handle()
    }

    /// Counts the call as failed, for a caller that cannot run it.
    pub fn fail(self, error: Error) -> Error {
        self.shared.stats.failures.add();
        error
    }

    /// Runs the call to its end. Dropping the future of the last call of a fetch cancels the request.
    pub async fn run(self) -> Outcome {
        let Self { shared, waiter, key, timeout, deadline, coalesced, rejected, open: _open } = self;
        let Waiter { result, guard } = waiter;
        let state = &guard.state;
        let result = {
            let out_of_reach = pin!(state.out_of_reach(deadline));
            match timeout_at(deadline, select(result, out_of_reach)).await {
                Ok(Either::Left((result, _))) => result,
                Ok(Either::Right((error, _))) => Err(error),
                Err(_) => Err(timed_out(&shared.origin, timeout, state)),
            }
        };
        let attempts = state.attempts();
        let fleet = shared.stats.fleet.as_ref().map(|fleet| fleet.report(state.fleet_error()));
        drop(guard);
        let result = result.map_err(|error| Error { attempts, ..error });
        match &result {
            Ok(connection) => {
                shared.count_repair(rejected.as_ref().map(Secret::expose), connection.token());
            }
            Err(_) => shared.stats.failures.add(),
        }
        let unavailable = result.as_ref().ok().and_then(|connection| {
            let error = Error::unavailable(connection, key.slug().text())?;
            Some(Error { attempts, ..error })
        });
        Outcome { result, unavailable, attempts, coalesced, fleet }
    }
}

/// The error of a call whose deadline has passed. If an attempt had failed before, its failure is the cause.
fn timed_out(origin: &str, timeout: Duration, state: &SharedFetchState) -> Error {
    let limit = timeout.as_millis();
    let message = if state.attempts() == 0 {
        format!(
            "The call waited {limit} ms for one of maxConcurrency places: make fewer at once, or raise it"
        )
    } else {
        format!("No answer from {origin} within {limit} ms: call again later, or raise timeoutMs")
    };
    let cause = state.last_failure().map(|error| error.message.into());
    Error { cause, ..Error::new(Kind::Timeout, message).retryable() }
}
