//! Which tokens services rejected, and what came in their place: one fetch for all who were refused with the same one.
//!
//! Fetches are told apart by their numbers, which only grow: what a fetch brings that began before a rejection is no
//! replacement.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use crate::core::clock::Now;
use crate::core::mutation::{self, Mutation};
use crate::core::secret::Secret;
use crate::core::tokens::kept::Kept;
use crate::core::tokens::key::Key;

/// The refusals of one burst of calls come in over seconds, and those who come late shall not ask again.
pub const MEMORY: Duration = Duration::from_secs(5);
/// Connections of which rejected tokens are remembered.
const MAX_KEYS: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");
/// Tokens of one connection that are remembered: a group's calls may hold those of several members.
const MAX_TOKENS: usize = 16;

/// The number of a fetch of a client: each has a greater one than those that began before it.
pub type FetchNumber = u64;

/// What is remembered.
#[derive(Debug)]
pub struct Replacements(LruCache<Key, Rejected>);

/// The rejected tokens of one connection, the latest last.
#[derive(Debug, Default)]
struct Rejected {
    tokens: Vec<Rejection>,
    /// When all of it is forgotten, by the clock that runs on during suspension; `None` while a fetch is under way.
    until: Option<Duration>,
}

#[derive(Debug)]
struct Rejection {
    token: Secret,
    /// The last fetch that had begun by then.
    after: FetchNumber,
    replacement: Option<Kept>,
}

impl Replacements {
    /// Nothing is known to be rejected.
    pub fn new() -> Self {
        Self(LruCache::new(MAX_KEYS))
    }

    /// Notes that a service rejected a token. `false` if that was known. It is in nobody's place any more.
    pub fn reject(&mut self, key: &Key, token: &str, last: FetchNumber, now: Now) -> bool {
        self.forget(now);
        let rejected = self.0.get_or_insert_mut(key.clone(), Rejected::default);
        if rejected.is_over(now) {
            rejected.tokens.clear();
        }
        if rejected.find(token).is_some() {
            return false;
        }
        for rejection in &mut rejected.tokens {
            if rejection.replacement.as_ref().map(Kept::token) == Some(token)
                && !mutation::is(Mutation::RejectedReplacement)
            {
                (rejection.after, rejection.replacement) = (last, None);
            }
        }
        if rejected.tokens.len() == MAX_TOKENS {
            rejected.tokens.remove(0);
        }
        let token = Secret::new(token.to_owned());
        rejected.tokens.push(Rejection { token, after: last, replacement: None });
        rejected.until = Some(now.boot + MEMORY);
        true
    }

    /// What came in the place of a rejected token: perhaps the same once more, if the platform has no other. `None` while it is
    /// being replaced, or is yet to be.
    pub fn replacement(&self, key: &Key, token: &str, is_good: impl Fn(&Kept) -> bool) -> Option<&Kept> {
        self.0.peek(key)?.find(token)?.replacement.as_ref().filter(|kept| is_good(kept))
    }

    /// Whether a service is known to have rejected this token.
    pub fn is_rejected(&self, key: &Key, token: &str) -> bool {
        self.0.peek(key).is_some_and(|rejected| rejected.find(token).is_some())
    }

    /// A fetch has begun: what is known lasts until it ends.
    pub fn begin(&mut self, key: &Key, now: Now) {
        if let Some(rejected) = self.0.peek_mut(key)
            && !rejected.is_over(now)
        {
            rejected.until = None;
        }
    }

    /// A fetch has brought a token. One that was rejected after the fetch began is in nobody's place.
    pub fn replace(&mut self, key: &Key, fetch: FetchNumber, keep: impl FnOnce() -> Kept) {
        let Some(rejected) = self.0.peek_mut(key) else { return };
        let kept = keep();
        let token = kept.token();
        if rejected.find(token).is_some_and(|rejection| rejection.after >= fetch)
            && !mutation::is(Mutation::RejectedMeanwhile)
        {
            return;
        }
        for rejection in rejected.tokens.iter_mut().filter(|rejection| rejection.after < fetch) {
            // Where two members of a group take turns, the other one's token is still the better answer.
            if rejection.replacement.is_none() || rejection.token.expose() != token {
                rejection.replacement = Some(kept.clone());
            }
        }
    }

    /// The last fetch of a connection has ended.
    pub fn end(&mut self, key: &Key, now: Now) {
        if let Some(rejected) = self.0.peek_mut(key) {
            rejected.until.get_or_insert(now.boot + MEMORY);
        }
    }

    /// The connection was invalidated: what was fetched before is in nobody's place any more.
    pub fn invalidate(&mut self, key: &Key, last: FetchNumber) {
        let Some(rejected) = self.0.peek_mut(key) else { return };
        for rejection in &mut rejected.tokens {
            (rejection.after, rejection.replacement) = (last, None);
        }
    }

    /// Forgets what is over, the least recently used first.
    fn forget(&mut self, now: Now) {
        while self.0.peek_lru().is_some_and(|(_, rejected)| rejected.is_over(now)) {
            self.0.pop_lru();
        }
    }
}

impl Rejected {
    fn is_over(&self, now: Now) -> bool {
        self.until.is_some_and(|until| until <= now.boot)
    }

    fn find(&self, token: &str) -> Option<&Rejection> {
        self.tokens.iter().find(|rejection| rejection.token.expose() == token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::connection::{Connection, PackedDetails, State};
    use crate::core::tokens::key::OwnerKind;
    use crate::core::tokens::validity::Version;

    const NOW: Now = Now { wall: 1.7e12, boot: Duration::from_secs(1_000) };

    fn kept(token: &str) -> Kept {
        let state = State::Active { access_token: Secret::new(token.to_owned()), expires_at: None };
        let connection = Connection { state, details: PackedDetails::default() };
        Kept::new(&connection, MEMORY, Version::default(), NOW)
    }

    fn replacement(replacements: &Replacements, token: &str) -> Option<String> {
        let kept = replacements.replacement(&key(0), token, |_| true)?;
        Some(kept.token().to_owned())
    }

    /// The two tokens of a group, by turns.
    #[test]
    fn a_token_that_was_rejected_since_is_in_nobody_s_place() {
        let mut replacements = Replacements::new();
        replacements.reject(&key(0), "a", 1, NOW);
        replacements.replace(&key(0), 2, || kept("b"));
        assert_eq!(replacement(&replacements, "a").as_deref(), Some("b"));
        replacements.reject(&key(0), "b", 3, NOW);
        assert_eq!(replacement(&replacements, "a"), None, "it was rejected after it came");
        replacements.replace(&key(0), 3, || kept("b"));
        assert_eq!(replacement(&replacements, "a"), None, "it was rejected while it was under way");
        replacements.replace(&key(0), 4, || kept("a"));
        assert_eq!(replacement(&replacements, "a").as_deref(), Some("a"), "the platform has no better one");
        assert_eq!(replacement(&replacements, "b").as_deref(), Some("a"));
        replacements.replace(&key(0), 5, || kept("b"));
        assert_eq!(replacement(&replacements, "a").as_deref(), Some("b"));
    }

    fn key(number: usize) -> Key {
        Key::new(OwnerKind::User, &number.to_string(), "slack").unwrap()
    }

    #[test]
    fn a_thousand_connections_are_remembered_and_the_latest_tokens_of_each() {
        let mut replacements = Replacements::new();
        for number in 0..=MAX_KEYS.get() {
            assert!(replacements.reject(&key(number), "a", 1, NOW));
        }
        assert!(!replacements.is_rejected(&key(0), "a") && replacements.is_rejected(&key(1), "a"));
        for number in 0..=MAX_TOKENS {
            replacements.reject(&key(0), &number.to_string(), 1, NOW);
        }
        assert!(!replacements.is_rejected(&key(0), "0") && replacements.is_rejected(&key(0), "1"));
    }

    #[test]
    fn what_is_over_is_news_again_unless_a_fetch_is_under_way() {
        let later = Now { boot: NOW.boot + MEMORY, ..NOW };
        for is_under_way in [false, true] {
            let mut replacements = Replacements::new();
            assert!(replacements.reject(&key(0), "a", 1, NOW) && !replacements.reject(&key(0), "a", 1, NOW));
            if is_under_way {
                replacements.begin(&key(0), NOW);
            }
            assert_eq!(replacements.reject(&key(0), "a", 1, later), !is_under_way);
        }
    }
}
