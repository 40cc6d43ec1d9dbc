//! The search through schedules of what threads do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use shuttle::{Config, MaxSteps, Runner};
use tokio::runtime::{Builder, Runtime};

use crate::core::sync::scheduled::scheduled;
use crate::core::threads::scheduler::BiasedScheduler;

/// Schedules of each scenario that `cargo test` tries.
const SCHEDULES: usize = 200;
/// Steps of one schedule: far more than any needs. A thread that waits for ever takes more.
const MAX_STEPS: usize = 20_000;

/// Timers are set, and none ever fires. Never shut down, since that would wake the timers of a schedule that has failed.
static TIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().start_paused(true).build().unwrap());

/// Tries schedules of a scenario.
pub fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let seconds = option("SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let most = option("SCHEDULES").map_or(SCHEDULES, |schedules| schedules as usize);
    let most = if seconds.is_some() { usize::MAX } else { most };
    let _inside = TIME.enter();
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    let runner = Runner::new(BiasedScheduler::new(most, seconds), config);
    let count = Count { begun: Arc::default(), is_told: seconds.is_some() };
    let begun = Arc::clone(&count.begun);
    scheduled(|| {
        runner.run(move || {
            begun.fetch_add(1, Ordering::Relaxed);
            scenario();
        })
    });
}

#[allow(clippy::disallowed_methods, reason = "its options: scripts/test-threads.js hands them on")]
fn option(name: &str) -> Option<u64> {
    std::env::var(format!("XKIT_THREADS_{name}")).ok()?.parse().ok()
}

/// Schedules that have begun, told if one fails, or at the end.
struct Count {
    begun: Arc<AtomicUsize>,
    is_told: bool,
}

impl Drop for Count {
    #[allow(clippy::print_stderr, reason = "beside the schedule, which shuttle prints")]
    fn drop(&mut self) {
        let begun = self.begun.load(Ordering::Relaxed);
        if std::thread::panicking() {
            eprintln!("schedule {begun} failed");
        } else if self.is_told {
            eprintln!("{begun} schedules");
        }
    }
}
