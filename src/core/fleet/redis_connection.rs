//! Owns one connection for commands, with the task that drives it.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Value};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::bounded::{Bounded, StreamError};
use super::failure::{CommandFailure, RedisFailure};
use super::settings::anonymous;

/// A connection for commands, which ends when it is dropped.
pub trait Commands: Send + Sync {
    /// Sends a command, and returns the reply to it.
    fn send<'a>(&'a self, command: &'a Cmd) -> BoxFuture<'a, Result<Value, CommandFailure>>;
}

/// A connection over a stream.
pub struct RedisConnection {
    commands: MultiplexedConnection,
    error: StreamError,
    driver: AbortHandle,
}

impl RedisConnection {
    /// Starts the task that drives the connection. Nobody is logged in yet.
    pub async fn open(stream: Bounded) -> Result<Self, RedisFailure> {
        let error = stream.error();
        // The limits are those of the callers.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let opened = MultiplexedConnection::new_with_config(&anonymous(), stream, config).await;
        let (commands, driver) = opened.map_err(|failed| error.or(failed))?;
        let driver = Handle::current().spawn(driver).abort_handle();
        Ok(Self { commands, error, driver })
    }

    /// Sends a command for a caller that has one connection.
    pub async fn ask(&self, command: &Cmd) -> Result<Value, RedisFailure> {
        self.send(command).await.map_err(|CommandFailure { failure, .. }| failure)
    }
}

impl Commands for RedisConnection {
    fn send<'a>(&'a self, command: &'a Cmd) -> BoxFuture<'a, Result<Value, CommandFailure>> {
        let mut commands = self.commands.clone();
        async move {
            let answer = commands.send_packed_command(command).await;
            answer
                .and_then(Value::extract_error)
                .map_err(|error| self.error.get().map_or_else(|| error.into(), CommandFailure::from))
        }
        .boxed()
    }
}

impl Drop for RedisConnection {
    /// By itself, the driver would wait for all outstanding replies (<https://github.com/redis-rs/redis-rs/issues/1236>).
    fn drop(&mut self) {
        self.driver.abort();
    }
}
