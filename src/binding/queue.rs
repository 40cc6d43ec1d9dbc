//! Hands results from any thread over to the event loop: who wakes it, and that nobody does after it has ended. Knows
//! nothing of N-API, so that a model checker can try every order of events.
//!
//! 1. Results that find no wake-up under way wake the event loop, at once.
//! 2. A woken event loop takes a batch. If results remain, it is woken again.
//! 3. So there is never a result without a wake-up under way.
//! 4. A closed queue takes nothing in and wakes nobody.

use std::mem;
use std::sync::PoisonError;

use super::sync::{Mutex, MutexGuard};

/// Identifies one pending call of an environment. Never used twice.
pub type CallId = u64;

/// Wakes the event loop.
pub trait Wake {
    /// Asks the event loop to drain the queue; returns `false` if the request failed. Called under a lock, since closing the
    /// queue must wait for it: takes no lock under which the queue is used.
    fn wake(&self) -> bool;
}

/// Results on their way to the event loop.
pub struct ResultQueue<T, W> {
    state: Mutex<QueueState<T>>,
    /// `None` before the queue is opened and once it is closed. Has a lock of its own: a woken event loop takes results
    /// without waiting for the thread that wakes it.
    wake: Mutex<Option<W>>,
}

struct QueueState<T> {
    results: Vec<(CallId, T)>,
    /// Whether the event loop has been asked to drain the queue, or is being asked, and has not begun to.
    is_woken: bool,
    is_open: bool,
}

impl<T, W: Wake> ResultQueue<T, W> {
    /// Discards results until it is opened.
    pub fn new() -> Self {
        let state = QueueState { results: Vec::new(), is_woken: false, is_open: false };
        Self { state: Mutex::new(state), wake: Mutex::new(None) }
    }

    /// There is an event loop.
    pub fn open(&self, wake: W) {
        *lock(&self.wake) = Some(wake);
        lock(&self.state).is_open = true;
    }

    /// The event loop ends: discards the results that wait.
    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.is_open = false;
        let discarded = mem::take(&mut state.results);
        drop(state);
        let wake = lock(&self.wake).take();
        // Their destructors run outside the locks.
        drop((wake, discarded));
    }

    /// Adds results, and wakes the event loop unless it is woken already. A closed queue discards them.
    pub fn push(&self, results: Vec<(CallId, T)>) {
        let mut state = lock(&self.state);
        if !state.is_open {
            drop(state);
            return;
        }
        state.results.extend(results);
        let must_wake = state.claim_wake_up();
        drop(state);
        if must_wake {
            self.wake();
        }
    }

    /// Removes up to `most` of the oldest results, for an event loop that has been woken.
    pub fn take(&self, most: usize) -> Vec<(CallId, T)> {
        let mut state = lock(&self.state);
        let taken = most.min(state.results.len());
        let later = state.results.split_off(taken);
        let taken = mem::replace(&mut state.results, later);
        state.is_woken = false;
        let must_wake = state.claim_wake_up();
        drop(state);
        if must_wake {
            self.wake();
        }
        taken
    }

    /// Wakes the event loop, for the one that has claimed it.
    fn wake(&self) {
        let is_woken = lock(&self.wake).as_ref().is_some_and(Wake::wake);
        if !is_woken {
            lock(&self.state).is_woken = false;
        }
    }
}

impl<T> QueueState<T> {
    /// `true` for the one caller that has to wake the event loop: results wait, and nobody has been told to wake it.
    fn claim_wake_up(&mut self) -> bool {
        let must_wake = !self.is_woken && !self.results.is_empty();
        self.is_woken |= must_wake;
        must_wake
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
