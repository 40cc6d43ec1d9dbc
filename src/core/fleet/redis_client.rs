//! Owns the connection over which commands go: opened when one is needed, replaced when it was lost, and given up at the first
//! failure. A command ends in time, since a call can do without Redis.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use redis::{Cmd, Value};
use tokio::time::{Instant, timeout, timeout_at};

use super::dial::{Commands, Dial, Subscription};
use super::failure::{RedisFailure, Stage};
use super::settings::{Address, RedisSettings, Topology};
use super::tasks::Tasks;

/// After the deadline, for a reply that arrived while this process had no time to read it.
const GRACE: Duration = Duration::from_millis(2);
/// Connections over which one command is tried: one that died in idleness, one to a member of a cluster that names another
/// member, and that member. Every command of the fleet may be repeated.
const MAX_CONNECTIONS: u32 = 3;

/// Redis did not do what was asked; with the reason, if a command failed or Redis is bypassed.
#[derive(Clone, Debug, Default)]
pub struct RedisUnavailable(pub Option<Cow<'static, str>>);

pub struct RedisClient {
    dialer: Box<dyn Dial>,
    tasks: Tasks,
    command_timeout: Duration,
    connect_timeout: Duration,
    /// Only a member of a cluster may send this client to another address.
    is_cluster: bool,
    state: Mutex<CurrentConnection>,
}

#[derive(Default)]
struct CurrentConnection {
    attempt: Option<Attempt>,
    /// The member of the cluster that holds the fleet's slot, as another member said.
    moved: Option<Address>,
}

/// A connection, or an attempt at one, which goes on when the caller's time is over.
#[derive(Clone)]
struct Attempt {
    connecting: Shared<BoxFuture<'static, Result<Arc<dyn Commands>, RedisFailure>>>,
    stage: Arc<Stage>,
}

impl RedisClient {
    pub fn new(
        dialer: Box<dyn Dial>,
        tasks: Tasks,
        settings: &RedisSettings,
        connect_timeout: Duration,
    ) -> Self {
        let is_cluster = matches!(settings.topology, Topology::Cluster);
        let command_timeout = settings.command_timeout;
        Self { dialer, tasks, command_timeout, connect_timeout, is_cluster, state: Mutex::default() }
    }

    /// The reply to a command, within the command's limit.
    pub async fn ask(self: &Arc<Self>, command: &Cmd) -> Result<Value, RedisFailure> {
        let deadline = Instant::now() + self.command_timeout;
        let mut connections = 0;
        loop {
            connections += 1;
            let attempt = self.attempt();
            let answer = by(deadline, attempt.send(command)).await;
            let mut failure = match answer {
                Some(Ok(value)) => return Ok(value),
                Some(Err(failure)) => failure,
                None => attempt.timed_out(),
            };
            let moved = failure.moved.take().filter(|_| self.is_cluster);
            let may_repeat = failure.is_lost || moved.is_some();
            self.give_up(&attempt, moved);
            if !may_repeat || connections == MAX_CONNECTIONS {
                return Err(failure);
            }
        }
    }

    /// The connection, the attempt at one, or a new attempt after one that failed.
    fn attempt(self: &Arc<Self>) -> Attempt {
        let mut state = self.state();
        let is_usable = |attempt: &&Attempt| !matches!(attempt.connecting.peek(), Some(Err(_)));
        if let Some(attempt) = state.attempt.as_ref().filter(is_usable) {
            return attempt.clone();
        }
        let stage = Arc::new(Stage::default());
        let (redis, moved, reached) = (Arc::clone(self), state.moved.clone(), Arc::clone(&stage));
        let connecting = async move {
            let connecting = timeout(redis.connect_timeout, redis.dialer.connect(moved, &reached)).await;
            connecting.unwrap_or_else(|_| Err(reached.timed_out()))
        };
        let attempt = Attempt { connecting: connecting.boxed().shared(), stage };
        let failed = state.attempt.replace(attempt.clone());
        drop(state);
        drop(failed);
        self.tasks.spawn_to_end(attempt.connecting.clone().map(drop).boxed());
        attempt
    }

    /// Gives a connection up, so that the next command opens another one. An attempt that has not ended goes on to its own
    /// limit.
    fn give_up(&self, attempt: &Attempt, moved: Option<Address>) {
        let mut state = self.state();
        let is_this =
            |current: &mut Attempt| current.connecting.ptr_eq(&attempt.connecting) && !current.is_under_way();
        let lost = state.attempt.take_if(is_this);
        if lost.is_some() {
            state.moved = moved;
        }
        drop(state);
        // Dropped outside the lock, since its destructor ends a connection.
        drop(lost);
    }

    /// Whether an attempt at a connection has not ended.
    pub fn is_connecting(&self) -> bool {
        self.state().attempt.as_ref().is_some_and(Attempt::is_under_way)
    }

    /// Whether Redis answers, after as much time for a connection as that may take.
    pub async fn probe(self: &Arc<Self>) -> Result<(), RedisFailure> {
        self.attempt().connecting.await?;
        self.ask(&redis::cmd("PING")).await.map(drop)
    }

    /// Opens a connection of its own for the messages of a channel.
    pub async fn subscribe(&self, channel: &str) -> Result<Subscription, RedisFailure> {
        let stage = Stage::default();
        let moved = self.state().moved.clone();
        let subscribing = timeout(self.connect_timeout, self.dialer.subscribe(moved, channel, &stage)).await;
        subscribing.unwrap_or_else(|_| Err(stage.timed_out()))
    }

    fn state(&self) -> MutexGuard<'_, CurrentConnection> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    async fn send(&self, command: &Cmd) -> Result<Value, RedisFailure> {
        // Where no connection can be opened, no other one is tried for this command.
        let unsent = |failure| RedisFailure { is_lost: false, moved: None, ..failure };
        self.connecting.clone().await.map_err(unsent)?.send(command).await
    }

    fn is_under_way(&self) -> bool {
        self.connecting.peek().is_none()
    }

    fn timed_out(&self) -> RedisFailure {
        if self.is_under_way() { self.stage.timed_out() } else { RedisFailure::timed_out("a command") }
    }
}

/// What the future ends with, if it ends by the deadline.
async fn by<T>(deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match timeout_at(deadline, &mut future).await {
        Ok(done) => Some(done),
        Err(_) => timeout(GRACE, future).await.ok(),
    }
}

#[cfg(test)]
mod tests;
