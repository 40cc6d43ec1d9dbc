//! Active connections that were fetched a moment ago. Says how long each may be kept and when to fetch it anew;
//! fetches nothing, and knows nothing of requests under way.

use std::time::Duration;

use lru::LruCache;

use crate::core::clock::{Moment, Now};
use crate::core::connection::Connection;
use crate::core::tokens::kept::Kept;
use crate::core::tokens::key::Key;
use crate::core::tokens::lifetime::REFRESH_FROM;
use crate::core::tokens::validity::Validity;

/// How long a token is kept unless an option says otherwise: a token that was revoked is then noticed soon.
pub const DEFAULT_TTL: Duration = Duration::from_secs(60);
/// How many tokens are kept unless an option says otherwise.
pub const DEFAULT_MAX_ENTRIES: usize = 10_000;
/// How much jitter adds to the part of a life after which an entry is fetched anew.
const REFRESH_JITTER: f64 = 0.15;
/// An entry is not fetched anew more often than this.
const REFRESH_PAUSE: Duration = Duration::from_secs(5);

/// The cache's limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub ttl: Duration,
    pub max_entries: usize,
}

/// Least recently used out.
#[derive(Debug)]
pub struct Cache {
    entries: LruCache<Key, Entry>,
    limits: Limits,
    jitter: fn() -> f64,
}

#[derive(Debug)]
struct Entry {
    kept: Kept,
    refresh: Moment,
}

/// A connection that may be used.
#[derive(Debug)]
pub struct Hit {
    pub connection: Connection,
    /// Until something has to be decided anew: the end, or the time to fetch it anew.
    pub valid_for: Duration,
    /// Whether it is time to fetch it anew.
    pub refresh_due: bool,
}

impl Cache {
    /// An empty cache. Takes memory as it fills.
    pub fn new(limits: Limits, jitter: fn() -> f64) -> Self {
        Self { entries: LruCache::unbounded(), limits, jitter }
    }

    /// The connection, unless it has ended or others have invalidated it. Who invalidates it counts it as discarded.
    pub fn get(&mut self, key: &Key, now: Now, validity: &Validity) -> Option<Hit> {
        let entry = self.entries.get(key)?;
        let Some(left) = entry.kept.left(now, validity) else {
            self.entries.pop(key);
            return None;
        };
        let until_refresh = entry.refresh.left(now);
        Some(Hit {
            connection: entry.kept.connection(),
            valid_for: until_refresh.map_or(left, |wait| wait.min(left)),
            refresh_due: until_refresh.is_none(),
        })
    }

    /// Notes that a connection is being fetched anew, so that the next attempt waits its turn.
    pub fn refreshing(&mut self, key: &Key, now: Now) {
        if let Some(entry) = self.entries.peek_mut(key) {
            entry.refresh = Moment::after(now, REFRESH_PAUSE);
        }
    }

    /// How long a connection is kept, unless others say less.
    pub fn ttl(&self) -> Duration {
        self.limits.ttl
    }

    /// Keeps a connection for the rest of its life, of which it has spent some elsewhere. `true` if others were evicted.
    pub fn put(&mut self, key: Key, kept: Kept, life: Duration, age: Duration, now: Now) -> bool {
        let part = REFRESH_FROM + REFRESH_JITTER * (self.jitter)();
        let refresh = (life + age).mul_f64(part).saturating_sub(age);
        self.entries.put(key, Entry { kept, refresh: Moment::after(now, refresh) });
        let is_over = self.entries.len() > self.limits.max_entries;
        while self.entries.len() > self.limits.max_entries {
            self.entries.pop_lru();
        }
        is_over
    }

    /// Discards a connection; `false` if none was kept.
    pub fn evict(&mut self, key: &Key) -> bool {
        self.entries.pop(key).is_some()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The token that is kept.
    pub fn token(&self, key: &Key) -> Option<&str> {
        self.entries.peek(key).map(|entry| entry.kept.token())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::connection::{PackedDetails, State};
    use crate::core::secret::Secret;
    use crate::core::tokens::key::OwnerKind;
    use crate::core::tokens::validity::Version;

    const START: Now = Now { wall: 1.7e12, boot: Duration::from_secs(1_000) };
    const LIFE: Duration = Duration::from_secs(60);

    fn at(seconds: f64) -> Now {
        Now { wall: START.wall + seconds * 1e3, boot: START.boot + Duration::from_secs_f64(seconds) }
    }

    fn key(id: &str) -> Key {
        Key::new(OwnerKind::User, id, "slack").unwrap()
    }

    /// A cache with room for so many entries, which keeps whatever is put for a minute.
    struct Rig(Cache, Validity);

    impl Rig {
        fn new(max_entries: usize) -> Self {
            Self(Cache::new(Limits { ttl: LIFE, max_entries }, || 0.0), Validity::default())
        }

        fn put(&mut self, id: &str) {
            let state = State::Active { access_token: Secret::new("t".to_owned()), expires_at: None };
            let connection = Connection { state, details: PackedDetails::default() };
            let kept = Kept::new(&connection, LIFE, Version::default(), START);
            self.0.put(key(id), kept, LIFE, Duration::ZERO, START);
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
            let mut rig = Rig::new(10);
            rig.put("u");
            assert!(rig.get("u", at(59.0)).is_some());
            assert!(rig.get("u", now).is_none(), "{now:?}");
            assert_eq!(rig.0.token(&key("u")), None);
        }
    }

    #[test]
    fn a_refresh_is_due_before_the_end_and_not_again_for_five_seconds() {
        let mut rig = Rig::new(10);
        rig.put("u");
        let due = |rig: &mut Rig, seconds| rig.get("u", at(seconds)).map(|hit| hit.refresh_due);
        assert_eq!(due(&mut rig, 44.0), Some(false));
        assert_eq!(rig.get("u", at(44.0)).unwrap().valid_for, Duration::from_secs(1));
        assert_eq!(due(&mut rig, 45.0), Some(true));
        rig.0.refreshing(&key("u"), at(45.0));
        assert_eq!(due(&mut rig, 49.0), Some(false));
        assert_eq!(due(&mut rig, 50.0), Some(true));
        assert_eq!(due(&mut rig, 60.0), None);
    }

    #[test]
    fn a_million_keys_leave_as_many_entries_as_are_allowed_and_the_least_used_go_first() {
        let mut rig = Rig::new(1_000);
        rig.put("kept");
        for number in 0..1_000_000 {
            rig.put(&number.to_string());
            if number % 500 == 0 {
                assert!(rig.get("kept", START).is_some());
            }
        }
        assert_eq!(rig.0.entries.len(), 1_000);
        assert!(rig.get("999999", START).is_some());
        assert!(rig.get("0", START).is_none());
    }
}
