//! What crosses the waist, and nothing else: the `Binding…` types and their conversion from and to the core's.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{ToNapiValue, Unknown};
use napi_derive::napi;

use super::bridge::VALUES;
use crate::core::client::{CallRequest, Known, Outcome};
use crate::core::config::ClientOptions;
use crate::core::connection::{Connection, ConnectionState};
use crate::core::error::Error;
use crate::core::fleet::settings as fleet;
use crate::core::http::identity;
use crate::core::http::proxy::ProxySetting;
use crate::core::http::tls::Roots;
use crate::core::platform::endpoint::Paths;
use crate::core::secret::Secret;
use crate::core::stats::{FleetError, FleetReport, FleetStats, Stats};
use crate::core::tokens::cache;
use crate::core::tokens::key::OwnerKind;

/// The facade has checked that each field has this type and, for a number, its range.
#[napi(object, object_to_js = false)]
pub struct BindingClientOptions {
    pub publishable_key: Option<String>,
    pub secret_key: Option<String>,
    pub base_url: Option<String>,
    pub allow_http: Option<bool>,
    pub http2: Option<bool>,
    pub catalog_url: Option<String>,
    pub paths: Option<BindingPaths>,
    pub timeout_ms: Option<u32>,
    pub attempt_timeout_ms: Option<u32>,
    pub connect_timeout_ms: Option<u32>,
    pub max_connection_age_ms: Option<u32>,
    pub max_retries: Option<u32>,
    pub max_concurrency: Option<u32>,
    /// Absent for no cache.
    pub cache: Option<BindingCacheLimits>,
    pub proxy: Option<BindingProxy>,
    pub ca: Option<Vec<String>>,
    pub cert: Option<String>,
    pub key: Option<String>,
    pub node_roots: Option<BindingNodeRoots>,
    /// The environment variable that stands in for an option, by the option's name, for each option that was not given.
    pub variables: HashMap<String, String>,
}

#[napi(object, object_to_js = false)]
pub struct BindingPaths {
    pub user: Option<String>,
    pub group: Option<String>,
    pub context: Option<String>,
}

#[napi(object, object_to_js = false)]
pub struct BindingCacheLimits {
    pub ttl_ms: Option<u32>,
    pub max_entries: Option<u32>,
    /// Absent for no second level.
    pub redis: Option<BindingRedis>,
}

#[napi(object, object_to_js = false)]
pub struct BindingRedis {
    pub url: String,
    pub key_prefix: Option<String>,
    pub command_timeout_ms: Option<u32>,
    pub sentinel_username: Option<String>,
    pub sentinel_password: Option<String>,
    /// In Base64, since it may be any bytes.
    pub encryption_key: Option<String>,
}

#[napi(object, object_to_js = false)]
pub struct BindingProxy {
    pub url: String,
    pub no_proxy: String,
}

#[napi(object, object_to_js = false)]
pub struct BindingNodeRoots {
    pub pem: Vec<String>,
    /// Whether these are all that Node trusts, in place of the roots compiled in.
    pub is_complete: bool,
}

fn millis(millis: Option<u32>) -> Option<Duration> {
    millis.map(|millis| Duration::from_millis(millis.into()))
}

impl BindingClientOptions {
    /// The options of the second level of the cache, if there is to be one.
    pub fn take_fleet(&mut self) -> Option<fleet::Options> {
        let redis = self.cache.as_mut()?.redis.take()?;
        Some(fleet::Options {
            url: Secret::new(redis.url),
            key_prefix: redis.key_prefix,
            command_timeout: millis(redis.command_timeout_ms),
            sentinel_username: redis.sentinel_username,
            sentinel_password: redis.sentinel_password.map(Secret::new),
            encryption_key: redis.encryption_key.map(Secret::new),
        })
    }
}

impl From<BindingClientOptions> for ClientOptions {
    fn from(options: BindingClientOptions) -> Self {
        let (node, node_is_complete) =
            options.node_roots.map_or_else(Default::default, |roots| (roots.pem, roots.is_complete));
        Self {
            publishable_key: options.publishable_key.map(Secret::new),
            secret_key: options.secret_key.map(Secret::new),
            base_url: options.base_url,
            allow_http: options.allow_http.unwrap_or_default(),
            http2: options.http2,
            catalog_url: options.catalog_url,
            paths: options.paths.map_or_else(Paths::default, |paths| Paths {
                user: paths.user,
                group: paths.group,
                context: paths.context,
            }),
            timeout: millis(options.timeout_ms),
            attempt_timeout: millis(options.attempt_timeout_ms),
            connect_timeout: millis(options.connect_timeout_ms),
            max_connection_age: millis(options.max_connection_age_ms),
            max_retries: options.max_retries,
            max_concurrency: options.max_concurrency.map(|places| places as usize),
            cache: options.cache.map(|limits| cache::CacheLimits {
                ttl: millis(limits.ttl_ms).unwrap_or(cache::DEFAULT_TTL),
                max_entries: limits
                    .max_entries
                    .map_or(cache::DEFAULT_MAX_ENTRIES, |entries| entries as usize),
            }),
            proxy: options
                .proxy
                .map(|proxy| ProxySetting { url: Secret::new(proxy.url), no_proxy: proxy.no_proxy }),
            roots: Roots { ca: options.ca.unwrap_or_default(), node, node_is_complete },
            identity: identity::Pem {
                cert: options.cert.map(Secret::new),
                key: options.key.map(Secret::new),
            },
            variables: options.variables,
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

/// What a call asks for, besides whose token of which connector.
#[napi(object, object_to_js = false)]
#[derive(Default)]
pub struct BindingCallOptions {
    pub timeout_ms: Option<u32>,
    /// Skip the cache, and share no request that began earlier.
    pub fresh: Option<bool>,
    /// A token that a service rejected: another one is wanted.
    pub rejected_token: Option<String>,
    /// The whole connection, in place of its token.
    pub wants_connection: Option<bool>,
}

impl BindingCallOptions {
    pub fn request<'a>(&'a self, kind: OwnerKind, id: &'a str, slug: &'a str) -> CallRequest<'a> {
        CallRequest {
            kind,
            id,
            slug,
            timeout: millis(self.timeout_ms),
            fresh: self.fresh.unwrap_or_default(),
            rejected: self.rejected_token.as_deref(),
        }
    }
}

/// How a call ended. A connection that is unavailable comes with the error for a caller who wants its token.
#[napi(object, object_from_js = false)]
#[derive(Default)]
pub struct BindingOutcome {
    /// Where the caller wants the token alone.
    pub access_token: Option<String>,
    /// Milliseconds for which a cached token may be served without another call; absent unless it came from the cache.
    pub valid_for_ms: Option<f64>,
    /// Of what was known at once: whether another call that reported the same rejected token has fetched it.
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
    /// What was known at once.
    pub fn known(known: &Known, lease: Option<Duration>, wants_connection: bool) -> Self {
        let Known { connection, coalesced, .. } = known;
        let valid_for_ms = lease.map(|lease| lease.as_secs_f64() * 1e3);
        let coalesced = coalesced.then_some(true);
        if wants_connection {
            return Self {
                connection: Some(BindingConnection::new(connection)),
                valid_for_ms,
                coalesced,
                ..Self::default()
            };
        }
        let access_token = connection.token().map(str::to_owned);
        Self { access_token, valid_for_ms, coalesced, ..Self::default() }
    }
}

impl From<Error> for BindingOutcome {
    fn from(error: Error) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }
}

impl BindingOutcome {
    fn settled(outcome: Outcome, wants_connection: bool) -> Self {
        let fleet = outcome.fleet.map(BindingFleetReport::from);
        match outcome.result {
            Ok(connection) => match connection.token() {
                Some(token) if !wants_connection => {
                    Self { access_token: Some(token.to_owned()), fleet, ..Self::default() }
                }
                _ => Self {
                    connection: Some(BindingConnection::new(&connection)),
                    error: outcome.unavailable.map(BindingError::from),
                    fleet,
                    ..Self::default()
                },
            },
            Err(error) => Self { fleet, ..error.into() },
        }
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

/// All that there is to say; the facade makes an instance of the class and throws it.
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

#[napi(object, object_from_js = false)]
pub struct BindingStats {
    pub calls: f64,
    pub requests: f64,
    pub retries: f64,
    pub coalesced: f64,
    pub cache_hits: f64,
    pub cache_misses: f64,
    pub failures: f64,
    pub rejections: f64,
    pub repairs: f64,
    pub in_flight: f64,
    pub queued: f64,
    pub fleet: Option<BindingFleetStats>,
}

#[napi(object, object_from_js = false)]
pub struct BindingFleetStats {
    pub hits: f64,
    pub misses: f64,
    pub errors: f64,
    pub is_bypassed: bool,
    pub last_error: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub last_error_at: Option<f64>,
}

impl From<&FleetStats> for BindingFleetStats {
    fn from(fleet: &FleetStats) -> Self {
        let (last_error, last_error_at) =
            fleet.last_error().map(|FleetError { reason, at }| (reason.into_owned(), at)).unzip();
        Self {
            hits: fleet.hits.get() as f64,
            misses: fleet.misses.get() as f64,
            errors: fleet.errors.get() as f64,
            is_bypassed: fleet.is_bypassed.load(Ordering::Relaxed),
            last_error,
            last_error_at,
        }
    }
}

impl From<&Stats> for BindingStats {
    fn from(stats: &Stats) -> Self {
        Self {
            calls: stats.calls.get() as f64,
            requests: stats.requests.get() as f64,
            retries: stats.retries.get() as f64,
            coalesced: stats.coalesced.get() as f64,
            cache_hits: stats.cache_hits.get() as f64,
            cache_misses: stats.cache_misses.get() as f64,
            failures: stats.failures.get() as f64,
            rejections: stats.rejections.get() as f64,
            repairs: stats.repairs.get() as f64,
            in_flight: stats.in_flight.get() as f64,
            queued: stats.queued.get() as f64,
            fleet: stats.fleet.as_deref().map(BindingFleetStats::from),
        }
    }
}

/// What crosses the bridge.
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

    /// What a call that panicked ends with.
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

/// The engine need not decode what has one byte for a character.
fn string<'env>(env: &'env Env, text: &str) -> napi::Result<Unknown<'env>> {
    let string = if text.is_ascii() { env.create_string_latin1(text) } else { env.create_string(text) };
    string?.into_unknown(env)
}
