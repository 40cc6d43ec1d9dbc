//! Owns the way to the platform: connections that freeze, break and are closed, below the pools of the core.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Url;
use tokio::time::sleep;

use super::chance;
use super::executor::{Process, step_aside};
use super::model::{Ending, NetworkConnection};
use super::plan::{IDS, PLACES, SLUGS};
use super::platform::{Meaning, Reply, Serial, Which};
use super::world::World;
use crate::core::error::{Error, Kind};
use crate::core::http::pool::{Pool, Pools};
use crate::core::http::{Answer, Exchange, Fault, FaultKind, PoolChoice};

/// The network of one process.
pub struct Network {
    pub world: Arc<World>,
    pub process: Process,
    pub pair: usize,
    pub pools: Pools<ConnectionSlot>,
}

/// The connection of a pool, as over HTTP/2: one more than its number, 0 for none.
#[derive(Default)]
pub struct ConnectionSlot(AtomicUsize);

/// The connection that a URL names.
fn which(pair: usize, url: &Url) -> Option<Which> {
    let parts: Vec<_> = url.path_segments()?.collect();
    let (kind, id, slug) = match parts[..] {
        ["connections", id, slug] => (0, id, slug),
        ["groups", id, "connections", slug] => (1, id, slug),
        ["contexts", id, "connections", slug] => (2, id, slug),
        _ => return None,
    };
    let find = |names: &[&str], name| names.iter().position(|known| *known == name);
    let place = (kind * IDS.len() + find(&IDS, id)?) * SLUGS.len() + find(&SLUGS, slug)?;
    Some(pair * PLACES + place)
}

/// A request in flight; one that is dropped was cancelled.
struct RequestGuard<'a> {
    network: &'a Network,
    serial: Serial,
    has_ended: bool,
}

impl RequestGuard<'_> {
    fn end(&mut self, ending: Ending) {
        self.has_ended = true;
        self.network.world.with(|state| state.ended(self.serial, ending));
    }
}

impl Drop for RequestGuard<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(Ending::Cancelled);
        }
    }
}

impl Exchange for Network {
    async fn exchange(&self, url: Url, limit: Duration, choice: PoolChoice) -> Result<Answer, Fault> {
        let which = which(self.pair, &url).expect("a URL of a connection");
        let serial = self.world.with(|state| state.requested(self.process, which));
        let mut request = RequestGuard { network: self, serial, has_ended: false };
        let build = |_| Some(ConnectionSlot::default());
        let travel = |pool: Arc<Pool<ConnectionSlot>>| async move { self.travel(&pool, serial, which).await };
        let (_, exchanged) = self.pools.exchange(choice, limit, build, travel).await.expect("a pool");
        match exchanged {
            Ok(Ok((answer, meaning))) => {
                request.end(Ending::Answer(meaning));
                Ok(answer)
            }
            Ok(Err(fault)) => {
                request.end(Ending::Broken { is_stale: matches!(fault.kind, FaultKind::Stale(_)) });
                Err(fault)
            }
            Err(_) => {
                request.end(Ending::Late);
                Err(Error::new(Kind::Timeout, "late").retryable().into())
            }
        }
    }
}

impl Network {
    async fn travel(
        &self,
        pool: &Pool<ConnectionSlot>,
        serial: Serial,
        which: Which,
    ) -> Result<(Answer, Meaning), Fault> {
        step_aside().await;
        let connection = match pool.client.0.load(Ordering::Relaxed).checked_sub(1) {
            Some(connection) => connection,
            None => {
                let connection = self.world.with(|state| state.connected(self.process));
                pool.client.0.store(connection + 1, Ordering::Relaxed);
                connection
            }
        };
        let look = || self.world.with(|state| state.model.processes[self.process].connections[connection]);
        let delay = self.world.with(|state| state.platform.delay());
        let part = chance::between(0, delay);
        if look().is_closed {
            return Err(self.broken(pool, connection));
        }
        pause(delay - part).await;
        let reply = self.world.with(|state| {
            let wall = state.time.wall();
            state.platform.reply(serial, which, wall)
        });
        pause(part).await;
        let NetworkConnection { is_frozen, is_closed, .. } = look();
        if is_frozen {
            return pending().await;
        }
        match reply {
            _ if is_closed => Err(self.broken(pool, connection)),
            Reply::Answer(answer, meaning) => {
                let is_good = answer.status < 500;
                self.world.with(|state| {
                    state.model.processes[self.process].connections[connection].has_served |= is_good;
                });
                Ok((answer, meaning))
            }
            Reply::Broken => {
                self.world.with(|state| {
                    state.model.processes[self.process].connections[connection].is_closed = true;
                });
                Err(self.broken(pool, connection))
            }
            Reply::Nothing => pending().await,
        }
    }

    /// The connection is lost. Its loss is no failure of the platform if it had served a request.
    fn broken(&self, pool: &Pool<ConnectionSlot>, connection: usize) -> Fault {
        let _ = pool.client.0.compare_exchange(connection + 1, 0, Ordering::Relaxed, Ordering::Relaxed);
        let had_served =
            self.world.with(|state| state.model.processes[self.process].connections[connection].has_served);
        Fault {
            error: Box::new(Error::new(Kind::Connect, "lost").retryable()),
            kind: if had_served { FaultKind::Stale(pool.number) } else { FaultKind::Transient },
        }
    }
}

async fn pause(millis: u64) {
    if millis == 0 {
        step_aside().await;
    } else {
        sleep(Duration::from_millis(millis)).await;
    }
}
