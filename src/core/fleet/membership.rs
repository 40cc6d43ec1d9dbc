//! Owns whether this member may read what others have fetched: not while the platform refuses its keys, and not for long
//! without asking the platform itself. Other members go on fetching for a key that was revoked, so that nothing else would
//! tell a member that reads only.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::core::error::{Error, Kind};
use crate::core::source::{Fetched, Purpose};

/// A member that reads only asks the platform once in this time.
const CONFIRMATION_LIFE: Duration = Duration::from_secs(300);

/// What the platform thinks of this member's keys.
#[derive(Debug, Default)]
pub struct Membership {
    is_refused: AtomicBool,
    /// When the platform accepted the keys last, or the member first read: microseconds of the clock that never stops; 0
    /// before that.
    confirmed: AtomicU64,
}

impl Membership {
    /// Whether a fetch may be answered from Redis. Otherwise the source is asked, and Redis is not.
    pub fn may_read(&self, purpose: Purpose, boot: Duration) -> bool {
        let now = micros(boot);
        let first = self.confirmed.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let confirmed = first.err().unwrap_or(now);
        let is_confirmed = now.saturating_sub(confirmed) < micros(CONFIRMATION_LIFE);
        // A fresh fetch asks the source in any case, and tells the others.
        !self.is_refused.load(Ordering::Relaxed) && (is_confirmed || purpose == Purpose::Fresh)
    }

    /// Notes what the platform answered.
    pub fn note(&self, result: &Result<Fetched, Error>, boot: Duration) {
        match result {
            Ok(_) => {
                self.is_refused.store(false, Ordering::Relaxed);
                self.confirmed.store(micros(boot), Ordering::Relaxed);
            }
            Err(error) if matches!(error.kind, Kind::InvalidApiKey | Kind::Forbidden) => {
                self.is_refused.store(true, Ordering::Relaxed);
            }
            // An outage says nothing about the keys.
            Err(_) => {}
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::connection::{Connection, ConnectionState, Details};
    use crate::core::secret::Secret;

    const START: Duration = Duration::from_secs(1_000);

    fn active() -> Result<Fetched, Error> {
        let state = ConnectionState::Active { access_token: Secret::new("t".to_owned()), expires_at: None };
        Ok(Fetched::from(Connection { state, details: Details::default() }))
    }

    fn failed(kind: Kind) -> Result<Fetched, Error> {
        Err(Error::new(kind, "failed"))
    }

    #[test]
    fn a_member_whose_keys_are_refused_reads_nothing_until_they_are_accepted() {
        for kind in [Kind::InvalidApiKey, Kind::Forbidden] {
            let membership = Membership::default();
            assert!(membership.may_read(Purpose::Missing, START));
            membership.note(&failed(kind), START);
            for purpose in [Purpose::Missing, Purpose::Refresh, Purpose::Fresh] {
                assert!(!membership.may_read(purpose, START));
            }
            membership.note(&failed(Kind::Server), START);
            assert!(!membership.may_read(Purpose::Missing, START), "an outage says nothing about the keys");
            membership.note(&active(), START);
            assert!(membership.may_read(Purpose::Missing, START));
        }
    }

    #[test]
    fn a_member_that_only_reads_asks_the_platform_after_a_while() {
        let membership = Membership::default();
        let after = |seconds| START + Duration::from_secs(seconds);
        assert!(
            membership.may_read(Purpose::Missing, START) && membership.may_read(Purpose::Missing, after(299))
        );
        assert!(!membership.may_read(Purpose::Missing, after(300)));
        assert!(!membership.may_read(Purpose::Refresh, after(300)));
        assert!(membership.may_read(Purpose::Fresh, after(300)), "asks the platform anyway");
        membership.note(&failed(Kind::Timeout), after(300));
        assert!(!membership.may_read(Purpose::Missing, after(301)));
        membership.note(&active(), after(301));
        assert!(membership.may_read(Purpose::Missing, after(600)));
    }
}
