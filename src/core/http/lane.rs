//! Owns the thread on which a client that speaks plain HTTP has its connections.
//!
//! In clear, what one turn of a connection may read, and hyper parse, are 50 MiB: a server that floods its connection with
//! informational answers holds the thread for half a second at a time. So limits and other clients live elsewhere. Over
//! TLS a turn is 2 MiB at the most, and needs none of this.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// The thread, from the first request to the end of the client.
#[derive(Debug, Default)]
pub struct Lane(Mutex<Option<Runtime>>);

impl Lane {
    /// Runs a future there. Dropping what is returned ends it. `None` if the system refuses a thread, or it panicked.
    pub async fn run<F>(&self, future: F) -> Option<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = self.handle()?.spawn(future);
        Running(task).await
    }

    fn handle(&self) -> Option<Handle> {
        let mut runtime = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runtime.is_none() {
            let built = Builder::new_multi_thread()
                .worker_threads(1)
                .max_blocking_threads(1)
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
            // The last one to know a client may be a task of another runtime, which must not wait.
            runtime.shutdown_background();
        }
    }
}

struct Running<T>(JoinHandle<T>);

impl<T> Future for Running<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(context).map(Result::ok)
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
