//! Settles promises from other threads, any number per wake-up of the event loop. The only module with `unsafe`.
//!
//! napi's own async functions make a thread-safe function per call; here one serves an environment (the main thread
//! or a worker) for its whole life. Results wait in a `queue`; the first one wakes the event loop, which then settles
//! whatever the queue holds. The thread-safe function is referenced only while promises are pending, so an idle
//! client never keeps the process alive. When the environment goes, pending work is aborted and late results are
//! dropped: the queue's lock keeps both from meeting.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use napi::bindgen_prelude::{FromNapiValue, FunctionRef, Unknown};
use napi::{Env, JsValue, check_status, sys};
use rustc_hash::FxHashMap;
use tokio::task::{AbortHandle, yield_now};

use super::queue::{Key, Queue, Wake};
use crate::core::tokens::in_flight::Leave;

/// Turns a result into what the promise resolves with.
pub type Convert<T> = for<'env> fn(&'env Env, T) -> napi::Result<Unknown<'env>>;

/// What tools that watch asynchronous resources call the bridge.
const RESOURCE_NAME: &str = "xkit-node";

/// How `Bridge::settle_in_turn` is called in the next turn of the event loop: by Node's `setImmediate`, and a function that
/// calls it. Both are Node's own and native: one of the package's would keep the test file alive, in jest, that brought it.
pub struct SettleLater {
    pub set_immediate: FunctionRef<Unknown<'static>, Unknown<'static>>,
    pub settle: FunctionRef<(), ()>,
}

/// Whether `setImmediate` fires. Fake timers that are on before this package is loaded are handed over as Node's own.
#[derive(Clone, Copy)]
enum Immediates {
    Unknown,
    Awaited,
    Fire,
}

/// The promises of one environment. Lives on the environment's thread.
pub struct Bridge<T: Send + 'static> {
    queue: Arc<Results<T>>,
    pending: RefCell<FxHashMap<Key, Pending>>,
    last_key: Cell<Key>,
    wake: Cell<sys::napi_threadsafe_function>,
    convert: Convert<T>,
    settle_later: SettleLater,
    immediates: Cell<Immediates>,
}

struct Pending {
    deferred: sys::napi_deferred,
    work: Work,
}

/// What will settle a promise.
pub struct Work {
    pub task: AbortHandle,
    /// For a call that may be cancelled.
    pub leave: Option<Leave>,
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

type Results<T> = Queue<T, WakeFunction>;

/// Where the work on a promise puts its result. Dropped without one, by a panic say, it sends the fallback.
pub struct Completion<T: Send + 'static> {
    queue: Arc<Results<T>>,
    key: Key,
    fallback: Option<fn() -> T>,
}

impl<T: Send + 'static> Completion<T> {
    /// Settles the promise with the result, together with the others of one round of the runtime's thread.
    pub async fn send(mut self, result: T) {
        self.fallback = None;
        if self.queue.push(self.key, result) {
            let _wakes = Wakes(&self.queue);
            yield_now().await;
        }
    }
}

impl<T: Send + 'static> Drop for Completion<T> {
    fn drop(&mut self) {
        if let Some(fallback) = self.fallback
            && self.queue.push(self.key, fallback())
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

/// A promise that is pending, and the key that cancels it.
pub struct Started<'env> {
    pub promise: Unknown<'env>,
    pub key: Key,
}

impl<T: Send + 'static> Bridge<T> {
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
            immediates: Cell::new(Immediates::Unknown),
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

    /// Makes a promise and has `spawn` start the work that will settle it.
    pub fn start<'env>(
        &self,
        env: &'env Env,
        fallback: fn() -> T,
        spawn: impl FnOnce(Completion<T>) -> Work,
    ) -> napi::Result<Started<'env>> {
        let (mut deferred, mut promise) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is this thread's and both places are valid.
        check_status!(unsafe { sys::napi_create_promise(env.raw(), &mut deferred, &mut promise) })?;
        let key = self.last_key.get() + 1;
        self.last_key.set(key);
        let work = spawn(Completion { queue: Arc::clone(&self.queue), key, fallback: Some(fallback) });
        let mut pending = self.pending.borrow_mut();
        if pending.is_empty() {
            // SAFETY: `wake` is alive for as long as the environment runs JavaScript, which just called this.
            check_status!(unsafe { sys::napi_ref_threadsafe_function(env.raw(), self.wake.get()) })?;
        }
        pending.insert(key, Pending { deferred, work });
        // SAFETY: `promise` is a value of this environment and of the current handle scope.
        let promise = unsafe { Unknown::from_napi_value(env.raw(), promise) }?;
        Ok(Started { promise, key })
    }

    /// Ends a promise now: its work is aborted and it resolves with `undefined`. Nothing happens if it was settled.
    pub fn cancel(&self, env: &Env, key: Key) -> napi::Result<()> {
        let Some(pending) = self.take(env, key) else { return Ok(()) };
        pending.work.abort();
        resolve(env, pending.deferred, None)
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

    /// Settles what waits, and sees to it that somebody comes for what will.
    fn settle(&self, env: &Env) {
        let results = self.queue.take();
        let is_idle = results.is_empty();
        for (key, result) in results {
            let Some(pending) = self.take(env, key) else { continue };
            let value = catch_unwind(AssertUnwindSafe(|| (self.convert)(env, result).ok())).ok().flatten();
            // A promise that cannot be settled has no one left to tell.
            let _ = resolve(env, pending.deferred, value);
        }
        let has_pending = !self.pending.borrow().is_empty();
        let comes_back = match self.immediates.get() {
            Immediates::Fire => !is_idle && has_pending && self.settle_later(env).is_ok(),
            Immediates::Unknown => {
                self.immediates.set(Immediates::Awaited);
                // Whether it fires is seen by the next call of `settle_in_turn`; nobody relies on it.
                let _ = self.settle_later(env);
                false
            }
            Immediates::Awaited => false,
        };
        if !comes_back {
            self.queue.rest();
        }
    }

    /// As it was asked for with `setImmediate`, which fires then.
    pub fn settle_in_turn(&self, env: &Env) {
        self.immediates.set(Immediates::Fire);
        self.settle(env);
    }

    fn settle_later(&self, env: &Env) -> napi::Result<()> {
        let SettleLater { set_immediate, settle } = &self.settle_later;
        // SAFETY: a value of this environment and of the current handle scope, which the call does not outlive.
        let settle = unsafe { Unknown::from_raw_unchecked(env.raw(), settle.borrow_back(env)?.raw()) };
        set_immediate.borrow_back(env)?.call(settle).map(drop)
    }

    /// The environment goes: nothing may be settled any more.
    fn leave(&self) {
        self.queue.close();
        for (_, pending) in self.pending.take() {
            pending.work.abort();
        }
    }
}

/// Resolves with the value, or with `undefined`, which no result converts to.
fn resolve(env: &Env, deferred: sys::napi_deferred, value: Option<Unknown<'_>>) -> napi::Result<()> {
    let value = match value {
        Some(value) => value.raw(),
        None => {
            let mut undefined = ptr::null_mut();
            // SAFETY: `env` is this thread's and the place is valid.
            check_status!(unsafe { sys::napi_get_undefined(env.raw(), &mut undefined) })?;
            undefined
        }
    };
    // SAFETY: `deferred` came out of the pending map, so it is settled here for the first and only time.
    check_status!(unsafe { sys::napi_resolve_deferred(env.raw(), deferred, value) })
}

/// Called by Node on the environment's thread after a wake-up.
unsafe extern "C" fn settle<T: Send + 'static>(
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
