//! Text that must never be printed: keys, tokens, the proxy's password. Owns the hiding, in memory and in headers.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use ring::hmac;
use serde::Deserialize;
use zeroize::Zeroizing;

/// A secret text: wiped from memory when dropped, censored in `Debug`, without `Display`.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over without a copy.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// The header of Basic authentication, marked as sensitive; `None` if it cannot be one.
pub fn basic_authorization(name: &str, password: &str) -> Option<HeaderValue> {
    let credentials = Zeroizing::new(format!("{name}:{password}"));
    let encoded = Zeroizing::new(format!("Basic {}", STANDARD.encode(credentials.as_bytes())));
    let mut header = HeaderValue::from_str(&encoded).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Tells tokens apart without a look at them: the first 12 hex digits of the HMAC-SHA-256 of a token.
pub fn fingerprint(key: &Secret, token: &Secret) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
    let digest = hmac::sign(&key, token.expose().as_bytes());
    digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_neither_the_text_nor_its_length() {
        let short = format!("{:?}", Secret::new("xoxb-1".to_owned()));
        let long = format!("{:#?}", Some(Secret::new("xoxb-1".repeat(100))));
        assert_eq!(short, "[secret]");
        assert!(!long.contains("xoxb") && long.contains("[secret]"));
    }

    #[test]
    fn reads_from_json_as_a_plain_string() {
        let secret: Secret = serde_json::from_str("\"t\\u006fken\"").unwrap();
        assert_eq!(secret.expose(), "token");
    }
}
