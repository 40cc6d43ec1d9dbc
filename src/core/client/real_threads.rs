//! The client on real threads: nothing that a caller and the runtime do at once stops either.

use std::sync::mpsc;
use std::thread;

use tokio::runtime::Builder;
use tokio::task::AbortHandle;

use super::tests::{begin, client};
use super::*;
use crate::core::tokens::in_flight::CancelHandle;

/// Far more than any run takes, also on a machine that is busy.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A search box where the latest request wins: the call before is cancelled, and the same one made at once.
#[test]
fn a_call_that_is_cancelled_and_made_again_never_blocks_its_thread() {
    let (ended, has_ended) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = client(0, vec![]);
        let mut previous: Option<(CancelHandle, AbortHandle)> = None;
        for _ in 0..20_000 {
            if let Some((handle, task)) = previous.take() {
                handle.cancel();
                task.abort();
            }
            // The runtime is behind with what was cancelled.
            let Ok(call) = begin(&client, "u", None) else { continue };
            previous = Some((call.cancel_handle(), runtime.handle().spawn(call.run()).abort_handle()));
        }
        ended.send(()).unwrap();
    });
    has_ended.recv_timeout(WATCHDOG).expect("the thread is blocked");
}
