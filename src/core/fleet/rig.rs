//! A fleet for the tests of its modules: members with a scripted source, around the simulator's keys and scripts. Redis and the
//! channel take no time, so that with paused time each moment is exact.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use futures_util::stream::{StreamExt, unfold};
use redis::{Cmd, Value};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};

use super::dial::{Commands, Dial, Subscription};
use super::failure::{RedisFailure, Stage};
use super::outbox::MAX_PENDING;
use super::scripts::lua;
use super::scripts::replica::{Command, Effects, Store, parse};
use super::settings::{Address, RedisOptions};
use super::{Fleet, FleetEnvironment, FleetParts};
use crate::core::clock::{Clock, Now};
use crate::core::connection::{Connection, ConnectionState, Details};
use crate::core::error::Error;
use crate::core::secret::Secret;
use crate::core::source::{Fetch, Fetched, Purpose, TokenSource};
use crate::core::spawn::on_runtime;
use crate::core::stats::Counter;
use crate::core::tokens::in_flight::SharedFetchState;
use crate::core::tokens::key::{ConnectionKey, OwnerKind};
use crate::core::tokens::validity::Validity;

/// How long a member caches a token, unless a test says otherwise.
const TTL: Duration = Duration::from_secs(60);
/// The longest wait for another member.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// A Redis that notes each command.
#[derive(Clone)]
pub struct TestRedis {
    state: Arc<Mutex<RedisState>>,
    pub start: Instant,
}

#[derive(Default)]
struct RedisState {
    store: Store,
    sent: Vec<Sent>,
    answers: Vec<(&'static str, Result<Value, RedisFailure>)>,
    is_silent: bool,
    subscribers: Vec<UnboundedSender<Vec<u8>>>,
}

/// A command that Redis received.
pub struct Sent {
    /// The script, or the command's own name.
    pub what: &'static str,
    pub keys: Vec<String>,
    pub args: Command,
    pub at: Instant,
}

impl Sent {
    fn new(command: &[Vec<u8>]) -> Self {
        let text = command.get(1).map_or("", |text| str::from_utf8(text).unwrap());
        let scripts = [
            (lua::TAKE, "take"),
            (lua::RENEW, "renew"),
            (lua::PUT, "put"),
            (lua::RELEASE, "release"),
            (lua::INVALIDATE, "invalidate"),
            (lua::INVALIDATE_ALL, "invalidate all"),
            (lua::OUTDATE, "outdate"),
        ];
        let script = scripts.into_iter().find(|(script, _)| text.ends_with(script));
        let Some((_, what)) = script else {
            return Self { what: "PING", keys: Vec::new(), args: Vec::new(), at: Instant::now() };
        };
        let count: usize = str::from_utf8(&command[2]).unwrap().parse().unwrap();
        let (keys, args) = command[3..].split_at(count);
        let keys = keys.iter().map(|key| String::from_utf8(key.clone()).unwrap()).collect();
        Self { what, keys, args: args.to_vec(), at: Instant::now() }
    }
}

impl TestRedis {
    pub fn new() -> Self {
        Self { state: Arc::default(), start: Instant::now() }
    }

    /// Answers nothing from now on.
    pub fn falls_silent(&self) {
        self.state().is_silent = true;
    }

    /// Gives these answers first to commands of this name, in place of its own.
    pub fn answers(
        &self,
        what: &'static str,
        answers: impl IntoIterator<Item = Result<Value, RedisFailure>>,
    ) {
        self.state().answers.extend(answers.into_iter().map(|answer| (what, answer)));
    }

    /// Fails commands of this name so many times, in a way that the next one may not.
    pub fn fails(&self, what: &'static str, times: usize) {
        self.answers(what, (0..times).map(|_| Err(RedisFailure::passing("BUSY"))));
    }

    /// The commands since the last time.
    pub fn takes(&self) -> Vec<Sent> {
        std::mem::take(&mut self.state().sent)
    }

    /// Their names, once those on their way have arrived.
    pub async fn commands(&self) -> Vec<&'static str> {
        self.settles().await;
        self.takes().iter().map(|sent| sent.what).collect()
    }

    /// Returns once nothing is left to do at this moment.
    pub async fn settles(&self) {
        sleep(Duration::from_micros(1)).await;
    }

    /// Waits until so long after the start.
    pub async fn at(&self, time: Duration) {
        sleep_until(self.start + time).await;
    }

    pub fn subscribers(&self) -> usize {
        self.state().subscribers.len()
    }

    /// Locks that are held.
    pub fn locks(&self) -> usize {
        self.state().store.locks()
    }

    fn state(&self) -> MutexGuard<'_, RedisState> {
        self.state.lock().unwrap()
    }
}

impl Dial for TestRedis {
    fn connect<'a>(
        &'a self,
        _: Option<Address>,
        _: &'a Stage,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, RedisFailure>> {
        ready(Ok(Arc::new(self.clone()) as Arc<dyn Commands>)).boxed()
    }

    fn subscribe<'a>(
        &'a self,
        _: Option<Address>,
        _: &'a str,
        _: &'a Stage,
    ) -> BoxFuture<'a, Result<Subscription, RedisFailure>> {
        let (subscriber, queue) = unbounded_channel();
        self.state().subscribers.push(subscriber);
        let messages = unfold(queue, |mut queue| async move { Some((queue.recv().await?, queue)) });
        ready(Ok(Subscription { messages: messages.boxed(), ping: Box::new(|| ready(Ok(())).boxed()) }))
            .boxed()
    }
}

impl Commands for TestRedis {
    fn send<'a>(&'a self, command: &'a Cmd) -> BoxFuture<'a, Result<Value, RedisFailure>> {
        let (mut state, command) = (self.state(), parse(command));
        let sent = Sent::new(&command);
        let scripted = state.answers.iter().position(|(what, _)| *what == sent.what);
        state.sent.push(sent);
        if state.is_silent {
            return pending().boxed();
        }
        if let Some(scripted) = scripted {
            return ready(state.answers.remove(scripted).1).boxed();
        }
        let mut effects = Effects::default();
        let value = state.store.run(&command, &mut effects);
        for (_, message) in effects.published {
            state.subscribers.retain(|subscriber| subscriber.send(message.clone()).is_ok());
        }
        ready(Ok(value)).boxed()
    }
}

/// What members fetch from: gives the results of a script first, and then `token-1`, `token-2`, ….
#[derive(Default)]
pub struct TestSource {
    results: Mutex<VecDeque<Result<Fetched, Error>>>,
    /// The time that each request takes.
    latency: Duration,
    requests: AtomicU32,
}

impl TestSource {
    pub fn slow(latency: Duration) -> Arc<Self> {
        Arc::new(Self { latency, ..Self::default() })
    }

    /// Gives this result to one of the next requests, after those that it was told before.
    pub fn gives(&self, result: Result<Fetched, Error>) {
        self.results.lock().unwrap().push_back(result);
    }

    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl TokenSource for Arc<TestSource> {
    fn fetch(&self, _: Fetch) -> BoxFuture<'_, Result<Fetched, Error>> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            if !self.latency.is_zero() {
                sleep(self.latency).await;
            }
            let scripted = self.results.lock().unwrap().pop_front();
            scripted.unwrap_or_else(|| Ok(active(&format!("token-{number}"))))
        }
        .boxed()
    }
}

/// A connection that was fetched just now.
pub fn active(token: &str) -> Fetched {
    let state = ConnectionState::Active { access_token: Secret::new(token.to_owned()), expires_at: None };
    Fetched::from(Connection { state, details: Details::default() })
}

/// A member of the fleet.
pub type TestFleet = Fleet<Arc<TestSource>>;

/// What a member is built with, apart from its Redis.
pub struct MemberOptions {
    pub secret_key: String,
    pub encryption_key: Option<String>,
    pub source: Arc<TestSource>,
    pub ttl: Duration,
    pub max_pending: usize,
}

impl MemberOptions {
    pub fn new(source: &Arc<TestSource>) -> Self {
        Self {
            secret_key: "secret-of-the-fleet".to_owned(),
            encryption_key: None,
            source: Arc::clone(source),
            ttl: TTL,
            max_pending: MAX_PENDING,
        }
    }

    pub fn join(self, redis: &TestRedis) -> TestFleet {
        self.try_join(redis).unwrap()
    }

    pub fn try_join(self, redis: &TestRedis) -> Result<TestFleet, Error> {
        let Self { secret_key, encryption_key, source, ttl, max_pending } = self;
        let encryption_key = encryption_key.map(Secret::new);
        let options = RedisOptions { encryption_key, ..RedisOptions::at("redis://r.test") };
        let parts = FleetParts {
            environment: FleetEnvironment { dialer: Box::new(redis.clone()), spawn: on_runtime, max_pending },
            secret_key: &secret_key,
            publishable_key: "pk",
            url_of: Box::new(|key| key.id().text().to_owned()),
            connect_timeout: Duration::from_secs(3),
            patience: PATIENCE,
            ttl,
            validity: Arc::new(Validity::shared()),
            stats: Arc::default(),
            clock: clock(redis.start),
            jitter: || 0.5,
        };
        Fleet::new(source, &options.check().unwrap(), parts)
    }
}

/// Both clocks of a member, by tokio's time.
fn clock(start: Instant) -> Clock {
    Clock::new(move || {
        let since = start.elapsed();
        Now { wall: 1.7e12 + since.as_secs_f64() * 1e3, boot: Duration::from_secs(1_000) + since }
    })
}

/// One fetch of a call that has so much time.
pub async fn fetch(
    fleet: &TestFleet,
    owner: &str,
    purpose: Purpose,
    time: Duration,
) -> Result<Fetched, Error> {
    fetch_with(fleet, owner, purpose, time).await.0
}

/// The same, with the reason for which Redis did not answer.
pub async fn fetch_with(
    fleet: &TestFleet,
    owner: &str,
    purpose: Purpose,
    time: Duration,
) -> (Result<Fetched, Error>, Option<Cow<'static, str>>) {
    let state = Arc::new(SharedFetchState::new(Instant::now() + time));
    let (key, queued) = (key(owner), Arc::<Counter>::default().hold());
    let fetched = fleet.fetch(Fetch { key, purpose, state: Arc::clone(&state), queued }).await;
    (fetched, state.fleet_error())
}

/// The connection of an owner.
pub fn key(owner: &str) -> ConnectionKey {
    ConnectionKey::new(OwnerKind::User, owner, "slack").unwrap()
}

/// The token of what was fetched.
pub fn token(fetched: Result<Fetched, Error>) -> String {
    fetched.unwrap().connection.token().unwrap().to_owned()
}
