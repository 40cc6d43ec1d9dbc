//! Certificates and their keys. They are made anew for each test, so that none of them expires.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::core::http::identity::Pem;
use crate::core::http::tls::{Roots, Trust};
use crate::core::secret::Secret;

/// A certificate and its key.
pub struct Certified {
    pub certificate: CertificateDer<'static>,
    key: KeyPair,
}

/// A self-signed certificate for 127.0.0.1 that is in time, unless the test makes it another one.
pub fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Certified {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    Certified { certificate: params.self_signed(&key).unwrap().der().clone(), key }
}

impl Certified {
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", self.key.serialized_der())
    }

    /// The options of a client that has this certificate.
    pub fn as_client(&self) -> Pem {
        Pem { cert: Some(Secret::new(self.pem())), key: Some(Secret::new(self.key_pem())) }
    }

    /// What a client trusts that has this certificate in the option `ca`.
    pub fn trusted(&self) -> Trust {
        Trust::new(&Roots { ca: vec![self.pem()], ..Roots::default() }).unwrap()
    }

    /// A server with this certificate.
    pub fn server(
        &self,
        version: &'static SupportedProtocolVersion,
        clients: Clients<'_>,
        protocols: &[&str],
    ) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap();
        let builder = match clients.verifier(provider) {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let mut config = builder.with_single_cert(vec![self.certificate.clone()], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }
}

/// Which certificates a server wants of its clients.
#[derive(Clone, Copy)]
pub enum Clients<'a> {
    Anonymous,
    /// Asks for this one, and does without.
    Asked(&'a Certified),
    /// Demands this one.
    Demanded(&'a Certified),
}

impl Clients<'_> {
    fn verifier(
        self,
        provider: Arc<CryptoProvider>,
    ) -> Option<Arc<dyn rustls::server::danger::ClientCertVerifier>> {
        let (Self::Asked(wanted) | Self::Demanded(wanted)) = self else { return None };
        let mut roots = RootCertStore::empty();
        roots.add(wanted.certificate.clone()).unwrap();
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = if matches!(self, Self::Asked(_)) { builder.allow_unauthenticated() } else { builder };
        Some(builder.build().unwrap())
    }
}

pub fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}
