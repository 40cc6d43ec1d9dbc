//! An owner's connection to a third-party service, as the platform returned it.

use std::time::Duration;

use crate::core::secret::Secret;

/// Milliseconds since the Unix epoch.
pub type EpochMillis = f64;

/// Active with a token, or one of the ordinary states without.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Active or unavailable, with what belongs to that.
    pub state: ConnectionState,
    pub details: Details,
}

impl Connection {
    pub fn token(&self) -> Option<&str> {
        match &self.state {
            ConnectionState::Active { access_token, .. } => Some(access_token.expose()),
            ConnectionState::Unavailable { .. } => None,
        }
    }
}

/// A fetched connection.
#[derive(Debug)]
pub struct Fetched {
    /// The connection, whatever its state.
    pub connection: Connection,
    /// How long other processes have cached it already.
    pub age: Duration,
    /// How long it may be cached at most.
    pub left: Duration,
}

impl From<Connection> for Fetched {
    /// Fetched just now.
    fn from(connection: Connection) -> Self {
        Self { connection, age: Duration::ZERO, left: Duration::MAX }
    }
}

/// Whether a connection has a token.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionState {
    /// Enabled, active and with a usable token.
    Active {
        access_token: Secret,
        /// When it expires, if the platform says so.
        expires_at: Option<EpochMillis>,
    },
    /// An ordinary state without a token.
    Unavailable {
        reason: Unavailable,
        /// Why, as far as the platform said. Boxed, since few connections are without a token.
        trouble: Box<Trouble>,
    },
}

/// Why a connection has no token, and where the owner repairs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trouble {
    /// The platform's code for what broke.
    pub error_code: Option<Box<str>>,
    /// The platform's words for what broke.
    pub error_message: Option<Box<str>>,
    /// Where the owner sets the connection up or repairs it, if the catalog is known.
    pub connect_url: Option<String>,
}

/// The four ordinary states without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The platform does not know the owner.
    NotProvisioned,
    /// The owner has not enabled the connection.
    NotEnabled,
    /// The authorization is under way.
    Pending,
    /// The authorization broke.
    NeedsReauthorization,
}

impl Unavailable {
    /// The `status` that users see.
    pub fn status(self) -> &'static str {
        match self {
            Self::NotProvisioned => "not_provisioned",
            Self::NotEnabled => "not_enabled",
            Self::Pending => "pending",
            Self::NeedsReauthorization => "needs_reauthorization",
        }
    }

    /// The code of the error for a caller who wants a token.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotProvisioned => "ERR_XKIT_NOT_PROVISIONED",
            Self::NotEnabled => "ERR_XKIT_NOT_ENABLED",
            Self::Pending => "ERR_XKIT_PENDING",
            Self::NeedsReauthorization => "ERR_XKIT_NEEDS_REAUTHORIZATION",
        }
    }
}

/// Details of a connection, each as far as the platform returned it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// The connector's slug as the platform returned it.
    pub slug: Option<Box<str>>,
    pub connection_id: Option<Box<str>>,
    /// The connector's name for people.
    pub connector_name: Option<Box<str>>,
    pub authorization_id: Option<Box<str>>,
    /// The platform's own word for the authorization's state.
    pub authorization_status: Option<Box<str>>,
    /// The account's name for people.
    pub display_label: Option<Box<str>>,
}
