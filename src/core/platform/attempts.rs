//! Owns the retries of one fetch: whether and when its next request is sent, and over which connections.
//!
//! Sends nothing and waits for nothing.

use std::time::Duration;

use crate::core::http::{Fault, FaultKind, PoolChoice};
use crate::core::platform::retry::{RetryPolicy, RetryQuota, resend_delay};

/// The attempts of one fetch.
#[derive(Debug, Default)]
pub struct Attempts {
    retries: u32,
    resends: u32,
    had_free_retry: bool,
    /// The cost of the last retry.
    pub spent: Option<u32>,
    /// Where the next request goes.
    pub pool: PoolChoice,
}

impl Attempts {
    /// How long to wait before the next request; `None` to give up.
    pub fn after(
        &mut self,
        failed: &Fault,
        policy: &RetryPolicy,
        quota: &RetryQuota,
        time_left: Duration,
    ) -> Option<Duration> {
        self.pool = PoolChoice::Current;
        match failed.kind {
            FaultKind::Permanent => return None,
            FaultKind::Transient => {}
            FaultKind::Unprocessed(pool) => {
                self.pool = pool;
                let delay = resend_delay(self.resends, policy.jitter).filter(|delay| *delay < time_left);
                if delay.is_some() && quota.may_resend() {
                    self.resends += 1;
                    return delay;
                }
            }
            FaultKind::Stale(pool) => {
                // The last attempt avoids this pool, where more connections may have died with this one.
                if self.retries + 1 >= policy.max_retries {
                    self.pool = PoolChoice::InsteadOf(pool);
                }
                // The platform has not failed, so the first retry after a stale connection costs neither quota nor backoff.
                // It still counts as one of the call's retries; a call without retries gets this one.
                if !self.had_free_retry && self.retries < policy.max_retries.max(1) {
                    self.had_free_retry = true;
                    self.retries += 1;
                    return Some(Duration::ZERO);
                }
            }
        }
        let delay = policy.delay(&failed.error, self.retries, time_left)?;
        self.spent = Some(quota.spend(&failed.error)?);
        self.retries += 1;
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::error::{Error, Kind};

    const LEFT: Duration = Duration::from_secs(20);

    fn lost(kind: FaultKind) -> Fault {
        Fault { kind, ..Error::new(Kind::Connect, "lost").retryable().into() }
    }

    #[test]
    fn what_was_not_processed_costs_no_retry_and_has_an_end() {
        let (policy, quota) = (RetryPolicy { max_retries: 0, jitter: || 1.0 }, RetryQuota::new(100));
        let mut attempts = Attempts::default();
        let mut next = || {
            let unprocessed = lost(FaultKind::Unprocessed(PoolChoice::Alone));
            attempts
                .after(&unprocessed, &policy, &quota, LEFT)
                .map(|delay| (delay.as_millis(), attempts.pool))
        };
        assert_eq!(next(), Some((0, PoolChoice::Alone)));
        assert_eq!(next(), Some((50, PoolChoice::Alone)));
        assert_eq!(next(), Some((150, PoolChoice::Alone)));
        assert_eq!(next(), None);
        assert!(attempts.spent.is_none());
    }

    #[test]
    fn nothing_is_sent_again_at_the_deadline_or_beyond_the_retries() {
        let (policy, quota) = (RetryPolicy { max_retries: 1, jitter: || 1.0 }, RetryQuota::new(1));
        let unprocessed = lost(FaultKind::Unprocessed(PoolChoice::Alone));
        let mut attempts = Attempts { resends: 1, retries: 1, ..Attempts::default() };
        assert_eq!(attempts.after(&unprocessed, &policy, &quota, Duration::from_millis(50)), None);
        let mut attempts = Attempts { retries: 1, ..Attempts::default() };
        let stale = lost(FaultKind::Stale(std::num::NonZeroU32::MIN));
        assert_eq!(attempts.after(&stale, &policy, &quota, LEFT), None);
    }

    #[test]
    fn a_server_that_processes_nothing_is_asked_as_often_as_any_that_fails() {
        let (policy, quota) = (RetryPolicy { max_retries: 2, jitter: || 0.0 }, RetryQuota::new(1));
        let calls = (0..10).map(|_| {
            let mut attempts = Attempts::default();
            let unprocessed = || lost(FaultKind::Unprocessed(PoolChoice::Alone));
            let again = || attempts.after(&unprocessed(), &policy, &quota, LEFT);
            1 + std::iter::from_fn(again).count()
        });
        assert_eq!(calls.collect::<Vec<_>>(), [5, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
    }

    #[test]
    fn a_stale_connection_costs_one_free_retry_and_the_last_try_avoids_its_pool() {
        let (policy, quota) = (RetryPolicy { max_retries: 2, jitter: || 1.0 }, RetryQuota::new(100));
        let mut attempts = Attempts::default();
        let pool = std::num::NonZeroU32::MIN;
        let mut next = || {
            let stale = lost(FaultKind::Stale(pool));
            attempts.after(&stale, &policy, &quota, LEFT).map(|delay| (delay.as_millis(), attempts.pool))
        };
        assert_eq!(next(), Some((0, PoolChoice::Current)));
        assert_eq!(next(), Some((100, PoolChoice::InsteadOf(pool))));
        assert_eq!(next(), None);
    }
}
