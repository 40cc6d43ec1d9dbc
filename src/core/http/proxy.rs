//! Owns which proxy, if any, a client uses. It is chosen once, since a client has one target.

use std::net::IpAddr;

use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use reqwest::header::HeaderValue;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::core::error::Error;
use crate::core::secret::{Secret, basic_authorization};

/// The option's name.
pub const OPTION: &str = "proxy";

/// The proxy that the options or the environment name.
#[derive(Clone, Debug)]
pub struct ProxySetting {
    /// The proxy's URL, perhaps with a password.
    pub url: Secret,
    /// Hosts that are reached without the proxy, as in `NO_PROXY`; empty for the option.
    pub no_proxy: String,
}

/// An HTTP proxy, through which requests are tunnelled.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Without user name and password.
    url: Url,
    /// The `Proxy-Authorization` header; `None` without user name and password.
    pub authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The proxy to use for the host, or `None` where the setting exempts it.
    pub fn select(
        setting: &ProxySetting,
        host: Option<Host<&str>>,
        port: Option<u16>,
    ) -> Result<Option<Self>, Error> {
        if host.is_some_and(|host| is_exempt(&setting.no_proxy, &host, port)) {
            return Ok(None);
        }
        Self::parse(setting.url.expose()).map(Some)
    }

    /// Whether the proxy itself is spoken to over TLS.
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The proxy as reqwest takes it, for the requests that `kind` says.
    pub fn for_requests(&self, kind: fn(Url) -> reqwest::Result<reqwest::Proxy>) -> Option<reqwest::Proxy> {
        let proxy = kind(self.url.clone()).ok()?;
        Some(match self.authorization.clone() {
            Some(authorization) => proxy.custom_http_auth(authorization),
            None => proxy,
        })
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |problem: &str| {
            Err(Error::option(OPTION, format!("{problem}: use a URL such as http://proxy.example.com:3128")))
        };
        // Many environments have `host:port` alone.
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        if !is_encoded(&text) {
            return Err(Error::option(
                OPTION,
                "holds a user name or a password that is not percent-encoded: write @ as %40, / as %2F, # as %23, ? as %3F and % as %25 in them",
            ));
        }
        let Ok(mut url) = Url::parse(&text) else {
            return refuse("is not a URL");
        };
        if !matches!(url.scheme(), "http" | "https") {
            return refuse("is of a kind that is not supported");
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return refuse("holds more than a host and a port");
        }
        let decode =
            |text: &str| percent_decode_str(text).decode_utf8().map(|text| Zeroizing::new(text.into_owned()));
        let authorization = match (decode(url.username()), decode(url.password().unwrap_or_default())) {
            (Ok(name), Ok(password)) if name.is_empty() && password.is_empty() => None,
            (Ok(name), Ok(password)) => basic_authorization(&name, &password),
            _ => return refuse("holds a user name or password that is not UTF-8"),
        };
        if url.set_username("").is_err() || url.set_password(None).is_err() {
            return refuse("is not a URL");
        }
        Ok(Self { url, authorization })
    }
}

/// Whether nothing in the user name and password of a URL could be taken for another part of it, or for an encoded
/// character. A colon may stand in a password as it is (RFC 3986, section 3.2.1).
fn is_encoded(url: &str) -> bool {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let Some((access, _)) = behind_scheme.rsplit_once('@') else { return true };
    let mut parts = access.split('%');
    let is_plain = |part: &str| !part.contains(['@', '/', '?', '#', '\\', '[', ']', ' ']);
    let is_escape = |part: &str| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    parts.next().is_none_or(is_plain) && parts.all(|part| is_escape(part) && is_plain(part))
}

/// Whether an entry of a `NO_PROXY` list names the host: `*`, a host with all below it, `.suffix`, `*.suffix`, an
/// address, a CIDR range; each perhaps with a port, brackets, a dot at the end, any case; split by commas or spaces.
fn is_exempt(no_proxy: &str, host: &Host<&str>, port: Option<u16>) -> bool {
    let name = host.to_string();
    let name = name.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = name.parse().ok();
    no_proxy
        .split([',', ' ', '\t'])
        .filter(|entry| !entry.is_empty())
        .any(|entry| entry == "*" || names(&entry.to_ascii_lowercase(), &name, address, port))
}

fn names(entry: &str, name: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
    let (entry, entry_port) = split_port(entry);
    if entry_port.is_some() && entry_port != port {
        return false;
    }
    if let Some(address) = address {
        return match entry.parse::<IpNet>() {
            Ok(net) => net.contains(&address),
            Err(_) => entry.parse() == Ok(address),
        };
    }
    let suffix = entry.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
    !suffix.is_empty() && name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Splits `host:port` and `[v6]:port`; a bare IPv6 address has colons of its own.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    let parts = entry.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let (host, port) = match parts.map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host, Some(port)),
        _ => (entry, None),
    };
    (host.trim_matches(['[', ']']), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exempt(no_proxy: &str, url: &str) -> bool {
        let url = Url::parse(url).unwrap();
        is_exempt(no_proxy, &url.host().unwrap(), url.port_or_known_default())
    }

    #[test]
    fn no_proxy_is_understood_in_every_form_that_curl_takes() {
        for (entry, url, expected) in [
            ("*", "https://app.xkit.co", true),
            ("app.xkit.co", "https://app.xkit.co", true),
            ("xkit.co", "https://app.xkit.co", true),
            (".xkit.co", "https://app.xkit.co", true),
            (".xkit.co", "https://xkit.co", true),
            ("*.xkit.co", "https://app.xkit.co", true),
            ("kit.co", "https://xkit.co", false),
            ("xkit.com", "https://xkit.co", false),
            ("APP.Xkit.CO", "https://app.xkit.co", true),
            ("app.xkit.co.", "https://app.xkit.co", true),
            ("app.xkit.co", "https://app.xkit.co.", true),
            ("app.xkit.co:443", "https://app.xkit.co", true),
            ("app.xkit.co:8443", "https://app.xkit.co", false),
            ("app.xkit.co:8443", "https://app.xkit.co:8443", true),
            ("example.com, app.xkit.co", "https://app.xkit.co", true),
            ("example.com app.xkit.co", "https://app.xkit.co", true),
            (" ,, ", "https://app.xkit.co", false),
            (".", "https://app.xkit.co", false),
            ("127.0.0.1", "https://127.0.0.1", true),
            ("127.0.0.1:1", "https://127.0.0.1:2", false),
            ("127.0.0.0/8", "https://127.1.2.3", true),
            ("10.0.0.0/8", "https://127.0.0.1", false),
            ("0.0.1", "https://127.0.0.1", false),
            ("::1", "https://[::1]", true),
            ("[::1]", "https://[::1]", true),
            ("[::1]:443", "https://[::1]", true),
            ("[::1]:444", "https://[::1]", false),
            ("fd00::/8", "https://[fd00::5]", true),
        ] {
            assert_eq!(exempt(entry, url), expected, "{entry} {url}");
        }
    }

    #[test]
    fn a_proxy_is_used_unless_the_host_is_exempt() {
        let setting =
            |url: &str| ProxySetting { url: Secret::new(url.to_owned()), no_proxy: "app.test".to_owned() };
        let select = |host| {
            let setting = setting("https://proxy.test");
            Proxy::select(&setting, Some(Host::Domain(host)), Some(443)).unwrap()
        };
        assert!(select("app.test").is_none());
        assert!(select("other.test").unwrap().is_tls());
        assert!(!Proxy::select(&setting("proxy.test"), None, None).unwrap().unwrap().is_tls());
    }

    #[test]
    fn credentials_leave_the_url_and_stay_hidden() {
        let proxy = Proxy::parse("http://me:hunter%232@proxy.test:3128").unwrap();
        assert_eq!(proxy.url.as_str(), "http://proxy.test:3128/");
        assert_eq!(proxy.authorization, basic_authorization("me", "hunter#2"));
        assert!(!format!("{proxy:?}").contains("hunter"));
        assert_eq!(Proxy::parse("proxy.test:3128").unwrap().url.as_str(), "http://proxy.test:3128/");
        for (url, expected) in [
            ("http://proxy.test", None),
            ("http://me@proxy.test", basic_authorization("me", "")),
            ("http://:hunter2@proxy.test", basic_authorization("", "hunter2")),
        ] {
            assert_eq!(Proxy::parse(url).unwrap().authorization, expected, "{url}");
        }
    }

    #[test]
    fn credentials_that_are_not_encoded_are_told_without_being_shown() {
        let authorization = |text: &str| Proxy::parse(text).map(|proxy| proxy.authorization);
        for raw in [
            "hun@ter",
            "hun/ter",
            "hun#ter",
            "hun?ter",
            "hun\\ter",
            "hun%ter",
            "hunter%",
            "hunter%4",
            "100% hunter",
        ] {
            let error = authorization(&format!("http://me:{raw}@p.test:3128")).unwrap_err();
            assert!(error.message.starts_with("holds a user name or a password that"), "{error:?}");
            assert!(!error.message.contains("ter@") && !error.message.contains("hun"));
            assert!(authorization(&format!("{raw}:secret@p.test:3128")).is_err());
        }
        assert_eq!(authorization("http://me:a:b@p.test").unwrap(), basic_authorization("me", "a:b"));
        assert_eq!(
            authorization("http://me:p%C3%A4%25@p.test").unwrap(),
            basic_authorization("me", "p\u{e4}%")
        );
        assert_eq!(
            authorization("http://me:p\u{e4}$&@p.test").unwrap(),
            basic_authorization("me", "p\u{e4}$&")
        );
    }

    #[test]
    fn what_is_no_http_proxy_is_refused_without_repeating_it() {
        for text in
            ["socks5://p.test", "http://", "http://p.test/path", "http://p.test?x", "ftp://hunter2@p.test"]
        {
            let error = Proxy::parse(text).unwrap_err();
            assert!(error.option == Some("proxy") && !error.message.contains("p.test"));
        }
    }
}
