//! What can go wrong, as data: a kind with a stable code, and words a person can act on.
//!
//! Messages are built from fixed texts, statuses, limits and the platform's origin. They never hold a key, a token,
//! an owner's id, a header or a body.

use std::borrow::Cow;
use std::time::Duration;

/// The kinds of failure. Each has one stable code; the facade gives each code its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An argument or option has the right type but an unusable value.
    InvalidArgument,
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
    /// A time limit passed.
    Timeout,
    /// No connection, or it was lost.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The proxy did not do its part.
    Proxy,
    /// Too many calls wait already.
    Overloaded,
    /// The client was closed.
    Closed,
    /// A defect of this package.
    Internal,
}

impl Kind {
    /// The stable code that users match on.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidArgument => "ERR_INVALID_ARG_VALUE",
            Self::MissingCredentials => "ERR_XKIT_MISSING_CREDENTIALS",
            Self::InvalidApiKey => "ERR_XKIT_INVALID_API_KEY",
            Self::Forbidden => "ERR_XKIT_FORBIDDEN",
            Self::RateLimited => "ERR_XKIT_RATE_LIMITED",
            Self::Server => "ERR_XKIT_SERVER",
            Self::Http => "ERR_XKIT_HTTP",
            Self::Redirect => "ERR_XKIT_REDIRECT",
            Self::InvalidResponse => "ERR_XKIT_INVALID_RESPONSE",
            Self::ResponseTooLarge => "ERR_XKIT_RESPONSE_TOO_LARGE",
            Self::Timeout => "ERR_XKIT_TIMEOUT",
            Self::Connect => "ERR_XKIT_CONNECT",
            Self::Tls => "ERR_XKIT_TLS",
            Self::Proxy => "ERR_XKIT_PROXY",
            Self::Overloaded => "ERR_XKIT_OVERLOADED",
            Self::Closed => "ERR_XKIT_CLOSED",
            Self::Internal => "ERR_XKIT_INTERNAL",
        }
    }
}

/// One failure, complete: what the facade throws is this and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// Which failure it is.
    pub kind: Kind,
    /// What happened and what to do.
    pub message: Cow<'static, str>,
    /// Whether the same call may succeed later, unchanged.
    pub retryable: bool,
    /// Requests sent for the call.
    pub attempts: u32,
    /// Status of the last answer.
    pub status: Option<u16>,
    /// The answer's request id.
    pub request_id: Option<String>,
    /// How long the platform asks to wait.
    pub retry_after: Option<Duration>,
    /// The lower layer's own words, where they are known to be safe.
    pub cause: Option<String>,
}

impl Error {
    /// A failure with its words; not retryable until [`Error::retryable`] says so.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            retryable: false,
            attempts: 0,
            status: None,
            request_id: None,
            retry_after: None,
            cause: None,
        }
    }

    /// Marks the failure as passing.
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Whether the platform itself refuses: what was cached before may not be used any more. 404 with a body of the
    /// platform is a connection in the state `not_provisioned`; without one it tells of a wrong address.
    pub fn is_refusal(&self) -> bool {
        matches!(self.kind, Kind::InvalidApiKey | Kind::Forbidden) || self.status == Some(404)
    }

    /// An unusable value; `message` names the parameter and never repeats the value.
    pub fn argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::InvalidArgument, message)
    }

    /// The client was closed before the call.
    pub fn closed() -> Self {
        Self::new(Kind::Closed, "This client was closed: make the call on a client that is open")
    }

    /// Too many calls wait already.
    pub fn overloaded() -> Self {
        let message = "Too many calls wait already: make fewer at once, or raise maxConcurrency";
        Self::new(Kind::Overloaded, message).retryable()
    }

    /// A defect of this package: fixed words, since nothing about the call is known to be safe to print.
    pub fn internal() -> Self {
        Self::new(
            Kind::Internal,
            "Something went wrong inside xkit-node: please report it. The client goes on working",
        )
    }
}
