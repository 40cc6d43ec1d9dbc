//! Makes reqwest use the process's resolver, and try the address first that answered last.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::FutureExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpSocket;

use crate::core::resolver::Resolver;
use crate::core::sync::{Mutex, lock};

/// The resolver of one client, which asks for one name: the platform's, or its proxy's.
#[derive(Clone)]
pub struct DnsResolver {
    resolver: Resolver,
    preferred: Arc<Mutex<Option<IpAddr>>>,
}

impl DnsResolver {
    pub fn new(resolver: Resolver) -> Self {
        Self { resolver, preferred: Arc::default() }
    }

    /// A connection to this address works, so the next one tries it first: a dead one costs its time once.
    pub fn prefer(&self, address: IpAddr) {
        *lock(&self.preferred) = Some(address.to_canonical());
    }

    /// The preferred address first, then the resolver's order.
    fn sorted(&self, found: &[IpAddr]) -> Vec<SocketAddr> {
        let preferred = *lock(&self.preferred);
        let mut addresses = found.to_vec();
        addresses.sort_by_key(|address| preferred != Some(*address));
        addresses.extend(mapped_alternatives(&addresses));
        addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect()
    }
}

/// The IPv4 addresses after the first one, written as IPv6 (RFC 4291, section 2.5.5.2). hyper-util tries addresses of one
/// family in turn, each for its share of the time limit (<https://github.com/hyperium/hyper/pull/1972>), and the other
/// family in parallel after 300 ms. So a silent first address costs 300 ms. None on systems that cannot reach IPv4 that
/// way: Windows, and those without IPv6.
fn mapped_alternatives(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let ipv4 = addresses.iter().filter_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    });
    let mapped: Vec<_> = ipv4.skip(1).map(|address| address.to_ipv6_mapped().into()).collect();
    if cfg!(unix) && !mapped.is_empty() && TcpSocket::new_v6().is_ok() { mapped } else { Vec::new() }
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
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn the_address_that_answered_last_comes_first_and_the_others_keep_their_order() {
        let resolver = DnsResolver::new(Resolver::system());
        let found @ [one, two, three] = [1, 2, 3].map(|last| Ipv4Addr::new(127, 0, 0, last));
        let found = found.map(IpAddr::V4);
        let order = || resolver.sorted(&found).iter().map(|address| address.ip()).collect::<Vec<_>>();
        let expected = |[first, second, third]: [Ipv4Addr; 3]| {
            let addresses = [first, second, third].map(IpAddr::V4);
            [addresses.as_slice(), &mapped_alternatives(&addresses)].concat()
        };
        assert_eq!(order(), expected([one, two, three]));
        resolver.prefer(two.to_ipv6_mapped().into());
        assert_eq!(order(), expected([two, one, three]));
        resolver.prefer([127, 0, 0, 9].into());
        assert_eq!(order(), expected([one, two, three]));
    }

    #[test]
    fn the_ipv4_addresses_after_the_first_have_an_alternative_where_ipv6_is_spoken() {
        let ipv6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let ipv4 = [1, 2].map(|last| Ipv4Addr::new(127, 0, 0, last));
        assert!(mapped_alternatives(&[ipv6, ipv6, ipv4[0].into()]).is_empty());
        if cfg!(unix) && TcpSocket::new_v6().is_ok() {
            let [first, second] = ipv4.map(IpAddr::V4);
            assert_eq!(mapped_alternatives(&[ipv6, first, second]), [IpAddr::V6(ipv4[1].to_ipv6_mapped())]);
        }
    }
}
