//! What Redis gets to see: names by HMAC-SHA-256, and values by AES-256-GCM that fit no other name. Every key is
//! derived by HKDF-SHA-256 from one secret, so that without it neither tells an owner, a slug or a token.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::core::connection::{Connection, Details, EpochMillis, State};
use crate::core::error::Error;
use crate::core::json::Object;
use crate::core::mutation::{self, Mutation};
use crate::core::secret::Secret;
use crate::core::tokens::key::{Key, OwnerKind};

/// Fixed, so that every process derives the same; the secret is what is random.
const SALT: &[u8] = b"xkit-node fleet cache";
/// The first byte of what is sealed. A format that is not known is a miss.
const FORMAT: u8 = 1;
const DIGEST: usize = 32;
const TAG: usize = 16;

/// Names one connection in Redis.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name([u8; DIGEST]);

impl Name {
    /// Bytes of a name.
    pub const LENGTH: usize = DIGEST;

    /// As Redis sees it.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// A number that few names share.
    pub fn slot(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// As a message carries it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// From what [`Name::bytes`] gave.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Name")
    }
}

/// Tells whether two tokens of one connection are the same, and nothing else.
pub type Tag = [u8; TAG];

/// A connection with the life that it has in Redis.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub connection: Connection,
    /// When it was fetched.
    pub from: EpochMillis,
    /// When it is over.
    pub until: EpochMillis,
}

/// The derived keys.
pub struct Keys {
    values: LessSafeKey,
    names: hmac::Key,
    tags: hmac::Key,
    random: SystemRandom,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keys")
    }
}

/// How a connection is written: an object, so that later formats can say more.
#[derive(Serialize)]
struct Written<'a> {
    from: EpochMillis,
    until: EpochMillis,
    token: &'a str,
    expires_at: Option<EpochMillis>,
    slug: Option<&'a str>,
    connection_id: Option<&'a str>,
    connector_name: Option<&'a str>,
    authorization_id: Option<&'a str>,
    authorization_status: Option<&'a str>,
    display_label: Option<&'a str>,
}

#[derive(Deserialize)]
struct Read {
    from: EpochMillis,
    until: EpochMillis,
    token: Secret,
    expires_at: Option<EpochMillis>,
    slug: Option<String>,
    connection_id: Option<String>,
    connector_name: Option<String>,
    authorization_id: Option<String>,
    authorization_status: Option<String>,
    display_label: Option<String>,
}

impl Keys {
    /// Derives the keys. Clients with different publishable keys share nothing, whatever the secret is.
    pub fn derive(secret: &[u8], publishable_key: &str) -> Result<Self, Error> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret);
        let derive = |purpose: &str| {
            let mut key = Zeroizing::new([0; DIGEST]);
            let info = [purpose.as_bytes(), b"\0", publishable_key.as_bytes()];
            let derived = root.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut *key));
            derived.map(|()| key).map_err(|_| Error::internal())
        };
        let values = UnboundKey::new(&AES_256_GCM, &*derive("values")?).map_err(|_| Error::internal())?;
        Ok(Self {
            values: LessSafeKey::new(values),
            names: hmac::Key::new(hmac::HMAC_SHA256, &*derive("names")?),
            tags: hmac::Key::new(hmac::HMAC_SHA256, &*derive("tags")?),
            random: SystemRandom::new(),
        })
    }

    /// The name of a connection at the platform that `scope` tells apart from others. Each part has its length before it, so
    /// that no two connections have one name.
    pub fn name(&self, scope: &str, key: &Key) -> Name {
        let kind = match key.kind {
            _ if mutation::is(Mutation::KindsShareNames) => "user",
            OwnerKind::User => "user",
            OwnerKind::Group => "group",
            OwnerKind::Context => "context",
        };
        let mut name = hmac::Context::with_key(&self.names);
        for part in [kind, scope, key.id().text(), key.slug().text()] {
            name.update(&(part.len() as u64).to_be_bytes());
            name.update(part.as_bytes());
        }
        Name(bytes(name.sign().as_ref()))
    }

    /// What the names and the channel of these keys have in common.
    pub fn namespace(&self) -> String {
        let digest = hmac::sign(&self.names, b"namespace");
        URL_SAFE_NO_PAD.encode(&digest.as_ref()[..9])
    }

    /// The tag of a connection's token.
    pub fn tag(&self, name: &Name, token: &str) -> Tag {
        let mut tag = hmac::Context::with_key(&self.tags);
        tag.update(&name.0);
        tag.update(token.as_bytes());
        bytes(tag.sign().as_ref())
    }

    /// Random bytes; `None` when the system has none.
    pub fn random<const LENGTH: usize>(&self) -> Option<[u8; LENGTH]> {
        let mut random = [0; LENGTH];
        self.random.fill(&mut random).ok()?;
        Some(random)
    }

    /// The entry as Redis gets it: tag, format, nonce, ciphertext. `None` for what has no token.
    pub fn seal(&self, name: &Name, entry: &Entry) -> Option<Vec<u8>> {
        let State::Active { access_token, expires_at } = &entry.connection.state else { return None };
        let token = access_token.expose();
        let details = entry.connection.details.unpack();
        let written = Written {
            from: entry.from,
            until: entry.until,
            token,
            expires_at: *expires_at,
            slug: details.slug,
            connection_id: details.connection_id,
            connector_name: details.connector_name,
            authorization_id: details.authorization_id,
            authorization_status: details.authorization_status,
            display_label: details.display_label,
        };
        // It is encrypted where it stands, so no copy of the token is left behind.
        let mut text = serde_json::to_vec(&written).ok()?;
        let nonce: [u8; NONCE_LEN] = self.random()?;
        let tag = self.tag(name, token);
        let head = [&tag[..], &[FORMAT], &nonce].concat();
        let aad = Aad::from([&name.0[..], &head].concat());
        let sealed =
            self.values.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text);
        sealed.ok().map(|()| [head, text].concat())
    }

    /// The entry, if it was sealed with these keys under this name and nobody has altered it since.
    pub fn open(&self, name: &Name, sealed: &[u8]) -> Option<Entry> {
        let (head, text) = sealed.split_at_checked(TAG + 1 + NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(&head[TAG + 1..]).ok()?;
        let aad = Aad::from([&name.0[..], head].concat());
        let mut text = Zeroizing::new(text.to_vec());
        let text = self.values.open_in_place(nonce, aad, &mut text).ok()?;
        if head[TAG] != FORMAT {
            return None;
        }
        let Object(read) = serde_json::from_slice::<Object<Read>>(text).ok()?;
        Some(Entry {
            from: read.from,
            until: read.until,
            connection: Connection {
                state: State::Active { access_token: read.token, expires_at: read.expires_at },
                details: Details {
                    slug: read.slug,
                    connection_id: read.connection_id,
                    connector_name: read.connector_name,
                    authorization_id: read.authorization_id,
                    authorization_status: read.authorization_status,
                    display_label: read.display_label,
                }
                .pack(),
            },
        })
    }
}

/// The first bytes of a digest, which has more than are asked for.
fn bytes<const LENGTH: usize>(digest: &[u8]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes.copy_from_slice(&digest[..LENGTH]);
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn keys() -> Keys {
        Keys::derive(b"a secret key", "pk").unwrap()
    }

    fn entry(token: &str) -> Entry {
        Entry {
            connection: Connection {
                state: State::Active { access_token: Secret::new(token.to_owned()), expires_at: Some(3e12) },
                details: Details {
                    slug: Some("slack".to_owned()),
                    connection_id: Some("c1".to_owned()),
                    connector_name: Some("Slack".to_owned()),
                    authorization_id: Some("7".to_owned()),
                    authorization_status: Some("active".to_owned()),
                    display_label: Some("me@acme.test".to_owned()),
                }
                .pack(),
            },
            from: 1.7e12,
            until: 1.7e12 + 60_000.5,
        }
    }

    fn name_of(keys: &Keys, id: &str) -> Name {
        keys.name("https://p.test", &Key::new(OwnerKind::User, id, "slack").unwrap())
    }

    #[test]
    fn what_was_sealed_opens_again_whole() {
        let keys = keys();
        let name = name_of(&keys, "u1");
        let sealed = keys.seal(&name, &entry("xoxb-1")).unwrap();
        assert_eq!(keys.open(&name, &sealed), Some(entry("xoxb-1")));
        assert_ne!(sealed, keys.seal(&name, &entry("xoxb-1")).unwrap(), "a nonce is used once");
        assert_eq!(sealed[..TAG], keys.tag(&name, "xoxb-1"));
    }

    #[test]
    fn what_is_altered_cut_swapped_or_foreign_does_not_open() {
        let keys = keys();
        let name = name_of(&keys, "u1");
        let sealed = keys.seal(&name, &entry("xoxb-1")).unwrap();
        for position in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[position] ^= 1;
            assert_eq!(keys.open(&name, &altered), None, "{position}");
            assert_eq!(keys.open(&name, &sealed[..position]), None, "{position}");
        }
        let other = name_of(&keys, "u2");
        assert_eq!(keys.open(&other, &sealed), None);
        for (secret, publishable_key) in [("another secret", "pk"), ("a secret key", "other")] {
            let foreign = Keys::derive(secret.as_bytes(), publishable_key).unwrap();
            assert_eq!(foreign.open(&name, &sealed), None);
            assert_ne!(name_of(&foreign, "u1"), name);
            assert_ne!(foreign.namespace(), keys.namespace());
        }
    }

    #[test]
    fn what_is_sealed_shows_nothing() {
        let keys = keys();
        let name = name_of(&keys, "u1");
        let sealed = keys.seal(&name, &entry("xoxb-1")).unwrap();
        for text in ["xoxb-1", "slack", "acme", "token"] {
            assert!(!sealed.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
        }
        assert!(!format!("{keys:?} {name:?} {:?}", entry("xoxb-1")).contains("xoxb"));
    }

    #[test]
    fn every_connection_has_a_name_of_its_own() {
        let keys = keys();
        let mut names = HashSet::new();
        for kind in OwnerKind::ALL {
            for (scope, id, slug) in
                [("p", "u1", "s"), ("p", "u2", "s"), ("q", "u1", "s"), ("p", "u", "1s"), ("pu", "1", "s")]
            {
                assert!(names.insert(keys.name(scope, &Key::new(kind, id, slug).unwrap())));
            }
        }
        let name = name_of(&keys, "u1");
        assert_eq!(Name::parse(name.bytes()), Some(name));
        assert_eq!(Name::parse(b"u1"), None);
    }

    #[test]
    fn tags_tell_tokens_and_connections_apart() {
        let keys = keys();
        let (one, other) = (name_of(&keys, "u1"), name_of(&keys, "u2"));
        let tags = HashSet::from([keys.tag(&one, "a"), keys.tag(&one, "b"), keys.tag(&other, "a")]);
        assert_eq!(tags.len(), 3);
    }

    #[test]
    fn what_has_no_token_is_not_sealed() {
        use crate::core::connection::{PackedDetails, Unavailable};
        let keys = keys();
        let state = State::Unavailable { reason: Unavailable::Pending, trouble: Box::default() };
        let connection = Connection { state, details: PackedDetails::default() };
        let entry = Entry { connection, from: 0.0, until: 1.0 };
        assert_eq!(keys.seal(&name_of(&keys, "u1"), &entry), None);
    }
}
