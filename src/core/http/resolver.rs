//! Has reqwest ask the process's resolver for names, and try the address first that answered last.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::core::resolver::Resolver;

/// The resolver of one client, which asks for one name: the platform's, or its proxy's.
#[derive(Clone)]
pub struct DnsResolver {
    resolver: Resolver,
    preferred: Arc<Mutex<Option<IpAddr>>>,
}

impl DnsResolver {
    /// Prefers no address yet.
    pub fn new(resolver: Resolver) -> Self {
        Self { resolver, preferred: Arc::default() }
    }

    /// A connection to this address works, so the next one tries it first: a dead one costs its time once.
    pub fn prefer(&self, address: IpAddr) {
        *self.preferred.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    /// In the resolver's order, but for the one that is preferred.
    fn sorted(&self, found: &[IpAddr]) -> Vec<SocketAddr> {
        let preferred = *self.preferred.lock().unwrap_or_else(PoisonError::into_inner);
        let mut addresses = found.to_vec();
        addresses.sort_by_key(|address| preferred != Some(*address));
        addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect()
    }
}

impl Resolve for DnsResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        async move {
            let found = names.resolver.addresses(name.as_str()).await?;
            Ok(Box::new(names.sorted(&found).into_iter()) as Addrs)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_answered_last_comes_first_and_the_others_keep_their_order() {
        let names = DnsResolver::new(Resolver::system());
        let found = [1, 2, 3].map(|last| IpAddr::from([127, 0, 0, last]));
        let order = || names.sorted(&found).iter().map(|address| address.ip()).collect::<Vec<_>>();
        assert_eq!(order(), found);
        names.prefer(found[1]);
        assert_eq!(order(), [found[1], found[0], found[2]]);
        names.prefer([127, 0, 0, 9].into());
        assert_eq!(order(), found);
    }
}
