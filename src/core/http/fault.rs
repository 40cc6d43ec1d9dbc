//! Owns the faults of one request: the message about what went wrong below HTTP, and whether a retry can help.
//!
//! Decides on no retry.

use std::error::Error as StdError;
use std::time::Duration;

use url::Url;

use super::answer::{MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEADERS};
use super::causes::{self, NoConnection};
use super::identity::CERTIFICATE_ALERTS;
use super::pool::{PoolChoice, PoolNumber};
use super::refusal::Refusal;
use super::settings::TransportSettings;
use super::tls;
use crate::core::error::{Error, Kind};

/// Completes a sentence that begins with who was to be reached.
const NO_LOOKUP: &str = "cannot be reached, since its name could not be looked up: call again later, and allow the process more threads (pids limit, ulimit -u)";

/// Completes a message when HTTP/2 was negotiated and no answer ever came over it.
const UNPROVEN_HTTP2: &str =
    "; if something on the way agrees on HTTP/2 and does not speak it, set http2: false (XKIT_HTTP2=0)";

/// An attempt that brought no connection.
#[derive(Debug)]
pub struct Fault {
    /// Boxed, since few requests have one.
    pub error: Box<Error>,
    pub kind: FaultKind,
}

/// Whether and how the next request may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It would fail likewise.
    Permanent,
    /// It may succeed.
    Transient,
    /// It may succeed over another pool. The connection of this one had answered well before, and was gone before the
    /// request got a byte back.
    Stale(PoolNumber),
    /// The server says that it did not process this request, which may therefore be sent again, over these connections.
    Unprocessed(PoolChoice),
}

impl From<Error> for Fault {
    /// The next request may succeed if the error is retryable.
    fn from(error: Error) -> Self {
        let kind = if error.retryable { FaultKind::Transient } else { FaultKind::Permanent };
        Self { error: Box::new(error), kind }
    }
}

impl Fault {
    /// Says that HTTP/2 may be the cause, unless the server said over HTTP/2 that it did not process the request.
    pub fn suspect_http2(mut self) -> Self {
        let is_unclear = matches!(self.error.kind, Kind::Timeout | Kind::Connect | Kind::InvalidResponse);
        if is_unclear && !matches!(self.kind, FaultKind::Unprocessed(_)) {
            self.error.message = format!("{}{UNPROVEN_HTTP2}", self.error.message).into();
        }
        self
    }
}

impl TransportSettings {
    /// The answer was not complete within the time limit of an attempt.
    pub fn timed_out(&self, limit: Duration) -> Fault {
        let (origin, limit) = (&self.origin, limit.as_millis());
        transient(
            Kind::Timeout,
            format!("{origin} did not answer within {limit} ms: call again later, or raise attemptTimeoutMs"),
        )
    }

    pub fn oversized_body(&self, status: u16) -> Fault {
        let mut fault = self.too_large(&format!("more than {MAX_BODY_BYTES} bytes"));
        fault.error.status = Some(status);
        fault
    }

    pub fn oversized_head(&self) -> Fault {
        self.too_large(&format!(
            "more than {MAX_HEADERS} headers, or more than {MAX_HEAD_BYTES} bytes of them"
        ))
    }

    fn too_large(&self, what: &str) -> Fault {
        let origin = &self.origin;
        permanent(
            Kind::ResponseTooLarge,
            format!("{origin} answered with {what}: check that baseUrl is the Platform API"),
        )
    }

    /// The platform's host and port, as an `http:` URL.
    pub fn target(&self) -> Option<Url> {
        let origin = Url::parse(&self.origin).ok()?;
        format!("http://{}:{}", origin.host_str()?, origin.port_or_known_default()?).parse().ok()
    }

    /// There is no connection. `refusal` is why the proxy refused the tunnel, where that is known.
    pub fn unreachable(
        &self,
        error: &reqwest::Error,
        cause: &NoConnection<'_>,
        refusal: Option<Refusal>,
    ) -> Fault {
        if let Some(fault) = self.unwelcome(error) {
            return fault;
        }
        let mut fault = match (cause, self.proxy.is_some()) {
            (NoConnection::Tls { error, is_with_proxy }, _) => {
                let whom = if *is_with_proxy { "the proxy" } else { &self.origin };
                return permanent(
                    Kind::Tls,
                    format!("No secure connection to {whom}: {}", tls::explain(error)),
                );
            }
            (_, true) => self.unreachable_by_proxy(cause, refusal),
            (_, false) => self.unreachable_directly(cause),
        };
        fault.error.cause = match cause {
            NoConnection::Lookup(error) => Some(error.to_string().into()),
            NoConnection::TimedOut => None,
            _ => causes::system_words(error).map(Into::into),
        };
        fault
    }

    fn unreachable_directly(&self, cause: &NoConnection<'_>) -> Fault {
        let (origin, limit) = (&self.origin, self.connect_timeout.as_millis());
        let (kind, problem) = match cause {
            NoConnection::Lookup(error) if error.is_shortage() => {
                return transient(Kind::Connect, format!("{origin} {NO_LOOKUP}"));
            }
            NoConnection::Lookup(_) => (
                Kind::Connect,
                ": its name could not be found; check the host in baseUrl, and this machine's name server",
            ),
            NoConnection::TimedOut => {
                (Kind::Timeout, &*format!(" within {limit} ms: check the network, or raise connectTimeoutMs"))
            }
            _ => (
                Kind::Connect,
                &*format!("{}: check that the host is right and can be reached", self.identity.suspicion()),
            ),
        };
        transient(kind, format!("No connection to {origin}{problem}"))
    }

    fn unreachable_by_proxy(&self, cause: &NoConnection<'_>, refusal: Option<Refusal>) -> Fault {
        let origin = &self.origin;
        if let Some(refusal) = refusal {
            let fault = if refusal.is_transient() { transient } else { permanent };
            return fault(Kind::Proxy, refusal.explain(origin));
        }
        let problem = match cause {
            NoConnection::TunnelToIpv6 => {
                return permanent(
                    Kind::Proxy,
                    format!(
                        "There is no way through a proxy to an IPv6 address, which {origin} is: use a name in baseUrl, or exempt the address in NO_PROXY"
                    ),
                );
            }
            NoConnection::TimedOut => &format!("did not open a tunnel to {origin} in time"),
            NoConnection::Lookup(error) if error.is_shortage() => NO_LOOKUP,
            NoConnection::Lookup(_) => "cannot be reached, since its name could not be found",
            NoConnection::Unreachable => "cannot be reached",
            _ => &format!("did not open a tunnel to {origin}"),
        };
        transient(Kind::Proxy, format!("The proxy {problem}: check the proxy's URL and its rules"))
    }

    /// The server wants another client certificate than this client has. Over TLS 1.3 it says so only after the
    /// client's handshake has ended.
    fn unwelcome(&self, error: &(dyn StdError + 'static)) -> Option<Fault> {
        CERTIFICATE_ALERTS.iter().find(|alert| causes::was_alerted(error, **alert))?;
        let problem = self.identity.complaint()?;
        Some(permanent(Kind::Tls, format!("No secure connection to {}: {problem}", self.origin)))
    }

    /// An open connection failed.
    pub fn lost(&self, error: &(dyn StdError + 'static)) -> Fault {
        let origin = &self.origin;
        if let Some(fault) = self.unwelcome(error) {
            return fault;
        }
        if causes::has_oversized_head(error) {
            return self.oversized_head();
        }
        if causes::is_malformed(error) {
            return permanent(
                Kind::InvalidResponse,
                format!(
                    "{origin} answered with what is not proper HTTP: check that baseUrl is the Platform API"
                ),
            );
        }
        let mut fault = transient(
            Kind::Connect,
            format!(
                "The connection to {origin} was lost before the whole answer was there{}: call again later",
                self.identity.suspicion()
            ),
        );
        fault.error.cause = causes::system_words(error).map(Into::into);
        if let Some(pool) = causes::unprocessed(error) {
            fault.kind = FaultKind::Unprocessed(pool);
        }
        fault
    }
}

fn permanent(kind: Kind, message: String) -> Fault {
    Error::new(kind, message).into()
}

fn transient(kind: Kind, message: String) -> Fault {
    Error::new(kind, message).retryable().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::http::tests::rig::settings;
    use crate::core::resolver::LookupError;

    const PLATFORM: &str = "https://platform.test";

    #[test]
    fn a_name_that_is_not_found_is_told_from_a_lookup_that_was_not_made() {
        let error = reqwest::Proxy::http("").unwrap_err();
        let not_found = LookupError::NotFound("no such name".to_owned());
        for (proxy, kind, lookup, words) in [
            (None, Kind::Connect, &not_found, "platform.test: its name could not be found"),
            (None, Kind::Connect, &LookupError::TooMany, "allow the process more threads"),
            (
                Some("http://p.test"),
                Kind::Proxy,
                &not_found,
                "The proxy cannot be reached, since its name could not be found",
            ),
            (Some("http://p.test"), Kind::Proxy, &LookupError::TooMany, "allow the process more threads"),
        ] {
            let fault = settings(PLATFORM, proxy).unreachable(&error, &NoConnection::Lookup(lookup), None);
            assert_eq!((fault.error.kind, fault.kind), (kind, FaultKind::Transient));
            assert!(fault.error.message.contains(words), "{}", fault.error.message);
        }
    }
}
