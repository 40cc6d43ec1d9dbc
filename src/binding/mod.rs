//! The only folder that uses napi: converts in, calls the core once, converts out.
//!
//! Failures cross as data and are thrown by the facade: an error made here would fail `instanceof Error` in jest.

mod bridge;
mod calls;
mod counters;
mod options;
mod outcome;
mod queue;
#[cfg(test)]
mod queue_orders;
mod runtime;
mod sync;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use napi::Env;
use napi::bindgen_prelude::{Either, Either3, External, Undefined, Unknown};
use napi_derive::napi;
use tokio::time::{Instant, sleep_until};

use self::bridge::{Bridge, Settled, share_counter};
use self::counters::BindingStats;
use self::options::{BindingCallOptions, BindingClientOptions, BindingOwnerKind};
use self::outcome::{BindingError, BindingOutcome, Settlement};
use self::queue::CallId;
use self::runtime::Runtime;
use crate::core;
use crate::core::client::{Begun, Client};
use crate::core::error::Error;
use crate::core::platform::catalog::Catalog;
use crate::core::secret::{self, Secret};
use crate::core::tokens::key::{OwnerKind, Segment};

/// The longest lease on a cached token.
const MAX_LEASE: Duration = Duration::from_millis(900);

/// A client, its catalog, the bridge of the environment that made it, and the function that gets its results.
pub struct BindingClient {
    client: Client,
    catalog: Option<Catalog>,
    bridge: Rc<Bridge<Settlement>>,
    settled: Rc<Settled>,
    /// When the leases that JavaScript has on cached tokens end.
    lease_end: Cell<Option<Instant>>,
}

impl BindingClient {
    /// How long JavaScript may serve a cached token again; `None` if no timer can end the lease. The timer changes the
    /// counter of discards, which ends all leases at once, with the first of them.
    fn lease(&self, valid_for: Duration) -> Option<Duration> {
        let now = Instant::now();
        let valid_for = valid_for.min(MAX_LEASE);
        let end = now + valid_for;
        if self.lease_end.get().is_some_and(|due| now < due && due <= end) {
            return Some(valid_for);
        }
        let discards = Arc::clone(self.client.discards());
        let timer = async move {
            sleep_until(end).await;
            discards.fetch_add(1, Ordering::Relaxed);
        };
        Runtime::get().ok()?.spawn(timer.boxed());
        self.lease_end.set(Some(end));
        Some(valid_for)
    }
}

/// Creates a client, which continues the counters of its predecessor if it replaces one. Calls `settled` with four values
/// for each result: the id of the call, what it ended with (a token, or else an outcome; nothing for a client that is closed),
/// the requests sent, and whether the call shared those of an earlier one.
#[napi]
pub fn create_client(
    env: &Env,
    mut options: BindingClientOptions,
    #[napi(ts_arg_type = "(...results: (number | string | boolean | BindingOutcome | undefined)[]) => void")]
    settled: Settled,
    predecessor: Option<&External<BindingClient>>,
) -> napi::Result<Either<External<BindingClient>, BindingError>> {
    let fleet = options.take_fleet();
    let predecessor = predecessor.map(|predecessor| &predecessor.client);
    Ok(match contain(|| core::open(&options.into(), fleet.as_ref(), predecessor)) {
        Ok((client, catalog)) => Either::A(External::new(BindingClient {
            client,
            catalog,
            bridge: Bridge::of(env, Settlement::into_js)?,
            settled: Rc::new(settled),
            lease_end: Cell::default(),
        })),
        Err(error) => Either::B(error.into()),
    })
}

/// A counter in memory that JavaScript shares, which changes whenever the client's cache discards a token before it
/// expires. Call it once per client. Returns nothing where the engine shares no memory.
#[napi(ts_return_type = "Uint32Array | undefined")]
pub fn discards<'env>(
    env: &'env Env,
    client: &External<BindingClient>,
) -> napi::Result<Either<Unknown<'env>, Undefined>> {
    let counter = share_counter(env, Arc::clone(client.client.discards()))?;
    Ok(counter.map_or(Either::B(()), Either::A))
}

/// Turns a panic into an error: it cannot unwind into Node, and would end the process.
fn contain<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::internal()))
}

/// Runs work that no caller waits for. If the system refuses the thread, the work is dropped.
fn run_in_background(work: Option<BoxFuture<'static, ()>>) {
    if let Some(work) = work
        && let Ok(runtime) = Runtime::get()
    {
        runtime.spawn(work);
    }
}

/// Begins a call. Returns its id, with which `settled` gets the result; or at once the outcome: a cached token or
/// connection, or an error.
#[napi]
pub fn call(
    env: &Env,
    client: &External<BindingClient>,
    owner_kind: BindingOwnerKind,
    owner_id: String,
    slug: String,
    options: Option<BindingCallOptions>,
) -> napi::Result<Either<f64, BindingOutcome>> {
    let options = options.unwrap_or_default();
    let wants_connection = options.wants_connection.unwrap_or_default();
    let request = options.request(owner_kind.into(), &owner_id, &slug);
    let at_once = |outcome| {
        let fleet = client.client.stats().fleet.as_ref().map(|fleet| fleet.report(None).into());
        Ok(Either::B(BindingOutcome { fleet, ..outcome }))
    };
    let call = match contain(|| client.client.begin(request)) {
        Ok(Begun::Call(call)) => call,
        Ok(Begun::Known(mut known)) => {
            run_in_background(known.background.take());
            let lease = if known.coalesced { None } else { client.lease(known.valid_for) };
            return at_once(BindingOutcome::known(&known, lease, wants_connection));
        }
        Err(error) => return at_once(error.into()),
    };
    let runtime = match Runtime::get() {
        Ok(runtime) => runtime,
        Err(refusal) => return at_once(call.fail(Error::no_thread(&refusal)).into()),
    };
    let leave = call.cancel_handle();
    let work = async move { Settlement::of(call.run().await, wants_connection) };
    let (bridge, settled) = (&client.bridge, &client.settled);
    let id = bridge.start(env, runtime, settled, work, Settlement::panicked, move || leave.cancel())?;
    Ok(Either::A(id as f64))
}

/// Cancels a call, which then has no result. Returns `false` if its result has been handed over.
#[napi]
pub fn cancel(env: &Env, client: &External<BindingClient>, call: f64) -> bool {
    client.bridge.cancel(env, call as CallId)
}

/// Discards a cached connection and supersedes the fetch in flight; with a rejected token, only that token. Without a
/// kind, it applies to owners of every kind, since a webhook does not say which one it is about. Returns what is wrong
/// with the arguments.
#[napi]
pub fn invalidate(
    client: &External<BindingClient>,
    owner_kind: Option<BindingOwnerKind>,
    owner_id: String,
    slug: String,
    rejected_token: Option<String>,
) -> Option<BindingError> {
    let one = owner_kind.map(|kind| [kind.into()]);
    let kinds = one.as_ref().map_or(&OwnerKind::ALL[..], |one| one);
    match contain(|| client.client.invalidate(kinds, &owner_id, &slug, rejected_token.as_deref())) {
        Ok(background) => {
            run_in_background(background);
            None
        }
        Err(error) => Some(error.into()),
    }
}

#[napi]
pub fn connector_url(
    client: &External<BindingClient>,
    slug: String,
) -> Either3<String, Undefined, BindingError> {
    let url = contain(|| {
        let slug = Segment::new(&slug, "slug")?;
        Ok(client.catalog.as_ref().map(|catalog| catalog.connector_url(slug)))
    });
    match url {
        Ok(Some(url)) => Either3::A(url),
        Ok(None) => Either3::B(()),
        Err(error) => Either3::C(error.into()),
    }
}

#[napi]
pub fn stats(client: &External<BindingClient>) -> BindingStats {
    client.client.stats().as_ref().into()
}

#[napi]
pub fn fingerprint(secret_key: String, token: String) -> String {
    secret::fingerprint(&Secret::new(secret_key), &Secret::new(token))
}

/// Accepts no more calls. Returns an id, like a call's, with which `settled` is called once those under way have
/// ended; nothing if there are none.
#[napi]
pub fn close(env: &Env, client: &External<BindingClient>) -> napi::Result<Option<f64>> {
    let (Some(ended), Ok(runtime)) = (client.client.close(), Runtime::get()) else {
        return Ok(None);
    };
    let work = ended.map(|()| Settlement::Closed);
    let id = client.bridge.start(env, runtime, &client.settled, work, Settlement::panicked, || {})?;
    Ok(Some(id as f64))
}
