//! Whether what is kept may still be handed out, as far as others have a say in it.
//!
//! Whoever hears of the others pushes it in here; the cache only reads. Invalidations are by slot, so that no list of names
//! has to be kept: a few connections that share the slot are fetched anew, which does no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::core::mutation::{self, Mutation};

/// What the others say holds for so long after a heartbeat was asked for, and came.
const HEARTBEAT_LIFE: Duration = Duration::from_millis(600);
/// What is kept may be handed out for so long when nothing is heard of them.
const UNHEARD_LIFE: Duration = Duration::from_millis(500);
/// What is handed out without another look here. Together with `HEARTBEAT_LIFE` less than the second that is promised.
const LONGEST_LEASE: Duration = Duration::from_millis(300);
const SLOTS: usize = 4096;

/// Since some moment in the past, by the clock that runs on during suspension.
type Boot = Duration;

/// What had been invalidated of a connection when its fetch began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    slot: u16,
    /// Begins anew after four billion, which no token lives to see.
    number: u32,
}

/// What other processes invalidated, if anything is shared with any; and the count of what was discarded.
#[derive(Debug, Default)]
pub struct Validity {
    shared: Option<Shared>,
    discards: Arc<AtomicU32>,
}

#[derive(Debug)]
struct Shared {
    invalidations: Box<[AtomicU32]>,
    invalidations_of_all: AtomicU32,
    /// Microseconds; 0 for never.
    heartbeat: AtomicU64,
}

impl Validity {
    /// Others share what is kept; nothing is heard of them yet.
    pub fn shared() -> Self {
        let shared = Shared {
            invalidations: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(),
            invalidations_of_all: AtomicU32::new(0),
            heartbeat: AtomicU64::new(0),
        };
        Self { shared: Some(shared), discards: Arc::default() }
    }

    /// Counts what was discarded, see `Client::discards`.
    pub fn discards(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.discards)
    }

    /// Something that was kept is discarded.
    pub fn discard(&self) {
        self.discards.fetch_add(1, Ordering::AcqRel);
    }

    /// The version of what is in a slot now.
    pub fn version(&self, slot: u16) -> Version {
        Version { slot, number: self.shared.as_ref().map_or(0, |shared| shared.number(slot)) }
    }

    /// Whether nothing was invalidated since.
    pub fn is_current(&self, version: Version) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.number(version.slot) == version.number)
    }

    /// Whether what was put into the cache at that moment may be handed out.
    pub fn allows(&self, version: Version, since: Boot, now: Boot) -> bool {
        self.is_current(version) && (self.is_heard(now) || now.saturating_sub(since) < UNHEARD_LIFE)
    }

    /// For how long it may be handed out without another look.
    pub fn lease(&self) -> Duration {
        if self.shared.is_some() { LONGEST_LEASE } else { Duration::MAX }
    }

    /// A heartbeat that was asked for at that moment.
    pub fn heartbeat(&self, asked: Boot) {
        if let Some(Shared { heartbeat, .. }) = &self.shared {
            heartbeat.store(u64::try_from(asked.as_micros()).unwrap_or(u64::MAX).max(1), Ordering::Release);
        }
    }

    /// Nothing is heard of the others any more.
    pub fn silence(&self) {
        if let Some(Shared { heartbeat, .. }) = &self.shared {
            heartbeat.store(0, Ordering::Release);
            self.discard();
        }
    }

    /// What is in a slot was invalidated.
    pub fn invalidate(&self, slot: u16) {
        if let Some(Shared { invalidations, .. }) = &self.shared {
            invalidations[usize::from(slot) % SLOTS].fetch_add(1, Ordering::AcqRel);
            self.discard();
        }
    }

    /// Whatever was fetched until now was invalidated, or nobody knows what was.
    pub fn invalidate_all(&self) {
        if let Some(Shared { invalidations_of_all, .. }) = &self.shared {
            invalidations_of_all.fetch_add(1, Ordering::AcqRel);
            self.discard();
        }
    }

    fn is_heard(&self, now: Boot) -> bool {
        let Some(Shared { heartbeat, .. }) = &self.shared else { return true };
        if mutation::is(Mutation::SilenceIsConsent) {
            return true;
        }
        let heartbeat = heartbeat.load(Ordering::Acquire);
        heartbeat != 0 && now.saturating_sub(Duration::from_micros(heartbeat)) < HEARTBEAT_LIFE
    }
}

impl Shared {
    fn number(&self, slot: u16) -> u32 {
        let of_slot = self.invalidations[usize::from(slot) % SLOTS].load(Ordering::Acquire);
        of_slot.wrapping_add(self.invalidations_of_all.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Boot = Duration::from_secs(100);
    const SLOT: u16 = 7;

    #[test]
    fn what_was_invalidated_since_is_not_handed_out() {
        let validity = Validity::shared();
        validity.heartbeat(NOW);
        let versions = (validity.version(SLOT), validity.version(8));
        let allowed = || (validity.allows(versions.0, NOW, NOW), validity.allows(versions.1, NOW, NOW));
        assert_eq!(allowed(), (true, true));
        validity.invalidate(SLOT);
        assert_eq!(allowed(), (false, true));
        assert!(validity.allows(validity.version(SLOT), NOW, NOW));
        validity.invalidate_all();
        assert_eq!(allowed(), (false, false));
    }

    #[test]
    fn without_a_heartbeat_a_second_is_the_longest_that_anything_lasts() {
        let validity = Validity::shared();
        let version = validity.version(SLOT);
        let after = |millis| NOW + Duration::from_millis(millis);
        assert!(validity.allows(version, NOW, after(499)) && !validity.allows(version, NOW, after(500)));
        validity.heartbeat(NOW);
        let allows = |now| validity.allows(version, Boot::ZERO, now);
        assert!(allows(after(599)) && !allows(after(600)));
        validity.silence();
        assert!(!allows(NOW));
        assert!(HEARTBEAT_LIFE.max(UNHEARD_LIFE) + LONGEST_LEASE < Duration::from_secs(1));
    }

    #[test]
    fn what_others_invalidate_and_a_lost_subscription_are_counted() {
        let validity = Validity::shared();
        let discards = validity.discards();
        validity.invalidate(SLOT);
        validity.invalidate_all();
        validity.silence();
        assert_eq!(discards.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn nobody_else_has_a_say_in_what_is_not_shared() {
        let validity = Validity::default();
        let version = validity.version(SLOT);
        validity.invalidate_all();
        assert!(validity.allows(version, Boot::ZERO, NOW));
        assert_eq!(validity.lease(), Duration::MAX);
    }
}
