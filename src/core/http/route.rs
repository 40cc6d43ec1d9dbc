//! Owns how one request reaches the platform: the client that sends it, its headers, and what its answer or its error
//! shows.

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

use super::answer::{self, Answer, Body, MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEADERS};
use super::causes::{self, NoConnection};
use super::fault::{Fault, FaultKind};
use super::gate::{self, gate};
use super::pool::{Connections, Pool};
use super::refusal::Inquiry;
use super::resolver::DnsResolver;
use super::settings::TransportSettings;
use crate::core::resolver::Resolver;

const AGENT: &str = concat!("xkit-node/", env!("CARGO_PKG_VERSION"));
/// Idle connections are closed before common servers and balancers close theirs.
const POOL_IDLE: Duration = Duration::from_secs(15);
/// How many bytes of headers h2 reads. More than [`MAX_HEAD_BYTES`], so that an answer meets that limit first: beyond
/// its own limit, h2 only says that the stream failed.
const MAX_HEADER_LIST_BYTES: u32 = 256 * 1024;
/// Pings on HTTP/2 connections while a request waits. After both times we abandon a connection that a middlebox froze.
const PING_INTERVAL: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// The route that all requests of a client take.
pub struct Route {
    pub settings: TransportSettings,
    /// Whether a new connection offers HTTP/2: until the platform demands HTTP/1.1.
    pub offers_http2: AtomicBool,
    /// Whether the platform has answered a request over HTTP/2.
    pub has_http2_answered: AtomicBool,
    headers: HeaderMap,
    tls: OnceLock<Option<ClientConfig>>,
    inquiry: OnceLock<Option<Inquiry>>,
    names: DnsResolver,
}

impl Route {
    /// Builds nothing before the first request.
    pub fn new(settings: TransportSettings, authorization: HeaderValue) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        Self {
            offers_http2: AtomicBool::new(settings.http2),
            has_http2_answered: AtomicBool::default(),
            settings,
            headers,
            tls: OnceLock::new(),
            inquiry: OnceLock::new(),
            names: DnsResolver::new(Resolver::system()),
        }
    }

    /// The TLS configuration. It outlives the pools, so that a new pool resumes sessions of the last one.
    fn tls(&self) -> Option<&ClientConfig> {
        let build = || self.settings.trust.client_config(Arc::clone(&self.settings.identity)).ok();
        self.tls.get_or_init(build).as_ref()
    }

    /// The client of a new pool. It follows no redirect, keeps no cookie, unpacks nothing and tries nothing again.
    pub fn build_client(&self, connections: Arc<Connections>) -> Option<reqwest::Client> {
        let limit = self.settings.connect_timeout;
        let mut tls = self.tls()?.clone();
        if !self.offers_http2.load(Ordering::Relaxed) {
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .default_headers(self.headers.clone())
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // All retries are ours. With a limit of 0, reqwest also makes no copy of each request.
            .retry(reqwest::retry::never().max_retries_per_request(0))
            .no_proxy()
            .dns_resolver(self.names.clone())
            .pool_idle_timeout(POOL_IDLE)
            .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT);
        let builder = match &self.settings.proxy {
            Some(proxy) => builder.proxy(proxy.for_requests(reqwest::Proxy::https)?),
            None => builder,
        };
        // Over TLS the gate applies the limit, without the time for which a connection waits there. In clear a
        // connection is cheap and is not shared, so there is no gate.
        let builder = if self.settings.is_https {
            builder.connect_timeout(limit + gate::MAX_WAIT).connector_layer(gate(limit, connections))
        } else {
            builder.connect_timeout(limit)
        };
        builder.build().ok()
    }

    async fn send(&self, pool: &Pool, url: Url) -> Result<Response, Fault> {
        let sent = pool.client.execute(Request::new(Method::GET, url));
        let sent = if self.settings.is_https { gate::waiting(sent).await } else { sent.await };
        match sent {
            Ok(response) => {
                self.note(pool, &response);
                Ok(response)
            }
            Err(error) if error.is_connect() => Err(self.unreachable(&error).await),
            Err(error) => Err(self.lost(pool, &error)),
        }
    }

    /// Remembers what an answer shows about its connection.
    fn note(&self, pool: &Pool, response: &Response) {
        if response.version() == Version::HTTP_2 {
            self.has_http2_answered.store(true, Ordering::Relaxed);
        }
        let Some(connection) = response.extensions().get::<HttpInfo>() else { return };
        self.names.prefer(connection.remote_addr().ip());
        // Only a connection that served an answer gets a free retry, and a platform in trouble must not get one.
        let status = response.status();
        if !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS {
            pool.connections.mark_served(connection);
        }
    }

    fn lost(&self, pool: &Pool, error: &reqwest::Error) -> Fault {
        let mut fault = self.settings.lost(error);
        if causes::wants_http1(error) {
            self.offers_http2.store(false, Ordering::Relaxed);
        }
        let had_served =
            causes::connection_of(error).is_some_and(|connection| pool.connections.has_served(&connection));
        if had_served && fault.kind == FaultKind::Transient {
            fault.kind = FaultKind::Stale(pool.number);
        }
        fault
    }

    async fn unreachable(&self, error: &reqwest::Error) -> Fault {
        let cause = NoConnection::read(error, self.settings.proxy.is_some());
        let mut refusal = None;
        if matches!(cause, NoConnection::TunnelRefused)
            && let Some(inquiry) = self.inquiry()
        {
            refusal = timeout(self.settings.connect_timeout, inquiry.ask()).await.ok().flatten();
        }
        self.settings.unreachable(error, &cause, refusal)
    }

    fn inquiry(&self) -> Option<&Inquiry> {
        let build = || {
            let (proxy, tls, target) =
                (self.settings.proxy.as_ref()?, self.tls()?.clone(), self.settings.target()?);
            Inquiry::new(proxy, tls, self.names.clone(), target, AGENT)
        };
        self.inquiry.get_or_init(build).as_ref()
    }

    /// Sends a request over a pool, and reads its answer.
    pub async fn round_trip(&self, pool: &Pool, url: Url) -> Result<Answer, Fault> {
        let response = self.send(pool, url).await?;
        let headers = response.headers();
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if headers.len() > MAX_HEADERS || bytes > MAX_HEAD_BYTES {
            return Err(self.settings.oversized_head());
        }
        let status = response.status().as_u16();
        let retry_after = answer::read_retry_after(
            headers.get_all(RETRY_AFTER).iter().map(HeaderValue::as_bytes),
            headers.get(DATE).map(HeaderValue::as_bytes),
            SystemTime::now(),
        );
        let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let body = match status {
            200..=299 => self.read(response).await?.ok_or_else(|| self.settings.oversized_body(status))?,
            404 => self.read(response).await?.unwrap_or_default(),
            _ => {
                answer::drain(response).await;
                Body::default()
            }
        };
        Ok(Answer { status, body, retry_after, request_id })
    }

    async fn read(&self, response: Response) -> Result<Option<Body>, Fault> {
        answer::read_body(response, MAX_BODY_BYTES).await.map_err(|error| self.settings.lost(&error))
    }
}
