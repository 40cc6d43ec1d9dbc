//! The only folder that uses napi: converts in, calls the core once, converts out.
//!
//! Failures cross as data and are thrown by the facade: an error made here would fail `instanceof Error` in jest.

mod bridge;
mod convert;
mod runtime;

use std::rc::Rc;
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{Either, Either3, External, FunctionRef, Undefined, Unknown};
use napi_derive::napi;

use self::bridge::{Bridge, DrainLater, Key, Started};
use self::convert::{
    BindingClientOptions, BindingError, BindingHit, BindingOutcome, BindingStats, Settlement,
};
use crate::core::Client;
use crate::core::client::{Begun, Request};
use crate::core::error::Error;
use crate::core::platform::endpoint::OwnerKind;

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

/// `set_immediate` and `drain` are Node's own function and the one below.
#[napi]
pub fn create_client(
    env: &Env,
    options: BindingClientOptions,
    #[napi(ts_arg_type = "(callback: () => void) => unknown")] set_immediate: FunctionRef<
        Unknown<'static>,
        Unknown<'static>,
    >,
    #[napi(ts_arg_type = "() => void")] drain: FunctionRef<(), ()>,
) -> napi::Result<Either<External<BindingClient>, BindingError>> {
    Ok(match Client::new(&options.into()) {
        Ok(client) => {
            let bridge = Bridge::of(env, Settlement::into_js, DrainLater { set_immediate, drain })?;
            Either::A(External::new(BindingClient { client, bridge }))
        }
        Err(error) => Either::B(error.into()),
    })
}

/// Settles the promises of the environment whose results wait.
#[napi]
pub fn drain(env: &Env) -> napi::Result<()> {
    if let Some(bridge) = Bridge::<Settlement>::existing(env)? {
        bridge.drain(env);
    }
    Ok(())
}

/// One call: a promise, or what is known at once: a cached token, a cached connection, what is wrong. The promise
/// resolves with the token, with an outcome, or with `undefined` when it was cancelled.
#[napi(ts_return_type = "Promise<string | BindingOutcome | undefined> | BindingHit | BindingOutcome")]
#[allow(clippy::too_many_arguments, reason = "each field of an object would cost a lookup per call")]
pub fn call<'env>(
    env: &'env Env,
    client: &External<BindingClient>,
    owner_kind: BindingOwnerKind,
    owner_id: String,
    slug: String,
    timeout_ms: Option<u32>,
    fresh: bool,
    whole_connection: bool,
) -> napi::Result<Either3<Unknown<'env>, BindingHit, BindingOutcome>> {
    let request = request(owner_kind, &owner_id, &slug, timeout_ms, fresh);
    Ok(match client.start(env, request, whole_connection)? {
        Start::Promise(Started { promise, .. }) => Either3::A(promise),
        Start::Token(hit) => Either3::B(hit),
        Start::Outcome(outcome) => Either3::C(outcome),
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
#[napi(ts_return_type = "BindingCancellable | BindingHit | BindingOutcome")]
#[allow(clippy::too_many_arguments, reason = "as for `call`")]
pub fn call_cancellable<'env>(
    env: &'env Env,
    client: &External<BindingClient>,
    owner_kind: BindingOwnerKind,
    owner_id: String,
    slug: String,
    timeout_ms: Option<u32>,
    fresh: bool,
    whole_connection: bool,
) -> napi::Result<Either3<BindingCancellable<'env>, BindingHit, BindingOutcome>> {
    let request = request(owner_kind, &owner_id, &slug, timeout_ms, fresh);
    Ok(match client.start(env, request, whole_connection)? {
        Start::Promise(Started { promise, key }) => {
            Either3::A(BindingCancellable { promise, key: key as f64 })
        }
        Start::Token(hit) => Either3::B(hit),
        Start::Outcome(outcome) => Either3::C(outcome),
    })
}

fn request<'a>(
    owner_kind: BindingOwnerKind,
    id: &'a str,
    slug: &'a str,
    timeout_ms: Option<u32>,
    fresh: bool,
) -> Request<'a> {
    let timeout = timeout_ms.map(|millis| Duration::from_millis(millis.into()));
    Request { kind: owner_kind.into(), id, slug, timeout, fresh }
}

/// Ends a call now; its promise resolves with `undefined`. Nothing happens if it has ended.
#[napi]
pub fn cancel(env: &Env, client: &External<BindingClient>, key: f64) -> napi::Result<()> {
    client.bridge.cancel(env, key as Key)
}

/// Drops what is cached of a connection and calls off what is under way; with a rejected token, only if that is the
/// one cached. What is returned is what is wrong with the arguments.
#[napi]
pub fn invalidate(
    client: &External<BindingClient>,
    owner_kind: BindingOwnerKind,
    owner_id: String,
    slug: String,
    rejected_token: Option<String>,
) -> Option<BindingError> {
    match client.client.invalidate(owner_kind.into(), &owner_id, &slug, rejected_token.as_deref()) {
        Ok(tell_fleet) => {
            if let (Some(tell_fleet), Some(runtime)) = (tell_fleet, runtime::handle()) {
                runtime.spawn(tell_fleet);
            }
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
                completion.send(Settlement::Closed).await;
            })
            .abort_handle()
    })?;
    Ok(Some(started.promise))
}

/// How a call starts.
#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack")]
enum Start<'env> {
    Promise(Started<'env>),
    Token(BindingHit),
    Outcome(BindingOutcome),
}

impl BindingClient {
    fn start<'env>(
        &self,
        env: &'env Env,
        request: Request<'_>,
        whole_connection: bool,
    ) -> napi::Result<Start<'env>> {
        let call = match self.client.begin(request) {
            Ok(Begun::Call(call)) => call,
            Ok(Begun::Hit { connection, valid_for, refresh }) => {
                if let (Some(refresh), Some(runtime)) = (refresh, runtime::handle()) {
                    runtime.spawn(refresh.run());
                }
                return Ok(if whole_connection {
                    Start::Outcome(connection.as_ref().into())
                } else {
                    Start::Token(BindingHit::new(&connection, valid_for))
                });
            }
            Err(error) => return Ok(Start::Outcome(error.into())),
        };
        let Some(runtime) = runtime::handle() else {
            return Ok(Start::Outcome(Error::internal().into()));
        };
        let started = self.bridge.start(env, Settlement::panicked, |completion| {
            runtime
                .spawn(async move {
                    let outcome = call.run().await;
                    completion.send(Settlement::of(outcome, whole_connection)).await;
                })
                .abort_handle()
        })?;
        Ok(Start::Promise(started))
    }
}
