//! Tests of the invalidations that Redis has not been told of yet.

use super::*;
use crate::core::tokens::key::OwnerKind;

fn names(count: usize) -> Vec<Name> {
    let keys = Keys::derive(b"secret", "pk").unwrap();
    let name = |id: usize| keys.name(OwnerKind::User, &id.to_string());
    (0..count).map(name).collect()
}

fn tags_of(queue: &Queue, name: &Name) -> Vec<Tag> {
    match queue.batch(Some(name)) {
        Some(Batch::Connections(batch)) => batch[0].2.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invalidation_stays_until_redis_was_told_and_so_does_one_that_came_meanwhile() {
    let (queue, names) = (Queue::new(MAX_OPEN), names(3));
    queue.add(&[(names[0], None), (names[1], None)]);
    assert!(queue.is_open(Some(&names[0])) && queue.is_open(Some(&names[1])) && queue.is_open(None));
    assert!(!queue.is_open(Some(&names[2])));
    let told = queue.batch(Some(&names[1])).unwrap();
    queue.add(&[(names[0], None)]);
    queue.close(told);
    assert!(queue.is_open(Some(&names[0])) && !queue.is_open(Some(&names[1])));
    assert!(queue.batch(Some(&names[1])).is_none());
    let told = queue.batch(None).unwrap();
    queue.close(told);
    assert!(!queue.is_open(None) && queue.batch(None).is_none());
}

#[test]
fn rejected_tokens_of_one_connection_are_told_apart_up_to_a_few() {
    let (queue, names) = (Queue::new(MAX_OPEN), names(1));
    let tag = |number: u8| Some([number; 16]);
    for number in [1, 2, 1] {
        queue.add(&[(names[0], tag(number))]);
    }
    assert_eq!(tags_of(&queue, &names[0]), [[1; 16], [2; 16]]);
    for number in 3..=9 {
        queue.add(&[(names[0], tag(number))]);
    }
    assert!(tags_of(&queue, &names[0]).is_empty(), "too many of them make it whatever there is");
    queue.add(&[(names[0], tag(1))]);
    assert!(tags_of(&queue, &names[0]).is_empty());
}

#[test]
fn an_invalidation_of_whatever_there_is_takes_the_rejected_tokens_in() {
    let (queue, names) = (Queue::new(MAX_OPEN), names(1));
    queue.add(&[(names[0], Some([1; 16]))]);
    queue.add(&[(names[0], None)]);
    assert!(tags_of(&queue, &names[0]).is_empty());
}

#[test]
fn too_many_make_one_for_everything_and_none_is_lost() {
    let (queue, names) = (Queue::new(MAX_OPEN), names(MAX_OPEN + 2));
    for name in &names[..=MAX_OPEN] {
        assert!(!queue.is_open(Some(&names[MAX_OPEN + 1])));
        queue.add(&[(*name, None)]);
    }
    assert!(queue.is_open(Some(&names[MAX_OPEN + 1])), "everything is invalidated");
    let Some(Batch::All(told)) = queue.batch(None) else { panic!("all") };
    for name in &names[..=MAX_OPEN] {
        queue.add(&[(*name, None)]);
    }
    queue.close(Batch::All(told));
    assert!(matches!(queue.batch(None), Some(Batch::All(_))), "there were too many again meanwhile");
    queue.add(&[(names[0], None)]);
    let told = queue.batch(Some(&names[0])).unwrap();
    queue.close(told);
    assert!(queue.is_open(Some(&names[0])) && !queue.is_open(Some(&names[1])));
}
