//! Owns the way to the node that takes the fleet's writes: the lookup of its name, TCP, TLS, and asking Sentinels for its
//! address. Several nodes are tried beside each other, and the one that answered is asked first from then on.

use std::fmt;
use std::future::pending;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, RedisConnectionInfo};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use super::bounded::{Bounded, Fault};
use super::failure::{Failure, Stage};
use super::settings::{Address, Login, Settings, Topology};
use crate::core::connector::{HEAD_START, connect, first_success};
use crate::core::resolver::Resolver;

/// A TLS handshake that takes longer may be with a server that speaks no TLS.
const SLOW_HANDSHAKE: Duration = Duration::from_millis(20);
/// All nodes are tried within this time, however many they are.
const ALL_NODES: Duration = Duration::from_secs(2);

/// A stream to a node, and why it failed.
pub type NodeStream = (Box<dyn Stream>, Fault);

pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// The nodes of the settings.
pub struct Nodes {
    settings: Settings,
    tls: Option<TlsConnector>,
    resolver: Resolver,
    /// The index of the node that answered last.
    answered: AtomicUsize,
}

impl fmt::Debug for Nodes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Nodes")
    }
}

impl Nodes {
    /// Opens nothing yet.
    pub fn new(settings: Settings, tls: Option<ClientConfig>) -> Self {
        let tls = tls.map(|mut config| {
            config.alpn_protocols.clear();
            TlsConnector::from(Arc::new(config))
        });
        Self { settings, tls, resolver: Resolver::system(), answered: AtomicUsize::new(0) }
    }

    /// Whether a node that is silent can be passed over for another one.
    pub fn are_several(&self) -> bool {
        self.settings.nodes.len() > 1
    }

    /// What `greet` makes of a stream to the node that takes writes. A node counts as silent until that has ended.
    pub async fn reach<'a, T: Send + 'a>(
        &'a self,
        moved: Option<Address>,
        stage: &'a Stage,
        greet: impl Fn(NodeStream) -> BoxFuture<'a, Result<T, Failure>> + Send + Sync,
    ) -> Result<T, Failure> {
        if let Some(node) = moved {
            return greet(self.open(&node, stage).await?).await;
        }
        let nodes = &self.settings.nodes;
        let (first, count) = (self.answered.load(Ordering::Relaxed), nodes.len());
        let greet = &greet;
        let attempts = (0..count).map(|offset| {
            let index = (first + offset) % count;
            async move {
                let stream = self.open_by(&nodes[index], stage).await?;
                Ok((index, greet(stream).await?))
            }
        });
        let head_start = HEAD_START.min(ALL_NODES / u32::try_from(count).unwrap_or(u32::MAX));
        let none = Failure::lasting("no node is known");
        let (index, greeted) = first_success(attempts, head_start, none).await?;
        self.answered.store(index, Ordering::Relaxed);
        Ok(greeted)
    }

    async fn open_by(&self, node: &Address, stage: &Stage) -> Result<NodeStream, Failure> {
        match &self.settings.topology {
            Topology::Single | Topology::Cluster => self.open(node, stage).await,
            Topology::Sentinel { master, login } => {
                let master = self.ask_sentinel(node, master, login.as_ref(), stage).await?;
                self.open(&master, stage).await
            }
        }
    }

    async fn open(&self, Address { host, port }: &Address, stage: &Stage) -> Result<NodeStream, Failure> {
        stage.set("the lookup of its name");
        let addresses = self.resolver.addresses(host).await?;
        stage.set("the connection");
        let stream = connect(&addresses, *port).await?;
        let Some(tls) = &self.tls else { return Ok(bounded(stream)) };
        let name = ServerName::try_from(host.clone()).map_err(|_| Failure::lasting("no name for TLS"))?;
        stage.set("the TLS handshake");
        let answered = pin!(answers_in_plain(&addresses, *port));
        match select(pin!(tls.connect(name, stream)), answered).await {
            Either::Left((stream, _)) => Ok(bounded(stream?)),
            Either::Right(_) => Err(Failure::plain_port()),
        }
    }

    /// Asks a Sentinel with the login that Sentinels have. Where none is configured, without one, and then with that of the
    /// Redis.
    async fn ask_sentinel(
        &self,
        sentinel: &Address,
        master: &str,
        login: Option<&Login>,
        stage: &Stage,
    ) -> Result<Address, Failure> {
        let logins = match login {
            Some(login) => vec![login.connection_info()],
            None => vec![anonymous(), self.settings.login.connection_info()],
        };
        let mut refused = Failure::lasting("the Sentinel does not answer");
        for login in logins {
            let stream = self.open(sentinel, stage).await?;
            stage.set("the answer of a Sentinel");
            match ask_for_master(stream, &login, master).await {
                Ok(Some((host, port))) => return Ok(Address { host, port }),
                Ok(None) => return Err(Failure::lasting("the Sentinel knows no Redis of that name")),
                Err(failure) => refused = failure,
            }
        }
        Err(refused)
    }
}

async fn ask_for_master(
    (stream, fault): NodeStream,
    login: &RedisConnectionInfo,
    master: &str,
) -> Result<Option<(String, u16)>, Failure> {
    let asking = async {
        let (mut commands, driver) =
            MultiplexedConnection::new_with_config(login, stream, unlimited()).await?;
        let mut question = ::redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let answer = question.query_async(&mut commands);
        driven(answer, &mut driver.boxed()).await
    };
    asking.await.map_err(|error| fault.or(error))
}

/// Runs a question to its end beside what drives its connection.
pub async fn driven<T>(question: impl Future<Output = T>, driver: &mut BoxFuture<'static, ()>) -> T {
    match select(pin!(question), driver).await {
        Either::Left((answer, _)) => answer,
        // The connection has ended, and the question with it.
        Either::Right(((), question)) => question.await,
    }
}

fn bounded(stream: impl Stream + 'static) -> NodeStream {
    let (stream, fault) = Bounded::new(stream);
    (Box::new(stream), fault)
}

/// Ends if a Redis without TLS listens there. Such a Redis says nothing to a TLS client: it waits for the end of what it takes
/// for a command. So a server that is slow with its handshake is greeted in plain text too, which holds no secret.
async fn answers_in_plain(addresses: &[IpAddr], port: u16) {
    sleep(SLOW_HANDSHAKE).await;
    let greet = async {
        let mut stream = connect(addresses, port).await?;
        stream.write_all(b"PING\r\n").await?;
        stream.read_u8().await
    };
    if !matches!(greet.await, Ok(b'+' | b'-')) {
        pending().await
    }
}

/// The limits are ours.
pub fn unlimited() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None)
}

/// Does not send the library's name, which some users may not do.
pub fn anonymous() -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_skip_set_lib_name()
}
