//! One request, one answer, by hyper's client. It knows no redirects, cookies or decompression.
//!
//! Owns the connection pool and turns whatever goes wrong below HTTP into a [`Fault`]. Decides on no retry.

mod connector;
mod gate;
pub mod proxy;
pub mod tls;

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::core::error::{Error, Kind};
use crate::core::http::connector::{Connector, Overdue, Served};
use crate::core::http::gate::Gate;
use crate::core::http::proxy::Proxy;
use crate::core::http::tls::Trust;
use crate::core::platform::retry::{self, Class};
use crate::core::platform::verdict::{self, Answer};

type Pool = legacy::Client<Connector, Empty<&'static [u8]>>;

const AGENT: &str = concat!("xkit-node/", env!("CARGO_PKG_VERSION"));
/// Largest body that is read; a connection's is about 1 KiB.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// Idle connections are closed before common servers and balancers close theirs.
const POOL_IDLE: Duration = Duration::from_secs(15);
/// Pings on HTTP/2 connections in use: one that a middlebox froze is left after interval and timeout.
const PING_INTERVAL: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest head of an HTTP/1.1 answer, as in Node. It also is what one read yields at most, so that a server which floods
/// its connection does not hold up the others.
const MAX_HEAD_BYTES: usize = 16 * 1024;

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
    fn exchange(&self, uri: Uri) -> impl Future<Output = Result<Answer, Fault>> + Send;

    /// Leaves every pooled connection to those who use it now: the next request opens a new one.
    fn leave_pool(&self);
}

/// The pool and what every request needs.
#[derive(Debug)]
pub struct Transport {
    settings: Settings,
    headers: HeaderMap,
    tls: OnceLock<Arc<ClientConfig>>,
    pool: Mutex<Option<Arc<Pool>>>,
    gate: Gate,
}

impl Transport {
    /// Opens nothing and builds nothing before the first request.
    pub fn new(settings: Settings) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, settings.authorization.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        Self { settings, headers, tls: OnceLock::new(), pool: Mutex::default(), gate: Gate::new(POOL_IDLE) }
    }

    fn pool(&self) -> Result<Arc<Pool>, Fault> {
        let mut pool = lock(&self.pool);
        if let Some(pool) = &*pool {
            return Ok(Arc::clone(pool));
        }
        let built = Arc::new(self.build().ok_or_else(|| final_fault(Error::internal()))?);
        *pool = Some(Arc::clone(&built));
        Ok(built)
    }

    /// A new pool. The TLS configuration outlives it, and with it the tickets that shorten handshakes.
    fn build(&self) -> Option<Pool> {
        let tls = match self.tls.get() {
            Some(tls) => tls,
            None => {
                let tls = Arc::new(self.settings.trust.client_config().ok()?);
                self.tls.get_or_init(|| tls)
            }
        };
        let Settings { proxy, connect_timeout, .. } = &self.settings;
        let connector = Connector::new(tls, proxy.as_ref(), AGENT, *connect_timeout)?;
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            // This is about requests of which not a byte was sent; those that were sent are left to the retry engine.
            .retry_canceled_requests(true)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(connector);
        Some(pool)
    }

    async fn send(&self, uri: Uri) -> Result<Response<Incoming>, Fault> {
        let pool = self.pool()?;
        // Plain HTTP has no connection to share, so nothing is gained by waiting for one.
        let leader = if self.settings.is_https { self.gate.enter().await } else { None };
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        request.headers_mut().clone_from(&self.headers);
        let sent = pool.request(request).await;
        match &sent {
            Ok(response) => {
                self.gate.open();
                // A platform that fails is not asked again for free, so its failures do not count as served.
                if !verdict::is_passing(response.status().as_u16()) {
                    Served::mark(response.extensions());
                }
            }
            Err(_) => self.gate.close(),
        }
        drop(leader);
        sent.map_err(|error| {
            if error.is_connect() {
                self.connect_fault(&error)
            } else {
                let mut fault = self.fault(&error);
                fault.stale &= error.connect_info().is_some_and(Served::is_marked);
                fault
            }
        })
    }

    /// What went wrong on an open connection; `stale` if it may have been gone before.
    fn fault(&self, error: &(dyn StdError + 'static)) -> Fault {
        let origin = &self.settings.origin;
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
        fault.stale = true;
        fault
    }

    fn connect_fault(&self, error: &legacy::Error) -> Fault {
        let origin = &self.settings.origin;
        if let Some(error) = find::<rustls::Error>(error) {
            return final_fault(Error::new(
                Kind::Tls,
                format!("No secure connection to {origin}: {}", tls::explain(error)),
            ));
        }
        let timed_out = find::<Overdue>(error).is_some()
            || find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        if self.settings.proxy.is_some() {
            if tunnel_was_refused(error, "authorization required") {
                return final_fault(Error::new(
                    Kind::Proxy,
                    "The proxy asks for a user name and a password (407): give them in the proxy's URL",
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
    async fn exchange(&self, uri: Uri) -> Result<Answer, Fault> {
        let response = self.send(uri).await?;
        let retry_after = retry::read_retry_after(
            response.headers().get_all(RETRY_AFTER).iter().map(HeaderValue::as_bytes),
            response.headers().get(DATE).map(HeaderValue::as_bytes),
            SystemTime::now(),
        );
        let request_id =
            response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let mut incoming = response.into_body();
        let expected = incoming.size_hint().lower();
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
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| {
                let mut fault = self.fault(&error);
                fault.stale = false;
                fault
            })?;
            let Ok(chunk) = frame.into_data() else { continue };
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body, retry_after, request_id })
    }

    fn leave_pool(&self) {
        drop(lock(&self.pool).take());
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
