//! Has the names of one client looked up, each at most once at a time: a name server that is silent holds one thread, and not
//! one more with each attempt.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::core::lookup::Lookup;

/// The lookups under way, by name.
#[derive(Debug, Default)]
pub struct Resolver(Mutex<HashMap<String, Lookup>>);

impl Resolver {
    /// The lookup of a name that is under way, or a new one.
    pub fn lookup(&self, name: &str) -> Lookup {
        let mut lookups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lookups.retain(|_, lookup| lookup.is_under_way());
        if let Some(lookup) = lookups.get(name) {
            return lookup.clone();
        }
        let lookup = Lookup::system(name.to_owned());
        lookups.insert(name.to_owned(), lookup.clone());
        lookup
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.lookup(name.as_str());
        async move {
            let found = lookup.addresses().await?;
            let addresses: Vec<_> = found.iter().map(|address| SocketAddr::new(*address, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lookups_of_one_name_share_a_thread_while_it_lasts() {
        let resolver = Resolver::default();
        let lookups = [resolver.lookup("localhost"), resolver.lookup("localhost")];
        assert_eq!(resolver.0.lock().unwrap().len(), 1);
        for lookup in lookups {
            assert!(lookup.addresses().await.unwrap().iter().all(|address| address.is_loopback()));
        }
        resolver.lookup(&"a".repeat(64)).addresses().await.unwrap_err();
        assert_eq!(resolver.0.lock().unwrap().len(), 1, "the first has ended");
    }
}
