//! Hands results from other threads over to JavaScript, many per wake-up of the event loop. The only module with
//! `unsafe`. Generic over the results.
//!
//! napi's own async functions make a thread-safe function and a promise per call. Here one function serves an environment
//! (the main thread or a worker) for its whole life, and promises are JavaScript's: a result crosses with the id of its
//! call. The thread-safe function is referenced only while calls are pending, so an idle client never keeps the process
//! alive. When the environment goes, pending calls are cancelled and late results are discarded.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::mem::size_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use futures_util::future::AbortHandle;
use napi::bindgen_prelude::{FunctionRef, Unknown};
use napi::{Env, JsValue, check_status, sys};
use rustc_hash::FxHashMap;

use super::calls::CallRunner;
use super::queue::{CallId, ResultQueue, Wake};
use super::runtime::Runtime;

/// Values per result that JavaScript gets, after the id of the call.
pub const VALUES: usize = 3;

/// Turns a result into what JavaScript gets.
pub type Convert<T> = for<'env> fn(&'env Env, T) -> napi::Result<[Unknown<'env>; VALUES]>;

/// The function that gets results. Its arguments are the id of a call and the values of its result, for each result in
/// turn.
pub type Settled = FunctionRef<Unknown<'static>, Unknown<'static>>;

/// The bridge's name in tools that watch asynchronous resources.
const RESOURCE_NAME: &str = "xkit-node";
/// The most results that one wake-up hands over, so that JavaScript gets to work on them before the rest of a burst
/// arrives.
const MAX_PER_WAKE_UP: usize = 256;

/// The pending calls of one environment. Lives on the environment's thread.
pub struct Bridge<T: Send + 'static> {
    queue: Arc<Results<T>>,
    /// `None` before the first call and once the environment goes.
    runner: RefCell<Option<CallRunner<T>>>,
    pending: RefCell<FxHashMap<CallId, Pending>>,
    last_call: Cell<CallId>,
    wake: Cell<sys::napi_threadsafe_function>,
    convert: Convert<T>,
}

struct Pending {
    settled: Rc<Settled>,
    abort: AbortHandle,
    leave: Box<dyn FnOnce()>,
}

impl Pending {
    fn cancel(self) {
        (self.leave)();
        self.abort.abort();
    }
}

/// The thread-safe function that wakes the event loop.
pub struct WakeFunction(sys::napi_threadsafe_function);

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

type Results<T> = ResultQueue<T, WakeFunction>;

impl<T: Send + 'static> Bridge<T> {
    /// The environment's bridge; made at the first call and kept until the environment goes.
    pub fn of(env: &Env, convert: Convert<T>) -> napi::Result<Rc<Self>> {
        if let Some(bridge) = env.get_instance_data::<Rc<Self>>()? {
            return Ok(Rc::clone(bridge));
        }
        let bridge = Self::new(env, convert)?;
        env.set_instance_data(Rc::clone(&bridge), (), |_| {})?;
        Ok(bridge)
    }

    fn new(env: &Env, convert: Convert<T>) -> napi::Result<Rc<Self>> {
        let bridge = Rc::new(Self {
            queue: Arc::new(ResultQueue::new()),
            runner: RefCell::default(),
            pending: RefCell::default(),
            last_call: Cell::new(0),
            wake: Cell::new(ptr::null_mut()),
            convert,
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
        env.add_env_cleanup_hook(Rc::clone(&bridge), |bridge| bridge.close())?;
        Ok(bridge)
    }

    /// Gives an id to a call and starts the work that brings its result to `settled`. `leave` is called if it is cancelled.
    pub fn start(
        &self,
        env: &Env,
        runtime: &Runtime,
        settled: &Rc<Settled>,
        work: impl Future<Output = T> + Send + 'static,
        fallback: fn() -> T,
        leave: impl FnOnce() + 'static,
    ) -> napi::Result<CallId> {
        let call = self.last_call.get() + 1;
        self.last_call.set(call);
        if self.pending.borrow().is_empty() {
            // SAFETY: `wake` is alive for as long as the environment runs JavaScript, which just called this.
            check_status!(unsafe { sys::napi_ref_threadsafe_function(env.raw(), self.wake.get()) })?;
        }
        let mut runner = self.runner.borrow_mut();
        let runner = runner.get_or_insert_with(|| {
            let (runner, task) = CallRunner::new(Arc::clone(&self.queue));
            runtime.spawn(task);
            runner
        });
        let abort = runner.run(call, work, fallback);
        let pending = Pending { settled: Rc::clone(settled), abort, leave: Box::new(leave) };
        self.pending.borrow_mut().insert(call, pending);
        Ok(call)
    }

    /// Cancels a call, which then has no result. `false` if its result has been handed over.
    pub fn cancel(&self, env: &Env, call: CallId) -> bool {
        let pending = self.take(env, call);
        pending.map(Pending::cancel).is_some()
    }

    fn take(&self, env: &Env, call: CallId) -> Option<Pending> {
        let mut pending = self.pending.borrow_mut();
        let taken = pending.remove(&call)?;
        if pending.is_empty() {
            // SAFETY: as in `start`. A failure would only keep the process alive, so there is nothing to do about it.
            unsafe { sys::napi_unref_threadsafe_function(env.raw(), self.wake.get()) };
        }
        Some(taken)
    }

    /// Hands over what waits.
    fn settle(&self, env: &Env) {
        let mut batch = ResultBatch { env, settled: None, values: Vec::new() };
        for (call, result) in self.queue.take(MAX_PER_WAKE_UP) {
            let Some(Pending { settled, .. }) = self.take(env, call) else { continue };
            let convert = AssertUnwindSafe(|| (self.convert)(env, result).ok());
            let values = catch_unwind(convert).ok().flatten();
            batch.add(settled, call, values.map(|values| values.map(|value| value.raw())));
        }
        batch.hand_over();
    }

    /// The environment ends: no call may be settled any more.
    fn close(&self) {
        self.queue.close();
        self.pending.take().into_values().for_each(Pending::cancel);
        self.runner.take();
    }
}

/// Results on their way across, those of one function at a time.
struct ResultBatch<'env> {
    env: &'env Env,
    settled: Option<Rc<Settled>>,
    values: Vec<sys::napi_value>,
}

impl ResultBatch<'_> {
    /// Adds a result; without values, one that could not be converted.
    fn add(&mut self, settled: Rc<Settled>, call: CallId, values: Option<[sys::napi_value; VALUES]>) {
        if self.settled.as_ref().is_some_and(|other| !Rc::ptr_eq(other, &settled)) {
            self.hand_over();
        }
        self.settled = Some(settled);
        let (mut id, mut undefined) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is this thread's and both places are valid.
        unsafe {
            sys::napi_create_double(self.env.raw(), call as f64, &mut id);
            sys::napi_get_undefined(self.env.raw(), &mut undefined);
        }
        self.values.push(id);
        self.values.extend(values.unwrap_or([undefined; VALUES]));
    }

    /// Calls the function, which throws nothing. If the call fails, the environment is ending, and nobody waits for
    /// the results.
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

/// A `Uint32Array` of one element whose memory is the counter's, so that JavaScript reads it without a call. `None`
/// where the engine allows no such memory, as in Electron. Call it once per counter: V8 accepts an address once.
pub fn share_counter<'env>(env: &'env Env, counter: Arc<AtomicU32>) -> napi::Result<Option<Unknown<'env>>> {
    let data = Arc::into_raw(counter).cast_mut().cast::<c_void>();
    let (mut buffer, mut array) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the place is valid, and so is `data` until `release_counter`, since a count of the `Arc` stays with it.
    let status = unsafe {
        sys::napi_create_external_arraybuffer(
            env.raw(),
            data,
            size_of::<AtomicU32>(),
            Some(release_counter),
            data,
            &mut buffer,
        )
    };
    if status != sys::Status::napi_ok {
        // SAFETY: the count that `into_raw` left in `data` above, which the engine did not take over.
        drop(unsafe { Arc::from_raw(data.cast_const().cast::<AtomicU32>()) });
        return Ok(None);
    }
    // SAFETY: `buffer` was made just above and is as long as one element; the place is valid.
    check_status!(unsafe {
        sys::napi_create_typedarray(env.raw(), sys::TypedarrayType::uint32_array, 1, buffer, 0, &mut array)
    })?;
    // SAFETY: a value of this environment and of the current handle scope.
    Ok(Some(unsafe { Unknown::from_raw_unchecked(env.raw(), array) }))
}

/// Called by Node when the array is gone.
unsafe extern "C" fn release_counter(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: gives back, once, the count that `share_counter` left in `data`.
    drop(unsafe { Arc::from_raw(data.cast_const().cast::<AtomicU32>()) });
}
