//! Runs the calls of one environment, all in one task: results that are ready at the same time cross together.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{AbortHandle, BoxFuture, abortable, poll_fn};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::queue::{CallId, ResultQueue, Wake};

/// How many calls are taken from the channel at a time.
const MAX_PER_TAKE: usize = 64;

/// Runs one call. Yields nothing if the call was cancelled.
type Run<T> = BoxFuture<'static, Option<(CallId, T)>>;

/// Where calls are sent to be run. Dropped, it ends the task, and the calls that are left with it.
pub struct CallRunner<T>(UnboundedSender<Run<T>>);

impl<T: Send + 'static> CallRunner<T> {
    /// A runner, and the task that does its work.
    pub fn new<W: Wake + Send + 'static>(queue: Arc<ResultQueue<T, W>>) -> (Self, BoxFuture<'static, ()>) {
        let (sender, receiver) = unbounded_channel();
        let mut calls = Calls { sent: receiver, begun: Vec::new(), running: FuturesUnordered::new(), queue };
        (Self(sender), poll_fn(move |context| calls.poll(context)).boxed())
    }

    /// Runs a call; returns what cancels it. A call that panics ends with the fallback.
    pub fn run(
        &self,
        call: CallId,
        work: impl Future<Output = T> + Send + 'static,
        fallback: fn() -> T,
    ) -> AbortHandle {
        let (work, cancel) = abortable(AssertUnwindSafe(work).catch_unwind());
        let run = work.map(move |ended| {
            let result = ended.ok()?.unwrap_or_else(|_| fallback());
            Some((call, result))
        });
        // The task ends only with this runner.
        drop(self.0.send(run.boxed()));
        cancel
    }
}

struct Calls<T, W> {
    sent: UnboundedReceiver<Run<T>>,
    begun: Vec<Run<T>>,
    running: FuturesUnordered<Run<T>>,
    queue: Arc<ResultQueue<T, W>>,
}

impl<T, W: Wake> Calls<T, W> {
    /// Begins what was sent, lets go on what can, and hands over the results. Ready once the runner is dropped.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(count) = self.sent.poll_recv_many(context, &mut self.begun, MAX_PER_TAKE) {
            if count == 0 {
                return Poll::Ready(());
            }
            self.running.extend(self.begun.drain(..));
        }
        let mut results = Vec::new();
        while let Poll::Ready(Some(result)) = self.running.poll_next_unpin(context) {
            results.extend(result);
        }
        if !results.is_empty() {
            self.queue.push(results);
        }
        Poll::Pending
    }
}
