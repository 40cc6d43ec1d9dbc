//! Sweeps expired tokens out of memory, in an idle client too: a token is a secret, also when nobody asks for it
//! again. A sweeper runs only while there is something to sweep, and keeps no client alive.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::core::client::state::ClientState;

/// Sweeps no more often, since each sweep looks at all entries.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// Nor less often: the timer stands still while the machine is suspended, and the wall clock may be set.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Lets another sweeper start, however this one ends: a runtime that shuts down drops it.
struct Sweeping {
    shared: Weak<ClientState>,
    has_ended: bool,
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade().filter(|_| !self.has_ended) {
            shared.tokens().stop_sweeping();
        }
    }
}

/// Resolves when there is nothing left to sweep, or the client is closed.
pub fn sweeper(shared: &Arc<ClientState>) -> BoxFuture<'static, ()> {
    let mut sweeping = Sweeping { shared: Arc::downgrade(shared), has_ended: false };
    let mut closing = shared.closing.subscribe();
    let sweep = async move {
        let mut pause = SHORTEST_PAUSE;
        // It times out, unless the client is closed or dropped during the pause.
        while timeout(pause, closing.wait_for(|is_closing| *is_closing)).await.is_err() {
            let Some(shared) = sweeping.shared.upgrade() else { break };
            let now = shared.clock.now();
            let next = shared.tokens().sweep(now);
            sweeping.has_ended = next.is_none();
            let Some(next) = next else { break };
            pause = next.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        }
    };
    sweep.boxed()
}
