//! Owns tunnels through a proxy, as a layer around reqwest's connector.
//!
//! reqwest's own tunnel takes 200 alone for a yes, and tells no status. It does not let go of opening sockets, though, so it
//! is handed each tunnel at a loopback port, open for that one connection, behind a password that nobody else knows.

mod refusal;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready, select};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderValue;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

pub use self::refusal::Refusal;

use super::proxy::Proxy;
use crate::core::connector::connect;
use crate::core::resolver::Resolver;

/// Longest head of a proxy's answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// What reqwest takes for the proxy. It is looked up like any name, by [`Nearby`].
const RELAY: &str = "http://tunnel.invalid";

type BoxError = Box<dyn StdError + Send + Sync>;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

tokio::task_local! {
    /// Where the connection that is being opened finds its tunnel.
    static NEARBY: SocketAddr;
}

/// Answers with the tunnel of the connection that is being opened, whatever the name.
#[derive(Debug)]
pub struct Nearby;

impl Resolve for Nearby {
    fn resolve(&self, _: Name) -> Resolving {
        let found = NEARBY.try_with(|address| Box::new(std::iter::once(*address)) as Addrs);
        ready(found.map_err(BoxError::from)).boxed()
    }
}

/// The layer.
#[derive(Clone, Debug)]
pub struct Tunnels(Arc<Way>);

#[derive(Debug)]
struct Way {
    proxy: Proxy,
    /// For a proxy behind TLS.
    tls: Arc<ClientConfig>,
    /// The platform's host and port.
    target: String,
    resolver: Resolver,
    limit: Duration,
    password: HeaderValue,
}

impl Tunnels {
    /// `limit` is what one connection may take. `None` if the system has no random bytes.
    pub fn new(
        proxy: Proxy,
        mut tls: ClientConfig,
        target: String,
        resolver: Resolver,
        limit: Duration,
    ) -> Option<Self> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let mut password = HeaderValue::from_str(&STANDARD.encode(bytes)).ok()?;
        password.set_sensitive(true);
        tls.alpn_protocols.clear();
        Some(Self(Arc::new(Way { proxy, tls: Arc::new(tls), target, resolver, limit, password })))
    }

    /// What reqwest is to take for the proxy.
    pub fn relay(&self) -> Option<reqwest::Proxy> {
        Some(reqwest::Proxy::https(RELAY).ok()?.custom_http_auth(self.0.password.clone()))
    }
}

impl Way {
    /// A tunnel to the platform, and what came through it already.
    async fn open(&self) -> Result<(Box<dyn Stream>, Vec<u8>), NoTunnel> {
        let socket = self.dial().await.map_err(NoTunnel::Unreachable)?;
        let mut stream: Box<dyn Stream> = Box::new(socket);
        if self.proxy.url.scheme() == "https" {
            let host = host_of(&self.proxy.url).to_owned();
            let name = ServerName::try_from(host).map_err(|error| NoTunnel::Insecure(error.into()))?;
            let secured = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
            stream = Box::new(secured.map_err(|error| NoTunnel::Insecure(error.into()))?);
        }
        let early = self.ask(&mut stream).await?;
        Ok((stream, early))
    }

    async fn dial(&self) -> Result<TcpStream, BoxError> {
        let url = &self.proxy.url;
        let port = url.port_or_known_default().unwrap_or_default();
        let found = self.resolver.addresses(host_of(url)).await?;
        let overdue = |_| io::Error::from(io::ErrorKind::TimedOut);
        Ok(timeout(self.limit, connect(&found, port)).await.map_err(overdue)??)
    }

    /// Says CONNECT and reads the answer; what comes behind its head belongs to the tunnel.
    async fn ask(&self, stream: &mut Box<dyn Stream>) -> Result<Vec<u8>, NoTunnel> {
        let Self { target, proxy, .. } = self;
        let mut question = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        let authorization = proxy.authorization();
        if let Some(authorization) = &authorization {
            question.extend_from_slice(b"Proxy-Authorization: ");
            question.extend_from_slice(authorization.as_bytes());
            question.extend_from_slice(b"\r\n");
        }
        question.extend_from_slice(b"\r\n");
        stream.write_all(&question).await.map_err(NoTunnel::Lost)?;
        stream.flush().await.map_err(NoTunnel::Lost)?;
        let (head, early) = read_head(stream).await.map_err(NoTunnel::Lost)?;
        match Refusal::read(&head, authorization.is_some()) {
            None => Ok(early),
            Some(refusal) => Err(NoTunnel::Refused(refusal)),
        }
    }
}

/// Reads up to the empty line, or up to the limit where there is none, and gives what came behind it.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Vec<u8>, Vec<u8>)> {
    const END: &[u8] = b"\r\n\r\n";
    let mut head = Vec::with_capacity(1024);
    while head.len() < MAX_HEAD_BYTES {
        let searched = head.len().saturating_sub(END.len());
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = head.get(searched..).and_then(|new| new.windows(END.len()).position(|part| part == END));
        if let Some(end) = end {
            let early = head.split_off(searched + end + END.len());
            return Ok((head, early));
        }
    }
    Ok((head, Vec::new()))
}

/// Without the brackets of an IPv6 address.
fn host_of(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

/// Takes the one connection that knows the password, and carries bytes until either side ends.
async fn relay(way: Arc<Way>, listener: TcpListener, mut far: Box<dyn Stream>, early: Vec<u8>) {
    let Ok(Some(mut near)) = timeout(way.limit, accept(&way, listener)).await else { return };
    if near.write_all(&early).await.is_err() || far.flush().await.is_err() {
        return;
    }
    let (mut from_near, mut to_near) = split(near);
    let (mut from_far, mut to_far) = split(far);
    let there = std::pin::pin!(copy(&mut from_near, &mut to_far));
    let back = std::pin::pin!(copy(&mut from_far, &mut to_near));
    select(there, back).await;
}

async fn accept(way: &Way, listener: TcpListener) -> Option<TcpStream> {
    loop {
        let (mut near, _) = listener.accept().await.ok()?;
        let Ok((head, _)) = read_head(&mut near).await else { continue };
        let password = way.password.as_bytes();
        if head.split(|byte| *byte == b'\n').any(|line| line.trim_ascii().ends_with(password)) {
            near.set_nodelay(true).ok()?;
            near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
            return Some(near);
        }
    }
}

impl<S> Layer<S> for Tunnels {
    type Service = Tunnelled<S>;

    fn layer(&self, inner: S) -> Tunnelled<S> {
        Tunnelled { inner, way: Arc::clone(&self.0) }
    }
}

/// A connector whose connections go through a tunnel.
#[derive(Clone, Debug)]
pub struct Tunnelled<S> {
    inner: S,
    way: Arc<Way>,
}

impl<S, Target> Service<Target> for Tunnelled<S>
where
    S: Service<Target, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, target: Target) -> Self::Future {
        // Nothing happens before this is polled.
        let opening = self.inner.call(target);
        let way = Arc::clone(&self.way);
        async move {
            let (far, early) = way.open().await?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let nearby = listener.local_addr()?;
            Handle::try_current()?.spawn(relay(way, listener, far, early));
            NEARBY.scope(nearby, opening).await
        }
        .boxed()
    }
}

/// Why there is no tunnel.
#[derive(Debug)]
pub enum NoTunnel {
    /// There is no connection to the proxy.
    Unreachable(BoxError),
    /// There is none that is secure, to a proxy behind TLS.
    Insecure(BoxError),
    /// The connection ended before there was an answer.
    Lost(io::Error),
    /// The answer was not yes.
    Refused(Refusal),
}

impl fmt::Display for NoTunnel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("there is no tunnel through the proxy")
    }
}

impl StdError for NoTunnel {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unreachable(error) | Self::Insecure(error) => Some(&**error),
            Self::Lost(error) => Some(error),
            Self::Refused(_) => None,
        }
    }
}
