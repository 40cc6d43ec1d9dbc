//! The two clocks by which a token expires: the wall clock, which people and networks set, and one that never jumps
//! and does not stop while the machine is suspended.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::core::connection::EpochMillis;

/// One moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    pub wall: EpochMillis,
    /// Time since a fixed moment in the past.
    pub boot: Duration,
}

/// A moment in the future, reached as soon as either clock reaches it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    wall: EpochMillis,
    boot_micros: u64,
}

impl Moment {
    /// The moment that is so far ahead of now.
    pub fn after(now: Now, wait: Duration) -> Self {
        let boot = now.boot.saturating_add(wait).as_micros();
        Self {
            wall: now.wall + wait.as_secs_f64() * 1e3,
            boot_micros: u64::try_from(boot).unwrap_or(u64::MAX),
        }
    }

    /// The time until then; `None` once it is reached.
    pub fn left(self, now: Now) -> Option<Duration> {
        let wall = Duration::try_from_secs_f64((self.wall - now.wall) / 1e3).ok()?;
        let left = wall.min(Duration::from_micros(self.boot_micros).checked_sub(now.boot)?);
        (!left.is_zero()).then_some(left)
    }
}

/// Reads both clocks.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Now + Send + Sync>);

impl Clock {
    /// A clock that reads the time from the function.
    pub fn new(read: impl Fn() -> Now + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub fn system() -> Self {
        Self::new(|| Now {
            wall: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
                * 1e3,
            boot: since_boot(),
        })
    }

    pub fn now(&self) -> Now {
        (self.0)()
    }
}

/// `std::time::Instant` stands still on Linux and macOS while the machine is suspended; these clocks do not.
#[cfg(unix)]
fn since_boot() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;
    Duration::try_from(clock_gettime(CLOCK)).unwrap_or_default()
}

/// On Windows an `Instant` does not stop during suspension.
#[cfg(not(unix))]
fn since_boot() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_reached_when_either_clock_says_so() {
        let now = Now { wall: 1e12, boot: Duration::from_secs(100) };
        let moment = Moment::after(now, Duration::from_secs(10));
        let left = |wall, boot| moment.left(Now { wall: 1e12 + wall, boot: Duration::from_secs(boot) });
        assert_eq!(left(0.0, 100), Some(Duration::from_secs(10)));
        assert_eq!(left(4_000.0, 104), Some(Duration::from_secs(6)));
        assert_eq!(
            left(10_000.0, 100),
            None,
            "by the wall clock, which was set forward or ran on in suspension"
        );
        assert_eq!(left(-3_600_000.0, 110), None, "by the other one, although the wall clock was set back");
        assert_eq!(left(-3_600_000.0, 103), Some(Duration::from_secs(7)));
    }

    #[test]
    fn the_machine_s_clocks_run() {
        let clock = Clock::system();
        let first = clock.now();
        assert!(first.wall > 1.7e12 && first.boot > Duration::ZERO);
        while clock.now().boot == first.boot {}
        assert!(clock.now().boot > first.boot);
    }
}
