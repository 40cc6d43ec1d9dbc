//! Starts tasks that no caller waits for. It is passed in, so that tests run such tasks themselves.

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// Starts a task. Boxed, since each type of task that is spawned costs kilobytes of code.
pub type Spawn = fn(BoxFuture<'static, ()>);

/// Starts it on the runtime of this thread. There is none only while the process ends; the task is then dropped.
pub fn on_runtime(task: BoxFuture<'static, ()>) {
    if let Ok(runtime) = Handle::try_current() {
        drop(runtime.spawn(task));
    }
}
