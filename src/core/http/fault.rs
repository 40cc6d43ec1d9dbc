//! Owns the faults of one request: what went wrong below HTTP, in words, and whether trying again can help.
//!
//! Decides on no retry. Errors are recognised by their types, down the chain of causes.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpInfo;
use rustls::AlertDescription;
use url::Url;

use super::gate::Overdue;
use super::identity::{CERTIFICATE_ALERTS, Identity};
use super::pool::PoolNumber;
use super::tunnel::NoTunnel;
use super::{MAX_BODY_BYTES, MAX_HEAD_BYTES, tls};
use crate::core::error::{Error, Kind};
use crate::core::resolver::LookupError;

/// As many as hyper takes.
const MAX_HEADERS: usize = 100;
/// reqwest's word for the target of a tunnel that is an IPv6 address: it hands it to rustls with its brackets.
const INVALID_SERVER_NAME: &str = "Invalid Server Name";

/// Completes a sentence that begins with who was to be reached.
const NO_LOOKUP: &str = "cannot be reached, since its name could not be looked up: call again later, and allow the process more threads (pids limit, ulimit -u)";

/// What a fault costs, and how long to back off from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Lost connections, timeouts, 5xx.
    Transient,
    /// 429.
    Throttled,
    /// The server left, or refused the request, without having looked at it: HTTP/2 says so.
    Unhandled,
}

/// A request that got no answer.
#[derive(Debug)]
pub struct Fault {
    /// In a box, since most requests have none.
    pub error: Box<Error>,
    /// `None` where trying again cannot help.
    pub class: Option<Class>,
    /// The connection had answered well before, and was gone before this request got a byte back: the pool that it
    /// was taken from.
    pub stale: Option<PoolNumber>,
}

impl Fault {
    /// A fault that stays.
    pub fn lasting(error: Error) -> Self {
        Self { error: Box::new(error), class: None, stale: None }
    }

    /// A fault that may be over at the next request.
    pub fn passing(error: Error) -> Self {
        Self { error: Box::new(error.retryable()), class: Some(Class::Transient), stale: None }
    }
}

/// Who did not answer, as far as messages speak of it.
#[derive(Debug)]
pub struct Peer {
    /// The platform's scheme, host and port.
    pub origin: String,
    pub connect_timeout: Duration,
    pub is_proxied: bool,
    pub identity: Arc<Identity>,
}

impl Peer {
    /// Nothing, or only a part, came back within the time limit of an attempt.
    pub fn overdue(&self, limit: Duration) -> Fault {
        Fault::passing(Error::new(
            Kind::Timeout,
            format!(
                "{} did not answer within {} ms: call again later, or raise attemptTimeoutMs",
                self.origin,
                limit.as_millis()
            ),
        ))
    }

    /// A body that is needed goes on beyond the limit.
    pub fn too_large(&self, status: u16) -> Fault {
        let mut error = self.too_much(&format!("more than {MAX_BODY_BYTES} bytes"));
        error.status = Some(status);
        Fault::lasting(error)
    }

    /// A head beyond the limit.
    pub fn oversized_head(&self) -> Fault {
        let limits = format!("more than {MAX_HEADERS} headers, or more than {MAX_HEAD_BYTES} bytes of them");
        Fault::lasting(self.too_much(&limits))
    }

    fn too_much(&self, what: &str) -> Error {
        Error::new(
            Kind::ResponseTooLarge,
            format!("{} answered with {what}: check that baseUrl is the Platform API", self.origin),
        )
    }

    /// The platform's host and port, as CONNECT names them.
    pub fn target(&self) -> Option<String> {
        let url = Url::parse(&self.origin).ok()?;
        Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
    }

    /// What went wrong before there was a connection.
    pub fn unreachable(&self, error: &reqwest::Error) -> Fault {
        let origin = &self.origin;
        let no_tunnel = find::<NoTunnel>(error);
        if let Some(fault) = self.unwelcome(error) {
            return fault;
        }
        if let Some(error) = find::<rustls::Error>(error) {
            let whom = if no_tunnel.is_some() { "the proxy" } else { origin };
            return Fault::lasting(Error::new(
                Kind::Tls,
                format!("No secure connection to {whom}: {}", tls::explain(error)),
            ));
        }
        let timed_out = find::<Overdue>(error).is_some() || error.is_timeout();
        let lookup = find::<LookupError>(error);
        let mut fault = if self.is_proxied {
            if chain(error).any(|error| error.to_string() == INVALID_SERVER_NAME) {
                return Fault::lasting(Error::new(
                    Kind::Proxy,
                    format!(
                        "There is no way through a proxy to an IPv6 address, which {origin} is: use a name in baseUrl, or exempt the address in NO_PROXY"
                    ),
                ));
            }
            if let Some(NoTunnel::Refused(refusal)) = no_tunnel {
                let error = Error::new(Kind::Proxy, refusal.explain(origin));
                return if refusal.is_passing() { Fault::passing(error) } else { Fault::lasting(error) };
            }
            let problem = if timed_out {
                format!("did not open a tunnel to {origin} in time")
            } else if matches!(no_tunnel, Some(NoTunnel::Lost(_)) | None) {
                format!("did not open a tunnel to {origin}")
            } else if lookup.is_some_and(LookupError::is_shortage) {
                NO_LOOKUP.to_owned()
            } else if lookup.is_some() {
                "cannot be reached, since its name could not be found".to_owned()
            } else {
                "cannot be reached".to_owned()
            };
            Fault::passing(Error::new(
                Kind::Proxy,
                format!("The proxy {problem}: check the proxy's URL and its rules"),
            ))
        } else if timed_out {
            return Fault::passing(Error::new(
                Kind::Timeout,
                format!(
                    "No connection to {origin} within {} ms: check the network, or raise connectTimeoutMs",
                    self.connect_timeout.as_millis()
                ),
            ));
        } else if lookup.is_some_and(LookupError::is_shortage) {
            Fault::passing(Error::new(Kind::Connect, format!("{origin} {NO_LOOKUP}")))
        } else if lookup.is_some() {
            Fault::passing(Error::new(
                Kind::Connect,
                format!(
                    "No connection to {origin}: its name could not be found; check the host in baseUrl, and this machine's name server"
                ),
            ))
        } else {
            Fault::passing(Error::new(
                Kind::Connect,
                format!(
                    "No connection to {origin}{}: check that the host is right and can be reached",
                    self.identity.suspicion()
                ),
            ))
        };
        fault.error.cause =
            lookup.map(LookupError::to_string).or_else(|| innermost_io(error)).map(Into::into);
        fault
    }

    fn insecure(&self, problem: &str) -> Fault {
        Fault::lasting(Error::new(Kind::Tls, format!("No secure connection to {}: {problem}", self.origin)))
    }

    /// The server wants another client certificate than this client has. Over TLS 1.3 it says so when the client takes
    /// the connection for open.
    fn unwelcome(&self, error: &(dyn StdError + 'static)) -> Option<Fault> {
        let problem = CERTIFICATE_ALERTS.iter().find(|alert| was_alerted(error, **alert))?;
        Some(self.insecure(self.identity.explain(*problem)?))
    }

    /// What went wrong on an open connection.
    pub fn lost(&self, error: &(dyn StdError + 'static)) -> Fault {
        let origin = &self.origin;
        if let Some(fault) = self.unwelcome(error) {
            return fault;
        }
        let hyper = find::<hyper::Error>(error);
        if hyper.is_some_and(hyper::Error::is_parse_too_large) {
            return self.oversized_head();
        }
        let not_http = hyper.is_some_and(hyper::Error::is_parse);
        let oversized_headers = find::<h2::Error>(error)
            .is_some_and(|error| error.is_library() && error.reason() == Some(h2::Reason::PROTOCOL_ERROR));
        let malformed = find::<io::Error>(error).is_some_and(|error| {
            matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
                && find::<rustls::Error>(error).is_none()
        });
        if not_http || oversized_headers || malformed {
            return Fault::lasting(Error::new(
                Kind::InvalidResponse,
                format!(
                    "{origin} answered with what is not proper HTTP: check that baseUrl is the Platform API"
                ),
            ));
        }
        let mut fault = Fault::passing(Error::new(
            Kind::Connect,
            format!(
                "The connection to {origin} was lost before the whole answer was there{}: call again later",
                self.identity.suspicion()
            ),
        ));
        fault.error.cause = innermost_io(error).map(Into::into);
        if was_unhandled(error) {
            fault.class = Some(Class::Unhandled);
        }
        fault
    }
}

/// The connection that a request was sent on before it failed.
pub fn connection_of(error: &(dyn StdError + 'static)) -> Option<HttpInfo> {
    let mut extensions = Default::default();
    find::<legacy::Error>(error)?.connect_info()?.get_extras(&mut extensions);
    extensions.remove()
}

/// Whether the server said goodbye to an HTTP/2 connection, or refused the stream, before it looked at the request.
fn was_unhandled(error: &(dyn StdError + 'static)) -> bool {
    find::<h2::Error>(error).is_some_and(|error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// Whether the server ended the connection with this alert. Over HTTP/2, its words are all that is left of it.
fn was_alerted(error: &(dyn StdError + 'static), alert: AlertDescription) -> bool {
    let words = rustls::Error::AlertReceived(alert).to_string();
    chain(error).any(|error| error.to_string() == words)
}

/// The first error of a type in a chain. An `io::Error` hides the one inside from `source()`, so it is opened.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
        Some(error)
    })
}

/// The operating system's own words, which hold nothing of the call.
fn innermost_io(error: &(dyn StdError + 'static)) -> Option<String> {
    chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).last().map(|error| {
        match error.raw_os_error() {
            Some(_) => error.to_string(),
            None => error.kind().to_string(),
        }
    })
}
