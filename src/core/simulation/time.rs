//! Owns a world's time: its clocks, the history of what happened, and the first violation.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::plan::Millis;
use crate::core::clock::{Clock, Now};

/// The true wall clock when a world begins.
const WALL: f64 = 1.7e12;
/// The monotonic clock when a world begins.
const BOOT: Duration = Duration::from_secs(1_000);

/// What happened, in order.
pub struct Time {
    start: Instant,
    /// The number of the last thing that happened.
    seq: Seq,
    history: Option<String>,
    violation: Option<Violation>,
}

/// The number of something that happened: greater than that of all that happened before.
pub type Seq = u64;

/// An invariant that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which of the invariants.
    pub invariant: &'static str,
    pub words: String,
}

impl Time {
    pub fn new(has_history: bool) -> Self {
        Self { start: Instant::now(), seq: 0, history: has_history.then(String::new), violation: None }
    }

    /// The number of what happens now.
    pub fn next(&mut self) -> Seq {
        self.seq += 1;
        self.seq
    }

    /// When the world began.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// The true wall clock, which is the platform's.
    pub fn wall(&self) -> f64 {
        WALL + self.elapsed().as_secs_f64() * 1e3
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Writes a line of the history, if there is one.
    pub fn note(&mut self, words: impl FnOnce() -> String) {
        let (elapsed, seq) = (self.start.elapsed(), self.seq);
        if let Some(history) = &mut self.history {
            let _ = writeln!(history, "{:>9.3} {seq:>5}  {}", elapsed.as_secs_f64(), words());
        }
    }

    /// An invariant is broken. Only the first violation counts.
    pub fn violate(&mut self, invariant: &'static str, words: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let words = words();
            self.note(|| format!("VIOLATION of \"{invariant}\": {words}"));
            self.violation = Some(Violation { invariant, words });
        }
    }

    pub fn take(&mut self) -> (Option<Violation>, String) {
        (self.violation.take(), self.history.take().unwrap_or_default())
    }
}

/// The clocks of one machine.
#[derive(Default)]
pub struct Clocks {
    wall: AtomicI64,
    asleep: AtomicU64,
    jumps: AtomicU64,
}

impl Clocks {
    /// The clock that the core reads.
    pub fn clock(self: &Arc<Self>, start: Instant) -> Clock {
        let clocks = Arc::clone(self);
        Clock::new(move || clocks.now(start))
    }

    pub fn now(&self, start: Instant) -> Now {
        let asleep = self.asleep.load(Ordering::Relaxed);
        let elapsed = start.elapsed() + Duration::from_millis(asleep);
        let wall = WALL + elapsed.as_secs_f64() * 1e3 + self.wall.load(Ordering::Relaxed) as f64;
        Now { wall, boot: BOOT + elapsed }
    }

    /// How often the clocks have jumped.
    pub fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }

    pub fn set_wall(&self, by: i64) {
        self.wall.fetch_add(by, Ordering::Relaxed);
        self.jumps.fetch_add(1, Ordering::Relaxed);
    }

    /// The machine has slept: timers stood still, these clocks did not.
    pub fn sleep(&self, millis: Millis) {
        self.asleep.fetch_add(millis, Ordering::Relaxed);
        self.jumps.fetch_add(1, Ordering::Relaxed);
    }
}
