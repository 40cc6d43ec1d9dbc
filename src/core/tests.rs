//! Properties that hold across the assembled parts.

use proptest::prelude::*;

use super::fleet::crypto::{FleetKeys, Name};
use super::platform::endpoint::{Endpoint, Paths};
use super::tokens::key::{OwnerKind, Segment};

/// A path template of a few short segments, some of which look like ids, slugs, or the digits of an index.
fn template() -> impl Strategy<Value = String> {
    let literals = proptest::collection::vec("[01as]|u1", 0..3);
    (literals, any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(
        |(mut segments, id, slug)| {
            segments.insert(id.index(segments.len() + 1), "{id}".to_owned());
            segments.insert(slug.index(segments.len() + 1), "{slug}".to_owned());
            format!("/{}", segments.join("/"))
        },
    )
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let base = "https://[pq]\\.test(/[01a])?";
    (base, template(), template()).prop_map(|(base, user, group)| {
        let paths = Paths { user: Some(user), group: Some(group), context: None };
        Endpoint::new(Some(&base), false, &paths).unwrap()
    })
}

fn connection() -> impl Strategy<Value = (OwnerKind, String, String)> {
    (proptest::sample::select(&OwnerKind::ALL), "[01as/]|u1|1/s", "[01as]|s/1")
}

fn url_and_name(endpoint: &Endpoint, (kind, id, slug): &(OwnerKind, String, String)) -> (String, Name) {
    let keys = FleetKeys::derive(b"a secret that is long enough", "pk").unwrap();
    let (id, slug) = (Segment::new(id, "id").unwrap(), Segment::new(slug, "slug").unwrap());
    let text = endpoint.connection_text(*kind, id, slug);
    assert_eq!(endpoint.connection_url(*kind, id, slug).unwrap().as_str(), text, "the URL that is asked");
    let name = keys.name(*kind, &text);
    (text, name)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn two_clients_share_a_name_only_for_one_kind_of_owner_at_one_url(
        (one, one_asks) in (endpoint(), connection()),
        (other, other_asks) in (endpoint(), connection()),
    ) {
        let (url, name) = url_and_name(&one, &one_asks);
        let (other_url, other_name) = url_and_name(&other, &other_asks);
        prop_assert_eq!(name == other_name, one_asks.0 == other_asks.0 && url == other_url);
    }

    #[test]
    fn two_connections_of_one_client_share_no_name(
        endpoint in endpoint(),
        one in connection(),
        other in connection(),
    ) {
        let share = url_and_name(&endpoint, &one).1 == url_and_name(&endpoint, &other).1;
        prop_assert_eq!(share, one == other);
    }
}

#[test]
fn digits_in_a_path_do_not_stand_for_an_owner_or_a_slug() {
    let with = |user: &str| {
        let paths = Paths { user: Some(user.to_owned()), ..Paths::default() };
        Endpoint::new(Some("https://p.test"), false, &paths).unwrap()
    };
    let asks = (OwnerKind::User, "u1".to_owned(), "slack".to_owned());
    let names = ["/{id}/1/{slug}", "/{id}/{slug}/1"].map(|path| url_and_name(&with(path), &asks).1);
    assert_ne!(names[0], names[1]);
}
