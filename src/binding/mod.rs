//! The only folder that uses napi: converts in, calls the core once, converts out.
//!
//! Failures cross as data and are thrown by the facade: an error made here would fail `instanceof Error` in jest.

mod bridge;
mod convert;
mod queue;
mod runtime;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{Either, Either3, Either4, External, FunctionRef, Undefined, Unknown};
use napi_derive::napi;

use self::bridge::{Bridge, SettleLater, Started, Work};
use self::convert::{
    BindingClientOptions, BindingError, BindingHit, BindingOutcome, BindingStats, Settlement,
};
use self::queue::Key;
use crate::core;
use crate::core::client::{Begun, Client, Known, Request};
use crate::core::error::Error;
use crate::core::platform::catalog::Catalog;
use crate::core::tokens::key::{OwnerKind, Segment};

/// A client, its catalog, and the bridge of the environment that made it.
pub struct BindingClient {
    client: Client,
    catalog: Option<Catalog>,
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

/// `set_immediate` and `settle` are Node's own function and the one below.
#[napi]
pub fn create_client(
    env: &Env,
    mut options: BindingClientOptions,
    #[napi(ts_arg_type = "(callback: () => void) => unknown")] set_immediate: FunctionRef<
        Unknown<'static>,
        Unknown<'static>,
    >,
    #[napi(ts_arg_type = "() => void")] settle: FunctionRef<(), ()>,
) -> napi::Result<Either<External<BindingClient>, BindingError>> {
    let fleet = options.take_fleet();
    Ok(match contain(|| core::open(&options.into(), fleet.as_ref())) {
        Ok((client, catalog)) => {
            let bridge = Bridge::of(env, Settlement::into_js, SettleLater { set_immediate, settle })?;
            Either::A(External::new(BindingClient { client, catalog, bridge }))
        }
        Err(error) => Either::B(error.into()),
    })
}

/// A panic could not unwind into Node and would end the process: it becomes the failure of what was asked for.
fn contain<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::internal()))
}

/// Settles the promises of the environment whose results wait.
#[napi]
pub fn settle(env: &Env) -> napi::Result<()> {
    if let Some(bridge) = Bridge::<Settlement>::existing(env)? {
        bridge.settle_in_turn(env);
    }
    Ok(())
}

/// One call: a promise, or what is known at once: a cached token, a cached connection, what is wrong. The promise resolves
/// with the token, with an outcome, or with `undefined` when it was cancelled; one that is to be `cancellable` comes with its
/// key. With a `rejected_token`, another one is asked for.
#[napi(
    ts_return_type = "Promise<string | BindingOutcome | undefined> | BindingCancellable | BindingHit | BindingOutcome"
)]
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
    cancellable: bool,
    rejected_token: Option<String>,
) -> napi::Result<Either4<Unknown<'env>, BindingCancellable<'env>, BindingHit, BindingOutcome>> {
    let request = Request {
        kind: owner_kind.into(),
        id: &owner_id,
        slug: &slug,
        timeout: timeout_ms.map(|millis| Duration::from_millis(millis.into())),
        fresh,
        rejected: rejected_token.as_deref(),
    };
    let call = match contain(|| client.client.begin(request)) {
        Ok(Begun::Call(call)) => call,
        Ok(Begun::Known(Known { connection, valid_for, background })) => {
            if let (Some(background), Some(runtime)) = (background, runtime::handle()) {
                runtime.spawn(background);
            }
            return Ok(if whole_connection {
                Either4::D(connection.as_ref().into())
            } else {
                Either4::C(BindingHit::new(&connection, valid_for))
            });
        }
        Err(error) => return Ok(Either4::D(error.into())),
    };
    let Some(runtime) = runtime::handle() else {
        return Ok(Either4::D(Error::internal().into()));
    };
    let leave = cancellable.then(|| call.leave());
    let Started { promise, key } = client.bridge.start(env, Settlement::panicked, |completion| {
        let task = runtime.spawn(async move {
            let outcome = call.run().await;
            completion.send(Settlement::of(outcome, whole_connection)).await;
        });
        Work { task: task.abort_handle(), leave }
    })?;
    Ok(if cancellable {
        Either4::B(BindingCancellable { promise, key: key as f64 })
    } else {
        Either4::A(promise)
    })
}

#[napi(object, object_from_js = false)]
pub struct BindingCancellable<'env> {
    #[napi(ts_type = "Promise<string | BindingOutcome | undefined>")]
    pub promise: Unknown<'env>,
    /// For `cancel`.
    pub key: f64,
}

/// Ends a call now; its promise resolves with `undefined`. Nothing happens if it has ended.
#[napi]
pub fn cancel(env: &Env, client: &External<BindingClient>, key: f64) -> napi::Result<()> {
    client.bridge.cancel(env, key as Key)
}

/// Drops what is cached of a connection and supersedes what is under way; with a rejected token, only what that concerns. A
/// webhook does not tell which kind of owner it is about: without one, all are meant. What is returned is what is wrong with
/// the arguments.
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
            if let (Some(background), Some(runtime)) = (background, runtime::handle()) {
                runtime.spawn(background);
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
    let url = contain(|| {
        let slug = Segment::new(&slug, "slug")?;
        Ok(client.catalog.as_ref().map(|catalog| catalog.connector_url(&slug)))
    });
    match url {
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
        let task = runtime.spawn(async move {
            ended.await;
            completion.send(Settlement::Closed).await;
        });
        Work { task: task.abort_handle(), leave: None }
    })?;
    Ok(Some(started.promise))
}
