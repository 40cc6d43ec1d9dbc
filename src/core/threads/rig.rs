//! A client whose source takes its time, alone or as a member of a fleet.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::core::client::{Begun, Call, CallRequest, Client, ClientParts};
use crate::core::clock::{Clock, Now};
use crate::core::config::CallLimits;
use crate::core::fleet::settings::RedisOptions;
use crate::core::fleet::{self, Fleet};
use crate::core::source::TokenSource;
use crate::core::stats::Stats;
use crate::core::threads::redis::{Link, Redis};
use crate::core::threads::source::Source;
use crate::core::tokens::cache::CacheLimits;
use crate::core::tokens::key::{ConnectionKey, OwnerKind};
use crate::core::tokens::validity::Validity;

/// A client and what its source has seen.
pub struct Rig {
    pub client: Client,
    pub source: Arc<Source>,
}

/// How long a token is cached.
const TTL: Duration = Duration::from_secs(60);
/// Longer than any schedule, since time stands still.
const LIMIT: Duration = Duration::from_secs(20);

impl Rig {
    /// With or without a cache, alone or told by its source what others invalidate.
    pub fn new(is_cached: bool, is_shared: bool) -> Arc<Self> {
        let validity = Arc::new(if is_shared { Validity::shared_by_few() } else { Validity::default() });
        validity.heartbeat(now().boot);
        let source = Arc::new(Source::new(Arc::clone(&validity)));
        Self::around(Arc::new(Arc::clone(&source)), source, is_cached, validity, Stats::default())
    }

    /// A member of the fleet that shares a Redis, with or without a cache of its own.
    pub fn member(is_cached: bool, source: &Arc<Source>, redis: &Arc<Redis>) -> Arc<Self> {
        let options = RedisOptions::at("redis://r.test");
        let validity = Arc::new(Validity::shared_by_few());
        let stats = Stats::new(true);
        let parts = fleet::FleetParts {
            environment: fleet::FleetEnvironment {
                dialer: Box::new(Link(Arc::clone(redis))),
                spawn: |task| drop(shuttle::future::spawn(task)),
                max_pending: 100,
            },
            secret_key: "secret-of-the-fleet",
            publishable_key: "pk",
            url_of: Box::new(|key: &ConnectionKey| format!("{}/{}", key.id().text(), key.slug().text())),
            connect_timeout: LIMIT,
            patience: LIMIT,
            ttl: TTL,
            validity: Arc::clone(&validity),
            stats: stats.fleet.clone().unwrap(),
            clock: Clock::new(now),
            jitter: || 0.0,
        };
        let fleet = Fleet::new(Arc::clone(source), &options.check().unwrap(), parts).unwrap();
        Self::around(Arc::new(fleet), Arc::clone(source), is_cached, validity, stats)
    }

    fn around(
        way: Arc<dyn TokenSource>,
        source: Arc<Source>,
        is_cached: bool,
        validity: Arc<Validity>,
        stats: Stats,
    ) -> Arc<Self> {
        let client = Client::new(ClientParts {
            source: way,
            origin: "https://p.test".to_owned(),
            limits: CallLimits {
                timeout: LIMIT,
                cache: is_cached.then_some(CacheLimits { ttl: TTL, max_entries: 10 }),
            },
            validity,
            stats: Arc::new(stats),
            clock: Clock::new(now),
            jitter: || 0.0,
            // The sweepers: time stands still.
            spawn: drop,
        });
        Arc::new(Self { client, source })
    }

    pub fn begin(&self, fresh: bool, rejected: Option<&str>) -> Begun {
        self.begin_for("u", fresh, rejected)
    }

    fn begin_for(&self, id: &str, fresh: bool, rejected: Option<&str>) -> Begun {
        let request = CallRequest { kind: OwnerKind::User, id, slug: "s", timeout: None, fresh, rejected };
        self.client.begin(request).unwrap()
    }

    pub fn call(&self) -> Call {
        match self.begin(false, None) {
            Begun::Call(call) => call,
            Begun::Known(_) => panic!("answered from the cache"),
        }
    }

    /// A token for a caller that waits for it on this thread.
    pub fn token(&self, rejected: Option<&str>) -> String {
        settle(self.begin(false, rejected))
    }

    /// That of another owner.
    pub fn token_of(&self, id: &str) -> String {
        settle(self.begin_for(id, false, None))
    }

    pub fn invalidate(&self, rejected: Option<&str>) {
        drop(self.invalidation("u", rejected));
    }

    /// Invalidates, and returns what tells others of it.
    pub fn invalidation(&self, id: &str, rejected: Option<&str>) -> Option<BoxFuture<'static, ()>> {
        self.client.invalidate(&[OwnerKind::User], id, "s", rejected).unwrap()
    }

    /// All calls have settled, and the tasks of those that were aborted have ended: nothing is left of them.
    pub fn check_end(&self) {
        let stats = self.client.stats();
        assert_eq!((self.source.in_flight(), stats.queued.get()), (0, 0), "a fetch without a waiter");
    }
}

fn now() -> Now {
    Now { wall: 1.7e12, boot: Duration::from_secs(1_000) }
}

/// The token of a call, once it has one. What it leaves to the background runs there.
pub fn settle(begun: Begun) -> String {
    match begun {
        Begun::Known(known) => {
            if let Some(work) = known.background {
                drop(shuttle::future::spawn(work));
            }
            known.entry.token().to_owned()
        }
        Begun::Call(call) => {
            let outcome = shuttle::future::block_on(call.run());
            outcome.result.unwrap().token().unwrap().to_owned()
        }
    }
}
