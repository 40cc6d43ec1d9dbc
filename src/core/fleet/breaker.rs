//! Owns when Redis is bypassed: after too many of the last commands failed, or one in a way that the next one would too, until
//! a probe in the background succeeds. No user's call is the probe.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::time::sleep;

use super::failure::RedisFailure;
use super::redis_client::{RedisClient, RedisUnavailable};
use super::tasks::Tasks;
use crate::core::clock::Clock;
use crate::core::stats::{FleetError, FleetErrorSource, FleetStats};

/// The time before the first probe, and after each probe that fails.
const PAUSE: Duration = Duration::from_secs(5);
/// The breaker opens when so many of the last commands have failed.
const WINDOW: u32 = 10;
const TOO_MANY: u32 = 5;

/// A Redis with a breaker around it, closed at first.
pub struct Breaker {
    redis: Arc<RedisClient>,
    is_open: watch::Sender<bool>,
    recent: Recent,
    tasks: Tasks,
    stats: Arc<FleetStats>,
    clock: Clock,
}

/// The last commands, one bit each: 1 for a failed one.
#[derive(Debug, Default)]
struct Recent(AtomicU32);

impl Breaker {
    pub fn new(redis: Arc<RedisClient>, tasks: Tasks, stats: Arc<FleetStats>, clock: Clock) -> Self {
        Self { redis, is_open: watch::Sender::new(false), recent: Recent::default(), tasks, stats, clock }
    }

    pub fn is_open(&self) -> bool {
        *self.is_open.borrow()
    }

    pub async fn closed(&self) {
        let _ = self.is_open.subscribe().wait_for(|is_open| !is_open).await;
    }

    /// Sends a command, and returns what `read` makes of the reply.
    pub async fn ask<T>(
        self: &Arc<Self>,
        command: &Cmd,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<T, RedisUnavailable> {
        if self.is_open() {
            return Err(self.unavailable());
        }
        let answer = self.redis.ask(command).await;
        match answer.and_then(|answer| read(answer).ok_or_else(RedisFailure::strange_answer)) {
            Ok(read) => {
                if self.recent.note(false) == 0 {
                    self.stats.forget_error(FleetErrorSource::Commands);
                }
                Ok(read)
            }
            Err(failure) => {
                let is_lasting = failure.is_lasting;
                let unavailable = RedisUnavailable(Some(failure.reason.clone()));
                self.stats.errors.add();
                self.note_error(failure);
                if self.recent.note(true) >= TOO_MANY || is_lasting {
                    self.open();
                }
                Err(unavailable)
            }
        }
    }

    /// The error of a caller that sends no command, since another one's failed.
    pub fn unavailable(&self) -> RedisUnavailable {
        RedisUnavailable(self.stats.last_error().map(|error| error.reason))
    }

    /// Sends a command without which other members would wait; a failure does not count.
    pub async fn send_even_if_open(&self, command: &Cmd) {
        let _ = self.redis.ask(command).await;
    }

    async fn probe(&self) -> bool {
        let answered = self.redis.probe().await;
        answered.map_err(|failure| self.note_error(failure)).is_ok()
    }

    fn note_error(&self, RedisFailure { reason, .. }: RedisFailure) {
        let at = self.clock.now().wall;
        self.stats.note_error(FleetErrorSource::Commands, FleetError { reason, at });
    }

    fn open(self: &Arc<Self>) {
        if self.is_open.send_replace(true) {
            return;
        }
        self.stats.is_bypassed.store(true, Ordering::Relaxed);
        let breaker = Arc::clone(self);
        let recover = async move {
            // An attempt at a connection that was too slow for a command may still succeed.
            if !breaker.redis.is_connecting() || !breaker.probe().await {
                until_answered(|| breaker.probe()).await;
            }
            breaker.recent.forget();
            breaker.stats.forget_error(FleetErrorSource::Commands);
            breaker.stats.is_bypassed.store(false, Ordering::Relaxed);
            breaker.is_open.send_replace(false);
        };
        self.tasks.spawn(recover.boxed());
    }
}

impl Recent {
    /// Notes how a command ended, and returns how many of the last ones failed.
    fn note(&self, has_failed: bool) -> u32 {
        let next = |ended: u32| (ended << 1 | u32::from(has_failed)) & !(u32::MAX << WINDOW);
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ended| Some(next(ended)));
        next(before.unwrap_or_else(|ended| ended)).count_ones()
    }

    fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Probes after each pause, until a probe succeeds.
async fn until_answered<Probe: Future<Output = bool>>(probe: impl Fn() -> Probe) {
    loop {
        sleep(PAUSE).await;
        if probe().await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use futures_util::future::{BoxFuture, pending, ready};
    use tokio::time::Instant;

    use super::*;
    use crate::core::fleet::dial::{Commands, Dial, Subscription};
    use crate::core::fleet::failure::Stage;
    use crate::core::fleet::settings::{Address, RedisOptions};
    use crate::core::fleet::tasks::TasksOwner;
    use crate::core::spawn;

    /// A Redis that replies by a script, and with OK once it has ended.
    #[derive(Clone, Default)]
    struct ScriptedRedis {
        failures: Arc<Mutex<VecDeque<RedisFailure>>>,
        commands: Arc<AtomicU32>,
        /// The time until a connection is open.
        connecting: Duration,
    }

    impl Commands for ScriptedRedis {
        fn send<'a>(&'a self, _: &'a Cmd) -> BoxFuture<'a, Result<Value, RedisFailure>> {
            self.commands.fetch_add(1, Ordering::Relaxed);
            let failure = self.failures.lock().unwrap().pop_front();
            ready(failure.map_or(Ok(Value::Okay), Err)).boxed()
        }
    }

    impl Dial for ScriptedRedis {
        fn connect<'a>(
            &'a self,
            _: Option<Address>,
            _: &'a Stage,
        ) -> BoxFuture<'a, Result<Arc<dyn Commands>, RedisFailure>> {
            let connected = Arc::new(self.clone()) as Arc<dyn Commands>;
            sleep(self.connecting).map(|()| Ok(connected)).boxed()
        }

        fn subscribe<'a>(
            &'a self,
            _: Option<Address>,
            _: &'a str,
            _: &'a Stage,
        ) -> BoxFuture<'a, Result<Subscription, RedisFailure>> {
            pending().boxed()
        }
    }

    struct BreakerRig {
        breaker: Arc<Breaker>,
        redis: ScriptedRedis,
        stats: Arc<FleetStats>,
        _owner: TasksOwner,
    }

    impl BreakerRig {
        /// A breaker around a Redis whose first commands fail so.
        fn new(failures: impl IntoIterator<Item = RedisFailure>) -> Self {
            Self::around(ScriptedRedis::default(), failures)
        }

        fn around(redis: ScriptedRedis, failures: impl IntoIterator<Item = RedisFailure>) -> Self {
            redis.failures.lock().unwrap().extend(failures);
            let options = RedisOptions::at("redis://redis.test");
            let (owner, tasks) = Tasks::new(spawn::on_runtime);
            let settings = options.check().unwrap();
            let client = RedisClient::new(Box::new(redis.clone()), tasks.clone(), &settings, PAUSE);
            let stats = Arc::<FleetStats>::default();
            let breaker = Breaker::new(Arc::new(client), tasks, Arc::clone(&stats), Clock::system());
            Self { breaker: Arc::new(breaker), redis, stats, _owner: owner }
        }

        /// Why a command failed; `None` if it did not.
        async fn failure(&self) -> Option<String> {
            let asked = self.breaker.ask(&redis::cmd("GET"), Some).await;
            asked.err().map(|RedisUnavailable(reason)| reason.unwrap_or_default().into_owned())
        }

        fn last_error(&self) -> Option<String> {
            self.stats.last_error().map(|error| error.reason.into_owned())
        }

        fn commands(&self) -> u32 {
            self.redis.commands.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_failure_bypasses_redis_until_a_probe_succeeds() {
        let rig = BreakerRig::new([RedisFailure::lasting("READONLY"), RedisFailure::lasting("LOADING")]);
        let start = Instant::now();
        for _ in 0..2 {
            assert_eq!(rig.failure().await.as_deref(), Some("READONLY"));
        }
        assert!(rig.breaker.is_open() && rig.stats.is_bypassed.load(Ordering::Relaxed));
        assert_eq!((rig.commands(), rig.stats.errors.get()), (1, 1));
        sleep(PAUSE + PAUSE / 2).await;
        assert_eq!((rig.commands(), rig.failure().await.as_deref()), (2, Some("LOADING")));
        rig.breaker.closed().await;
        assert_eq!((rig.commands(), start.elapsed()), (3, 2 * PAUSE));
        assert!(!rig.breaker.is_open() && !rig.stats.is_bypassed.load(Ordering::Relaxed));
        assert_eq!((rig.last_error(), rig.failure().await), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn passing_failures_bypass_redis_once_they_are_half_of_the_last_commands() {
        let rig = BreakerRig::new((0..5).map(|_| RedisFailure::passing("BUSY")));
        for number in 1..=5 {
            assert!(!rig.breaker.is_open(), "{number}");
            assert_eq!(rig.failure().await.as_deref(), Some("BUSY"));
        }
        assert!(rig.breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_too_slow_for_commands_is_used_as_soon_as_it_is_open() {
        let connecting = Duration::from_millis(400);
        let rig = BreakerRig::around(ScriptedRedis { connecting, ..ScriptedRedis::default() }, []);
        let start = Instant::now();
        for number in 1..=TOO_MANY {
            assert!(!rig.breaker.is_open(), "{number}");
            assert_eq!(rig.failure().await.as_deref(), Some("timed out: the connection"));
        }
        assert_eq!((rig.breaker.is_open(), rig.commands()), (true, 0));
        rig.breaker.closed().await;
        assert_eq!((start.elapsed(), rig.commands(), rig.failure().await), (connecting, 1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_told_until_it_is_none_of_the_last_commands() {
        let rig = BreakerRig::new([RedisFailure::passing("BUSY")]);
        rig.failure().await;
        for _ in 1..WINDOW {
            assert_eq!((rig.failure().await, rig.last_error().as_deref()), (None, Some("BUSY")));
        }
        assert_eq!((rig.failure().await, rig.last_error()), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_follows_each_pause_until_one_succeeds() {
        let start = Instant::now();
        let probes = AtomicU32::new(0);
        until_answered(|| async { probes.fetch_add(1, Ordering::Relaxed) == 2 }).await;
        assert_eq!((probes.load(Ordering::Relaxed), start.elapsed()), (3, 3 * PAUSE));
    }

    #[test]
    fn a_few_failures_among_many_answers_open_nothing_and_half_of_the_last_ten_do() {
        let recent = Recent::default();
        for _ in 0..100 {
            assert!(recent.note(true) < TOO_MANY);
            for _ in 0..2 {
                assert!(recent.note(false) < TOO_MANY);
            }
        }
        recent.forget();
        assert_eq!([true; 5].map(|has_failed| recent.note(has_failed)), [1, 2, 3, 4, 5]);
        for _ in 0..9 {
            assert!(recent.note(false) > 0);
        }
        assert_eq!(recent.note(false), 0);
    }
}
