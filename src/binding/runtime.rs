//! The runtime that all clients of the process share: one thread that waits and works, started by the first call.

use std::future::pending;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Handle};

static RUNTIME: OnceLock<Handle> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// The runtime's handle. Fails when the system refuses the thread or a descriptor; the next call then tries again.
///
/// One thread does all the work, since it waits far more than it computes. A thread of the standard library makes a
/// refusal an error value, where tokio's own would panic. It never keeps the process alive.
pub fn handle() -> io::Result<&'static Handle> {
    if let Some(handle) = RUNTIME.get() {
        return Ok(handle);
    }
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = RUNTIME.get() {
        return Ok(handle);
    }
    let handle = start()?;
    Ok(RUNTIME.get_or_init(|| handle))
}

fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name("xkit-node".to_owned()).spawn(move || runtime.block_on(pending::<()>()))?;
    Ok(handle)
}
