//! Whether and when to send a request again: a pure decision, and the quota that keeps a client from hammering a
//! platform in trouble. It neither sleeps nor sends; clock and jitter are the caller's.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::core::error::{Error, Kind};

/// Retries of a call unless an option says otherwise.
pub const DEFAULT_MAX_RETRIES: u32 = 2;
/// First backoff after a transient fault; doubles with each retry.
const TRANSIENT_BASE: Duration = Duration::from_millis(50);
/// First backoff after a 429.
const THROTTLED_BASE: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Longest `Retry-After` that we wait for; with a longer one the call fails at once.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Most requests of one call that are sent again because the server says that it did not process them.
const MAX_RESENDS: u32 = 3;

/// Whether the next request may be answered with another status.
pub fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 429 | 500 | 502 | 503 | 504 | 520..=529)
}

/// The retries that an option allows.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    pub max_retries: u32,
    /// Yields numbers from 0 up to 1.
    pub jitter: fn() -> f64,
}

impl RetryPolicy {
    /// How long to wait before the next request, after so many `retries`; `None` to give up. If the wait would pass the
    /// deadline, we give up at once, so that the caller gets the real reason rather than a timeout later.
    pub fn delay(&self, error: &Error, retries: u32, time_left: Duration) -> Option<Duration> {
        if retries >= self.max_retries {
            return None;
        }
        let delay = match error.retry_after {
            Some(asked) if asked > MAX_RETRY_AFTER => return None,
            // A little more, so that clients that got the same header do not retry at the same moment.
            Some(asked) => asked + TRANSIENT_BASE.mul_f64((self.jitter)()),
            None => {
                let base = if is_throttled(error) { THROTTLED_BASE } else { TRANSIENT_BASE };
                base.saturating_mul(1 << retries.min(10)).min(MAX_BACKOFF).mul_f64((self.jitter)())
            }
        };
        (delay < time_left).then_some(delay)
    }
}

fn is_throttled(error: &Error) -> bool {
    error.kind == Kind::RateLimited
}

/// How long to wait before sending again a request that the server did not process; `None` after [`MAX_RESENDS`].
/// `resends` counts those of the call so far.
pub fn resend_delay(resends: u32, jitter: fn() -> f64) -> Option<Duration> {
    // The first goes out at once, since a server that closes a connection processes requests on others.
    (resends < MAX_RESENDS).then(|| (TRANSIENT_BASE * ((1 << resends) - 1)).mul_f64(jitter()))
}

/// The budget of one client for retries. Successes refill it.
#[derive(Debug)]
pub struct RetryQuota {
    retries: AtomicU32,
    resends: AtomicU32,
    max_resends: u32,
}

impl RetryQuota {
    const CAPACITY: u32 = 500;
    const REFILL: u32 = 1;
    const TRANSIENT_COST: u32 = 14;
    const THROTTLED_COST: u32 = 5;

    /// A full quota. One HTTP/2 connection may carry all requests under way, so each of them may be sent again twice.
    pub fn new(max_concurrency: usize) -> Self {
        let max_resends = u32::try_from(max_concurrency).unwrap_or(u32::MAX).saturating_mul(2);
        Self { retries: Self::CAPACITY.into(), resends: max_resends.into(), max_resends }
    }

    /// Pays for one retry after the error, and returns what it cost; `None` when there is not enough left.
    pub fn spend(&self, error: &Error) -> Option<u32> {
        let cost = if is_throttled(error) { Self::THROTTLED_COST } else { Self::TRANSIENT_COST };
        take(&self.retries, cost).then_some(cost)
    }

    /// Takes one resend of a request that the server did not process; `false` if none is left. It costs no retry.
    pub fn may_resend(&self) -> bool {
        take(&self.resends, 1)
    }

    /// A call succeeded: refills what its last retry cost, or a little if it had none.
    pub fn succeed(&self, spent: Option<u32>) {
        refill(&self.retries, spent.unwrap_or(Self::REFILL), Self::CAPACITY);
        refill(&self.resends, MAX_RESENDS, self.max_resends);
    }
}

fn take(left: &AtomicU32, count: u32) -> bool {
    left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(count)).is_ok()
}

fn refill(left: &AtomicU32, count: u32, most: u32) {
    let _ = left.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_add(count).min(most)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const LEFT: Duration = Duration::from_secs(20);

    fn transient() -> Error {
        Error::new(Kind::Connect, "lost")
    }

    fn throttled() -> Error {
        Error::new(Kind::RateLimited, "too many")
    }

    fn policy(jitter: fn() -> f64) -> RetryPolicy {
        RetryPolicy { max_retries: 10, jitter }
    }

    #[test]
    fn backoff_doubles_up_to_its_cap_and_jitter_is_full() {
        let longest = policy(|| 1.0);
        let delay = |error, retries| longest.delay(&error, retries, LEFT).unwrap();
        assert_eq!(delay(transient(), 0), Duration::from_millis(50));
        assert_eq!(delay(transient(), 1), Duration::from_millis(100));
        assert_eq!(delay(transient(), 9), 5 * SECOND);
        assert_eq!(delay(throttled(), 0), SECOND);
        assert_eq!(delay(throttled(), 1), 2 * SECOND);
        assert_eq!(delay(throttled(), 5), 5 * SECOND);
        assert_eq!(policy(|| 0.0).delay(&throttled(), 0, LEFT), Some(Duration::ZERO));
    }

    #[test]
    fn retries_end_at_their_number() {
        let policy = RetryPolicy { max_retries: 2, jitter: || 0.0 };
        assert!(policy.delay(&transient(), 1, LEFT).is_some());
        assert_eq!(policy.delay(&transient(), 2, LEFT), None);
    }

    #[test]
    fn retry_after_is_obeyed_up_to_ten_seconds_and_never_past_the_deadline() {
        let policy = policy(|| 0.0);
        let asks = |asked| Error { retry_after: Some(asked), ..transient() };
        let delay = |asked| policy.delay(&asks(asked), 0, LEFT);
        assert_eq!(delay(3 * SECOND), Some(3 * SECOND));
        assert_eq!(delay(10 * SECOND), Some(10 * SECOND));
        assert_eq!(delay(11 * SECOND), None);
        assert_eq!(policy.delay(&asks(3 * SECOND), 0, 2 * SECOND), None);
        assert_eq!(policy.delay(&asks(3 * SECOND), 0, 3 * SECOND), None);
    }

    #[test]
    fn the_quota_bounds_retries_and_success_refills_it() {
        let quota = RetryQuota::new(100);
        let mut spent = 0;
        while quota.spend(&transient()).is_some() {
            spent += 1;
        }
        assert_eq!(spent, 500 / 14);
        let last = (0..14).fold(None, |_, _| {
            quota.succeed(None);
            None
        });
        assert!(quota.spend(&transient()).is_some());
        quota.succeed(last);
        assert!(quota.spend(&transient()).is_none());
        let cheap = RetryQuota::new(100);
        assert_eq!(std::iter::from_fn(|| cheap.spend(&throttled())).count(), 100);
        cheap.succeed(Some(5));
        assert!(cheap.spend(&throttled()).is_some());
    }

    #[test]
    fn what_was_not_processed_is_sent_again_for_free_while_anything_is_processed() {
        let quota = RetryQuota::new(10);
        assert_eq!(std::iter::from_fn(|| quota.may_resend().then_some(())).count(), 20);
        quota.succeed(None);
        assert_eq!(std::iter::from_fn(|| quota.may_resend().then_some(())).count(), 3);
        assert_eq!(quota.spend(&transient()), Some(14));
        let delays: Vec<_> = (0..5).map(|resends| resend_delay(resends, || 1.0)).collect();
        let millis = |count| Some(Duration::from_millis(count));
        assert_eq!(delays, [millis(0), millis(50), millis(150), None, None]);
    }

    proptest! {
        #[test]
        fn no_delay_reaches_the_deadline(asked in any::<Option<u32>>(), left in any::<u32>(), retries in 0..12_u32) {
            let retry_after = asked.map(|millis| Duration::from_millis(millis.into()));
            let (error, left) = (Error { retry_after, ..throttled() }, Duration::from_millis(left.into()));
            if let Some(delay) = policy(|| 0.999).delay(&error, retries, left) {
                prop_assert!(delay < left);
                prop_assert!(delay <= MAX_RETRY_AFTER + TRANSIENT_BASE);
            }
        }
    }
}
