//! Active connections that were fetched a moment ago. Knows how long each may be served and when to refresh it; fetches
//! nothing.

use std::time::Duration;

use lru::LruCache;

use crate::core::clock::{Moment, Now};
use crate::core::tokens::entry::CacheEntry;
use crate::core::tokens::key::ConnectionKey;
use crate::core::tokens::lifetime::REFRESH_FROM;
use crate::core::tokens::validity::Validity;

/// How long a token is cached by default: a revoked token is then noticed soon.
pub const DEFAULT_TTL: Duration = Duration::from_secs(60);
pub const DEFAULT_MAX_ENTRIES: usize = 10_000;
/// How much jitter adds at most to [`REFRESH_FROM`].
const REFRESH_JITTER: f64 = 0.15;
/// Minimum time between two refreshes of an entry.
const REFRESH_PAUSE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    pub ttl: Duration,
    pub max_entries: usize,
}

/// Evicts the least recently used entry when it is full.
pub struct Cache {
    entries: LruCache<ConnectionKey, Refreshable>,
    limits: CacheLimits,
    jitter: fn() -> f64,
}

struct Refreshable {
    entry: CacheEntry,
    refresh: Moment,
}

/// A connection that may be served.
pub struct Hit {
    pub entry: CacheEntry,
    /// Time until its end or its refresh, whichever comes first.
    pub valid_for: Duration,
    pub refresh_due: bool,
}

impl Cache {
    /// An empty cache. Takes memory as it fills.
    pub fn new(limits: CacheLimits, jitter: fn() -> f64) -> Self {
        Self { entries: LruCache::unbounded(), limits, jitter }
    }

    /// The connection, unless it has expired or other processes have invalidated it. `Validity` has counted such an
    /// invalidation as a discard.
    pub fn get(&mut self, key: &ConnectionKey, now: Now, validity: &Validity) -> Option<Hit> {
        let Refreshable { entry, refresh } = self.entries.get(key)?;
        let Some(left) = entry.left(now, validity) else {
            self.entries.pop(key);
            return None;
        };
        let until_refresh = refresh.left(now);
        Some(Hit {
            entry: entry.clone(),
            valid_for: until_refresh.map_or(left, |wait| wait.min(left)),
            refresh_due: until_refresh.is_none(),
        })
    }

    /// A refresh begins; the next one is due after [`REFRESH_PAUSE`].
    pub fn note_refresh(&mut self, key: &ConnectionKey, now: Now) {
        if let Some(cached) = self.entries.peek_mut(key) {
            cached.refresh = Moment::after(now, REFRESH_PAUSE);
        }
    }

    /// How long a connection is cached at most.
    pub fn ttl(&self) -> Duration {
        self.limits.ttl
    }

    /// Stores a connection for `life`; other processes have cached it for `age` already. Returns whether another entry
    /// was evicted.
    pub fn put(
        &mut self,
        key: ConnectionKey,
        entry: CacheEntry,
        life: Duration,
        age: Duration,
        now: Now,
    ) -> bool {
        let part = REFRESH_FROM + REFRESH_JITTER * (self.jitter)();
        let refresh = (life + age).mul_f64(part).saturating_sub(age);
        self.entries.put(key, Refreshable { entry, refresh: Moment::after(now, refresh) });
        let is_over = self.entries.len() > self.limits.max_entries;
        if is_over {
            self.entries.pop_lru();
        }
        is_over
    }

    /// Discards a connection; `false` if it was not there.
    pub fn discard(&mut self, key: &ConnectionKey) -> bool {
        self.entries.pop(key).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn token(&self, key: &ConnectionKey) -> Option<&str> {
        self.entries.peek(key).map(|cached| cached.entry.token())
    }

    /// Drops the entries that have expired. Returns the time until the next one does, if any is left.
    pub fn sweep(&mut self, now: Now) -> Option<Duration> {
        let mut next = None::<Duration>;
        self.entries.retain(|_, cached| {
            let left = cached.entry.time_left(now);
            next = next.into_iter().chain(left).min();
            left.is_some()
        });
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::connection::{Connection, ConnectionState, Details};
    use crate::core::secret::Secret;
    use crate::core::tokens::key::OwnerKind;
    use crate::core::tokens::validity::Version;

    const START: Now = Now { wall: 1.7e12, boot: Duration::from_secs(1_000) };
    const LIFE: Duration = Duration::from_secs(60);

    fn at(seconds: f64) -> Now {
        Now { wall: START.wall + seconds * 1e3, boot: START.boot + Duration::from_secs_f64(seconds) }
    }

    fn key(id: &str) -> ConnectionKey {
        ConnectionKey::new(OwnerKind::User, id, "slack").unwrap()
    }

    /// A cache of limited size, with entries that live for a minute.
    struct CacheRig(Cache, Validity);

    impl CacheRig {
        fn new(max_entries: usize) -> Self {
            Self(Cache::new(CacheLimits { ttl: LIFE, max_entries }, || 0.0), Validity::default())
        }

        fn put(&mut self, id: &str) -> bool {
            self.put_aged(id, Duration::ZERO)
        }

        fn put_aged(&mut self, id: &str, age: Duration) -> bool {
            let state =
                ConnectionState::Active { access_token: Secret::new("t".to_owned()), expires_at: None };
            let connection = Connection { state, details: Details::default() };
            let entry = CacheEntry::new(&connection, LIFE, Version::default(), START);
            self.0.put(key(id), entry, LIFE, age, START)
        }

        fn get(&mut self, id: &str, now: Now) -> Option<Hit> {
            self.0.get(&key(id), now, &self.1)
        }
    }

    #[test]
    fn no_token_is_served_past_its_end_by_either_clock() {
        for now in [
            at(60.0),
            Now { wall: START.wall + 60_000.0, ..START },
            Now { wall: START.wall - 3.6e6, boot: START.boot + LIFE },
        ] {
            let mut rig = CacheRig::new(10);
            rig.put("u");
            assert!(rig.get("u", at(59.0)).is_some());
            assert!(rig.get("u", now).is_none(), "{now:?}");
            assert_eq!(rig.0.token(&key("u")), None);
        }
    }

    #[test]
    fn a_refresh_is_due_before_the_end_and_not_again_for_five_seconds() {
        let mut rig = CacheRig::new(10);
        rig.put("u");
        let due = |rig: &mut CacheRig, seconds| rig.get("u", at(seconds)).map(|hit| hit.refresh_due);
        assert_eq!(due(&mut rig, 44.0), Some(false));
        assert_eq!(rig.get("u", at(44.0)).unwrap().valid_for, Duration::from_secs(1));
        assert_eq!(due(&mut rig, 45.0), Some(true));
        rig.0.note_refresh(&key("u"), at(45.0));
        assert_eq!(due(&mut rig, 49.0), Some(false));
        assert_eq!(due(&mut rig, 50.0), Some(true));
        assert_eq!(due(&mut rig, 60.0), None);
    }

    #[test]
    fn a_refresh_is_due_after_a_part_of_the_whole_life_and_some_jitter() {
        for (jitter, age, refresh) in [(0.0, 0, 45), (1.0, 0, 54), (0.0, 20, 40), (1.0, 20, 52)] {
            let mut rig = CacheRig::new(10);
            rig.0.jitter = if jitter == 0.0 { || 0.0 } else { || 1.0 };
            rig.put_aged("u", Duration::from_secs(age));
            let due = |rig: &mut CacheRig, seconds| rig.get("u", at(seconds)).unwrap().refresh_due;
            assert!(!due(&mut rig, f64::from(refresh) - 0.5) && due(&mut rig, f64::from(refresh) + 0.5));
        }
    }

    #[test]
    fn whoever_stores_an_entry_learns_whether_others_were_evicted() {
        let mut rig = CacheRig::new(2);
        assert_eq!(["a", "b", "b", "c", "d"].map(|id| rig.put(id)), [false, false, false, true, true]);
    }

    #[test]
    fn a_hundred_thousand_keys_leave_as_many_entries_as_are_allowed_and_the_least_used_go_first() {
        let mut rig = CacheRig::new(1_000);
        rig.put("kept");
        for number in 0..100_000 {
            rig.put(&number.to_string());
            if number % 500 == 0 {
                assert!(rig.get("kept", START).is_some());
            }
        }
        assert_eq!(rig.0.entries.len(), 1_000);
        assert!(rig.get("99999", START).is_some());
        assert!(rig.get("0", START).is_none());
    }

    #[test]
    fn expired_entries_are_swept_and_the_rest_is_left_for_later() {
        let mut rig = CacheRig::new(10);
        rig.put("u");
        assert_eq!(rig.0.sweep(at(59.0)), Some(Duration::from_secs(1)));
        assert!(!rig.0.is_empty());
        assert_eq!(rig.0.sweep(at(60.0)), None);
        assert!(rig.0.is_empty());
    }
}
