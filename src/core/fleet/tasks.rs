//! Owns the tasks that a member of the fleet runs in the background, which end when the client is closed.

use std::pin::pin;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Spawns tasks that end with the client.
#[derive(Clone, Debug)]
pub struct Tasks(watch::Receiver<()>);

/// The tasks end when this is dropped.
#[derive(Debug)]
pub struct TasksOwner {
    _closed_when_dropped: watch::Sender<()>,
}

impl TasksOwner {
    /// No task yet.
    pub fn new() -> (Self, Tasks) {
        let (owner, tasks) = watch::channel(());
        (Self { _closed_when_dropped: owner }, Tasks(tasks))
    }
}

impl Tasks {
    /// Runs a task until the client is closed.
    pub fn spawn(&self, task: BoxFuture<'static, ()>) {
        let mut closed = self.0.clone();
        let until_closed = async move {
            let closed = pin!(async { while closed.changed().await.is_ok() {} });
            select(task, closed).await;
        };
        spawn(until_closed.boxed());
    }
}

/// Runs a task to its end on the runtime that this is called on. Boxed, since each type that is spawned costs kilobytes of
/// code.
pub fn spawn(task: BoxFuture<'static, ()>) {
    #[cfg(test)]
    let Some(task) = crate::core::simulation::executor::adopt(task) else { return };
    drop(spawn_abortable(task));
}

/// As `spawn`, for a task that may have to end before its end.
pub fn spawn_abortable(task: BoxFuture<'static, ()>) -> AbortHandle {
    Handle::current().spawn(task).abort_handle()
}
