//! Owns what a call ends with: the `Binding…` types of connections and errors, and their conversion from the core's.

use std::borrow::Cow;
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{ToNapiValue, Unknown};
use napi_derive::napi;

use super::bridge::VALUES;
use crate::core::client::{Known, Outcome};
use crate::core::connection::{Connection, ConnectionState};
use crate::core::error::Error;
use crate::core::stats::FleetReport;

/// How a call ended. A connection that is unavailable comes with the error for a caller who wants its token.
#[napi(object, object_from_js = false)]
#[derive(Default)]
pub struct BindingOutcome {
    /// Where the caller wants the token alone.
    pub access_token: Option<String>,
    /// Milliseconds for which a cached token may be served without another call; absent unless it came from the cache.
    pub valid_for_ms: Option<f64>,
    /// Whether it was fetched for another call, which reported the same rejected token; absent unless the outcome was
    /// known at once.
    pub coalesced: Option<bool>,
    pub connection: Option<BindingConnection>,
    pub error: Option<BindingError>,
    /// Absent without a second level of the cache.
    pub fleet: Option<BindingFleetReport>,
}

/// How the second level of the cache fared in a call.
#[napi(object, object_from_js = false)]
pub struct BindingFleetReport {
    /// Whether it was bypassed when the call ended.
    pub is_bypassed: bool,
    /// Why it is bypassed, or why it did not answer this call.
    pub error: Option<String>,
}

impl From<FleetReport> for BindingFleetReport {
    fn from(FleetReport { is_bypassed, error }: FleetReport) -> Self {
        Self { is_bypassed, error: error.map(Cow::into_owned) }
    }
}

impl BindingOutcome {
    /// An outcome that was known at once.
    pub fn known(known: &Known, lease: Option<Duration>, wants_connection: bool) -> Self {
        let entry = &known.entry;
        Self {
            access_token: (!wants_connection).then(|| entry.token().to_owned()),
            connection: wants_connection.then(|| BindingConnection::new(&entry.connection())),
            valid_for_ms: lease.map(|lease| lease.as_secs_f64() * 1e3),
            coalesced: known.coalesced.then_some(true),
            ..Self::default()
        }
    }

    fn settled(outcome: Outcome, wants_connection: bool) -> Self {
        let fleet = outcome.fleet.map(BindingFleetReport::from);
        let connection = match outcome.result {
            Ok(connection) => connection,
            Err(error) => return Self { fleet, ..error.into() },
        };
        match connection.token() {
            Some(token) if !wants_connection => {
                Self { access_token: Some(token.to_owned()), fleet, ..Self::default() }
            }
            _ => Self {
                connection: Some(BindingConnection::new(&connection)),
                error: outcome.unavailable.map(BindingError::from),
                fleet,
                ..Self::default()
            },
        }
    }
}

impl From<Error> for BindingOutcome {
    fn from(error: Error) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }
}

#[napi(object, object_from_js = false)]
#[derive(Default)]
pub struct BindingConnection {
    pub status: &'static str,
    pub access_token: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub expires_at_ms: Option<f64>,
    pub connect_url: Option<String>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub slug: Option<String>,
    pub connection_id: Option<String>,
    pub connector_name: Option<String>,
    pub authorization_id: Option<String>,
    pub authorization_status: Option<String>,
    pub display_label: Option<String>,
}

/// All fields of an error; the facade makes an instance of the class and throws it.
#[napi(object, object_from_js = false)]
pub struct BindingError {
    pub class_name: &'static str,
    pub code: &'static str,
    pub message: String,
    pub retryable: bool,
    pub attempts: u32,
    pub status: Option<u16>,
    pub request_id: Option<String>,
    pub retry_after_ms: Option<f64>,
    pub cause: Option<String>,
}

impl From<Error> for BindingError {
    fn from(error: Error) -> Self {
        Self {
            class_name: error.kind.class_name(),
            code: error.kind.code(),
            message: error.message.into_owned(),
            retryable: error.retryable,
            attempts: error.attempts,
            status: error.status,
            request_id: error.request_id.map(Into::into),
            retry_after_ms: error.retry_after.map(|wait| wait.as_secs_f64() * 1e3),
            cause: error.cause.map(Into::into),
        }
    }
}

impl BindingConnection {
    fn new(connection: &Connection) -> Self {
        let details = &connection.details;
        let own = |detail: &Option<Box<str>>| detail.as_deref().map(str::to_owned);
        let common = Self {
            slug: own(&details.slug),
            connection_id: own(&details.connection_id),
            connector_name: own(&details.connector_name),
            authorization_id: own(&details.authorization_id),
            authorization_status: own(&details.authorization_status),
            display_label: own(&details.display_label),
            ..Self::default()
        };
        match &connection.state {
            ConnectionState::Active { access_token, expires_at } => Self {
                status: "active",
                access_token: Some(access_token.expose().to_owned()),
                expires_at_ms: *expires_at,
                ..common
            },
            ConnectionState::Unavailable { reason, trouble } => Self {
                status: reason.status(),
                error_code: own(&trouble.error_code),
                error_message: own(&trouble.error_message),
                connect_url: trouble.connect_url.clone(),
                ..common
            },
        }
    }
}

/// A result on its way over the bridge.
pub enum Settlement {
    /// How a call ended, for a caller who wants the token or the whole connection.
    Outcome { outcome: Box<Outcome>, wants_connection: bool },
    /// A closed client whose calls have ended.
    Closed,
}

impl Settlement {
    pub fn of(outcome: Outcome, wants_connection: bool) -> Self {
        Self::Outcome { outcome: Box::new(outcome), wants_connection }
    }

    /// The result of a call that panicked.
    pub fn panicked() -> Self {
        let result = Err(Error::internal());
        Self::of(Outcome { result, unavailable: None, attempts: 0, coalesced: false, fleet: None }, false)
    }

    /// On the environment's thread: what the call ended with, the requests sent, and whether they were shared.
    pub fn into_js(env: &Env, settlement: Self) -> napi::Result<[Unknown<'_>; VALUES]> {
        let Self::Outcome { outcome, wants_connection } = settlement else {
            return Ok([().into_unknown(env)?, 0.into_unknown(env)?, false.into_unknown(env)?]);
        };
        let (attempts, coalesced) =
            (outcome.attempts.into_unknown(env)?, outcome.coalesced.into_unknown(env)?);
        let value = match outcome.result.as_ref().ok().and_then(|connection| connection.token()) {
            Some(token) if !wants_connection && outcome.fleet.is_none() => string(env, token)?,
            _ => BindingOutcome::settled(*outcome, wants_connection).into_unknown(env)?,
        };
        Ok([value, attempts, coalesced])
    }
}

/// Faster for ASCII, which the engine need not decode.
fn string<'env>(env: &'env Env, text: &str) -> napi::Result<Unknown<'env>> {
    let string = if text.is_ascii() { env.create_string_latin1(text) } else { env.create_string(text) };
    string?.into_unknown(env)
}
