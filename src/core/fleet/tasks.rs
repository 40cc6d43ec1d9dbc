//! Owns how a member of the fleet starts the tasks that run in the background.

use std::pin::pin;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select};
use tokio::sync::watch;

use crate::core::spawn::Spawn;

#[derive(Clone)]
pub struct Tasks {
    spawn: Spawn,
    closed: watch::Receiver<()>,
}

/// The client is closed when this is dropped.
pub type TasksOwner = watch::Sender<()>;

impl Tasks {
    pub fn new(spawn: Spawn) -> (TasksOwner, Self) {
        let (owner, closed) = watch::channel(());
        (owner, Self { spawn, closed })
    }

    /// Runs a task until it ends or the client is closed.
    pub fn spawn(&self, task: BoxFuture<'static, ()>) {
        let mut closed = self.closed.clone();
        let until_closed = async move {
            let closed = pin!(async { while closed.changed().await.is_ok() {} });
            select(task, closed).await;
        };
        self.spawn_to_end(until_closed.boxed());
    }

    /// Runs a task until it ends, even after the client was closed.
    pub fn spawn_to_end(&self, task: BoxFuture<'static, ()>) {
        (self.spawn)(task);
    }
}
