//! Whether and when to send a request again: a pure decision, and the quota that keeps a client from hammering a
//! platform in trouble. It neither sleeps nor sends; clock and jitter are the caller's.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

/// The class of a failure, which decides what a retry costs and how long to back off before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass {
    /// Lost connections, timeouts, 5xx.
    Transient,
    /// 429.
    Throttled,
}

/// Whether the next request may be answered with another status.
pub fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 429 | 500 | 502 | 503 | 504 | 520..=529)
}

/// The facts on which the decision depends.
#[derive(Clone, Copy, Debug)]
pub struct FailedAttempt {
    pub class: RetryClass,
    pub retry_after: Option<Duration>,
    /// Retries of the call so far.
    pub retries: u32,
    /// Until the call's deadline.
    pub time_left: Duration,
}

/// The retries that an option allows.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    pub max_retries: u32,
    /// Yields numbers from 0 up to 1.
    pub jitter: fn() -> f64,
}

impl RetryPolicy {
    /// How long to wait before the next request; `None` to give up. If the wait would pass the deadline, we give up at
    /// once, so that the caller gets the real reason rather than a timeout later.
    pub fn delay(&self, failure: FailedAttempt) -> Option<Duration> {
        if failure.retries >= self.max_retries {
            return None;
        }
        let base = match failure.class {
            RetryClass::Transient => TRANSIENT_BASE,
            RetryClass::Throttled => THROTTLED_BASE,
        };
        let delay = match failure.retry_after {
            Some(asked) if asked > MAX_RETRY_AFTER => return None,
            // A little more, so that clients that got the same header do not retry at the same moment.
            Some(asked) => asked + TRANSIENT_BASE.mul_f64((self.jitter)()),
            None => {
                base.saturating_mul(1 << failure.retries.min(10)).min(MAX_BACKOFF).mul_f64((self.jitter)())
            }
        };
        (delay < failure.time_left).then_some(delay)
    }
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
    retries: Mutex<u32>,
    resends: Mutex<u32>,
    max_resends: u32,
}

impl RetryQuota {
    const CAPACITY: u32 = 500;
    const REFILL: u32 = 1;

    /// A full quota. One HTTP/2 connection may carry all requests under way, so each of them may be sent again twice.
    pub fn new(max_concurrency: usize) -> Self {
        let max_resends = u32::try_from(max_concurrency).unwrap_or(u32::MAX).saturating_mul(2);
        Self { retries: Mutex::new(Self::CAPACITY), resends: Mutex::new(max_resends), max_resends }
    }

    /// Pays for one retry; `None` when there is not enough left.
    pub fn spend(&self, class: RetryClass) -> Option<Spent> {
        let cost = match class {
            RetryClass::Transient => 14,
            RetryClass::Throttled => 5,
        };
        let mut left = lock(&self.retries);
        *left = left.checked_sub(cost)?;
        Some(Spent(cost))
    }

    /// Takes one resend of a request that the server did not process; `false` if none is left. It costs no retry.
    pub fn may_resend(&self) -> bool {
        let mut left = lock(&self.resends);
        let next = left.checked_sub(1);
        *left = next.unwrap_or_default();
        next.is_some()
    }

    /// A call succeeded: refills what its last retry cost, or a little if it had none.
    pub fn succeed(&self, last: Option<Spent>) {
        let mut left = lock(&self.retries);
        *left = left.saturating_add(last.map_or(Self::REFILL, |spent| spent.0)).min(Self::CAPACITY);
        drop(left);
        let mut resends = lock(&self.resends);
        *resends = resends.saturating_add(MAX_RESENDS).min(self.max_resends);
    }
}

fn lock(count: &Mutex<u32>) -> MutexGuard<'_, u32> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cost of a retry.
#[derive(Clone, Copy, Debug)]
pub struct Spent(u32);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failure(class: RetryClass, retries: u32, retry_after: Option<Duration>) -> FailedAttempt {
        FailedAttempt { class, retry_after, retries, time_left: 20 * SECOND }
    }

    fn policy(jitter: fn() -> f64) -> RetryPolicy {
        RetryPolicy { max_retries: 10, jitter }
    }

    #[test]
    fn backoff_doubles_up_to_its_cap_and_jitter_is_full() {
        let longest = policy(|| 1.0);
        let delay = |class, retries| longest.delay(failure(class, retries, None)).unwrap();
        assert_eq!(delay(RetryClass::Transient, 0), Duration::from_millis(50));
        assert_eq!(delay(RetryClass::Transient, 1), Duration::from_millis(100));
        assert_eq!(delay(RetryClass::Transient, 9), 5 * SECOND);
        assert_eq!(delay(RetryClass::Throttled, 0), SECOND);
        assert_eq!(delay(RetryClass::Throttled, 1), 2 * SECOND);
        assert_eq!(delay(RetryClass::Throttled, 5), 5 * SECOND);
        assert_eq!(policy(|| 0.0).delay(failure(RetryClass::Throttled, 0, None)), Some(Duration::ZERO));
    }

    #[test]
    fn retries_end_at_their_number() {
        let policy = RetryPolicy { max_retries: 2, jitter: || 0.0 };
        assert!(policy.delay(failure(RetryClass::Transient, 1, None)).is_some());
        assert_eq!(policy.delay(failure(RetryClass::Transient, 2, None)), None);
    }

    #[test]
    fn retry_after_is_obeyed_up_to_ten_seconds_and_never_past_the_deadline() {
        let policy = policy(|| 0.0);
        let delay = |asked| policy.delay(failure(RetryClass::Transient, 0, Some(asked)));
        assert_eq!(delay(3 * SECOND), Some(3 * SECOND));
        assert_eq!(delay(10 * SECOND), Some(10 * SECOND));
        assert_eq!(delay(11 * SECOND), None);
        let late =
            FailedAttempt { time_left: 2 * SECOND, ..failure(RetryClass::Transient, 0, Some(3 * SECOND)) };
        assert_eq!(policy.delay(late), None);
    }

    #[test]
    fn the_quota_bounds_retries_and_success_refills_it() {
        let quota = RetryQuota::new(100);
        let mut spent = 0;
        while quota.spend(RetryClass::Transient).is_some() {
            spent += 1;
        }
        assert_eq!(spent, 500 / 14);
        let last = (0..14).fold(None, |_, _| {
            quota.succeed(None);
            None
        });
        assert!(quota.spend(RetryClass::Transient).is_some());
        quota.succeed(last);
        assert!(quota.spend(RetryClass::Transient).is_none());
        let cheap = RetryQuota::new(100);
        assert_eq!(std::iter::from_fn(|| cheap.spend(RetryClass::Throttled)).count(), 100);
        cheap.succeed(Some(Spent(5)));
        assert!(cheap.spend(RetryClass::Throttled).is_some());
    }

    #[test]
    fn what_was_not_processed_is_sent_again_for_free_while_anything_is_processed() {
        let quota = RetryQuota::new(10);
        assert_eq!(std::iter::from_fn(|| quota.may_resend().then_some(())).count(), 20);
        quota.succeed(None);
        assert_eq!(std::iter::from_fn(|| quota.may_resend().then_some(())).count(), 3);
        assert_eq!(quota.spend(RetryClass::Transient).map(|spent| spent.0), Some(14));
        let delays: Vec<_> = (0..5).map(|resends| resend_delay(resends, || 1.0)).collect();
        let millis = |count| Some(Duration::from_millis(count));
        assert_eq!(delays, [millis(0), millis(50), millis(150), None, None]);
    }

    proptest! {
        #[test]
        fn no_delay_reaches_the_deadline(asked in any::<Option<u32>>(), left in any::<u32>(), retries in 0..12_u32) {
            let failure = FailedAttempt {
                class: RetryClass::Throttled,
                retry_after: asked.map(|millis| Duration::from_millis(millis.into())),
                retries,
                time_left: Duration::from_millis(left.into()),
            };
            if let Some(delay) = policy(|| 0.999).delay(failure) {
                prop_assert!(delay < failure.time_left);
                prop_assert!(delay <= MAX_RETRY_AFTER + TRANSIENT_BASE);
            }
        }
    }
}
