//! The hand-over of results from any thread to the event loop: who wakes it, and that nobody does once it is gone. Knows
//! nothing of N-API, so that every order of events can be tried.
//!
//! 1. Whoever puts the first result into an empty queue owes the event loop a wake-up, unless one is on its way.
//! 2. The event loop takes what there is. It either comes back by itself, or says that it rests.
//! 3. As it rests, what came meanwhile wakes it at once. So there is never a result without somebody who comes for it.
//! 4. Once the queue is closed, nothing is taken in and nobody is woken. Its lock keeps both from meeting.

#[cfg(test)]
use loom::sync::{Mutex, MutexGuard};
use std::sync::PoisonError;
#[cfg(not(test))]
use std::sync::{Mutex, MutexGuard};

/// Names one pending promise of an environment. Never used twice.
pub type Key = u64;

/// What wakes the event loop.
pub trait Wake {
    /// Has it come to the queue soon; `false` if that cannot be had.
    fn wake(&self) -> bool;
}

/// Results on their way to the event loop.
pub struct Queue<T, W>(Mutex<State<T, W>>);

struct State<T, W> {
    results: Vec<(Key, T)>,
    /// Whether the event loop has been asked to come, or comes by itself.
    is_coming: bool,
    /// `None` before the queue is opened and once it is closed.
    wake: Option<W>,
}

impl<T, W: Wake> Queue<T, W> {
    /// Takes nothing in before it is opened.
    pub fn new() -> Self {
        Self(Mutex::new(State { results: Vec::new(), is_coming: false, wake: None }))
    }

    /// There is an event loop.
    pub fn open(&self, wake: W) {
        self.lock().wake = Some(wake);
    }

    /// The event loop goes.
    pub fn close(&self) {
        let mut state = self.lock();
        state.wake = None;
        state.results.clear();
    }

    /// Takes a result in. `true` if a wake-up is owed for it: whoever put it there has to `wake`, at once or when there are
    /// more.
    pub fn push(&self, key: Key, result: T) -> bool {
        let mut state = self.lock();
        if state.wake.is_none() {
            return false;
        }
        state.results.push((key, result));
        !state.is_coming && state.results.len() == 1
    }

    /// Has the event loop come for the results, unless it is on its way or has them already.
    pub fn wake(&self) {
        Self::wake_for(&mut self.lock());
    }

    /// What came first, for the event loop: so many results at the most.
    pub fn take(&self, most: usize) -> Vec<(Key, T)> {
        let results = &mut self.lock().results;
        let later = results.split_off(most.min(results.len()));
        std::mem::replace(results, later)
    }

    /// The event loop does not come back by itself.
    pub fn rest(&self) {
        let mut state = self.lock();
        state.is_coming = false;
        Self::wake_for(&mut state);
    }

    fn wake_for(state: &mut State<T, W>) {
        if let Some(wake) = &state.wake
            && !state.is_coming
            && !state.results.is_empty()
        {
            state.is_coming = wake.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T, W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
            changed.notify_one();
            true
        }
    }

    type TestQueue = Arc<Queue<Key, EventLoop>>;

    fn open_queue(event_loop: &EventLoop) -> TestQueue {
        let queue = Arc::new(Queue::new());
        queue.open(event_loop.clone());
        queue
    }

    /// As a task of the runtime sends its result: what else is ready comes first, then the wake-up that it owes.
    fn send(queue: &TestQueue, keys: &'static [Key]) -> thread::JoinHandle<()> {
        let queue = Arc::clone(queue);
        thread::spawn(move || {
            let owed: Vec<_> = keys.iter().map(|key| queue.push(*key, *key)).collect();
            if owed.contains(&true) {
                thread::yield_now();
                queue.wake();
            }
        })
    }

    /// Tries every order, with few enough switches of threads that it ends.
    fn every_order(check: impl Fn() + Sync + Send + 'static) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(check);
    }

    /// Settles what is pending until nothing is. A wake-up that was lost leaves it asleep, which the model reports.
    fn settle_all(queue: &TestQueue, event_loop: &EventLoop, mut pending: HashSet<Key>, comes_back: bool) {
        // One that comes back need not take all at once.
        let most = if comes_back { 1 } else { usize::MAX };
        while !pending.is_empty() {
            event_loop.sleep();
            loop {
                let results = queue.take(most);
                let is_idle = results.is_empty();
                for (key, result) in results {
                    assert_eq!(key, result);
                    assert!(pending.remove(&key), "{key} was settled twice");
                }
                // As the bridge does it: as long as there was something, it looks again in its next turn.
                if !comes_back || is_idle || pending.is_empty() {
                    break;
                }
                thread::yield_now();
            }
            queue.rest();
        }
    }

    #[test]
    fn no_wake_up_is_lost_and_nothing_is_settled_twice() {
        for comes_back in [false, true] {
            every_order(move || {
                let event_loop = EventLoop::new();
                let queue = open_queue(&event_loop);
                let senders = [send(&queue, &[1, 2]), send(&queue, &[3])];
                settle_all(&queue, &event_loop, HashSet::from([1, 2, 3]), comes_back);
                for sender in senders {
                    sender.join().unwrap();
                }
            });
        }
    }

    #[test]
    fn a_result_that_nobody_waits_for_any_more_keeps_none_of_the_others() {
        every_order(|| {
            let event_loop = EventLoop::new();
            let queue = open_queue(&event_loop);
            let senders = [send(&queue, &[1]), send(&queue, &[2])];
            // The first was cancelled: its promise is settled by then, so that only the second counts.
            let mut pending = HashSet::from([2]);
            while !pending.is_empty() {
                event_loop.sleep();
                for (key, _) in queue.take(usize::MAX) {
                    pending.remove(&key);
                }
                queue.rest();
            }
            for sender in senders {
                sender.join().unwrap();
            }
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
