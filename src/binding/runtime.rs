//! The runtime that all clients of the process share: one thread that waits and works, started by the first call.

use std::future::pending;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Handle};

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// The runtime's thread.
pub struct Runtime(Handle);

impl Runtime {
    /// The runtime. Fails when the system refuses the thread or a descriptor; the next call then tries again.
    ///
    /// One thread does all the work, since it waits far more than it computes. A thread of the standard library makes a
    /// refusal an error value, where tokio's own would panic. It never keeps the process alive.
    pub fn get() -> io::Result<&'static Self> {
        if let Some(runtime) = RUNTIME.get() {
            return Ok(runtime);
        }
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return Ok(runtime);
        }
        let runtime = Self::start()?;
        Ok(RUNTIME.get_or_init(|| runtime))
    }

    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("xkit-node".to_owned())
            .spawn(move || runtime.block_on(pending::<()>()))?;
        Ok(Self(handle))
    }

    /// Starts work on the runtime's thread.
    pub fn spawn(&self, work: BoxFuture<'static, ()>) {
        self.0.spawn(work);
    }
}
