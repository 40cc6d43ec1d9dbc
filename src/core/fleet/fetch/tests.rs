//! Tests of the fetches of members: what they ask Redis and their source for, and when.

use redis::Value;
use tokio::runtime::Handle;

use super::*;
use crate::core::connection::{Details, Unavailable};
use crate::core::error::Kind;
use crate::core::fleet::failure::RedisFailure;
use crate::core::fleet::rig::{
    MemberOptions, PATIENCE, TestFleet, TestRedis, TestSource, fetch, fetch_with, key, token,
};

/// The time of a call, of which half is more than a member waits for another one.
const LONG: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Members that share a source.
fn members<const COUNT: usize>(redis: &TestRedis, source: &Arc<TestSource>) -> [Arc<TestFleet>; COUNT] {
    [(); COUNT].map(|()| Arc::new(MemberOptions::new(source).join(redis)))
}

fn bulk(bytes: &[u8]) -> Value {
    Value::BulkString(bytes.to_vec())
}

/// An answer with an entry that lives for a minute.
fn entry(sealed: &[u8]) -> Value {
    Value::Array(vec![bulk(b"entry"), bulk(sealed), Value::Int(60_000)])
}

/// An answer that this holder has the lock.
fn held(holder: u8) -> Value {
    Value::Array(vec![bulk(b"held"), bulk(&[0; 32]), bulk(&[holder; 16])])
}

fn unavailable() -> Result<Fetched, Error> {
    let state = ConnectionState::Unavailable { reason: Unavailable::Pending, trouble: Box::default() };
    Ok(Fetched::from(Connection { state, details: Details::default() }))
}

fn failed(kind: Kind) -> Result<Fetched, Error> {
    Err(Error::new(kind, "failed"))
}

/// A fetch in the background, which begins at once.
async fn begin(member: &Arc<TestFleet>) -> tokio::task::JoinHandle<Result<Fetched, Error>> {
    let member = Arc::clone(member);
    let fetching = Handle::current().spawn(async move { fetch(&member, "u", Purpose::Missing, LONG).await });
    tokio::task::yield_now().await;
    fetching
}

#[tokio::test(start_paused = true)]
async fn members_share_an_entry_for_as_long_as_each_of_them_may_cache_it() {
    let (redis, source) = (TestRedis::new(), Arc::default());
    let [writer, reader] = members(&redis, &source);
    let strict = MemberOptions { ttl: seconds(30), ..MemberOptions::new(&source) }.join(&redis);
    assert_eq!(token(fetch(&writer, "u", Purpose::Missing, LONG).await), "token-1");
    assert_eq!(redis.commands().await, ["take", "put"]);
    redis.at(seconds(20)).await;
    for (member, left) in [(&*reader, 40), (&strict, 10)] {
        let fetched = fetch(member, "u", Purpose::Missing, LONG).await.unwrap();
        assert_eq!((fetched.age, fetched.left), (seconds(20), seconds(left)));
        assert_eq!(token(Ok(fetched)), "token-1");
    }
    assert_eq!(redis.commands().await, ["take", "take"]);
    redis.at(seconds(30)).await;
    assert_eq!(token(fetch(&strict, "u", Purpose::Missing, LONG).await), "token-2");
    redis.settles().await;
    assert_eq!(token(fetch(&reader, "u", Purpose::Missing, LONG).await), "token-2");
    assert_eq!(token(fetch(&reader, "v", Purpose::Missing, LONG).await), "token-3", "of another owner");
    let counts = [&*writer, &*reader, &strict]
        .map(|fleet| (fleet.member.stats.hits.get(), fleet.member.stats.misses.get()));
    assert_eq!(counts, [(0, 1), (2, 1), (1, 1)]);
    assert_eq!(redis.subscribers(), 3, "each member subscribes once");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_takes_an_entry_that_another_member_wrote_until_that_is_late_too() {
    let (redis, source) = (TestRedis::new(), Arc::default());
    let [writer, reader] = members(&redis, &source);
    fetch(&writer, "u", Purpose::Missing, LONG).await.unwrap();
    redis.at(seconds(44)).await;
    assert_eq!(token(fetch(&reader, "u", Purpose::Refresh, LONG).await), "token-1");
    redis.at(seconds(45)).await;
    assert_eq!(token(fetch(&reader, "u", Purpose::Missing, LONG).await), "token-1");
    assert_eq!(token(fetch(&reader, "u", Purpose::Refresh, LONG).await), "token-2");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_was_kept_aside_is_served_until_its_own_end_and_no_longer() {
    let (redis, source) = (TestRedis::new(), Arc::default());
    let [writer] = members(&redis, &source);
    let patient = MemberOptions { ttl: seconds(600), ..MemberOptions::new(&source) }.join(&redis);
    fetch(&writer, "u", Purpose::Missing, LONG).await.unwrap();
    redis.settles().await;
    let sealed = redis.takes().pop().unwrap().args[2].clone();
    redis.answers("take", [Ok(entry(&sealed)), Ok(entry(&sealed))]);
    redis.at(seconds(59)).await;
    let fetched = fetch(&patient, "u", Purpose::Missing, LONG).await.unwrap();
    assert_eq!((fetched.age, fetched.left), (seconds(59), seconds(1)));
    redis.at(seconds(60)).await;
    assert_eq!(token(fetch(&patient, "u", Purpose::Missing, LONG).await), "token-2");
}

#[tokio::test(start_paused = true)]
async fn entries_that_cannot_be_used_are_replaced_or_ignored_if_there_are_too_many() {
    let (redis, source) = (TestRedis::new(), Arc::default());
    let [member] = members(&redis, &source);
    for (foreign, commands) in [(2, &["take", "take", "take", "put"][..]), (3, &["take", "take", "take"])] {
        redis.answers("take", (0..foreign).map(|number| Ok(entry(&[number; 80]))));
        fetch(&member, &foreign.to_string(), Purpose::Missing, LONG).await.unwrap();
        redis.settles().await;
        let sent = redis.takes();
        assert_eq!(sent.iter().map(|sent| sent.what).collect::<Vec<_>>(), commands);
        let unusable: Vec<_> = sent[..3].iter().map(|sent| sent.args[2].len()).collect();
        assert_eq!(unusable, [0, 80, 80], "Redis is told which entry to replace");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_another_member_is_woken_and_looks_now_and_then_besides() {
    let (redis, source) = (TestRedis::new(), TestSource::slow(millis(1_030)));
    let [holder, other] = members(&redis, &source);
    let fetching = begin(&holder).await;
    assert_eq!(token(fetch(&other, "u", Purpose::Missing, LONG).await), "token-1");
    assert_eq!((redis.start.elapsed(), source.requests(), redis.locks()), (millis(1_030), 1, 0));
    assert_eq!(token(fetching.await.unwrap()), "token-1");
    let sent = redis.takes();
    let times = |what| -> Vec<_> {
        let sent = sent.iter().filter(|sent| sent.what == what);
        sent.map(|sent| (sent.at - redis.start).as_millis()).collect()
    };
    assert_eq!(times("take"), [0, 0, 50, 150, 350, 600, 850, 1_030]);
    assert_eq!(times("renew"), [500, 1_000]);
    assert_eq!(times("put"), [1_030]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_its_patience_or_half_of_its_time() {
    for (time, waits) in [(LONG, PATIENCE), (seconds(10), seconds(5))] {
        let redis = TestRedis::new();
        let [holder] = members(&redis, &TestSource::slow(seconds(100)));
        let [other] = members(&redis, &TestSource::slow(seconds(1)));
        let fetching = begin(&holder).await;
        assert_eq!(token(fetch(&other, "u", Purpose::Missing, time).await), "token-1");
        assert_eq!(redis.start.elapsed(), waits + seconds(1));
        fetching.abort();
        redis.settles().await;
        let sent = redis.takes();
        let ids = |what| sent.iter().filter(move |sent| sent.what == what).map(|sent| &sent.args[0]);
        let (held, mine) = (ids("take").next(), ids("take").next_back());
        assert!(held != mine && ids("renew").all(|id| Some(id) == held), "it does not hold the lock");
        assert_eq!((ids("release").collect::<Vec<_>>(), ids("put").next()), (vec![held.unwrap()], mine));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_waits_for_two_holders_one_after_the_other_and_for_no_third() {
    let (redis, source) = (TestRedis::new(), Arc::default());
    let [member] = members(&redis, &source);
    redis.answers("take", [1, 1, 2, 2, 3].map(|holder| Ok(held(holder))));
    assert_eq!(token(fetch(&member, "u", Purpose::Missing, LONG).await), "token-1");
    assert_eq!(redis.commands().await, ["take", "take", "take", "take", "take", "put"]);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_released_when_its_holder_leaves_or_fails_and_others_go_on_at_once() {
    for (fails, end, failure_life) in [(false, millis(299), "0"), (true, millis(300), "1000")] {
        let redis = TestRedis::new();
        let (slow, quick) = (TestSource::slow(millis(300)), TestSource::slow(millis(700)));
        let ([holder], [other]) = (members(&redis, &slow), members(&redis, &quick));
        slow.gives(failed(Kind::Server));
        let fetching = begin(&holder).await;
        let waiting = begin(&other).await;
        redis.at(millis(299)).await;
        redis.takes();
        if !fails {
            fetching.abort();
        }
        redis.at(end).await;
        redis.settles().await;
        let [release, retake] = &redis.takes()[..] else { panic!("released, and taken again") };
        assert_eq!((release.what, retake.what), ("release", "take"));
        assert_eq!(release.args[1], failure_life.as_bytes());
        assert_eq!(redis.locks(), usize::from(!fails), "after a failure, each asks for itself");
        assert_eq!(token(waiting.await.unwrap()), "token-1");
        assert_eq!(redis.start.elapsed(), end + millis(700));
    }
}

#[tokio::test(start_paused = true)]
async fn what_redis_does_not_do_costs_no_token_and_leaves_no_lock() {
    let (redis, source) = (TestRedis::new(), Arc::default());
    let [member] = members(&redis, &source);
    let busy = || Err(RedisFailure::passing("BUSY"));
    let strange = "an answer that is not Redis's, as on a port with TLS";
    for (what, answer, commands, told) in [
        ("take", busy(), &["take", "release"][..], Some("BUSY")),
        ("put", busy(), &["take", "put", "release"], None),
        ("outdate", busy(), &["outdate"], Some("BUSY")),
        ("take", Ok(Value::Okay), &["take", "release"], Some(strange)),
        ("put", Ok(Value::Okay), &["take", "put", "release"], None),
        ("put", Err(RedisFailure::lasting("OOM")), &["take", "put", "release"], None),
    ] {
        let errors = member.member.stats.errors.get();
        redis.answers(what, [answer]);
        let purpose = if what == "outdate" { Purpose::Fresh } else { Purpose::Missing };
        let (fetched, error) = fetch_with(&member, "u", purpose, LONG).await;
        assert!(token(fetched).starts_with("token-"));
        assert_eq!((error.as_deref(), &redis.commands().await[..]), (told, commands));
        assert_eq!((member.member.stats.errors.get(), redis.locks()), (errors + 1, 0));
        // After a lasting failure, Redis is bypassed for a while.
        let (fetched, error) = fetch_with(&member, "v", Purpose::Fresh, LONG).await;
        assert!(token(fetched).starts_with("token-"));
        let is_bypassed = member.member.scripts.breaker.is_open();
        assert_eq!(error.is_some(), is_bypassed);
        assert_eq!(redis.commands().await.is_empty(), is_bypassed);
        redis.at(redis.start.elapsed() + seconds(6)).await;
        redis.takes();
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_fetch_reads_nothing_and_has_other_members_discard_what_they_have() {
    let (redis, source) = (TestRedis::new(), Arc::default());
    let [member] = members(&redis, &source);
    for (purpose, read, tells) in [(Purpose::Missing, "take", false), (Purpose::Fresh, "outdate", true)] {
        let before = source.requests();
        fetch(&member, "u", purpose, LONG).await.unwrap();
        redis.settles().await;
        let sent = redis.takes();
        assert_eq!(sent.iter().map(|sent| sent.what).collect::<Vec<_>>(), [read, "put"]);
        let (name, message) = (member.name(&key("u")), &sent[1].args[6]);
        assert_eq!((source.requests() - before, message.ends_with(name.bytes())), (1, tells));
        assert_eq!(message.is_empty(), !tells);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_platform_has_withdrawn_is_withdrawn_from_all_members() {
    let (redis, source) = (TestRedis::new(), Arc::<TestSource>::default());
    let [member] = members(&redis, &source);
    for (purpose, result, is_withdrawn) in [
        (Purpose::Missing, unavailable(), false),
        (Purpose::Refresh, unavailable(), true),
        (Purpose::Fresh, unavailable(), true),
        (Purpose::Refresh, failed(Kind::Server), false),
        (Purpose::Fresh, failed(Kind::Server), false),
    ] {
        source.gives(result);
        let _ = fetch(&member, "u", purpose, LONG).await;
        let commands = redis.commands().await;
        assert_eq!(commands.contains(&"invalidate"), is_withdrawn, "{purpose:?}");
        assert!(!commands.contains(&"put"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_keys_are_refused_asks_redis_for_nothing() {
    let (redis, source) = (TestRedis::new(), Arc::<TestSource>::default());
    let [other, member] = members(&redis, &source);
    fetch(&other, "u", Purpose::Missing, LONG).await.unwrap();
    assert_eq!(redis.commands().await, ["take", "put"]);
    source.gives(failed(Kind::InvalidApiKey));
    assert!(fetch(&member, "v", Purpose::Missing, LONG).await.is_err());
    assert_eq!(redis.commands().await, ["take", "release"]);
    assert_eq!(token(fetch(&member, "u", Purpose::Missing, LONG).await), "token-3");
    assert_eq!(redis.commands().await.len(), 0);
    assert_eq!(token(fetch(&member, "u", Purpose::Missing, LONG).await), "token-1");
}
