//! The client in plain Rust, put together here. Each folder answers one question, and imports run downward only:
//!
//! `client` takes a call on → `tokens`: what we know → `source`: where a connection is fetched from, which is `platform`: how
//! we ask → `http`: how bytes travel, or `fleet` around it: how processes share. Below them are leaves that import none of
//! these: `connection`, `error`, `secret`, `stats`, `certificate`, `clock`, `lane`, `lookup`, `json`, `text`.
#![forbid(unsafe_code)]

mod certificate;
pub mod client;
mod clock;
pub mod config;
pub mod connection;
pub mod error;
pub mod fleet;
pub mod http;
mod json;
pub mod lane;
mod lookup;
pub mod platform;
pub mod secret;
mod source;
pub mod stats;
mod text;
pub mod tokens;

use std::future::ready;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::client::{Client, Parts};
use self::clock::Clock;
use self::config::{Config, Options};
use self::error::Error;
use self::fleet::Fleet;
use self::http::Transport;
use self::lane::Lane;
use self::platform::Platform;
use self::platform::catalog::Catalog;
use self::source::{Fetch, Fetched, TokenSource};
use self::stats::Stats;
use self::tokens::key::Key;
use self::tokens::validity::{Validity, Version};

/// Makes a client by its options, and the catalog that it leads owners to. Opens no connection and starts no thread.
pub fn open(
    options: &Options,
    fleet_options: Option<&fleet::settings::Options>,
) -> Result<(Client, Option<Catalog>), Error> {
    let Config { endpoint, catalog, limits, attempts, transport, keys } = options.check()?;
    let settings = fleet_options.map(|options| options.check()).transpose()?;
    let (clock, jitter) = (Clock::system(), fastrand::f64);
    let fleet_stats = settings.is_some().then(Arc::default);
    let stats = Arc::new(Stats { fleet: fleet_stats.clone(), ..Stats::default() });
    let (origin, scope) = (endpoint.origin(), endpoint.scope());
    let (trust, connect_timeout) = (transport.trust.clone(), transport.connect_timeout);
    let keys = match keys {
        Ok(keys) => keys,
        Err(missing) => {
            let (source, validity) = (Arc::new(Keyless(missing)), Arc::default());
            let parts = Parts { source, origin, limits, validity, stats, clock, jitter, lane: None };
            return Ok((Client::new(parts), catalog));
        }
    };
    let lane = (!transport.is_https).then(Lane::default);
    let platform = Platform::new(
        Transport::new(transport, keys.authorization),
        endpoint,
        catalog.clone(),
        attempts,
        Arc::clone(&stats),
        clock.clone(),
        jitter,
    );
    let (source, validity): (Arc<dyn TokenSource>, _) = match settings.zip(limits.cache).zip(fleet_stats) {
        None => (Arc::new(platform), Arc::default()),
        Some(((settings, cache), stats)) => {
            let validity = Arc::new(Validity::shared());
            let tls =
                settings.is_tls.then(|| trust.client_config(Arc::default()).map_err(|_| Error::internal()));
            let parts = fleet::Parts {
                tls: tls.transpose()?,
                secret_key: keys.secret.expose(),
                publishable_key: keys.publishable.expose(),
                scope,
                connect_timeout,
                patience: attempts.attempt_timeout,
                ttl: cache.ttl,
                validity: Arc::clone(&validity),
                stats,
                clock: clock.clone(),
                jitter,
            };
            (Arc::new(Fleet::new(platform, settings, parts)?), validity)
        }
    };
    let client = Client::new(Parts { source, origin, limits, validity, stats, clock, jitter, lane });
    Ok((client, catalog))
}

/// What stands in for the platform while a key is missing: whoever asks is told which.
#[derive(Debug)]
struct Keyless(Error);

impl TokenSource for Keyless {
    fn version(&self, _: &Key) -> Version {
        Version::default()
    }

    fn fetch(&self, _: Fetch) -> BoxFuture<'_, Result<Fetched, Error>> {
        ready(Err(self.0.clone())).boxed()
    }

    fn invalidate(&self, _: &[Key], _: Option<&str>) -> Option<BoxFuture<'static, ()>> {
        None
    }
}
