//! The core in a simulated world, on simulated time, from one seed. See docs/simulation.md.
//!
//! `plan` → what happens; `executor`, `chance` → in which order; `time` → when, and what has happened; `names` → what things
//! are called; `platform`, `transport` → what is asked, and the way there; `redis`, `store`, `wire` → what is shared, and the
//! way there; `member`, `caller` → who asks; `model`, `sharing` → what an onlooker knows, by `events` and `fleet_events`;
//! `invariants`, `token_invariants`, `due` → what must always hold; `world` → all of that at once; `shrink` → how a failure is made shorter.

mod caller;
mod chance;
mod due;
mod events;
mod executor;
mod fleet_events;
mod invariants;
mod member;
mod model;
mod names;
mod plan;
mod platform;
mod redis;
mod sharing;
mod shrink;
mod time;
mod token_invariants;
mod transport;
mod wire;
mod world;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::timeout;

use self::caller::Slots;
use self::plan::Plan;
use self::time::Violation;
use self::world::World;

/// Longer than any world lasts.
const HORIZON: Duration = Duration::from_secs(10_000);

/// The result of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub violation: Option<Violation>,
    pub history: String,
}

/// Runs a world to its end.
pub fn run(plan: &Plan, has_history: bool) -> Ended {
    let plan = plan.clone();
    executor::run(plan.seed, async move {
        let world = World::new(&plan, has_history);
        let lasts = timeout(HORIZON, live(Arc::clone(&world))).await;
        world.with(|state| {
            if lasts.is_err() {
                state.time.violate(invariants::IN_TIME, || "some call never settles".to_owned());
            }
            let (violation, history) = state.time.take();
            Ended { violation, history }
        })
    })
}

async fn live(world: Arc<World>) {
    let slots = Slots::new(&world);
    let (done, all_done) = tokio::sync::oneshot::channel();
    let callers = world.plan.callers.clone().into_iter();
    let mut lives: Vec<_> = callers.map(|caller| spawned(Arc::clone(&slots).live(caller)).boxed()).collect();
    lives.push(spawned(Arc::clone(&slots).befall()).boxed());
    executor::spawn(executor::WORLD, async move {
        join_all(lives).await;
        let _ = done.send(());
    });
    let _ = all_done.await;
    slots.end().await;
}

/// Runs a part of the world as a task, and ends when that does.
async fn spawned(part: impl Future<Output = ()> + Send + 'static) {
    let (done, is_done) = tokio::sync::oneshot::channel();
    executor::spawn(executor::WORLD, async move {
        part.await;
        let _ = done.send(());
    });
    let _ = is_done.await;
}
