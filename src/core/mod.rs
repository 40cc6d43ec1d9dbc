//! The client in plain Rust, assembled here. Each folder answers one question, and imports run downward only:
//!
//! `client` takes a call on → `tokens`: what we know → `source`: where a connection is fetched from, which is `platform`: how
//! we ask → `http`: how bytes travel, or `fleet` around it: how processes share. Below them are leaves that import none of
//! these: `connection`, `error`, `secret`, `stats`, `certificate`, `clock`, `resolver`, `connector`, `json`, `spawn`, `sync`, `text`.
#![forbid(unsafe_code)]

mod certificate;
pub mod client;
mod clock;
pub mod config;
pub mod connection;
mod connector;
pub mod error;
pub mod fleet;
pub mod http;
mod json;
pub mod platform;
mod resolver;
pub mod secret;
#[cfg(test)]
mod simulation;
mod source;
pub mod spawn;
pub mod stats;
mod sync;
#[cfg(test)]
mod tests;
mod text;
#[cfg(test)]
mod threads;
pub mod tokens;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::client::{Client, ClientParts};
use self::clock::Clock;
use self::config::{ApiKeys, CallLimits, ClientOptions, Config};
use self::error::Error;
use self::fleet::Fleet;
use self::fleet::nodes::Nodes;
use self::fleet::outbox::MAX_PENDING;
use self::fleet::settings::{RedisOptions, RedisSettings};
use self::http::tls::Trust;
use self::http::{Exchange, Transport};
use self::platform::Platform;
use self::platform::catalog::Catalog;
use self::platform::endpoint::Endpoint;
use self::source::{Fetch, Fetched, TokenSource};
use self::spawn::Spawn;
use self::stats::Stats;
use self::tokens::validity::Validity;

/// Makes a client from its options, and the catalog with the pages where owners connect. Opens no connection and starts no
/// thread. A client that replaces a predecessor continues its counters.
pub fn open(
    options: &ClientOptions,
    fleet_options: Option<&RedisOptions>,
    predecessor: Option<&Client>,
) -> Result<(Client, Option<Catalog>), Error> {
    let named = |error| options.name_source(error);
    let config = options.check().map_err(named)?;
    let settings = fleet_options.map(|options| options.check()).transpose().map_err(named)?;
    let stats = predecessor
        .map_or_else(|| Arc::new(Stats::new(settings.is_some())), |client| Arc::clone(client.stats()));
    let catalog = config.catalog.clone();
    let client = client_of(config, settings, stats).map_err(named)?;
    Ok((client, catalog))
}

fn client_of(config: Config, settings: Option<RedisSettings>, stats: Arc<Stats>) -> Result<Client, Error> {
    let Config { endpoint, catalog, limits, attempts, transport, keys } = config;
    let (clock, jitter, spawn) = (Clock::system(), fastrand::f64, spawn::on_runtime);
    let keys = match keys {
        Ok(keys) => keys,
        Err(missing) => {
            let (source, validity, origin) = (Arc::new(Keyless(missing)), Arc::default(), endpoint.origin());
            let parts = ClientParts { source, origin, limits, validity, stats, clock, jitter, spawn };
            return Ok(Client::new(parts));
        }
    };
    assemble(Assembly {
        endpoint,
        catalog,
        limits,
        attempts,
        connect_timeout: transport.connect_timeout,
        fleet: settings.map(|settings| fleet_on(settings, &transport.trust)).transpose()?,
        transport: Transport::new(transport, keys.authorization.clone()),
        keys,
        stats,
        clock,
        jitter,
        spawn,
    })
}

/// A fleet on the Redis of the settings, which is trusted as the platform is.
fn fleet_on(
    settings: RedisSettings,
    trust: &Trust,
) -> Result<(RedisSettings, fleet::FleetEnvironment), Error> {
    let tls = settings.is_tls.then(|| trust.client_config(Arc::default()).map_err(|_| Error::internal()));
    let dialer = Box::new(Nodes::new(settings.clone(), tls.transpose()?));
    let environment = fleet::FleetEnvironment { dialer, spawn: spawn::on_runtime, max_pending: MAX_PENDING };
    Ok((settings, environment))
}

/// The parts of a client with keys: its options, and its ways out of the process.
struct Assembly<T> {
    endpoint: Endpoint,
    catalog: Option<Catalog>,
    limits: CallLimits,
    attempts: platform::AttemptLimits,
    connect_timeout: Duration,
    transport: T,
    keys: ApiKeys,
    fleet: Option<(RedisSettings, fleet::FleetEnvironment)>,
    stats: Arc<Stats>,
    clock: Clock,
    jitter: fn() -> f64,
    spawn: Spawn,
}

fn assemble<T: Exchange>(assembly: Assembly<T>) -> Result<Client, Error> {
    let Assembly { endpoint, catalog, limits, attempts, connect_timeout, .. } = assembly;
    let Assembly { transport, keys, fleet, stats, clock, jitter, spawn, .. } = assembly;
    let (origin, named, fleet_stats) = (endpoint.origin(), endpoint.clone(), stats.fleet.clone());
    let platform =
        Platform::new(transport, endpoint, catalog, attempts, Arc::clone(&stats), clock.clone(), jitter);
    let (source, validity): (Arc<dyn TokenSource>, _) = match (fleet, limits.cache, fleet_stats) {
        (Some((settings, environment)), Some(cache), Some(stats)) => {
            let validity = Arc::new(Validity::shared());
            let parts = fleet::FleetParts {
                environment,
                secret_key: keys.secret.expose(),
                publishable_key: keys.publishable.expose(),
                url_of: Box::new(move |key| named.connection_text(key.kind, key.id(), key.slug())),
                connect_timeout,
                patience: attempts.attempt_timeout,
                ttl: cache.ttl,
                validity: Arc::clone(&validity),
                stats,
                clock: clock.clone(),
                jitter,
            };
            (Arc::new(Fleet::new(platform, &settings, parts)?), validity)
        }
        _ => (Arc::new(platform), Arc::default()),
    };
    Ok(Client::new(ClientParts { source, origin, limits, validity, stats, clock, jitter, spawn }))
}

/// Takes the platform's place while a key is missing: each call fails with the error that names the key.
struct Keyless(Error);

impl TokenSource for Keyless {
    fn fetch(&self, _: Fetch) -> BoxFuture<'_, Result<Fetched, Error>> {
        ready(Err(self.0.clone())).boxed()
    }
}
