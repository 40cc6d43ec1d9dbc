//! How a task is started that no caller waits for. Passed in, so that a test runs such tasks itself.

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// Starts a task. Boxed, since each type of task that is spawned costs kilobytes of code.
pub type Spawn = fn(BoxFuture<'static, ()>);

/// Starts it on the runtime of this thread. Without one the process ends, and the task is dropped.
pub fn on_runtime(task: BoxFuture<'static, ()>) {
    if let Ok(runtime) = Handle::try_current() {
        drop(runtime.spawn(task));
    }
}
