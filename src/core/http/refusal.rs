//! Owns the reason why a proxy refused a tunnel. reqwest reports the refusal without the status and the challenge, so
//! we send one CONNECT of our own and read them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::proxy::Proxy;
use crate::core::connector::connect;
use crate::core::resolver::Resolver;

/// Longest head that is read of a proxy's answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// As many headers as hyper takes.
const MAX_HEADERS: usize = 100;
/// How long an answer counts for all refused tunnels, so that a burst of calls does not double the CONNECTs.
const ANSWER_LIFE: Duration = Duration::from_secs(1);
/// Kinds of authentication that a proxy may ask for and that are not supported, by their registered names.
const UNSUPPORTED: [&str; 5] = ["NTLM", "Negotiate", "Kerberos", "Digest", "Bearer"];
const BASIC: &str = "Basic";

/// Asks the proxy why it refused a tunnel.
pub struct Inquiry {
    proxy: Proxy,
    /// For a proxy behind TLS.
    tls: Arc<ClientConfig>,
    /// The platform's host and port.
    target: String,
    /// As reqwest names this client, since some proxies go by it.
    agent: &'static str,
    last: Mutex<Option<(Instant, Option<Refusal>)>>,
}

impl Inquiry {
    pub fn new(proxy: Proxy, mut tls: ClientConfig, target: String, agent: &'static str) -> Self {
        tls.alpn_protocols.clear();
        Self { proxy, tls: Arc::new(tls), target, agent, last: Mutex::default() }
    }

    /// Why the proxy refuses a tunnel; `None` if it opened this one, or did not answer. Has no time limit of its own.
    pub async fn ask(&self) -> Option<Refusal> {
        let mut last = self.last.lock().await;
        if let Some((at, refusal)) = &*last
            && at.elapsed() < ANSWER_LIFE
        {
            return refusal.clone();
        }
        let refusal = self.connect().await.ok().flatten();
        *last = Some((Instant::now(), refusal.clone()));
        refusal
    }

    async fn connect(&self) -> io::Result<Option<Refusal>> {
        let url = &self.proxy.url;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or_default();
        let addresses = Resolver::system().addresses(host).await.map_err(io::Error::other)?;
        let stream = connect(&addresses, port).await?;
        if !self.proxy.is_tls() {
            return self.converse(stream).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        self.converse(TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?).await
    }

    async fn converse(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<Option<Refusal>> {
        let Self { target, agent, .. } = self;
        let question = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {agent}\r\n");
        let mut question = question.into_bytes();
        let authorization = self.proxy.authorization();
        if let Some(authorization) = &authorization {
            question.extend_from_slice(b"Proxy-Authorization: ");
            question.extend_from_slice(authorization.as_bytes());
            question.extend_from_slice(b"\r\n");
        }
        question.extend_from_slice(b"\r\n");
        stream.write_all(&question).await?;
        stream.flush().await?;
        let head = read_head(&mut stream).await?;
        Ok(Refusal::read(&head, authorization.is_some()))
    }
}

/// Reads until the head is complete or cannot be one.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let parsed = httparse::Response::new(&mut headers).parse(&head);
        if head.len() >= MAX_HEAD_BYTES || !matches!(parsed, Ok(httparse::Status::Partial)) {
            return Ok(head);
        }
    }
}

/// Why a proxy did not open a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The answer is not HTTP.
    Garbage,
    /// 407, and no user name or password was given.
    CredentialsWanted,
    /// 407 to the user name and password that were given.
    CredentialsRefused,
    /// 407 with these challenges only. Messages do not repeat unknown names.
    Unsupported(Vec<&'static str>),
    /// Any other status but 200.
    Status(u16),
}

impl Refusal {
    /// Reads the head of an answer; `None` for 200.
    fn read(head: &[u8], had_credentials: bool) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(_)) = response.parse(head) else { return Some(Self::Garbage) };
        match response.code {
            Some(200) => None,
            Some(407) => {
                let challenges = response
                    .headers
                    .iter()
                    .filter(|header| header.name.eq_ignore_ascii_case("proxy-authenticate"))
                    .filter_map(|header| str::from_utf8(header.value).ok());
                Some(Self::of_challenges(challenges, had_credentials))
            }
            Some(status) => Some(Self::Status(status)),
            None => Some(Self::Garbage),
        }
    }

    fn of_challenges<'a>(challenges: impl Iterator<Item = &'a str>, had_credentials: bool) -> Self {
        // A challenge begins with its scheme. A parameter behind a comma is none of these words.
        let words: Vec<_> = challenges
            .flat_map(|challenge| challenge.split(','))
            .filter_map(|part| part.split_ascii_whitespace().next())
            .collect();
        let has = |scheme: &str| words.iter().any(|word| word.eq_ignore_ascii_case(scheme));
        let unsupported: Vec<_> = UNSUPPORTED.into_iter().filter(|scheme| has(scheme)).collect();
        if !has(BASIC) && !unsupported.is_empty() {
            Self::Unsupported(unsupported)
        } else if had_credentials {
            Self::CredentialsRefused
        } else {
            Self::CredentialsWanted
        }
    }

    /// Whether the proxy may open the next tunnel.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Status(408 | 425 | 429 | 500 | 502..=504))
    }

    /// Says what happened and what to do.
    pub fn explain(&self, origin: &str) -> String {
        match self {
            Self::Garbage => {
                "The proxy answered with what is not proper HTTP: check the host and the port of its URL".to_owned()
            }
            Self::CredentialsWanted => {
                "The proxy asks for a user name and a password (407): give them in the proxy's URL".to_owned()
            }
            Self::CredentialsRefused => {
                "The proxy refused the user name and the password of its URL (407): check both, and that they are percent-encoded"
                    .to_owned()
            }
            Self::Unsupported(schemes) => format!(
                "The proxy asks for {} (407), which is not supported: have it take Basic, or exempt the host in NO_PROXY",
                schemes.join(" or ")
            ),
            // RFC 9110 lets any 2xx open a tunnel; hyper-util takes 200 alone (`legacy::connect::proxy::Tunnel`).
            Self::Status(status @ 201..=299) => format!(
                "The proxy answered with {status}, and only 200 opens a tunnel here: have it answer with 200"
            ),
            Self::Status(403) => format!(
                "The proxy forbids a tunnel to {origin} (403): have its rules allow that host, or exempt it in NO_PROXY"
            ),
            Self::Status(status) if self.is_transient() => {
                format!("The proxy did not open a tunnel to {origin} ({status}): call again later, or ask who runs the proxy")
            }
            Self::Status(status) => {
                format!("The proxy did not open a tunnel to {origin} ({status}): check the proxy's URL and its rules")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: &str, headers: &[&str], had_credentials: bool) -> Option<Refusal> {
        let lines: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        Refusal::read(format!("HTTP/1.1 {status}\r\n{lines}\r\n").as_bytes(), had_credentials)
    }

    #[test]
    fn a_200_opens_a_tunnel_and_nothing_else_does() {
        assert_eq!(read("200 OK", &[], false), None);
        for status in [100, 201, 204, 302, 403, 502, 600] {
            assert_eq!(read(&format!("{status} No"), &[], false), Some(Refusal::Status(status)));
        }
        for garbage in ["SSH-2.0-Server\r\n\r\n", "", "HTTP/1.1 200 OK\r\n"] {
            assert_eq!(Refusal::read(garbage.as_bytes(), false), Some(Refusal::Garbage));
        }
    }

    #[test]
    fn challenges_are_read_in_every_form_that_they_come_in() {
        for (headers, expected) in [
            (vec![], None),
            (vec!["Proxy-Authenticate: Basic realm=\"a, NTLM\""], None),
            (vec!["Proxy-Authenticate: NTLM", "proxy-authenticate: basic realm=x"], None),
            (vec!["Proxy-Authenticate: Negotiate, NTLM, Basic realm=\"x\""], None),
            (vec!["Proxy-Authenticate: Made-Up realm=\"x\""], None),
            (vec!["Proxy-Authenticate: ntlm"], Some(vec!["NTLM"])),
            (vec!["Proxy-Authenticate: NTLM TlRMTVNTUAA="], Some(vec!["NTLM"])),
            (
                vec!["Proxy-Authenticate: Negotiate", "Proxy-Authenticate: NTLM"],
                Some(vec!["NTLM", "Negotiate"]),
            ),
            (vec!["Proxy-Authenticate: Digest realm=\"x\", nonce=\"y\""], Some(vec!["Digest"])),
        ] {
            let [without, with] = [false, true].map(|had| read("407 No", &headers, had).unwrap());
            match expected {
                Some(schemes) => {
                    assert_eq!([without, with], [(); 2].map(|()| Refusal::Unsupported(schemes.clone())))
                }
                None => {
                    assert_eq!([without, with], [Refusal::CredentialsWanted, Refusal::CredentialsRefused])
                }
            }
        }
    }

    #[test]
    fn a_transient_status_is_told_apart_and_every_status_is_named() {
        for (status, is_transient) in
            [(201, false), (403, false), (404, false), (302, false), (429, true), (502, true), (503, true)]
        {
            let refusal = Refusal::Status(status);
            assert_eq!(refusal.is_transient(), is_transient, "{status}");
            assert!(refusal.explain("https://platform.test").contains(&status.to_string()));
        }
        assert!(!Refusal::CredentialsRefused.is_transient());
    }
}
