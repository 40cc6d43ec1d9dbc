//! The queue in every order of events that loom can think of.

use std::collections::HashSet;

use loom::model::Builder;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::queue::{CallId, ResultQueue, Wake};

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

type TestQueue = Arc<ResultQueue<CallId, EventLoop>>;

fn open_queue(event_loop: &EventLoop) -> TestQueue {
    let queue = Arc::new(ResultQueue::new());
    queue.open(event_loop.clone());
    queue
}

fn send(queue: &TestQueue, calls: &'static [CallId]) -> thread::JoinHandle<()> {
    let queue = Arc::clone(queue);
    thread::spawn(move || {
        for call in calls {
            queue.push(vec![(*call, *call)]);
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
        let taken = queue.take(most);
        assert!(!taken.is_empty(), "woken in vain");
        for (call, result) in taken {
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
