//! Sweeps expired tokens out of memory, in an idle client too: a token is a secret, also when nobody asks for it
//! again. A sweeper runs only while there is something to sweep, and keeps no client alive.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::core::client::state::ClientState;
use crate::core::tokens::Sweeper;

/// Sweeps no more often, since each sweep looks at all entries.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// Nor less often: the timer stands still while the machine is suspended, and the wall clock may be set.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Resolves when there is nothing left to sweep, or the client is closed. If it is dropped before, as by a runtime that
/// shuts down, another sweeper may start.
pub fn sweeper(shared: &Arc<ClientState>, sweeper: Arc<Sweeper>) -> BoxFuture<'static, ()> {
    let mut closing = shared.closing.subscribe();
    let shared = Arc::downgrade(shared);
    let sweep = async move {
        let _sweeper = sweeper;
        let mut pause = SHORTEST_PAUSE;
        // It times out, unless the client is closed or dropped during the pause.
        while timeout(pause, closing.wait_for(|is_closing| *is_closing)).await.is_err() {
            let Some(shared) = shared.upgrade() else { break };
            let now = shared.clock.now();
            let Some(next) = shared.tokens().sweep(now) else { break };
            pause = next.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        }
    };
    sweep.boxed()
}
