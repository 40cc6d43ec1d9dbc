//! A server of this machine that answers with raw bytes, in clear or over TLS, and over HTTP/2 where that is negotiated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Barrier;
use tokio_rustls::TlsAcceptor;

use super::frames::{HEADERS, PREFACE_BYTES, SETTINGS, frame};

/// A server that answers the requests of all its connections from one script, and closes a connection where the script says
/// so.
pub struct Server {
    pub port: u16,
    connections: Arc<AtomicU32>,
}

/// What a server does after it has read the head of a request.
#[derive(Clone)]
pub enum Step {
    Answer(Vec<u8>),
    /// Waits until as many requests as the barrier says are there.
    AnswerTogether(Arc<Barrier>, Vec<u8>),
    /// Writes this, and closes the connection.
    Close(Vec<u8>),
    Silence,
}

/// The steps, and how many of them are taken. The last one is repeated.
#[derive(Clone)]
struct Script {
    steps: Vec<Step>,
    next: Arc<AtomicU32>,
}

impl Server {
    pub async fn start(steps: Vec<Step>) -> Self {
        Self::listen(None, steps).await
    }

    pub async fn start_tls(config: ServerConfig, steps: Vec<Step>) -> Self {
        Self::listen(Some(TlsAcceptor::from(Arc::new(config))), steps).await
    }

    async fn listen(tls: Option<TlsAcceptor>, steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, script) = (Arc::new(AtomicU32::new(0)), Script { steps, next: Arc::default() });
        let counted = Arc::clone(&connections);
        Handle::current().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                match &tls {
                    None => Handle::current().spawn(serve(stream, false, script.clone())),
                    Some(tls) => Handle::current().spawn(serve_tls(stream, tls.clone(), script.clone())),
                };
            }
        });
        Self { port, connections }
    }

    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve_tls(stream: TcpStream, tls: TlsAcceptor, script: Script) {
    match tls.accept(stream).into_fallible().await {
        Ok(stream) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            serve(stream, is_http2, script).await;
        }
        Err((_, stream)) => close(stream).await,
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, is_http2: bool, script: Script) {
    if is_http2 {
        let mut preface = [0; PREFACE_BYTES];
        let _ = stream.read_exact(&mut preface).await;
        let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[])).await;
    }
    while (if is_http2 { read_headers(&mut stream).await } else { read_head(&mut stream).await }).is_ok() {
        let step = script.next.fetch_add(1, Ordering::Relaxed) as usize;
        match &script.steps[step.min(script.steps.len() - 1)] {
            Step::Answer(bytes) => stream.write_all(bytes).await.unwrap(),
            Step::AnswerTogether(barrier, bytes) => {
                barrier.wait().await;
                stream.write_all(bytes).await.unwrap();
            }
            Step::Close(bytes) => {
                let _ = stream.write_all(bytes).await;
                return close(stream).await;
            }
            Step::Silence => std::future::pending().await,
        }
    }
}

/// Reads the head of a request over HTTP/1.1. A handshake of TLS is answered as soon as it begins.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.first() != Some(&0x16) {
        head.push(stream.read_u8().await?);
    }
    Ok(())
}

/// Reads up to the next HEADERS frame.
async fn read_headers(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await?;
        if head[3] == HEADERS {
            return Ok(());
        }
    }
}

/// Whatever is unread would make the close a reset.
pub async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}
