//! A client whose source takes its time, and the search through schedules of what threads do with it.

use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, MaxSteps, Runner};
use tokio::runtime::Builder;

use crate::core::client::{Begun, Call, Client, Parts, Request};
use crate::core::clock::{Clock, Now};
use crate::core::config::CallLimits;
use crate::core::stats::Stats;
use crate::core::sync::scheduled::scheduled;
use crate::core::threads::source::Source;
use crate::core::tokens::cache::CacheLimits;
use crate::core::tokens::key::OwnerKind;
use crate::core::tokens::validity::Validity;

/// Schedules of each scenario that `cargo test` tries.
const SCHEDULES: usize = 300;
/// Steps of one schedule: far more than any needs. Whoever waits for ever takes more.
const MAX_STEPS: usize = 20_000;

/// Tries schedules of a scenario.
#[allow(clippy::disallowed_methods, reason = "its option: scripts/test-threads.js hands it on")]
pub fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("XKIT_SCHEDULES").ok().and_then(|number| number.parse().ok());
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    // Timers are set, and none ever fires.
    let _inside = runtime.enter();
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    let runner = Runner::new(RandomScheduler::new(schedules.unwrap_or(SCHEDULES)), config);
    scheduled(|| runner.run(scenario));
}

/// A client and what its source has seen.
pub struct Rig {
    pub client: Client,
    pub source: Arc<Source>,
}

impl Rig {
    /// With or without a cache, alone or as a member of a fleet.
    pub fn new(is_cached: bool, is_shared: bool) -> Arc<Self> {
        let now = Now { wall: 1.7e12, boot: Duration::from_secs(1_000) };
        let validity = Arc::new(if is_shared { Validity::shared() } else { Validity::default() });
        validity.heartbeat(now.boot);
        let stats = Arc::new(Stats::default());
        let source = Arc::new(Source::new(Arc::clone(&validity)));
        let cache = is_cached.then_some(CacheLimits { ttl: Duration::from_secs(60), max_entries: 10 });
        let client = Client::new(Parts {
            source: Arc::new(Arc::clone(&source)),
            origin: "https://p.test".to_owned(),
            limits: CallLimits { timeout: Duration::from_secs(20), cache },
            validity,
            stats,
            clock: Clock::new(move || now),
            jitter: || 0.0,
            // The sweepers: time stands still.
            spawn: drop,
        });
        Arc::new(Self { client, source })
    }

    pub fn begin(&self, fresh: bool, rejected: Option<&str>) -> Begun {
        let request = Request { kind: OwnerKind::User, id: "u", slug: "s", timeout: None, fresh, rejected };
        self.client.begin(request).unwrap()
    }

    pub fn call(&self) -> Call {
        match self.begin(false, None) {
            Begun::Call(call) => call,
            Begun::Known(_) => panic!("answered from the cache"),
        }
    }

    /// A token for a caller that waits for it on this thread.
    pub fn token(&self, rejected: Option<&str>) -> String {
        match self.begin(false, rejected) {
            Begun::Known(known) => known.connection.token().unwrap().to_owned(),
            Begun::Call(call) => {
                let outcome = shuttle::future::block_on(call.run());
                outcome.result.unwrap().token().unwrap().to_owned()
            }
        }
    }

    pub fn invalidate(&self, rejected: Option<&str>) {
        drop(self.client.invalidate(&[OwnerKind::User], "u", "s", rejected).unwrap());
    }

    /// All calls have settled, and the tasks of those that were aborted have ended: nothing is left of them.
    pub fn check_end(&self) {
        let stats = self.client.stats();
        assert_eq!((self.source.in_flight(), stats.queued.get()), (0, 0), "a fetch without a waiter");
    }
}
