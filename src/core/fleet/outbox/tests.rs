//! Tests of the outbox.

use std::collections::HashSet;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::*;
use crate::core::fleet::rig::{MemberOptions, TestFleet, TestRedis, fetch, key, token};
use crate::core::source::{Purpose, TokenSource};
use crate::core::tokens::key::OwnerKind;

fn fleet(redis: &TestRedis) -> TestFleet {
    MemberOptions::new(&Arc::default()).join(redis)
}

#[tokio::test(start_paused = true)]
async fn a_command_goes_on_for_the_others_when_the_caller_that_sent_it_leaves() {
    let redis = TestRedis::new();
    redis.falls_silent();
    let fleet = fleet(&redis);
    let (outbox, name) = (Arc::clone(&fleet.member.outbox), names(1)[0]);
    outbox.add(&[(name, None)]);
    let start = Instant::now();
    let mut first = Box::pin(outbox.flush(Some(&name)));
    assert!(futures_util::poll!(&mut first).is_pending());
    let other = Arc::clone(&outbox);
    let second = Handle::current().spawn(async move { other.flush(Some(&name)).await });
    sleep(Duration::from_millis(30)).await;
    drop(first);
    assert!(second.await.unwrap().is_err());
    assert_eq!(redis.takes().len(), 1);
    assert!(start.elapsed() < Duration::from_millis(60), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_redis_did_not_confirm_is_sent_after_longer_pauses_and_once_redis_is_back() {
    let redis = TestRedis::new();
    let fleet = fleet(&redis);
    redis.fails("invalidate", 5);
    fleet.invalidate(&[key("u")], None).unwrap().await;
    sleep(Duration::from_secs(10)).await;
    let sent: Vec<_> = redis.takes().iter().map(|it| (it.what, (it.at - redis.start).as_millis())).collect();
    let attempts = [0, 50, 150, 350, 750].map(|at| ("invalidate", at));
    assert_eq!(sent, [&attempts[..], &[("PING", 5_750), ("invalidate", 5_750)]].concat());
    // What is added later is sent at once, without a call that waits for it.
    fleet.member.outbox.add(&[(names(1)[0], None)]);
    assert_eq!(redis.commands().await, ["invalidate"]);
}

#[tokio::test(start_paused = true)]
async fn one_future_flushes_a_burst_and_the_next_burst_has_another_one() {
    let redis = TestRedis::new();
    let fleet = fleet(&redis);
    for _ in 0..2 {
        let first = fleet.invalidate(&[key("u")], None).unwrap();
        assert!(fleet.invalidate(&[key("v")], None).is_none());
        first.await;
        let sent: Vec<_> = redis.takes().iter().map(|it| (it.what, it.keys.len())).collect();
        assert_eq!(sent, [("invalidate", 8)]);
    }
    drop(fleet.invalidate(&[key("u")], None));
    assert!(fleet.invalidate(&[key("u")], None).is_some(), "also after one that never ran");
}

#[tokio::test(start_paused = true)]
async fn a_command_takes_others_along_and_a_call_sends_its_own_connection_first() {
    let redis = TestRedis::new();
    let fleet = fleet(&redis);
    let (outbox, names) = (&fleet.member.outbox, names(BATCH + 10));
    names.iter().for_each(|name| outbox.add(&[(*name, None)]));
    let last = names.last().unwrap();
    outbox.flush(Some(last)).await.unwrap();
    let first = redis.takes().remove(0);
    assert!(first.keys[0].ends_with(&last.text()));
    outbox.flush(None).await.unwrap();
    let [second] = &redis.takes()[..] else { panic!("one command for the rest") };
    assert_eq!((first.keys.len(), second.keys.len()), (4 * BATCH, 4 * 10));
    assert_eq!(first.keys.iter().chain(&second.keys).collect::<HashSet<_>>().len(), 4 * names.len());
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_one_command_has_the_fleet_discard_everything() {
    let (redis, source) = (TestRedis::new(), Arc::default());
    let fleet = MemberOptions { max_pending: 2, ..MemberOptions::new(&source) }.join(&redis);
    let get = || async { token(fetch(&fleet, "u", Purpose::Missing, LONGEST_PAUSE).await) };
    assert_eq!((get().await, get().await), ("token-1".to_owned(), "token-1".to_owned()));
    let others = ["v", "w", "x"].map(key);
    for (keys, command, expected) in
        [(&others[..2], "invalidate", "token-1"), (&others[..], "invalidate all", "token-2")]
    {
        redis.commands().await;
        fleet.invalidate(keys, None).unwrap().await;
        assert_eq!(redis.commands().await, [command]);
        assert_eq!(get().await, expected);
    }
}

fn names(count: usize) -> Vec<Name> {
    let keys = FleetKeys::derive(b"secret", "pk").unwrap();
    let name = |id: usize| keys.name(OwnerKind::User, &id.to_string());
    (0..count).map(name).collect()
}

fn tags_of(pending: &OutboxEntries, name: &Name) -> Vec<Tag> {
    match pending.batch(Some(name)) {
        Some(InvalidationBatch::Connections(batch)) => batch[0].2.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invalidation_stays_until_redis_has_it_and_so_does_one_that_came_meanwhile() {
    let (mut pending, names) = (OutboxEntries::new(MAX_PENDING), names(3));
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
    let (mut pending, names) = (OutboxEntries::new(MAX_PENDING), names(1));
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
    let (mut pending, names) = (OutboxEntries::new(MAX_PENDING), names(1));
    pending.add(&[(names[0], Some([1; 16]))]);
    pending.add(&[(names[0], None)]);
    assert!(tags_of(&pending, &names[0]).is_empty());
}

#[test]
fn too_many_make_one_for_everything_and_none_is_lost() {
    let (mut pending, names) = (OutboxEntries::new(MAX_PENDING), names(MAX_PENDING + 2));
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
