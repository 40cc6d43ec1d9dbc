//! Has Redis's names looked up, at most one at a time, whoever asks, since each lookup holds a thread for as long as the name
//! server is silent.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::failure::Failure;
use crate::core::lookup::Lookup;

/// The last lookup, and how to begin one.
pub struct Resolver {
    ask: fn(String) -> Lookup,
    last: Mutex<Option<(String, Lookup)>>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Resolver")
    }
}

impl Resolver {
    /// Asks the system.
    pub fn system() -> Self {
        Self { ask: Lookup::system, last: Mutex::default() }
    }

    /// The addresses of a host. A lookup goes on when the one who waits for it leaves, and the next one joins it.
    pub async fn addresses(&self, host: &str) -> Result<Arc<[IpAddr]>, Failure> {
        if let Ok(address) = host.parse() {
            return Ok(Arc::new([address]));
        }
        loop {
            let (of, lookup) = self.lookup(host);
            let addresses = lookup.addresses().await;
            if of == host {
                // The resolver's own words; the host is not among them.
                return addresses.map_err(|error| Failure::lasting(error.to_string()));
            }
        }
    }

    /// The lookup that is under way, whatever its host, or a new one.
    fn lookup(&self, host: &str) -> (String, Lookup) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(last) if last.1.is_under_way() => last.clone(),
            _ => last.insert((host.to_owned(), (self.ask)(host.to_owned()))).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::{sleep, timeout};

    use super::*;

    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

    #[allow(clippy::disallowed_methods, reason = "a test has its runtime")]
    fn slow(host: String) -> Lookup {
        Lookup::by(tokio::spawn(async move {
            ASKED.fetch_add(1, Ordering::Relaxed);
            assert_eq!(UNDER_WAY.fetch_add(1, Ordering::Relaxed), 0, "one at a time");
            sleep(Duration::from_secs(10)).await;
            UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
            Ok(vec![IpAddr::from([10, 0, 0, u8::try_from(host.len()).unwrap()])])
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn one_lookup_is_under_way_at_a_time_and_all_who_want_it_share_it() {
        let resolver = Resolver { ask: slow, last: Mutex::default() };
        for _ in 0..5 {
            assert!(timeout(Duration::from_millis(50), resolver.addresses("a")).await.is_err());
        }
        let all = join_all(["a", "bb", "a", "bb", "10.0.0.9"].map(|host| resolver.addresses(host))).await;
        let last = |address: IpAddr| address.to_string().rsplit('.').next().map(str::to_owned).unwrap();
        let ends: Vec<_> = all.into_iter().map(|found| last(found.unwrap()[0])).collect();
        assert_eq!(ends, ["1", "2", "1", "2", "9"]);
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);
    }
}
