//! The options that concern connections.

use std::sync::Arc;
use std::time::Duration;

use super::identity::Identity;
use super::proxy::Proxy;
use super::tls::Trust;

/// The checked options of a transport.
#[derive(Debug)]
pub struct TransportSettings {
    /// The platform's scheme, host and port, for messages.
    pub origin: String,
    pub is_https: bool,
    /// Whether HTTP/2 is offered, rather than HTTP/1.1 alone.
    pub http2: bool,
    pub connect_timeout: Duration,
    /// No new request goes over a connection that is older.
    pub max_connection_age: Duration,
    pub proxy: Option<Proxy>,
    pub trust: Trust,
    pub identity: Arc<Identity>,
}
