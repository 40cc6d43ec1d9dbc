//! Tests of the outbox.

use std::future::pending;
use std::sync::atomic::AtomicU32;

use futures_util::future::BoxFuture;
use redis::{Cmd, Value};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::*;
use crate::core::clock::Clock;
use crate::core::error::Error;
use crate::core::fleet::dial::{Commands, Dial, Subscription};
use crate::core::fleet::failure::{RedisFailure, Stage};
use crate::core::fleet::settings::{Address, RedisOptions};
use crate::core::fleet::{Fleet, FleetEnvironment, FleetParts};
use crate::core::source::{Fetch, Fetched, TokenSource};
use crate::core::spawn::on_runtime;
use crate::core::tokens::key::OwnerKind;

/// Counts the commands, and answers none.
#[derive(Clone, Default)]
struct SilentRedis(Arc<AtomicU32>);

impl Dial for SilentRedis {
    fn connect<'a>(
        &'a self,
        _: Option<Address>,
        _: &'a Stage,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, RedisFailure>> {
        async { Ok(Arc::new(self.clone()) as Arc<dyn Commands>) }.boxed()
    }

    fn subscribe<'a>(
        &'a self,
        _: Option<Address>,
        _: &'a str,
        _: &'a Stage,
    ) -> BoxFuture<'a, Result<Subscription, RedisFailure>> {
        pending().boxed()
    }
}

impl Commands for SilentRedis {
    fn send<'a>(&'a self, _: &'a Cmd) -> BoxFuture<'a, Result<Value, RedisFailure>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        pending().boxed()
    }
}

/// Nothing is fetched here.
struct NoSource;

impl TokenSource for NoSource {
    fn fetch(&self, _: Fetch) -> BoxFuture<'_, Result<Fetched, Error>> {
        pending().boxed()
    }
}

fn fleet(redis: &SilentRedis) -> Fleet<NoSource> {
    let options = RedisOptions {
        command_timeout: Some(Duration::from_millis(50)),
        ..RedisOptions::at("redis://r.test")
    };
    let parts = FleetParts {
        environment: FleetEnvironment {
            dialer: Box::new(redis.clone()),
            spawn: on_runtime,
            max_pending: MAX_PENDING,
        },
        secret_key: "secret-of-the-fleet",
        publishable_key: "pk",
        url_of: Box::new(|_| String::new()),
        connect_timeout: Duration::from_secs(3),
        patience: Duration::from_secs(8),
        ttl: Duration::from_secs(60),
        validity: Arc::default(),
        stats: Arc::default(),
        clock: Clock::system(),
        jitter: || 0.0,
    };
    Fleet::new(NoSource, &options.check().unwrap(), parts).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_command_goes_on_for_the_others_when_the_caller_that_sent_it_leaves() {
    let redis = SilentRedis::default();
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
    assert_eq!(redis.0.load(Ordering::Relaxed), 1);
    assert!(start.elapsed() < Duration::from_millis(60), "{:?}", start.elapsed());
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
