//! What the platform's answers look like. Both documented shapes are read: `authorization` and `connector` beside
//! `connection` (source: given) and inside it (source: found).
//!
//! What a verdict hangs on is typed: a wrong type there is no answer of the platform. A detail that cannot be read costs that
//! detail and nothing else.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::core::connection::EpochMillis;
use crate::core::json::Object;
use crate::core::platform::moment;
use crate::core::secret::Secret;

/// The farthest moment that a JavaScript `Date` can hold.
pub const MAX_DATE: EpochMillis = 8.64e15;

/// Reads a body. `None` if it is no JSON object in UTF-8, or what is typed has another type.
pub fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    // As text, since serde_json does not look into strings that it skips.
    let Object(body) = serde_json::from_str(str::from_utf8(body).ok()?).ok()?;
    Some(body)
}

/// A JSON object of which nothing is asked.
#[derive(Deserialize)]
pub struct Any {}

#[derive(Deserialize)]
pub struct BodyJson<'a> {
    #[serde(borrow, default)]
    pub error: Detail<'a>,
    #[serde(borrow)]
    pub connection: Option<Object<ConnectionJson<'a>>>,
    #[serde(borrow)]
    pub connector: Option<Object<ConnectorJson<'a>>>,
    #[serde(borrow)]
    pub authorization: Option<Object<AuthorizationJson<'a>>>,
}

#[derive(Deserialize)]
pub struct ConnectionJson<'a> {
    pub enabled: Option<bool>,
    #[serde(borrow, default)]
    pub id: Detail<'a>,
    #[serde(borrow)]
    pub connector: Option<Object<ConnectorJson<'a>>>,
    #[serde(borrow)]
    pub authorization: Option<Object<AuthorizationJson<'a>>>,
}

#[derive(Default, Deserialize)]
pub struct ConnectorJson<'a> {
    #[serde(borrow, default)]
    pub slug: Detail<'a>,
    #[serde(borrow, default)]
    pub name: Detail<'a>,
}

#[derive(Deserialize)]
pub struct AuthorizationJson<'a> {
    pub status: Option<String>,
    pub access_token: Option<Secret>,
    pub credential: Option<Secret>,
    pub access_credential: Option<Secret>,
    #[serde(borrow, default)]
    pub id: Detail<'a>,
    #[serde(borrow, default)]
    pub display_label: Detail<'a>,
    #[serde(borrow, default)]
    pub error_code: Detail<'a>,
    #[serde(borrow, default)]
    pub error_message: Detail<'a>,
    #[serde(borrow, default)]
    pub expires_at: Detail<'a>,
    #[serde(borrow, default)]
    pub expires_in: Detail<'a>,
}

impl AuthorizationJson<'_> {
    /// When the token ends: the earlier of what `expires_at` and `expires_in` say. Source: open.
    pub fn expiry(&self, now: EpochMillis) -> Option<EpochMillis> {
        let at = self.expires_at.text().and_then(|at| moment::read(&at));
        let after = self.expires_in.text().and_then(|left| finite(&left)).map(|seconds| now + seconds * 1e3);
        [at, after].into_iter().flatten().filter(|millis| millis.abs() <= MAX_DATE).reduce(f64::min)
    }
}

/// A field that no verdict hangs on, still as it came: whatever it is, it cannot spoil the rest.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(transparent)]
pub struct Detail<'a>(#[serde(borrow)] Option<&'a RawValue>);

impl Detail<'_> {
    /// A text or a number as text; anything else counts as absent.
    pub fn text(&self) -> Option<Box<str>> {
        match serde_json::from_str(self.0?.get()).ok()? {
            Value::String(text) => Some(text.into()),
            Value::Number(number) => Some(number.to_string().into()),
            _ => None,
        }
    }

    /// Whether it is there and says something.
    pub fn says_something(&self) -> bool {
        self.0.is_some_and(|raw| !matches!(raw.get(), "null" | "false" | "\"\""))
    }
}

fn finite(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}
