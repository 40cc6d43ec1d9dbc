//! Judges an answer: a connection, or an error. Pure: no clock, no network, no retry.
//!
//! Only a well-formed answer of the platform becomes one of the four unavailable states. Any other answer, such as a
//! proxy's page, is an error.

use crate::core::connection::{Connection, ConnectionState, Details, EpochMillis, Trouble, Unavailable};
use crate::core::error::{Error, Kind};
use crate::core::http::Answer;
use crate::core::json::Object;
use crate::core::platform::answer;
use crate::core::platform::retry::is_transient_status;
use crate::core::secret::Secret;
use crate::core::text::is_blank;

/// Judges one answer. `origin` and `path`, the template of the request's path, are for messages; `now` is the wall
/// clock, for `expires_in`.
pub fn judge(answer: &Answer, origin: &str, path: &str, now: EpochMillis) -> Result<Connection, Error> {
    #[cfg(feature = "panic-probe")]
    assert!(answer.status != 299, "provoked");
    match answer.status {
        206 => Err(with_answer(invalid("a part of an answer", 206, origin, path), answer)),
        status @ 200..=299 => judge_success(&answer.body, now)
            .map_err(|problem| with_answer(invalid(problem, status, origin, path), answer)),
        404 if answer::read::<answer::Any>(&answer.body).is_some() => {
            Ok(unavailable(Unavailable::NotProvisioned, Details::default(), Trouble::default()))
        }
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

/// Explains a status from 300 to 399, and says what to do about it.
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
    let (kind, problem) = match status {
        300..=399 => (Kind::Redirect, format!(", {}", redirect(status))),
        401 => (
            Kind::InvalidApiKey,
            ": the publishable key and the secret key do not fit; check both".to_owned(),
        ),
        403 => {
            (Kind::Forbidden, ": these keys may not read connections; check which keys are in use".to_owned())
        }
        404 => (
            Kind::Http,
            format!(" without a body of the platform: check baseUrl and paths (the path was {path})"),
        ),
        429 => (Kind::RateLimited, ": too many requests; call again later".to_owned()),
        500..=599 => {
            (Kind::Server, ": the platform has a problem; the connection itself may be fine".to_owned())
        }
        _ => (Kind::Http, ", which was not expected".to_owned()),
    };
    let error = Error::new(kind, format!("{origin} answered {status}{problem}"));
    if is_transient_status(status) { error.retryable() } else { error }
}

/// The `Err` side completes the sentence "answered 200 with …".
fn judge_success(body: &[u8], now: EpochMillis) -> Result<Connection, &'static str> {
    const FOREIGN: &str = "what is no answer of the platform";
    let body: answer::BodyJson = answer::read(body).ok_or(FOREIGN)?;
    if body.error.says_something() {
        return Err("an error in place of a connection");
    }
    let Object(connection) = body.connection.ok_or(FOREIGN)?;
    let enabled = connection.enabled.ok_or(FOREIGN)?;
    let Object(connector) = body.connector.or(connection.connector).unwrap_or_default();
    let details = Details {
        slug: connector.slug.text(),
        connector_name: connector.name.text(),
        connection_id: connection.id.text(),
        ..Details::default()
    };
    match body.authorization.or(connection.authorization) {
        Some(Object(authorization)) => judge_authorization(authorization, enabled, details, now),
        None if enabled => Err("an enabled connection without its authorization"),
        None => Ok(unavailable(Unavailable::NotEnabled, details, Trouble::default())),
    }
}

fn judge_authorization(
    authorization: answer::AuthorizationJson,
    enabled: bool,
    details: Details,
    now: EpochMillis,
) -> Result<Connection, &'static str> {
    let status = authorization.status.as_deref();
    let details = Details {
        authorization_id: authorization.id.text(),
        authorization_status: status.map(Box::from),
        display_label: authorization.display_label.text(),
        ..details
    };
    let reason = match status {
        _ if !enabled => Unavailable::NotEnabled,
        None | Some("") => return Err("an enabled connection whose authorization has no status"),
        Some("active") => {
            let expires_at = authorization.expiry(now);
            let access_token = usable_token(authorization)?;
            return Ok(Connection { state: ConnectionState::Active { access_token, expires_at }, details });
        }
        Some("awaiting_callback" | "retrieving_tokens") => Unavailable::Pending,
        Some(_) => Unavailable::NeedsReauthorization,
    };
    let (error_code, error_message) = (authorization.error_code.text(), authorization.error_message.text());
    let trouble = Trouble { error_code, error_message, connect_url: None };
    Ok(unavailable(reason, details, trouble))
}

/// The token, under any of the names that the platform has for it.
fn usable_token(authorization: answer::AuthorizationJson) -> Result<Secret, &'static str> {
    let token = [authorization.access_token, authorization.credential, authorization.access_credential]
        .into_iter()
        .flatten()
        .find(|token| !token.expose().is_empty())
        .ok_or("an active connection without a token")?;
    if is_blank(token.expose()) || token.expose().chars().any(char::is_control) {
        return Err("an active connection whose token is unusable");
    }
    Ok(token)
}

fn unavailable(reason: Unavailable, details: Details, trouble: Trouble) -> Connection {
    Connection { state: ConnectionState::Unavailable { reason, trouble: Box::new(trouble) }, details }
}

#[cfg(test)]
mod tests;
