//! Owns which certificates are trusted, and the messages about a failed handshake.
//!
//! rustls with ring, and with more signatures than ring verifies; TLS 1.2 and 1.3; the Mozilla roots compiled in, so that
//! no system store is needed.

use std::iter;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::identity::Identity;
use super::pem::plain_pem;
use super::signatures::ALGORITHMS;
use crate::core::certificate;
use crate::core::error::Error;

/// Certificates to trust, as PEM.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// The option `ca`: every one must be a certificate.
    pub ca: Vec<String>,
    /// The certificates that Node trusts as well. Node ignores certificates that it cannot read, so we do too.
    pub node: Vec<String>,
    /// Whether `node` is the whole set that Node trusts, in place of the roots compiled in.
    pub node_is_complete: bool,
}

/// Roots that have been read.
#[derive(Clone, Debug)]
pub struct Trust {
    store: RootCertStore,
    pinned: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Reads every certificate once, so that an unreadable one is an error at construction.
    pub fn new(roots: &Roots) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        if !roots.node_is_complete {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let mut pinned = Vec::new();
        for pem in &roots.node {
            let certificates: Vec<_> =
                CertificateDer::pem_slice_iter(plain_pem(pem).as_bytes()).filter_map(Result::ok).collect();
            store.add_parsable_certificates(certificates.iter().cloned());
            pinned.extend(certificates);
        }
        for pem in &roots.ca {
            let before = pinned.len();
            for certificate in CertificateDer::pem_slice_iter(plain_pem(pem).as_bytes()) {
                let certificate = certificate.map_err(|_| Self::refuse())?;
                store.add(certificate.clone()).map_err(|_| Self::refuse())?;
                pinned.push(certificate);
            }
            if pinned.len() == before {
                return Err(Self::refuse());
            }
        }
        Ok(Self { store, pinned })
    }

    fn refuse() -> Error {
        Error::option("ca", "must hold PEM certificates (-----BEGIN CERTIFICATE----- …) and nothing else")
    }

    /// The TLS configuration of a client that trusts these roots and has this certificate.
    pub fn client_config(&self, identity: Arc<Identity>) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(CryptoProvider {
            signature_verification_algorithms: *ALGORITHMS,
            ..rustls::crypto::ring::default_provider()
        });
        let roots = Arc::new(self.store.clone());
        let chain = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let verifier = PinnedOrChain { chain, pinned: self.pinned.clone() };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(identity);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The chain of trust, and one case more: a server whose own certificate is one of those that the user trusts, as a self-signed
/// one may be. Node accepts that; webpki refuses it on purpose if the certificate is marked as an authority
/// (<https://github.com/rustls/webpki/issues/205>).
#[derive(Debug)]
struct PinnedOrChain {
    chain: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for PinnedOrChain {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let error =
            match self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                Ok(verified) => return Ok(verified),
                Err(error) => error,
            };
        // webpki judges the validity period before the role, so this error alone means: in time, but an authority.
        if certificate::is_authority_as_server(&error)
            && self.pinned.iter().any(|pinned| pinned == end_entity)
        {
            if !certificate::is_for_servers(end_entity) {
                return Err(CertificateError::InvalidPurpose.into());
            }
            let own = ParsedCertificate::try_from(end_entity)?;
            rustls::client::verify_server_name(&own, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        Err(certificate::refine_error(error, iter::once(end_entity).chain(intermediates)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Why a handshake failed, and what to do about it.
pub fn explain(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(problem) => certificate::explain(problem),
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS on this port: check baseUrl",
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the server offers no TLS version in common: TLS 1.2 or newer is needed"
        }
        rustls::Error::PeerIncompatible(_) => {
            "the server offers no TLS version or cipher in common: TLS 1.2 or newer is needed, with ECDHE and AES-GCM or ChaCha20-Poly1305 (RSA key exchange, DHE and CBC are not supported)"
        }
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            "the server broke the handshake off: it may offer no TLS version, cipher or kind of key in common (TLS 1.2 or newer is needed, with ECDHE and AES-GCM or ChaCha20-Poly1305; RSA key exchange, DHE and CBC are not supported)"
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the server does not speak the version of HTTP that is offered: with http2: false (XKIT_HTTP2=0), HTTP/2 is not"
        }
        rustls::Error::AlertReceived(_) => "the server broke the handshake off",
        _ => "the TLS handshake failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::http::tests::certificates::self_signed;

    #[test]
    fn the_roots_compiled_in_need_nothing_else() {
        let trust = Trust::new(&Roots::default()).unwrap();
        assert!(trust.store.len() > 100);
        assert!(trust.client_config(Arc::default()).is_ok());
    }

    #[test]
    fn garbage_is_refused_in_ca_and_ignored_in_what_node_trusts() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for pem in ["", "not a certificate", broken] {
            let refused = Trust::new(&Roots { ca: vec![pem.to_owned()], ..Roots::default() });
            assert_eq!(refused.unwrap_err().option, Some("ca"));
            assert!(Trust::new(&Roots { node: vec![pem.to_owned()], ..Roots::default() }).is_ok());
        }
    }

    #[test]
    fn certificates_are_read_in_the_forms_that_node_reads() {
        let pem = self_signed(|_| {}).pem();
        let known = Trust::new(&Roots::default()).unwrap().store.len();
        for form in [
            pem.clone(),
            format!("\u{feff}{pem}"),
            format!("\u{ef}\u{bb}\u{bf}{pem}"),
            pem.replace(" CERTIFICATE-", " X509 CERTIFICATE-"),
            format!("The authority of the company\n{pem}"),
        ] {
            for roots in [
                Roots { ca: vec![form.clone()], ..Roots::default() },
                Roots { node: vec![form.clone()], ..Roots::default() },
            ] {
                assert_eq!(Trust::new(&roots).unwrap().store.len(), known + 1, "{form}");
            }
            let whole = Roots { node: vec![form], node_is_complete: true, ..Roots::default() };
            assert_eq!(Trust::new(&whole).unwrap().store.len(), 1);
        }
    }

    #[test]
    fn every_signature_that_can_be_verified_is_offered() {
        let config = Trust::new(&Roots::default()).unwrap().client_config(Arc::default()).unwrap();
        let offered = &config.crypto_provider().signature_verification_algorithms;
        assert!(offered.supported_schemes().contains(&SignatureScheme::ECDSA_NISTP521_SHA512));
    }

    #[test]
    fn every_failure_of_a_handshake_is_explained() {
        use rustls::{InvalidMessage, PeerIncompatible};
        let alert = rustls::Error::AlertReceived;
        for (error, words) in [
            (CertificateError::Expired.into(), "has expired"),
            (InvalidMessage::InvalidContentType.into(), "does not speak TLS on this port"),
            (alert(AlertDescription::ProtocolVersion), "no TLS version in common: TLS 1.2 or newer"),
            (PeerIncompatible::NoCipherSuitesInCommon.into(), "no TLS version or cipher in common"),
            (alert(AlertDescription::HandshakeFailure), "it may offer no TLS version, cipher or kind of key"),
            (
                alert(AlertDescription::NoApplicationProtocol),
                "with http2: false (XKIT_HTTP2=0), HTTP/2 is not",
            ),
            (alert(AlertDescription::InternalError), "the server broke the handshake off"),
            (rustls::Error::DecryptError, "the TLS handshake failed"),
        ] {
            assert!(explain(&error).contains(words), "{error:?}");
        }
    }
}
