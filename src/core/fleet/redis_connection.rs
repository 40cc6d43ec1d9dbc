//! Owns one connection for commands, with the task that drives it.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Value};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::bounded::{Bounded, StreamError};
use super::dial::Commands;
use super::failure::RedisFailure;
use super::settings::{Login, anonymous};

pub struct RedisConnection {
    commands: MultiplexedConnection,
    error: StreamError,
    driver: AbortHandle,
}

impl RedisConnection {
    /// Starts the task that drives the connection, and logs in, by a command of ours: the library does not tell the code with
    /// which a login is refused.
    pub async fn open(stream: Bounded, login: &Login) -> Result<Self, RedisFailure> {
        let Bounded { stream, error } = stream;
        // The limits are those of the callers.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let opened = MultiplexedConnection::new_with_config(&anonymous(), stream, config).await;
        let (commands, driver) = opened.map_err(|failed| error.or(failed))?;
        let driver = Handle::current().spawn(driver).abort_handle();
        let connection = Self { commands, error, driver };
        if let Some(login) = login.command() {
            connection.send(&login).await?;
        }
        Ok(connection)
    }
}

impl Commands for RedisConnection {
    fn send<'a>(&'a self, command: &'a Cmd) -> BoxFuture<'a, Result<Value, RedisFailure>> {
        let mut commands = self.commands.clone();
        async move {
            let answer = commands.send_packed_command(command).await;
            answer.and_then(Value::extract_error).map_err(|error| self.error.or(error))
        }
        .boxed()
    }
}

impl Drop for RedisConnection {
    /// By itself, the driver would first write the commands that are left, for as long as a silent Redis does not read them.
    fn drop(&mut self) {
        self.driver.abort();
    }
}
