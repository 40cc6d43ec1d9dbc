//! The runtime that all clients of the process share: started by the first call, at most two threads.

use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// The runtime's handle; `None` when the system refuses a thread, in which case the next call asks again.
///
/// One thread does all the work, since it waits far more than it computes; the other one looks names up, because the
/// system's resolver blocks. Neither keeps the process alive.
pub fn handle() -> Option<&'static Handle> {
    if let Some(runtime) = RUNTIME.get() {
        return Some(runtime.handle());
    }
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if RUNTIME.get().is_none() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .thread_name("xkit-node")
            .enable_all()
            .build()
            .ok()?;
        // Nobody else sets it while the lock is held.
        let _ = RUNTIME.set(runtime);
    }
    RUNTIME.get().map(Runtime::handle)
}
