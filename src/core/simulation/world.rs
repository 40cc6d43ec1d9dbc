//! Owns one world: everything in it but the core.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::model::Model;
use super::plan::Plan;
use super::platform::SimulatedPlatform;
use super::redis::SimulatedRedis;
use super::time::Time;

/// One world.
pub struct World {
    pub plan: Plan,
    pub start: Instant,
    state: Mutex<WorldState>,
    /// Notified when the health of Redis changes.
    pub redis_changed: Notify,
}

/// Everything in a world but the core.
pub struct WorldState {
    pub time: Time,
    pub platform: SimulatedPlatform,
    pub redis: SimulatedRedis,
    pub model: Model,
}

impl World {
    pub fn new(plan: &Plan, has_history: bool) -> Arc<Self> {
        let time = Time::new(has_history);
        let start = time.start();
        let state = WorldState {
            time,
            platform: SimulatedPlatform::new(plan),
            redis: SimulatedRedis::new(plan.loses_writes()),
            model: Model::new(plan),
        };
        Arc::new(Self { plan: plan.clone(), start, state: Mutex::new(state), redis_changed: Notify::new() })
    }

    /// Reads or changes the state. `work` must not call the core.
    pub fn with<R>(&self, work: impl FnOnce(&mut WorldState) -> R) -> R {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
