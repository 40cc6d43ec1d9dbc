//! How long a token may be cached. Pure: the clock is the caller's.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::core::clock::Now;
use crate::core::connection::{Connection, ConnectionState, EpochMillis};
use crate::core::json::Object;

/// We subtract this from the time until a known expiry, or a fifth of that time if that is less, so that the caller
/// has time to use the token.
const EXPIRY_BUFFER: Duration = Duration::from_secs(60);
/// The part of its lifetime after which a connection is refreshed, before jitter.
pub const REFRESH_FROM: f64 = 0.75;

/// How long a connection may be cached: `ttl`, or less if the token expires before. `None` if no time is left, or
/// there is no token.
pub fn lifetime(connection: &Connection, ttl: Duration, now: Now) -> Option<Duration> {
    let ConnectionState::Active { access_token, expires_at } = &connection.state else {
        return None;
    };
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

    const NOW: Now = Now { wall: 1.7e12, boot: Duration::from_secs(1_000) };

    fn active(token: &str, seconds_left: Option<f64>) -> Connection {
        let expires_at = seconds_left.map(|seconds| NOW.wall + seconds * 1e3);
        let state = ConnectionState::Active { access_token: Secret::new(token.to_owned()), expires_at };
        Connection { state, details: Details::default() }
    }

    fn seconds(ttl: u64, connection: &Connection) -> Option<u64> {
        lifetime(connection, Duration::from_secs(ttl), NOW).map(|life| life.as_secs())
    }

    #[test]
    fn a_life_is_the_shortest_of_ttl_and_expiry_less_the_buffer() {
        assert_eq!(seconds(60, &active("t", None)), Some(60));
        assert_eq!(seconds(60, &active("t", Some(3600.0))), Some(60));
        assert_eq!(seconds(7200, &active("t", Some(3600.0))), Some(3540));
        assert_eq!(seconds(7200, &active("t", Some(100.0))), Some(80));
        assert_eq!(seconds(7200, &active("t", Some(10.0))), Some(8));
        assert_eq!(seconds(7200, &active("t", Some(0.0))), None);
        assert_eq!(seconds(7200, &active("t", Some(-5.0))), None);
    }

    #[test]
    fn a_jwt_s_own_expiry_counts_too() {
        let jwt = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        let exp = NOW.wall / 1e3 + 100.0;
        let token = jwt(&format!(r#"{{"exp":{exp},"sub":"x"}}"#));
        assert_eq!(seconds(7200, &active(&token, Some(3600.0))), Some(80));
        for no_jwt in
            [jwt("{}"), jwt("[1]"), jwt(r#"{"exp":"soon"}"#), "a.b".to_owned(), "a.b.c.d".to_owned()]
        {
            assert_eq!(seconds(60, &active(&no_jwt, None)), Some(60), "{no_jwt}");
        }
    }

    #[test]
    fn what_has_no_token_has_no_life() {
        let state = ConnectionState::Unavailable { reason: Unavailable::Pending, trouble: Box::default() };
        assert_eq!(seconds(60, &Connection { state, details: Details::default() }), None);
    }
}
