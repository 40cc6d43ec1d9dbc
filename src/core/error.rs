//! Failures as data: a kind with a stable code and a class, and a message that a person can act on.
//!
//! Messages are built from fixed texts, statuses, limits and the platform's origin. They never hold a key, a token,
//! an owner's id, a header or a body.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use crate::core::connection::{Connection, ConnectionState, Unavailable};

/// The kinds of failure. Each has one stable code and one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// An argument or option has the right type but an unusable value.
    InvalidArgument,
    /// The connection has no token, for an ordinary reason.
    Unavailable(Unavailable),
    /// A key is missing or empty.
    MissingCredentials,
    /// 401.
    InvalidApiKey,
    /// 403.
    Forbidden,
    /// 429.
    RateLimited,
    /// 5xx.
    Server,
    /// Any other status.
    Http,
    /// 3xx.
    Redirect,
    /// Not an answer of the platform.
    InvalidResponse,
    /// Body or headers over the limit.
    ResponseTooLarge,
    Timeout,
    /// No connection, or it was lost.
    Connect,
    Tls,
    /// The proxy opened no tunnel.
    Proxy,
    /// Too many calls wait, or the system refuses a thread.
    Overloaded,
    Closed,
    /// A defect of this package.
    #[default]
    Internal,
}

impl Kind {
    /// The stable code that users match on.
    pub fn code(self) -> &'static str {
        self.names().0
    }

    /// The name of the class that users catch.
    pub fn class_name(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidArgument => ("ERR_INVALID_ARG_VALUE", "TypeError"),
            Self::Unavailable(reason) => (reason.code(), "ConnectionUnavailableError"),
            Self::MissingCredentials => ("ERR_XKIT_MISSING_CREDENTIALS", "XkitError"),
            Self::Overloaded => ("ERR_XKIT_OVERLOADED", "XkitError"),
            Self::Closed => ("ERR_XKIT_CLOSED", "XkitError"),
            Self::Internal => ("ERR_XKIT_INTERNAL", "XkitError"),
            Self::InvalidApiKey => ("ERR_XKIT_INVALID_API_KEY", "XkitApiError"),
            Self::Forbidden => ("ERR_XKIT_FORBIDDEN", "XkitApiError"),
            Self::RateLimited => ("ERR_XKIT_RATE_LIMITED", "XkitApiError"),
            Self::Server => ("ERR_XKIT_SERVER", "XkitApiError"),
            Self::Http => ("ERR_XKIT_HTTP", "XkitApiError"),
            Self::Redirect => ("ERR_XKIT_REDIRECT", "XkitApiError"),
            Self::InvalidResponse => ("ERR_XKIT_INVALID_RESPONSE", "XkitApiError"),
            Self::ResponseTooLarge => ("ERR_XKIT_RESPONSE_TOO_LARGE", "XkitApiError"),
            Self::Timeout => ("ERR_XKIT_TIMEOUT", "XkitNetworkError"),
            Self::Connect => ("ERR_XKIT_CONNECT", "XkitNetworkError"),
            Self::Tls => ("ERR_XKIT_TLS", "XkitNetworkError"),
            Self::Proxy => ("ERR_XKIT_PROXY", "XkitNetworkError"),
        }
    }
}

/// One failure, with all that the facade throws.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Error {
    pub kind: Kind,
    /// Says what happened and what to do.
    pub message: Cow<'static, str>,
    /// Whether the same call may succeed later, unchanged.
    pub retryable: bool,
    /// Requests sent for the call.
    pub attempts: u32,
    pub status: Option<u16>,
    pub request_id: Option<Box<str>>,
    /// How long the platform asks to wait.
    pub retry_after: Option<Duration>,
    /// The lower layer's own words, where they are known to be safe.
    pub cause: Option<Box<str>>,
    /// The unusable option; its message lacks the subject until the source is named.
    pub option: Option<&'static str>,
}

impl Error {
    /// A failure with its words; not retryable until [`Error::retryable`] says so.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), ..Self::default() }
    }

    /// Marks the failure as passing.
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Whether the platform refuses these keys, so that what they fetched before must not be served any more. A 404 is
    /// no such error: with a body of the platform it is a connection in the state `not_provisioned`, and without one
    /// it does not come from the platform.
    pub fn is_refusal(&self) -> bool {
        matches!(self.kind, Kind::InvalidApiKey | Kind::Forbidden)
    }

    /// An unusable value; `message` names the parameter and never repeats the value.
    pub fn argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::InvalidArgument, message)
    }

    /// There is no token, since the connection is not active. `slug` is the one that was asked for.
    pub fn unavailable(connection: &Connection, slug: &str) -> Option<Self> {
        let ConnectionState::Unavailable { reason, trouble } = &connection.state else { return None };
        let connect_url = &trouble.connect_url;
        let (what, todo) = match reason {
            Unavailable::NotProvisioned => (
                "Xkit does not know this owner",
                "check the id and the slug (for a group also its path, with npx --no xkit doctor), or have the owner set the connection up",
            ),
            Unavailable::NotEnabled => (
                "the owner has not enabled this connection",
                "check the slug, or have the owner enable the connection",
            ),
            Unavailable::Pending => (
                "the authorization of this connection is under way",
                "call again later, or have the owner finish it",
            ),
            Unavailable::NeedsReauthorization => {
                ("the authorization of this connection broke", "have the owner connect again")
            }
        };
        let place = match connect_url {
            Some(url) => format!(" at {url}"),
            None => " (there is no link, since neither catalogUrl nor XKIT_CATALOG_URL is set)".to_owned(),
        };
        let message = format!("No access token for {slug}: {what}; {todo}{place}");
        let error = Self::new(Kind::Unavailable(*reason), message);
        Some(if *reason == Unavailable::Pending { error.retryable() } else { error })
    }

    /// An unusable option. `problem` completes a sentence that `config` begins with the option, or with the
    /// environment variable that held the value.
    pub fn option(option: &'static str, problem: impl Into<String>) -> Self {
        Self { option: Some(option), ..Self::argument(problem.into()) }
    }

    pub fn closed() -> Self {
        Self::new(Kind::Closed, "This client was closed: make the call on a client that is open")
    }

    pub fn overloaded() -> Self {
        let message = "Too many calls wait already: make fewer at once, or raise maxConcurrency";
        Self::new(Kind::Overloaded, message).retryable()
    }

    /// The system refused the thread that does the work.
    pub fn no_thread(cause: &io::Error) -> Self {
        let message = "The system refused a thread for xkit-node: raise the limit of processes or threads, or call again later";
        Self { cause: Some(cause.to_string().into()), ..Self::new(Kind::Overloaded, message).retryable() }
    }

    /// A defect of this package: fixed words, since nothing about the call is known to be safe to print.
    pub fn internal() -> Self {
        Self::new(
            Kind::Internal,
            "Something went wrong inside xkit-node: please report it. The client goes on working",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::connection::{Details, Trouble};

    fn told(reason: Unavailable, connect_url: Option<&str>) -> Option<Error> {
        let connect_url = connect_url.map(str::to_owned);
        let trouble = Box::new(Trouble { connect_url, ..Trouble::default() });
        let state = ConnectionState::Unavailable { reason, trouble };
        Error::unavailable(&Connection { state, details: Details::default() }, "slack")
    }

    #[test]
    fn a_connection_without_a_token_is_told_with_what_to_do_and_where() {
        use Unavailable::{NeedsReauthorization, NotEnabled, NotProvisioned, Pending};
        for (reason, code, retryable, words) in [
            (
                NotProvisioned,
                "ERR_XKIT_NOT_PROVISIONED",
                false,
                "Xkit does not know this owner; check the id",
            ),
            (NotEnabled, "ERR_XKIT_NOT_ENABLED", false, "has not enabled this connection; check the slug"),
            (Pending, "ERR_XKIT_PENDING", true, "under way; call again later"),
            (NeedsReauthorization, "ERR_XKIT_NEEDS_REAUTHORIZATION", false, "broke; have the owner connect"),
        ] {
            let error = told(reason, Some("https://acme.test/connectors/slack")).unwrap();
            assert_eq!((error.kind.code(), error.retryable), (code, retryable));
            assert_eq!(error.kind.class_name(), "ConnectionUnavailableError");
            assert!(error.message.starts_with("No access token for slack: "), "{}", error.message);
            assert!(error.message.contains(words), "{}", error.message);
            assert!(error.message.ends_with(" at https://acme.test/connectors/slack"), "{}", error.message);
            assert!(!told(reason, None).unwrap().message.contains(" at "));
        }
    }
}
