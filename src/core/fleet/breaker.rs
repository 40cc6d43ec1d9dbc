//! Whether Redis is left alone for now. Decides on no command: it is told of a failure, and asks a probe when the
//! pause is over, so that no call of a user ever has to find out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

/// How long Redis is left alone after a failure, and after each probe that fails.
pub const PAUSE: Duration = Duration::from_secs(5);

/// Closed at first.
#[derive(Debug, Default)]
pub struct Breaker(AtomicBool);

impl Breaker {
    /// Whether Redis is left alone.
    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Notes a failure. `true` for the one that opens the breaker: whoever caused it sees to [`Breaker::mend`].
    pub fn trip(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Probes after each pause, and closes the breaker when that succeeds.
    pub async fn mend<Probe: Future<Output = bool>>(&self, probe: impl Fn() -> Probe) {
        loop {
            sleep(PAUSE).await;
            if probe().await {
                self.0.store(false, Ordering::Release);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_failure_opens_and_the_first_good_probe_closes() {
        let breaker = Breaker::default();
        assert!(!breaker.is_open());
        assert!(breaker.trip());
        assert!(!breaker.trip(), "it is open already");
        let start = Instant::now();
        let probes = AtomicU32::new(0);
        let probe = || async {
            assert!(breaker.is_open(), "open while it is probed");
            probes.fetch_add(1, Ordering::Relaxed) == 2
        };
        breaker.mend(probe).await;
        assert_eq!((probes.load(Ordering::Relaxed), start.elapsed()), (3, 3 * PAUSE));
        assert!(!breaker.is_open());
        assert!(breaker.trip());
    }
}
