//! Owns the order in which connections over TLS are opened, as a layer around reqwest's connector. The first one is
//! opened alone: over HTTP/2 it carries the rest of a cold burst, and over HTTP/1.1 most requests get a connection
//! that was released meanwhile.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, poll_fn};
use hyper_util::client::legacy::connect::Connection;
use tokio::sync::{OwnedRwLockReadGuard, OwnedSemaphorePermit, RwLock, Semaphore};
use tokio::time::timeout;
use tower_layer::{LayerFn, layer_fn};
use tower_service::Service;

use super::pool::Connections;

/// Connections opened at once, as soon as the platform is known to speak HTTP/1.1.
const MAX_OPENING: usize = 16;
/// How long a connection waits for its turn. It is then opened without one, since those before it may hang.
pub const MAX_WAIT: Duration = Duration::from_secs(1);

/// The error of a connection for which no request waits.
const UNWANTED: &str = "the request has another connection";

type BoxError = Box<dyn Error + Send + Sync>;

/// Held while a connection is opened.
#[derive(Debug)]
enum Turn {
    In { _permit: Option<OwnedSemaphorePermit> },
    Out { _reads: Option<OwnedRwLockReadGuard<()>> },
}

tokio::task_local! {
    /// Set while a request is polled. When a request gets another connection, hyper's pool continues to open the first
    /// one in a task of its own, where this is not set. It holds the turn of an HTTP/2 connection until the request is
    /// answered, since the connection can be shared from then on.
    static HELD: HeldTurn;
}

/// The turn that a request holds.
type HeldTurn = std::cell::Cell<Option<Turn>>;

/// Runs a request. Its connections wait for their turn as long as the request is polled.
pub fn waiting<F: Future>(request: F) -> impl Future<Output = F::Output> {
    HELD.scope(HeldTurn::default(), request)
}

/// The layer around a connector. `limit` is what one connection may take, without its wait.
pub fn gate<S>(
    limit: Duration,
    connections: Arc<Connections>,
) -> LayerFn<impl Fn(S) -> Gated<S> + Clone + Send + Sync> {
    let (free, out_of_turn) = (Arc::new(Semaphore::new(1)), Arc::default());
    let turns = Arc::new(Turns { free, out_of_turn, is_wide: AtomicBool::new(false), limit, connections });
    layer_fn(move |inner| Gated(Arc::new((inner, Arc::clone(&turns)))))
}

#[derive(Debug)]
struct Turns {
    free: Arc<Semaphore>,
    /// Read-locked while a connection is opened out of turn.
    out_of_turn: Arc<RwLock<()>>,
    is_wide: AtomicBool,
    limit: Duration,
    connections: Arc<Connections>,
}

impl Turns {
    /// Waits for a turn, up to [`MAX_WAIT`].
    async fn wait(&self) -> Result<Turn, BoxError> {
        let mut turn = std::pin::pin!(timeout(MAX_WAIT, self.turn()));
        let turn = poll_fn(|context| match HELD.try_with(|_| ()) {
            Ok(()) => turn.as_mut().poll(context).map(Ok),
            Err(_) => Poll::Ready(Err(BoxError::from(UNWANTED))),
        });
        Ok(match turn.await? {
            Ok(turn) => turn,
            Err(_) => Turn::Out { _reads: Arc::clone(&self.out_of_turn).try_read_owned().ok() },
        })
    }

    /// Waits also for the connections that are opened out of turn: once they are open, few more are needed.
    async fn turn(&self) -> Turn {
        let permit = Arc::clone(&self.free).acquire_owned().await.ok();
        drop(self.out_of_turn.write().await);
        Turn::In { _permit: permit }
    }

    /// A connection is open: over HTTP/2 its request keeps the turn, over HTTP/1.1 the gate opens wide.
    fn opened(&self, is_http2: bool, turn: Turn) {
        if is_http2 {
            let _ = HELD.try_with(|held| held.set(Some(turn)));
        } else if !self.is_wide.swap(true, Ordering::Relaxed) {
            self.free.add_permits(MAX_OPENING - 1);
        }
    }
}

/// A connector behind the gate. reqwest clones it half a dozen times for each request, so a clone is one reference.
#[derive(Debug)]
pub struct Gated<S>(Arc<(S, Arc<Turns>)>);

impl<S> Clone for Gated<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, Target> Service<Target> for Gated<S>
where
    S: Service<Target, Error = BoxError> + Clone,
    S::Response: Connection,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // reqwest's own connector is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Target) -> Self::Future {
        let (inner, turns) = &*self.0;
        // Nothing happens before this is polled.
        let opening = inner.clone().call(target);
        let turns = Arc::clone(turns);
        async move {
            let turn = turns.wait().await?;
            let connection = timeout(turns.limit, opening).await??;
            let connected = connection.connected();
            turns.connections.opened(&connected);
            turns.opened(connected.is_negotiated_h2(), turn);
            Ok(connection)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::future::join_all;
    use hyper_util::client::legacy::connect::Connected;
    use tokio::time::error::Elapsed;
    use tokio::time::{Instant, sleep};
    use tower_layer::Layer;

    use super::*;

    const OPENING: Duration = Duration::from_millis(20);

    /// Opens a connection after a while, and counts those that it began to open.
    #[derive(Clone, Debug)]
    struct SlowConnector {
        is_http2: bool,
        takes: Duration,
        begun: Arc<AtomicUsize>,
    }

    #[derive(Debug)]
    struct Opened(bool);

    impl Connection for Opened {
        fn connected(&self) -> Connected {
            if self.0 { Connected::new().negotiated_h2() } else { Connected::new() }
        }
    }

    impl Service<()> for SlowConnector {
        type Response = Opened;
        type Error = BoxError;
        type Future = BoxFuture<'static, Result<Opened, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            let Self { is_http2, takes, begun } = self.clone();
            async move {
                begun.fetch_add(1, Ordering::Relaxed);
                sleep(takes).await;
                Ok(Opened(is_http2))
            }
            .boxed()
        }
    }

    fn gated(is_http2: bool, takes: Duration) -> (Gated<SlowConnector>, Arc<AtomicUsize>) {
        let begun = Arc::new(AtomicUsize::new(0));
        let gate = gate(Duration::from_secs(3), Arc::default());
        (gate.layer(SlowConnector { is_http2, takes, begun: Arc::clone(&begun) }), begun)
    }

    #[tokio::test(start_paused = true)]
    async fn one_goes_first_and_sixteen_follow_at_a_time_over_http_1() {
        for (count, rounds) in [(33, 3), (34, 4)] {
            let (mut connector, begun) = gated(false, OPENING);
            let started = Instant::now();
            let opened = join_all((0..count).map(|_| waiting(connector.call(()))));
            assert!(opened.await.iter().all(Result::is_ok));
            assert_eq!(started.elapsed(), OPENING * rounds);
            assert_eq!(begun.load(Ordering::Relaxed), count);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn over_http_2_the_turn_ends_with_the_request_that_opened() {
        let (mut connector, begun) = gated(true, OPENING);
        let mut other = connector.clone();
        let first = waiting(async {
            connector.call(()).await.unwrap();
            sleep(OPENING).await;
            assert_eq!(begun.load(Ordering::Relaxed), 1);
        });
        let started = Instant::now();
        let (_, second) = tokio::join!(first, waiting(other.call(())));
        assert!(second.is_ok());
        assert_eq!(started.elapsed(), OPENING * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_limit_for_those_that_hang() {
        let (mut connector, begun) = gated(false, Duration::from_secs(60));
        let started = Instant::now();
        let opened = join_all((0..3).map(|_| waiting(connector.call(()))));
        assert!(opened.await.iter().all(|opened| opened.as_ref().is_err_and(|error| error.is::<Elapsed>())));
        assert_eq!(started.elapsed(), Duration::from_secs(3) + MAX_WAIT);
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_nobody_waits_for_is_not_opened() {
        let (mut connector, begun) = gated(false, Duration::from_secs(2));
        let mut first = Box::pin(waiting(connector.call(())));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut opening = connector.call(());
        waiting(async { assert!(futures_util::poll!(&mut opening).is_pending()) }).await;
        assert!(opening.await.is_err_and(|error| error.to_string() == UNWANTED));
        assert!(first.await.is_ok());
        assert_eq!(begun.load(Ordering::Relaxed), 1);
    }
}
