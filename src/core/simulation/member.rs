//! Owns one process: its client, as `core::open` puts it together, and what the facade adds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::chance;
use super::executor::{self, Process, WORLD, step_aside};
use super::model::{CallIndex, CallStart, Given};
use super::names::{PLATFORM, owner, secret_key};
use super::plan::{IDS, Millis, PLACES, Place, SLUGS};
use super::platform::{TokenId, token_of};
use super::time::Clocks;
use super::transport::Network;
use super::wire::Wire;
use super::world::World;
use crate::core::client::{Begun, Call, CallRequest, Client};
use crate::core::config::{ApiKeys, CallLimits};
use crate::core::connection::{Connection, ConnectionState};
use crate::core::fleet::FleetEnvironment;
use crate::core::fleet::settings::{RedisOptions, RedisSettings};
use crate::core::http::pool::Pools;
use crate::core::platform::endpoint::{Endpoint, Paths};
use crate::core::secret::{Secret, basic_authorization};
use crate::core::stats::Stats;
use crate::core::tokens::cache;
use crate::core::tokens::in_flight::FetchResult;
use crate::core::tokens::key::OwnerKind;
use crate::core::{Assembly, assemble, platform};

/// The longest time for which the facade serves a cached token by itself.
const MAX_LEASE: f64 = 900.0;
/// The facade removes an expired lease within this time.
const SWEEP: f64 = 100.0;

/// One process with its client.
pub struct Running {
    pub process: Process,
    pub client: Client,
    pub clocks: Arc<Clocks>,
    world: Arc<World>,
    leases: Mutex<FxHashMap<Place, Lease>>,
    timeout: Millis,
}

/// A token that the facade serves by itself.
#[derive(Clone)]
struct Lease {
    connection: Arc<Connection>,
    from: f64,
    until: f64,
}

/// The arguments of a call.
#[derive(Clone, Copy, Default)]
pub struct Wish {
    pub place: Place,
    pub fresh: bool,
    pub timeout: Option<Millis>,
    /// When the caller aborts the call.
    pub patience: Option<Millis>,
    pub rejected: Option<TokenId>,
}

fn settings(command_timeout: Millis) -> RedisSettings {
    let options = RedisOptions {
        command_timeout: Some(Duration::from_millis(command_timeout)),
        ..RedisOptions::at("redis://r.test")
    };
    options.check().unwrap()
}

impl Running {
    /// Starts a process in a slot.
    pub fn open(world: &Arc<World>, slot: usize, clocks: Arc<Clocks>) -> Arc<Self> {
        let process = world.with(|state| {
            let process = state.model.open(slot, Arc::clone(&clocks));
            state.time.note(|| format!("process {process} starts as member {slot}"));
            process
        });
        let plan = &world.plan.members[slot];
        let endpoint = Endpoint::new(Some(PLATFORM), false, &Paths::default()).unwrap();
        let name = format!("key-{}", plan.pair);
        let keys = ApiKeys {
            authorization: basic_authorization(&name, "secret").unwrap(),
            publishable: Secret::new(name),
            secret: Secret::new(secret_key(plan.pair)),
        };
        let network =
            Network { world: Arc::clone(world), process, pair: plan.pair, pools: Pools::new(Duration::MAX) };
        let client = assemble(Assembly {
            endpoint,
            catalog: None,
            limits: CallLimits {
                timeout: Duration::from_millis(plan.timeout),
                cache: plan.cache.map(|(ttl, max_entries)| cache::CacheLimits {
                    ttl: Duration::from_millis(ttl),
                    max_entries,
                }),
            },
            attempts: platform::AttemptLimits {
                attempt_timeout: Duration::from_millis(plan.attempt_timeout),
                max_retries: plan.max_retries,
                max_concurrency: plan.max_concurrency,
            },
            connect_timeout: Duration::from_millis(3_100),
            transport: network,
            keys,
            fleet: plan.in_fleet.then(|| {
                let wire = Wire { world: Arc::clone(world), process, slot };
                let max_pending = world.plan.max_pending;
                let environment =
                    FleetEnvironment { dialer: Box::new(wire), spawn: executor::adopt, max_pending };
                (settings(plan.command_timeout), environment)
            }),
            stats: Arc::new(Stats::new(plan.in_fleet)),
            clock: clocks.clock(world.start),
            jitter: chance::jitter,
            spawn: executor::adopt,
        })
        .unwrap();
        let (world, leases) = (Arc::clone(world), Mutex::default());
        Arc::new(Self { process, client, clocks, leases, timeout: plan.timeout, world })
    }

    fn with_leases<R>(&self, work: impl FnOnce(&mut FxHashMap<Place, Lease>) -> R) -> R {
        work(&mut self.leases.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Somebody sets the machine's wall clock.
    pub fn set_wall(&self, by: i64) {
        let before = self.clocks.now(self.world.start).wall;
        self.clocks.set_wall(by);
        let after = self.clocks.now(self.world.start).wall;
        let stays =
            |lease: &Lease| before < lease.until + SWEEP && lease.from <= after && after < lease.until;
        self.with_leases(|leases| leases.retain(|_, lease| stays(lease)));
        self.world.with(|state| state.model.processes[self.process].set = Some(Instant::now()));
    }

    fn pair(&self) -> usize {
        self.world.with(|state| state.model.processes[self.process].plan.pair)
    }

    /// Makes one call as the facade does, and returns the token, if there is one.
    pub async fn ask(self: &Arc<Self>, wish: Wish) -> Option<TokenId> {
        let Wish { place, fresh, timeout, patience, rejected } = wish;
        let which = self.pair() * PLACES + place;
        let limit = Duration::from_millis(timeout.unwrap_or(self.timeout));
        if rejected.is_some() {
            self.with_leases(|leases| leases.remove(&place));
        }
        let call = self.world.with(|state| state.begins(self.process, which, limit, fresh, rejected));
        let now = self.clocks.now(self.world.start);
        let leased = self.with_leases(|leases| leases.get(&place).cloned());
        let is_plain = !fresh && timeout.is_none() && patience.is_none() && rejected.is_none();
        if let Some(lease) =
            leased.filter(|lease| is_plain && now.wall >= lease.from && now.wall < lease.until)
        {
            return self.settle(call, &Ok(lease.connection), 0, CallStart::Known, wish);
        }
        let (kind, id, slug) = owner(place);
        let token = rejected.map(|token| self.world.with(|state| state.platform.text(token)));
        let request = CallRequest {
            kind,
            id,
            slug,
            timeout: timeout.map(Duration::from_millis),
            fresh,
            rejected: token.as_deref(),
        };
        let coalesced = self.client.stats().coalesced.get();
        let begun = executor::within(self.process, || self.client.begin(request));
        match begun {
            Err(error) => self.settle(call, &Err(error), 0, CallStart::Started, wish),
            Ok(Begun::Known(known)) => {
                if let Some(background) = known.background {
                    self.refresh(which, background);
                }
                let connection = Arc::new(known.entry.connection());
                if !known.valid_for.is_zero() {
                    let until = now.wall + (known.valid_for.as_secs_f64() * 1e3).min(MAX_LEASE);
                    let lease = Lease { connection: Arc::clone(&connection), from: now.wall, until };
                    self.with_leases(|leases| leases.insert(place, lease));
                }
                self.settle(call, &Ok(connection), 0, CallStart::Known, wish)
            }
            Ok(Begun::Call(run)) => {
                let has_joined = self.client.stats().coalesced.get() > coalesced;
                let how = if has_joined { CallStart::Joined } else { CallStart::Started };
                self.world.with(|state| state.check_begun(call, fresh, rejected, how));
                self.wait(call, run, how, wish).await
            }
        }
    }

    /// Waits for a call that has begun, or aborts it.
    async fn wait(
        self: &Arc<Self>,
        call: CallIndex,
        run: Call,
        how: CallStart,
        wish: Wish,
    ) -> Option<TokenId> {
        let (done, outcome) = oneshot::channel();
        let handle = run.cancel_handle();
        let running = Arc::clone(self);
        let task = executor::spawn(self.process, async move {
            let outcome = run.run().await;
            let token = running.settle(call, &outcome.result, outcome.attempts, how, wish);
            if wish.fresh {
                running.with_leases(|leases| leases.remove(&wish.place));
            }
            let _ = done.send(token);
        });
        let Some(patience) = wish.patience else { return outcome.await.ok().flatten() };
        tokio::select! {
            biased;
            token = outcome => token.ok().flatten(),
            () = sleep(Duration::from_millis(patience)) => {
                if self.world.with(|state| state.aborts(call)) {
                    handle.cancel();
                    // In the same moment, perhaps after other tasks: another thread ends it.
                    let world = Arc::clone(&self.world);
                    executor::spawn(WORLD, async move {
                        step_aside().await;
                        step_aside().await;
                        task.into_iter().for_each(executor::end);
                        world.with(|state| state.aborted(call));
                    });
                }
                None
            }
        }
    }

    /// Runs a refresh in the background.
    fn refresh(self: &Arc<Self>, which: usize, background: futures_util::future::BoxFuture<'static, ()>) {
        let running = Arc::clone(self);
        self.world.with(|state| state.refresh_begins(self.process, which));
        executor::spawn(self.process, async move {
            background.await;
            running.world.with(|state| state.refresh_ends(running.process, which));
        });
    }

    fn settle(
        &self,
        call: CallIndex,
        result: &FetchResult,
        attempts: u32,
        how: CallStart,
        wish: Wish,
    ) -> Option<TokenId> {
        // The caller has left an aborted call, even if that has not ended.
        if self.world.with(|state| state.model.calls[call].is_settled) {
            return None;
        }
        let given = match result {
            Ok(connection) => match &connection.state {
                ConnectionState::Active { access_token, .. } => {
                    let serial = connection.details.connection_id.as_deref().and_then(|id| id.parse().ok());
                    let token = token_of(access_token.expose());
                    Given::Token(token.unwrap_or(usize::MAX), serial.unwrap_or(usize::MAX))
                }
                ConnectionState::Unavailable { reason, .. } => Given::Unavailable(*reason),
            },
            Err(error) => Given::Failure(error.kind),
        };
        self.world.with(|state| {
            if how == CallStart::Known {
                state.check_begun(call, wish.fresh, wish.rejected, how);
            }
            state.settled(call, &given, attempts, wish.rejected);
        });
        match given {
            Given::Token(token, _) => Some(token),
            _ => None,
        }
    }

    /// Invalidates as the facade's `invalidate` and `handleWebhook` do.
    pub fn invalidate(
        self: &Arc<Self>,
        kinds: &[OwnerKind],
        id: usize,
        slug: usize,
        rejected: Option<TokenId>,
    ) {
        let pair = self.pair();
        let place = |kind: &OwnerKind| (*kind as usize * IDS.len() + id) * SLUGS.len() + slug;
        for place in kinds.iter().map(place) {
            self.with_leases(|leases| leases.remove(&place));
            self.world.with(|state| match rejected {
                Some(token) => state.reported(self.process, pair * PLACES + place, token),
                None => state.invalidated(self.process, pair * PLACES + place),
            });
        }
        let token = rejected.map(|token| self.world.with(|state| state.platform.text(token)));
        let told = executor::within(self.process, || {
            self.client.invalidate(kinds, IDS[id], SLUGS[slug], token.as_deref())
        });
        if let Some(background) = told.expect("ids that are fine") {
            executor::spawn(self.process, background);
        }
    }

    /// Closes the client; the process goes on.
    pub fn close(self: &Arc<Self>) {
        self.with_leases(FxHashMap::clear);
        self.world.with(|state| state.closes(self.process));
        let closing = executor::within(self.process, || self.client.close());
        let running = Arc::clone(self);
        let has_ended =
            move || running.world.with(|state| state.model.processes[running.process].has_ended = true);
        match closing {
            None => has_ended(),
            Some(ended) => {
                executor::spawn(self.process, async move {
                    ended.await;
                    has_ended();
                });
            }
        }
    }
}
