//! The URL of an owner's connection, from the base URL and a path template.
//!
//! An id becomes exactly one path segment that decodes to exactly that id, or the call is refused: nothing is trimmed,
//! normalised or guessed. Knows nothing of requests.

use url::{Host, Url};

use crate::core::error::Error;
use crate::core::resolver::is_localhost;
use crate::core::tokens::key::{OwnerKind, Segment};

/// The places of a template.
const ID: &str = "{id}";
const SLUG: &str = "{slug}";

/// The base URL unless an option or the environment names another one. The platform documents it.
pub const DEFAULT_BASE_URL: &str = "https://app.xkit.co/api/platform";
/// The platform documents it.
pub const DEFAULT_USER_PATH: &str = "/connections/{id}/{slug}";
/// The platform documents none; this is the likeliest by the other two.
pub const DEFAULT_GROUP_PATH: &str = "/groups/{id}/connections/{slug}";
/// Found in the platform's newer pages.
pub const DEFAULT_CONTEXT_PATH: &str = "/contexts/{id}/connections/{slug}";

/// Nearly all paths fit, so that their text need not grow.
const USUAL_PATH_BYTES: usize = 128;

/// A path that begins with the base URL's own, with one segment for the id and one for the slug.
#[derive(Clone, Debug)]
struct Template(String);

impl Template {
    /// `prefix` is the base URL's own path, without a slash at its end.
    fn parse(prefix: &str, text: &str, name: &'static str) -> Result<Self, Error> {
        let refuse = |problem: &str| Err(Error::option(name, problem));
        if !text.starts_with('/') {
            return refuse("must begin with \"/\"");
        }
        for place in [ID, SLUG] {
            if text.split('/').filter(|segment| *segment == place).count() != 1 {
                return refuse("must hold {id} and {slug} once each, as whole segments");
            }
        }
        let is_literal = |segment: &str| {
            segment != "."
                && segment != ".."
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        };
        if !text.split('/').all(|segment| [ID, SLUG].contains(&segment) || is_literal(segment)) {
            return refuse("may hold letters, digits and - . _ ~ besides {id} and {slug}");
        }
        Ok(Self(format!("{prefix}{text}")))
    }

    fn path(&self, id: Segment<'_>, slug: Segment<'_>) -> String {
        let mut path = String::with_capacity(USUAL_PATH_BYTES);
        for (index, segment) in self.0.split('/').enumerate() {
            if index > 0 {
                path.push('/');
            }
            match segment {
                ID => id.push_encoded(&mut path),
                SLUG => slug.push_encoded(&mut path),
                literal => path.push_str(literal),
            }
        }
        path
    }
}

/// Path templates below the base URL, each `None` for its default.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    pub user: Option<String>,
    pub group: Option<String>,
    pub context: Option<String>,
}

/// The platform's address and its paths.
#[derive(Clone, Debug)]
pub struct Endpoint {
    base: Url,
    user: Template,
    group: Template,
    context: Template,
}

impl Endpoint {
    /// Checks the base URL and the templates once, so that a call only fills them in. Plain HTTP is for loopback
    /// hosts, unless `allow_http`.
    pub fn new(base_url: Option<&str>, allow_http: bool, paths: &Paths) -> Result<Self, Error> {
        let base = parse_base(base_url.unwrap_or(DEFAULT_BASE_URL), allow_http)?;
        let prefix = base.path().trim_end_matches('/').to_owned();
        let template = |path: &Option<String>, default: &str, name: &'static str| {
            Template::parse(&prefix, path.as_deref().unwrap_or(default), name)
        };
        Ok(Self {
            user: template(&paths.user, DEFAULT_USER_PATH, "paths.user")?,
            group: template(&paths.group, DEFAULT_GROUP_PATH, "paths.group")?,
            context: template(&paths.context, DEFAULT_CONTEXT_PATH, "paths.context")?,
            base,
        })
    }

    /// The URL of one connection. Fails if parsing changed the path, since that would be another connection's.
    pub fn connection_url(&self, kind: OwnerKind, id: Segment<'_>, slug: Segment<'_>) -> Result<Url, Error> {
        let path = self.template(kind).path(id, slug);
        let mut url = self.base.clone();
        url.set_path(&path);
        if url.path() == path { Ok(url) } else { Err(Error::internal()) }
    }

    /// The path of such a connection, with `{id}` and `{slug}` in their places: safe to print.
    pub fn path_template(&self, kind: OwnerKind) -> &str {
        &self.template(kind).0
    }

    /// That URL as text, which tells a connection apart from all others of any platform.
    pub fn connection_text(&self, kind: OwnerKind, id: Segment<'_>, slug: Segment<'_>) -> String {
        self.origin() + &self.template(kind).path(id, slug)
    }

    fn template(&self, kind: OwnerKind) -> &Template {
        match kind {
            OwnerKind::User => &self.user,
            OwnerKind::Group => &self.group,
            OwnerKind::Context => &self.context,
        }
    }

    /// Scheme, host and port: safe to print.
    pub fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    pub fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// The host and the port of the platform.
    pub fn authority(&self) -> (Option<Host<&str>>, Option<u16>) {
        (self.base.host(), self.base.port_or_known_default())
    }
}

fn parse_base(text: &str, allow_http: bool) -> Result<Url, Error> {
    let url = parse_root(text, "baseUrl")?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "http" && !loopback && !allow_http {
        return Err(Error::option(
            "baseUrl",
            "must be an https: URL (http: is for a loopback host, or with the option allowHttp), since the keys go there",
        ));
    }
    Ok(url)
}

/// A URL to append to: http(s), a host, and nothing after the path.
pub fn parse_root(text: &str, name: &'static str) -> Result<Url, Error> {
    let refuse = |problem: &str| Err(Error::option(name, problem));
    let Ok(url) = Url::parse(text) else {
        return refuse("must be an absolute URL such as https://example.com");
    };
    if !matches!(url.scheme(), "https" | "http") {
        return refuse("must be an https: URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("must not hold a user name or a password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("must not hold a query or a fragment");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;
    use crate::core::error::Kind;

    fn endpoint(base_url: &str) -> Endpoint {
        Endpoint::new(Some(base_url), false, &Paths::default()).unwrap()
    }

    fn url(kind: OwnerKind, id: &str, slug: &str) -> String {
        let (id, slug) = (Segment::new(id, "owner id").unwrap(), Segment::new(slug, "slug").unwrap());
        endpoint("https://p.test/api").connection_url(kind, id, slug).unwrap().to_string()
    }

    #[test]
    fn every_kind_of_owner_has_its_path() {
        assert_eq!(url(OwnerKind::User, "u1", "slack"), "https://p.test/api/connections/u1/slack");
        assert_eq!(url(OwnerKind::Group, "g1", "slack"), "https://p.test/api/groups/g1/connections/slack");
        assert_eq!(
            url(OwnerKind::Context, "c1", "slack"),
            "https://p.test/api/contexts/c1/connections/slack"
        );
    }

    #[test]
    fn an_endpoint_tells_where_it_is_and_its_paths_without_an_id() {
        let (id, slug) = (Segment::new("u", "id").unwrap(), Segment::new("s", "slug").unwrap());
        let local = endpoint("http://localhost:4010/api/");
        assert_eq!(local.path_template(OwnerKind::Group), "/api/groups/{id}/connections/{slug}");
        assert_eq!(
            local.connection_text(OwnerKind::User, id, slug),
            "http://localhost:4010/api/connections/u/s"
        );
        assert_eq!(local.origin(), "http://localhost:4010");
        let remote = endpoint("https://p.test");
        assert!(remote.is_https() && !local.is_https());
        assert_eq!(remote.authority(), (Some(Host::Domain("p.test")), Some(443)));
    }

    #[test]
    fn reserved_characters_stay_inside_their_segment() {
        for (id, encoded) in [
            ("a/b", "a%2Fb"),
            ("a\\b", "a%5Cb"),
            ("?q#f", "%3Fq%23f"),
            ("%2e%2e", "%252e%252e"),
            ("a b+c", "a%20b%2Bc"),
            ("user@host:1;x", "user%40host%3A1%3Bx"),
            ("é", "%C3%A9"),
            ("e\u{301}", "e%CC%81"),
            ("...", "..."),
            ("~._-", "~._-"),
        ] {
            assert_eq!(url(OwnerKind::User, id, "s"), format!("https://p.test/api/connections/{encoded}/s"));
        }
    }

    #[test]
    fn base_urls_keep_their_prefix_and_lose_slashes_at_the_end() {
        let (id, slug) = (Segment::new("u", "id").unwrap(), Segment::new("s", "slug").unwrap());
        for (base, expected) in [
            ("https://p.test", "https://p.test/connections/u/s"),
            ("https://p.test/", "https://p.test/connections/u/s"),
            ("https://p.test/a/b//", "https://p.test/a/b/connections/u/s"),
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x/connections/u/s"),
            ("http://[::1]:1", "http://[::1]:1/connections/u/s"),
            ("http://localhost", "http://localhost/connections/u/s"),
            ("http://app.localhost:4010", "http://app.localhost:4010/connections/u/s"),
        ] {
            assert_eq!(
                endpoint(base).connection_url(OwnerKind::User, id, slug).unwrap().to_string(),
                expected
            );
        }
    }

    #[test]
    fn base_urls_that_would_leak_or_mislead_are_refused() {
        for base in [
            "",
            "p.test",
            "/api",
            "ftp://p.test",
            "http://p.test",
            "http://127.0.0.1.p.test",
            "http://localhost.p.test",
            "https://user@p.test",
            "https://:hunter2@p.test",
            "https://p.test?x",
            "https://p.test/#x",
            "file:///etc",
        ] {
            let error = Endpoint::new(Some(base), false, &Paths::default()).unwrap_err();
            assert_eq!(error.kind, Kind::InvalidArgument, "{base}");
            assert!(!error.message.contains("p.test") && !error.message.contains("hunter2"));
        }
    }

    #[test]
    fn templates_can_be_overridden_and_bad_ones_are_refused() {
        let with = |user: &str| {
            Endpoint::new(
                Some("https://p.test"),
                false,
                &Paths { user: Some(user.to_owned()), ..Paths::default() },
            )
        };
        let (id, slug) = (Segment::new("u", "id").unwrap(), Segment::new("s", "slug").unwrap());
        let built =
            with("/v2/{slug}/of/{id}/now").unwrap().connection_url(OwnerKind::User, id, slug).unwrap();
        assert_eq!(built.to_string(), "https://p.test/v2/s/of/u/now");
        for template in [
            "{id}/{slug}",
            "/{id}",
            "/{slug}/{id}/{id}",
            "/x{id}/{slug}",
            "/../{id}/{slug}",
            "/{id}/{slug}?a=b",
            "/a b/{id}/{slug}",
        ] {
            assert_eq!(with(template).unwrap_err().kind, Kind::InvalidArgument, "{template}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_id_changes_the_shape_of_the_path(id in any::<String>(), slug in "\\PC{1,40}|[./%\\\\?#:@;&=+ a]{1,12}") {
            let endpoint = endpoint("https://p.test/api");
            if let (Ok(id), Ok(slug)) = (Segment::new(&id, "owner id"), Segment::new(&slug, "slug")) {
                let built = endpoint.connection_url(OwnerKind::User, id, slug).unwrap();
                // As a server reads it that normalises what it gets.
                let url = Url::parse(built.as_str()).unwrap();
                prop_assert_eq!(&url, &built);
                prop_assert_eq!(url.host_str(), Some("p.test"));
                prop_assert_eq!(url.query(), None);
                prop_assert_eq!(url.fragment(), None);
                let segments: Vec<_> = url.path_segments().unwrap().collect();
                prop_assert_eq!(segments.len(), 4);
                prop_assert_eq!(&segments[..2], &["api", "connections"]);
                prop_assert_eq!(percent_decode_str(segments[2]).decode_utf8().unwrap(), id.text());
                prop_assert_eq!(percent_decode_str(segments[3]).decode_utf8().unwrap(), slug.text());
            }
        }
    }
}
