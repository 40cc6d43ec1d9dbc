//! The hand-over of results from any thread to the event loop: who wakes it, and that nobody does once it is gone. Knows
//! nothing of N-API, so that a model checker can try every order of events.
//!
//! 1. A result that finds no wake-up under way wakes the event loop, at once.
//! 2. A woken event loop takes a batch. If results remain, it is woken again.
//! 3. So there is never a result without a wake-up under way.
//! 4. A closed queue takes nothing in and wakes nobody.

#[cfg(test)]
use loom::sync::{Mutex, MutexGuard};
use std::mem;
use std::sync::PoisonError;
#[cfg(not(test))]
use std::sync::{Mutex, MutexGuard};

/// Identifies one pending call of an environment. Never used twice.
pub type CallId = u64;

/// Wakes the event loop.
pub trait Wake {
    /// Asks the event loop to drain the queue; returns `false` if the request failed. Called under the queue's lock, since
    /// closing the queue must wait for it: takes no lock under which the queue is used.
    fn wake(&self) -> bool;
}

/// Results on their way to the event loop.
pub struct Queue<T, W>(Mutex<State<T, W>>);

struct State<T, W> {
    results: Vec<(CallId, T)>,
    /// Whether the event loop has been asked to drain the queue, and has not begun to.
    is_woken: bool,
    /// `None` before the queue is opened and once it is closed.
    wake: Option<W>,
}

impl<T, W: Wake> Queue<T, W> {
    /// Takes nothing in before it is opened.
    pub fn new() -> Self {
        Self(Mutex::new(State { results: Vec::new(), is_woken: false, wake: None }))
    }

    /// There is an event loop.
    pub fn open(&self, wake: W) {
        self.lock().wake = Some(wake);
    }

    /// The event loop goes: what waits is discarded.
    pub fn close(&self) {
        let mut state = self.lock();
        let discarded = (state.wake.take(), mem::take(&mut state.results));
        drop(state);
        // Their destructors run outside the lock.
        drop(discarded);
    }

    /// Takes a result in, and wakes the event loop unless it is woken already. A closed queue discards it.
    pub fn push(&self, call: CallId, result: T) {
        let mut state = self.lock();
        if state.wake.is_none() {
            drop(state);
            return;
        }
        state.results.push((call, result));
        state.wake();
    }

    /// The oldest results, `most` of them at the most, for an event loop that has been woken.
    pub fn take(&self, most: usize) -> Vec<(CallId, T)> {
        let mut state = self.lock();
        let taken = most.min(state.results.len());
        let later = state.results.split_off(taken);
        let taken = mem::replace(&mut state.results, later);
        state.is_woken = false;
        state.wake();
        taken
    }

    fn lock(&self) -> MutexGuard<'_, State<T, W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, W: Wake> State<T, W> {
    /// Wakes the event loop if there is something to take and it does not know yet.
    fn wake(&mut self) {
        if let Some(wake) = &self.wake
            && !self.is_woken
            && !self.results.is_empty()
        {
            self.is_woken = wake.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use loom::model::Builder;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::*;

    /// An event loop as far as the queue knows it: it sleeps until it is woken. What wakes it can be freed.
    #[derive(Clone)]
    struct EventLoop(Arc<(Mutex<Wakeups>, Condvar)>);

    #[derive(Default)]
    struct Wakeups {
        due: usize,
        total: usize,
        is_freed: bool,
    }

    impl EventLoop {
        fn new() -> Self {
            Self(Arc::new((Mutex::new(Wakeups::default()), Condvar::new())))
        }

        fn sleep(&self) {
            let (wakeups, changed) = &*self.0;
            let mut wakeups = wakeups.lock().unwrap();
            while wakeups.due == 0 {
                wakeups = changed.wait(wakeups).unwrap();
            }
            wakeups.due -= 1;
        }

        fn total(&self) -> usize {
            self.0.0.lock().unwrap().total
        }

        fn free(&self) {
            self.0.0.lock().unwrap().is_freed = true;
        }
    }

    impl Wake for EventLoop {
        fn wake(&self) -> bool {
            let (wakeups, changed) = &*self.0;
            let mut wakeups = wakeups.lock().unwrap();
            assert!(!wakeups.is_freed, "woken after it was freed");
            wakeups.due += 1;
            wakeups.total += 1;
            changed.notify_one();
            true
        }
    }

    type TestQueue = Arc<Queue<CallId, EventLoop>>;

    fn open_queue(event_loop: &EventLoop) -> TestQueue {
        let queue = Arc::new(Queue::new());
        queue.open(event_loop.clone());
        queue
    }

    fn send(queue: &TestQueue, calls: &'static [CallId]) -> thread::JoinHandle<()> {
        let queue = Arc::clone(queue);
        thread::spawn(move || {
            for call in calls {
                queue.push(*call, *call);
            }
        })
    }

    /// Tries every order, with few enough switches of threads that it ends.
    fn every_order(check: impl Fn() + Sync + Send + 'static) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(check);
    }

    /// Settles what is pending until nothing is. A lost wake-up leaves it asleep, which the model reports.
    fn settle_all(queue: &TestQueue, event_loop: &EventLoop, mut pending: HashSet<CallId>, most: usize) {
        while !pending.is_empty() {
            event_loop.sleep();
            for (call, result) in queue.take(most) {
                assert_eq!(call, result);
                assert!(pending.remove(&call), "{call} was settled twice");
            }
        }
    }

    #[test]
    fn no_wake_up_is_lost_and_nothing_is_settled_twice() {
        for most in [1, usize::MAX] {
            every_order(move || {
                let event_loop = EventLoop::new();
                let queue = open_queue(&event_loop);
                let senders = [send(&queue, &[1, 2]), send(&queue, &[3])];
                settle_all(&queue, &event_loop, HashSet::from([1, 2, 3]), most);
                for sender in senders {
                    sender.join().unwrap();
                }
                assert!(event_loop.total() <= 3, "more wake-ups than results");
            });
        }
    }

    #[test]
    fn results_that_come_while_a_wake_up_is_under_way_share_it() {
        every_order(|| {
            let event_loop = EventLoop::new();
            let queue = open_queue(&event_loop);
            for sender in [send(&queue, &[1, 2]), send(&queue, &[3])] {
                sender.join().unwrap();
            }
            assert_eq!(event_loop.total(), 1);
            assert_eq!(queue.take(usize::MAX).len(), 3);
        });
    }

    #[test]
    fn nothing_is_touched_after_the_event_loop_is_gone() {
        every_order(|| {
            let event_loop = EventLoop::new();
            let queue = open_queue(&event_loop);
            let senders = [send(&queue, &[1, 2]), send(&queue, &[3])];
            let taken = queue.take(usize::MAX).len();
            queue.close();
            event_loop.free();
            assert!(taken <= 3 && queue.take(usize::MAX).is_empty());
            for sender in senders {
                sender.join().unwrap();
            }
            assert!(queue.take(usize::MAX).is_empty(), "a result was taken in after the end");
        });
    }
}
