//! One lookup of a name. The system's resolver blocks, so each has a thread for as long as the name server is silent.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::{AbortHandle, JoinHandle, spawn_blocking};

/// Goes on when those who wait for it leave, and can be waited for by any number.
#[derive(Clone, Debug)]
pub struct Lookup {
    found: Shared<BoxFuture<'static, Result<Arc<[IpAddr]>, NotFound>>>,
    task: AbortHandle,
}

impl Lookup {
    /// Asks the system.
    pub fn system(host: String) -> Self {
        let ask = move || Ok((host.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect());
        Self::by(spawn_blocking(ask))
    }

    /// What the task finds.
    pub fn by(task: JoinHandle<io::Result<Vec<IpAddr>>>) -> Self {
        let handle = task.abort_handle();
        let found = async move {
            match task.await {
                Ok(Ok(addresses)) => Ok(addresses.into()),
                Ok(Err(error)) => Err(NotFound(error.to_string())),
                Err(_) => Err(NotFound("the lookup was broken off".to_owned())),
            }
        };
        Self { found: found.boxed().shared(), task: handle }
    }

    /// Whether it still has its thread.
    pub fn is_under_way(&self) -> bool {
        !self.task.is_finished()
    }

    /// Waits for the addresses.
    pub async fn addresses(self) -> Result<Arc<[IpAddr]>, NotFound> {
        self.found.await
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
    async fn a_failed_lookup_has_the_resolvers_words_and_not_the_name() {
        let name = "a".repeat(64);
        let words = Lookup::system(name.clone()).addresses().await.unwrap_err().to_string();
        assert!(!words.is_empty() && !words.contains(&name) && !words.contains("uncategorized"), "{words}");
    }
}
