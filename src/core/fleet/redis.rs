//! Owns the connections to Redis: the one for commands is made when it is needed, made anew when it was lost, and given up
//! at the first failure. Answers in time or not at all, since a call can do without.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::{Cmd, Value};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::timeout;

use super::dialer::{Commands, Dial, Subscription};
use super::failure::{Failure, Stage};
use super::settings::{Address, Settings, Topology};
use super::tasks::Tasks;

/// After the time is over, for a reply that has come while this process had no time to look.
const GRACE: Duration = Duration::from_millis(2);

/// Redis did not do what was asked; with the reason, if a command failed or Redis is bypassed.
#[derive(Clone, Debug, Default)]
pub struct RedisUnavailable(pub Option<Cow<'static, str>>);

/// Where Redis is, and the connection to it.
pub struct Redis {
    dialer: Box<dyn Dial>,
    tasks: Tasks,
    command_timeout: Duration,
    connect_timeout: Duration,
    /// Only a member of a cluster may send this client to another address.
    is_cluster: bool,
    state: Mutex<State>,
}

struct State {
    connection: Option<Connecting>,
    /// The number of the last connection.
    number: u64,
    /// What the attempt at it has come to.
    stage: Arc<Stage>,
    /// Who holds the fleet's slot, as a member of the cluster said.
    moved: Option<Address>,
}

type Connecting = Shared<BoxFuture<'static, Result<Arc<dyn Commands>, Failure>>>;

impl Redis {
    /// Connects to nothing yet.
    pub fn new(dialer: Box<dyn Dial>, tasks: Tasks, settings: &Settings, connect_timeout: Duration) -> Self {
        let (command_timeout, is_cluster) =
            (settings.command_timeout, matches!(settings.topology, Topology::Cluster));
        let state = State { connection: None, number: 0, stage: Arc::new(Stage::new()), moved: None };
        Self { dialer, tasks, command_timeout, connect_timeout, is_cluster, state: Mutex::new(state) }
    }

    /// What the command is answered with, within the command time-out.
    pub async fn ask(self: &Arc<Self>, command: &Cmd) -> Result<Value, Failure> {
        let used = AtomicU64::new(0);
        let mut answer = pin!(self.ask_patiently(command, &used));
        let mut result = timeout(self.command_timeout, &mut answer).await;
        if result.is_err() {
            result = timeout(GRACE, &mut answer).await;
        }
        let result = result.unwrap_or_else(|_| Err(self.timed_out()));
        if result.is_err() {
            self.start_over(used.load(Ordering::Relaxed));
        }
        result
    }

    /// A connection that died in idleness shows at its next use, and a cluster may have moved the slot: neither is a
    /// failure yet. Every command here may be repeated.
    async fn ask_patiently(self: &Arc<Self>, command: &Cmd, used: &AtomicU64) -> Result<Value, Failure> {
        let mut is_last = false;
        loop {
            let (number, connection) = self.connection();
            used.store(number, Ordering::Relaxed);
            let connection = connection.await?;
            let answer = connection.send(command).await;
            let error = match answer.and_then(Value::extract_error) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if let Some(fault) = connection.fault() {
                return Err(fault);
            }
            let moved = error.redirect_node().filter(|_| self.is_cluster);
            let moved = moved.and_then(|(node, _)| Address::parse(node, 0));
            if is_last || !(moved.is_some() || error.is_connection_dropped() || error.is_io_error()) {
                return Err(error.into());
            }
            is_last = true;
            if moved.is_some() {
                self.state().moved = moved;
            }
            self.give_up(number);
        }
    }

    fn timed_out(&self) -> Failure {
        if !self.is_connecting() {
            return Failure::timed_out("a command");
        }
        let stage = Arc::clone(&self.state().stage);
        stage.timed_out()
    }

    /// The connection, or the attempt at one that is under way. It goes on when the caller's time is over.
    fn connection(self: &Arc<Self>) -> (u64, Connecting) {
        let mut state = self.state();
        if let Some(connection) = &state.connection {
            return (state.number, connection.clone());
        }
        state.number += 1;
        let number = state.number;
        let stage = Arc::new(Stage::new());
        state.stage = Arc::clone(&stage);
        let redis = Arc::clone(self);
        let attempt = async move {
            let connecting = timeout(redis.connect_timeout, redis.connect(number, &stage)).await;
            let connection = connecting.unwrap_or_else(|_| Err(stage.timed_out()));
            if connection.is_err() {
                redis.give_up(number);
            }
            connection
        };
        let attempt = attempt.boxed().shared();
        state.connection = Some(attempt.clone());
        drop(state);
        self.tasks.spawn_to_end(attempt.clone().map(drop).boxed());
        (number, attempt)
    }

    /// Gives the connection up, if it is the one in use: the next command makes a new one.
    fn give_up(&self, number: u64) {
        let mut state = self.state();
        let lost = (number == state.number).then(|| state.connection.take());
        // Dropped outside the lock, since its destructor ends a connection.
        drop(state);
        drop(lost);
    }

    /// As `give_up`, and for all that is known of a cluster. An attempt at a connection that is under way has a limit of its
    /// own.
    fn start_over(&self, number: u64) {
        let mut state = self.state();
        if number != state.number {
            return;
        }
        let lost = state.connection.take_if(|connection| connection.peek().is_some());
        state.moved = None;
        drop(state);
        drop(lost);
    }

    /// Whether an attempt at a connection is under way.
    pub fn is_connecting(&self) -> bool {
        self.state().connection.as_ref().is_some_and(|connection| connection.peek().is_none())
    }

    /// Whether Redis answers, after as much time for a connection as that may take.
    pub async fn probe(self: &Arc<Self>) -> Result<(), Failure> {
        self.connection().1.await?;
        self.ask(&::redis::cmd("PING")).await.map(drop)
    }

    async fn connect(self: &Arc<Self>, number: u64, stage: &Stage) -> Result<Arc<dyn Commands>, Failure> {
        let redis = Arc::downgrade(self);
        let ended = move || {
            if let Some(redis) = redis.upgrade() {
                redis.give_up(number);
            }
        };
        let moved = self.state().moved.clone();
        self.dialer.connect(moved, stage, Box::new(ended)).await
    }

    /// A connection of its own for the messages of a channel.
    pub async fn subscribe(&self, channel: &str) -> Result<Subscription, Failure> {
        let stage = Stage::new();
        let moved = self.state().moved.clone();
        let subscribing = timeout(self.connect_timeout, self.dialer.subscribe(moved, channel, &stage)).await;
        subscribing.unwrap_or_else(|_| Err(stage.timed_out()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
