//! Opens connections: TCP, the proxy's tunnel, TLS, all within one time limit. Asks for nothing.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{error, io};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use http::header::{HeaderMap, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Extensions, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use crate::core::http::proxy::Proxy;
use crate::core::secret::basic_authorization;

/// How often the system asks whether the other end of an idle connection is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);
/// How long the system waits for what it sent to be acknowledged.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

type BoxError = Box<dyn error::Error + Send + Sync>;
type Tcp = TokioIo<TcpStream>;

/// Opens connections to the platform.
#[derive(Clone, Debug)]
pub struct Connector {
    https: HttpsConnector<Route>,
    limit: Duration,
}

impl Connector {
    /// Opens nothing yet. `None` if the proxy's address or credentials cannot be sent.
    pub fn new(
        tls: &Arc<ClientConfig>,
        proxy: Option<&Proxy>,
        user_agent: &'static str,
        limit: Duration,
    ) -> Option<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shared out among the addresses of a name; the limit below holds for all of them.
        tcp.set_connect_timeout(Some(limit));
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_keepalive_interval(Some(TCP_KEEPALIVE));
        tcp.set_keepalive_retries(Some(3));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
        let route = match proxy {
            None => Route::Direct(tcp),
            Some(proxy) => Route::Tunnel(Box::new(tunnel(proxy, user_agent, tls, tcp)?)),
        };
        Some(Self { https: HttpsConnector::from((route, Arc::clone(tls))), limit })
    }
}

/// The proxy is spoken to in HTTP/1.1, over TLS where its URL says so.
fn tunnel(
    proxy: &Proxy,
    user_agent: &'static str,
    tls: &ClientConfig,
    tcp: HttpConnector,
) -> Option<Tunnel<HttpsConnector<HttpConnector>>> {
    let mut tls = tls.clone();
    tls.alpn_protocols.clear();
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(user_agent));
    if let Some((name, password)) = &proxy.credentials {
        headers.insert(PROXY_AUTHORIZATION, basic_authorization(name, password.expose())?);
    }
    let address = Uri::try_from(proxy.url.as_str()).ok()?;
    Some(Tunnel::new(address, HttpsConnector::from((tcp, tls))).with_headers(headers))
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Link, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = timeout(self.limit, self.https.call(target));
        async move {
            let stream = connecting.await.map_err(|_| Overdue)??;
            Ok(Link { stream, served: Served::default() })
        }
        .boxed()
    }
}

/// How the platform's port is reached.
#[derive(Clone, Debug)]
enum Route {
    Direct(HttpConnector),
    Tunnel(Box<Tunnel<HttpsConnector<HttpConnector>>>),
}

impl Service<Uri> for Route {
    type Response = MaybeHttpsStream<Tcp>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(tcp) => tcp.poll_ready(context).map_err(Into::into),
            Self::Tunnel(tunnel) => tunnel.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        match self {
            Self::Direct(tcp) => tcp.call(target).map_ok(MaybeHttpsStream::Http).err_into().boxed(),
            Self::Tunnel(tunnel) => tunnel.call(target).err_into().boxed(),
        }
    }
}

/// The time limit of a connection passed.
#[derive(Debug)]
pub struct Overdue;

impl fmt::Display for Overdue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection was not there in time")
    }
}

impl error::Error for Overdue {}

/// Whether a connection has answered well before. Travels with each of its answers and errors.
#[derive(Clone, Debug, Default)]
pub struct Served(Arc<AtomicBool>);

impl Served {
    /// Marks the connection that the extensions of an answer tell of.
    pub fn mark(extensions: &Extensions) {
        if let Some(Self(served)) = extensions.get() {
            served.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the connection has been marked.
    pub fn is_marked(connected: &Connected) -> bool {
        let mut extensions = Extensions::new();
        connected.get_extras(&mut extensions);
        extensions.get().is_some_and(|Self(served)| served.load(Ordering::Relaxed))
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Link {
    stream: MaybeHttpsStream<MaybeHttpsStream<Tcp>>,
    served: Served,
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.served.clone())
    }
}

impl Read for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}
