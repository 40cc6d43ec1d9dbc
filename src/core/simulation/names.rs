//! Owns what the places of a world are called: by callers, at the platform and in Redis.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::plan::{IDS, PAIRS, PLACES, Place, SLUGS};
use super::platform::Which;
use crate::core::fleet::crypto::FleetKeys;
use crate::core::fleet::scripts::replica::script_of;
use crate::core::platform::endpoint::{Endpoint, Paths};
use crate::core::tokens::key::{OwnerKind, Segment};

/// The platform's address.
pub const PLATFORM: &str = "https://p.test";

/// The owner and the slug of a place.
pub fn owner(place: Place) -> (OwnerKind, &'static str, &'static str) {
    let kind = OwnerKind::ALL[place / (IDS.len() * SLUGS.len())];
    (kind, IDS[place / SLUGS.len() % IDS.len()], SLUGS[place % SLUGS.len()])
}

/// The secret key of a pair.
pub fn secret_key(pair: usize) -> String {
    format!("secret-of-the-pair-{pair}")
}

/// The connection of each name and of each key.
pub static NAMES: LazyLock<FxHashMap<Vec<u8>, Which>> = LazyLock::new(|| {
    let endpoint = Endpoint::new(Some(PLATFORM), false, &Paths::default()).unwrap();
    let mut names = FxHashMap::default();
    for pair in 0..PAIRS {
        let keys = FleetKeys::derive(secret_key(pair).as_bytes(), &format!("key-{pair}")).unwrap();
        for place in 0..PLACES {
            let (kind, id, slug) = owner(place);
            let (id, slug) = (Segment::new(id, "id").unwrap(), Segment::new(slug, "slug").unwrap());
            let name = keys.name(kind, &endpoint.connection_text(kind, id, slug));
            let key = format!("xkit:{{{}}}:{}", keys.namespace(), name.text());
            names.insert(name.bytes().to_vec(), pair * PLACES + place);
            names.insert(key.into_bytes(), pair * PLACES + place);
        }
    }
    names
});

/// The key of each connection's entry.
pub static KEYS: LazyLock<Vec<Option<Vec<u8>>>> = LazyLock::new(|| {
    let mut keys = vec![None; PAIRS * PLACES];
    for (name, which) in NAMES.iter().filter(|(name, _)| name.starts_with(b"xkit:")) {
        keys[*which] = Some(name.clone());
    }
    keys
});

/// A command in words.
pub fn describe(command: &[Vec<u8>]) -> String {
    let which = command.get(3).and_then(|key| NAMES.get(key));
    match (script_of(command), which) {
        (Some(script), Some(which)) => format!("{script:?} of {which}"),
        (Some(script), None) => format!("{script:?}"),
        (None, _) => String::from_utf8_lossy(&command[0]).into_owned(),
    }
}
