//! Owns the connection pools, and which one a request uses. A pool is one client of reqwest. A fault names a pool to
//! avoid by its number.

use std::mem;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, HttpInfo};
use rustc_hash::FxHashSet;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use crate::core::stats::Counter;
use crate::core::sync::{Mutex, lock};

/// Connections that a pool remembers. One more makes it forget all, so that a live one has no free retry until its
/// next answer.
const MAX_REMEMBERED: usize = 4096;

/// Which of a client's pools.
pub type PoolNumber = NonZeroU32;

/// Which connections a request may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolChoice {
    /// Those of the pool in use.
    #[default]
    Current,
    /// Those of a pool other than this one. It replaces this one if that is still in use.
    InsteadOf(PoolNumber),
    /// A new one that no other request uses.
    Alone,
}

/// One pool: the client that opens its connections, and what is known of them.
#[derive(Debug)]
pub struct Pool<C = reqwest::Client> {
    pub number: PoolNumber,
    pub client: C,
    pub connections: Arc<Connections>,
    /// Counts complete answers, which show whether its connections are alive.
    answers: Counter,
    built_at: Instant,
}

/// The pool in use. An abandoned pool lives on for the requests that still use it.
#[derive(Debug)]
pub struct Pools<C = reqwest::Client> {
    current: Mutex<Option<Arc<Pool<C>>>>,
    built: AtomicU32,
    max_age: Duration,
}

impl<C> Pools<C> {
    /// Without a pool yet. A pool is abandoned at `max_age`, so that no older connection gets a new request.
    pub fn new(max_age: Duration) -> Self {
        Self { current: Mutex::default(), built: AtomicU32::default(), max_age }
    }

    /// Sends a request over the chosen connections, and waits for the answer up to `limit`. Returns the pool that it
    /// used, and the result; `None` if no pool can be built.
    pub async fn exchange<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        choice: PoolChoice,
        limit: Duration,
        build: impl FnOnce(Arc<Connections>) -> Option<C>,
        round_trip: impl FnOnce(Arc<Pool<C>>) -> F,
    ) -> Option<(Arc<Pool<C>>, Result<F::Output, Elapsed>)> {
        let pool = match choice {
            PoolChoice::Current => self.current(build),
            PoolChoice::InsteadOf(avoided) => self.fresh(avoided, build),
            PoolChoice::Alone => self.build(build),
        }?;
        let answers = pool.answers.get();
        let result = timeout(limit, round_trip(Arc::clone(&pool))).await;
        match &result {
            Ok(Ok(_)) => pool.answers.add(),
            // The connection may be frozen, unless the pool received other answers meanwhile.
            Err(_) if pool.answers.get() == answers => self.abandon(pool.number),
            Ok(Err(_)) | Err(_) => {}
        }
        Some((pool, result))
    }

    /// The pool in use, built if there is none.
    fn current(&self, build: impl FnOnce(Arc<Connections>) -> Option<C>) -> Option<Arc<Pool<C>>> {
        let is_young = |pool: &&Arc<Pool<C>>| pool.built_at.elapsed() < self.max_age;
        let in_use = lock(&self.current).as_ref().filter(is_young).cloned();
        if in_use.is_some() {
            return in_use;
        }
        // Outside the lock, since building a pool takes time, and dropping one closes its idle connections. All requests
        // run on one thread, so that there is no other new pool meanwhile.
        let pool = self.build(build)?;
        let abandoned = lock(&self.current).replace(Arc::clone(&pool));
        drop(abandoned);
        Some(pool)
    }

    /// A pool without a connection yet. It replaces the one to avoid if that is still in use; else no other request
    /// uses it.
    fn fresh(
        &self,
        avoid: PoolNumber,
        build: impl FnOnce(Arc<Connections>) -> Option<C>,
    ) -> Option<Arc<Pool<C>>> {
        let pool = self.build(build)?;
        let avoided = lock(&self.current)
            .as_mut()
            .filter(|current| current.number == avoid)
            .map(|current| mem::replace(current, Arc::clone(&pool)));
        drop(avoided);
        Some(pool)
    }

    /// Abandons a pool, if it is still the one in use, to the requests that use it now.
    pub fn abandon(&self, number: PoolNumber) {
        let abandoned = lock(&self.current).take_if(|pool| pool.number == number);
        // Closes its idle connections, outside the lock.
        drop(abandoned);
    }

    fn build(&self, build: impl FnOnce(Arc<Connections>) -> Option<C>) -> Option<Arc<Pool<C>>> {
        let connections = Arc::default();
        Some(Arc::new(Pool {
            client: build(Arc::clone(&connections))?,
            number: NonZeroU32::MIN.saturating_add(self.built.fetch_add(1, Ordering::Relaxed)),
            connections,
            answers: Counter::default(),
            built_at: Instant::now(),
        }))
    }
}

/// The history of a pool's connections.
#[derive(Debug, Default)]
pub struct Connections {
    /// Those that have served an answer, by their local address.
    served: Mutex<FxHashSet<SocketAddr>>,
    have_negotiated_http2: AtomicBool,
}

impl Connections {
    /// The connection has served an answer.
    pub fn mark_served(&self, connection: &HttpInfo) {
        let mut served = lock(&self.served);
        // The address of a closed connection stays until a new one has it.
        if served.len() >= MAX_REMEMBERED {
            served.clear();
        }
        served.insert(connection.local_addr());
    }

    pub fn has_served(&self, connection: &HttpInfo) -> bool {
        lock(&self.served).contains(&connection.local_addr())
    }

    /// The connection is new, even if an earlier one had its address. The gate calls this, so nobody does for
    /// connections in clear: at worst, one that breaks at once gets a free retry.
    pub fn opened(&self, connected: &Connected) {
        if connected.is_negotiated_h2() {
            self.have_negotiated_http2.store(true, Ordering::Relaxed);
        }
        let mut extensions = Default::default();
        connected.get_extras(&mut extensions);
        if let Some(connection) = extensions.get::<HttpInfo>() {
            lock(&self.served).remove(&connection.local_addr());
        }
    }

    /// Whether a handshake negotiated HTTP/2.
    pub fn have_negotiated_http2(&self) -> bool {
        self.have_negotiated_http2.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tokio::time::{advance, sleep};

    use super::*;

    fn build(_: Arc<Connections>) -> Option<()> {
        Some(())
    }

    #[test]
    fn a_pool_is_abandoned_once_however_many_ask_for_it() {
        let pools = Pools::new(Duration::MAX);
        let first = pools.current(build).unwrap();
        assert!(Arc::ptr_eq(&first, &pools.current(build).unwrap()));
        pools.abandon(first.number);
        let second = pools.current(build).unwrap();
        assert_ne!(second.number, first.number);
        pools.abandon(first.number);
        assert!(Arc::ptr_eq(&second, &pools.current(build).unwrap()));
    }

    #[test]
    fn a_fresh_pool_takes_the_place_of_the_one_to_avoid_and_of_no_other() {
        let pools = Pools::new(Duration::MAX);
        let first = pools.current(build).unwrap();
        let second = pools.fresh(first.number, build).unwrap();
        assert!(Arc::ptr_eq(&second, &pools.current(build).unwrap()));
        let third = pools.fresh(first.number, build).unwrap();
        assert_ne!(third.number, second.number);
        assert!(Arc::ptr_eq(&second, &pools.current(build).unwrap()));
    }
    #[tokio::test(start_paused = true)]
    async fn a_pool_serves_until_it_is_as_old_as_it_may_be() {
        const AGE: Duration = Duration::from_secs(60);
        let pools = Pools::new(AGE);
        let number = || pools.current(build).unwrap().number;
        let first = number();
        advance(AGE - Duration::from_millis(1)).await;
        assert_eq!(number(), first);
        advance(Duration::from_millis(1)).await;
        assert_ne!(number(), first);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pool_is_abandoned_when_nothing_is_answered_in_time() {
        const LIMIT: Duration = Duration::from_secs(1);
        let pools = Pools::new(Duration::MAX);
        let exchange = async |takes, result: Result<(), ()>| {
            let round_trip = |_| sleep(takes).map(move |()| result);
            let (pool, result) = pools.exchange(PoolChoice::Current, LIMIT, build, round_trip).await.unwrap();
            (pool.number, result.is_ok())
        };
        let (answered, failed, late) = ((LIMIT / 2, Ok(())), (LIMIT / 2, Err(())), (LIMIT * 2, Ok(())));
        for (others, is_abandoned) in [(vec![], true), (vec![failed], true), (vec![answered], false)] {
            let first = pools.current(build).unwrap().number;
            let others = join_all(others.into_iter().map(|(takes, result)| exchange(takes, result)));
            let (used, _) = tokio::join!(exchange(late.0, late.1), others);
            assert_eq!(used, (first, false));
            assert_eq!(pools.current(build).unwrap().number != first, is_abandoned);
        }
    }
}
