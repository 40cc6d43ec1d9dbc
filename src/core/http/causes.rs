//! Reads reqwest's errors: what went wrong, by the types in the chain of causes.

use std::error::Error as StdError;
use std::io;

use h2::Reason;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{HttpConnector, HttpInfo};
use rustls::AlertDescription;
use tokio::time::error::Elapsed;
use tower_service::Service;

use super::pool::PoolChoice;
use crate::core::resolver::LookupError;

/// hyper-util does not export the error of its tunnel by name.
type TunnelError = <Tunnel<HttpConnector> as Service<hyper::Uri>>::Error;

/// How reqwest says that the target of a tunnel is an IPv6 address: it gives it to rustls with its brackets
/// (<https://github.com/seanmonstar/reqwest/issues/3094>).
const INVALID_SERVER_NAME: &str = "Invalid Server Name";

/// Why there is no connection.
#[derive(Debug)]
pub enum NoConnection<'a> {
    /// The TLS handshake failed: with the proxy, or else with the platform.
    Tls { error: &'a rustls::Error, is_with_proxy: bool },
    /// The name has no address: the proxy's, or else the platform's.
    Lookup(&'a LookupError),
    /// The time limit of a connection passed.
    TimedOut,
    /// reqwest opens no tunnel to an IPv6 address.
    TunnelToIpv6,
    /// The proxy answered CONNECT, and did not open the tunnel.
    TunnelRefused,
    /// The connection to the proxy was lost, before the tunnel was open or in it.
    TunnelLost,
    /// The system did not open a connection: to the proxy, or else to the platform.
    Unreachable,
}

impl<'a> NoConnection<'a> {
    /// Reads an error of `reqwest::Error::is_connect`.
    pub fn read(error: &'a reqwest::Error, is_proxied: bool) -> Self {
        use TunnelError as Tunnel;
        let tunnel = find::<TunnelError>(error);
        let is_with_proxy = matches!(tunnel, Some(Tunnel::ConnectFailed(_)));
        if let Some(error) = find(error) {
            return Self::Tls { error, is_with_proxy };
        }
        if find::<Elapsed>(error).is_some() || error.is_timeout() {
            return Self::TimedOut;
        }
        if let Some(error) = find(error) {
            return Self::Lookup(error);
        }
        match tunnel {
            None if chain(error).any(|error| error.to_string() == INVALID_SERVER_NAME) => Self::TunnelToIpv6,
            None if is_proxied => Self::TunnelLost,
            None | Some(Tunnel::ConnectFailed(_)) => Self::Unreachable,
            Some(Tunnel::Io(_) | Tunnel::TunnelUnexpectedEof | Tunnel::MissingHost) => Self::TunnelLost,
            Some(Tunnel::ProxyAuthRequired | Tunnel::ProxyHeadersTooLong | Tunnel::TunnelUnsuccessful) => {
                Self::TunnelRefused
            }
        }
    }
}

/// The connection that a request was sent on before it failed.
pub fn connection_of(error: &(dyn StdError + 'static)) -> Option<HttpInfo> {
    let mut extensions = Default::default();
    find::<legacy::Error>(error)?.connect_info()?.get_extras(&mut extensions);
    extensions.remove()
}

/// Where to send a request again that was not processed: the server left an HTTP/2 connection or refused the stream
/// before it looked at it (RFC 9113, section 8.7), or the connection ended before hyper sent it. hyper leaves it to its
/// callers to send such a request again (<https://github.com/hyperium/hyper/issues/2500>).
pub fn unprocessed(error: &(dyn StdError + 'static)) -> Option<PoolChoice> {
    if wants_http1(error) {
        return Some(PoolChoice::Current);
    }
    match find::<h2::Error>(error).filter(|error| error.is_remote()) {
        Some(error) if error.is_go_away() => Some(PoolChoice::Alone),
        // The connection lives on, and by now has told h2 how many streams it takes.
        Some(error) if error.reason() == Some(Reason::REFUSED_STREAM) => Some(PoolChoice::Current),
        _ => find::<hyper::Error>(error)?.is_canceled().then_some(PoolChoice::Alone),
    }
}

/// Whether the server demands HTTP/1.1 for this request (RFC 9113, section 7).
pub fn wants_http1(error: &(dyn StdError + 'static)) -> bool {
    find::<h2::Error>(error)
        .is_some_and(|error| error.is_remote() && error.reason() == Some(Reason::HTTP_1_1_REQUIRED))
}

/// Whether the answer has more headers, or longer ones, than hyper reads.
pub fn has_oversized_head(error: &(dyn StdError + 'static)) -> bool {
    find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse_too_large)
}

/// Whether the answer is not valid HTTP.
pub fn is_malformed(error: &(dyn StdError + 'static)) -> bool {
    let is_not_http = find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse);
    let is_bad_stream = find::<h2::Error>(error)
        .is_some_and(|error| error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR));
    let is_bad_data = find::<io::Error>(error).is_some_and(|error| {
        matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
    });
    is_not_http || is_bad_stream || is_bad_data && find::<rustls::Error>(error).is_none()
}

/// Whether the server ended the connection with this alert. Over HTTP/2 only the alert's words are left of it, since h2
/// keeps the text of an `io::Error` and not its source.
pub fn was_alerted(error: &(dyn StdError + 'static), alert: AlertDescription) -> bool {
    let words = rustls::Error::AlertReceived(alert).to_string();
    chain(error).any(|error| error.to_string() == words)
}

/// The operating system's own words, which contain no data of the call.
pub fn system_words(error: &(dyn StdError + 'static)) -> Option<String> {
    chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).last().map(|error| {
        match error.raw_os_error() {
            Some(_) => error.to_string(),
            None => error.kind().to_string(),
        }
    })
}

/// The first error of a type in a chain.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The error and its causes. `source()` of an `io::Error` skips the error inside of it, which is what counts here.
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
