//! The runtime that all clients of the process share: one thread that waits and works, started by the first call.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use futures_util::FutureExt;
use futures_util::future::{AbortHandle, BoxFuture, abortable};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::core::spawn::on_runtime;

/// Work to be started.
type Work = BoxFuture<'static, ()>;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// Where work for the runtime's thread is sent.
pub struct Runtime(UnboundedSender<Work>);

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
        let (sender, receiver) = unbounded_channel();
        thread::Builder::new()
            .name("xkit-node".to_owned())
            .spawn(move || runtime.block_on(start_all(receiver)))?;
        Ok(Self(sender))
    }

    /// Starts work on the runtime's thread; returns what cancels it. Work that is sent while the thread wakes costs no further
    /// system call, which tokio's own `spawn` makes each time that another thread calls it.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let (work, cancel) = abortable(work);
        // The receiver lives as long as the process.
        drop(self.0.send(work.map(drop).boxed()));
        cancel
    }
}

async fn start_all(mut sent: UnboundedReceiver<Work>) {
    while let Some(work) = sent.recv().await {
        on_runtime(work);
    }
}
