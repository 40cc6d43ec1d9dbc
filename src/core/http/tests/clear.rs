//! Requests in clear: what is read of an answer, which faults may pass, and what a proxy says.

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::time::advance;

use super::rig::{answer, direct, exchange, impatient, settings, transport};
use super::server::{Server, Step};
use crate::core::error::Kind;
use crate::core::http::refusal::{Inquiry, Refusal};
use crate::core::http::resolver::DnsResolver;
use crate::core::http::*;
use crate::core::resolver::Resolver;

const MAX_BODY_BYTES: usize = 262_144;
const MAX_HEAD_BYTES: usize = 16_384;

fn chunked(sizes: &[usize]) -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for size in sizes.iter().chain([&0]) {
        bytes.extend(format!("{size:x}\r\n").bytes().chain(vec![b'x'; *size]).chain(*b"\r\n"));
    }
    bytes
}

/// What a server that answers so gives: a status and a body's length, or a failure and whether it may pass.
async fn outcome(step: Step) -> Result<(u16, usize), (Kind, bool)> {
    let (_server, transport, url) = direct(vec![step]).await;
    match exchange(&transport, &url).await {
        Ok(answer) => Ok((answer.status, answer.body.len())),
        Err(Fault { error, kind }) => Err((error.kind, kind != FaultKind::Permanent)),
    }
}

#[tokio::test]
async fn bodies_are_read_where_they_are_needed_and_up_to_their_limit() {
    let full = vec![b'x'; MAX_BODY_BYTES];
    let over = vec![b'x'; MAX_BODY_BYTES + 1];
    let too_large = Err((Kind::ResponseTooLarge, false));
    for (bytes, expected) in [
        (answer(200, "", b"body"), Ok((200, 4))),
        (answer(201, "", b"body"), Ok((201, 4))),
        (answer(404, "", b"body"), Ok((404, 4))),
        (answer(404, "", &over), Ok((404, 0))),
        (answer(403, "", b"body"), Ok((403, 0))),
        (answer(200, "", &full), Ok((200, MAX_BODY_BYTES))),
        (answer(200, "", &over), too_large),
        (chunked(&[MAX_BODY_BYTES - 1, 1]), Ok((200, MAX_BODY_BYTES))),
        (chunked(&[MAX_BODY_BYTES, 1]), too_large),
    ] {
        assert_eq!(outcome(Step::Answer(bytes)).await, expected);
    }
}

#[tokio::test]
async fn heads_are_read_up_to_their_limits() {
    let name = "content-length".len() + "0".len();
    let long = |bytes: usize| format!("x: {}\r\n", "y".repeat(bytes - name - "x".len()));
    let many = |count: usize| "a: b\r\n".repeat(count - 1);
    let too_large = Err((Kind::ResponseTooLarge, false));
    for (headers, expected) in [
        (long(MAX_HEAD_BYTES), Ok((200, 0))),
        (long(MAX_HEAD_BYTES + 1), too_large),
        (many(100), Ok((200, 0))),
        (many(101), too_large),
    ] {
        assert_eq!(outcome(Step::Answer(answer(200, &headers, b""))).await, expected);
    }
}

#[tokio::test]
async fn two_headers_are_kept() {
    let headers = "retry-after: 7\r\nx-request-id: r-1\r\n";
    let (_server, transport, url) = direct(vec![Step::Answer(answer(503, headers, b""))]).await;
    let answer = exchange(&transport, &url).await.unwrap();
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(answer.request_id.as_deref(), Some("r-1"));
}

#[tokio::test]
async fn what_is_not_http_is_told_from_an_answer_that_breaks_off() {
    let (lost, strange) = (Err((Kind::Connect, true)), Err((Kind::InvalidResponse, false)));
    for (bytes, expected) in [
        (&b"SSH-2.0-x\r\n\r\n"[..], strange),
        (b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\nz\r\n", strange),
        (b"", lost),
        (b"HTTP/1.1 200 X\r\n", lost),
        (b"HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\nhalf", lost),
    ] {
        assert_eq!(outcome(Step::Close(bytes.to_vec())).await, expected);
    }
}

#[tokio::test]
async fn a_connection_is_used_again_also_after_an_answer_that_nobody_needs() {
    let (server, transport, url) = direct(vec![Step::Answer(answer(503, "", &[b'x'; 60_000]))]).await;
    for _ in 0..3 {
        assert_eq!(exchange(&transport, &url).await.unwrap().status, 503);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn all_connections_that_had_answered_well_are_remembered() {
    let barrier = Arc::new(Barrier::new(2));
    let together = || Step::AnswerTogether(Arc::clone(&barrier), answer(200, "", b""));
    let steps = vec![together(), together(), Step::Close(vec![])];
    let (server, transport, url) = direct(steps).await;
    let both = async || tokio::join!(exchange(&transport, &url), exchange(&transport, &url));
    assert!(matches!(both().await, (Ok(_), Ok(_))));
    let (first, second) = both().await;
    for fault in [first.unwrap_err(), second.unwrap_err()] {
        assert_eq!(fault.kind, FaultKind::Stale(pool::PoolNumber::MIN));
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn only_a_connection_that_had_answered_well_is_stale() {
    for (status, is_stale) in [(200, true), (404, true), (429, false), (500, false), (503, false)] {
        let steps = vec![Step::Answer(answer(status, "", b"")), Step::Close(vec![])];
        let (_server, transport, url) = direct(steps).await;
        exchange(&transport, &url).await.unwrap();
        let Fault { kind, .. } = exchange(&transport, &url).await.unwrap_err();
        let expected = if is_stale { FaultKind::Stale(pool::PoolNumber::MIN) } else { FaultKind::Transient };
        assert_eq!(kind, expected, "{status}");
    }
    let (_server, transport, url) = direct(vec![Step::Close(vec![])]).await;
    assert_eq!(exchange(&transport, &url).await.unwrap_err().kind, FaultKind::Transient);
}

#[tokio::test]
async fn a_server_that_is_silent_or_gone_may_be_back_later() {
    let (_server, transport, url) = direct(vec![Step::Silence]).await;
    let silent = transport.exchange(url, Duration::from_millis(50), PoolChoice::Current).await.unwrap_err();
    assert_eq!((silent.error.kind, silent.kind), (Kind::Timeout, FaultKind::Transient));
    assert!(silent.error.message.contains("within 50 ms") && !silent.error.message.contains("http2"));
    let gone = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let origin = format!("http://{gone}");
    let fault = exchange(&transport_to(&origin), &origin.parse().unwrap()).await.unwrap_err();
    assert_eq!((fault.error.kind, fault.kind), (Kind::Connect, FaultKind::Transient));
    assert!(fault.error.message.contains("check that the host is right"), "{}", fault.error.message);
    let words = TcpStream::connect(gone).await.unwrap_err().to_string();
    assert_eq!(fault.error.cause.as_deref(), Some(&*words));
}

/// The kernel of Linux ignores whoever wants to connect to a port with as many connections that nobody accepted as it may have.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_that_hangs_is_left_after_its_limit() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _ignored = TcpStream::connect(address).await.unwrap();
    let origin = format!("http://{address}");
    let fault = exchange(&impatient(&origin, None), &origin.parse().unwrap()).await.unwrap_err();
    assert_eq!((fault.error.kind, fault.kind), (Kind::Timeout, FaultKind::Transient));
    assert!(fault.error.message.contains("within 50 ms: check the network"), "{}", fault.error.message);
    assert_eq!(fault.error.cause, None);
}

fn transport_to(origin: &str) -> Transport {
    transport(origin, None)
}

#[tokio::test]
async fn a_server_without_tls_is_told_at_an_https_url() {
    let server = Server::start(vec![Step::Close(answer(400, "", b""))]).await;
    let origin = format!("https://127.0.0.1:{}", server.port);
    let fault = exchange(&transport_to(&origin), &origin.parse().unwrap()).await.unwrap_err();
    assert_eq!((fault.error.kind, fault.kind), (Kind::Tls, FaultKind::Permanent));
    assert!(fault.error.message.contains("does not speak TLS on this port"), "{}", fault.error.message);
    assert!(fault.error.message.contains(&origin));
}

/// The fault of a request for this URL through a proxy that answers CONNECT so.
async fn tunnelled(url: &str, steps: Vec<Step>) -> (FaultKind, String) {
    let transport = if matches!(steps[..], [Step::Silence]) { impatient } else { transport };
    let proxy = Server::start(steps).await;
    let through = format!("http://127.0.0.1:{}", proxy.port);
    let Fault { error, kind } =
        exchange(&transport(url, Some(&through)), &url.parse().unwrap()).await.unwrap_err();
    let is_about_proxy = matches!(error.kind, Kind::Proxy | Kind::Tls);
    assert!(is_about_proxy, "{error:?}");
    (kind, error.message.into_owned())
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_is_asked_why() {
    const PLATFORM: &str = "https://platform.test";
    let (passing, lasting) = (FaultKind::Transient, FaultKind::Permanent);
    let asks = |scheme: &str| format!("proxy-authenticate: {scheme}\r\n");
    for (bytes, kind, words) in [
        (answer(403, "", b""), lasting, "forbids a tunnel"),
        (answer(404, "", b""), lasting, "(404): check the proxy's URL"),
        (answer(502, "", b""), passing, "(502): call again later"),
        (answer(204, "", b""), lasting, "only 200 opens a tunnel"),
        (answer(407, &asks("Basic"), b""), lasting, "asks for a user name and a password"),
        (answer(407, &asks("NTLM"), b""), lasting, "asks for NTLM"),
        (b"SSH-2.0-x\r\n\r\n".to_vec(), lasting, "not proper HTTP"),
    ] {
        let (found, message) = tunnelled(PLATFORM, vec![Step::Close(bytes)]).await;
        assert!(message.contains(words), "{message}");
        assert_eq!(found, kind, "{message}");
    }
}

#[tokio::test]
async fn a_tunnel_that_is_lost_or_late_is_told_from_one_that_is_refused() {
    const PLATFORM: &str = "https://platform.test";
    let open = || b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    for (steps, kind, words) in [
        (vec![Step::Close(vec![])], FaultKind::Transient, "did not open a tunnel to https://platform.test:"),
        (vec![Step::Silence], FaultKind::Transient, "in time"),
        (vec![Step::Close(open())], FaultKind::Transient, "did not open a tunnel"),
        (
            vec![Step::Answer(open()), Step::Close(answer(400, "", b""))],
            FaultKind::Permanent,
            "No secure connection to https://platform.test: the server does not speak TLS",
        ),
    ] {
        let (found, message) = tunnelled(PLATFORM, steps).await;
        assert!(message.contains(words), "{message}");
        assert_eq!(found, kind, "{message}");
    }
    let (found, message) = tunnelled("https://[::1]:1", vec![Step::Answer(open())]).await;
    assert!(message.contains("no way through a proxy to an IPv6 address"), "{message}");
    assert_eq!(found, FaultKind::Permanent);
}

#[tokio::test]
async fn a_proxy_that_is_gone_or_speaks_no_tls_is_named() {
    const PLATFORM: &str = "https://platform.test";
    let gone = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let through = |proxy: &str| transport(PLATFORM, Some(proxy));
    let fault = exchange(&through(&format!("http://{gone}")), &PLATFORM.parse().unwrap()).await.unwrap_err();
    assert_eq!((fault.error.kind, fault.kind), (Kind::Proxy, FaultKind::Transient));
    assert!(fault.error.message.starts_with("The proxy cannot be reached:"), "{}", fault.error.message);
    let proxy = Server::start(vec![Step::Close(answer(400, "", b""))]).await;
    let secure = through(&format!("https://127.0.0.1:{}", proxy.port));
    let fault = exchange(&secure, &PLATFORM.parse().unwrap()).await.unwrap_err();
    assert_eq!((fault.error.kind, fault.kind), (Kind::Tls, FaultKind::Permanent));
    assert!(fault.error.message.starts_with("No secure connection to the proxy:"), "{}", fault.error.message);
}

#[tokio::test]
async fn a_host_without_an_address_is_told_in_the_words_of_the_resolver() {
    let nowhere = "a".repeat(64);
    let origin = format!("http://{nowhere}");
    let proxy = format!("http://{nowhere}:1");
    for (origin, proxy, words) in [
        (&*origin, None, "its name could not be found; check the host in baseUrl"),
        ("https://platform.test", Some(&*proxy), "its name could not be found: check the proxy's URL"),
    ] {
        let fault = exchange(&transport(origin, proxy), &origin.parse().unwrap()).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Transient);
        assert!(fault.error.message.contains(words), "{}", fault.error.message);
        let cause = Resolver::system().addresses(&nowhere).await.unwrap_err().to_string();
        assert_eq!(fault.error.cause.as_deref(), Some(&*cause));
    }
}

#[tokio::test(start_paused = true)]
async fn one_question_to_the_proxy_counts_for_all_tunnels_of_a_second() {
    let proxy = Server::start(vec![Step::Close(answer(403, "", b""))]).await;
    let settings = settings("https://platform.test", Some(&format!("http://127.0.0.1:{}", proxy.port)));
    let inquiry = Inquiry::new(
        settings.proxy.as_ref().unwrap(),
        settings.trust.client_config(Arc::default()).unwrap(),
        DnsResolver::new(Resolver::system()),
        settings.target().unwrap(),
        "agent",
    )
    .unwrap();
    for (wait, asked) in [(0, 1), (0, 1), (999, 1), (1, 2)] {
        advance(Duration::from_millis(wait)).await;
        assert_eq!(inquiry.ask().await, Some(Refusal::Status(403)));
        assert_eq!(proxy.connections(), asked);
    }
}
