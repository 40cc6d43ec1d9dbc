//! How bytes travel: one request, one answer, by reqwest. It is told to follow no redirect, to keep no cookie, to unpack
//! nothing and to try nothing again.
//!
//! Turns whatever goes wrong below HTTP into a [`Fault`]. Decides on no retry.

mod answer;
mod causes;
mod fault;
mod gate;
pub mod identity;
mod pem;
pub mod pool;
pub mod proxy;
mod refusal;
mod resolver;
mod signatures;
pub mod tls;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use reqwest::{Method, Request, Response, StatusCode, Url, Version};
use rustls::ClientConfig;
use tokio::time::timeout;

pub use self::answer::{Answer, Body};
pub use self::fault::{Fault, FaultKind};
pub use self::pool::PoolChoice;

use self::answer::{MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEADERS};
use self::causes::NoConnection;
use self::fault::Peer;
use self::gate::Gate;
use self::identity::Identity;
use self::pool::{Connections, Pool, Pools};
use self::proxy::Proxy;
use self::refusal::Inquiry;
use self::resolver::Names;
use self::tls::Trust;
use crate::core::error::Error;
use crate::core::resolver::Resolver;

const AGENT: &str = concat!("xkit-node/", env!("CARGO_PKG_VERSION"));
/// What is read of a body that nobody needs, so that its connection can be used again, and how long that may take.
const MAX_DRAINED_BYTES: usize = 64 * 1024;
const MAX_DRAINING: Duration = Duration::from_millis(100);
/// Idle connections are closed before common servers and balancers close theirs.
const POOL_IDLE: Duration = Duration::from_secs(15);
/// What h2 reads of the headers of an answer, so that [`MAX_HEAD_BYTES`] is what an answer meets first: h2 only says that the
/// stream is wrong, and counts 32 bytes besides for each header.
const MAX_HEADER_LIST_BYTES: u32 = 256 * 1024;
/// Pings on HTTP/2 connections in use: one that a middlebox froze is left after interval and timeout.
const PING_INTERVAL: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// What the transport is built from.
#[derive(Debug)]
pub struct Settings {
    /// The platform's scheme, host and port, for messages.
    pub origin: String,
    pub is_https: bool,
    /// Whether HTTP/2 is offered, rather than HTTP/1.1 alone.
    pub http2: bool,
    pub connect_timeout: Duration,
    /// No new request goes over a connection that is older.
    pub max_connection_age: Duration,
    pub proxy: Option<Proxy>,
    pub trust: Trust,
    pub identity: Identity,
}

/// What the attempts of a fetch need of a transport.
pub trait Exchange: Send + Sync + 'static {
    /// Sends one request over the chosen connections, and waits up to `limit` for its answer.
    fn exchange(
        &self,
        url: Url,
        limit: Duration,
        choice: PoolChoice,
    ) -> impl Future<Output = Result<Answer, Fault>> + Send;
}

/// The way to the platform.
#[derive(Debug)]
pub struct Transport {
    pools: Pools,
    route: Route,
}

impl Transport {
    /// Opens nothing and builds nothing before the first request.
    pub fn new(settings: Settings, authorization: HeaderValue) -> Self {
        let Settings { origin, is_https, http2, connect_timeout, max_connection_age, proxy, trust, identity } =
            settings;
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let route = Route {
            peer: Peer { origin, connect_timeout, is_proxied: proxy.is_some(), identity: Arc::new(identity) },
            is_https,
            offers_http2: AtomicBool::new(http2),
            proxy,
            headers,
            trust,
            tls: OnceLock::new(),
            inquiry: OnceLock::new(),
            names: Names::new(Resolver::system()),
            resolver: Resolver::system(),
        };
        Self { pools: Pools::new(max_connection_age), route }
    }
}

/// What every request needs.
#[derive(Debug)]
struct Route {
    peer: Peer,
    is_https: bool,
    /// Until the platform wants HTTP/1.1.
    offers_http2: AtomicBool,
    proxy: Option<Proxy>,
    headers: HeaderMap,
    trust: Trust,
    tls: OnceLock<ClientConfig>,
    inquiry: OnceLock<Inquiry>,
    resolver: Resolver,
    names: Names,
}

impl Route {
    /// Outlives each pool, and with it the tickets that shorten handshakes.
    fn tls(&self) -> Option<&ClientConfig> {
        if self.tls.get().is_none() {
            let tls = self.trust.client_config(Arc::clone(&self.peer.identity)).ok()?;
            return Some(self.tls.get_or_init(|| tls));
        }
        self.tls.get()
    }

    /// The client of a new pool.
    fn build(&self, connections: Connections) -> Option<reqwest::Client> {
        let limit = self.peer.connect_timeout;
        let mut tls = self.tls()?.clone();
        if !self.offers_http2.load(Ordering::Relaxed) {
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .default_headers(self.headers.clone())
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // Its own retries are for what HTTP/2 refused. None per request spares a copy of each.
            .retry(reqwest::retry::never().max_retries_per_request(0))
            .no_proxy()
            .dns_resolver(self.names.clone())
            // Shared out among the addresses of a name.
            .connect_timeout(limit)
            .pool_idle_timeout(POOL_IDLE)
            .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT);
        if let Some(proxy) = &self.proxy {
            let mut tunnel = reqwest::Proxy::https(proxy.url.clone()).ok()?;
            if let Some(authorization) = proxy.authorization() {
                tunnel = tunnel.custom_http_auth(authorization);
            }
            builder = builder.proxy(tunnel);
        }
        if self.is_https {
            // The gate has the limit itself, which leaves out the wait there. In clear a connection costs little and is
            // not shared.
            builder = builder
                .connect_timeout(limit + gate::MAX_WAIT)
                .connector_layer(Gate::new(limit, connections));
        }
        builder.build().ok()
    }

    async fn send(&self, pool: &Pool, url: Url) -> Result<Response, Fault> {
        let sent = pool.client.execute(Request::new(Method::GET, url));
        let sent = if self.is_https { gate::waiting(sent).await } else { sent.await };
        match sent {
            Ok(response) => {
                if let Some(connection) = response.extensions().get::<HttpInfo>() {
                    self.names.prefer(connection.remote_addr().ip());
                    // Only where the platform did its part: one that fails is not asked again for free.
                    if !response.status().is_server_error()
                        && response.status() != StatusCode::TOO_MANY_REQUESTS
                    {
                        pool.connections.mark(connection);
                    }
                }
                Ok(response)
            }
            Err(error) if error.is_connect() => Err(self.unreachable(&error).await),
            Err(error) => Err(self.lost(pool, &error)),
        }
    }

    fn lost(&self, pool: &Pool, error: &reqwest::Error) -> Fault {
        let mut fault = self.peer.lost(error);
        if causes::wants_http1(error) {
            self.offers_http2.store(false, Ordering::Relaxed);
            fault.kind = FaultKind::Unprocessed(PoolChoice::Current);
        }
        let had_served =
            causes::connection_of(error).is_some_and(|connection| pool.connections.is_marked(&connection));
        if had_served && fault.kind == FaultKind::Transient {
            fault.kind = FaultKind::Stale(pool.number);
        }
        fault
    }

    async fn unreachable(&self, error: &reqwest::Error) -> Fault {
        let cause = NoConnection::read(error, self.proxy.is_some());
        let refusal = match (&cause, self.inquiry()) {
            (NoConnection::TunnelRefused, Some(inquiry)) => {
                timeout(self.peer.connect_timeout, inquiry.ask()).await.ok().flatten()
            }
            _ => None,
        };
        self.peer.unreachable(error, &cause, refusal)
    }

    fn inquiry(&self) -> Option<&Inquiry> {
        if self.inquiry.get().is_none() {
            let (proxy, tls, resolver) = (self.proxy.clone()?, self.tls()?.clone(), self.resolver.clone());
            let inquiry = Inquiry::new(proxy, tls, self.peer.target()?, resolver, AGENT);
            return Some(self.inquiry.get_or_init(|| inquiry));
        }
        self.inquiry.get()
    }

    async fn round_trip(&self, pool: &Pool, url: Url) -> Result<Answer, Fault> {
        let response = self.send(pool, url).await?;
        let headers = response.headers();
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if headers.len() > MAX_HEADERS || bytes > MAX_HEAD_BYTES {
            return Err(self.peer.oversized_head());
        }
        let status = response.status().as_u16();
        let retry_after = answer::read_retry_after(
            headers.get_all(RETRY_AFTER).iter().map(HeaderValue::as_bytes),
            headers.get(DATE).map(HeaderValue::as_bytes),
            SystemTime::now(),
        );
        let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let body = match status {
            200..=299 => self.read(response).await?.ok_or_else(|| self.peer.oversized_body(status))?,
            404 => self.read(response).await?.unwrap_or_default(),
            _ => {
                drain(response).await;
                Body::default()
            }
        };
        Ok(Answer { status, body, retry_after, request_id })
    }

    /// The whole body; `None` if it is over the limit.
    async fn read(&self, mut response: Response) -> Result<Option<Body>, Fault> {
        let expected = response.content_length().unwrap_or_default();
        if expected > MAX_BODY_BYTES as u64 {
            return Ok(None);
        }
        let mut body = Body::default();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.peer.lost(&error))? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Ok(None);
            }
            body.push(chunk, expected as usize);
        }
        Ok(Some(body))
    }
}

/// Reads a body that nobody needs, within bounds: over HTTP/1.1 the connection is closed unless its answer was read to
/// the end, and a platform in trouble is better not met with as many handshakes as it gives errors.
async fn drain(mut response: Response) {
    let expected = response.content_length().unwrap_or_default();
    if response.version() == Version::HTTP_2 || expected > MAX_DRAINED_BYTES as u64 {
        return;
    }
    let to_the_end = async {
        let mut drained = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            drained += chunk.len();
            if drained > MAX_DRAINED_BYTES {
                return;
            }
        }
    };
    let _ = timeout(MAX_DRAINING, to_the_end).await;
}

impl Exchange for Transport {
    async fn exchange(&self, url: Url, limit: Duration, choice: PoolChoice) -> Result<Answer, Fault> {
        let Self { pools, route } = self;
        let build = |connections| route.build(connections);
        let round_trip = |pool: Arc<Pool>| async move { route.round_trip(&pool, url).await };
        let Some((pool, answered)) = pools.exchange(choice, limit, build, round_trip).await else {
            return Err(Fault::permanent(Error::internal()));
        };
        let fault = match answered {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(fault)) => fault,
            Err(_) => route.peer.timed_out(limit),
        };
        if !route.offers_http2.load(Ordering::Relaxed) && pool.connections.have_agreed_on_http2() {
            pools.leave(pool.number);
        }
        let is_unproven = pool.connections.have_agreed_on_http2() && pool.answers() == 0;
        Err(if is_unproven { fault.suspect_http2() } else { fault })
    }
}
