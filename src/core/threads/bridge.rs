//! Calls that the bridge's task runs, and whose results go to an event loop through its queue, on the threads of a schedule.

/// The task, with the queue below.
#[allow(clippy::duplicate_mod, reason = "once with each queue")]
#[path = "../../binding/calls.rs"]
mod calls;
/// The queue, with the lock of schedules; loom tries it with its own.
#[allow(clippy::duplicate_mod, reason = "once with each lock")]
#[path = "../../binding/queue.rs"]
mod queue;

/// What the queue takes its lock from.
mod sync {
    pub use crate::core::sync::{Mutex, MutexGuard};
}

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use shuttle::future::{JoinHandle, block_on, spawn};
use shuttle::thread;

use self::calls::CallRunner;
use self::queue::{CallId, ResultQueue, Wake};
use crate::core::error::{Error, Kind};
use crate::core::threads::explore::explore;
use crate::core::threads::rig::Rig;
use crate::core::tokens::in_flight::CancelHandle;

/// What Node counts of an event loop: how often it was woken, and whether it is gone.
#[derive(Default)]
struct EventLoop {
    due: AtomicUsize,
    total: AtomicUsize,
    is_gone: AtomicBool,
}

struct Waker(Arc<EventLoop>);

impl Wake for Waker {
    fn wake(&self) -> bool {
        assert!(!self.0.is_gone.load(Ordering::Relaxed), "woken after it was freed");
        self.0.total.fetch_add(1, Ordering::Relaxed);
        self.0.due.fetch_add(1, Ordering::Relaxed);
        true
    }
}

impl EventLoop {
    /// Waits for a wake-up. A lost one leaves it waiting for ever.
    fn sleep(&self) {
        while self.due.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        self.due.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An environment of Node: its event loop, its queue, the task that runs its calls, and those that are pending.
struct Environment {
    rig: Arc<Rig>,
    event_loop: Arc<EventLoop>,
    queue: Arc<ResultQueue<String, Waker>>,
    runner: Option<CallRunner<String>>,
    task: JoinHandle<()>,
    pending: Vec<(CallId, Box<dyn FnOnce()>)>,
}

impl Environment {
    fn new(rig: &Arc<Rig>) -> Self {
        let (event_loop, queue) = (Arc::new(EventLoop::default()), Arc::new(ResultQueue::new()));
        queue.open(Waker(Arc::clone(&event_loop)));
        let (runner, task) = CallRunner::new(Arc::clone(&queue));
        Self {
            rig: Arc::clone(rig),
            event_loop,
            queue,
            runner: Some(runner),
            task: spawn(task),
            pending: Vec::new(),
        }
    }

    /// As `call` of the binding does.
    fn call(&mut self, id: CallId) {
        let call = self.rig.call();
        let leave: CancelHandle = call.cancel_handle();
        let work = async move { call.run().await.result.unwrap().token().unwrap().to_owned() };
        let runner = self.runner.as_ref().expect("the environment has not gone");
        let abort = runner.run(id, work, || "panicked".to_owned());
        let cancel = move || {
            leave.cancel();
            abort.abort();
        };
        self.pending.push((id, Box::new(cancel)));
    }

    fn cancel(&mut self, id: CallId) {
        if let Some(at) = self.pending.iter().position(|(pending, _)| *pending == id) {
            (self.pending.remove(at).1)();
        }
    }

    /// Settles what has a result, as one wake-up does.
    fn settle(&mut self, most: usize) {
        let taken = self.queue.take(most);
        assert!(!taken.is_empty(), "woken in vain");
        for (id, token) in taken {
            // That of a call which was cancelled as its result came is nobody's.
            if let Some(at) = self.pending.iter().position(|(pending, _)| *pending == id) {
                assert_eq!(token, "token-0");
                drop(self.pending.remove(at));
            }
        }
    }

    /// As `Bridge::close`.
    fn close(&mut self) {
        self.queue.close();
        self.event_loop.is_gone.store(true, Ordering::Relaxed);
        self.pending.drain(..).for_each(|(_, cancel)| cancel());
        self.runner = None;
    }

    /// Lets the runtime come to the end of what was started.
    fn end(mut self) {
        self.runner = None;
        block_on(self.task).unwrap();
        assert!(self.queue.take(usize::MAX).is_empty(), "a result was taken in after the end");
        self.rig.check_end();
    }
}

#[test]
fn every_call_settles_once_by_as_few_wake_ups_as_results() {
    for most in [1, usize::MAX] {
        explore(move || {
            let mut environment = Environment::new(&Rig::new(false, false));
            (0..3).for_each(|id| environment.call(id));
            while !environment.pending.is_empty() {
                environment.event_loop.sleep();
                environment.settle(most);
            }
            assert!(environment.event_loop.total.load(Ordering::Relaxed) <= 3, "more wake-ups than results");
            environment.end();
        });
    }
}

#[test]
fn a_call_that_is_cancelled_as_its_result_comes_settles_nothing_else() {
    explore(|| {
        let mut environment = Environment::new(&Rig::new(false, false));
        (0..3).for_each(|id| environment.call(id));
        environment.event_loop.sleep();
        environment.settle(1);
        environment.cancel(1);
        while !environment.pending.is_empty() {
            environment.event_loop.sleep();
            environment.settle(1);
        }
        environment.close();
        environment.end();
    });
}

#[test]
fn an_environment_that_goes_while_results_come_leaves_nothing_behind() {
    for settles in [false, true] {
        explore(move || {
            let rig = Rig::new(false, false);
            let mut environment = Environment::new(&rig);
            (0..3).for_each(|id| environment.call(id));
            if settles {
                environment.event_loop.sleep();
                environment.settle(1);
            }
            let caller = {
                let rig = Arc::clone(&rig);
                thread::spawn(move || rig.token(None))
            };
            environment.close();
            assert_eq!(caller.join().unwrap(), "token-0");
            environment.end();
        });
    }
}

/// The system refuses the runtime's thread: the call fails at once, and those who share its fetch do not.
#[test]
fn a_call_whose_thread_is_refused_fails_alone() {
    explore(|| {
        let rig = Rig::new(false, false);
        let joined = {
            let rig = Arc::clone(&rig);
            thread::spawn(move || rig.token(None))
        };
        let refusal = io::Error::from(io::ErrorKind::WouldBlock);
        let error = rig.call().fail(Error::no_thread(&refusal));
        assert_eq!(error.kind, Kind::Overloaded);
        assert_eq!(joined.join().unwrap(), "token-0");
        rig.check_end();
        assert_eq!(rig.token(None), "token-0", "the next call works");
    });
}
