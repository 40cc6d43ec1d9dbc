//! From options to what a client runs on: every value is checked here, once, at construction. Builds nothing.
//!
//! The facade has checked types and the ranges of integers; an absent option is `None` and gets its default here.

use std::time::Duration;

use reqwest::header::HeaderValue;

use crate::core::error::{Error, Kind};
use crate::core::http::Settings;
use crate::core::http::identity;
use crate::core::http::proxy::{Proxy, ProxySetting};
use crate::core::http::tls::{Roots, Trust};
use crate::core::platform;
use crate::core::platform::catalog::Catalog;
use crate::core::platform::endpoint::{Endpoint, Paths};
use crate::core::platform::retry::DEFAULT_MAX_RETRIES;
use crate::core::secret::{Secret, basic_authorization};
use crate::core::text::is_blank;
use crate::core::tokens::cache;

/// The whole call.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(20_000);
/// One attempt.
pub const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(8_000);
/// A new connection: a little more than a lost SYN and its repetition after 3 s.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);
/// A connection that is in use: after so long a name that moved is followed.
pub const DEFAULT_MAX_CONNECTION_AGE: Duration = Duration::from_millis(300_000);
/// Requests at once.
pub const DEFAULT_MAX_CONCURRENCY: usize = 100;

/// The options of a client, each `None` for its default.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// User name of the Basic auth.
    pub publishable_key: Option<Secret>,
    /// Password of the Basic auth.
    pub secret_key: Option<Secret>,
    /// Root of the Platform API.
    pub base_url: Option<String>,
    /// Whether that may be plain HTTP to another host than a loopback one.
    pub allow_http: bool,
    /// Root of the catalog.
    pub catalog_url: Option<String>,
    /// Path templates.
    pub paths: Paths,
    /// Limit of a call.
    pub timeout: Option<Duration>,
    /// Limit of an attempt.
    pub attempt_timeout: Option<Duration>,
    /// Limit of a new connection.
    pub connect_timeout: Option<Duration>,
    /// Age from which a connection gets no new request.
    pub max_connection_age: Option<Duration>,
    /// Retries of a call.
    pub max_retries: Option<u32>,
    /// Requests at once.
    pub max_concurrency: Option<usize>,
    /// The cache's limits; `None` for no cache.
    pub cache: Option<cache::Limits>,
    /// The proxy, from an option or the environment.
    pub proxy: Option<ProxySetting>,
    /// Certificates to trust.
    pub roots: Roots,
    /// The client's own certificate.
    pub identity: identity::Pem,
}

/// Options that have been checked.
#[derive(Debug)]
pub struct Config {
    pub endpoint: Endpoint,
    pub catalog: Option<Catalog>,
    pub limits: Limits,
    pub attempts: platform::Limits,
    pub transport: Settings,
    /// Or which one nobody has set: a client can be made without it and says so when it is used.
    pub keys: Result<Keys, Error>,
}

/// What a call may take, and what is kept of it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub timeout: Duration,
    pub cache: Option<cache::Limits>,
}

/// The platform's keys, and the header that they make.
#[derive(Clone, Debug)]
pub struct Keys {
    pub publishable: Secret,
    pub secret: Secret,
    pub authorization: HeaderValue,
}

impl Options {
    /// Checks everything; the first thing wrong is the error.
    pub fn check(&self) -> Result<Config, Error> {
        let keys = self.keys()?;
        let endpoint = Endpoint::new(self.base_url.as_deref(), self.allow_http, &self.paths)?;
        let catalog = self.catalog_url.as_deref().map(Catalog::new).transpose()?;
        let proxy = self.proxy(&endpoint)?;
        let identity = self.identity.read()?;
        if identity.is_some() && proxy.as_ref().is_some_and(Proxy::is_tls) {
            return Err(Error::option(
                "cert",
                "cannot be used with a proxy that has an https: URL: the proxy would be shown the certificate too",
            ));
        }
        Ok(Config {
            catalog,
            limits: Limits { timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT), cache: self.cache },
            attempts: platform::Limits {
                attempt_timeout: self.attempt_timeout.unwrap_or(DEFAULT_ATTEMPT_TIMEOUT),
                max_retries: self.max_retries.unwrap_or(DEFAULT_MAX_RETRIES),
                max_concurrency: self.max_concurrency.unwrap_or(DEFAULT_MAX_CONCURRENCY),
            },
            transport: Settings {
                origin: endpoint.origin(),
                is_https: endpoint.is_https(),
                connect_timeout: self.connect_timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT),
                max_connection_age: self.max_connection_age.unwrap_or(DEFAULT_MAX_CONNECTION_AGE),
                proxy,
                trust: Trust::new(&self.roots)?,
                identity,
            },
            endpoint,
            keys,
        })
    }

    /// A key that is set and wrong is an error at once; one that is not set is the inner one.
    fn keys(&self) -> Result<Result<Keys, Error>, Error> {
        let publishable = Key { option: "publishableKey", variable: "XKIT_PUBLISHABLE_KEY" };
        let secret = Key { option: "secretKey", variable: "XKIT_SECRET_KEY" };
        let name = publishable.check(self.publishable_key.as_ref())?;
        let password = secret.check(self.secret_key.as_ref())?;
        if name.is_some_and(|name| name.contains(':')) {
            return Err(Error::option("publishableKey", "must not contain a colon"));
        }
        let (name, password) = match (name, password) {
            (Some(name), Some(password)) => (name, password),
            (None, _) => return Ok(Err(publishable.missing())),
            (_, None) => return Ok(Err(secret.missing())),
        };
        Ok(Ok(Keys {
            authorization: basic_authorization(name, password).ok_or_else(Error::internal)?,
            publishable: Secret::new(name.to_owned()),
            secret: Secret::new(password.to_owned()),
        }))
    }

    fn proxy(&self, endpoint: &Endpoint) -> Result<Option<Proxy>, Error> {
        let Some(setting) = &self.proxy else { return Ok(None) };
        if !endpoint.is_https() {
            // A variable such as HTTPS_PROXY speaks of https: only.
            if setting.variable.is_some() {
                return Ok(None);
            }
            return Err(Error::option(
                "proxy",
                "needs an https: baseUrl: over http: the proxy would see the keys",
            ));
        }
        let (host, port) = endpoint.authority();
        Proxy::select(setting, host, port)
    }
}

/// Where a key comes from.
struct Key {
    option: &'static str,
    variable: &'static str,
}

impl Key {
    /// Keys often come from files and secret stores, which leave a newline at the end: one is trimmed.
    fn check<'a>(&self, key: Option<&'a Secret>) -> Result<Option<&'a str>, Error> {
        let Some(text) = key.map(Secret::expose) else { return Ok(None) };
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        if is_blank(text) {
            return Err(self.missing());
        }
        if text.chars().any(char::is_control) {
            return Err(Error::option(self.option, "must not contain control characters"));
        }
        Ok(Some(text))
    }

    fn missing(&self) -> Error {
        let Self { option, variable } = self;
        let words = format!("set the environment variable {variable}, or pass the option {option}");
        Error::new(Kind::MissingCredentials, format!("The {option} is missing: {words}"))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn options(publishable_key: &str, secret_key: &str) -> Options {
        Options {
            publishable_key: Some(Secret::new(publishable_key.to_owned())),
            secret_key: Some(Secret::new(secret_key.to_owned())),
            ..Options::default()
        }
    }

    #[test]
    fn keys_become_one_sensitive_header() {
        for (name, password) in [("pk", "sk"), ("pk\n", "sk\r\n")] {
            let header = options(name, password).check().unwrap().keys.unwrap().authorization;
            assert_eq!(header, "Basic cGs6c2s=");
            assert!(header.is_sensitive());
        }
    }

    #[test]
    fn missing_and_unusable_keys_are_told_apart_and_never_repeated() {
        for (name, password, kind) in [
            ("", "sk", Kind::MissingCredentials),
            ("pk", " ", Kind::MissingCredentials),
            ("pk", "\n", Kind::MissingCredentials),
            ("pk", "hunter\n2", Kind::InvalidArgument),
            ("pk", "hunter2\n\n", Kind::InvalidArgument),
            ("hunter:2", "sk", Kind::InvalidArgument),
        ] {
            let error = options(name, password).check().unwrap_err();
            assert_eq!(error.kind, kind);
            assert!(!error.message.contains("hunter"));
        }
        for options in [Options::default(), Options { secret_key: None, ..options("pk", "sk") }] {
            assert_eq!(options.check().unwrap().keys.unwrap_err().kind, Kind::MissingCredentials);
        }
    }

    #[test]
    fn a_checked_config_shows_no_secret() {
        let mut options = options("pk", "hunter2");
        options.proxy = Some(ProxySetting {
            url: Secret::new("http://me:swordfish@proxy.test".to_owned()),
            variable: None,
            no_proxy: String::new(),
        });
        let shown = format!("{options:?} {:?}", options.check().unwrap());
        for secret in ["hunter2", "swordfish", &STANDARD.encode("pk:hunter2")] {
            assert!(!shown.contains(secret), "{secret}");
        }
    }

    #[test]
    fn a_proxy_needs_an_encrypted_base_url() {
        let mut options = options("pk", "sk");
        options.base_url = Some("http://127.0.0.1:1".to_owned());
        assert!(options.check().unwrap().transport.proxy.is_none());
        options.proxy = Some(ProxySetting {
            url: Secret::new("http://proxy.test".to_owned()),
            variable: None,
            no_proxy: String::new(),
        });
        assert_eq!(options.check().unwrap_err().kind, Kind::InvalidArgument);
        options.proxy.as_mut().unwrap().variable = Some("HTTPS_PROXY".to_owned());
        assert!(options.check().unwrap().transport.proxy.is_none());
    }
}
