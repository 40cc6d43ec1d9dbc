//! Active connections that were fetched a moment ago. Says how long each may be kept and when to fetch it anew;
//! fetches nothing, and knows nothing of requests under way.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lru::LruCache;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::core::clock::{Moment, Now};
use crate::core::connection::{Connection, EpochMillis, State};
use crate::core::error::Error;
use crate::core::fleet::Mark;
use crate::core::json::Object;
use crate::core::platform::endpoint::{OwnerKind, Segment};

/// How long a token is kept unless an option says otherwise: a token that was revoked is then noticed soon.
pub const DEFAULT_TTL: Duration = Duration::from_secs(60);
/// How many tokens are kept unless an option says otherwise.
pub const DEFAULT_MAX_ENTRIES: usize = 10_000;
/// A token is not kept to its very end, since whoever got it still has to use it: this much stays free, or a fifth
/// of what is left where that is less.
const EXPIRY_BUFFER: Duration = Duration::from_secs(60);
/// The part of an entry's life after which it is fetched anew, at the least, and how much jitter adds to it.
pub const REFRESH_FROM: f64 = 0.75;
const REFRESH_JITTER: f64 = 0.15;
/// An entry is not fetched anew more often than this.
const REFRESH_PAUSE: Duration = Duration::from_secs(5);

/// What names a connection: two different ones never share anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub kind: OwnerKind,
    pub id: Segment,
    pub slug: Segment,
}

impl Key {
    /// Accepts what can go on the wire.
    pub fn new(kind: OwnerKind, id: &str, slug: &str) -> Result<Self, Error> {
        Ok(Self { kind, id: Segment::new(id, kind.id_name())?, slug: Segment::new(slug, "slug")? })
    }
}

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
    connection: Arc<Connection>,
    end: Moment,
    refresh: Moment,
    shared: Option<(Mark, Duration)>,
}

/// What is known of a connection that a fleet shares.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// What had been dropped when its fetch began.
    pub mark: Mark,
    /// How long it was kept by others already, and how long it may be kept yet.
    pub age: Duration,
    pub left: Duration,
}

/// A connection that may be used.
#[derive(Debug)]
pub struct Hit {
    pub connection: Arc<Connection>,
    /// Until something has to be decided anew: the end, or the time to fetch it anew.
    pub valid_for: Duration,
    /// Whether it is time to fetch it anew.
    pub refresh_due: bool,
    /// The mark of a shared one, and when it came, by the clock that runs on during suspension.
    pub shared: Option<(Mark, Duration)>,
}

impl Cache {
    /// An empty cache. Takes memory as it fills.
    pub fn new(limits: Limits, jitter: fn() -> f64) -> Self {
        Self { entries: LruCache::unbounded(), limits, jitter }
    }

    /// The connection, unless it has ended.
    pub fn get(&mut self, key: &Key, now: Now) -> Option<Hit> {
        let entry = self.entries.get(key)?;
        let Some(left) = entry.end.left(now) else {
            self.entries.pop(key);
            return None;
        };
        let until_refresh = entry.refresh.left(now);
        Some(Hit {
            connection: Arc::clone(&entry.connection),
            valid_for: until_refresh.map_or(left, |wait| wait.min(left)),
            refresh_due: until_refresh.is_none(),
            shared: entry.shared,
        })
    }

    /// Notes that a connection is being fetched anew, so that the next attempt waits its turn.
    pub fn refreshing(&mut self, key: &Key, now: Now) {
        if let Some(entry) = self.entries.peek_mut(key) {
            entry.refresh = Moment::after(now, REFRESH_PAUSE);
        }
    }

    /// Keeps a connection if it is active and has life left; otherwise drops the one that was kept.
    pub fn put(&mut self, key: Key, connection: &Arc<Connection>, shared: Option<Shared>, now: Now) {
        let (age, most) = shared.map_or((Duration::ZERO, Duration::MAX), |shared| (shared.age, shared.left));
        let Some(left) = lifetime(connection, self.limits.ttl, now).map(|left| left.min(most)) else {
            self.evict(&key);
            return;
        };
        let part = REFRESH_FROM + REFRESH_JITTER * (self.jitter)();
        let refresh = (left + age).mul_f64(part).saturating_sub(age);
        self.entries.put(
            key,
            Entry {
                connection: Arc::clone(connection),
                end: Moment::after(now, left),
                refresh: Moment::after(now, refresh),
                shared: shared.map(|shared| (shared.mark, now.boot)),
            },
        );
        while self.entries.len() > self.limits.max_entries {
            self.entries.pop_lru();
        }
    }

    /// Drops a connection.
    pub fn evict(&mut self, key: &Key) {
        self.entries.pop(key);
    }

    /// The token that is kept.
    pub fn token(&self, key: &Key) -> Option<&str> {
        self.entries.peek(key).and_then(|entry| entry.connection.token())
    }
}

/// How long a connection may be kept: the shortest of the limit and the time to its end. `None` if there is no time
/// left, or no token.
pub fn lifetime(connection: &Connection, ttl: Duration, now: Now) -> Option<Duration> {
    let State::Active { access_token, expires_at } = &connection.state else { return None };
    let end = [*expires_at, jwt_expiry(access_token.expose())].into_iter().flatten().reduce(f64::min);
    let Some(end) = end else { return Some(ttl) };
    let left = Duration::try_from_secs_f64((end - now.wall) / 1e3).ok()?;
    let lifetime = ttl.min(left - EXPIRY_BUFFER.min(left / 5));
    (!lifetime.is_zero()).then_some(lifetime)
}

/// The `exp` of a JSON Web Token (RFC 7519), unverified: it can only shorten a life.
fn jwt_expiry(token: &str) -> Option<EpochMillis> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?);
    serde_json::from_slice::<Object<Claims>>(&claims).ok().map(|Object(claims)| claims.exp * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::connection::{Details, Unavailable};
    use crate::core::secret::Secret;

    const START: Now = Now { wall: 1.7e12, boot: Duration::from_secs(1_000) };

    fn at(seconds: f64) -> Now {
        Now { wall: START.wall + seconds * 1e3, boot: START.boot + Duration::from_secs_f64(seconds) }
    }

    fn key(id: &str) -> Key {
        Key::new(OwnerKind::User, id, "slack").unwrap()
    }

    fn active(token: &str, seconds_left: Option<f64>) -> Arc<Connection> {
        Arc::new(Connection {
            state: State::Active {
                access_token: Secret::new(token.to_owned()),
                expires_at: seconds_left.map(|seconds| START.wall + seconds * 1e3),
            },
            details: Details::default(),
        })
    }

    fn cache(ttl: u64, max_entries: usize) -> Cache {
        Cache::new(Limits { ttl: Duration::from_secs(ttl), max_entries }, || 0.0)
    }

    /// Seconds that the cache keeps a connection.
    fn kept(ttl: u64, connection: &Arc<Connection>) -> f64 {
        let mut cache = cache(ttl, 10);
        cache.put(key("u"), connection, None, START);
        let lasts = |seconds: f64| {
            let end = cache.entries.peek(&key("u")).map(|entry| entry.end);
            end.and_then(|end| end.left(at(seconds))).is_some()
        };
        (0..100_000).map(|step| f64::from(step) * 0.5).find(|seconds| !lasts(*seconds)).unwrap()
    }

    #[test]
    fn a_life_is_the_shortest_of_ttl_and_expiry_less_the_buffer() {
        assert_eq!(kept(60, &active("t", None)), 60.0);
        assert_eq!(kept(60, &active("t", Some(3600.0))), 60.0);
        assert_eq!(kept(7200, &active("t", Some(3600.0))), 3540.0);
        assert_eq!(kept(7200, &active("t", Some(100.0))), 80.0);
        assert_eq!(kept(7200, &active("t", Some(10.0))), 8.0);
        assert_eq!(kept(7200, &active("t", Some(0.0))), 0.0);
        assert_eq!(kept(7200, &active("t", Some(-5.0))), 0.0);
    }

    #[test]
    fn a_jwt_s_own_expiry_counts_too() {
        let jwt = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        let exp = START.wall / 1e3 + 100.0;
        assert_eq!(kept(7200, &active(&jwt(&format!(r#"{{"exp":{exp},"sub":"x"}}"#)), Some(3600.0))), 80.0);
        for no_jwt in
            [jwt("{}"), jwt("[1]"), jwt(r#"{"exp":"soon"}"#), "a.b".to_owned(), "a.b.c.d".to_owned()]
        {
            assert_eq!(kept(60, &active(&no_jwt, None)), 60.0, "{no_jwt}");
        }
    }

    #[test]
    fn no_token_is_served_past_its_end_by_either_clock() {
        for now in [
            at(60.0),
            Now { wall: START.wall + 60_000.0, ..START },
            Now { wall: START.wall - 3.6e6, boot: START.boot + Duration::from_secs(60) },
        ] {
            let mut cache = cache(60, 10);
            cache.put(key("u"), &active("t", None), None, START);
            assert!(cache.get(&key("u"), at(59.0)).is_some());
            assert!(cache.get(&key("u"), now).is_none(), "{now:?}");
            assert_eq!(cache.token(&key("u")), None);
        }
    }

    #[test]
    fn a_refresh_is_due_before_the_end_and_not_again_for_five_seconds() {
        let mut cache = cache(60, 10);
        cache.put(key("u"), &active("t", None), None, START);
        let due = |cache: &mut Cache, seconds| cache.get(&key("u"), at(seconds)).map(|hit| hit.refresh_due);
        assert_eq!(due(&mut cache, 44.0), Some(false));
        assert_eq!(cache.get(&key("u"), at(44.0)).unwrap().valid_for, Duration::from_secs(1));
        assert_eq!(due(&mut cache, 45.0), Some(true));
        cache.refreshing(&key("u"), at(45.0));
        assert_eq!(due(&mut cache, 49.0), Some(false));
        assert_eq!(due(&mut cache, 50.0), Some(true));
        assert_eq!(due(&mut cache, 60.0), None);
    }

    #[test]
    fn only_active_connections_are_kept_and_others_evict() {
        let mut cache = cache(60, 10);
        cache.put(key("u"), &active("t", None), None, START);
        let unavailable = Arc::new(Connection {
            state: State::Unavailable { reason: Unavailable::Pending, error_code: None, error_message: None },
            details: Details::default(),
        });
        cache.put(key("u"), &unavailable, None, START);
        assert!(cache.get(&key("u"), START).is_none());
    }

    #[test]
    fn a_million_keys_leave_as_many_entries_as_are_allowed_and_the_least_used_go_first() {
        let mut cache = cache(60, 1_000);
        let connection = active("t", None);
        cache.put(key("kept"), &connection, None, START);
        for number in 0..1_000_000 {
            cache.put(key(&number.to_string()), &connection, None, START);
            if number % 500 == 0 {
                assert!(cache.get(&key("kept"), START).is_some());
            }
        }
        assert_eq!(cache.entries.len(), 1_000);
        assert!(cache.get(&key("999999"), START).is_some());
        assert!(cache.get(&key("0"), START).is_none());
    }
}
