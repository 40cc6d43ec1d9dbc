//! Owns what the fleet needs of a connection to Redis. `nodes` opens it over the network; tests open another one.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use redis::{Cmd, RedisFuture, Value};

use super::failure::{RedisFailure, Stage};
use super::settings::Address;

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

/// A connection for commands, which ends when it is dropped.
pub trait Commands: Send + Sync {
    /// Sends a command, and returns the reply to it.
    fn send<'a>(&'a self, command: &'a Cmd) -> BoxFuture<'a, Result<Value, RedisFailure>>;
}

/// A connection for the messages of a channel, which ends when both are dropped.
pub struct Subscription {
    pub messages: BoxStream<'static, Vec<u8>>,
    /// Sends a heartbeat, and waits for the reply to it.
    pub ping: Box<dyn FnMut() -> RedisFuture<'static, ()> + Send>,
}
