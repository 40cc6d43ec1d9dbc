//! Handshakes of a transport: which servers it trusts, how it explains one that it refuses or that refuses it, and the
//! certificate that it shows.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, date_time_ymd,
};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use super::certificates::{Certified, Clients, self_signed};
use super::rig::{answer, exchange, impatient, settings, transport_of};
use super::server::{Server, Step, close};
use crate::core::error::Kind;
use crate::core::http::identity::Pem;
use crate::core::http::*;

fn ok() -> Vec<Step> {
    vec![Step::Answer(answer(200, "", b""))]
}

/// How a request to a server with this configuration ends: with a status, or with a kind and a message.
async fn outcome(
    config: ServerConfig,
    steps: Vec<Step>,
    change: impl FnOnce(TransportSettings) -> TransportSettings,
) -> Result<u16, (Kind, FaultKind, String)> {
    let server = Server::start_tls(config, steps).await;
    let origin = format!("https://127.0.0.1:{}", server.port);
    let transport = transport_of(change(settings(&origin, None)));
    let result = exchange(&transport, &origin.parse().unwrap()).await;
    assert_eq!(server.connections(), 1);
    result.map(|answer| answer.status).map_err(told)
}

fn told(fault: Fault) -> (Kind, FaultKind, String) {
    (fault.error.kind, fault.kind, fault.error.message.into_owned())
}

fn anonymous(own: &Certified) -> ServerConfig {
    own.server(&TLS13, Clients::Anonymous, &["http/1.1"])
}

/// The end of the message about a server with one certificate, to a client that has another one in the option `ca`.
async fn verdict(own: &Certified, trusted: &Certified) -> Option<String> {
    let trust = trusted.trusted();
    let result = outcome(anonymous(own), ok(), |settings| TransportSettings { trust, ..settings }).await;
    let (kind, fault, message) = result.err()?;
    assert_eq!((kind, fault), (Kind::Tls, FaultKind::Permanent), "{message}");
    assert!(message.starts_with("No secure connection to https://127.0.0.1:"), "{message}");
    Some(message)
}

#[tokio::test]
async fn a_server_is_trusted_by_its_own_certificate_if_that_is_in_order() {
    let authority = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    type Change = fn(&mut CertificateParams);
    let changes: [(Change, Option<&str>); 5] = [
        (|_| {}, None),
        (|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth], None),
        (
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            Some("not for servers"),
        ),
        (|params| params.not_after = date_time_ymd(2001, 1, 1), Some("has expired")),
        (|params| params.subject_alt_names.clear(), Some("not valid for this host")),
    ];
    for (change, words) in changes {
        for is_authority in [false, true] {
            let own = self_signed(|params| {
                change(params);
                if is_authority {
                    authority(params);
                }
            });
            match (verdict(&own, &own).await, words) {
                (None, None) => {}
                (Some(message), Some(words)) => assert!(message.contains(words), "{message}"),
                (found, words) => panic!("{found:?} for {words:?}"),
            }
        }
    }
    for change in [|_: &mut CertificateParams| {}, authority] {
        let message = verdict(&self_signed(change), &self_signed(change)).await.unwrap();
        assert!(message.contains("certificate"), "{message}");
    }
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken() {
    let own = self_signed(|_| {});
    for version in [&TLS12, &TLS13] {
        let config = own.server(version, Clients::Anonymous, &[]);
        let trust = own.trusted();
        let result = outcome(config, ok(), |settings| TransportSettings { trust, ..settings }).await;
        assert_eq!(result, Ok(200));
    }
}

#[tokio::test]
async fn a_server_of_http_2_alone_is_told_where_http_2_is_not_offered() {
    let own = self_signed(|_| {});
    let config = own.server(&TLS13, Clients::Anonymous, &["h2"]);
    let result = outcome(config, ok(), |settings| TransportSettings {
        trust: own.trusted(),
        http2: false,
        ..settings
    });
    let (kind, _, message) = result.await.unwrap_err();
    assert_eq!(kind, Kind::Tls);
    assert!(message.contains("with http2: false (XKIT_HTTP2=0), HTTP/2 is not"), "{message}");
}

#[tokio::test]
async fn a_server_gets_the_client_certificate_that_it_demands_or_the_user_is_told() {
    let [own, ours, of_the_same_name] = [(); 3].map(|()| self_signed(|_| {}));
    let other = self_signed(|params| params.distinguished_name = DistinguishedName::new());
    let (refused, lost) = ((Kind::Tls, FaultKind::Permanent), (Kind::Connect, FaultKind::Transient));
    for (clients, steps, shown, expected) in [
        (Clients::Demanded(&ours), ok(), Some(&ours), Ok(200)),
        (Clients::Asked(&ours), ok(), None, Ok(200)),
        (
            Clients::Demanded(&ours),
            ok(),
            None,
            Err((refused, "the server demands a client certificate: give it")),
        ),
        (
            Clients::Demanded(&ours),
            ok(),
            Some(&other),
            Err((refused, "does not accept the client certificate")),
        ),
        (
            Clients::Demanded(&ours),
            ok(),
            Some(&of_the_same_name),
            Err((refused, "does not accept the client certificate")),
        ),
        (
            Clients::Asked(&ours),
            vec![Step::Close(vec![])],
            None,
            Err((
                lost,
                "was there (the server asked for a client certificate, and there is none in the options",
            )),
        ),
        (
            Clients::Asked(&ours),
            vec![Step::Close(vec![])],
            Some(&ours),
            Err((
                lost,
                "was there (the server asked for a client certificate, and may not accept the one of",
            )),
        ),
        (Clients::Anonymous, vec![Step::Close(vec![])], Some(&ours), Err((lost, "was there: call again"))),
    ] {
        let identity = Arc::new(shown.map_or_else(Pem::default, Certified::as_client).read().unwrap());
        let trust = own.trusted();
        // Over TLS 1.2 a server judges the certificate before the handshake ends.
        let config = own.server(&TLS12, clients, &["http/1.1"]);
        let result =
            outcome(config, steps, |settings| TransportSettings { trust, identity, ..settings }).await;
        match (result, expected) {
            (Ok(status), expected) => assert_eq!(Ok(status), expected),
            (Err((kind, fault, message)), Err((expected, words))) => {
                assert_eq!((kind, fault), expected, "{message}");
                assert!(message.contains(words), "{message}");
            }
            (Err(error), Ok(_)) => panic!("{error:?}"),
        }
    }
}

/// More bytes than the client's part of a handshake, and fewer than a request with a path of twice as many.
const MORE_THAN_A_HANDSHAKE: usize = 2000;

/// A server of TLS 1.3 that judges the client's certificate only when it has the request too, since hyper drops an alert that
/// comes before it has sent the request.
async fn judge_late(mut stream: TcpStream, config: ServerConfig) {
    let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
    let mut received = Vec::new();
    while !tls.wants_write() {
        received.clear();
        stream.read_buf(&mut received).await.unwrap();
        tls.read_tls(&mut received.as_slice()).unwrap();
        tls.process_new_packets().unwrap();
    }
    stream.write_all(&written(&mut tls)).await.unwrap();
    received.clear();
    while received.len() < MORE_THAN_A_HANDSHAKE {
        assert!(stream.read_buf(&mut received).await.unwrap() > 0);
    }
    let mut unread = received.as_slice();
    while tls.read_tls(&mut unread).is_ok_and(|read| read > 0) && tls.process_new_packets().is_ok() {}
    stream.write_all(&written(&mut tls)).await.unwrap();
    close(stream).await;
}

fn written(tls: &mut ServerConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes).unwrap();
    }
    bytes
}

#[tokio::test]
async fn a_demand_for_a_client_certificate_is_understood_after_the_handshake_too() {
    let [own, ours] = [(); 2].map(|()| self_signed(|_| {}));
    for protocol in ["http/1.1", "h2"] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let origin = format!("https://{}", listener.local_addr().unwrap());
        let config = own.server(&TLS13, Clients::Demanded(&ours), &[protocol]);
        Handle::current().spawn(async move { judge_late(listener.accept().await.unwrap().0, config).await });
        let transport = transport_of(TransportSettings { trust: own.trusted(), ..settings(&origin, None) });
        let url = format!("{origin}/{}", "x".repeat(2 * MORE_THAN_A_HANDSHAKE)).parse().unwrap();
        let (kind, fault, message) = told(exchange(&transport, &url).await.unwrap_err());
        assert_eq!((kind, fault), (Kind::Tls, FaultKind::Permanent), "{message}");
        assert!(
            message.ends_with("the server demands a client certificate: give it in the options cert and key")
        );
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_is_left_after_its_limit() {
    let server = Server::start(vec![Step::Silence]).await;
    let origin = format!("https://127.0.0.1:{}", server.port);
    let fault = exchange(&impatient(&origin, None), &origin.parse().unwrap()).await.unwrap_err();
    assert_eq!(fault.error.cause, None);
    let (kind, fault, message) = told(fault);
    assert_eq!((kind, fault), (Kind::Timeout, FaultKind::Transient));
    assert!(message.contains("within 50 ms: check the network, or raise connectTimeoutMs"), "{message}");
}
