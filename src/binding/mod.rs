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
use napi::bindgen_prelude::{Either, Either3, External, FunctionRef, Undefined, Unknown};
use napi_derive::napi;
use tokio::runtime::Handle;

use self::bridge::{Bridge, SettleLater, Settled, Work};
use self::convert::{
    BindingClientOptions, BindingError, BindingHit, BindingOutcome, BindingStats, Settlement,
};
use self::queue::Key;
use crate::core;
use crate::core::client::{Begun, Client, Known, Request};
use crate::core::error::Error;
use crate::core::platform::catalog::Catalog;
use crate::core::tokens::key::{OwnerKind, Segment};

/// A client, its catalog, the bridge of the environment that made it, and the function that gets its results.
pub struct BindingClient {
    client: Client,
    catalog: Option<Catalog>,
    bridge: Rc<Bridge<Settlement>>,
    settled: Rc<Settled>,
}

impl BindingClient {
    /// Where its calls are run.
    fn runtime(&self) -> Option<Handle> {
        match self.client.lane() {
            Some(lane) => lane.handle(),
            None => runtime::handle().cloned(),
        }
    }
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

/// `settled` is called with numbers of calls and their results in turn: a token, an outcome, or `true` for a client that is
/// closed. `set_immediate` and `settle` are Node's own function and the one below.
#[napi]
pub fn create_client(
    env: &Env,
    mut options: BindingClientOptions,
    #[napi(
        ts_arg_type = "(...numbersAndResults: (number | string | BindingOutcome | true | undefined)[]) => void"
    )]
    settled: Settled,
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
            Either::A(External::new(BindingClient { client, catalog, bridge, settled: Rc::new(settled) }))
        }
        Err(error) => Either::B(error.into()),
    })
}

/// A panic could not unwind into Node and would end the process: it becomes the failure of what was asked for.
fn contain<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::internal()))
}

/// Hands over the results of the environment that wait.
#[napi]
pub fn settle(env: &Env) -> napi::Result<()> {
    if let Some(bridge) = Bridge::<Settlement>::existing(env)? {
        bridge.settle(env);
    }
    Ok(())
}

fn owner_kind(kind_and_flags: u32) -> OwnerKind {
    match kind_and_flags & 3 {
        0 => OwnerKind::User,
        1 => OwnerKind::Group,
        _ => OwnerKind::Context,
    }
}

/// What a call is to be, beside the number of its owner's kind.
#[napi]
pub enum BindingCallFlag {
    /// Not from the cache.
    Fresh = 4,
    /// The whole connection, in place of its token.
    WholeConnection = 8,
}

/// One call: its number, or what is known at once: a cached token, a cached connection, what is wrong. Its result comes later:
/// the token, or an outcome. With a `rejected_token`, another one is asked for. Its limit runs since it was made, `waited_ms` ago.
#[napi]
#[allow(clippy::too_many_arguments, reason = "to read them from an object would take longer")]
pub fn call(
    env: &Env,
    client: &External<BindingClient>,
    kind_and_flags: u32,
    owner_id: String,
    slug: String,
    timeout_ms: Option<u32>,
    rejected_token: Option<String>,
    waited_ms: Option<u32>,
) -> napi::Result<Either3<f64, BindingHit, BindingOutcome>> {
    let has = |flag: BindingCallFlag| kind_and_flags & flag as u32 != 0;
    let whole_connection = has(BindingCallFlag::WholeConnection);
    let request = Request {
        kind: owner_kind(kind_and_flags),
        id: &owner_id,
        slug: &slug,
        timeout: timeout_ms.map(|millis| Duration::from_millis(millis.into())),
        waited: Duration::from_millis(waited_ms.unwrap_or_default().into()),
        fresh: has(BindingCallFlag::Fresh),
        rejected: rejected_token.as_deref(),
    };
    let call = match contain(|| client.client.begin(request)) {
        Ok(Begun::Call(call)) => call,
        Ok(Begun::Known(Known { connection, valid_for, background })) => {
            if let (Some(background), Some(runtime)) = (background, client.runtime()) {
                runtime.spawn(background);
            }
            return Ok(if whole_connection {
                Either3::C((&connection).into())
            } else {
                Either3::B(BindingHit::new(&connection, valid_for))
            });
        }
        Err(error) => return Ok(Either3::C(error.into())),
    };
    let Some(runtime) = client.runtime() else {
        return Ok(Either3::C(Error::internal().into()));
    };
    let (leave, limit) = (Some(call.leave()), call.overdue());
    let key = client.bridge.start(env, &client.settled, Settlement::panicked, |completion| {
        let task = runtime.spawn(async move {
            let outcome = call.run().await;
            completion.send(Settlement::of(outcome, whole_connection)).await;
        });
        Work { task: task.abort_handle(), leave, limit }
    })?;
    Ok(Either3::A(key as f64))
}

/// Ends a call now, so that it has no result. `false` if it has ended.
#[napi]
pub fn cancel(env: &Env, client: &External<BindingClient>, call: f64) -> bool {
    client.bridge.cancel(env, call as Key)
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
    client.client.stats().into()
}

/// Takes no more calls on. A number as of a call for the end of those under way, or nothing when there are none.
#[napi]
pub fn close(env: &Env, client: &External<BindingClient>) -> napi::Result<Option<f64>> {
    let (Some(ended), Some(runtime)) = (client.client.close(), client.runtime()) else {
        return Ok(None);
    };
    let key = client.bridge.start(env, &client.settled, Settlement::panicked, |completion| {
        let task = runtime.spawn(async move {
            ended.await;
            completion.send(Settlement::Closed).await;
        });
        Work { task: task.abort_handle(), leave: None, limit: None }
    })?;
    Ok(Some(key as f64))
}
