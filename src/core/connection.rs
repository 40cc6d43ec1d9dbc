//! A connection of an owner to a third-party service, as the platform told of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::core::packed::Packed;
use crate::core::secret::Secret;

/// Milliseconds since the Unix epoch.
pub type EpochMillis = f64;

/// Active with a token, or one of the ordinary states without.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Which of the two, with what belongs to it.
    pub state: ConnectionState,
    /// What the platform told besides.
    pub details: PackedDetails,
}

impl Connection {
    /// The token, if it is active.
    pub fn token(&self) -> Option<&str> {
        match &self.state {
            ConnectionState::Active { access_token, .. } => Some(access_token.expose()),
            ConnectionState::Unavailable { .. } => None,
        }
    }
}

/// The discriminant of a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionState {
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
        /// What else is known of it. Apart, since few are without a token.
        trouble: Box<Trouble>,
    },
}

/// Why a connection has no token, and where that is mended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trouble {
    /// The platform's code for what broke.
    pub error_code: Option<String>,
    /// The platform's words for what broke.
    pub error_message: Option<String>,
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
}

/// What else the platform told, each where it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Details<T> {
    /// The connector's slug as the platform returned it.
    pub slug: Option<T>,
    /// The connection's id.
    pub connection_id: Option<T>,
    /// The connector's name for people.
    pub connector_name: Option<T>,
    /// The authorization's id.
    pub authorization_id: Option<T>,
    /// The platform's own word for the authorization's state.
    pub authorization_status: Option<T>,
    /// The account's name for people.
    pub display_label: Option<T>,
}

/// Details in one buffer.
#[derive(Clone, PartialEq)]
pub struct PackedDetails(Packed);

/// How many there are.
pub const DETAILS: usize = 6;

impl<T> Details<T> {
    /// All of them, in the order of `from_all`.
    pub fn all(&self) -> [&Option<T>; DETAILS] {
        let Self {
            slug,
            connection_id,
            connector_name,
            authorization_id,
            authorization_status,
            display_label,
        } = self;
        [slug, connection_id, connector_name, authorization_id, authorization_status, display_label]
    }

    /// As `all` gave them.
    pub fn from_all(all: [Option<T>; DETAILS]) -> Self {
        let [slug, connection_id, connector_name, authorization_id, authorization_status, display_label] =
            all;
        Self { slug, connection_id, connector_name, authorization_id, authorization_status, display_label }
    }
}

impl<T: AsRef<str>> Details<T> {
    /// Packs them.
    pub fn pack(&self) -> PackedDetails {
        let fields =
            self.all().into_iter().map(|detail| detail.as_ref().map(|text| text.as_ref().as_bytes()));
        PackedDetails(Packed::new(fields))
    }
}

impl PackedDetails {
    /// Reads them.
    pub fn unpack(&self) -> Details<&str> {
        let mut fields = self.0.fields();
        Details::from_all([(); DETAILS].map(|()| fields.text()))
    }
}

impl Default for PackedDetails {
    fn default() -> Self {
        Details::<&str>::default().pack()
    }
}

impl fmt::Debug for PackedDetails {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unpack().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_as_it_was() {
        let details = Details {
            slug: Some("slack"),
            connection_id: None,
            connector_name: Some(""),
            authorization_id: Some("7"),
            authorization_status: None,
            display_label: Some("né"),
        };
        assert_eq!(details.pack().unpack(), details);
        assert_eq!(Details::<&str>::default().pack().unpack(), Details::default());
    }
}
