//! One request, one answer: reqwest with its own retries, redirects, cookies and decompression off.
//!
//! Owns the connection pool and turns whatever goes wrong below HTTP into a [`Fault`]. Decides on no retry.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::Response;
use url::Url;
use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::gate::Gate;
use super::proxy::Proxy;
use super::retry::{self, Class};
use super::tls::{self, Trust};
use super::verdict::{self, Answer};

/// Largest body that is read; a connection's is about 1 KiB.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// Idle connections are closed before common servers and balancers close theirs.
const POOL_IDLE: Duration = Duration::from_secs(15);
/// Pings on HTTP/2 connections in use: one that a middlebox froze is left after interval and timeout.
const PING_INTERVAL: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Connections remembered as having answered well; only free retries hang on it.
const MAX_SERVED: usize = 4096;

/// What the transport is built from.
#[derive(Debug)]
pub struct Settings {
    /// The platform's scheme, host and port, for messages.
    pub origin: String,
    pub is_https: bool,
    pub authorization: HeaderValue,
    pub connect_timeout: Duration,
    pub proxy: Option<Proxy>,
    pub trust: Trust,
}

/// A request that got no answer.
#[derive(Debug)]
pub struct Fault {
    pub error: Error,
    /// `None` where trying again cannot help.
    pub class: Option<Class>,
    /// The connection had answered well before, and was gone before this request got a byte back.
    pub stale: bool,
}

/// What the retry engine needs of a transport.
pub trait Exchange: Send + Sync + 'static {
    fn exchange(&self, url: Url) -> impl Future<Output = Result<Answer, Fault>> + Send;

    /// Leaves every pooled connection to those who use it now: the next request opens a new one.
    fn leave_pool(&self);
}

/// The pool and what every request needs.
#[derive(Debug)]
pub struct Transport {
    settings: Settings,
    tls: OnceLock<rustls::ClientConfig>,
    client: Mutex<Option<reqwest::Client>>,
    gate: Gate,
    served: Mutex<HashSet<SocketAddr>>,
}

impl Transport {
    /// Opens nothing and builds nothing before the first request.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            tls: OnceLock::new(),
            client: Mutex::default(),
            gate: Gate::new(POOL_IDLE),
            served: Mutex::default(),
        }
    }

    fn client(&self) -> Result<reqwest::Client, Fault> {
        let mut client = lock(&self.client);
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let built = self.build().ok_or_else(|| final_fault(Error::internal()))?;
        *client = Some(built.clone());
        Ok(built)
    }

    /// A new pool. The TLS configuration outlives it, and with it the tickets that shorten handshakes.
    fn build(&self) -> Option<reqwest::Client> {
        let tls = match self.tls.get() {
            Some(tls) => tls,
            None => {
                let tls = self.settings.trust.client_config().ok()?;
                self.tls.get_or_init(|| tls)
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.settings.authorization.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("xkit-node/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(self.settings.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .tls_backend_preconfigured(tls.clone());
        if let Some(proxy) = &self.settings.proxy {
            let mut tunnel = reqwest::Proxy::https(proxy.url.clone()).ok()?;
            if let Some((name, password)) = &proxy.credentials {
                tunnel = tunnel.basic_auth(name, password.expose());
            }
            builder = builder.proxy(tunnel);
        }
        builder.build().ok()
    }

    async fn send(&self, url: Url) -> Result<Response, Fault> {
        let client = self.client()?;
        // Plain HTTP has no connection to share, so nothing is gained by waiting for one.
        let leader = if self.settings.is_https { self.gate.enter().await } else { None };
        let sent = client.get(url).send().await;
        match &sent {
            Ok(response) => {
                self.gate.open();
                self.remember(response);
            }
            Err(_) => self.gate.close(),
        }
        drop(leader);
        sent.map_err(|error| self.fault(&error))
    }

    /// A platform that fails is not asked again for free, so its failures do not count as served.
    fn remember(&self, response: &Response) {
        if verdict::is_passing(response.status().as_u16()) {
            return;
        }
        if let Some(info) = response.extensions().get::<HttpInfo>() {
            let mut served = lock(&self.served);
            if served.len() >= MAX_SERVED {
                served.clear();
            }
            served.insert(info.local_addr());
        }
    }

    /// Whether the connection that failed had answered before.
    fn had_served(&self, error: &(dyn StdError + 'static)) -> bool {
        let Some(info) =
            find::<hyper_util::client::legacy::Error>(error).and_then(|error| error.connect_info())
        else {
            return false;
        };
        let mut extensions = http::Extensions::new();
        info.get_extras(&mut extensions);
        extensions.get::<HttpInfo>().is_some_and(|info| lock(&self.served).contains(&info.local_addr()))
    }

    fn fault(&self, error: &reqwest::Error) -> Fault {
        let origin = &self.settings.origin;
        if error.is_connect() {
            return self.connect_fault(error);
        }
        let hyper = find::<hyper::Error>(error);
        if hyper.is_some_and(hyper::Error::is_parse_too_large) {
            return final_fault(Error::new(
                Kind::ResponseTooLarge,
                format!("{origin} answered with too many headers: check that baseUrl is the Platform API"),
            ));
        }
        let not_http = hyper.is_some_and(hyper::Error::is_parse);
        let oversized_headers = find::<h2::Error>(error)
            .is_some_and(|error| error.is_library() && error.reason() == Some(h2::Reason::PROTOCOL_ERROR));
        let malformed = find::<io::Error>(error).is_some_and(|error| {
            matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
                && find::<rustls::Error>(error).is_none()
        });
        if not_http || oversized_headers || malformed {
            return final_fault(Error::new(
                Kind::InvalidResponse,
                format!(
                    "{origin} answered with what is not proper HTTP: check that baseUrl is the Platform API"
                ),
            ));
        }
        let mut fault = passing_fault(Error::new(
            Kind::Connect,
            format!(
                "The connection to {origin} was lost before the whole answer was there: call again later"
            ),
        ));
        fault.error.cause = innermost_io(error);
        if was_unhandled(error) {
            fault.class = Some(Class::Unhandled);
        }
        fault.stale = self.had_served(error);
        fault
    }

    fn connect_fault(&self, error: &reqwest::Error) -> Fault {
        let origin = &self.settings.origin;
        if let Some(error) = find::<rustls::Error>(error) {
            return final_fault(Error::new(
                Kind::Tls,
                format!("No secure connection to {origin}: {}", tls::explain(error)),
            ));
        }
        let timed_out = error.is_timeout();
        if self.settings.proxy.is_some() {
            if tunnel_was_refused(error, "authorization required") {
                return final_fault(Error::new(
                    Kind::Proxy,
                    "The proxy asks for a user name and a password (407): give them in the proxy's URL",
                ));
            }
            if chain(error).any(|error| error.to_string() == "Invalid Server Name") {
                return final_fault(Error::new(
                    Kind::Proxy,
                    "A proxy cannot be used with an IPv6 address in baseUrl: use a name, or exempt it with NO_PROXY",
                ));
            }
            let problem = if timed_out {
                format!("did not open a tunnel to {origin} in time")
            } else if tunnel_was_refused(error, "") {
                format!("did not open a tunnel to {origin}")
            } else {
                "cannot be reached".to_owned()
            };
            let mut fault = passing_fault(Error::new(
                Kind::Proxy,
                format!("The proxy {problem}: check the proxy's URL and its rules"),
            ));
            fault.error.cause = innermost_io(error);
            return fault;
        }
        if timed_out {
            return passing_fault(Error::new(
                Kind::Timeout,
                format!(
                    "No connection to {origin} within {} ms: check the network, or raise connectTimeoutMs",
                    self.settings.connect_timeout.as_millis()
                ),
            ));
        }
        let mut fault = passing_fault(Error::new(
            Kind::Connect,
            format!("No connection to {origin}: check that the host is right and can be reached"),
        ));
        fault.error.cause = innermost_io(error);
        fault
    }
}

impl Exchange for Transport {
    async fn exchange(&self, url: Url) -> Result<Answer, Fault> {
        let mut response = self.send(url).await?;
        let retry_after = retry::read_retry_after(
            response.headers().get_all(RETRY_AFTER).iter().map(HeaderValue::as_bytes),
            response.headers().get(DATE).map(HeaderValue::as_bytes),
            SystemTime::now(),
        );
        let request_id =
            response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let expected = response.content_length().unwrap_or(0);
        let too_large = || {
            let mut fault = final_fault(Error::new(
                Kind::ResponseTooLarge,
                format!(
                    "{} answered with more than {MAX_BODY_BYTES} bytes: check that baseUrl is the Platform API",
                    self.settings.origin
                ),
            ));
            fault.error.status = Some(status);
            fault
        };
        if expected > MAX_BODY_BYTES as u64 {
            return Err(too_large());
        }
        let mut body = Zeroizing::new(Vec::with_capacity(expected as usize));
        while let Some(chunk) = response.chunk().await.map_err(|error| {
            let mut fault = self.fault(&error);
            fault.stale = false;
            fault
        })? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body, retry_after, request_id })
    }

    fn leave_pool(&self) {
        drop(lock(&self.client).take());
        self.gate.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn final_fault(error: Error) -> Fault {
    Fault { error, class: None, stale: false }
}

fn passing_fault(error: Error) -> Fault {
    Fault { error: error.retryable(), class: Some(Class::Transient), stale: false }
}

/// Whether the server said goodbye to an HTTP/2 connection, or refused the stream, before it looked at the request.
fn was_unhandled(error: &(dyn StdError + 'static)) -> bool {
    find::<h2::Error>(error).is_some_and(|error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// The first error of a type in a chain. An `io::Error` hides the one inside from `source()`, so it is opened.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
        Some(error)
    })
}

/// The operating system's own words, which hold nothing of the call.
fn innermost_io(error: &(dyn StdError + 'static)) -> Option<String> {
    chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).last().map(|error| {
        match error.raw_os_error() {
            Some(_) => error.to_string(),
            None => error.kind().to_string(),
        }
    })
}

/// hyper-util keeps its tunnel errors private, so their words are all there is; the tests of proxies hold on to them.
fn tunnel_was_refused(error: &(dyn StdError + 'static), words: &str) -> bool {
    chain(error).any(|error| {
        let text = error.to_string();
        text.starts_with("tunnel error: ") && !text.contains("underlying connection") && text.contains(words)
    })
}
