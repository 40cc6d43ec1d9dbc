//! Owns whether this member may read the entries of others: not while the platform refuses its keys, and not for long without
//! a fetch of its own. The other members' fetches go on when this member's key is revoked, so by reading alone it would never
//! learn of that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::core::error::{Error, Kind};
use crate::core::source::{Fetched, Purpose};

/// After so long without a fetch of its own, a member asks the platform.
const CONFIRMATION_LIFE: Duration = Duration::from_secs(300);

/// What the platform last said of this member's keys.
#[derive(Default)]
pub struct Membership {
    is_refused: AtomicBool,
    /// When the platform last accepted the keys, or else when the member first read: microseconds of the clock that never
    /// stops, or 0.
    confirmed: AtomicU64,
}

impl Membership {
    /// Whether Redis may answer a fetch. Otherwise the fetch goes to the source alone.
    pub fn may_read(&self, purpose: Purpose, boot: Duration) -> bool {
        let now = micros(boot);
        let first = self.confirmed.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let confirmed = first.err().unwrap_or(now);
        let is_confirmed = now.saturating_sub(confirmed) < micros(CONFIRMATION_LIFE);
        // A fresh fetch asks the source in any case, and writes what it brings.
        !self.is_refused.load(Ordering::Relaxed) && (is_confirmed || purpose == Purpose::Fresh)
    }

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
    use crate::core::fleet::rig;

    const START: Duration = Duration::from_secs(1_000);

    fn active() -> Result<Fetched, Error> {
        Ok(rig::active("t"))
    }

    fn failed(kind: Kind) -> Result<Fetched, Error> {
        Err(Error::new(kind, "failed"))
    }

    #[test]
    fn a_member_whose_keys_are_refused_reads_nothing_until_they_are_accepted() {
        for kind in [Kind::InvalidApiKey, Kind::Forbidden] {
            let membership = Membership::default();
            membership.note(&failed(Kind::Server), START);
            assert!(membership.may_read(Purpose::Missing, START), "an outage says nothing about the keys");
            membership.note(&failed(kind), START);
            for purpose in [Purpose::Missing, Purpose::Refresh, Purpose::Fresh] {
                assert!(!membership.may_read(purpose, START));
            }
            membership.note(&failed(Kind::Server), START);
            assert!(!membership.may_read(Purpose::Missing, START), "nor for them");
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
