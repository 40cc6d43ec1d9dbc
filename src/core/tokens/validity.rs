//! Whether a cached connection may still be served, as far as other processes decide that.
//!
//! The fleet writes here what it receives from them; the cache only reads. Invalidations are counted by slot, so that
//! nobody keeps a list of names. The few connections that share a slot are fetched anew, which does no harm.

use std::sync::Arc;
use std::time::Duration;

use crate::core::sync::{AtomicU32, AtomicU64, Ordering, SharedCounter};

/// How long the subscription counts as alive after we sent the heartbeat that arrived last.
const HEARTBEAT_LIFE: Duration = Duration::from_millis(600);
/// How long a connection may be served, and its fetch be joined, after the fetch began, while there is no subscription.
const DISCONNECTED_LIFE: Duration = Duration::from_millis(500);
/// The longest that JavaScript serves a token without another native call. Together with `HEARTBEAT_LIFE` it is less
/// than the second within which we promise that an invalidation takes effect.
const LONGEST_LEASE: Duration = Duration::from_millis(300);
const SLOTS: usize = 4096;
/// Bits that record which names this process asked for: 128 KiB. After 10,000 names, one in a hundred unknown ones
/// passes for known.
const KNOWN_BITS: usize = 1 << 20;

/// A part of a connection's name, which few names share.
pub type NamePrefix = u32;

/// Time since a fixed moment, by the clock that does not stop during suspension.
type Boot = Duration;

/// The version of a connection when a fetch of it begins. It changes with each invalidation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Version {
    prefix: NamePrefix,
    /// Wraps around after four billion, which no token lives to see.
    number: u32,
    /// When the fetch begins.
    since_micros: u64,
}

/// The invalidations of other processes, where processes share tokens; and the count of discarded tokens.
#[derive(Debug, Default)]
pub struct Validity {
    shared: Option<Invalidations>,
    discards: Arc<SharedCounter>,
}

#[derive(Debug)]
struct Invalidations {
    invalidations: Box<[AtomicU32]>,
    invalidations_of_all: AtomicU32,
    /// The names that this process asked for since everything was invalidated, as bits.
    known: Box<[AtomicU64]>,
    /// Microseconds; 0 for never.
    heartbeat: AtomicU64,
}

impl Validity {
    /// For a process that shares tokens with others, before it has subscribed.
    pub fn shared() -> Self {
        Self::with_sizes(SLOTS, KNOWN_BITS)
    }

    /// As `shared`, for few names: every bit costs a schedule of threads a step.
    #[cfg(test)]
    pub fn shared_by_few() -> Self {
        Self::with_sizes(16, 64)
    }

    fn with_sizes(slots: usize, known_bits: usize) -> Self {
        let shared = Invalidations {
            invalidations: (0..slots).map(|_| AtomicU32::new(0)).collect(),
            invalidations_of_all: AtomicU32::new(0),
            known: (0..known_bits / 64).map(|_| AtomicU64::new(0)).collect(),
            heartbeat: AtomicU64::new(0),
        };
        Self { shared: Some(shared), discards: Arc::default() }
    }

    /// The count of discarded tokens, see `Client::discards`.
    pub fn discards(&self) -> Arc<SharedCounter> {
        Arc::clone(&self.discards)
    }

    /// Counts one discarded token.
    pub fn count_discard(&self) {
        self.discards.fetch_add(1, Ordering::AcqRel);
    }

    /// The version of a connection that this process is about to fetch.
    pub fn version(&self, prefix: NamePrefix, now: Boot) -> Version {
        let since_micros = micros(now);
        let Some(shared) = &self.shared else { return Version { prefix, number: 0, since_micros } };
        // In this order, so that `invalidate_all` on another thread either makes the number outdated or leaves the bit.
        let number = shared.number(prefix);
        let (word, bit) = shared.known(prefix);
        word.fetch_or(bit, Ordering::AcqRel);
        Version { prefix, number, since_micros }
    }

    /// Whether nothing was invalidated since.
    pub fn is_current(&self, version: Version) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.number(version.prefix) == version.number)
    }

    /// Whether calls may be served what the fetch of this version brings: nothing was invalidated since, as far as this process
    /// could hear of it.
    pub fn may_serve(&self, version: Version, now: Boot) -> bool {
        let age = now.saturating_sub(Duration::from_micros(version.since_micros));
        self.is_current(version) && (self.is_connected(now) || age < DISCONNECTED_LIFE)
    }

    /// The longest that JavaScript may serve a token without another native call.
    pub fn longest_lease(&self) -> Duration {
        if self.shared.is_some() { LONGEST_LEASE } else { Duration::MAX }
    }

    /// A heartbeat has arrived that we sent at that moment.
    pub fn heartbeat(&self, asked: Boot) {
        if let Some(Invalidations { heartbeat, .. }) = &self.shared {
            heartbeat.store(micros(asked).max(1), Ordering::Release);
        }
    }

    /// The subscription is lost.
    pub fn mark_disconnected(&self) {
        if let Some(Invalidations { heartbeat, .. }) = &self.shared {
            heartbeat.store(0, Ordering::Release);
            self.count_discard();
        }
    }

    /// A connection was invalidated. Names that this process never asked for change nothing, as anybody can invent some.
    pub fn invalidate(&self, prefix: NamePrefix) {
        let Some(shared) = &self.shared else { return };
        let (word, bit) = shared.known(prefix);
        if word.load(Ordering::Acquire) & bit != 0 {
            shared.slot(prefix).fetch_add(1, Ordering::AcqRel);
            self.count_discard();
        }
    }

    /// Everything that was fetched until now was invalidated, or may have been while there was no subscription.
    pub fn invalidate_all(&self) {
        if let Some(Invalidations { invalidations_of_all, known, .. }) = &self.shared {
            known.iter().for_each(|word| word.store(0, Ordering::Release));
            invalidations_of_all.fetch_add(1, Ordering::AcqRel);
            self.count_discard();
        }
    }

    fn is_connected(&self, now: Boot) -> bool {
        let Some(Invalidations { heartbeat, .. }) = &self.shared else { return true };
        let heartbeat = heartbeat.load(Ordering::Acquire);
        heartbeat != 0 && now.saturating_sub(Duration::from_micros(heartbeat)) < HEARTBEAT_LIFE
    }
}

fn micros(boot: Boot) -> u64 {
    u64::try_from(boot.as_micros()).unwrap_or(u64::MAX)
}

impl Invalidations {
    fn slot(&self, prefix: NamePrefix) -> &AtomicU32 {
        &self.invalidations[prefix as usize % self.invalidations.len()]
    }

    fn known(&self, prefix: NamePrefix) -> (&AtomicU64, u64) {
        let index = prefix as usize / self.invalidations.len() % (64 * self.known.len());
        (&self.known[index / 64], 1 << (index % 64))
    }

    fn number(&self, prefix: NamePrefix) -> u32 {
        let of_slot = self.slot(prefix).load(Ordering::Acquire);
        of_slot.wrapping_add(self.invalidations_of_all.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Boot = Duration::from_secs(100);
    const SLOT: NamePrefix = 7;

    #[test]
    fn what_was_invalidated_since_is_not_handed_out() {
        let validity = Validity::shared();
        validity.heartbeat(NOW);
        let versions = (validity.version(SLOT, NOW), validity.version(8, NOW));
        let allowed = || (validity.may_serve(versions.0, NOW), validity.may_serve(versions.1, NOW));
        assert_eq!(allowed(), (true, true));
        validity.invalidate(SLOT);
        assert_eq!(allowed(), (false, true));
        assert!(validity.may_serve(validity.version(SLOT, NOW), NOW));
        validity.invalidate_all();
        assert_eq!(allowed(), (false, false));
    }

    #[test]
    fn without_a_heartbeat_a_second_is_the_longest_that_anything_lasts() {
        let validity = Validity::shared();
        let version = validity.version(SLOT, NOW);
        let after = |millis| NOW + Duration::from_millis(millis);
        assert!(validity.may_serve(version, after(499)) && !validity.may_serve(version, after(500)));
        validity.heartbeat(NOW);
        let old = validity.version(SLOT, Boot::ZERO);
        let allows = |now| validity.may_serve(old, now);
        assert!(allows(after(599)) && !allows(after(600)));
        validity.mark_disconnected();
        assert!(!allows(NOW));
        assert!(HEARTBEAT_LIFE.max(DISCONNECTED_LIFE) + LONGEST_LEASE < Duration::from_secs(1));
    }

    #[test]
    fn what_others_invalidate_and_a_lost_subscription_are_counted() {
        let validity = Validity::shared();
        let discards = validity.discards();
        validity.invalidate(SLOT);
        assert_eq!(discards.load(Ordering::Relaxed), 0, "nobody asked for it");
        validity.version(SLOT, NOW);
        validity.invalidate(SLOT);
        validity.invalidate_all();
        validity.mark_disconnected();
        assert_eq!(discards.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn names_that_were_never_asked_for_invalidate_nothing() {
        let validity = Validity::shared();
        let known: Vec<NamePrefix> = (0..1_000).map(|number| number * 0x0040_1001).collect();
        let versions: Vec<_> = known.iter().map(|prefix| validity.version(*prefix, NOW)).collect();
        for invented in (0..100_000).map(|number: NamePrefix| number.wrapping_mul(0x9e37_79b1)) {
            validity.invalidate(invented);
        }
        let outdated = versions.iter().filter(|version| !validity.is_current(**version)).count();
        assert!(outdated <= 100, "{outdated} of 1,000");
        validity.invalidate_all();
        assert!(!versions.iter().any(|version| validity.is_current(*version)));
        let version = validity.version(known[0], NOW);
        validity.invalidate(known[0]);
        assert!(!validity.is_current(version), "asked for again");
        for prefix in known {
            let version = validity.version(prefix, NOW);
            validity.invalidate(prefix);
            assert!(!validity.is_current(version), "{prefix}");
        }
    }

    #[test]
    fn the_names_that_were_asked_for_take_128_kib() {
        let shared = Validity::shared().shared.unwrap();
        assert_eq!(size_of_val(&*shared.known), 128 << 10);
    }

    #[test]
    fn nobody_else_has_a_say_in_what_is_not_shared() {
        let validity = Validity::default();
        let version = validity.version(SLOT, NOW);
        validity.invalidate_all();
        assert!(validity.may_serve(version, NOW));
        assert_eq!(validity.longest_lease(), Duration::MAX);
    }
}
