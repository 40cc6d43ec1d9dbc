//! The key of a connection: an owner's kind and id, and a connector's slug. Different connections never share a key.
//!
//! An id is one path segment that decodes to exactly that id, or it is refused: nothing is trimmed, normalised or guessed.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::core::error::Error;
use crate::core::text::is_blank;

/// Longest owner id or slug, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 1024;

/// Everything but the characters that RFC 3986 leaves unreserved is encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Whose connection is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnerKind {
    /// A user, under the id with which the user was provisioned.
    User,
    Group,
    /// A context: the one kind of the platform's newer pages.
    Context,
}

impl OwnerKind {
    pub const ALL: [Self; 3] = [Self::User, Self::Group, Self::Context];

    /// The name of the owner's id in messages.
    pub fn id_name(self) -> &'static str {
        match self {
            Self::User => "user id",
            Self::Group => "group id",
            Self::Context => "context id",
        }
    }
}

/// An owner's id or a slug that may go on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a>(&'a str);

impl<'a> Segment<'a> {
    /// Accepts what can be one path segment. `name` is the parameter's name in the message.
    pub fn new(text: &'a str, name: &str) -> Result<Self, Error> {
        #[cfg(feature = "panic-probe")]
        assert!(text != "panic-probe", "provoked");
        let problem = if text.is_empty() {
            "must not be empty"
        } else if text.len() > MAX_ID_BYTES {
            "must not be longer than 1,024 bytes"
        } else if text.chars().any(char::is_control) {
            "must not contain control characters"
        } else if text == "." || text == ".." {
            "must not be a dot segment (\".\" or \"..\")"
        } else if is_blank(text) {
            "must not be blank"
        } else {
            return Ok(Self(text));
        };
        Err(Error::argument(format!("The {name} {problem}")))
    }

    pub fn text(self) -> &'a str {
        self.0
    }

    /// Appends the text, percent-encoded as one path segment.
    pub fn push_encoded(self, target: &mut String) {
        target.extend(utf8_percent_encode(self.0, SEGMENT));
    }
}

/// One owner's connection to one connector. A cache holds many keys, so id and slug share one allocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    text: Arc<str>,
    id_bytes: u16,
    pub kind: OwnerKind,
}

impl ConnectionKey {
    /// Accepts what can go on the wire.
    pub fn new(kind: OwnerKind, id: &str, slug: &str) -> Result<Self, Error> {
        let (id, slug) = (Segment::new(id, kind.id_name())?.text(), Segment::new(slug, "slug")?.text());
        // A segment has at most `MAX_ID_BYTES`.
        let id_bytes = u16::try_from(id.len()).unwrap_or(u16::MAX);
        Ok(Self { text: [id, slug].concat().into(), id_bytes, kind })
    }

    pub fn id(&self) -> Segment<'_> {
        Segment(self.text.split_at(self.id_bytes.into()).0)
    }

    pub fn slug(&self) -> Segment<'_> {
        Segment(self.text.split_at(self.id_bytes.into()).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::error::Kind;

    #[test]
    fn a_refusal_names_the_kind_of_owner() {
        for (kind, name) in OwnerKind::ALL.into_iter().zip(["user id", "group id", "context id"]) {
            let error = ConnectionKey::new(kind, "", "s").unwrap_err();
            assert!(error.message.contains(name), "{}", error.message);
        }
    }

    #[test]
    fn what_cannot_be_one_segment_is_refused_without_repeating_it() {
        let long = "x".repeat(MAX_ID_BYTES + 1);
        for id in [
            "",
            " ",
            "\u{a0}\u{3000}",
            "\u{feff}",
            ".",
            "..",
            "a\nb",
            "secret\0",
            "\u{7f}",
            "\u{85}x",
            long.as_str(),
        ] {
            let error = Segment::new(id, "owner id").unwrap_err();
            assert_eq!(error.kind, Kind::InvalidArgument);
            assert!(error.message.starts_with("The owner id must not "), "{}", error.message);
            assert!(!error.message.contains("secret"));
        }
        assert!(Segment::new(&"x".repeat(MAX_ID_BYTES), "slug").is_ok());
    }
}
