//! Owns name lookups. The system's resolver blocks its thread, so each lookup has one of its own, and no lookup waits
//! for another. All who ask for one name at a time share a lookup.
//!
//! Connects to nothing. The standard library starts the threads, since it returns an error if the system refuses one,
//! where `tokio::task::spawn_blocking` panics (<https://github.com/tokio-rs/tokio/issues/2309>).

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::thread;

use futures_util::FutureExt;
use futures_util::future::Shared;
use tokio::sync::oneshot;

use crate::core::sync::{Mutex, lock};

/// The most lookups in flight in the process: far more than it has names, and a bound on those that never end.
const MAX_LOOKUPS: usize = 256;
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

static SYSTEM: LazyLock<Resolver> = LazyLock::new(|| Resolver::new(ask_system));

type Ask = fn(&str) -> io::Result<Vec<IpAddr>>;
type NameLookup = Shared<oneshot::Receiver<Result<Arc<[IpAddr]>, LookupError>>>;

/// Looks names up. Clones share the lookups in flight.
#[derive(Clone)]
pub struct Resolver(Arc<NameLookups>);

struct NameLookups {
    ask: Ask,
    in_flight: Mutex<HashMap<String, NameLookup>>,
}

impl Resolver {
    /// The system's resolver, one for the whole process.
    pub fn system() -> Self {
        SYSTEM.clone()
    }

    fn new(ask: Ask) -> Self {
        Self(Arc::new(NameLookups { ask, in_flight: Mutex::default() }))
    }

    /// The addresses of a host, in the order in which to try them; never an empty list. If this future is dropped, the
    /// lookup continues, and the next caller joins it.
    ///
    /// `localhost` and the names below it mean this machine, whatever a name server says (RFC 6761, section 6.3).
    pub async fn addresses(&self, host: &str) -> Result<Arc<[IpAddr]>, LookupError> {
        if let Ok(address) = host.parse() {
            return Ok(Arc::new([address]));
        }
        let is_localhost = is_localhost(host);
        if is_localhost && host.trim_end_matches('.').contains('.') {
            return Ok(Arc::new(LOOPBACK));
        }
        let found = self.lookup(host)?.await.unwrap_or_else(|_| Err(LookupError::broken_off()))?;
        if !is_localhost {
            return Ok(found);
        }
        let loopback: Arc<[_]> = found.iter().copied().filter(IpAddr::is_loopback).collect();
        if loopback.is_empty() { Err(LookupError::NotLoopback) } else { Ok(loopback) }
    }

    /// The lookup of this name that is in flight, or a new one.
    fn lookup(&self, host: &str) -> Result<NameLookup, LookupError> {
        let mut in_flight = lock(&self.0.in_flight);
        if let Some(lookup) = in_flight.get(host) {
            return Ok(lookup.clone());
        }
        if in_flight.len() >= MAX_LOOKUPS {
            return Err(LookupError::TooMany);
        }
        let (sender, receiver) = oneshot::channel();
        let lookup = receiver.shared();
        in_flight.insert(host.to_owned(), lookup.clone());
        drop(in_flight);
        // Started outside the lock, since a refused thread drops the guard, which takes it.
        let guard = LookupGuard { lookups: Arc::clone(&self.0), host: host.to_owned() };
        let thread = thread::Builder::new().name("xkit-lookup".to_owned());
        let spawned = thread.spawn(move || {
            let found = (guard.lookups.ask)(&guard.host);
            drop(guard);
            // Nobody may wait for it any more.
            let _ = sender.send(found.map(Arc::from).map_err(LookupError::not_found));
        });
        spawned.map(|_| lookup).map_err(|error| LookupError::NoThread(error.kind()))
    }
}

/// Removes a lookup from those in flight, however it ends.
struct LookupGuard {
    lookups: Arc<NameLookups>,
    host: String,
}

impl Drop for LookupGuard {
    fn drop(&mut self) {
        let ended = lock(&self.lookups.in_flight).remove(&self.host);
        // Outside the lock.
        drop(ended);
    }
}

fn ask_system(host: &str) -> io::Result<Vec<IpAddr>> {
    let found: Vec<_> = (host, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
}

/// Whether a name is `localhost` or stands below it.
pub fn is_localhost(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// A lookup without an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// The resolver failed: its own words, which do not hold the name.
    NotFound(String),
    /// `localhost` has no loopback address.
    NotLoopback,
    /// The system refused a thread.
    NoThread(io::ErrorKind),
    /// [`MAX_LOOKUPS`] are in flight.
    TooMany,
}

impl LookupError {
    fn not_found(error: io::Error) -> Self {
        Self::NotFound(error.to_string())
    }

    fn broken_off() -> Self {
        Self::NotFound("the lookup was broken off".to_owned())
    }

    /// Whether the process lacks threads, rather than the name an address.
    pub fn is_shortage(&self) -> bool {
        matches!(self, Self::NoThread(_) | Self::TooMany)
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(words) => formatter.write_str(words),
            Self::NotLoopback => formatter.write_str("localhost leads to no loopback address"),
            Self::NoThread(kind) => write!(formatter, "the system refused a thread for the lookup ({kind})"),
            Self::TooMany => write!(formatter, "{MAX_LOOKUPS} lookups are under way already"),
        }
    }
}

impl StdError for LookupError {}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    fn last(found: Result<Arc<[IpAddr]>, LookupError>) -> String {
        found.unwrap()[0].to_string().rsplit('.').next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn callers_of_one_name_share_its_lookup_also_when_the_first_of_them_left() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static RELEASE: Barrier = Barrier::new(2);
        let resolver = Resolver::new(|_| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            RELEASE.wait();
            Ok(vec![IpAddr::from([10, 0, 0, 1])])
        });
        let mut first = Box::pin(resolver.addresses("one.test"));
        assert!(futures_util::poll!(&mut first).is_pending());
        drop(first);
        let mut others = Box::pin(join_all((0..5).map(|_| resolver.addresses("one.test"))));
        assert!(futures_util::poll!(&mut others).is_pending());
        RELEASE.wait();
        assert!(others.await.into_iter().all(|found| last(found) == "1"));
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
        assert!(lock(&resolver.0.in_flight).is_empty());
    }

    #[tokio::test]
    async fn as_many_as_there_may_be_are_under_way_at_once_and_one_more_fails_at_once() {
        static ALL: Barrier = Barrier::new(MAX_LOOKUPS + 1);
        let resolver = Resolver::new(|_| {
            ALL.wait();
            Ok(vec![IpAddr::from([10, 0, 0, 1])])
        });
        let names: Vec<_> = (0..MAX_LOOKUPS).map(|number| format!("n{number}.test")).collect();
        let mut all = Box::pin(join_all(names.iter().map(|name| resolver.addresses(name))));
        assert!(futures_util::poll!(&mut all).is_pending());
        assert_eq!(resolver.addresses("more.test").await, Err(LookupError::TooMany));
        ALL.wait();
        assert!(all.await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn localhost_is_this_machine_whatever_a_name_server_says() {
        let lying = Resolver::new(|_| Ok(vec![[10, 0, 0, 1].into(), [127, 0, 0, 1].into()]));
        assert_eq!(*lying.addresses("localhost").await.unwrap(), [IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(lying.addresses("other.test").await.unwrap().len(), 2);
        let moved = Resolver::new(|_| Ok(vec![[10, 0, 0, 1].into()]));
        assert_eq!(moved.addresses("LOCALHOST.").await, Err(LookupError::NotLoopback));
        let silent = Resolver::new(|_| unreachable!("nobody is asked"));
        assert_eq!(*silent.addresses("app.localhost").await.unwrap(), LOOPBACK);
        assert_eq!(*silent.addresses("10.0.0.9").await.unwrap(), [IpAddr::from([10, 0, 0, 9])]);
    }

    #[test]
    fn only_localhost_and_what_stands_below_it_is_localhost() {
        for (name, expected) in [
            ("localhost", true),
            ("LocalHost", true),
            ("localhost.", true),
            ("a.b.localhost", true),
            ("notlocalhost", false),
            ("localhost.p.test", false),
            ("localhos", false),
            ("", false),
            (".", false),
        ] {
            assert_eq!(is_localhost(name), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn a_failed_lookup_has_the_resolvers_words_and_not_the_name() {
        let name = "a".repeat(64);
        let words = Resolver::system().addresses(&name).await.unwrap_err().to_string();
        assert!(!words.is_empty() && !words.contains(&name) && !words.contains("uncategorized"), "{words}");
        let broken = Resolver::new(|_| panic!("a defect"));
        assert_eq!(broken.addresses("broken.test").await, Err(LookupError::broken_off()));
        assert!(lock(&broken.0.in_flight).is_empty());
    }
}
