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

/// How long we wait for one address before we try the next one in parallel, as reqwest's own connector does for families.
pub const HEAD_START: Duration = Duration::from_millis(300);

/// Opens a connection to the first address that accepts one. Has no time limit of its own.
pub async fn connect(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, port)).collect();
    let attempts = addresses.into_iter().map(TcpStream::connect);
    let stream = first_success(attempts, HEAD_START, io::ErrorKind::AddrNotAvailable.into()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The first success among attempts (RFC 8305). The next attempt begins as soon as one has failed, or the last one has
/// been silent for `head_start`. If none succeeds, returns the last failure; `failure` if there is no attempt.
pub async fn first_success<T, E>(
    attempts: impl IntoIterator<Item: Future<Output = Result<T, E>>>,
    head_start: Duration,
    mut failure: E,
) -> Result<T, E> {
    let mut waiting = attempts.into_iter();
    let mut under_way = FuturesUnordered::new();
    loop {
        let next = waiting.next();
        let is_last = next.is_none();
        under_way.extend(next);
        if is_last && under_way.is_empty() {
            return Err(failure);
        }
        let silence = async { if is_last { pending().await } else { sleep(head_start).await } };
        match select(under_way.next(), pin!(silence)).await {
            Either::Left((Some(Ok(success)), _)) => return Ok(success),
            Either::Left((Some(Err(error)), _)) => failure = error,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::time::Instant;

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

    #[tokio::test(start_paused = true)]
    async fn a_silent_attempt_goes_on_beside_the_next_ones() {
        let millis = Duration::from_millis;
        type Attempt = (u64, Result<&'static str, &'static str>);
        let cases: [(&[Attempt], _, _); 4] = [
            (&[(1_000, Ok("slow")), (2_000, Ok("slower"))], Ok("slow"), 1_000),
            (&[(1_000, Ok("slow")), (100, Ok("quick"))], Ok("quick"), 400),
            (&[(1_000, Ok("slow")), (100, Err("refused")), (10, Err("refused"))], Ok("slow"), 1_000),
            (&[(1_000, Err("last")), (100, Err("refused"))], Err("last"), 1_000),
        ];
        for (attempts, expected, took) in cases {
            let start = Instant::now();
            let attempts = attempts.iter().map(|(after, ended)| async {
                sleep(millis(*after)).await;
                *ended
            });
            assert_eq!(first_success(attempts, HEAD_START, "none").await, expected);
            assert_eq!(start.elapsed(), millis(took), "{expected:?}");
        }
    }
}
