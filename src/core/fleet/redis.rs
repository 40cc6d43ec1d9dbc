//! Owns the connections to Redis: the one for commands is made when it is needed, made anew when it was lost, and given up
//! at the first failure. Answers in time or not at all, since a call can do without.
//!
//! The client is redis-rs: it is maintained, where fred is not, and takes any stream, so that TLS stays ours (one
//! provider, one set of roots, the option `ca`). Its own Sentinel and Cluster clients bring a TLS set-up of their own;
//! what is needed of both here is to ask for an address.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::{MultiplexedConnection, PubSub};
use ::redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, RedisError, Value};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::settings::{Address, Settings, Topology};
use super::tasks::spawn;

/// After the time is over, for a reply that has come while this process had no time to look.
const GRACE: Duration = Duration::from_millis(2);

/// Redis was of no use. What was wrong is not told: messages of a Redis are not known to be safe to print.
#[derive(Clone, Copy, Debug)]
pub struct Unavailable;

impl From<io::Error> for Unavailable {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl From<RedisError> for Unavailable {
    fn from(_: RedisError) -> Self {
        Self
    }
}

/// Where Redis is, and the connection to it.
pub struct Redis {
    settings: Settings,
    connect_timeout: Duration,
    tls: Option<TlsConnector>,
    state: Mutex<State>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Redis")
    }
}

struct State {
    connection: Option<Connecting>,
    /// The number of the last connection.
    number: u64,
    /// Who holds the fleet's slot, as a member of the cluster said.
    moved: Option<Address>,
}

type Connecting = Shared<BoxFuture<'static, Option<Connection>>>;

#[derive(Clone)]
struct Connection {
    commands: MultiplexedConnection,
    _driver: Arc<Driver>,
}

/// Ends a connection at once: by itself it would wait for all the replies that it still expects.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

impl Redis {
    /// Connects to nothing yet.
    pub fn new(settings: Settings, tls: Option<ClientConfig>, connect_timeout: Duration) -> Self {
        let tls = tls.map(|mut config| {
            config.alpn_protocols.clear();
            TlsConnector::from(Arc::new(config))
        });
        let state = Mutex::new(State { connection: None, number: 0, moved: None });
        Self { settings, connect_timeout, tls, state }
    }

    /// What the command is answered with, within the command time-out.
    pub async fn ask(self: &Arc<Self>, command: &Cmd) -> Result<Value, Unavailable> {
        let mut answer = std::pin::pin!(self.ask_patiently(command));
        let limit = self.settings.command_timeout;
        let mut result = timeout(limit, &mut answer).await;
        if result.is_err() {
            result = timeout(GRACE, &mut answer).await;
        }
        let result = result.unwrap_or(Err(Unavailable));
        if result.is_err() {
            self.start_over();
        }
        result
    }

    /// A connection that died in idleness shows at its next use, and a cluster may have moved the slot: neither is
    /// a failure yet. Every command here may be repeated.
    async fn ask_patiently(self: &Arc<Self>, command: &Cmd) -> Result<Value, Unavailable> {
        let mut is_last = false;
        loop {
            let (number, connection) = self.connection();
            let mut connection = connection.await.ok_or(Unavailable)?;
            let answer = connection.commands.send_packed_command(command).await;
            let error = match answer.and_then(Value::extract_error) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let moved = error.redirect_node().and_then(|(node, _)| Address::parse(node, 0));
            if is_last || !(moved.is_some() || error.is_connection_dropped() || error.is_io_error()) {
                return Err(Unavailable);
            }
            is_last = true;
            if moved.is_some() {
                self.state().moved = moved;
            }
            self.give_up(number);
        }
    }

    /// The connection, or the attempt at one that is under way. It goes on when the caller's time is over.
    fn connection(self: &Arc<Self>) -> (u64, Connecting) {
        let mut state = self.state();
        if let Some(connection) = &state.connection {
            return (state.number, connection.clone());
        }
        state.number += 1;
        let number = state.number;
        let redis = Arc::clone(self);
        let attempt = async move {
            let connection = timeout(redis.connect_timeout, redis.connect(number)).await.ok()?.ok();
            if connection.is_none() {
                redis.give_up(number);
            }
            connection
        };
        let attempt = attempt.boxed().shared();
        spawn(attempt.clone().map(drop).boxed());
        state.connection = Some(attempt.clone());
        (number, attempt)
    }

    /// Gives the connection up, if it is the one in use: the next command makes a new one.
    fn give_up(&self, number: u64) {
        let mut state = self.state();
        if number == state.number {
            state.connection = None;
        }
    }

    /// As `give_up`, for the one in use, and for all that is known of a cluster. An attempt at a connection that is
    /// under way has a limit of its own.
    fn start_over(&self) {
        let mut state = self.state();
        state.connection.take_if(|connection| connection.peek().is_some());
        state.moved = None;
    }

    /// Whether Redis answers, after as much time for a connection as that may take.
    pub async fn probe(self: &Arc<Self>) -> bool {
        self.connection().1.await.is_some() && self.ask(&::redis::cmd("PING")).await.is_ok()
    }

    async fn connect(self: &Arc<Self>, number: u64) -> Result<Connection, Unavailable> {
        let stream = self.stream().await?;
        let (commands, driver) =
            MultiplexedConnection::new_with_config(&self.login(), stream, unlimited()).await?;
        let redis = Arc::downgrade(self);
        let driver = async move {
            driver.await;
            if let Some(redis) = redis.upgrade() {
                redis.give_up(number);
            }
        };
        Ok(Connection { commands, _driver: Arc::new(Driver(spawn(driver.boxed()))) })
    }

    /// A connection of its own for the messages of a channel.
    pub async fn subscribe(&self, channel: &str) -> Result<PubSub, Unavailable> {
        let subscribing = async {
            let stream = self.stream().await?;
            let mut messages = PubSub::new(&self.login(), stream).await?;
            messages.subscribe(channel).await?;
            Ok(messages)
        };
        timeout(self.connect_timeout, subscribing).await.unwrap_or(Err(Unavailable))
    }

    fn login(&self) -> RedisConnectionInfo {
        let Settings { user, password, database, .. } = &self.settings;
        let login = anonymous().set_db(*database);
        let login = user.iter().fold(login, |login, user| login.set_username(user.expose()));
        password.iter().fold(login, |login, password| login.set_password(password.expose()))
    }

    /// A stream to the node that takes the fleet's writes, as far as that is known.
    async fn stream(&self) -> Result<Box<dyn Stream>, Unavailable> {
        let moved = self.state().moved.clone();
        if let Some(node) = moved {
            return self.open(&node).await;
        }
        let mut result = Err(Unavailable);
        for node in &self.settings.nodes {
            result = match &self.settings.topology {
                Topology::Single | Topology::Cluster => self.open(node).await,
                Topology::Sentinel(master) => match self.ask_sentinel(node, master).await {
                    Ok(master) => self.open(&master).await,
                    Err(Unavailable) => Err(Unavailable),
                },
            };
            if result.is_ok() {
                break;
            }
        }
        result
    }

    async fn open(&self, Address { host, port }: &Address) -> Result<Box<dyn Stream>, Unavailable> {
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.clone()).map_err(|_| Unavailable)?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }

    /// Sentinels have a login of their own, or none. The Redis's is tried where none is not enough.
    async fn ask_sentinel(&self, sentinel: &Address, master: &str) -> Result<Address, Unavailable> {
        let mut question = ::redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        for login in [anonymous(), self.login().set_db(0)] {
            let stream = self.open(sentinel).await?;
            let connecting = MultiplexedConnection::new_with_config(&login, stream, unlimited());
            let Ok((mut commands, driver)) = connecting.await else { continue };
            let _driver = Driver(spawn(driver.boxed()));
            let Ok(answer) = question.query_async::<Option<(String, u16)>>(&mut commands).await else {
                continue;
            };
            let (host, port) = answer.ok_or(Unavailable)?;
            return Ok(Address { host, port });
        }
        Err(Unavailable)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
