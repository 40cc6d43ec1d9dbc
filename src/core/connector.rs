//! Owns how a TCP connection is opened to a name that has several addresses, of which some may be dead.

use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long an address has to itself before the next one is tried beside it, as in reqwest's own connector.
const HEAD_START: Duration = Duration::from_millis(300);

/// Opens a connection to the first of the addresses that accepts one (RFC 8305): the next address is tried as soon as the
/// last one has failed, or was silent for 300 ms. Has no limit of its own.
pub async fn connect(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let next = waiting.next().map(|address| TcpStream::connect(SocketAddr::new(*address, port)));
        let is_last = next.is_none();
        attempts.extend(next);
        if is_last && attempts.is_empty() {
            return Err(failure);
        }
        let head_start = async { if is_last { pending().await } else { sleep(HEAD_START).await } };
        match select(attempts.next(), pin!(head_start)).await {
            Either::Left((Some(Ok(stream)), _)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Either::Left((Some(Err(error)), _)) => failure = error,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses_and_the_last_failure_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let [dead, alive] = [[127, 0, 0, 2], [127, 0, 0, 1]].map(IpAddr::from);
        let stream = connect(&[dead, dead, alive], port).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().ip(), alive);
        assert_eq!(connect(&[dead], port).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(connect(&[], port).await.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }
}
