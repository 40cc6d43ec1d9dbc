//! Tests of the invalidations that Redis has not been told of yet.

use super::*;
use crate::core::tokens::key::OwnerKind;

fn names(count: usize) -> Vec<Name> {
    let keys = FleetKeys::derive(b"secret", "pk").unwrap();
    let name = |id: usize| keys.name(OwnerKind::User, &id.to_string());
    (0..count).map(name).collect()
}

fn tags_of(pending: &Pending, name: &Name) -> Vec<Tag> {
    match pending.batch(Some(name)) {
        Some(InvalidationBatch::Connections(batch)) => batch[0].2.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invalidation_stays_until_redis_has_it_and_so_does_one_that_came_meanwhile() {
    let (mut pending, names) = (Pending::new(MAX_PENDING), names(3));
    pending.add(&[(names[0], None), (names[1], None)]);
    assert!(pending.holds(Some(&names[0])) && pending.holds(Some(&names[1])) && pending.holds(None));
    assert!(!pending.holds(Some(&names[2])));
    let flushed = pending.batch(Some(&names[1])).unwrap();
    pending.add(&[(names[0], None)]);
    pending.confirm(flushed);
    assert!(pending.holds(Some(&names[0])) && !pending.holds(Some(&names[1])));
    assert!(pending.batch(Some(&names[1])).is_none());
    let flushed = pending.batch(None).unwrap();
    pending.confirm(flushed);
    assert!(!pending.holds(None) && pending.batch(None).is_none());
}

#[test]
fn a_few_rejected_tokens_of_one_connection_are_held_one_by_one() {
    let (mut pending, names) = (Pending::new(MAX_PENDING), names(1));
    let tag = |number: u8| Some([number; 16]);
    for number in [1, 2, 1] {
        pending.add(&[(names[0], tag(number))]);
    }
    assert_eq!(tags_of(&pending, &names[0]), [[1; 16], [2; 16]]);
    for number in 3..=9 {
        pending.add(&[(names[0], tag(number))]);
    }
    assert!(tags_of(&pending, &names[0]).is_empty(), "too many of them invalidate the whole connection");
    pending.add(&[(names[0], tag(1))]);
    assert!(tags_of(&pending, &names[0]).is_empty());
}

#[test]
fn an_invalidation_of_the_whole_connection_includes_its_rejected_tokens() {
    let (mut pending, names) = (Pending::new(MAX_PENDING), names(1));
    pending.add(&[(names[0], Some([1; 16]))]);
    pending.add(&[(names[0], None)]);
    assert!(tags_of(&pending, &names[0]).is_empty());
}

#[test]
fn too_many_make_one_for_everything_and_none_is_lost() {
    let (mut pending, names) = (Pending::new(MAX_PENDING), names(MAX_PENDING + 2));
    for name in &names[..=MAX_PENDING] {
        assert!(!pending.holds(Some(&names[MAX_PENDING + 1])));
        pending.add(&[(*name, None)]);
    }
    assert!(pending.holds(Some(&names[MAX_PENDING + 1])), "everything is invalidated");
    let Some(InvalidationBatch::All(flushed)) = pending.batch(None) else { panic!("all") };
    for name in &names[..=MAX_PENDING] {
        pending.add(&[(*name, None)]);
    }
    pending.confirm(InvalidationBatch::All(flushed));
    assert!(
        matches!(pending.batch(None), Some(InvalidationBatch::All(_))),
        "there were too many again meanwhile"
    );
    pending.add(&[(names[0], None)]);
    let flushed = pending.batch(Some(&names[0])).unwrap();
    pending.confirm(flushed);
    assert!(pending.holds(Some(&names[0])) && !pending.holds(Some(&names[1])));
}
