//! Checks every option, once, at construction, and makes the parts of a client from them: its endpoint, its trust, its
//! proxy. Opens nothing.
//!
//! The facade has checked types and the ranges of integers; an absent option is `None` and gets its default here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;

use crate::core::error::{Error, Kind};
use crate::core::http::TransportSettings;
use crate::core::http::identity;
use crate::core::http::proxy::{OPTION as PROXY, Proxy, ProxySetting};
use crate::core::http::tls::{Roots, Trust};
use crate::core::platform;
use crate::core::platform::catalog::Catalog;
use crate::core::platform::endpoint::{Endpoint, Paths};
use crate::core::platform::retry::DEFAULT_MAX_RETRIES;
use crate::core::secret::{Secret, basic_authorization};
use crate::core::text::is_blank;
use crate::core::tokens::cache;

/// Time limit of a whole call.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(20_000);
/// Time limit of one attempt.
pub const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(8_000);
/// Time limit of a new connection: a little more than the 3 s after which a lost SYN has been sent again twice.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);
/// Age at which a connection gets no new request, so that the client follows a name that moves.
pub const DEFAULT_MAX_CONNECTION_AGE: Duration = Duration::from_millis(300_000);
pub const DEFAULT_MAX_CONCURRENCY: usize = 100;

const PUBLISHABLE_KEY: &str = "publishableKey";
const SECRET_KEY: &str = "secretKey";

/// The options of a client, each `None` for its default.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// User name of the Basic auth.
    pub publishable_key: Option<Secret>,
    /// Password of the Basic auth.
    pub secret_key: Option<Secret>,
    pub base_url: Option<String>,
    /// Whether that may be plain HTTP to another host than a loopback one.
    pub allow_http: bool,
    /// Whether HTTP/2 is offered; `None` for yes.
    pub http2: Option<bool>,
    pub catalog_url: Option<String>,
    pub paths: Paths,
    pub timeout: Option<Duration>,
    pub attempt_timeout: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    /// Age from which a connection gets no new request.
    pub max_connection_age: Option<Duration>,
    pub max_retries: Option<u32>,
    pub max_concurrency: Option<usize>,
    /// The cache's limits; `None` for no cache.
    pub cache: Option<cache::CacheLimits>,
    /// The proxy, from an option or the environment.
    pub proxy: Option<ProxySetting>,
    pub roots: Roots,
    pub identity: identity::Pem,
    /// The environment variable that stands in for an option, by the option's name, for each option that was not given.
    pub variables: HashMap<String, String>,
}

/// Options that have been checked.
#[derive(Debug)]
pub struct Config {
    pub endpoint: Endpoint,
    pub catalog: Option<Catalog>,
    pub limits: CallLimits,
    pub attempts: platform::AttemptLimits,
    pub transport: TransportSettings,
    /// The keys, or the error that names the missing one: a client is made without keys, and each of its calls fails
    /// with that error.
    pub keys: Result<ApiKeys, Error>,
}

/// The limits of a call, and of the cache.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    pub timeout: Duration,
    pub cache: Option<cache::CacheLimits>,
}

/// The platform's keys, and the header made of them.
#[derive(Clone, Debug)]
pub struct ApiKeys {
    pub publishable: Secret,
    pub secret: Secret,
    pub authorization: HeaderValue,
}

impl ClientOptions {
    /// Checks all options, and fails with the first that is wrong.
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
            limits: CallLimits { timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT), cache: self.cache },
            attempts: platform::AttemptLimits {
                attempt_timeout: self.attempt_timeout.unwrap_or(DEFAULT_ATTEMPT_TIMEOUT),
                max_retries: self.max_retries.unwrap_or(DEFAULT_MAX_RETRIES),
                max_concurrency: self.max_concurrency.unwrap_or(DEFAULT_MAX_CONCURRENCY),
            },
            transport: TransportSettings {
                origin: endpoint.origin(),
                is_https: endpoint.is_https(),
                http2: self.http2.unwrap_or(true),
                connect_timeout: self.connect_timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT),
                max_connection_age: self.max_connection_age.unwrap_or(DEFAULT_MAX_CONNECTION_AGE),
                proxy,
                trust: Trust::new(&self.roots)?,
                identity: Arc::new(identity),
            },
            endpoint,
            keys,
        })
    }

    /// The outer error is that of a key that is wrong, the inner one that of a key that is not set.
    fn keys(&self) -> Result<Result<ApiKeys, Error>, Error> {
        let name = self.key(PUBLISHABLE_KEY, self.publishable_key.as_ref())?;
        let password = self.key(SECRET_KEY, self.secret_key.as_ref())?;
        if name.is_some_and(|name| name.contains(':')) {
            // It would end the user name there (RFC 7617, section 2). A password may hold one.
            return Err(Error::option(PUBLISHABLE_KEY, "must not contain a colon"));
        }
        let (name, password) = match (name, password) {
            (Some(name), Some(password)) => (name, password),
            (None, _) => return Ok(Err(self.missing_key(PUBLISHABLE_KEY))),
            (_, None) => return Ok(Err(self.missing_key(SECRET_KEY))),
        };
        Ok(Ok(ApiKeys {
            authorization: basic_authorization(name, password).ok_or_else(Error::internal)?,
            publishable: Secret::new(name.to_owned()),
            secret: Secret::new(password.to_owned()),
        }))
    }

    /// Keys often come from files and secret stores, which leave a newline at the end: one is trimmed.
    fn key<'a>(&self, option: &'static str, key: Option<&'a Secret>) -> Result<Option<&'a str>, Error> {
        let Some(text) = key.map(Secret::expose) else { return Ok(None) };
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        if is_blank(text) {
            return Err(self.missing_key(option));
        }
        refuse_foreign_character(option, text)?;
        Ok(Some(text))
    }

    fn missing_key(&self, option: &'static str) -> Error {
        let message = match self.variables.get(option) {
            Some(variable) => {
                format!(
                    "The {option} is missing: set the environment variable {variable}, or pass the option {option}"
                )
            }
            None => format!("The option {option} is empty: is what it comes from set?"),
        };
        Error::new(Kind::MissingCredentials, message)
    }

    /// Begins the message of an unusable option with where its value came from.
    pub fn name_source(&self, error: Error) -> Error {
        let Some(option) = error.option else { return error };
        let source = match self.variables.get(option) {
            Some(variable) => format!("The environment variable {variable}"),
            None => format!("The option {option}"),
        };
        Error { message: format!("{source} {}", error.message).into(), option: None, ..error }
    }

    fn proxy(&self, endpoint: &Endpoint) -> Result<Option<Proxy>, Error> {
        let Some(setting) = &self.proxy else { return Ok(None) };
        if !endpoint.is_https() {
            // A variable such as HTTPS_PROXY is for https: only.
            if self.variables.contains_key(PROXY) {
                return Ok(None);
            }
            return Err(Error::option(
                PROXY,
                "needs an https: baseUrl: over http: the proxy would see the keys",
            ));
        }
        let (host, port) = endpoint.authority();
        Proxy::select(setting, host, port)
    }
}

/// Keys are ASCII. Documents and chats put other characters into them, often invisible ones, so the error says which
/// one stands where.
fn refuse_foreign_character(option: &'static str, key: &str) -> Result<(), Error> {
    if key.chars().any(char::is_control) {
        return Err(Error::option(option, "must not contain control characters"));
    }
    let Some((index, character)) = key.chars().enumerate().find(|(_, character)| !character.is_ascii())
    else {
        return Ok(());
    };
    let name = match character {
        '\u{a0}' => " (a no-break space)",
        '\u{ad}' => " (a soft hyphen)",
        '\u{200b}' => " (a zero width space)",
        '\u{200c}' | '\u{200d}' => " (a zero width joiner)",
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => " (a direction mark)",
        '\u{2010}'..='\u{2015}' => " (a typographic hyphen)",
        '\u{2018}'..='\u{201f}' => " (a typographic quotation mark)",
        '\u{2060}' => " (a word joiner)",
        '\u{feff}' => " (a byte order mark)",
        _ => "",
    };
    let (position, code) = (index + 1, u32::from(character));
    let problem =
        format!("must contain ASCII characters only, but character {position} is U+{code:04X}{name}");
    Err(Error::option(option, problem))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn options(publishable_key: &str, secret_key: &str) -> ClientOptions {
        ClientOptions {
            publishable_key: Some(Secret::new(publishable_key.to_owned())),
            secret_key: Some(Secret::new(secret_key.to_owned())),
            ..ClientOptions::default()
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
            ("hunter\u{200b}2", "sk", Kind::InvalidArgument),
        ] {
            let error = options(name, password).check().unwrap_err();
            assert_eq!(error.kind, kind);
            assert!(!error.message.contains("hunter"));
        }
        for options in [ClientOptions::default(), ClientOptions { secret_key: None, ..options("pk", "sk") }] {
            assert_eq!(options.check().unwrap().keys.unwrap_err().kind, Kind::MissingCredentials);
        }
    }

    #[test]
    fn a_colon_is_refused_where_it_would_end_the_user_name() {
        let keys = options("pk", "s:k:").check().unwrap().keys.unwrap();
        assert_eq!(keys.authorization, format!("Basic {}", STANDARD.encode("pk:s:k:")));
        let error = options("p:k", "sk").check().unwrap_err();
        assert_eq!((error.option, &*error.message), (Some("publishableKey"), "must not contain a colon"));
    }

    #[test]
    fn a_foreign_character_of_a_key_is_named_with_its_place() {
        for (character, name) in [
            ("\u{a0}", "U+00A0 (a no-break space)"),
            ("\u{ad}", "U+00AD (a soft hyphen)"),
            ("\u{200b}", "U+200B (a zero width space)"),
            ("\u{200d}", "U+200D (a zero width joiner)"),
            ("\u{202e}", "U+202E (a direction mark)"),
            ("\u{2013}", "U+2013 (a typographic hyphen)"),
            ("\u{201d}", "U+201D (a typographic quotation mark)"),
            ("\u{2060}", "U+2060 (a word joiner)"),
            ("\u{feff}", "U+FEFF (a byte order mark)"),
            ("\u{1f511}", "U+1F511"),
        ] {
            let error = options("pk", &format!("hun{character}ter\u{e9}")).check().unwrap_err();
            assert_eq!(error.option, Some("secretKey"));
            assert_eq!(
                error.message,
                format!("must contain ASCII characters only, but character 4 is {name}")
            );
        }
    }

    #[test]
    fn a_message_begins_with_where_the_value_came_from() {
        let mut options = options("p:k", "sk");
        let told = |options: &ClientOptions| options.name_source(options.check().unwrap_err()).message;
        assert_eq!(told(&options), "The option publishableKey must not contain a colon");
        options.variables.insert(PUBLISHABLE_KEY.to_owned(), "SOME_KEY".to_owned());
        assert_eq!(told(&options), "The environment variable SOME_KEY must not contain a colon");
        options.publishable_key = None;
        let missing = options.check().unwrap().keys.unwrap_err();
        assert!(missing.message.contains("set the environment variable SOME_KEY"), "{missing:?}");
    }

    #[test]
    fn a_checked_config_shows_no_secret() {
        let mut options = options("pk", "hunter2");
        options.proxy = Some(ProxySetting {
            url: Secret::new("http://me:swordfish@proxy.test".to_owned()),
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
        options.proxy =
            Some(ProxySetting { url: Secret::new("http://proxy.test".to_owned()), no_proxy: String::new() });
        assert_eq!(options.check().unwrap_err().kind, Kind::InvalidArgument);
        options.variables.insert(PROXY.to_owned(), "HTTPS_PROXY".to_owned());
        assert!(options.check().unwrap().transport.proxy.is_none());
    }
}
