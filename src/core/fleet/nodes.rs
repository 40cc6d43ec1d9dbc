//! Owns the way to the node that takes the fleet's writes: the lookup of its name, TCP, TLS, and asking Sentinels for its
//! address. Several nodes are tried beside each other, and the one that answered is tried first from then on.
//!
//! The client is redis-rs: it is maintained, where fred is not, and takes any stream, so that TLS stays ours (one
//! provider, one set of roots, the option `ca`). Its own Sentinel and Cluster clients bring a TLS set-up of their own, and
//! all that the fleet needs of both is an address.

use std::future::pending;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use futures_util::{FutureExt, StreamExt};
use redis::aio::PubSub;
use redis::{Value, from_redis_value};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use super::bounded::Bounded;
use super::dial::{Commands, Dial, Subscription};
use super::failure::{PLAIN_PORT, RedisFailure, Stage};
use super::redis_connection::RedisConnection;
use super::settings::{Address, Login, RedisSettings, Topology};
use crate::core::connector::{HEAD_START, connect, first_success};
use crate::core::resolver::Resolver;

/// After so long in a TLS handshake, the server may be one that speaks no TLS.
const SLOW_HANDSHAKE: Duration = Duration::from_millis(20);
/// All nodes are tried within this time, however many they are.
const ALL_NODES: Duration = Duration::from_secs(2);

pub struct Nodes {
    settings: RedisSettings,
    tls: Option<TlsConnector>,
    resolver: Resolver,
    /// The index of the node that answered last.
    answered: AtomicUsize,
}

impl Nodes {
    pub fn new(settings: RedisSettings, tls: Option<ClientConfig>) -> Self {
        let tls = tls.map(|mut config| {
            config.alpn_protocols.clear();
            TlsConnector::from(Arc::new(config))
        });
        Self { settings, tls, resolver: Resolver::system(), answered: AtomicUsize::new(0) }
    }

    /// Opens a stream to the node that takes writes, and returns what `greet` makes of it. A node counts as silent until
    /// `greet` has ended.
    async fn reach<'a, T: Send + 'a>(
        &'a self,
        moved: Option<Address>,
        stage: &'a Stage,
        greet: impl Fn(Bounded) -> BoxFuture<'a, Result<T, RedisFailure>> + Send + Sync,
    ) -> Result<T, RedisFailure> {
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
        let none = RedisFailure::lasting("no node is known");
        let (index, greeted) = first_success(attempts, head_start, none).await?;
        self.answered.store(index, Ordering::Relaxed);
        Ok(greeted)
    }

    async fn open_by(&self, node: &Address, stage: &Stage) -> Result<Bounded, RedisFailure> {
        match &self.settings.topology {
            Topology::Single | Topology::Cluster => self.open(node, stage).await,
            Topology::Sentinel { master, logins } => {
                let master = self.ask_sentinel(node, master, logins, stage).await?;
                self.open(&master, stage).await
            }
        }
    }

    async fn open(&self, Address { host, port }: &Address, stage: &Stage) -> Result<Bounded, RedisFailure> {
        stage.set("the lookup of its name");
        let addresses = self.resolver.addresses(host).await?;
        stage.set("the connection");
        let stream = connect(&addresses, *port).await?;
        let Some(tls) = &self.tls else { return Ok(Bounded::new(stream)) };
        let name =
            ServerName::try_from(host.clone()).map_err(|_| RedisFailure::lasting("no name for TLS"))?;
        stage.set("the TLS handshake");
        let answered = pin!(answers_in_plain(&addresses, *port));
        match select(pin!(tls.connect(name, stream)), answered).await {
            Either::Left((stream, _)) => Ok(Bounded::new(stream?)),
            Either::Right(_) => Err(RedisFailure::lasting(PLAIN_PORT)),
        }
    }

    /// Asks a Sentinel for the address of the Redis.
    async fn ask_sentinel(
        &self,
        sentinel: &Address,
        master: &str,
        logins: &[Login],
        stage: &Stage,
    ) -> Result<Address, RedisFailure> {
        let mut refused = RedisFailure::lasting("the Sentinel does not answer");
        for login in logins {
            let stream = self.open(sentinel, stage).await?;
            stage.set("the answer of a Sentinel");
            match ask_for_master(stream, login, master).await {
                Ok(Some((host, port))) => return Ok(Address { host, port }),
                Ok(None) => return Err(RedisFailure::lasting("the Sentinel knows no Redis of that name")),
                Err(failure) => refused = failure,
            }
        }
        Err(refused)
    }

    async fn connected(&self, stream: Bounded, stage: &Stage) -> Result<Arc<dyn Commands>, RedisFailure> {
        stage.set("the login");
        let connection = RedisConnection::open(stream, &self.settings.login).await?;
        if self.settings.database != 0 {
            connection.send(redis::cmd("SELECT").arg(self.settings.database)).await?;
        }
        if self.settings.nodes.len() > 1 {
            // A silent node shows here, and another one takes its place.
            connection.send(&redis::cmd("PING")).await?;
        }
        Ok(Arc::new(connection))
    }

    async fn subscribed(
        &self,
        Bounded { stream, error }: Bounded,
        channel: &str,
        stage: &Stage,
    ) -> Result<PubSub, RedisFailure> {
        stage.set("the subscription");
        let login = self.settings.login.connection_info().set_db(self.settings.database);
        let subscribing = async {
            let mut messages = PubSub::new(&login, stream).await?;
            messages.subscribe(channel).await?;
            Ok(messages)
        };
        subscribing.await.map_err(|failed| error.or(failed))
    }
}

impl Dial for Nodes {
    fn connect<'a>(
        &'a self,
        moved: Option<Address>,
        stage: &'a Stage,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, RedisFailure>> {
        self.reach(moved, stage, |stream| self.connected(stream, stage).boxed()).boxed()
    }

    fn subscribe<'a>(
        &'a self,
        moved: Option<Address>,
        channel: &'a str,
        stage: &'a Stage,
    ) -> BoxFuture<'a, Result<Subscription, RedisFailure>> {
        async move {
            let greet = |stream| self.subscribed(stream, channel, stage).boxed();
            let (sink, messages) = self.reach(moved, stage, greet).await?.split();
            let messages = messages.map(|message| message.get_payload_bytes().to_vec()).boxed();
            let ping = move || {
                let mut sink = sink.clone();
                async move { sink.ping::<Value>().await.map(drop) }.boxed()
            };
            Ok(Subscription { messages, ping: Box::new(ping) })
        }
        .boxed()
    }
}

async fn ask_for_master(
    stream: Bounded,
    login: &Login,
    master: &str,
) -> Result<Option<(String, u16)>, RedisFailure> {
    let sentinel = RedisConnection::open(stream, login).await?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let answer = sentinel.send(&question).await?;
    from_redis_value(answer).map_err(|_| RedisFailure::strange_answer())
}

/// Ends if a Redis without TLS listens there. Such a Redis waits in silence for the end of the handshake, which it takes for a
/// command. So a server with a slow handshake gets a plain `PING` over another connection, which holds no secret.
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

#[cfg(test)]
mod tests;
