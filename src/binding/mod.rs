//! The only folder that uses napi: converts in, calls the core once, converts out.
//!
//! Failures cross as data and are thrown by the facade: an error made here would fail `instanceof Error` in jest.

mod bridge;
mod convert;
mod runtime;

use std::rc::Rc;
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{Either, Either3, External, Undefined, Unknown};
use napi_derive::napi;

use self::bridge::{Bridge, Key, Started};
use self::convert::{BindingClientOptions, BindingError, BindingOutcome, BindingStats, Settlement};
use crate::core::Client;
use crate::core::endpoint::OwnerKind;
use crate::core::error::Error;

/// A client and the bridge of the environment that made it.
pub struct BindingClient {
    client: Client,
    bridge: Rc<Bridge<Settlement>>,
}

#[napi]
pub enum BindingOwnerKind {
    User,
    Group,
    Context,
}

impl From<BindingOwnerKind> for OwnerKind {
    fn from(kind: BindingOwnerKind) -> Self {
        match kind {
            BindingOwnerKind::User => Self::User,
            BindingOwnerKind::Group => Self::Group,
            BindingOwnerKind::Context => Self::Context,
        }
    }
}

#[napi]
pub fn create_client(
    env: &Env,
    options: BindingClientOptions,
) -> napi::Result<Either<External<BindingClient>, BindingError>> {
    Ok(match Client::new(&options.into()) {
        Ok(client) => {
            let bridge = Bridge::of(env, Settlement::into_js)?;
            Either::A(External::new(BindingClient { client, bridge }))
        }
        Err(error) => Either::B(error.into()),
    })
}

/// One call: a promise, or what is wrong with it at once. The promise resolves with the token, with an outcome, or
/// with `undefined` when it was cancelled.
#[napi(ts_return_type = "Promise<string | BindingOutcome | undefined> | BindingOutcome")]
pub fn call<'env>(
    env: &'env Env,
    client: &External<BindingClient>,
    owner_kind: BindingOwnerKind,
    owner_id: String,
    slug: String,
    timeout_ms: Option<u32>,
    whole_connection: bool,
) -> napi::Result<Either<Unknown<'env>, BindingOutcome>> {
    Ok(match client.start(env, owner_kind, &owner_id, &slug, timeout_ms, whole_connection)? {
        Ok(started) => Either::A(started.promise),
        Err(error) => Either::B(error.into()),
    })
}

#[napi(object, object_from_js = false)]
pub struct BindingCancellable<'env> {
    #[napi(ts_type = "Promise<string | BindingOutcome | undefined>")]
    pub promise: Unknown<'env>,
    /// For `cancel`.
    pub key: f64,
}

/// `call`, for a caller that has an `AbortSignal`.
#[napi(ts_return_type = "BindingCancellable | BindingOutcome")]
pub fn call_cancellable<'env>(
    env: &'env Env,
    client: &External<BindingClient>,
    owner_kind: BindingOwnerKind,
    owner_id: String,
    slug: String,
    timeout_ms: Option<u32>,
    whole_connection: bool,
) -> napi::Result<Either<BindingCancellable<'env>, BindingOutcome>> {
    Ok(match client.start(env, owner_kind, &owner_id, &slug, timeout_ms, whole_connection)? {
        Ok(Started { promise, key }) => Either::A(BindingCancellable { promise, key: key as f64 }),
        Err(error) => Either::B(error.into()),
    })
}

/// Ends a call now; its promise resolves with `undefined`. Nothing happens if it has ended.
#[napi]
pub fn cancel(env: &Env, client: &External<BindingClient>, key: f64) -> napi::Result<()> {
    client.bridge.cancel(env, key as Key)
}

#[napi]
pub fn connector_url(
    client: &External<BindingClient>,
    slug: String,
) -> Either3<String, Undefined, BindingError> {
    match client.client.connector_url(&slug) {
        Ok(Some(url)) => Either3::A(url),
        Ok(None) => Either3::B(()),
        Err(error) => Either3::C(error.into()),
    }
}

#[napi]
pub fn stats(client: &External<BindingClient>) -> BindingStats {
    client.client.stats().into()
}

/// Takes no more calls on. A promise for the end of those under way, or nothing when there are none.
#[napi(ts_return_type = "Promise<true> | undefined")]
pub fn close<'env>(env: &'env Env, client: &External<BindingClient>) -> napi::Result<Option<Unknown<'env>>> {
    let (Some(ended), Some(runtime)) = (client.client.close(), runtime::handle()) else {
        return Ok(None);
    };
    let started = client.bridge.start(env, Settlement::panicked, |completion| {
        runtime
            .spawn(async move {
                ended.await;
                completion.send(Settlement::Closed);
            })
            .abort_handle()
    })?;
    Ok(Some(started.promise))
}

impl BindingClient {
    fn start<'env>(
        &self,
        env: &'env Env,
        owner_kind: BindingOwnerKind,
        owner_id: &str,
        slug: &str,
        timeout_ms: Option<u32>,
        whole_connection: bool,
    ) -> napi::Result<Result<Started<'env>, Error>> {
        let timeout = timeout_ms.map(|millis| Duration::from_millis(millis.into()));
        let call = match self.client.begin(owner_kind.into(), owner_id, slug, timeout) {
            Ok(call) => call,
            Err(error) => return Ok(Err(error)),
        };
        let Some(runtime) = runtime::handle() else {
            return Ok(Err(Error::internal()));
        };
        let started = self.bridge.start(env, Settlement::panicked, |completion| {
            runtime
                .spawn(async move {
                    let outcome = call.run().await;
                    completion.send(Settlement::of(outcome, whole_connection));
                })
                .abort_handle()
        })?;
        Ok(Ok(started))
    }
}
