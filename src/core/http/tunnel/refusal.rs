//! Owns what a proxy's answer to CONNECT means where it is not yes, in words.

use crate::core::http::is_passing;

/// As many headers as hyper takes.
const MAX_HEADERS: usize = 100;
/// Ways of authentication that a proxy may ask for and that are not supported, by their registered names.
const UNSUPPORTED: [&str; 5] = ["NTLM", "Negotiate", "Kerberos", "Digest", "Bearer"];
const BASIC: &str = "Basic";

/// A proxy did not open the tunnel.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The answer is not HTTP.
    Garbage,
    /// 407, and no user name or password was given.
    CredentialsWanted,
    /// 407 to those that were given.
    CredentialsRefused,
    /// 407 with none but these challenges. Names that are not known are not repeated.
    Unsupported(Vec<&'static str>),
    /// Any other status.
    Status(u16),
}

impl Refusal {
    /// What the head of an answer refuses; `None` for any 2xx.
    pub fn read(head: &[u8], had_credentials: bool) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(_)) = response.parse(head) else { return Some(Self::Garbage) };
        match response.code {
            Some(200..=299) => None,
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
        // A challenge begins with its scheme. What else stands behind a comma, a parameter, is none of these words.
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

    /// Whether the next attempt may fare better.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Status(status) if is_passing(*status))
    }

    /// What happened and what to do.
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
            Self::Status(403) => format!(
                "The proxy forbids a tunnel to {origin} (403): have its rules allow that host, or exempt it in NO_PROXY"
            ),
            Self::Status(status) if self.is_passing() => {
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
    fn any_2xx_is_yes_and_nothing_else_is() {
        for status in ["200 OK", "201 Created", "204 No Content", "299"] {
            assert_eq!(read(status, &[], false), None);
        }
        for status in [100, 302, 403, 502, 600] {
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
    fn what_may_pass_is_tried_again_and_every_status_is_told() {
        for (status, passes) in
            [(403, false), (404, false), (302, false), (429, true), (502, true), (503, true)]
        {
            let refusal = Refusal::Status(status);
            assert_eq!(refusal.is_passing(), passes, "{status}");
            assert!(refusal.explain("https://platform.test").contains(&format!("({status})")));
        }
        assert!(!Refusal::CredentialsRefused.is_passing());
    }
}
