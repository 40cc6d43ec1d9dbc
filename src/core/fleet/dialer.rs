//! Owns how connections to Redis are opened: one for commands, one for the messages of a channel.
//!
//! The client is redis-rs: it is maintained, where fred is not, and takes any stream, so that TLS stays ours (one
//! provider, one set of roots, the option `ca`). Its own Sentinel and Cluster clients bring a TLS set-up of their own, and
//! all that the fleet needs of both is an address.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use redis::aio::{PubSub, PubSubSink};
use redis::{RedisFuture, Value};
use rustls::ClientConfig;

use super::bounded::Bounded;
use super::failure::{RedisFailure, Stage};
use super::nodes::Nodes;
use super::redis_connection::{Commands, RedisConnection};
use super::settings::{Address, Login, RedisSettings};

/// Opens connections to Redis.
pub trait Dial: Send + Sync + 'static {
    /// Opens a connection for commands, to the member of a cluster that another one has named, if one has.
    fn connect<'a>(
        &'a self,
        moved: Option<Address>,
        stage: &'a Stage,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, RedisFailure>>;

    /// Opens a connection for the messages of a channel.
    fn subscribe<'a>(
        &'a self,
        moved: Option<Address>,
        channel: &'a str,
        stage: &'a Stage,
    ) -> BoxFuture<'a, Result<Subscription, RedisFailure>>;
}

/// A connection for the messages of a channel, which ends when both are dropped.
pub struct Subscription {
    pub messages: BoxStream<'static, Vec<u8>>,
    pub pings: Box<dyn Pings>,
}

/// Sends the heartbeats of a subscription.
pub trait Pings: Send {
    /// Waits for the reply to one ping.
    fn ping(&mut self) -> RedisFuture<'_, ()>;
}

impl Pings for PubSubSink {
    fn ping(&mut self) -> RedisFuture<'_, ()> {
        async move { Self::ping::<Value>(self).await.map(drop) }.boxed()
    }
}

/// Opens connections over the network.
pub struct Dialer {
    nodes: Nodes,
    login: Login,
    database: i64,
}

impl Dialer {
    /// Opens nothing yet.
    pub fn new(settings: RedisSettings, tls: Option<ClientConfig>) -> Self {
        let (login, database) = (settings.login.clone(), settings.database);
        Self { nodes: Nodes::new(settings, tls), login, database }
    }

    /// Logs in by commands of ours, since the library does not tell the code with which a login is refused.
    async fn log_in(&self, stream: Bounded, stage: &Stage) -> Result<Arc<dyn Commands>, RedisFailure> {
        stage.set("the login");
        let connection = RedisConnection::open(stream).await?;
        if let Some(login) = self.login.command() {
            connection.ask(&login).await?;
        }
        if self.database != 0 {
            connection.ask(redis::cmd("SELECT").arg(self.database)).await?;
        }
        if self.nodes.are_several() {
            connection.ask(&redis::cmd("PING")).await?;
        }
        Ok(Arc::new(connection))
    }

    async fn subscribed(
        &self,
        stream: Bounded,
        channel: &str,
        stage: &Stage,
    ) -> Result<PubSub, RedisFailure> {
        stage.set("the subscription");
        let error = stream.error();
        let subscribing = async {
            let login = self.login.connection_info().set_db(self.database);
            let mut messages = PubSub::new(&login, stream).await?;
            messages.subscribe(channel).await?;
            Ok(messages)
        };
        subscribing.await.map_err(|failed| error.or(failed))
    }
}

impl Dial for Dialer {
    fn connect<'a>(
        &'a self,
        moved: Option<Address>,
        stage: &'a Stage,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, RedisFailure>> {
        self.nodes.reach(moved, stage, |stream| self.log_in(stream, stage).boxed()).boxed()
    }

    fn subscribe<'a>(
        &'a self,
        moved: Option<Address>,
        channel: &'a str,
        stage: &'a Stage,
    ) -> BoxFuture<'a, Result<Subscription, RedisFailure>> {
        async move {
            let greet = |stream| self.subscribed(stream, channel, stage).boxed();
            let (pings, messages) = self.nodes.reach(moved, stage, greet).await?.split();
            let messages = messages.map(|message| message.get_payload_bytes().to_vec());
            Ok(Subscription { messages: messages.boxed(), pings: Box::new(pings) })
        }
        .boxed()
    }
}
