//! Which tokens services rejected, and which tokens replaced them: all callers that hold the same rejected token share
//! one fetch.
//!
//! Fetch numbers only grow, which shows whether a fetch began before a rejection: the token of such a fetch replaces
//! none.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use crate::core::clock::Now;
use crate::core::secret::Secret;
use crate::core::tokens::entry::CacheEntry;
use crate::core::tokens::key::ConnectionKey;

/// How long a rejection is remembered after the fetch that followed it. The calls of one burst report a rejection over
/// some seconds, and a late report must not cause another request.
pub const REJECTION_RETENTION: Duration = Duration::from_secs(5);
/// Connections of which rejected tokens are remembered.
const MAX_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");
/// Tokens of one connection that are remembered: a group's calls may hold those of several members.
const MAX_TOKENS: usize = 16;

/// Numbers the fetches of a client in the order in which they begin.
pub type FetchNumber = u64;

/// The tokens that were rejected recently, by connection.
pub struct Replacements(LruCache<ConnectionKey, Vec<RejectedToken>>);

struct RejectedToken {
    token: Secret,
    /// The last fetch that had begun when the token was rejected.
    after: FetchNumber,
    /// `None` until a fetch has followed.
    replacement: Option<CacheEntry>,
    /// When the rejection is forgotten, by the clock that does not stop during suspension; `None` while the first fetch
    /// after it is in flight.
    forgotten_at: Option<Duration>,
}

impl Replacements {
    pub fn new() -> Self {
        Self(LruCache::new(MAX_CONNECTIONS))
    }

    /// A service rejected a token, which replaces no other from now on. Does nothing if the rejection is known.
    pub fn reject(&mut self, key: &ConnectionKey, token: &str, last: FetchNumber, now: Now) {
        let rejections = self.0.get_or_insert_mut(key.clone(), Vec::new);
        rejections.retain(|rejection| !rejection.has_expired(now));
        if find(rejections, token).is_some() {
            return;
        }
        for rejection in rejections.iter_mut() {
            if rejection.replacement.as_ref().map(CacheEntry::token) == Some(token) {
                rejection.reset(last, now);
            }
        }
        if rejections.len() == MAX_TOKENS {
            rejections.remove(0);
        }
        let token = Secret::new(token.to_owned());
        let forgotten_at = retained_from(now);
        rejections.push(RejectedToken { token, after: last, replacement: None, forgotten_at });
    }

    /// The replacement of a rejected token: the same token once more if the platform has no other. `None` before a fetch
    /// has ended.
    pub fn replacement(&self, key: &ConnectionKey, token: &str, now: Now) -> Option<&CacheEntry> {
        self.find(key, token, now)?.replacement.as_ref()
    }

    /// Whether a service is known to have rejected this token.
    pub fn is_rejected(&self, key: &ConnectionKey, token: &str, now: Now) -> bool {
        self.find(key, token, now).is_some()
    }

    /// A fetch begins: rejections that are remembered now stay so until it ends.
    pub fn begin(&mut self, key: &ConnectionKey, now: Now) {
        for rejection in self.of(key) {
            if rejection.replacement.is_none() && !rejection.has_expired(now) {
                rejection.forgotten_at = None;
            }
        }
    }

    /// A fetch has brought a token, which replaces those that were rejected before it began. A token that was itself rejected
    /// after the fetch began replaces none.
    pub fn replace(
        &mut self,
        key: &ConnectionKey,
        fetch: FetchNumber,
        now: Now,
        entry: impl FnOnce() -> CacheEntry,
    ) {
        let Some(rejections) = self.0.peek_mut(key) else { return };
        rejections.retain(|rejection| !rejection.has_expired(now));
        let entry = entry();
        let token = entry.token();
        if find(rejections, token).is_some_and(|rejection| rejection.after >= fetch) {
            return;
        }
        for rejection in rejections.iter_mut().filter(|rejection| rejection.after < fetch) {
            if rejection.replacement.is_none() {
                rejection.forgotten_at = retained_from(now);
            }
            // The platform may return the tokens of a group's members in turn. Another member's token is better than
            // the rejected one.
            if rejection.replacement.is_none() || rejection.token.expose() != token {
                rejection.replacement = Some(entry.clone());
            }
        }
    }

    /// The last fetch of a connection has ended; some rejections may still have no replacement.
    pub fn end(&mut self, key: &ConnectionKey, now: Now) {
        for rejection in self.of(key) {
            rejection.forgotten_at = rejection.forgotten_at.or(retained_from(now));
        }
    }

    /// The connection was invalidated: a token that was fetched before replaces no other.
    pub fn invalidate(&mut self, key: &ConnectionKey, last: FetchNumber, now: Now) {
        for rejection in self.of(key) {
            rejection.reset(last, now);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets the rejections whose time has passed. Returns the time until the next one is forgotten; `None` if none
    /// is left.
    pub fn sweep(&mut self, now: Now) -> Option<Duration> {
        let mut next = None::<Duration>;
        self.0.retain(|_, rejections| {
            rejections.retain(|rejection| !rejection.has_expired(now));
            let left = rejections.iter().map(|it| it.left(now).unwrap_or(REJECTION_RETENTION)).min();
            next = next.into_iter().chain(left).min();
            left.is_some()
        });
        next
    }

    fn find(&self, key: &ConnectionKey, token: &str, now: Now) -> Option<&RejectedToken> {
        find(self.0.peek(key)?, token).filter(|rejection| !rejection.has_expired(now))
    }

    fn of(&mut self, key: &ConnectionKey) -> impl Iterator<Item = &mut RejectedToken> {
        self.0.peek_mut(key).into_iter().flatten()
    }
}

impl RejectedToken {
    /// No token that was fetched until now replaces this one.
    fn reset(&mut self, last: FetchNumber, now: Now) {
        (self.after, self.replacement) = (last, None);
        self.forgotten_at = self.forgotten_at.and(retained_from(now));
    }

    /// Time until the rejection is forgotten; `None` while a fetch is in flight.
    fn left(&self, now: Now) -> Option<Duration> {
        self.forgotten_at.map(|at| at.saturating_sub(now.boot))
    }

    fn has_expired(&self, now: Now) -> bool {
        self.left(now) == Some(Duration::ZERO)
    }
}

fn retained_from(now: Now) -> Option<Duration> {
    Some(now.boot + REJECTION_RETENTION)
}

fn find<'a>(rejections: &'a [RejectedToken], token: &str) -> Option<&'a RejectedToken> {
    rejections.iter().find(|rejection| rejection.token.expose() == token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::connection::{Connection, ConnectionState, Details};
    use crate::core::tokens::key::OwnerKind;
    use crate::core::tokens::validity::Version;

    const NOW: Now = Now { wall: 1.7e12, boot: Duration::from_secs(1_000) };

    fn entry(token: &str) -> CacheEntry {
        let state = ConnectionState::Active { access_token: Secret::new(token.to_owned()), expires_at: None };
        let connection = Connection { state, details: Details::default() };
        CacheEntry::new(&connection, REJECTION_RETENTION, Version::default(), NOW)
    }

    fn replacement(replacements: &Replacements, token: &str) -> Option<String> {
        let entry = replacements.replacement(&key(0), token, NOW)?;
        Some(entry.token().to_owned())
    }

    /// The two tokens of a group, by turns.
    #[test]
    fn a_token_that_was_rejected_since_replaces_no_other() {
        let mut replacements = Replacements::new();
        replacements.reject(&key(0), "a", 1, NOW);
        replacements.replace(&key(0), 2, NOW, || entry("b"));
        assert_eq!(replacement(&replacements, "a").as_deref(), Some("b"));
        replacements.reject(&key(0), "b", 3, NOW);
        assert_eq!(replacement(&replacements, "a"), None, "it was rejected after it came");
        replacements.replace(&key(0), 3, NOW, || entry("b"));
        assert_eq!(replacement(&replacements, "a"), None, "it was rejected while it was under way");
        replacements.replace(&key(0), 4, NOW, || entry("a"));
        assert_eq!(replacement(&replacements, "a").as_deref(), Some("a"), "the platform has no better one");
        assert_eq!(replacement(&replacements, "b").as_deref(), Some("a"));
        replacements.replace(&key(0), 5, NOW, || entry("b"));
        assert_eq!(replacement(&replacements, "a").as_deref(), Some("b"));
    }

    #[test]
    fn a_fetch_that_had_begun_before_a_rejection_replaces_nothing() {
        let mut replacements = Replacements::new();
        replacements.reject(&key(0), "a", 1, NOW);
        replacements.replace(&key(0), 1, NOW, || entry("b"));
        assert_eq!(replacement(&replacements, "a"), None);
    }

    #[test]
    fn a_rejection_is_remembered_anew_when_its_replacement_is_rejected() {
        let mut replacements = Replacements::new();
        replacements.reject(&key(0), "a", 1, NOW);
        replacements.replace(&key(0), 2, NOW, || entry("b"));
        replacements.reject(&key(0), "b", 2, after(4));
        assert!(replacements.is_rejected(&key(0), "a", after(8)));
        assert!(!replacements.is_rejected(&key(0), "a", after(9)));
    }

    fn key(number: usize) -> ConnectionKey {
        ConnectionKey::new(OwnerKind::User, &number.to_string(), "slack").unwrap()
    }

    #[test]
    fn a_thousand_connections_are_remembered_and_the_latest_tokens_of_each() {
        let mut replacements = Replacements::new();
        for number in 0..=MAX_CONNECTIONS.get() {
            replacements.reject(&key(number), "a", 1, NOW);
        }
        let is_rejected =
            |replacements: &Replacements, number, token| replacements.is_rejected(&key(number), token, NOW);
        assert!(!is_rejected(&replacements, 0, "a") && is_rejected(&replacements, 1, "a"));
        for number in 0..=MAX_TOKENS {
            replacements.reject(&key(0), &number.to_string(), 1, NOW);
        }
        assert!(!is_rejected(&replacements, 0, "0") && is_rejected(&replacements, 0, "1"));
    }

    fn after(seconds: u64) -> Now {
        Now { boot: NOW.boot + Duration::from_secs(seconds), ..NOW }
    }

    #[test]
    fn a_rejection_is_forgotten_five_seconds_after_the_fetch_that_followed_it_whoever_fetches_meanwhile() {
        let mut replacements = Replacements::new();
        replacements.reject(&key(0), "a", 1, NOW);
        replacements.begin(&key(0), after(4));
        assert!(replacements.is_rejected(&key(0), "a", after(100)), "a fetch is in flight");
        replacements.end(&key(0), after(100));
        replacements.begin(&key(0), after(104));
        replacements.replace(&key(0), 3, after(104), || entry("a"));
        replacements.end(&key(0), after(104));
        for seconds in 104..109 {
            assert!(replacements.is_rejected(&key(0), "a", after(seconds)));
            replacements.begin(&key(0), after(seconds));
            replacements.replace(&key(0), 4, after(seconds), || entry("a"));
            replacements.end(&key(0), after(seconds));
        }
        assert!(!replacements.is_rejected(&key(0), "a", after(109)));
        assert!(replacements.replacement(&key(0), "a", after(109)).is_none());
    }

    #[test]
    fn a_rejection_without_a_fetch_is_forgotten_too_and_nothing_of_it_stays_in_memory() {
        let mut replacements = Replacements::new();
        replacements.reject(&key(0), "a", 1, NOW);
        replacements.reject(&key(0), "b", 1, after(1));
        assert!(!replacements.is_empty());
        assert_eq!(replacements.sweep(after(2)), Some(Duration::from_secs(3)));
        assert_eq!(replacements.sweep(after(5)), Some(Duration::from_secs(1)));
        assert_eq!(replacements.sweep(after(6)), None);
        assert!(replacements.is_empty());
    }
}
