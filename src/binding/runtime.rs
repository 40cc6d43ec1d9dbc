//! The runtime that all clients of the process share: started by the first call, one thread that works, and one more for
//! each name lookup under way.

use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

/// Name lookups at once. Beyond them they wait for each other, so it is far more than a process has names.
const MAX_LOOKUPS: usize = 256;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// The runtime's handle; `None` when the system refuses a thread, in which case the next call asks again.
///
/// One thread does all the work, since it waits far more than it computes. The system's resolver blocks, so a lookup has
/// a thread, which ends after some seconds without another one. None keeps the process alive.
pub fn handle() -> Option<&'static Handle> {
    if let Some(runtime) = RUNTIME.get() {
        return Some(runtime.handle());
    }
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if RUNTIME.get().is_none() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(MAX_LOOKUPS)
            .thread_name("xkit-node")
            .enable_all()
            .build()
            .ok()?;
        // Nobody else sets it while the lock is held.
        let _ = RUNTIME.set(runtime);
    }
    RUNTIME.get().map(Runtime::handle)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;

    #[test]
    fn lookups_do_not_wait_for_each_other() {
        let runtime = handle().unwrap();
        let all = Arc::new(Barrier::new(MAX_LOOKUPS));
        let lookups: Vec<_> = (0..MAX_LOOKUPS)
            .map(|_| {
                let all = Arc::clone(&all);
                runtime.spawn_blocking(move || all.wait().is_leader())
            })
            .collect();
        let leaders = lookups.into_iter().map(|lookup| runtime.block_on(lookup).unwrap());
        assert_eq!(leaders.filter(|is_leader| *is_leader).count(), 1);
    }
}
