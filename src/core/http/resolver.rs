//! Has reqwest ask the process's resolver for names.

use std::net::SocketAddr;

use futures_util::FutureExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::core::resolver::Resolver;

/// What reqwest asks.
pub struct Names(pub Resolver);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        async move {
            let found = resolver.addresses(name.as_str()).await?;
            let addresses: Vec<_> = found.iter().map(|address| SocketAddr::new(*address, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        }
        .boxed()
    }
}
