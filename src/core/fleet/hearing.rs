//! What a process hears of the others: which connections were dropped, and which were fetched. What is kept in the
//! process may be handed out for as long as nothing was heard against it, and something is heard at all.
//!
//! Dropping is by bucket, so that no list of names has to be kept: a few others that share the bucket are asked for
//! anew, which does no harm.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::crypto::Name;

/// Redis is asked for a sign of life so often; whoever listens notices a lost connection by that.
pub const PING_INTERVAL: Duration = Duration::from_millis(250);
/// The channel is taken to be in order for so long after a sign of life was asked for, and given.
const TRUSTED_FOR: Duration = Duration::from_millis(600);
/// What is kept may be handed out for so long when nothing is heard.
const UNHEARD_LIFE: Duration = Duration::from_millis(500);
/// What is handed out without asking here again. Together with `TRUSTED_FOR` less than the second that is promised.
pub const LONGEST_LEASE: Duration = Duration::from_millis(300);
const BUCKETS: usize = 4096;
const WAKES: usize = 256;

/// Since some moment in the past, by the clock that runs on during suspension.
type Boot = Duration;

/// What was known when a fetch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    bucket: u16,
    epoch: u64,
}

/// The state of the news.
#[derive(Debug)]
pub struct Hearing {
    dropped: Box<[AtomicU64]>,
    all_dropped: AtomicU64,
    /// Microseconds; 0 for never.
    heard: AtomicU64,
    wakes: Box<[Notify]>,
}

impl Hearing {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Self {
            dropped: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            all_dropped: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            wakes: (0..WAKES).map(|_| Notify::new()).collect(),
        }
    }

    /// What is known of a connection now.
    pub fn mark(&self, name: &Name) -> Mark {
        let bucket = name.bucket();
        Mark { bucket, epoch: self.epoch(bucket) }
    }

    /// Whether nothing was dropped since.
    pub fn is_current(&self, mark: Mark) -> bool {
        self.epoch(mark.bucket) == mark.epoch
    }

    /// Whether what came in at that moment may be handed out.
    pub fn vouches(&self, mark: Mark, since: Boot, now: Boot) -> bool {
        self.is_current(mark) && (self.is_heard(now) || now.saturating_sub(since) < UNHEARD_LIFE)
    }

    /// Whether the channel is in order.
    pub fn is_heard(&self, now: Boot) -> bool {
        let heard = self.heard.load(Ordering::Acquire);
        heard != 0 && now.saturating_sub(Duration::from_micros(heard)) < TRUSTED_FOR
    }

    /// A sign of life that was asked for at that moment.
    pub fn hear(&self, asked: Boot) {
        self.heard.store(u64::try_from(asked.as_micros()).unwrap_or(u64::MAX).max(1), Ordering::Release);
    }

    /// The channel is lost.
    pub fn deafen(&self) {
        self.heard.store(0, Ordering::Release);
    }

    /// A connection was dropped.
    pub fn drop_one(&self, name: &Name) {
        self.dropped[usize::from(name.bucket()) % BUCKETS].fetch_add(1, Ordering::AcqRel);
        self.wake(name);
    }

    /// Nobody knows what was dropped.
    pub fn drop_all(&self) {
        self.all_dropped.fetch_add(1, Ordering::AcqRel);
    }

    /// There is something to see for whoever waits for this connection.
    pub fn wake(&self, name: &Name) {
        self.wakes[usize::from(name.bucket()) % WAKES].notify_waiters();
    }

    /// Waits for that.
    pub fn woken(&self, name: &Name) -> Notified<'_> {
        self.wakes[usize::from(name.bucket()) % WAKES].notified()
    }

    fn epoch(&self, bucket: u16) -> u64 {
        let one = self.dropped[usize::from(bucket) % BUCKETS].load(Ordering::Acquire);
        one + self.all_dropped.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fleet::crypto::Keys;
    use crate::core::platform::endpoint::OwnerKind;

    const NOW: Boot = Duration::from_secs(100);

    fn names() -> (Name, Name) {
        let keys = Keys::derive(b"secret", "pk").unwrap();
        (keys.name(OwnerKind::User, "https://p.test/a"), keys.name(OwnerKind::User, "https://p.test/b"))
    }

    #[test]
    fn what_was_dropped_since_is_not_vouched_for() {
        let hearing = Hearing::new();
        hearing.hear(NOW);
        let (a, b) = names();
        let marks = (hearing.mark(&a), hearing.mark(&b));
        let vouched =
            |hearing: &Hearing| (hearing.vouches(marks.0, NOW, NOW), hearing.vouches(marks.1, NOW, NOW));
        assert_eq!(vouched(&hearing), (true, true));
        hearing.drop_one(&a);
        assert_eq!(vouched(&hearing), (false, true));
        assert!(hearing.vouches(hearing.mark(&a), NOW, NOW));
        hearing.drop_all();
        assert_eq!(vouched(&hearing), (false, false));
    }

    #[test]
    fn without_news_a_second_is_the_longest_that_anything_lasts() {
        let hearing = Hearing::new();
        let mark = hearing.mark(&names().0);
        let after = |millis| NOW + Duration::from_millis(millis);
        assert!(hearing.vouches(mark, NOW, after(499)) && !hearing.vouches(mark, NOW, after(500)));
        hearing.hear(NOW);
        assert!(
            hearing.vouches(mark, Boot::ZERO, after(599)) && !hearing.vouches(mark, Boot::ZERO, after(600))
        );
        hearing.deafen();
        assert!(!hearing.vouches(mark, Boot::ZERO, NOW));
        assert!(TRUSTED_FOR.max(UNHEARD_LIFE) + LONGEST_LEASE < Duration::from_secs(1));
    }
}
