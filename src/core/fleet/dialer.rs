//! Owns the connections to Redis, as the rest of the fleet uses them: one for commands, one for the messages of a channel.
//!
//! The client is redis-rs: it is maintained, where fred is not, and takes any stream, so that TLS stays ours (one
//! provider, one set of roots, the option `ca`). Its own Sentinel and Cluster clients bring a TLS set-up of their own;
//! what is needed of both here is to ask for an address.

use std::sync::Arc;

use ::redis::aio::{MultiplexedConnection, PubSub, PubSubSink};
use ::redis::{Cmd, RedisFuture, Value};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use rustls::ClientConfig;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::bounded::Fault;
use super::failure::{Failure, Stage};
use super::nodes::{NodeStream, Nodes, anonymous, driven, unlimited};
use super::settings::{Address, Login, Settings};

/// Opens connections to Redis.
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
    /// Sends a command, and gives its answer.
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
    nodes: Nodes,
    login: Login,
    database: i64,
}

/// A connection with the task that drives it. The task is aborted with it: by itself it would wait for all the replies that it
/// still expects.
struct Driven {
    commands: MultiplexedConnection,
    fault: Fault,
    driver: AbortHandle,
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.driver.abort();
    }
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
            let greet = |stream| self.log_in(stream, stage).boxed();
            let (commands, driver, fault) = self.nodes.reach(moved, stage, greet).await?;
            let driver = Handle::current().spawn(driver.map(|()| ended())).abort_handle();
            Ok(Arc::new(Driven { commands, fault, driver }) as Arc<dyn Commands>)
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
            let greet = |stream| self.subscribed(stream, channel, stage).boxed();
            let (pings, messages) = self.nodes.reach(moved, stage, greet).await?.split();
            let messages = messages.map(|message| message.get_payload_bytes().to_vec());
            Ok(Subscription { messages: messages.boxed(), pings: Box::new(pings) })
        }
        .boxed()
    }
}

impl Dialer {
    /// Opens nothing yet.
    pub fn new(settings: Settings, tls: Option<ClientConfig>) -> Self {
        let (login, database) = (settings.login.clone(), settings.database);
        Self { nodes: Nodes::new(settings, tls), login, database }
    }

    /// A connection that has logged in, and what drives it.
    async fn log_in(
        &self,
        (stream, fault): NodeStream,
        stage: &Stage,
    ) -> Result<(MultiplexedConnection, BoxFuture<'static, ()>, Fault), Failure> {
        stage.set("the login");
        let connecting = MultiplexedConnection::new_with_config(&anonymous(), stream, unlimited()).await;
        let (mut commands, driver) = connecting.map_err(|error| fault.or(error))?;
        let mut driver: BoxFuture<'static, ()> = driver.boxed();
        // By hand, since the library does not say with which code a login was refused.
        for command in self.first_commands() {
            let answer = driven(commands.send_packed_command(&command), &mut driver).await;
            answer.and_then(Value::extract_error).map_err(|error| fault.or(error))?;
        }
        Ok((commands, driver, fault))
    }

    async fn subscribed(
        &self,
        (stream, fault): NodeStream,
        channel: &str,
        stage: &Stage,
    ) -> Result<PubSub, Failure> {
        stage.set("the subscription");
        let subscribing = async {
            let login = self.login.connection_info().set_db(self.database);
            let mut messages = PubSub::new(&login, stream).await?;
            messages.subscribe(channel).await?;
            Ok(messages)
        };
        subscribing.await.map_err(|error| fault.or(error))
    }

    /// The login, the database, and where another node may take over also a sign of life.
    fn first_commands(&self) -> impl Iterator<Item = Cmd> {
        let Login { user, password } = &self.login;
        let auth = password.as_ref().map(|password| {
            let mut auth = ::redis::cmd("AUTH");
            if let Some(user) = user {
                auth.arg(user.expose());
            }
            auth.arg(password.expose());
            auth
        });
        let select = (self.database != 0).then(|| {
            let mut select = ::redis::cmd("SELECT");
            select.arg(self.database);
            select
        });
        let ping = self.nodes.are_several().then(|| ::redis::cmd("PING"));
        auth.into_iter().chain(select).chain(ping)
    }
}
