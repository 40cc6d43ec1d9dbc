//! Owns the order of steps: runs the tasks of a world one step at a time, and draws the next one among those that are ready.
//!
//! It is an executor of its own for three reasons. The order in which tasks are woken does not count, since the ready ones are
//! sorted before one is drawn, so tokio's own chance (which waiter a `watch` wakes first) changes nothing. A process can
//! crash: its tasks are dropped, and their destructors start nothing. And the tasks that are left can be counted. It uses
//! tokio's timers and paused clock as they are: when no task is ready, the runtime moves the clock on.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Builder;
use tokio::task::unconstrained;

use super::chance;

/// Steps of one world: far more than any needs. A world with more of them loops.
const MAX_STEPS: u32 = 2_000_000;

/// The owner of a task: one process of the world, or the world itself.
pub type Process = usize;
/// The world itself.
pub const WORLD: Process = usize::MAX;

/// Names a task.
pub type TaskId = usize;

thread_local! {
    static TASKS: RefCell<Option<Rc<TaskSet>>> = const { RefCell::new(None) };
}

struct TaskSet {
    slots: RefCell<Vec<Slot>>,
    ready: Arc<Ready>,
    running: Cell<Process>,
    crashed: RefCell<Vec<Process>>,
}

struct Slot {
    task: Option<BoxFuture<'static, ()>>,
    waker: Waker,
    process: Process,
    is_over: bool,
}

/// The tasks that are ready, in the order of their numbers.
#[derive(Default)]
struct Ready(Mutex<(Vec<TaskId>, Option<Waker>)>);

struct TaskWaker {
    id: TaskId,
    ready: Arc<Ready>,
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, (Vec<TaskId>, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: TaskId) {
        let mut state = self.lock();
        if let Err(place) = state.0.binary_search(&id) {
            state.0.insert(place, id);
        }
        let main = state.1.take();
        drop(state);
        if let Some(main) = main {
            main.wake();
        }
    }

    fn draw(&self) -> Option<TaskId> {
        let mut state = self.lock();
        let count = state.0.len();
        (count > 0).then(|| state.0.remove(if count == 1 { 0 } else { chance::below(count) }))
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.add(self.id);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.add(self.id);
    }
}

impl TaskSet {
    fn current() -> Option<Rc<Self>> {
        TASKS.with_borrow(Clone::clone)
    }

    fn spawn(&self, process: Process, task: BoxFuture<'static, ()>) -> Option<TaskId> {
        if self.crashed.borrow().contains(&process) {
            drop(task);
            return None;
        }
        let mut slots = self.slots.borrow_mut();
        let id = slots.len();
        let waker = Waker::from(Arc::new(TaskWaker { id, ready: Arc::clone(&self.ready) }));
        slots.push(Slot { task: Some(task), waker, process, is_over: false });
        drop(slots);
        self.ready.add(id);
        Some(id)
    }

    /// One step of a task.
    fn step(&self, id: TaskId) {
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[id];
        let Some(mut task) = slot.task.take() else { return };
        let (waker, process) = (slot.waker.clone(), slot.process);
        drop(slots);
        self.as_process(process, || {
            let polled = task.poll_unpin(&mut Context::from_waker(&waker));
            let mut slots = self.slots.borrow_mut();
            let slot = &mut slots[id];
            slot.is_over |= polled.is_ready();
            if slot.is_over {
                drop(slots);
                drop(task);
            } else {
                slot.task = Some(task);
            }
        });
    }

    fn end(&self, id: TaskId) {
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[id];
        slot.is_over = true;
        let (task, process) = (slot.task.take(), slot.process);
        // Dropped outside the borrow, since a destructor may spawn.
        drop(slots);
        self.as_process(process, || drop(task));
    }

    fn as_process<R>(&self, process: Process, work: impl FnOnce() -> R) -> R {
        let before = self.running.replace(process);
        let done = work();
        self.running.set(before);
        done
    }
}

/// Runs a world to its end: that of its first task.
pub fn run<T: Send + 'static>(seed: u64, main: impl Future<Output = T> + Send + 'static) -> T {
    chance::begin(seed);
    let tasks = Rc::new(TaskSet {
        slots: RefCell::default(),
        ready: Arc::default(),
        running: Cell::new(WORLD),
        crashed: RefCell::default(),
    });
    TASKS.set(Some(Rc::clone(&tasks)));
    let result = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&result);
    let end = async move {
        let done = main.await;
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
    };
    tasks.spawn(WORLD, end.boxed());
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut steps = 0;
    let all = poll_fn(|context| {
        loop {
            if let Some(done) = result.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Poll::Ready(done);
            }
            let Some(next) = tasks.ready.draw() else { break };
            tasks.step(next);
            steps += 1;
            assert!(steps < MAX_STEPS, "the world turns in a circle");
        }
        tasks.ready.lock().1 = Some(context.waker().clone());
        Poll::Pending
    });
    let done = runtime.block_on(unconstrained(all));
    // Destructors spawn nothing from here on.
    let _inside = runtime.enter();
    tasks.crashed.borrow_mut().extend(tasks.slots.borrow().iter().map(|slot| slot.process));
    let left: Vec<_> = tasks.slots.borrow_mut().iter_mut().map(|slot| slot.task.take()).collect();
    drop(left);
    TASKS.set(None);
    done
}

/// Starts a task of a process.
pub fn spawn(process: Process, task: impl Future<Output = ()> + Send + 'static) -> Option<TaskId> {
    TaskSet::current().expect("a world is running").spawn(process, task.boxed())
}

/// Starts a task that the core spawns, for the process that runs now. After the end of the world it starts nothing.
pub fn adopt(task: BoxFuture<'static, ()>) {
    if let Some(tasks) = TaskSet::current() {
        tasks.spawn(tasks.running.get(), task);
    }
}

/// Drops a task.
pub fn end(id: TaskId) {
    TaskSet::current().expect("a world is running").end(id);
}

/// Runs code as a process, which owns the tasks that the core spawns meanwhile.
pub fn within<R>(process: Process, work: impl FnOnce() -> R) -> R {
    TaskSet::current().expect("a world is running").as_process(process, work)
}

/// Kills a process: drops its tasks, and starts no further one.
pub fn crash(process: Process) {
    let tasks = TaskSet::current().expect("a world is running");
    tasks.crashed.borrow_mut().push(process);
    let of_it = |tasks: &TaskSet| -> Vec<_> {
        let slots = tasks.slots.borrow();
        (0..slots.len()).filter(|id| slots[*id].process == process && !slots[*id].is_over).collect()
    };
    of_it(&tasks).into_iter().for_each(|id| tasks.end(id));
}

/// The number of a process's tasks that have not ended.
pub fn left(process: Process) -> usize {
    let tasks = TaskSet::current().expect("a world is running");
    let slots = tasks.slots.borrow();
    slots.iter().filter(|slot| slot.process == process && !slot.is_over).count()
}

/// Yields to other tasks, perhaps.
pub async fn step_aside() {
    if chance::percent(50) {
        tokio::task::yield_now().await;
    }
}
