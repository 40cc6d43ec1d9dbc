//! Owns the steps that callers take, one after the other, and the events that happen meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, sleep_until};

use super::executor::{self, step_aside};
use super::member::{Running, Wish};
use super::names::owner;
use super::plan::{Action, Caller, Habit, Nature, Place, RedisFault};
use super::platform::TokenId;
use super::time::Clocks;
use super::wire;
use super::world::{World, WorldState};
use crate::core::tokens::key::OwnerKind;

/// Between the end of a process and the start of the next one in its slot.
const RESTART: Duration = Duration::from_millis(150);

/// How long a member may take to use a Redis that works again, and to flush its outbox to it.
const RECOVERY: Duration = Duration::from_secs(20);
/// How long a process that was killed may hold a lock.
const LOCKS: Duration = Duration::from_millis(2_300);
/// How long a closed client may take to release its locks.
const GRACE: Duration = Duration::from_millis(500);

/// The processes in the slots.
pub struct Slots {
    pub world: Arc<World>,
    running: Mutex<Vec<Arc<Running>>>,
}

impl Slots {
    /// Starts a process in each.
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        let start = |slot| Running::open(world, slot, Arc::new(Clocks::default()));
        let running = (0..world.plan.members.len()).map(start).collect();
        Arc::new(Self { world: Arc::clone(world), running: Mutex::new(running) })
    }

    /// The process in a slot now.
    pub fn running(&self, slot: usize) -> Arc<Running> {
        Arc::clone(&self.running.lock().unwrap_or_else(PoisonError::into_inner)[slot])
    }

    /// The processes in all slots.
    pub fn all(&self) -> Vec<Arc<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn restart(&self, slot: usize) {
        let clocks = Arc::clone(&self.running(slot).clocks);
        let next = Running::open(&self.world, slot, clocks);
        let before = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut running[slot], next)
        };
        drop(before);
    }

    /// Runs the steps of a caller.
    pub async fn live(self: Arc<Self>, caller: Caller) {
        let mut last = None;
        for (pause, action) in caller.steps {
            if pause == 0 {
                step_aside().await;
            } else {
                sleep(Duration::from_millis(pause)).await;
            }
            let running = self.running(caller.member);
            match action {
                Action::Ask { place, fresh, timeout, patience, habit } => {
                    let wish = Wish { place, fresh, timeout, patience, rejected: None };
                    if let Some(token) = running.ask(wish).await {
                        last = Some((place, token));
                        self.use_token(&running, wish, token, habit).await;
                    }
                }
                Action::Invalidate(place) => {
                    let (kind, ..) = owner(place);
                    let (id, slug) = parts(place);
                    running.invalidate(&[kind], id, slug, None);
                }
                Action::Webhook { id, slug } => running.invalidate(&OwnerKind::ALL, id, slug, None),
                Action::ComplainLate => {
                    if let Some((place, token)) = last {
                        let (kind, ..) = owner(place);
                        let (id, slug) = parts(place);
                        running.invalidate(&[kind], id, slug, Some(token));
                    }
                }
            }
        }
    }

    async fn use_token(&self, running: &Arc<Running>, wish: Wish, token: TokenId, habit: Habit) {
        let is_accepted = self.world.with(|state| state.platform.accepts(token, state.time.wall()));
        match habit {
            Habit::Keep => return,
            Habit::Complain => {}
            Habit::Repair | Habit::InvalidateAndAsk if is_accepted => return,
            Habit::Repair | Habit::InvalidateAndAsk => {}
        }
        step_aside().await;
        if habit == Habit::InvalidateAndAsk {
            let (kind, ..) = owner(wish.place);
            let (id, slug) = parts(wish.place);
            running.invalidate(&[kind], id, slug, Some(token));
            running.ask(Wish { fresh: false, ..wish }).await;
        } else {
            running.ask(Wish { fresh: false, rejected: Some(token), ..wish }).await;
        }
    }

    /// Runs the events of the plan.
    pub async fn befall(self: Arc<Self>) {
        for (at, what) in self.world.plan.nature.clone() {
            sleep_until(self.world.start + Duration::from_millis(at)).await;
            self.world.with(|state| state.time.note(|| format!("{what:?}")));
            match what {
                Nature::Rotate(which) => self.world.with(|state| {
                    let wall = state.time.wall();
                    state.platform.rotate(which, wall);
                }),
                Nature::State(which, status) => self.world.with(|state| state.platform.set(which, status)),
                Nature::Weather(weather) => self.world.with(|state| state.platform.weather = weather),
                Nature::Freeze(slot) => self.connections(slot, |connection| connection.is_frozen = true),
                Nature::CloseIdle(slot) => self.connections(slot, |connection| connection.is_closed = true),
                Nature::SetWall(slot, by) => self.running(slot).set_wall(by),
                Nature::Sleep(slot, millis) => self.running(slot).clocks.sleep(millis),
                Nature::Close(slot) => {
                    self.running(slot).close();
                    sleep(RESTART).await;
                    self.restart(slot);
                }
                Nature::Crash(slot) => {
                    let process = self.running(slot).process;
                    self.world.with(|state| state.model.processes[process].has_crashed = true);
                    executor::crash(process);
                    sleep(RESTART).await;
                    self.restart(slot);
                }
                Nature::Redis(fault) => wire::befall(&self.world, fault),
            }
        }
    }

    fn connections(&self, slot: usize, change: impl Fn(&mut super::model::NetworkConnection)) {
        let process = self.running(slot).process;
        self.world.with(|state| {
            let one = &mut state.model.processes[process];
            one.lost_connections += one.connections.len();
            one.connections.iter_mut().for_each(change);
        });
    }

    /// Heals Redis and waits until it has every invalidation, closes all clients, and checks what is left.
    pub async fn end(&self) {
        let was_well = self.world.with(|state| state.redis.trouble.is_none());
        if !was_well {
            wire::befall(&self.world, RedisFault::Heal);
        }
        sleep(if was_well { LOCKS } else { RECOVERY }).await;
        self.world.with(WorldState::check_told);
        let all = self.all();
        for running in &all {
            if self.world.with(|state| state.model.processes[running.process].closed.is_none()) {
                running.close();
            }
        }
        sleep(GRACE).await;
        self.world.with(WorldState::check_locks);
        for running in all {
            let process = running.process;
            let stats = running.client.stats();
            let (retries, counts) = (stats.retries.get(), [stats.in_flight.get(), stats.queued.get()]);
            drop(running);
            let tasks = executor::left(process);
            self.world.with(|state| {
                state.happens();
                state.check_end(process, retries, counts, tasks);
            });
        }
    }
}

fn parts(place: Place) -> (usize, usize) {
    (place / super::plan::SLUGS.len() % super::plan::IDS.len(), place % super::plan::SLUGS.len())
}
