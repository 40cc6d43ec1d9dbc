//! A transport to a server of this machine.

use super::server::{Server, Step};
use crate::core::http::proxy::{Proxy, ProxySetting};
use crate::core::http::tls::{Roots, Trust};
use crate::core::http::*;
use crate::core::secret::Secret;

const LIMIT: Duration = Duration::from_secs(60);

pub fn settings(origin: &str, proxy: Option<&str>) -> TransportSettings {
    let setting = proxy.map(|url| ProxySetting { url: Secret::new(url.to_owned()), no_proxy: String::new() });
    TransportSettings {
        origin: origin.to_owned(),
        is_https: origin.starts_with("https"),
        http2: true,
        connect_timeout: LIMIT,
        max_connection_age: LIMIT,
        proxy: setting.and_then(|setting| Proxy::select(&setting, None, None).unwrap()),
        trust: Trust::new(&Roots::default()).unwrap(),
        identity: Arc::default(),
    }
}

pub fn transport(origin: &str, proxy: Option<&str>) -> Transport {
    transport_of(settings(origin, proxy))
}

/// A transport whose connections have 50 ms: for one that hangs.
pub fn impatient(origin: &str, proxy: Option<&str>) -> Transport {
    transport_of(TransportSettings { connect_timeout: Duration::from_millis(50), ..settings(origin, proxy) })
}

pub fn transport_of(settings: TransportSettings) -> Transport {
    Transport::new(settings, HeaderValue::from_static("Basic x"))
}

/// A transport to a server of this machine in clear, and its URL.
pub async fn direct(steps: Vec<Step>) -> (Server, Transport, Url) {
    let server = Server::start(steps).await;
    let origin = format!("http://127.0.0.1:{}", server.port);
    let url = format!("{origin}/c").parse().unwrap();
    (server, transport(&origin, None), url)
}

pub fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

pub async fn exchange(transport: &Transport, url: &Url) -> Result<Answer, Fault> {
    transport.exchange(url.clone(), LIMIT, PoolChoice::Current).await
}
