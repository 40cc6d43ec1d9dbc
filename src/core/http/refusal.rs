//! Owns the reason why a proxy refused a tunnel. reqwest reports the refusal without the status and the challenge, so
//! we send one CONNECT of our own and read them.

use std::time::Duration;

use reqwest::header::{HeaderMap, PROXY_AUTHENTICATE};
use reqwest::{Method, Request, Url};
use rustls::ClientConfig;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::causes;
use super::proxy::Proxy;
use super::resolver::DnsResolver;

/// How long an answer counts for all refused tunnels, so that a burst of calls does not double the CONNECTs.
const ANSWER_LIFE: Duration = Duration::from_secs(1);
/// Kinds of authentication that a proxy may ask for and that are not supported, by their registered names.
const UNSUPPORTED: [&str; 5] = ["NTLM", "Negotiate", "Kerberos", "Digest", "Bearer"];
const BASIC: &str = "Basic";

/// Asks the proxy why it refused a tunnel.
pub struct Inquiry {
    /// It has no key of the platform.
    client: reqwest::Client,
    /// The platform's host and port, as an `http:` URL: with an `https:` one, reqwest would open a tunnel.
    target: Url,
    had_credentials: bool,
    last: Mutex<Option<(Instant, Option<Refusal>)>>,
}

impl Inquiry {
    /// `agent` is what reqwest calls this client, since some proxies go by it.
    pub fn new(
        proxy: &Proxy,
        mut tls: ClientConfig,
        names: DnsResolver,
        target: Url,
        agent: &'static str,
    ) -> Option<Self> {
        tls.alpn_protocols.clear();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(agent)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .proxy(proxy.for_requests(reqwest::Proxy::http)?)
            .dns_resolver(names)
            .http1_only()
            .pool_max_idle_per_host(0)
            .build()
            .ok()?;
        let had_credentials = proxy.authorization.is_some();
        Some(Self { client, target, had_credentials, last: Mutex::default() })
    }

    /// Why the proxy refuses a tunnel; `None` if it opened this one, or did not answer. Has no time limit of its own.
    pub async fn ask(&self) -> Option<Refusal> {
        let mut last = self.last.lock().await;
        if let Some((at, refusal)) = &*last
            && at.elapsed() < ANSWER_LIFE
        {
            return refusal.clone();
        }
        let refusal = match self.client.execute(Request::new(Method::CONNECT, self.target.clone())).await {
            Ok(answer) => Refusal::read(answer.status().as_u16(), answer.headers(), self.had_credentials),
            Err(error) => causes::is_malformed(&error).then_some(Refusal::Garbage),
        };
        *last = Some((Instant::now(), refusal.clone()));
        refusal
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
    fn read(status: u16, headers: &HeaderMap, had_credentials: bool) -> Option<Self> {
        match status {
            200 => None,
            407 => {
                let challenges = headers.get_all(PROXY_AUTHENTICATE).iter();
                let challenges = challenges.filter_map(|challenge| challenge.to_str().ok());
                Some(Self::of_challenges(challenges, had_credentials))
            }
            status => Some(Self::Status(status)),
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
    use reqwest::header::HeaderValue;

    use super::*;

    fn read(status: u16, challenges: &[&str], had_credentials: bool) -> Option<Refusal> {
        let headers = challenges
            .iter()
            .map(|challenge| (PROXY_AUTHENTICATE, HeaderValue::from_str(challenge).unwrap()));
        Refusal::read(status, &headers.collect(), had_credentials)
    }

    #[test]
    fn a_200_opens_a_tunnel_and_nothing_else_does() {
        assert_eq!(read(200, &[], false), None);
        for status in [201, 204, 302, 403, 502, 600] {
            assert_eq!(read(status, &[], false), Some(Refusal::Status(status)));
        }
    }

    #[test]
    fn challenges_are_read_in_every_form_that_they_come_in() {
        for (headers, expected) in [
            (vec![], None),
            (vec!["Basic realm=\"a, NTLM\""], None),
            (vec!["NTLM", "basic realm=x"], None),
            (vec!["Negotiate, NTLM, Basic realm=\"x\""], None),
            (vec!["Made-Up realm=\"x\""], None),
            (vec!["ntlm"], Some(vec!["NTLM"])),
            (vec!["NTLM TlRMTVNTUAA="], Some(vec!["NTLM"])),
            (vec!["Negotiate", "NTLM"], Some(vec!["NTLM", "Negotiate"])),
            (vec!["Digest realm=\"x\", nonce=\"y\""], Some(vec!["Digest"])),
        ] {
            let [without, with] = [false, true].map(|had| read(407, &headers, had).unwrap());
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
