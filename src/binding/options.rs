//! Owns what comes in: the `Binding…` types of a client's options and of a call, and their conversion to the core's.

use std::collections::HashMap;
use std::time::Duration;

use napi_derive::napi;

use crate::core::client::CallRequest;
use crate::core::config::ClientOptions;
use crate::core::fleet::settings::RedisOptions;
use crate::core::http::identity;
use crate::core::http::proxy::ProxySetting;
use crate::core::http::tls::Roots;
use crate::core::platform::endpoint::Paths;
use crate::core::secret::Secret;
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
    /// In Base64, since it can be any bytes.
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
    pub fn take_fleet(&mut self) -> Option<RedisOptions> {
        let redis = self.cache.as_mut()?.redis.take()?;
        Some(RedisOptions {
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

/// The options of a call.
#[napi(object, object_to_js = false)]
#[derive(Default)]
pub struct BindingCallOptions {
    pub timeout_ms: Option<u32>,
    /// Skip the cache, and share no request that began earlier.
    pub fresh: Option<bool>,
    /// A token that a service rejected; the call asks for another one.
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
