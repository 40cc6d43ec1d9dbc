//! Owns why Redis failed, in words that are safe to print: the code of a reply, or the system's words; never an address, a
//! login or a text that a server made up.

use std::borrow::Cow;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use redis::RedisError;
use rustls::{CertificateError, Error as TlsError};

use super::settings::Address;
use crate::core::certificate;
use crate::core::resolver::LookupError;

/// Why a connection or a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisFailure {
    pub reason: Cow<'static, str>,
    /// Whether the next command would fail in the same way.
    pub is_lasting: bool,
    /// Whether a command failed with its connection, so that another connection may carry it.
    pub is_lost: bool,
    /// The member of the cluster that holds the fleet's slot, by the reply `MOVED`.
    pub moved: Option<Address>,
}

/// A Redis without TLS listens where TLS is expected.
pub const PLAIN_PORT: &str = "TLS on a plain port";

/// Codes of replies that the next command would get too.
const LASTING: &str =
    "CLUSTERDOWN LOADING MASTERDOWN MISCONF MOVED NOAUTH NOPERM NOREPLICAS OOM READONLY WRONGPASS";
/// Codes of replies about one command, or one moment.
const PASSING: &str = "ASK BUSY CROSSSLOT NOSCRIPT TRYAGAIN WRONGTYPE";

/// Redis sends this text with the code `ERR` to a client that has not logged in and sends a long command.
const NOT_LOGGED_IN: &str = "Protocol error: unauthenticated";
/// The same to a client that logs in where no password is set. Any refused login has one reason, since the library tells
/// the subscription no more.
const NO_LOGIN: &str = "AUTH <password> called without any password";

impl RedisFailure {
    /// A failure that the next command may not have.
    pub fn passing(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), is_lasting: false, is_lost: false, moved: None }
    }

    /// A failure that the next command would have too.
    pub fn lasting(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { is_lasting: true, ..Self::passing(reason) }
    }

    pub fn strange_answer() -> Self {
        Self::lasting("an answer that is not Redis's, as on a port with TLS")
    }

    /// A limit passed in the middle of this.
    pub fn timed_out(doing: &str) -> Self {
        Self::passing(format!("timed out: {doing}"))
    }
}

/// The step that an attempt at a connection is at, for the words of a time-out.
#[derive(Debug)]
pub struct Stage(Mutex<&'static str>);

impl Default for Stage {
    fn default() -> Self {
        Self(Mutex::new("the connection"))
    }
}

impl Stage {
    /// The next step begins.
    pub fn set(&self, doing: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = doing;
    }

    /// The failure of an attempt whose limit passed now.
    pub fn timed_out(&self) -> RedisFailure {
        RedisFailure::timed_out(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<io::Error> for RedisFailure {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&io::Error> for RedisFailure {
    fn from(error: &io::Error) -> Self {
        if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<TlsError>()) {
            return Self::lasting(tls_reason(error));
        }
        let kind = error.kind();
        let reason = if error.raw_os_error().is_some() { error.to_string() } else { kind.to_string() };
        match kind {
            ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::TimedOut
            | ErrorKind::UnexpectedEof => Self::passing(reason),
            // `Bounded` has two: not Redis's protocol, and too much of it.
            ErrorKind::InvalidData => Self::strange_answer(),
            ErrorKind::FileTooLarge => Self::lasting("a reply of more than 1 MiB"),
            _ => Self::lasting(reason),
        }
    }
}

impl From<LookupError> for RedisFailure {
    fn from(error: LookupError) -> Self {
        Self { is_lasting: !error.is_shortage(), ..Self::passing(error.to_string()) }
    }
}

impl From<RedisError> for RedisFailure {
    fn from(error: RedisError) -> Self {
        let failure = match (error.code(), io_error(&error)) {
            (Some(code), _) => reply(code, error.detail().unwrap_or_default()),
            // The library says `BrokenPipe` of any connection that ended.
            (None, Some(error)) if error.kind() != ErrorKind::BrokenPipe => Self::from(error),
            (None, _) => match error.kind() {
                redis::ErrorKind::AuthenticationFailed => Self::lasting("WRONGPASS"),
                redis::ErrorKind::Parse => Self::strange_answer(),
                _ => Self::passing("the connection was lost"),
            },
        };
        let moved = error.redirect_node().and_then(|(node, _)| Address::parse(node, 0));
        Self { is_lost: error.is_io_error(), moved, ..failure }
    }
}

/// The system's error in one of the library, which has it in an `Arc`.
fn io_error(error: &RedisError) -> Option<&io::Error> {
    error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?.downcast_ref()
}

/// The failure that a reply tells, by its code.
fn reply(code: &str, detail: &str) -> RedisFailure {
    let known = |codes: &'static str| codes.split(' ').find(|known| *known == code);
    match known(LASTING) {
        _ if detail.starts_with(NOT_LOGGED_IN) => RedisFailure::lasting("NOAUTH"),
        _ if detail.starts_with(NO_LOGIN) => RedisFailure::lasting("WRONGPASS"),
        Some(code) => RedisFailure::lasting(code),
        None => RedisFailure::passing(known(PASSING).unwrap_or("ERR")),
    }
}

fn tls_reason(error: &TlsError) -> Cow<'static, str> {
    match error {
        TlsError::InvalidMessage(_) => PLAIN_PORT.into(),
        TlsError::InvalidCertificate(error) => match error {
            _ if certificate::is_of_unknown_issuer(error) => "the certificate's issuer is not trusted".into(),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the certificate has expired".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the certificate is for another name".into()
            }
            _ => "the certificate cannot be verified".into(),
        },
        TlsError::AlertReceived(alert) => format!("the server's TLS alert {alert:?}").into(),
        _ => "the TLS handshake failed".into(),
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;
    use rustls::{AlertDescription, InvalidMessage};

    use super::*;

    fn reply(line: &str) -> RedisFailure {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
        RedisFailure::from(value.and_then(Value::extract_error).unwrap_err())
    }

    #[test]
    fn a_reply_is_told_by_its_code_and_by_nothing_that_a_server_made_up() {
        for (line, reason, is_lasting) in [
            ("WRONGPASS invalid username-password pair", "WRONGPASS", true),
            ("NOAUTH Authentication required.", "NOAUTH", true),
            ("ERR Protocol error: unauthenticated multibulk length", "NOAUTH", true),
            ("ERR AUTH <password> called without any password configured", "WRONGPASS", true),
            ("NOPERM User poor has no permissions", "NOPERM", true),
            ("MOVED 1 10.0.0.1:6379", "MOVED", true),
            ("READONLY You can't write against a read only replica.", "READONLY", true),
            ("WRONGTYPE Operation against a key", "WRONGTYPE", false),
            ("BUSY Redis is busy running a script", "BUSY", false),
            ("ERR unknown command 'AUTH', with args: 'swordfish'", "ERR", false),
            ("SWORDFISH is no code", "ERR", false),
        ] {
            let RedisFailure { reason: told, is_lasting: lasts, .. } = reply(line);
            assert_eq!((told.as_ref(), lasts), (reason, is_lasting), "{line}");
        }
    }

    #[test]
    fn the_system_s_words_are_kept_and_others_are_not() {
        let refused = RedisFailure::from(io::Error::from_raw_os_error(111));
        assert!(refused.is_lasting && refused.reason.contains("os error 111"), "{refused:?}");
        let made_up = RedisFailure::from(io::Error::new(ErrorKind::ConnectionReset, "swordfish"));
        assert_eq!(made_up, RedisFailure::passing("connection reset"));
        let bounded = |kind: ErrorKind| RedisFailure::from(io::Error::from(kind));
        assert_eq!(bounded(ErrorKind::InvalidData), RedisFailure::strange_answer());
        assert_eq!(bounded(ErrorKind::FileTooLarge), RedisFailure::lasting("a reply of more than 1 MiB"));
    }

    #[test]
    fn a_failure_of_tls_is_told_by_what_is_wrong() {
        let invalid = TlsError::InvalidCertificate;
        for (error, reason) in [
            (TlsError::InvalidMessage(InvalidMessage::InvalidContentType), "TLS on a plain port"),
            (invalid(CertificateError::UnknownIssuer), "the certificate's issuer is not trusted"),
            (invalid(CertificateError::Expired), "the certificate has expired"),
            (invalid(CertificateError::NotValidForName), "the certificate is for another name"),
            (invalid(CertificateError::BadEncoding), "the certificate cannot be verified"),
            (
                TlsError::AlertReceived(AlertDescription::CertificateRequired),
                "the server's TLS alert CertificateRequired",
            ),
            (TlsError::HandshakeNotComplete, "the TLS handshake failed"),
        ] {
            let error = io::Error::new(ErrorKind::InvalidData, error);
            assert_eq!(RedisFailure::from(error), RedisFailure::lasting(reason));
        }
    }

    #[test]
    fn what_the_library_says_is_told_too() {
        let io = |kind: ErrorKind| RedisError::from(io::Error::from(kind));
        let of_kind = |kind| RedisError::from((kind, "swordfish"));
        let no_route = || io::Error::from_raw_os_error(113);
        for (error, expected, is_lost) in [
            (io(ErrorKind::ConnectionReset), RedisFailure::passing("connection reset"), true),
            // As the library says it of any connection that ended.
            (io(ErrorKind::BrokenPipe), RedisFailure::passing("the connection was lost"), true),
            (no_route().into(), RedisFailure::lasting(no_route().to_string()), true),
            (of_kind(redis::ErrorKind::AuthenticationFailed), RedisFailure::lasting("WRONGPASS"), false),
            (of_kind(redis::ErrorKind::Parse), RedisFailure::strange_answer(), false),
            (of_kind(redis::ErrorKind::Client), RedisFailure::passing("the connection was lost"), false),
        ] {
            assert_eq!(RedisFailure::from(error), RedisFailure { is_lost, ..expected });
        }
        let node = Some(Address { host: "10.0.0.1".to_owned(), port: 6379 });
        assert_eq!(reply("MOVED 1 10.0.0.1:6379").moved, node);
    }

    #[test]
    fn a_lookup_that_lacks_threads_may_succeed_the_next_time() {
        for (error, is_lasting) in [(LookupError::NotLoopback, true), (LookupError::TooMany, false)] {
            let reason = error.to_string().into();
            assert_eq!(
                RedisFailure::from(error),
                RedisFailure { reason, is_lasting, ..RedisFailure::passing("") }
            );
        }
    }
}
