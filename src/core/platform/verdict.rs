//! From an answer of the platform to a connection or an error. Pure: no clock, no network, no retry.
//!
//! Only a well-formed answer may become one of the four unavailable states: whatever else comes, from whatever
//! stands in the platform's place, is an error.

use std::borrow::Cow;

use crate::core::connection::{
    Connection, ConnectionState, Details, EpochMillis, PackedDetails, Trouble, Unavailable,
};
use crate::core::error::{Error, Kind};
use crate::core::http::Answer;
use crate::core::json::Object;
use crate::core::platform::answer;
use crate::core::platform::retry::is_transient_status;
use crate::core::text::is_blank;

/// Judges one answer. `origin` is what messages call the platform, `path` the template of the path that was asked for; `now`
/// is the wall clock, for `expires_in`.
pub fn judge(answer: &Answer, origin: &str, path: &str, now: EpochMillis) -> Result<Connection, Error> {
    #[cfg(feature = "panic-probe")]
    assert!(answer.status != 299, "provoked");
    match answer.status {
        206 => Err(with_answer(invalid("a part of an answer", 206, origin, path), answer)),
        status @ 200..=299 => judge_success(&answer.body, now)
            .map_err(|problem| with_answer(invalid(problem, status, origin, path), answer)),
        404 if answer::read::<answer::Any>(&answer.body).is_some() => Ok(Connection {
            state: ConnectionState::Unavailable {
                reason: Unavailable::NotProvisioned,
                trouble: Box::default(),
            },
            details: PackedDetails::default(),
        }),
        status => Err(with_answer(judge_failure(status, origin, path), answer)),
    }
}

fn with_answer(mut error: Error, answer: &Answer) -> Error {
    error.status = Some(answer.status);
    error.retry_after = answer.retry_after;
    error.request_id = answer.request_id.as_deref().map(Into::into);
    error
}

/// The `problem` completes the sentence "answered 200 with …".
fn invalid(problem: &str, status: u16, origin: &str, path: &str) -> Error {
    let message = format!(
        "{origin} answered {status} with {problem}: check that baseUrl is the Platform API (the path was {path})"
    );
    Error::new(Kind::InvalidResponse, message)
}

/// What a status from 300 to 399 tells, and what to do about it.
fn redirect(status: u16) -> &'static str {
    match status {
        300 => "a choice between several addresses: set baseUrl to the right one",
        304 => {
            "\"not modified\", to a request that did not ask whether it was: check the cache in front of the platform"
        }
        305 | 306 => "a demand to use a proxy: set the option proxy, or HTTPS_PROXY",
        _ => "a redirect, which is not followed: set baseUrl to the final address",
    }
}

fn judge_failure(status: u16, origin: &str, path: &str) -> Error {
    match status {
        300..=399 => Error::new(Kind::Redirect, format!("{origin} answered {status}, {}", redirect(status))),
        401 => Error::new(
            Kind::InvalidApiKey,
            format!("{origin} answered 401: the publishable key and the secret key do not fit; check both"),
        ),
        403 => Error::new(
            Kind::Forbidden,
            format!(
                "{origin} answered 403: these keys may not read connections; check which keys are in use"
            ),
        ),
        429 => Error::new(
            Kind::RateLimited,
            format!("{origin} answered 429: too many requests; call again later"),
        )
        .retryable(),
        500..=599 => {
            let error = Error::new(
                Kind::Server,
                format!(
                    "{origin} answered {status}: the platform has a problem; the connection itself may be fine"
                ),
            );
            if is_transient_status(status) { error.retryable() } else { error }
        }
        404 => Error::new(
            Kind::Http,
            format!(
                "{origin} answered 404 without a body of the platform: check baseUrl and paths (the path was {path})"
            ),
        ),
        _ => {
            let error = Error::new(Kind::Http, format!("{origin} answered {status}, which was not expected"));
            if is_transient_status(status) { error.retryable() } else { error }
        }
    }
}

/// The `Err` side completes the sentence "answered 200 with …".
fn judge_success(body: &[u8], now: EpochMillis) -> Result<Connection, &'static str> {
    const FOREIGN: &str = "what is no answer of the platform";
    let body: answer::BodyJson<'_> = answer::read(body).ok_or(FOREIGN)?;
    if body.error.says_something() {
        return Err("an error in place of a connection");
    }
    let Object(connection) = body.connection.ok_or(FOREIGN)?;
    let enabled = connection.enabled.ok_or(FOREIGN)?;
    let Object(connector) = body.connector.or(connection.connector).unwrap_or_default();
    let authorization = body.authorization.or(connection.authorization);

    let mut details = Details {
        slug: connector.slug.text(),
        connector_name: connector.name.text(),
        connection_id: connection.id.text(),
        ..Details::default()
    };
    let Some(Object(authorization)) = authorization else {
        return if enabled {
            Err("an enabled connection without its authorization")
        } else {
            Ok(unavailable(Unavailable::NotEnabled, &details, None, None))
        };
    };
    details.authorization_id = authorization.id.text();
    details.display_label = authorization.display_label.text();
    let status = authorization.status.as_deref();
    details.authorization_status = status.map(Cow::Borrowed);

    let reason = match status {
        _ if !enabled => Unavailable::NotEnabled,
        None | Some("") => return Err("an enabled connection whose authorization has no status"),
        Some("active") => {
            let expires_at = authorization.expiry(now);
            let token =
                [authorization.access_token, authorization.credential, authorization.access_credential]
                    .into_iter()
                    .flatten()
                    .find(|token| !token.expose().is_empty())
                    .ok_or("an active connection without a token")?;
            if is_blank(token.expose()) || token.expose().chars().any(char::is_control) {
                return Err("an active connection whose token is unusable");
            }
            return Ok(Connection {
                state: ConnectionState::Active { access_token: token, expires_at },
                details: details.pack(),
            });
        }
        Some("awaiting_callback" | "retrieving_tokens") => Unavailable::Pending,
        Some(_) => Unavailable::NeedsReauthorization,
    };
    Ok(unavailable(reason, &details, authorization.error_code.text(), authorization.error_message.text()))
}

fn unavailable(
    reason: Unavailable,
    details: &Details<Cow<'_, str>>,
    error_code: Option<Cow<'_, str>>,
    error_message: Option<Cow<'_, str>>,
) -> Connection {
    let [error_code, error_message] = [error_code, error_message].map(|text| text.map(Cow::into_owned));
    let trouble = Box::new(Trouble { error_code, error_message, connect_url: None });
    Connection { state: ConnectionState::Unavailable { reason, trouble }, details: details.pack() }
}

#[cfg(test)]
mod tests;
