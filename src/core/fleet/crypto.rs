//! Owns what Redis gets to see: names by HMAC-SHA-256, and entries by AES-256-GCM that open under no other name. Every key
//! is derived by HKDF-SHA-256 from one secret; without it, no name reveals an owner or a slug, and no entry a token. A buffer
//! that holds a token is wiped, and never grows, since growing leaves a copy behind.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

use crate::core::connection::{Connection, EpochMillis};
use crate::core::error::Error;
use crate::core::tokens::key::OwnerKind;
use crate::core::tokens::packed::{Fields, pack, unpack};
use crate::core::tokens::validity::NamePrefix;

/// Public and fixed: all processes have to derive the same keys. The number is that of the format; processes that use
/// different formats share nothing.
const SALT: &[u8] = b"xkit-node fleet cache 3";
/// Stands in each sealed entry. An entry in another format is a miss.
const FORMAT: u8 = 3;
/// The shortest secret that keys are derived from. A shorter one could be guessed from what is stored in Redis.
pub const MIN_SECRET_BYTES: usize = 16;
const DIGEST: usize = 32;
const TAG: usize = 16;
const HEAD: usize = TAG + 1 + NONCE_LEN;

/// Names one connection in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name([u8; DIGEST]);

impl Name {
    pub const LENGTH: usize = DIGEST;

    /// The name as Redis sees it.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The part by which a process keeps the versions of connections. Few names share one.
    pub fn prefix(&self) -> NamePrefix {
        NamePrefix::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }

    /// The name as a message carries it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads what [`Name::bytes`] gave.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// Tells whether two tokens of one connection are the same, and nothing else.
pub type Tag = [u8; TAG];

/// A connection, and how long others may read it from Redis.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub connection: Connection,
    pub from: EpochMillis,
    pub until: EpochMillis,
}

pub struct FleetKeys {
    entries: hkdf::Prk,
    names: hmac::Key,
    tags: hmac::Key,
    random: SystemRandom,
}

impl FleetKeys {
    /// Derives the keys. Clients with different publishable keys share nothing, even if their secrets are the same.
    pub fn derive(secret: &[u8], publishable_key: &str) -> Result<Self, Error> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret);
        let derive = |purpose: &str| {
            let mut key = Zeroizing::new([0; DIGEST]);
            let info = [purpose.as_bytes(), b"\0", publishable_key.as_bytes()];
            let derived = root.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut *key));
            derived.map(|()| key).map_err(|_| Error::internal())
        };
        Ok(Self {
            entries: hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &*derive("entries")?),
            names: hmac::Key::new(hmac::HMAC_SHA256, &*derive("names")?),
            tags: hmac::Key::new(hmac::HMAC_SHA256, &*derive("tags")?),
            random: SystemRandom::new(),
        })
    }

    /// The name of the connection that the platform has at a URL. The kind of owner counts too, since an option may give two
    /// kinds one path. Each part follows its length, so that no two pairs are one text.
    pub fn name(&self, kind: OwnerKind, url: &str) -> Name {
        let kind = match kind {
            OwnerKind::User => "user",
            OwnerKind::Group => "group",
            OwnerKind::Context => "context",
        };
        let mut name = hmac::Context::with_key(&self.names);
        for part in [kind, url] {
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

    /// Each name has a key of its own. Random nonces are safe for 2^32 entries under one key: more than one connection is
    /// ever written, fewer than a fleet writes over the years.
    fn entry_key(&self, name: &Name) -> Option<LessSafeKey> {
        let info = [&name.0[..]];
        let derived = self.entries.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(derived)))
    }

    /// The entry as Redis stores it: tag, format, nonce, ciphertext. `None` for a connection without a token.
    pub fn seal(&self, name: &Name, entry: &Entry) -> Option<Vec<u8>> {
        let token = entry.connection.token()?;
        let times = [entry.from, entry.until].map(f64::to_be_bytes);
        let mut text = Zeroizing::new([&times.concat(), pack(&entry.connection).bytes()].concat());
        let nonce: [u8; NONCE_LEN] = self.random()?;
        let head = [&self.tag(name, token)[..], &[FORMAT], &nonce].concat();
        let aad = Aad::from([&name.0[..], &head].concat());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let seal = self.entry_key(name)?.seal_in_place_separate_tag(nonce, aad, &mut text).ok()?;
        Some([&head[..], &text, seal.as_ref()].concat())
    }

    /// The entry, if it was sealed with these keys under this name and nobody has altered it since.
    pub fn open(&self, name: &Name, sealed: &[u8]) -> Option<Entry> {
        let (head, text) = sealed.split_at_checked(HEAD)?;
        if head[TAG] != FORMAT {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(&head[TAG + 1..]).ok()?;
        let aad = Aad::from([&name.0[..], head].concat());
        let mut text = Zeroizing::new(text.to_vec());
        let text = self.entry_key(name)?.open_in_place(nonce, aad, &mut text).ok()?;
        let (from, rest) = text.split_first_chunk()?;
        let (until, packed) = rest.split_first_chunk()?;
        let [from, until] = [*from, *until].map(f64::from_be_bytes);
        Some(Entry { connection: unpack(Fields::new(packed)), from, until })
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
    use crate::core::connection::{ConnectionState, Details, Unavailable};
    use crate::core::secret::Secret;

    fn keys() -> FleetKeys {
        FleetKeys::derive(b"a secret key", "pk").unwrap()
    }

    fn entry(token: &str) -> Entry {
        Entry {
            connection: Connection {
                state: ConnectionState::Active {
                    access_token: Secret::new(token.to_owned()),
                    expires_at: Some(3e12),
                },
                details: Details {
                    slug: Some("slack".into()),
                    connection_id: Some("c1".into()),
                    connector_name: Some("Slack".into()),
                    authorization_id: Some("7".into()),
                    authorization_status: Some("active".into()),
                    display_label: Some("me@acme.test".into()),
                },
            },
            from: 1.7e12,
            until: 1.7e12 + 60_000.5,
        }
    }

    fn name_of(keys: &FleetKeys, id: &str) -> Name {
        keys.name(OwnerKind::User, &format!("https://p.test/connections/{id}/slack"))
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
            let foreign = FleetKeys::derive(secret.as_bytes(), publishable_key).unwrap();
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
        assert!(!format!("{:?}", entry("xoxb-1")).contains("xoxb"));
    }

    #[test]
    fn every_connection_has_a_name_of_its_own() {
        let keys = keys();
        let (mut names, mut prefixes) = (HashSet::new(), HashSet::new());
        for kind in OwnerKind::ALL {
            for url in ["https://p.test/u1/s", "https://p.test/u2/s", "https://q.test/u1/s", ""] {
                let name = keys.name(kind, url);
                assert!(names.insert(name) && prefixes.insert(name.prefix()));
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
    fn names_do_not_share_the_key_of_their_entries() {
        let keys = keys();
        let [one, other] = ["u1", "u2"].map(|id| keys.entry_key(&name_of(&keys, id)).unwrap());
        let nonce = || Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let [mut by_one, mut by_other] = [b"text".to_vec(), b"text".to_vec()];
        one.seal_in_place_append_tag(nonce(), Aad::empty(), &mut by_one).unwrap();
        other.seal_in_place_append_tag(nonce(), Aad::empty(), &mut by_other).unwrap();
        assert_ne!(by_one, by_other);
    }

    #[test]
    fn what_has_no_token_is_not_sealed() {
        let keys = keys();
        let state = ConnectionState::Unavailable { reason: Unavailable::Pending, trouble: Box::default() };
        let connection = Connection { state, details: Details::default() };
        let entry = Entry { connection, from: 0.0, until: 1.0 };
        assert_eq!(keys.seal(&name_of(&keys, "u1"), &entry), None);
    }
}
