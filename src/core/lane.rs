//! Owns the thread of a client that speaks plain HTTP.
//!
//! In clear, what one turn of a connection may read, and hyper parse, are 50 MiB: a server that floods its connection with
//! informational answers holds the thread for half a second at a time. So other clients have theirs, and limits are kept
//! elsewhere too. Over TLS a turn is 2 MiB at the most, and needs none of this.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

/// Name lookups at once: of the platform or its proxy, and of a Redis.
const MAX_LOOKUPS: usize = 4;

/// The thread, from the first call to the end of the client.
#[derive(Debug, Default)]
pub struct Lane(Mutex<Option<Runtime>>);

impl Lane {
    /// What runs there; `None` if the system refuses a thread, in which case the next call asks again.
    pub fn handle(&self) -> Option<Handle> {
        let mut runtime = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runtime.is_none() {
            let built = Builder::new_multi_thread()
                .worker_threads(1)
                .max_blocking_threads(MAX_LOOKUPS)
                .thread_name("xkit-node")
                .enable_all()
                .build();
            *runtime = built.ok();
        }
        runtime.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            // The last one to know a client may be a task of this runtime, which must not wait for itself.
            runtime.shutdown_background();
        }
    }
}
