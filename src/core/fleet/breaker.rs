//! Owns when Redis is left alone: after a failure, until a probe in the background says that it answers again, so that no
//! call of a user ever has to find out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::time::sleep;

use super::redis::{Redis, Unavailable};
use super::tasks::Tasks;
use crate::core::stats::FleetStats;

/// How long Redis is left alone after a failure, and after each probe that fails.
const PAUSE: Duration = Duration::from_secs(5);

/// A Redis with a breaker around it, closed at first.
#[derive(Debug)]
pub struct Breaker {
    redis: Arc<Redis>,
    is_open: watch::Sender<bool>,
    tasks: Tasks,
    stats: Arc<FleetStats>,
}

impl Breaker {
    /// Asks nothing yet.
    pub fn new(redis: Arc<Redis>, tasks: Tasks, stats: Arc<FleetStats>) -> Self {
        Self { redis, is_open: watch::Sender::new(false), tasks, stats }
    }

    /// Whether Redis is left alone.
    pub fn is_open(&self) -> bool {
        *self.is_open.borrow()
    }

    /// Waits until Redis is not left alone.
    pub async fn closed(&self) {
        let _ = self.is_open.subscribe().wait_for(|is_open| !is_open).await;
    }

    /// Waits until Redis is left alone.
    pub async fn opened(&self) {
        let _ = self.is_open.subscribe().wait_for(|is_open| *is_open).await;
    }

    /// What the command is answered with, in time.
    pub async fn ask(self: &Arc<Self>, command: &Cmd) -> Result<Value, Unavailable> {
        if self.is_open() {
            return Err(Unavailable);
        }
        let result = self.redis.ask(command).await;
        if result.is_err() {
            self.stats.errors.add();
            self.open();
        }
        result
    }

    fn open(self: &Arc<Self>) {
        if self.is_open.send_replace(true) {
            return;
        }
        self.stats.is_bypassed.store(true, Ordering::Relaxed);
        let breaker = Arc::clone(self);
        let recover = async move {
            until_answered(|| breaker.redis.probe()).await;
            breaker.stats.is_bypassed.store(false, Ordering::Relaxed);
            breaker.is_open.send_replace(false);
        };
        self.tasks.spawn(recover.boxed());
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
    use std::sync::atomic::AtomicU32;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_probe_follows_each_pause_until_one_succeeds() {
        let start = Instant::now();
        let probes = AtomicU32::new(0);
        until_answered(|| async { probes.fetch_add(1, Ordering::Relaxed) == 2 }).await;
        assert_eq!((probes.load(Ordering::Relaxed), start.elapsed()), (3, 3 * PAUSE));
    }
}
