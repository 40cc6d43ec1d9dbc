//! The shapes of the platform's answers. It has two: `authorization` and `connector` next to `connection`, as its
//! reference has it, and inside it, as its sample application reads it.
//!
//! Fields that the verdict depends on have a type, and an answer with another type there is not the platform's. A
//! detail that cannot be read is absent.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::core::connection::EpochMillis;
use crate::core::json::Object;
use crate::core::platform::moment;
use crate::core::secret::Secret;

/// The latest moment that a JavaScript `Date` can hold.
pub const MAX_DATE: EpochMillis = 8.64e15;

/// Reads a body. `None` if it is no JSON object in UTF-8, or a field has another type.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    // We check UTF-8 first, since serde_json does not check strings that it skips
    // (<https://github.com/serde-rs/json/pull/830>).
    let Object(body) = serde_json::from_str(str::from_utf8(body).ok()?).ok()?;
    Some(body)
}

/// Any JSON object.
#[derive(Deserialize)]
pub struct Any {}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct BodyJson {
    pub error: Detail,
    pub connection: Option<Object<ConnectionJson>>,
    pub connector: Option<Object<ConnectorJson>>,
    pub authorization: Option<Object<AuthorizationJson>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ConnectionJson {
    pub enabled: Option<bool>,
    pub id: Detail,
    pub connector: Option<Object<ConnectorJson>>,
    pub authorization: Option<Object<AuthorizationJson>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ConnectorJson {
    pub slug: Detail,
    pub name: Detail,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct AuthorizationJson {
    pub status: Option<String>,
    pub access_token: Option<Secret>,
    pub credential: Option<Secret>,
    pub access_credential: Option<Secret>,
    pub id: Detail,
    pub display_label: Detail,
    pub error_code: Detail,
    pub error_message: Detail,
    pub expires_at: Detail,
    pub expires_in: Detail,
}

impl AuthorizationJson {
    /// When the token expires: the earlier of `expires_at` and `expires_in`. The platform documents neither.
    pub fn expiry(&self, now: EpochMillis) -> Option<EpochMillis> {
        let at = self.expires_at.text().and_then(|at| moment::read(&at));
        let after = self.expires_in.text().and_then(|left| finite(&left)).map(|seconds| now + seconds * 1e3);
        [at, after].into_iter().flatten().filter(|millis| millis.abs() <= MAX_DATE).reduce(f64::min)
    }
}

/// A field that no verdict depends on, unparsed, so that its value cannot make the whole answer unreadable.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub struct Detail(Option<Box<RawValue>>);

impl Detail {
    /// A text or a number as text; anything else counts as absent.
    pub fn text(&self) -> Option<Box<str>> {
        match serde_json::from_str(self.0.as_ref()?.get()).ok()? {
            Value::String(text) => Some(text.into()),
            Value::Number(number) => Some(number.to_string().into()),
            _ => None,
        }
    }

    /// Whether it is present and neither null, false nor empty.
    pub fn says_something(&self) -> bool {
        self.0.as_ref().is_some_and(|raw| !matches!(raw.get(), "null" | "false" | "\"\""))
    }
}

fn finite(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}
