//! What a transport makes of the frames of HTTP/2 (RFC 9113, section 6). Each connection has its first request on stream 1, the
//! next one on stream 3.

use h2::Reason;

use super::certificates::{Clients, self_signed};
use super::frames::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame};
use super::rig::{answer, exchange, settings, transport_of};
use super::server::{Server, Step};
use crate::core::error::Kind;
use crate::core::http::*;

/// The statuses that have an index in HPACK (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;
const STATUS_500: u8 = 0x8e;

fn head(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

fn reset(stream: u32, reason: Reason) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &u32::from(reason).to_be_bytes())
}

fn go_away(last_stream: u32, reason: Reason) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last_stream.to_be_bytes(), u32::from(reason).to_be_bytes()].concat())
}

/// A transport to a server that negotiates one of these protocols.
async fn secure(protocols: &[&str], steps: Vec<Step>) -> (Server, Transport, Url) {
    let own = self_signed(|_| {});
    let config = own.server(&rustls::version::TLS13, Clients::Anonymous, protocols);
    let server = Server::start_tls(config, steps).await;
    let origin = format!("https://127.0.0.1:{}", server.port);
    let transport = transport_of(TransportSettings { trust: own.trusted(), ..settings(&origin, None) });
    (server, transport, origin.parse().unwrap())
}

async fn over_http2(steps: Vec<Step>) -> (Server, Transport, Url) {
    secure(&["h2"], steps).await
}

#[tokio::test]
async fn a_request_that_was_not_processed_is_told_from_one_that_failed() {
    let unprocessed = |choice| (Kind::Connect, FaultKind::Unprocessed(choice));
    let (lost, strange) =
        ((Kind::Connect, FaultKind::Transient), (Kind::InvalidResponse, FaultKind::Permanent));
    for (frames, expected) in [
        (reset(1, Reason::REFUSED_STREAM), unprocessed(PoolChoice::Current)),
        (reset(1, Reason::HTTP_1_1_REQUIRED), unprocessed(PoolChoice::Current)),
        (reset(1, Reason::INTERNAL_ERROR), lost),
        (reset(1, Reason::PROTOCOL_ERROR), lost),
        (go_away(0, Reason::NO_ERROR), unprocessed(PoolChoice::Alone)),
        (go_away(0, Reason::ENHANCE_YOUR_CALM), unprocessed(PoolChoice::Alone)),
        (go_away(0, Reason::HTTP_1_1_REQUIRED), unprocessed(PoolChoice::Current)),
        // No stream has the number 0.
        (frame(DATA, 0, 0, b"x"), strange),
        (b"SSH-2.0-x\r\n".to_vec(), lost),
        (vec![], lost),
    ] {
        let shown = format!("{frames:?}");
        let (_server, transport, url) = over_http2(vec![Step::Close(frames)]).await;
        let fault = exchange(&transport, &url).await.unwrap_err();
        assert_eq!((fault.error.kind, fault.kind), expected, "{shown} {fault:?}");
    }
}

#[tokio::test]
async fn a_server_that_demands_http_1_gets_it_from_then_on() {
    for demand in [reset(1, Reason::HTTP_1_1_REQUIRED), go_away(0, Reason::HTTP_1_1_REQUIRED)] {
        let steps = vec![Step::Answer(demand), Step::Answer(answer(200, "", b"body"))];
        let (server, transport, url) = secure(&["h2", "http/1.1"], steps).await;
        exchange(&transport, &url).await.unwrap_err();
        for _ in 0..2 {
            assert_eq!(*exchange(&transport, &url).await.unwrap().body, b"body");
        }
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn http_2_is_suspected_until_an_answer_came_over_it() {
    let ok = || Step::Answer(head(1, &[STATUS_200]));
    let refused = Step::Answer(reset(1, Reason::REFUSED_STREAM));
    for (protocol, steps, is_suspected) in [
        ("h2", vec![Step::Close(vec![])], true),
        ("h2", vec![Step::Close(answer(400, "", b""))], true),
        ("h2", vec![Step::Close(frame(DATA, 0, 0, b"x"))], true),
        ("h2", vec![refused], false),
        ("h2", vec![ok(), Step::Close(vec![])], false),
        ("http/1.1", vec![Step::Close(vec![])], false),
    ] {
        let answers = steps.len() - 1;
        let (_server, transport, url) = secure(&[protocol], steps).await;
        for _ in 0..answers {
            exchange(&transport, &url).await.unwrap();
        }
        let message = exchange(&transport, &url).await.unwrap_err().error.message;
        assert_eq!(message.contains("set http2: false"), is_suspected, "{message}");
    }
}

#[tokio::test]
async fn heads_are_read_up_to_the_same_limits() {
    // Adds a header to the dynamic table, and then repeats it by its index there.
    let repeated = |name: &[u8], value: &[u8], count: usize| {
        // The length of a value of 127 bytes or more takes two bytes.
        let literal = [&[0x40, name.len() as u8], name, &[127, (value.len() - 127) as u8], value].concat();
        [&[STATUS_200], literal.as_slice(), &vec![0xbe; count - 1]].concat()
    };
    let too_large = Err((Kind::ResponseTooLarge, FaultKind::Permanent));
    for (block, expected) in [
        (repeated(b"x", &[b'y'; 127], 100), Ok(200)),
        (repeated(b"x", &[b'y'; 127], 101), too_large),
        (repeated(b"xy", &[b'z'; 254], 64), Ok(200)),
        (repeated(b"xy", &[b'z'; 254], 65), too_large),
    ] {
        let (_server, transport, url) = over_http2(vec![Step::Answer(head(1, &block))]).await;
        let result = exchange(&transport, &url).await;
        let outcome = result.map(|answer| answer.status).map_err(|fault| (fault.error.kind, fault.kind));
        assert_eq!(outcome, expected);
    }
}

#[tokio::test]
async fn a_connection_that_had_answered_well_and_is_lost_is_stale() {
    for (status, is_stale) in [(STATUS_200, true), (STATUS_500, false)] {
        let steps = vec![Step::Answer(head(1, &[status])), Step::Close(vec![])];
        let (_server, transport, url) = over_http2(steps).await;
        exchange(&transport, &url).await.unwrap();
        let Fault { kind, .. } = exchange(&transport, &url).await.unwrap_err();
        assert_eq!(matches!(kind, FaultKind::Stale(_)), is_stale, "{kind:?}");
    }
}
