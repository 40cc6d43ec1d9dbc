//! A connection of an owner to a third-party service, as the platform told of it.

use crate::core::secret::Secret;

/// Milliseconds since the Unix epoch.
pub type EpochMillis = f64;

/// Active with a token, or one of the ordinary states without.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Which of the two, with what belongs to it.
    pub state: State,
    /// What the platform told besides.
    pub details: Details,
}

impl Connection {
    /// The token, if it is active.
    pub fn token(&self) -> Option<&str> {
        match &self.state {
            State::Active { access_token, .. } => Some(access_token.expose()),
            State::Unavailable { .. } => None,
        }
    }
}

/// The discriminant of a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Enabled, active and with a usable token.
    Active {
        /// The token for the third-party service.
        access_token: Secret,
        /// When it ends, if the platform tells.
        expires_at: Option<EpochMillis>,
    },
    /// An ordinary state without a token.
    Unavailable {
        /// Which one.
        reason: Unavailable,
        /// The platform's code for what broke.
        error_code: Option<String>,
        /// The platform's words for what broke.
        error_message: Option<String>,
        /// Where the owner sets the connection up or repairs it, if the catalog is known.
        connect_url: Option<String>,
    },
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
}

/// What else the platform told, each where it did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// The connector's slug as the platform returned it.
    pub slug: Option<String>,
    /// The connection's id.
    pub connection_id: Option<String>,
    /// The connector's name for people.
    pub connector_name: Option<String>,
    /// The authorization's id.
    pub authorization_id: Option<String>,
    /// The platform's own word for the authorization's state.
    pub authorization_status: Option<String>,
    /// The account's name for people.
    pub display_label: Option<String>,
}
