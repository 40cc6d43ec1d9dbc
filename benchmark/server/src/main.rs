//! Answers every connection with one fixed body, as fast as it can: over HTTP/1.1, over TLS, and over HTTP/2.
//!
//! Takes a folder with `body.json`, `cert.pem` and `key.pem`, the value of the authorization header that it asks for,
//! the number of threads, and four ports: HTTP/1.1 without TLS, HTTP/1.1 over TLS, HTTP/2 over TLS, and the counter of
//! requests. It ends when its standard input does.

use std::convert::Infallible;
use std::error::Error;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Handle};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Enough for the calls that begin at once.
const BACKLOG: u32 = 4096;
const PREFIX: &str = "/api/platform/connections/";
const UNAUTHORIZED: &[u8] = br#"{"error":"unauthorized"}"#;

type Failure = Box<dyn Error + Send + Sync>;

struct Platform {
    body: Bytes,
    authorization: HeaderValue,
    requests: AtomicU64,
}

impl Platform {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let requests = self.requests.fetch_add(1, Relaxed) + 1;
        let path = request.uri().path();
        if path.starts_with(PREFIX) {
            if request.headers().get(AUTHORIZATION) == Some(&self.authorization) {
                return json(StatusCode::OK, self.body.clone());
            }
            return json(StatusCode::UNAUTHORIZED, Bytes::from_static(UNAUTHORIZED));
        }
        if path == "/requests" {
            // The line in which nginx reports connections accepted, connections handled, and requests.
            let line = format!("server accepts handled requests\n 0 0 {requests}\n");
            return Response::new(Full::new(Bytes::from(line)));
        }
        json(StatusCode::NOT_FOUND, Bytes::from_static(b"{}"))
    }
}

fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, authorization, threads, plain, tls, h2, status] = arguments.as_slice() else {
        return Err("usage: FOLDER AUTHORIZATION THREADS PLAIN TLS H2 STATUS".into());
    };
    let folder = Path::new(folder);
    let platform = Arc::new(Platform {
        body: Bytes::from(std::fs::read(folder.join("body.json"))?),
        authorization: HeaderValue::from_str(authorization)?,
        requests: AtomicU64::new(0),
    });
    end_with_standard_input();

    let runtime = Builder::new_multi_thread().worker_threads(threads.parse()?).enable_io().build()?;
    runtime.block_on(async {
        let acceptor = |protocol: &[u8]| tls_acceptor(folder, protocol);
        tokio::try_join!(
            serve(listen(plain)?, None, &platform),
            serve(listen(tls)?, Some(acceptor(b"http/1.1")?), &platform),
            serve(listen(h2)?, Some(acceptor(b"h2")?), &platform),
            serve(listen(status)?, None, &platform),
        )?;
        Ok(())
    })
}

fn end_with_standard_input() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

fn listen(port: &str) -> Result<TcpListener, Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port.parse()?)))?;
    Ok(socket.listen(BACKLOG)?)
}

/// HTTP/1.1 is always on offer; `h2` comes before it where it is asked for.
fn tls_acceptor(folder: &Path, protocol: &[u8]) -> Result<TlsAcceptor, Failure> {
    let chain = CertificateDer::pem_file_iter(folder.join("cert.pem"))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"))?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![protocol.to_vec(), b"http/1.1".to_vec()];
    config.alpn_protocols.dedup();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    platform: &Arc<Platform>,
) -> Result<(), Failure> {
    let runtime = Handle::current();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, platform) = (tls.clone(), Arc::clone(platform));
        runtime.spawn(async move {
            match tls {
                None => answer_all(stream, platform).await,
                Some(tls) => {
                    // Who does not finish the handshake gets nothing.
                    if let Ok(stream) = tls.accept(stream).await {
                        answer_all(stream, platform).await;
                    }
                }
            }
        });
    }
}

async fn answer_all(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, platform: Arc<Platform>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = platform.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    // A connection that breaks concerns the contender, which reports it.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}
