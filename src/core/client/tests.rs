//! The life of a call in simulated time, against a scripted transport.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::future::{join_all, ready};
use reqwest::Url;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::*;
use crate::core::clock::{Clock, Now};
use crate::core::config::CallLimits;
use crate::core::error::Kind;
use crate::core::http::answer::Body;
use crate::core::http::pool::PoolNumber;
use crate::core::http::{Answer, Exchange, Fault, FaultKind, PoolChoice};
use crate::core::platform::endpoint::{Endpoint, Paths};
use crate::core::platform::{self, Platform};
use crate::core::source::{Fetch, Fetched, TokenSource};
use crate::core::spawn;
use crate::core::tokens::cache;

/// A client of a platform that is reached by the transport.
fn client_of<T: Exchange>(
    transport: T,
    (max_retries, max_concurrency): (u32, usize),
    cache: Option<cache::CacheLimits>,
    jitter: fn() -> f64,
    clock: Clock,
) -> Client {
    let endpoint = Endpoint::new(Some("https://p.test"), false, &Paths::default()).unwrap();
    let origin = endpoint.origin();
    let stats = Arc::new(Stats::default());
    let limits =
        platform::AttemptLimits { attempt_timeout: Duration::from_secs(8), max_retries, max_concurrency };
    let platform =
        Platform::new(transport, endpoint, None, limits, Arc::clone(&stats), clock.clone(), jitter);
    Client::new(ClientParts {
        source: Arc::new(platform),
        origin,
        limits: CallLimits { timeout: Duration::from_secs(20), cache },
        validity: Arc::default(),
        stats,
        clock,
        jitter,
        spawn: spawn::on_runtime,
    })
}

/// Answers from a script; what it does not hold is a hang.
#[derive(Clone, Debug, Default)]
struct ScriptedTransport {
    steps: Arc<Mutex<VecDeque<Result<Answer, Fault>>>>,
    avoided: Arc<AtomicU32>,
}

impl Exchange for ScriptedTransport {
    async fn exchange(&self, _: Url, limit: Duration, pool: PoolChoice) -> Result<Answer, Fault> {
        self.avoided.fetch_add(u32::from(pool != PoolChoice::Current), Ordering::Relaxed);
        let next = self.steps.lock().unwrap().pop_front();
        match next {
            Some(result) => result,
            None => {
                sleep(limit).await;
                Err(Error::new(Kind::Timeout, "late").retryable().into())
            }
        }
    }
}

const TOKEN: &str =
    r#"{"connection":{"enabled":true},"authorization":{"status":"active","access_token":"t"}}"#;

fn answer(status: u16, retry_after: Option<u64>) -> Result<Answer, Fault> {
    Ok(Answer {
        status,
        body: Body::new(TOKEN.into()),
        retry_after: retry_after.map(Duration::from_secs),
        request_id: None,
    })
}

fn lost(stale: bool) -> Result<Answer, Fault> {
    Err(Fault {
        error: Box::new(Error::new(Kind::Connect, "lost")),
        kind: if stale { FaultKind::Stale(PoolNumber::MIN) } else { FaultKind::Transient },
    })
}

pub fn client(max_retries: u32, script: Vec<Result<Answer, Fault>>) -> Client {
    client_and_script(max_retries, script).0
}

fn client_and_script(max_retries: u32, steps: Vec<Result<Answer, Fault>>) -> (Client, ScriptedTransport) {
    let script =
        ScriptedTransport { steps: Arc::new(Mutex::new(steps.into())), ..ScriptedTransport::default() };
    (client_of(script.clone(), (max_retries, 1), None, || 1.0, Clock::system()), script)
}

/// An ordinary call for a user.
fn request(id: &str) -> CallRequest<'_> {
    CallRequest { kind: OwnerKind::User, id, slug: "s", timeout: None, fresh: false, rejected: None }
}

/// A call for a user that is not answered from the cache.
pub fn begin(client: &Client, id: &str, timeout: Option<Duration>) -> Result<Call, Error> {
    let request = CallRequest { timeout, ..request(id) };
    client.begin(request).map(|begun| match begun {
        Begun::Call(call) => call,
        Begun::Known(_) => panic!("answered from the cache"),
    })
}

async fn call(client: &Client) -> (Result<(), Kind>, u32, Duration) {
    let started = Instant::now();
    let outcome = begin(client, "u", None).unwrap().run().await;
    (outcome.result.map(drop).map_err(|error| error.kind), outcome.attempts, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn passing_faults_are_retried_with_backoff() {
    let client = client(2, vec![answer(503, None), lost(false), answer(200, None)]);
    assert_eq!(call(&client).await, (Ok(()), 3, Duration::from_millis(50 + 100)));
    assert_eq!((client.stats().requests.get(), client.stats().retries.get()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_retried_where_its_status_may_pass() {
    for (status, attempts) in [(408, 2), (418, 1), (429, 2), (403, 1), (501, 1), (503, 2), (519, 1), (529, 2)]
    {
        let client = client(1, vec![answer(status, None), answer(200, None)]);
        assert_eq!(call(&client).await.1, attempts, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_or_handed_to_the_caller() {
    let client = client(2, vec![answer(429, Some(3)), answer(200, None), answer(503, Some(60))]);
    assert_eq!(call(&client).await, (Ok(()), 2, Duration::from_millis(3_050)));
    assert_eq!(call(&client).await, (Err(Kind::Server), 1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_stale_connection_is_retried_for_free_even_without_retries() {
    for max_retries in [0, 2] {
        let client = client(max_retries, vec![lost(true), answer(200, None)]);
        assert_eq!(call(&client).await, (Ok(()), 2, Duration::ZERO));
    }
    let client = client(0, vec![lost(true), lost(true)]);
    assert_eq!(call(&client).await, (Err(Kind::Connect), 2, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn only_one_retry_of_a_call_is_free() {
    let client = client(2, (0..3).map(|_| lost(true)).collect());
    assert_eq!(call(&client).await, (Err(Kind::Connect), 3, Duration::from_millis(100)));
}

#[tokio::test(start_paused = true)]
async fn the_last_retry_of_a_stale_connection_avoids_the_pool() {
    for (max_retries, avoided) in [(0, [1, 1]), (1, [1, 1]), (2, [0, 1])] {
        for (stale, expected) in [1, 2].into_iter().zip(avoided) {
            let script = (0..stale).map(|_| lost(true)).chain([answer(200, None)]).collect();
            let (client, script) = client_and_script(max_retries, script);
            let _ = call(&client).await;
            assert_eq!(script.avoided.load(Ordering::Relaxed), expected, "{max_retries} {stale}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_attempt_is_retried_until_the_call_is_overdue() {
    let (result, attempts, elapsed) = call(&client(2, vec![])).await;
    assert_eq!((result, attempts), (Err(Kind::Timeout), 3));
    assert_eq!(elapsed, Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_times_out_names_the_failure_of_the_attempt_before() {
    for (script, cause) in [(vec![answer(503, None)], Some("answered 503")), (vec![], None)] {
        let call = begin(&client(2, script), "u", Some(Duration::from_secs(5))).unwrap();
        let error = call.run().await.result.unwrap_err();
        assert_eq!(error.kind, Kind::Timeout);
        let says = |words| error.cause.as_ref().is_some_and(|cause| cause.contains(words));
        assert!(cause.map_or(error.cause.is_none(), says), "{error:?}");
    }
}

/// A second level of the cache that did not answer, around a source that has nothing.
struct SilentSecondLevel;

impl TokenSource for SilentSecondLevel {
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Fetched, Error>> {
        fetch.state.note_fleet_error(Some("READONLY".into()));
        ready(Err(Error::new(Kind::Server, "out"))).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_reports_why_the_second_level_of_the_cache_did_not_answer() {
    let client = Client::new(ClientParts {
        source: Arc::new(SilentSecondLevel),
        origin: String::new(),
        limits: CallLimits { timeout: Duration::from_secs(20), cache: None },
        validity: Arc::default(),
        stats: Arc::new(Stats::new(true)),
        clock: Clock::system(),
        jitter: || 0.0,
        spawn: spawn::on_runtime,
    });
    let fleet = begin(&client, "u", None).unwrap().run().await.fleet.unwrap();
    assert_eq!(fleet.error.as_deref(), Some("READONLY"));
    assert!(!fleet.is_bypassed);
}

#[tokio::test(start_paused = true)]
async fn what_the_platform_did_not_process_is_sent_again_at_no_cost_and_on_its_own() {
    let unprocessed = || {
        let kind = FaultKind::Unprocessed(PoolChoice::Alone);
        Err(Fault { kind, ..lost(false).unwrap_err() })
    };
    // Once for each call, for as long as the platform answers.
    let script = (0..1000).flat_map(|_| [unprocessed(), answer(200, None)]).collect();
    let (client, script) = client_and_script(0, script);
    for _ in 0..1000 {
        assert_eq!(call(&client).await, (Ok(()), 2, Duration::ZERO));
    }
    assert_eq!(script.avoided.load(Ordering::Relaxed), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_never_processes_anything_is_spared() {
    const CALLS: u64 = 10_000;
    let kind = FaultKind::Unprocessed(PoolChoice::Alone);
    let unprocessed = || Err(Fault { kind, ..lost(false).unwrap_err() });
    let client = client(2, (0..CALLS * 6).map(|_| unprocessed()).collect());
    for _ in 0..CALLS {
        assert!(call(&client).await.0.is_err());
    }
    let (retries, resends) = (500 / 14, 2);
    assert_eq!(client.stats().requests.get(), CALLS + retries + resends);
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_always_fails_is_spared() {
    const CALLS: u64 = 10_000;
    for (status, bound) in [(503, CALLS + 500 / 14), (429, CALLS + 500 / 5)] {
        let client = client(2, (0..CALLS * 3).map(|_| answer(status, None)).collect());
        for _ in 0..CALLS {
            assert!(call(&client).await.0.is_err());
        }
        assert_eq!(client.stats().requests.get(), bound);
        assert_eq!(client.stats().failures.get(), CALLS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_in_the_queue_ends_at_its_deadline_without_a_request() {
    let client = client(0, vec![]);
    let first = begin(&client, "u", None).unwrap();
    let short = begin(&client, "v", Some(Duration::from_millis(70))).unwrap();
    assert_eq!(client.stats().queued.get(), 2);
    let mut first = Box::pin(first.run());
    tokio::select! {
        biased;
        _ = &mut first => panic!("the first call hangs"),
        outcome = short.run() => {
            assert_eq!(outcome.result.unwrap_err().kind, Kind::Timeout);
            assert_eq!(outcome.attempts, 0);
        }
    }
    drop(first);
    assert_eq!((client.stats().in_flight.get(), client.stats().queued.get()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_queue_are_refused() {
    let client = client(0, vec![]);
    let taken: Vec<_> = (0..20_000).map(|id| begin(&client, &id.to_string(), None).unwrap()).collect();
    let refused = begin(&client, "u", None).err().unwrap();
    assert_eq!((refused.kind, refused.retryable), (Kind::Overloaded, true));
    drop(taken);
    assert!(begin(&client, "u", None).is_ok());
}

#[tokio::test(start_paused = true)]
async fn closing_refuses_new_calls_and_waits_for_those_under_way() {
    let client = client(0, vec![answer(200, None)]);
    let under_way = begin(&client, "u", None).unwrap();
    let closed = client.close().unwrap();
    assert_eq!(begin(&client, "u", None).err().unwrap().kind, Kind::Closed);
    let (outcome, ()) = tokio::join!(under_way.run(), closed);
    assert!(outcome.result.is_ok());
    assert!(client.close().is_none());
}

/// Hands out a new token at each request, once it gets leave to.
#[derive(Clone, Debug)]
struct Tap(Arc<TapState>);

#[derive(Debug)]
struct TapState {
    requests: AtomicU32,
    cancelled: Arc<AtomicU32>,
    leave: Semaphore,
    status: AtomicU32,
    /// Whether it gives the first token for ever.
    is_constant: AtomicBool,
    /// Whether somebody else answers in the platform's place.
    is_foreign: AtomicBool,
}

struct Cancelled(Arc<AtomicU32>);

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Exchange for Tap {
    async fn exchange(&self, _: Url, _: Duration, _: PoolChoice) -> Result<Answer, Fault> {
        let number = self.0.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let cancelled = Cancelled(Arc::clone(&self.0.cancelled));
        self.0.leave.acquire().await.unwrap().forget();
        std::mem::forget(cancelled);
        let status = self.0.status.load(Ordering::Relaxed) as u16;
        assert_ne!(status, 0, "a defect");
        let number = if self.0.is_constant.load(Ordering::Relaxed) { 1 } else { number };
        let body = TOKEN.replace("\"t\"", &format!("\"token-{number}\""));
        let body = if self.0.is_foreign.load(Ordering::Relaxed) { "<html>".to_owned() } else { body };
        Ok(Answer { status, body: Body::new(body.into()), retry_after: None, request_id: None })
    }
}

struct ClientRig {
    client: Client,
    tap: Tap,
    now: Arc<Mutex<Now>>,
}

impl ClientRig {
    /// With a cache of 60 s, or none.
    fn new(cached: bool) -> Self {
        let now = Arc::new(Mutex::new(Now { wall: 1.7e12, boot: Duration::from_secs(1_000) }));
        let read = Arc::clone(&now);
        let tap = Tap(Arc::new(TapState {
            requests: AtomicU32::new(0),
            cancelled: Arc::default(),
            leave: Semaphore::new(0),
            status: AtomicU32::new(200),
            is_constant: AtomicBool::new(false),
            is_foreign: AtomicBool::new(false),
        }));
        let cache = cached.then_some(cache::CacheLimits { ttl: Duration::from_secs(60), max_entries: 100 });
        let clock = Clock::new(move || *read.lock().unwrap());
        Self { client: client_of(tap.clone(), (0, 100), cache, || 0.0, clock), tap, now }
    }

    fn answers(&self, times: usize) {
        self.tap.0.leave.add_permits(times);
    }

    fn fails_with(&self, status: u32) {
        self.tap.0.status.store(status, Ordering::Relaxed);
    }

    fn requests(&self) -> u32 {
        self.tap.0.requests.load(Ordering::Relaxed)
    }

    fn cancelled(&self) -> u32 {
        self.tap.0.cancelled.load(Ordering::Relaxed)
    }

    fn passes(&self, seconds: u64) {
        let mut now = self.now.lock().unwrap();
        now.wall += seconds as f64 * 1e3;
        now.boot += Duration::from_secs(seconds);
    }

    fn under_way(&self) -> usize {
        let key = ConnectionKey::new(OwnerKind::User, "u", "s").unwrap();
        usize::from(self.client.shared.tokens().is_in_flight(&key))
    }

    fn hit(&self) -> Option<(String, Option<BoxFuture<'static, ()>>)> {
        let request = request("u");
        match self.client.begin(request).unwrap() {
            Begun::Known(Known { entry, background, .. }) => Some((entry.token().to_owned(), background)),
            Begun::Call(_) => None,
        }
    }

    fn fresh(&self) -> Call {
        let request = CallRequest { fresh: true, ..request("u") };
        match self.client.begin(request).unwrap() {
            Begun::Call(call) => call,
            Begun::Known(_) => panic!("not fresh"),
        }
    }

    /// A call for another token than this one: what is known already, or the call.
    fn instead_of(&self, rejected: &str) -> Result<String, Box<Call>> {
        let rejected = Some(rejected);
        let request = CallRequest { rejected, ..request("u") };
        match self.client.begin(request).unwrap() {
            Begun::Known(known) => Ok(known.entry.token().to_owned()),
            Begun::Call(call) => Err(Box::new(call)),
        }
    }

    async fn replaced(&self, rejected: &str) -> String {
        match self.instead_of(rejected) {
            Ok(token) => token,
            Err(call) => token(&call.run().await).to_owned(),
        }
    }

    fn invalidate(&self, rejected: Option<&str>) {
        drop(self.client.invalidate(&[OwnerKind::User], "u", "s", rejected).unwrap());
    }
}

fn token(outcome: &Outcome) -> &str {
    outcome.result.as_ref().unwrap().token().unwrap()
}

#[tokio::test(start_paused = true)]
async fn identical_calls_share_one_request() {
    for calls in [50, 10_000] {
        let rig = ClientRig::new(false);
        rig.answers(2);
        let taken: Vec<_> = (0..calls).map(|_| begin(&rig.client, "u", None).unwrap().run()).collect();
        for (number, outcome) in join_all(taken).await.iter().enumerate() {
            assert_eq!((token(outcome), outcome.attempts), ("token-1", 1));
            assert_eq!(outcome.coalesced, number > 0);
        }
        assert_eq!((rig.requests(), rig.client.stats().coalesced.get()), (1, calls - 1));
        assert_eq!(rig.under_way(), 0);
        assert_eq!(token(&begin(&rig.client, "u", None).unwrap().run().await), "token-2");
    }
}

#[tokio::test(start_paused = true)]
async fn what_differs_in_kind_id_or_slug_shares_nothing() {
    let rig = ClientRig::new(true);
    rig.answers(6);
    let parts = [
        (OwnerKind::User, "1", "s"),
        (OwnerKind::Group, "1", "s"),
        (OwnerKind::Context, "1", "s"),
        (OwnerKind::User, "1", "t"),
        (OwnerKind::User, "a:b", "c"),
        (OwnerKind::User, "a", "b:c"),
    ];
    let calls = parts.map(|(kind, id, slug)| {
        match rig.client.begin(CallRequest { kind, slug, ..request(id) }).unwrap() {
            Begun::Call(call) => call.run(),
            Begun::Known(_) => panic!("answered from the cache"),
        }
    });
    let tokens: HashSet<_> = join_all(calls).await.iter().map(|outcome| token(outcome).to_owned()).collect();
    assert_eq!((tokens.len(), rig.requests()), (6, 6));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_or_runs_out_of_time_touches_no_other() {
    let rig = ClientRig::new(false);
    let mut first = Box::pin(begin(&rig.client, "u", None).unwrap().run());
    let short = begin(&rig.client, "u", Some(Duration::from_millis(10))).unwrap().run();
    let last = begin(&rig.client, "u", None).unwrap().run();
    assert!(futures_util::poll!(&mut first).is_pending());
    let outcome = short.await;
    assert_eq!(outcome.result.unwrap_err().kind, Kind::Timeout);
    drop(first);
    rig.answers(1);
    assert_eq!(token(&last.await), "token-1");
    assert_eq!((rig.requests(), rig.cancelled()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn when_all_have_left_the_request_is_cancelled_and_the_next_call_asks_again() {
    let rig = ClientRig::new(false);
    let mut calls: Vec<_> = (0..3).map(|_| Box::pin(begin(&rig.client, "u", None).unwrap().run())).collect();
    for call in &mut calls {
        assert!(futures_util::poll!(call).is_pending());
    }
    assert_eq!((rig.requests(), rig.under_way()), (1, 1));
    drop(calls);
    assert_eq!((rig.cancelled(), rig.under_way()), (1, 0));
    rig.answers(1);
    assert_eq!(token(&begin(&rig.client, "u", None).unwrap().run().await), "token-2");
}

#[tokio::test(start_paused = true)]
async fn nobody_joins_a_fetch_whose_last_caller_was_cancelled_even_before_its_thread_knows() {
    let rig = ClientRig::new(false);
    let [first, second] = [(), ()].map(|()| begin(&rig.client, "u", None).unwrap());
    let handles = [first.cancel_handle(), second.cancel_handle()];
    let mut calls = [first, second].map(|call| Box::pin(call.run()));
    for call in &mut calls {
        assert!(futures_util::poll!(call).is_pending());
    }
    handles[0].cancel();
    handles[0].cancel();
    let joined = begin(&rig.client, "u", None).unwrap();
    assert!(joined.coalesced, "one still waits");
    drop(joined);
    handles[1].cancel();
    let next = begin(&rig.client, "u", None).unwrap();
    assert!(!next.coalesced);
    rig.answers(2);
    assert_eq!(token(&next.run().await), "token-2");
    drop(calls);
    assert_eq!((rig.requests(), rig.under_way()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_shared_failure_reaches_everyone_and_is_not_kept() {
    let rig = ClientRig::new(true);
    rig.fails_with(503);
    rig.answers(1);
    let calls: Vec<_> = (0..5).map(|_| begin(&rig.client, "u", None).unwrap().run()).collect();
    for outcome in join_all(calls).await {
        assert_eq!(outcome.result.unwrap_err().kind, Kind::Server);
    }
    assert_eq!((rig.requests(), rig.client.stats().failures.get()), (1, 5));
    rig.fails_with(200);
    rig.answers(1);
    assert_eq!(token(&begin(&rig.client, "u", None).unwrap().run().await), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_no_fetch_behind() {
    let rig = ClientRig::new(false);
    rig.fails_with(0);
    rig.answers(1);
    let call = begin(&rig.client, "u", None).unwrap();
    let panicked = std::panic::AssertUnwindSafe(call.run()).catch_unwind().await;
    assert!(panicked.is_err());
    assert_eq!(rig.under_way(), 0);
    rig.fails_with(200);
    rig.answers(1);
    assert_eq!(token(&begin(&rig.client, "u", None).unwrap().run().await), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_is_served_until_its_end_and_fetched_anew_before() {
    let rig = ClientRig::new(true);
    rig.answers(1);
    begin(&rig.client, "u", None).unwrap().run().await;
    assert!(matches!(rig.hit(), Some((token, None)) if token == "token-1"));
    rig.passes(46);
    let refreshes: Vec<_> = (0..1_000).filter_map(|_| rig.hit().unwrap().1).collect();
    assert_eq!(refreshes.len(), 1);
    rig.answers(1);
    for refresh in refreshes {
        refresh.await;
    }
    assert!(matches!(rig.hit(), Some((token, None)) if token == "token-2"));
    rig.passes(60);
    assert!(rig.hit().is_none());
    assert_eq!(rig.client.stats().cache_hits.get(), 1_002);
    assert_eq!(rig.client.stats().cache_misses.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_keeps_the_token_and_a_refusal_evicts_it() {
    for (status, is_foreign, is_kept) in [
        (503, false, true),
        (429, false, true),
        (401, false, false),
        (403, false, false),
        (404, false, false),
        (404, true, true),
    ] {
        let rig = ClientRig::new(true);
        rig.answers(2);
        begin(&rig.client, "u", None).unwrap().run().await;
        rig.passes(50);
        rig.fails_with(status);
        rig.tap.0.is_foreign.store(is_foreign, Ordering::Relaxed);
        rig.hit().unwrap().1.unwrap().await;
        let is_answer = status == 404 && !is_foreign;
        assert_eq!(rig.client.stats().failures.get(), u64::from(!is_answer), "{status}");
        assert_eq!(rig.hit().is_some(), is_kept, "{status}");
        if is_kept {
            assert!(rig.hit().unwrap().1.is_none());
            rig.passes(5);
            assert!(rig.hit().unwrap().1.is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_or_a_fresh_call_beats_what_is_under_way() {
    for by_fresh in [false, true] {
        let rig = ClientRig::new(true);
        let old = begin(&rig.client, "u", None).unwrap();
        let mut old = Box::pin(old.run());
        assert!(futures_util::poll!(&mut old).is_pending());
        let new = if by_fresh {
            rig.fresh()
        } else {
            rig.invalidate(None);
            begin(&rig.client, "u", None).unwrap()
        };
        let mut new = Box::pin(new.run());
        assert!(futures_util::poll!(&mut new).is_pending());
        rig.answers(1);
        assert_eq!(token(&old.await), "token-1");
        assert!(rig.hit().is_none(), "the older result is not kept");
        rig.answers(1);
        assert_eq!(token(&new.await), "token-2");
        assert!(matches!(rig.hit(), Some((token, _)) if token == "token-2"));
        assert_eq!(rig.requests(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_dropped_by_its_value() {
    let rig = ClientRig::new(true);
    rig.answers(2);
    begin(&rig.client, "u", None).unwrap().run().await;
    rig.invalidate(Some("another"));
    assert!(rig.hit().is_some());
    rig.invalidate(Some("token-1"));
    assert!(rig.hit().is_none());
    assert_eq!(token(&begin(&rig.client, "u", None).unwrap().run().await), "token-2");
    rig.invalidate(Some("token-1"));
    assert!(rig.hit().is_some());
}

#[tokio::test(start_paused = true)]
async fn nobody_joins_a_fetch_from_before_a_rejection_whichever_token_is_cached() {
    let rig = ClientRig::new(true);
    rig.answers(1);
    begin(&rig.client, "u", None).unwrap().run().await;
    let mut older = Box::pin(rig.fresh().run());
    assert!(futures_util::poll!(&mut older).is_pending());
    rig.invalidate(Some("another"));
    rig.passes(61);
    let mut newer = Box::pin(begin(&rig.client, "u", None).unwrap().run());
    assert!(futures_util::poll!(&mut newer).is_pending());
    assert_eq!(rig.requests(), 3, "the older fetch may return the rejected token");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_cached_again_five_seconds_after_a_rejection_that_was_about_something_else() {
    let rig = ClientRig::new(true);
    rig.tap.0.is_constant.store(true, Ordering::Relaxed);
    rig.answers(100);
    let call = async || match rig.hit() {
        Some((token, _)) => token,
        None => token(&begin(&rig.client, "u", None).unwrap().run().await).to_owned(),
    };
    assert_eq!(call().await, "token-1");
    assert_eq!(rig.replaced("token-1").await, "token-1", "the platform has no other");
    for requests in 3..=6 {
        rig.passes(1);
        assert_eq!(call().await, "token-1");
        assert_eq!(rig.requests(), requests, "the platform may have a better one by now");
    }
    for _ in 0..20 {
        rig.passes(1);
        assert_eq!(call().await, "token-1");
    }
    assert_eq!(rig.requests(), 7, "cached as ever once the rejection is forgotten, whoever called meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_forgotten_five_seconds_after_a_fetch_that_brought_nothing() {
    for is_cancelled in [false, true] {
        let rig = ClientRig::new(true);
        rig.tap.0.is_constant.store(true, Ordering::Relaxed);
        rig.answers(1);
        let _ = begin(&rig.client, "u", None).unwrap().run().await;
        rig.invalidate(Some("token-1"));
        let mut fetch = Box::pin(begin(&rig.client, "u", None).unwrap().run());
        assert!(futures_util::poll!(&mut fetch).is_pending());
        if is_cancelled {
            drop(fetch);
        } else {
            rig.fails_with(503);
            rig.answers(1);
            assert!(fetch.await.result.is_err());
            rig.fails_with(200);
        }
        rig.passes(5);
        rig.answers(1);
        let _ = begin(&rig.client, "u", None).unwrap().run().await;
        assert!(rig.hit().is_some(), "cached again");
    }
}

#[tokio::test(start_paused = true)]
async fn rejections_and_repairs_are_counted_once_each() {
    let rig = ClientRig::new(true);
    rig.answers(2);
    let _ = begin(&rig.client, "u", None).unwrap().run().await;
    rig.invalidate(Some("token-1"));
    let repairs = [rig.instead_of("token-1"), rig.instead_of("token-1")].map(|call| call.unwrap_err().run());
    join_all(repairs).await;
    assert!(rig.instead_of("token-1").is_ok());
    let stats = rig.client.stats();
    assert_eq!((stats.rejections.get(), stats.repairs.get()), (1, 3));
    let [calls, hits, misses] = [&stats.calls, &stats.cache_hits, &stats.cache_misses].map(|it| it.get());
    assert_eq!((calls, hits, misses), (4, 0, 4));
    assert_eq!(u64::from(rig.requests()), calls - hits - stats.coalesced.get());
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_token_drops_the_cached_one_whoever_asked() {
    let rig = ClientRig::new(true);
    let mut superseded = Box::pin(begin(&rig.client, "u", None).unwrap().run());
    assert!(futures_util::poll!(&mut superseded).is_pending());
    let mut fresh = Box::pin(rig.fresh().run());
    assert!(futures_util::poll!(&mut fresh).is_pending());
    drop(superseded);
    rig.answers(1);
    fresh.await;
    assert!(rig.hit().is_some());
    let mut asked = Box::pin(rig.fresh().run());
    assert!(futures_util::poll!(&mut asked).is_pending());
    let mut later = Box::pin(rig.fresh().run());
    assert!(futures_util::poll!(&mut later).is_pending());
    rig.fails_with(404);
    rig.answers(1);
    assert!(asked.await.unavailable.is_some());
    assert!(rig.hit().is_none(), "although a later fetch superseded that one");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_leaves_the_memory_of_an_idle_client_and_so_does_a_rejected_one() {
    let rig = ClientRig::new(true);
    rig.answers(2);
    let _ = begin(&rig.client, "u", None).unwrap().run().await;
    let _ = rig.replaced("token-1").await;
    assert!(rig.client.shared.tokens().begin_sweeping().is_none(), "one sweeper for all tokens");
    let is_empty = || rig.client.shared.tokens().is_empty();
    for seconds in [5, 54, 1] {
        assert!(!is_empty());
        rig.passes(seconds);
        sleep(Duration::from_secs(seconds)).await;
    }
    sleep(Duration::from_secs(2)).await;
    assert!(is_empty());
    rig.answers(1);
    let _ = begin(&rig.client, "u", None).unwrap().run().await;
    rig.passes(60);
    sleep(Duration::from_secs(62)).await;
    assert!(is_empty(), "swept again");
    assert_eq!(Arc::strong_count(&rig.client.shared), 1);
}

#[tokio::test(start_paused = true)]
async fn a_joined_caller_ends_at_once_when_a_pause_reaches_its_limit() {
    let client = client(2, vec![answer(429, Some(5)), answer(200, None)]);
    let first = begin(&client, "u", None).unwrap();
    let short = begin(&client, "u", Some(Duration::from_secs(2))).unwrap();
    let started = Instant::now();
    let late = async {
        sleep(Duration::from_secs(4)).await;
        begin(&client, "u", Some(Duration::from_millis(100))).unwrap().run().await
    };
    let (first, (short, elapsed), late) =
        tokio::join!(first.run(), short.run().map(|outcome| (outcome, started.elapsed())), late);
    assert!(first.result.is_ok());
    let error = short.result.unwrap_err();
    assert_eq!(
        (error.kind, error.retry_after, error.attempts),
        (Kind::RateLimited, Some(Duration::from_secs(5)), 1)
    );
    assert_eq!(elapsed, Duration::ZERO);
    let error = late.result.unwrap_err();
    assert_eq!(error.kind, Kind::RateLimited);
    assert_eq!(error.retry_after, Some(Duration::from_millis(1_050)), "what is left of the pause");
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_was_asked_for_before_the_client_was_closed_is_given() {
    let rig = ClientRig::new(true);
    rig.answers(1);
    let _ = begin(&rig.client, "u", None).unwrap().run().await;
    let Err(repair) = rig.instead_of("token-1") else { panic!("nothing is known yet") };
    let closed = rig.client.close().unwrap();
    rig.answers(1);
    let (outcome, ()) = tokio::join!(repair.run(), closed);
    assert_eq!(token(&outcome), "token-2");
}

#[tokio::test(start_paused = true)]
async fn what_is_discarded_before_its_time_is_counted_and_nothing_else_is() {
    let rig = ClientRig::new(true);
    let discards = || rig.client.discards().load(Ordering::Relaxed);
    let fetch = async || {
        rig.answers(1);
        rig.fresh().run().await
    };
    fetch().await;
    fetch().await;
    rig.passes(60);
    assert!(rig.hit().is_none());
    assert_eq!(discards(), 1, "another token took its place, which has ended");
    fetch().await;
    rig.invalidate(None);
    assert_eq!(discards(), 2);
    rig.invalidate(None);
    assert_eq!(discards(), 2, "there was none");
    let token_4 = token(&fetch().await).to_owned();
    rig.invalidate(Some("another"));
    assert_eq!(discards(), 2);
    rig.invalidate(Some(&token_4));
    assert_eq!(discards(), 3);
    fetch().await;
    rig.passes(50);
    rig.fails_with(404);
    rig.answers(1);
    rig.hit().unwrap().1.unwrap().await;
    assert_eq!(discards(), 4, "the platform has no token any more");
    rig.fails_with(200);
    for id in 0..=100 {
        rig.answers(1);
        let _ = begin(&rig.client, &id.to_string(), None).unwrap().run().await;
    }
    assert_eq!(discards(), 5, "there is no more room");
    assert!(rig.client.close().is_none());
    assert_eq!(discards(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_replaced_a_token_is_remembered_for_five_seconds() {
    for cached in [false, true] {
        let rig = ClientRig::new(cached);
        rig.answers(3);
        let _ = begin(&rig.client, "u", None).unwrap().run().await;
        assert_eq!(rig.replaced("token-1").await, "token-2");
        rig.passes(4);
        assert!(matches!(rig.instead_of("token-1"), Ok(token) if token == "token-2"));
        rig.passes(1);
        let expected = if cached { "token-2" } else { "token-3" };
        assert_eq!(rig.replaced("token-1").await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_rejected_in_turn_leads_on_to_what_replaced_it() {
    let rig = ClientRig::new(true);
    rig.answers(3);
    let _ = begin(&rig.client, "u", None).unwrap().run().await;
    assert_eq!(rig.replaced("token-1").await, "token-2");
    assert_eq!(rig.replaced("token-2").await, "token-3");
    assert!(matches!(rig.instead_of("token-1"), Ok(token) if token == "token-3"));
    assert_eq!(rig.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn all_who_were_refused_with_one_token_share_one_request_however_late_they_come() {
    let rig = ClientRig::new(false);
    rig.answers(1);
    let _ = begin(&rig.client, "u", None).unwrap().run().await;
    let repairs = std::iter::repeat_with(|| {
        rig.invalidate(Some("token-1"));
        let Err(call) = rig.instead_of("token-1") else { panic!("nothing is known yet") };
        call
    });
    let mut repairs: Vec<_> = repairs.take(25).map(|call| Box::pin(call.run())).collect();
    for repair in &mut repairs {
        assert!(futures_util::poll!(repair).is_pending());
    }
    rig.passes(10);
    rig.invalidate(Some("token-1"));
    let Err(late) = rig.instead_of("token-1") else { panic!("nothing is known yet") };
    rig.answers(1);
    assert!(join_all(repairs).await.iter().all(|outcome| token(outcome) == "token-2"));
    assert_eq!((token(&late.run().await), rig.requests()), ("token-2", 2));
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_ends_what_is_known_of_replacements() {
    let rig = ClientRig::new(false);
    rig.answers(3);
    let _ = begin(&rig.client, "u", None).unwrap().run().await;
    assert_eq!(rig.replaced("token-1").await, "token-2");
    rig.invalidate(None);
    assert_eq!(rig.replaced("token-1").await, "token-3");
}

#[tokio::test(start_paused = true)]
async fn a_request_from_before_a_rejection_replaces_nothing() {
    let rig = ClientRig::new(true);
    rig.answers(1);
    let _ = begin(&rig.client, "u", None).unwrap().run().await;
    let mut older = Box::pin(rig.fresh().run());
    assert!(futures_util::poll!(&mut older).is_pending());
    let Err(repair) = rig.instead_of("token-1") else { panic!("nothing is known yet") };
    rig.answers(2);
    assert_eq!(token(&older.await), "token-2");
    assert!(rig.instead_of("token-1").is_err(), "the repair is still under way");
    assert_eq!(token(&repair.run().await), "token-3");
    assert!(matches!(rig.hit(), Some((token, _)) if token == "token-3"));
}

#[tokio::test(start_paused = true)]
async fn whoever_begins_after_a_rejection_joins_no_request_from_before_it() {
    let rig = ClientRig::new(true);
    rig.answers(1);
    let _ = begin(&rig.client, "u", None).unwrap().run().await;
    let mut older = Box::pin(rig.fresh().run());
    assert!(futures_util::poll!(&mut older).is_pending());
    rig.invalidate(Some("another"));
    assert!(rig.hit().is_some(), "it is newer than what was rejected");
    rig.passes(60);
    let later = begin(&rig.client, "u", None).unwrap();
    rig.answers(2);
    assert_eq!((token(&older.await), token(&later.run().await)), ("token-2", "token-3"));
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_what_runs_in_the_background() {
    let rig = ClientRig::new(true);
    rig.answers(1);
    let _ = begin(&rig.client, "u", None).unwrap().run().await;
    rig.passes(50);
    let mut refresh = rig.hit().unwrap().1.unwrap();
    assert!(futures_util::poll!(&mut refresh).is_pending());
    assert!(rig.client.close().is_none());
    refresh.await;
    assert_eq!((rig.requests(), rig.cancelled()), (2, 1));
}
