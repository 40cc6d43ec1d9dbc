//! The page where an owner sets a connector up or repairs it.

use crate::core::error::Error;
use crate::core::platform::endpoint::parse_root;
use crate::core::tokens::key::Segment;

/// The root of the hosted or self-hosted catalog. Source of `/connectors/<slug>`: given.
#[derive(Clone, Debug)]
pub struct Catalog {
    prefix: String,
}

impl Catalog {
    /// Checks the catalog's URL. Any http(s) host will do: it is a link for a person, no key goes there.
    pub fn new(catalog_url: &str) -> Result<Self, Error> {
        let url = parse_root(catalog_url, "catalogUrl")?;
        Ok(Self { prefix: format!("{}/connectors/", url.as_str().trim_end_matches('/')) })
    }

    /// The page where an owner sets up or repairs the connector.
    pub fn connector_url(&self, slug: &Segment) -> String {
        let mut url = self.prefix.clone();
        slug.push_encoded(&mut url);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_links_to_one_connector() {
        let slug = Segment::new("google/drive", "slug").unwrap();
        for root in ["https://acme.xkit.co", "https://acme.xkit.co/"] {
            let url = Catalog::new(root).unwrap().connector_url(&slug);
            assert_eq!(url, "https://acme.xkit.co/connectors/google%2Fdrive");
        }
        assert!(Catalog::new("javascript:alert(1)").is_err());
    }
}
