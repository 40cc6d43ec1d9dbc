//! Hands results from other threads over to JavaScript, any number per wake-up of the event loop. The only module with
//! `unsafe`.
//!
//! napi's own async functions make a thread-safe function and a promise per call; here one function serves an environment
//! (the main thread or a worker) for its whole life, and promises are JavaScript's: a result crosses as a value beside the
//! number of its call. Results wait in a `queue`; the first one wakes the event loop, which then takes whatever the queue
//! holds. The thread-safe function is referenced only while calls are pending, so an idle client never keeps the process
//! alive. When the environment goes, pending work is aborted and late results are dropped: the queue's lock keeps both from
//! meeting.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::{FunctionRef, JsObjectValue, Unknown};
use napi::{Env, JsValue, ValueType, check_status, sys};
use rustc_hash::FxHashMap;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, sleep_until};

use super::queue::{Key, Queue, Wake};
use super::runtime;
use crate::core::client::Overdue;
use crate::core::tokens::in_flight::Leave;

/// Turns a result into what JavaScript gets.
pub type Convert<T> = for<'env> fn(&'env Env, T) -> napi::Result<Unknown<'env>>;

/// What tools that watch asynchronous resources call the bridge.
const RESOURCE_NAME: &str = "xkit-node";
/// Most results that cross by one call of the function.
const MAX_BATCH: usize = 256;
/// Most results that cross in one turn of the event loop.
const MAX_PER_TURN: usize = 256;
/// How much later than itself a call is ended that has a limit elsewhere too.
const GRACE: Duration = Duration::from_millis(100);
/// In place of a call's number: those whose time is over are to be looked for.
const LOOK: Key = 0;

/// How `Bridge::settle` is called in the next turn of the event loop: by Node's `setImmediate`, and a function that
/// calls it. Both are Node's own and native: one of the package's would keep the test file alive, in jest, that brought it.
pub struct SettleLater {
    pub set_immediate: FunctionRef<Unknown<'static>, Unknown<'static>>,
    pub settle: FunctionRef<(), ()>,
}

/// What JavaScript gets results by: a function that is called with numbers of calls and their results in turn.
pub type Settled = FunctionRef<Unknown<'static>, Unknown<'static>>;

/// The calls of one environment that are pending. Lives on the environment's thread.
pub struct Bridge<T: Send + 'static> {
    queue: Arc<Results<T>>,
    pending: RefCell<FxHashMap<Key, Pending>>,
    last_key: Cell<Key>,
    wake: Cell<sys::napi_threadsafe_function>,
    convert: Convert<T>,
    settle_later: SettleLater,
    /// Whether `setImmediate` is Node's own, once that is known. A fake that was there before this package may never fire.
    is_genuine: Cell<Option<bool>>,
    /// When somebody comes to look for calls whose time is over, and who.
    look: RefCell<Option<(Instant, AbortHandle)>>,
}

struct Pending {
    settled: Rc<Settled>,
    work: Work,
}

/// What will bring a result.
pub struct Work {
    pub task: AbortHandle,
    /// For a call.
    pub leave: Option<Leave>,
    /// For a call whose thread may be too busy to keep its limit.
    pub limit: Option<Overdue>,
}

impl Work {
    fn abort(&self) {
        if let Some(leave) = &self.leave {
            leave.now();
        }
        self.task.abort();
    }
}

/// The thread-safe function by which the event loop is woken.
struct WakeFunction(sys::napi_threadsafe_function);

// SAFETY: a thread-safe function is made to be called from any thread; the pointer is used for nothing else.
unsafe impl Send for WakeFunction {}

impl Wake for WakeFunction {
    fn wake(&self) -> bool {
        // SAFETY: the function is alive, since the environment closes the queue, which holds this, before Node frees it.
        let status = unsafe {
            sys::napi_call_threadsafe_function(
                self.0,
                ptr::null_mut(),
                sys::ThreadsafeFunctionCallMode::nonblocking,
            )
        };
        status == sys::Status::napi_ok
    }
}

/// A call has a result; `LOOK` has none.
type Results<T> = Queue<Option<T>, WakeFunction>;

/// Where the work on a call puts its result. Dropped without one, by a panic say, it sends the fallback.
pub struct Completion<T: Send + 'static> {
    queue: Arc<Results<T>>,
    key: Key,
    fallback: Option<fn() -> T>,
}

impl<T: Send + 'static> Completion<T> {
    /// Hands the result over, together with the others of one round of the runtime's thread.
    pub async fn send(mut self, result: T) {
        self.fallback = None;
        if self.queue.push(self.key, Some(result)) {
            let _wakes = Wakes(&self.queue);
            yield_now().await;
        }
    }
}

impl<T: Send + 'static> Drop for Completion<T> {
    fn drop(&mut self) {
        if let Some(fallback) = self.fallback
            && self.queue.push(self.key, Some(fallback()))
        {
            self.queue.wake();
        }
    }
}

/// Wakes the event loop however the task ends that owes it.
struct Wakes<'a, T>(&'a Results<T>);

impl<T> Drop for Wakes<'_, T> {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl<T: From<Overdue> + Send + 'static> Bridge<T> {
    /// The environment's bridge, if it has one.
    pub fn existing(env: &Env) -> napi::Result<Option<Rc<Self>>> {
        Ok(env.get_instance_data::<Rc<Self>>()?.map(|bridge| Rc::clone(bridge)))
    }

    /// The environment's bridge; made at the first call and kept until the environment goes.
    pub fn of(env: &Env, convert: Convert<T>, settle_later: SettleLater) -> napi::Result<Rc<Self>> {
        if let Some(bridge) = Self::existing(env)? {
            return Ok(bridge);
        }
        let bridge = Self::new(env, convert, settle_later)?;
        env.set_instance_data(Rc::clone(&bridge), (), |_| {})?;
        Ok(bridge)
    }

    fn new(env: &Env, convert: Convert<T>, settle_later: SettleLater) -> napi::Result<Rc<Self>> {
        let bridge = Rc::new(Self {
            queue: Arc::new(Queue::new()),
            pending: RefCell::default(),
            last_key: Cell::new(0),
            wake: Cell::new(ptr::null_mut()),
            convert,
            settle_later,
            is_genuine: Cell::default(),
            look: RefCell::default(),
        });
        let name = env.create_string(RESOURCE_NAME)?;
        let context = Rc::into_raw(Rc::clone(&bridge)).cast_mut().cast::<c_void>();
        let mut wake = ptr::null_mut();
        // SAFETY: every pointer is valid for the call; `context` keeps one count of the bridge, which `release` gives
        // back when Node frees the function, or the line below if there is none.
        let status = unsafe {
            sys::napi_create_threadsafe_function(
                env.raw(),
                ptr::null_mut(),
                ptr::null_mut(),
                name.raw(),
                0,
                1,
                context,
                Some(release::<T>),
                context,
                Some(settle::<T>),
                &mut wake,
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: the count that `into_raw` left in `context` above, which nobody took over.
            drop(unsafe { Rc::from_raw(context.cast_const().cast::<Self>()) });
        }
        check_status!(status)?;
        // SAFETY: `wake` was made just above, on this thread.
        check_status!(unsafe { sys::napi_unref_threadsafe_function(env.raw(), wake) })?;
        bridge.wake.set(wake);
        bridge.queue.open(WakeFunction(wake));
        // Hooks run last in, first out: this one comes before the one by which Node frees the function.
        env.add_env_cleanup_hook(Rc::clone(&bridge), |bridge| bridge.leave())?;
        Ok(bridge)
    }

    /// Gives a number to a call and has `spawn` start the work that will bring its result to `settled`.
    pub fn start(
        &self,
        env: &Env,
        settled: &Rc<Settled>,
        fallback: fn() -> T,
        spawn: impl FnOnce(Completion<T>) -> Work,
    ) -> napi::Result<Key> {
        let key = self.last_key.get() + 1;
        self.last_key.set(key);
        let work = spawn(Completion { queue: Arc::clone(&self.queue), key, fallback: Some(fallback) });
        if let Some(overdue) = &work.limit {
            self.look_after(overdue.deadline());
        }
        let mut pending = self.pending.borrow_mut();
        if pending.is_empty() {
            // SAFETY: `wake` is alive for as long as the environment runs JavaScript, which just called this.
            check_status!(unsafe { sys::napi_ref_threadsafe_function(env.raw(), self.wake.get()) })?;
        }
        pending.insert(key, Pending { settled: Rc::clone(settled), work });
        Ok(key)
    }

    /// Aborts a call's work: it has no result any more. `false` if it has been handed over.
    pub fn cancel(&self, env: &Env, key: Key) -> bool {
        let pending = self.take(env, key);
        pending.inspect(|pending| pending.work.abort()).is_some()
    }

    fn take(&self, env: &Env, key: Key) -> Option<Pending> {
        let mut pending = self.pending.borrow_mut();
        let taken = pending.remove(&key)?;
        if pending.is_empty() {
            // SAFETY: as in `start`. A failure would only keep the process alive, so there is nothing to do about it.
            unsafe { sys::napi_unref_threadsafe_function(env.raw(), self.wake.get()) };
        }
        Some(taken)
    }

    /// Hands over what waits, and sees to it that somebody comes for what will.
    pub fn settle(&self, env: &Env) {
        // What else there is waits for the next turn, where there is one, so that timers and sockets get theirs.
        let comes_back = self.is_genuine.get() == Some(true);
        let results = self.queue.take(if comes_back { MAX_PER_TURN } else { usize::MAX });
        let is_idle = results.is_empty();
        let mut batch = Batch::new(env);
        for (key, result) in results {
            match result {
                None => self.end_overdue(env, &mut batch),
                Some(result) => {
                    if let Some(pending) = self.take(env, key) {
                        self.add(&mut batch, key, &pending.settled, result);
                    }
                }
            }
        }
        batch.hand_over();
        let has_pending = !self.pending.borrow().is_empty();
        let comes_back = !is_idle && has_pending && self.settle_later(env).unwrap_or(false);
        if !comes_back {
            self.queue.rest();
        }
    }

    fn add(&self, batch: &mut Batch<'_>, key: Key, settled: &Rc<Settled>, result: T) {
        let convert = AssertUnwindSafe(|| (self.convert)(batch.env, result).ok());
        let value = catch_unwind(convert).ok().flatten().map(|value| value.raw());
        batch.add(settled, key, value);
    }

    /// Has somebody come when a limit is over, if nobody comes before.
    fn look_after(&self, deadline: Instant) {
        let mut look = self.look.borrow_mut();
        if look.as_ref().is_some_and(|(at, _)| *at <= deadline) {
            return;
        }
        // Not on the thread that the limit's call is worked on.
        let Some(runtime) = runtime::handle() else { return };
        let queue = Arc::clone(&self.queue);
        let task = runtime.spawn(async move {
            sleep_until(deadline + GRACE).await;
            if queue.push(LOOK, None) {
                queue.wake();
            }
        });
        if let Some((_, later)) = look.replace((deadline, task.abort_handle())) {
            later.abort();
        }
    }

    /// Ends the calls whose time is over, since their thread has not done so.
    fn end_overdue(&self, env: &Env, batch: &mut Batch<'_>) {
        let now = Instant::now();
        let mut over = Vec::new();
        let mut next = None;
        for (key, Pending { work, .. }) in &*self.pending.borrow() {
            match work.limit.as_ref().map(Overdue::deadline) {
                Some(deadline) if deadline + GRACE <= now => over.push(*key),
                Some(deadline) => next = Some(next.map_or(deadline, |next: Instant| next.min(deadline))),
                None => {}
            }
        }
        for key in over {
            let Some(Pending { settled, work }) = self.take(env, key) else { continue };
            work.abort();
            if let Some(overdue) = work.limit {
                self.add(batch, key, &settled, overdue.into());
            }
        }
        self.look.take();
        if let Some(deadline) = next {
            self.look_after(deadline);
        }
    }

    /// Has somebody come in the next turn; `false` if nobody does.
    fn settle_later(&self, env: &Env) -> napi::Result<bool> {
        if self.is_genuine.get() == Some(false) {
            return Ok(false);
        }
        let SettleLater { set_immediate, settle } = &self.settle_later;
        // SAFETY: a value of this environment and of the current handle scope, which the call does not outlive.
        let settle = unsafe { Unknown::from_raw_unchecked(env.raw(), settle.borrow_back(env)?.raw()) };
        let immediate = set_immediate.borrow_back(env)?.call(settle)?;
        let is_genuine = match self.is_genuine.get() {
            Some(is_genuine) => is_genuine,
            None => is_immediate(immediate)?,
        };
        self.is_genuine.set(Some(is_genuine));
        Ok(is_genuine)
    }

    /// The environment goes: nothing may be settled any more.
    fn leave(&self) {
        self.queue.close();
        for (_, pending) in self.pending.take() {
            pending.work.abort();
        }
        if let Some((_, look)) = self.look.take() {
            look.abort();
        }
    }
}

/// Whether this is what Node's own `setImmediate` returns: an object of the class of that name.
fn is_immediate(value: Unknown<'_>) -> napi::Result<bool> {
    if value.get_type()? != ValueType::Object {
        return Ok(false);
    }
    let class: Unknown<'_> = value.coerce_to_object()?.get_named_property("constructor")?;
    if class.get_type()? != ValueType::Function {
        return Ok(false);
    }
    Ok(class.coerce_to_object()?.get_named_property::<String>("name")? == "Immediate")
}

/// Results on their way across, those of one function at a time.
struct Batch<'env> {
    env: &'env Env,
    settled: Option<Rc<Settled>>,
    values: Vec<sys::napi_value>,
}

impl<'env> Batch<'env> {
    fn new(env: &'env Env) -> Self {
        Self { env, settled: None, values: Vec::new() }
    }

    /// One more; `undefined` in place of a result that could not be converted.
    fn add(&mut self, settled: &Rc<Settled>, key: Key, value: Option<sys::napi_value>) {
        let is_same = self.settled.as_ref().is_some_and(|it| Rc::ptr_eq(it, settled));
        if !is_same || self.values.len() >= 2 * MAX_BATCH {
            self.hand_over();
            self.settled = Some(Rc::clone(settled));
        }
        let (mut number, mut undefined) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is this thread's and both places are valid.
        unsafe {
            sys::napi_create_double(self.env.raw(), key as f64, &mut number);
            sys::napi_get_undefined(self.env.raw(), &mut undefined);
        }
        self.values.extend([number, value.unwrap_or(undefined)]);
    }

    /// Calls the function. It throws nothing, and a result that cannot be handed over has no one left to tell.
    fn hand_over(&mut self) {
        let Some(settled) = self.settled.take() else { return };
        let Ok(function) = settled.borrow_back(self.env) else { return };
        let mut undefined = ptr::null_mut();
        // SAFETY: `env` is this thread's; the function and the values are of this environment and of the current handle
        // scope; the place is valid, and the result is not looked at.
        unsafe {
            sys::napi_get_undefined(self.env.raw(), &mut undefined);
            sys::napi_call_function(
                self.env.raw(),
                undefined,
                function.raw(),
                self.values.len(),
                self.values.as_ptr(),
                ptr::null_mut(),
            );
        }
        self.values.clear();
    }
}

/// Called by Node on the environment's thread after a wake-up.
unsafe extern "C" fn settle<T: From<Overdue> + Send + 'static>(
    env: sys::napi_env,
    _function: sys::napi_value,
    context: *mut c_void,
    _data: *mut c_void,
) {
    // Node hands over no environment when it only empties the queue of one that is gone.
    if env.is_null() {
        return;
    }
    // SAFETY: `context` holds a count of the bridge until `release`, which Node calls after the last of these calls.
    let bridge = unsafe { &*context.cast_const().cast::<Bridge<T>>() };
    bridge.settle(&Env::from_raw(env));
}

/// Called by Node when it frees the thread-safe function.
unsafe extern "C" fn release<T: Send + 'static>(
    _env: sys::napi_env,
    context: *mut c_void,
    _hint: *mut c_void,
) {
    // SAFETY: gives back, once, the count that `Bridge::new` put into the context.
    drop(unsafe { Rc::from_raw(context.cast_const().cast::<Bridge<T>>()) });
}
