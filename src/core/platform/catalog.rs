//! The page where an owner sets up or repairs a connector.

use url::Url;

use crate::core::error::Error;
use crate::core::platform::endpoint::parse_root;
use crate::core::tokens::key::Segment;

/// Where a template takes the slug.
const PLACE: &str = "{slug}";

/// The links of a catalog: the text before the slug and the text after it.
#[derive(Clone, Debug)]
pub struct Catalog {
    before: String,
    after: String,
}

impl Catalog {
    /// Checks the catalog's URL: the root of a catalog whose pages are at `/connectors/<slug>`, as the platform
    /// documents, or a template with `{slug}` in its path, query or fragment, for a catalog that is self-hosted in
    /// another layout. Any http(s) host is allowed, since it is a link for a person and no key goes there.
    pub fn new(catalog_url: &str) -> Result<Self, Error> {
        if catalog_url.contains(['{', '}']) {
            return Self::template(catalog_url).ok_or_else(|| {
                Error::option(
                    "catalogUrl",
                    "must be the root of a catalog, or a template that holds {slug} once, in its path, query or fragment, \
                     such as https://example.com/integrations/{slug}",
                )
            });
        }
        let url = parse_root(catalog_url, "catalogUrl")?;
        Ok(Self {
            before: format!("{}/connectors/", url.as_str().trim_end_matches('/')),
            after: String::new(),
        })
    }

    fn template(text: &str) -> Option<Self> {
        let (before, after) = text.split_once(PLACE).filter(|parts| {
            let (before, after) = *parts;
            !before.contains(['{', '}']) && !after.contains(['{', '}'])
        })?;
        // Parsing changes the rest of the template in the same way for every slug, so we parse it once, with a
        // stand-in that the template does not contain.
        let stand_in = (0_u32..).map(|number| format!("slug{number}")).find(|name| !text.contains(name))?;
        let url = Url::parse(&format!("{before}{stand_in}{after}")).ok()?;
        let is_link =
            matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.password().is_none();
        if !is_link || url.host_str().is_none_or(|host| host.contains(&stand_in)) {
            return None;
        }
        let (before, after) = url.as_str().split_once(&stand_in)?;
        Some(Self { before: before.to_owned(), after: after.to_owned() })
    }

    /// The page where an owner sets up or repairs the connector.
    pub fn connector_url(&self, slug: Segment<'_>) -> String {
        let mut url = self.before.clone();
        slug.push_encoded(&mut url);
        url.push_str(&self.after);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(catalog_url: &str, slug: &str) -> String {
        Catalog::new(catalog_url).unwrap().connector_url(Segment::new(slug, "slug").unwrap())
    }

    #[test]
    fn a_root_links_to_its_connectors() {
        for root in ["https://acme.xkit.co", "https://acme.xkit.co/"] {
            assert_eq!(link(root, "google/drive"), "https://acme.xkit.co/connectors/google%2Fdrive");
        }
    }

    #[test]
    fn a_template_takes_the_slug_encoded_wherever_its_place_is() {
        for (template, expected) in [
            ("https://acme.com/{slug}", "https://acme.com/a%20b%2F%26%23c"),
            (
                "https://acme.com/integrations/{slug}/set-up",
                "https://acme.com/integrations/a%20b%2F%26%23c/set-up",
            ),
            ("https://acme.com/settings?tab={slug}&x=1", "https://acme.com/settings?tab=a%20b%2F%26%23c&x=1"),
            (
                "https://acme.com/settings#/connectors/{slug}",
                "https://acme.com/settings#/connectors/a%20b%2F%26%23c",
            ),
            ("http://localhost:3000/slug0/{slug}", "http://localhost:3000/slug0/a%20b%2F%26%23c"),
        ] {
            assert_eq!(link(template, "a b/&#c"), expected);
        }
    }

    #[test]
    fn what_leads_to_no_page_of_one_host_is_refused_without_being_repeated() {
        for text in [
            "javascript:alert(1)",
            "{slug}",
            "https://{slug}",
            "https://{slug}.secret.example/",
            "https://secret.example{slug}",
            "https://secret.example:{slug}/",
            "https://{slug}@secret.example/",
            "https://me:{slug}@secret.example/",
            "https://secret.example/{slug}/{slug}",
            "https://secret.example/{slug}/../x",
            "https://secret.example/{connector}",
            "https://secret.example/{slug",
            "https://secret.example/settings#/connectors",
            "javascript:alert({slug})",
        ] {
            let error = Catalog::new(text).unwrap_err();
            assert_eq!(error.option, Some("catalogUrl"));
            assert!(!error.message.contains("secret"), "{text}: {error:?}");
        }
    }
}
