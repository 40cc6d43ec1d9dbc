//! Owns name lookups. The system's resolver blocks, so each lookup has a thread while it lasts; a name has one at most.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::task::{AbortHandle, spawn_blocking};

/// Looks names up for one client, whose lookups of one name share a thread: a name server that is silent holds one, and
/// not one more with each attempt.
#[derive(Debug, Default)]
pub struct Resolver(Mutex<HashMap<String, Lookup>>);

#[derive(Debug)]
struct Lookup {
    found: Shared<BoxFuture<'static, Result<Arc<[SocketAddr]>, NotFound>>>,
    task: AbortHandle,
}

impl Resolver {
    fn look_up(&self, name: &str) -> impl Future<Output = Result<Arc<[SocketAddr]>, NotFound>> + use<> {
        let mut lookups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lookups.retain(|_, lookup| !lookup.task.is_finished());
        if let Some(lookup) = lookups.get(name) {
            return lookup.found.clone();
        }
        let host = name.to_owned();
        let task = spawn_blocking(move || (host.as_str(), 0).to_socket_addrs().map(Iterator::collect));
        let abort = task.abort_handle();
        let found = async move {
            match task.await {
                Ok(Ok(addresses)) => Ok(addresses),
                Ok(Err(error)) => Err(NotFound(error.to_string())),
                Err(_) => Err(NotFound("the lookup was broken off".to_owned())),
            }
        };
        let found = found.boxed().shared();
        lookups.insert(name.to_owned(), Lookup { found: found.clone(), task: abort });
        found
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.look_up(name.as_str());
        async move {
            let addresses = found.await?;
            let addresses: Vec<_> = addresses.iter().copied().collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        }
        .boxed()
    }
}

/// A name could not be found: the resolver's own words, which do not hold the name.
#[derive(Clone, Debug)]
pub struct NotFound(String);

impl fmt::Display for NotFound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl StdError for NotFound {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lookups_of_one_name_share_a_thread_while_it_lasts() {
        let resolver = Resolver::default();
        let lookups = [resolver.look_up("localhost"), resolver.look_up("localhost")];
        assert_eq!(resolver.0.lock().unwrap().len(), 1);
        for found in lookups {
            assert!(found.await.unwrap().iter().all(|address| address.ip().is_loopback()));
        }
        resolver.look_up(&"a".repeat(64)).await.unwrap_err();
        resolver.0.lock().unwrap().retain(|_, lookup| !lookup.task.is_finished());
        assert!(resolver.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_failed_lookup_has_the_resolvers_words_and_not_the_name() {
        let name = "a".repeat(64);
        let words = Resolver::default().look_up(&name).await.unwrap_err().to_string();
        assert!(!words.is_empty() && !words.contains(&name) && !words.contains("uncategorized"), "{words}");
    }
}
