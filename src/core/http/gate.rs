//! Lets one request open the first connection while the others of a cold burst wait: over HTTP/2 they all fit on
//! that one, and a platform that is slow to accept is not met with a connection per call.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How long a request waits for another one's connection before it opens its own.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// Open while there is a connection to share.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
    changed: Notify,
    /// How long a connection may be idle and still count as there.
    idle: Duration,
}

#[derive(Debug)]
enum State {
    Closed,
    Opening,
    Open { last_used: Instant },
}

impl Gate {
    /// A closed gate.
    pub fn new(idle: Duration) -> Self {
        Self { state: Mutex::new(State::Closed), changed: Notify::new(), idle }
    }

    /// Waits until there is a connection to share, or returns the leave to open the first one.
    pub async fn enter(&self) -> Option<Leader<'_>> {
        let deadline = Instant::now() + MAX_WAIT;
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.lock();
                match *state {
                    State::Open { last_used } if last_used.elapsed() < self.idle => return None,
                    State::Opening => {}
                    _ => {
                        *state = State::Opening;
                        return Some(Leader(self));
                    }
                }
            }
            if timeout_at(deadline, changed).await.is_err() {
                return None;
            }
        }
    }

    /// An answer came: there is a connection to share.
    pub fn open(&self) {
        let was_open = matches!(
            std::mem::replace(&mut *self.lock(), State::Open { last_used: Instant::now() }),
            State::Open { .. }
        );
        if !was_open {
            self.changed.notify_waiters();
        }
    }

    /// A connection was lost: the next request goes first again.
    pub fn close(&self) {
        let mut state = self.lock();
        if matches!(*state, State::Open { .. }) {
            *state = State::Closed;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that goes first. If it ends before [`Gate::open`], another one takes its turn.
#[derive(Debug)]
pub struct Leader<'a>(&'a Gate);

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if matches!(*state, State::Opening) {
            *state = State::Closed;
            drop(state);
            self.0.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(15);

    #[tokio::test(start_paused = true)]
    async fn one_goes_first_and_the_others_follow_when_the_gate_opens() {
        let gate = Gate::new(IDLE);
        let leader = gate.enter().await;
        assert!(leader.is_some());
        let started = Instant::now();
        let opened = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            gate.open();
        };
        let (second, third, ()) = tokio::join!(gate.enter(), gate.enter(), opened);
        assert!(second.is_none() && third.is_none());
        assert_eq!(started.elapsed(), Duration::from_millis(20));
        drop(leader);
        assert!(gate.enter().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_limit() {
        let gate = Gate::new(IDLE);
        let _leader = gate.enter().await;
        let started = Instant::now();
        assert!(gate.enter().await.is_none());
        assert_eq!(started.elapsed(), MAX_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_fails_hands_its_turn_over() {
        let gate = Gate::new(IDLE);
        let leader = gate.enter().await;
        let (next, ()) = tokio::join!(gate.enter(), async { drop(leader) });
        assert!(next.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn it_closes_after_idleness_and_after_a_lost_connection() {
        let gate = Gate::new(IDLE);
        gate.open();
        assert!(gate.enter().await.is_none());
        gate.close();
        assert!(gate.enter().await.is_some());
        gate.open();
        tokio::time::advance(IDLE).await;
        assert!(gate.enter().await.is_some());
    }
}
