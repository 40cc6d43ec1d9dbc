//! What crosses the waist, and nothing else: the `Binding…` types and their conversion from and to the core's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{ToNapiValue, Unknown};
use napi_derive::napi;

use crate::core::client::{Outcome, Overdue};
use crate::core::config::Options;
use crate::core::connection::{Connection, State};
use crate::core::error::Error;
use crate::core::fleet::settings as fleet;
use crate::core::http::identity;
use crate::core::http::proxy::ProxySetting;
use crate::core::http::tls::Roots;
use crate::core::platform::endpoint::Paths;
use crate::core::secret::Secret;
use crate::core::stats::{FleetStats, Stats};
use crate::core::tokens::cache;

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
            encryption_key: redis.encryption_key.map(Secret::new),
        })
    }
}

impl From<BindingClientOptions> for Options {
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
            cache: options.cache.map(|limits| cache::Limits {
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

/// How a call ended, unless it ended with a token: then that is all that crosses. A connection that is unavailable comes
/// with the error for whoever wants its token.
#[napi(object, object_from_js = false)]
pub struct BindingOutcome {
    pub attempts: u32,
    pub coalesced: bool,
    pub connection: Option<BindingConnection>,
    pub error: Option<BindingError>,
}

/// A call that was answered from the cache, at once.
#[napi(object, object_from_js = false)]
pub struct BindingHit {
    pub access_token: String,
    /// Milliseconds for which the token may be given out without asking again.
    pub valid_for_ms: f64,
}

impl BindingHit {
    pub fn new(connection: &Connection, valid_for: Duration) -> Self {
        Self {
            access_token: connection.token().unwrap_or_default().to_owned(),
            valid_for_ms: valid_for.as_secs_f64() * 1e3,
        }
    }
}

impl From<&Connection> for BindingOutcome {
    fn from(connection: &Connection) -> Self {
        Self {
            attempts: 0,
            coalesced: false,
            connection: Some(BindingConnection::new(connection)),
            error: None,
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
            class_name: error.kind.class().name(),
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

impl From<Error> for BindingOutcome {
    fn from(error: Error) -> Self {
        Self { attempts: error.attempts, coalesced: false, connection: None, error: Some(error.into()) }
    }
}

impl BindingConnection {
    fn new(connection: &Connection) -> Self {
        let details = connection.details.unpack();
        let own = |detail: Option<&str>| detail.map(str::to_owned);
        let common = Self {
            slug: own(details.slug),
            connection_id: own(details.connection_id),
            connector_name: own(details.connector_name),
            authorization_id: own(details.authorization_id),
            authorization_status: own(details.authorization_status),
            display_label: own(details.display_label),
            ..Self::default()
        };
        match &connection.state {
            State::Active { access_token, expires_at } => Self {
                status: "active",
                access_token: Some(access_token.expose().to_owned()),
                expires_at_ms: *expires_at,
                ..common
            },
            State::Unavailable { reason, trouble } => Self {
                status: reason.status(),
                error_code: trouble.error_code.clone(),
                error_message: trouble.error_message.clone(),
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
}

impl From<&FleetStats> for BindingFleetStats {
    fn from(fleet: &FleetStats) -> Self {
        Self {
            hits: fleet.hits.get() as f64,
            misses: fleet.misses.get() as f64,
            errors: fleet.errors.get() as f64,
            is_bypassed: fleet.is_bypassed.load(Ordering::Relaxed),
            last_error: fleet.last_error(),
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
            in_flight: stats.in_flight.get() as f64,
            queued: stats.queued.get() as f64,
            fleet: stats.fleet.as_deref().map(BindingFleetStats::from),
        }
    }
}

/// What crosses the bridge.
pub enum Settlement {
    /// A call that asked for the token, and got one: an active connection.
    Token(Arc<Connection>),
    /// A call that ended otherwise, or asked for the connection.
    Outcome(Box<Outcome>),
    /// A closed client whose calls have ended.
    Closed,
}

impl Settlement {
    /// Only what the caller asked for crosses.
    pub fn of(outcome: Outcome, whole_connection: bool) -> Self {
        match outcome.result {
            Ok(ref connection) if !whole_connection && connection.token().is_some() => {
                Self::Token(Arc::clone(connection))
            }
            _ => Self::Outcome(Box::new(outcome)),
        }
    }

    /// What a call that panicked ends with.
    pub fn panicked() -> Self {
        Self::Outcome(Box::new(Outcome {
            result: Err(Error::internal()),
            unavailable: None,
            attempts: 0,
            coalesced: false,
        }))
    }

    /// On the environment's thread.
    pub fn into_js(env: &Env, settlement: Self) -> napi::Result<Unknown<'_>> {
        match settlement {
            Self::Token(connection) => {
                let token = connection.token().unwrap_or_default();
                // The engine need not decode what has one byte for a character.
                let text =
                    if token.is_ascii() { env.create_string_latin1(token) } else { env.create_string(token) };
                text?.into_unknown(env)
            }
            Self::Outcome(outcome) => {
                let (attempts, coalesced) = (outcome.attempts, outcome.coalesced);
                let outcome = match outcome.result {
                    Ok(connection) => BindingOutcome {
                        attempts,
                        coalesced,
                        connection: Some(BindingConnection::new(&connection)),
                        error: outcome.unavailable.map(BindingError::from),
                    },
                    Err(error) => BindingOutcome { coalesced, ..error.into() },
                };
                outcome.into_unknown(env)
            }
            Self::Closed => true.into_unknown(env),
        }
    }
}

impl From<Overdue> for Settlement {
    fn from(overdue: Overdue) -> Self {
        Self::Outcome(Box::new(overdue.outcome()))
    }
}
