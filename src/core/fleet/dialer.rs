//! Owns how a connection to Redis is opened: the lookup of its name, TCP, TLS, the login, and asking Sentinels for the address.
//!
//! The client is redis-rs: it is maintained, where fred is not, and takes any stream, so that TLS stays ours (one
//! provider, one set of roots, the option `ca`). Its own Sentinel and Cluster clients bring a TLS set-up of their own;
//! what is needed of both here is to ask for an address.

use std::fmt;
use std::future::pending;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::{MultiplexedConnection, PubSub, PubSubSink};
use ::redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, RedisFuture, Value};
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use super::bounded::{Bounded, Fault};
use super::failure::Failure;
use super::settings::{Address, Settings, Topology};
use super::tasks::spawn_abortable;
use crate::core::connector::connect;
use crate::core::resolver::Resolver;

/// A TLS handshake that takes longer may be with a server that speaks no TLS.
const SLOW_HANDSHAKE: Duration = Duration::from_millis(20);

/// What opens connections to Redis.
pub trait Dial: Send + Sync + 'static {
    /// A connection for commands; `ended` runs when it is lost.
    fn connect<'a>(
        &'a self,
        moved: Option<Address>,
        stage: &'a Stage,
        ended: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, Failure>>;

    /// A connection of its own for the messages of a channel.
    fn subscribe<'a>(
        &'a self,
        moved: Option<Address>,
        channel: &'a str,
        stage: &'a Stage,
    ) -> BoxFuture<'a, Result<Subscription, Failure>>;
}

/// A connection for commands, which ends when it is dropped.
pub trait Commands: Send + Sync {
    /// What a command is answered with.
    fn send<'a>(&'a self, command: &'a Cmd) -> RedisFuture<'a, Value>;

    /// Why the connection ended, if the other side is no Redis or sends too much.
    fn fault(&self) -> Option<Failure> {
        None
    }
}

/// A connection for the messages of a channel, which ends when both are dropped.
pub struct Subscription {
    pub messages: BoxStream<'static, Vec<u8>>,
    pub pings: Box<dyn Pings>,
}

/// Asks a subscription for a heartbeat.
pub trait Pings: Send {
    /// Ends when it has come.
    fn ping(&mut self) -> RedisFuture<'_, ()>;
}

/// Opens connections over the network.
pub struct Dialer {
    settings: Settings,
    tls: Option<TlsConnector>,
    resolver: Resolver,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Dialer")
    }
}

/// What an attempt at a connection is doing, for the words of a time-out.
#[derive(Debug)]
pub struct Stage(Mutex<&'static str>);

/// Ends a connection at once: by itself it would wait for all the replies that it still expects.
#[derive(Debug)]
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// A connection with the task that drives it.
struct Driven {
    commands: MultiplexedConnection,
    fault: Fault,
    _driver: Driver,
}

impl Commands for Driven {
    fn send<'a>(&'a self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let mut commands = self.commands.clone();
        async move { commands.send_packed_command(command).await }.boxed()
    }

    fn fault(&self) -> Option<Failure> {
        self.fault.get()
    }
}

impl Pings for PubSubSink {
    fn ping(&mut self) -> RedisFuture<'_, ()> {
        async move { Self::ping::<Value>(self).await.map(drop) }.boxed()
    }
}

impl Dial for Dialer {
    fn connect<'a>(
        &'a self,
        moved: Option<Address>,
        stage: &'a Stage,
        ended: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, Failure>> {
        async move {
            let connection = self.connect(moved, stage, ended).await?;
            Ok(Arc::new(connection) as Arc<dyn Commands>)
        }
        .boxed()
    }

    fn subscribe<'a>(
        &'a self,
        moved: Option<Address>,
        channel: &'a str,
        stage: &'a Stage,
    ) -> BoxFuture<'a, Result<Subscription, Failure>> {
        async move {
            let (pings, messages) = self.subscribe(moved, channel, stage).await?.split();
            let messages = messages.map(|message| message.get_payload_bytes().to_vec());
            Ok(Subscription { messages: messages.boxed(), pings: Box::new(pings) })
        }
        .boxed()
    }
}

impl Dialer {
    /// Opens nothing yet.
    pub fn new(settings: Settings, tls: Option<ClientConfig>) -> Self {
        let tls = tls.map(|mut config| {
            config.alpn_protocols.clear();
            TlsConnector::from(Arc::new(config))
        });
        Self { settings, tls, resolver: Resolver::system() }
    }

    async fn connect(
        &self,
        moved: Option<Address>,
        stage: &Stage,
        ended: Box<dyn FnOnce() + Send>,
    ) -> Result<Driven, Failure> {
        let (stream, fault) = self.stream(moved, stage).await?;
        stage.set("the login");
        let connecting = MultiplexedConnection::new_with_config(&anonymous(), stream, unlimited()).await;
        let (mut commands, driver) = connecting.map_err(|error| fault.or(error))?;
        let driver: BoxFuture<'static, ()> = driver.map(|()| ended()).boxed();
        let driver = Driver(spawn_abortable(driver));
        // By hand, since the library does not tell with which code a login was refused.
        for command in self.login_commands() {
            let answer = commands.send_packed_command(&command).await;
            answer.and_then(Value::extract_error).map_err(|error| fault.or(error))?;
        }
        Ok(Driven { commands, fault, _driver: driver })
    }

    async fn subscribe(
        &self,
        moved: Option<Address>,
        channel: &str,
        stage: &Stage,
    ) -> Result<PubSub, Failure> {
        let (stream, fault) = self.stream(moved, stage).await?;
        stage.set("the subscription");
        let subscribing = async {
            let mut messages = PubSub::new(&self.login(), stream).await?;
            messages.subscribe(channel).await?;
            Ok(messages)
        };
        subscribing.await.map_err(|error| fault.or(error))
    }

    fn login_commands(&self) -> impl Iterator<Item = Cmd> {
        let Settings { user, password, database, .. } = &self.settings;
        let auth = password.as_ref().map(|password| {
            let mut auth = ::redis::cmd("AUTH");
            if let Some(user) = user {
                auth.arg(user.expose());
            }
            auth.arg(password.expose());
            auth
        });
        let select = (*database != 0).then(|| {
            let mut select = ::redis::cmd("SELECT");
            select.arg(*database);
            select
        });
        auth.into_iter().chain(select)
    }

    fn login(&self) -> RedisConnectionInfo {
        let Settings { user, password, database, .. } = &self.settings;
        let login = anonymous().set_db(*database);
        let login = user.iter().fold(login, |login, user| login.set_username(user.expose()));
        password.iter().fold(login, |login, password| login.set_password(password.expose()))
    }

    /// A stream to the node that takes the fleet's writes, as far as that is known.
    async fn stream(
        &self,
        moved: Option<Address>,
        stage: &Stage,
    ) -> Result<(Box<dyn Stream>, Fault), Failure> {
        if let Some(node) = moved {
            return self.open(&node, stage).await;
        }
        let mut result = Err(Failure::lasting("no node is known"));
        for node in &self.settings.nodes {
            result = match &self.settings.topology {
                Topology::Single | Topology::Cluster => self.open(node, stage).await,
                Topology::Sentinel(master) => match self.ask_sentinel(node, master, stage).await {
                    Ok(master) => self.open(&master, stage).await,
                    Err(failure) => Err(failure),
                },
            };
            if result.is_ok() {
                break;
            }
        }
        result
    }

    async fn open(
        &self,
        Address { host, port }: &Address,
        stage: &Stage,
    ) -> Result<(Box<dyn Stream>, Fault), Failure> {
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

    /// Sentinels have a login of their own, or none. The Redis's is tried where none is not enough.
    async fn ask_sentinel(
        &self,
        sentinel: &Address,
        master: &str,
        stage: &Stage,
    ) -> Result<Address, Failure> {
        let mut question = ::redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let mut refused = Failure::lasting("the Sentinel does not answer");
        for login in [anonymous(), self.login().set_db(0)] {
            let (stream, _) = self.open(sentinel, stage).await?;
            stage.set("the answer of a Sentinel");
            let connecting = MultiplexedConnection::new_with_config(&login, stream, unlimited());
            let (mut commands, driver) = match connecting.await {
                Ok(connected) => connected,
                Err(error) => {
                    refused = error.into();
                    continue;
                }
            };
            let _driver = Driver(spawn_abortable(driver.boxed()));
            match question.query_async::<Option<(String, u16)>>(&mut commands).await {
                Ok(Some((host, port))) => return Ok(Address { host, port }),
                Ok(None) => return Err(Failure::lasting("the Sentinel knows no Redis of that name")),
                Err(error) => refused = error.into(),
            }
        }
        Err(refused)
    }
}

impl Stage {
    /// At the beginning.
    pub fn new() -> Self {
        Self(Mutex::new("the connection"))
    }

    fn set(&self, doing: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = doing;
    }

    /// That a limit passed now.
    pub fn timed_out(&self) -> Failure {
        Failure::timed_out(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn bounded(stream: impl Stream + 'static) -> (Box<dyn Stream>, Fault) {
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
fn unlimited() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None)
}

/// Without telling the library's name, which some users may not do.
fn anonymous() -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_skip_set_lib_name()
}
