//! Owns the messages about a server's certificate: one for each verdict of webpki, and for two flaws that webpki does
//! not tell apart.
//!
//! Trusts nothing and decides nothing.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, OtherError};
use webpki::EndEntityCert;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::db::rfc5280::ID_KP_SERVER_AUTH;
use x509_cert::ext::pkix::ExtendedKeyUsage;

/// Flaws that webpki does not tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// The server sent its own certificate alone, which another one issued.
    NoIntermediates,
    /// The certificate is marked as an authority, and is not self-signed.
    Authority,
}

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl std::error::Error for Flaw {}

/// Returns the error, or a more precise one where the certificates show which flaw it is. `presented` begins with the
/// server's own certificate.
pub fn refine_error<'a>(
    error: rustls::Error,
    presented: impl IntoIterator<Item = &'a CertificateDer<'a>>,
) -> rustls::Error {
    let mut presented = presented.into_iter();
    let own = presented.next().and_then(|own| EndEntityCert::try_from(own).ok());
    // A self-signed certificate has a message of its own.
    if own.is_none_or(|own| own.issuer() == own.subject()) {
        return error;
    }
    let is_unknown = matches!(error, rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
    let flaw = if is_unknown && presented.next().is_none() {
        Flaw::NoIntermediates
    } else if is_authority_as_server(&error) {
        Flaw::Authority
    } else {
        return error;
    };
    CertificateError::Other(OtherError(Arc::new(flaw))).into()
}

/// Whether the verdict is that the server's own certificate is marked as an authority.
pub fn is_authority_as_server(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Whether the certificate may be a server's: it names that purpose, or none. webpki says so only of certificates that are
/// not marked as an authority.
pub fn is_for_servers(certificate: &CertificateDer<'_>) -> bool {
    let Ok(certificate) = Certificate::from_der(certificate) else { return false };
    match certificate.tbs_certificate().get_extension::<ExtendedKeyUsage>() {
        Ok(None) => true,
        Ok(Some((_, purposes))) => purposes.0.contains(&ID_KP_SERVER_AUTH),
        Err(_) => false,
    }
}

/// Whether no trusted authority issued the certificate.
pub fn is_of_unknown_issuer(error: &CertificateError) -> bool {
    match error {
        CertificateError::UnknownIssuer => true,
        CertificateError::Other(other) => matches!(other.0.downcast_ref(), Some(Flaw::NoIntermediates)),
        _ => false,
    }
}

/// Says what is wrong with the certificate, and what to do about it.
pub fn explain(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired: renew it, or check this machine's clock"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: check this machine's clock"
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "the server's certificate is not valid for this host, since it has no subject alternative name: a common name (CN) does not count, have it issued anew"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is not valid for this host: check baseUrl, or who answers in its place"
        }
        CertificateError::UnknownIssuer => {
            "the server's certificate comes from an unknown issuer (self-signed, or a private CA): give that CA in the option ca or in NODE_EXTRA_CA_CERTS"
        }
        CertificateError::Revoked => "the server's certificate was revoked",
        CertificateError::BadEncoding => "the server's certificate cannot be read",
        CertificateError::BadSignature => {
            "a signature of the server's certificate, of one above it or of the handshake is wrong, or made by an RSA key of less than 2048 bits: check who answers in the server's place, and the sizes of the keys"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not for servers (extendedKeyUsage; it may be for clients only): have it issued for serverAuth"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
            "the server's certificate, or one above it, is signed by an algorithm that is not supported (such as SHA-1, DSA or Ed448): have it issued anew, by RSA or ECDSA with SHA-256 or better"
        }
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the server's certificate, or one above it, is signed by a kind of key that is not supported (such as ECDSA on another curve than P-256, P-384 and P-521): have it issued anew, by RSA or ECDSA with SHA-256 or better"
        }
        CertificateError::Other(OtherError(other)) => explain_other(other.as_ref()),
        _ => UNUSABLE,
    }
}

const UNUSABLE: &str = "the server's certificate cannot be used";

fn explain_other(error: &(dyn std::error::Error + Send + Sync + 'static)) -> &'static str {
    use webpki::Error as Verdict;
    match error.downcast_ref() {
        Some(Flaw::NoIntermediates) => {
            return "the server's certificate comes from an unknown issuer, and is the only one that the server sent: have it send the intermediate certificates too, or, for a private CA, give that CA in the option ca or in NODE_EXTRA_CA_CERTS";
        }
        Some(Flaw::Authority) => {
            return "the server's certificate is marked as an authority (CA:TRUE in basicConstraints): have it issued as one of a server";
        }
        None => {}
    }
    match error.downcast_ref() {
        Some(Verdict::CaUsedAsEndEntity) => {
            "the server's certificate is self-signed and of an unknown issuer: give it in the option ca or in NODE_EXTRA_CA_CERTS"
        }
        Some(Verdict::UnsupportedCertVersion) => {
            "the server's certificate is not of X.509 version 3: have it issued anew (OpenSSL makes one of version 1 where it is given no extensions)"
        }
        Some(Verdict::UnsupportedCriticalExtension) => {
            "the server's certificate has a critical extension that this client does not know: have it issued without"
        }
        Some(Verdict::EndEntityUsedAsCa) => {
            "a certificate above the server's is not marked as an authority (CA:TRUE in basicConstraints)"
        }
        Some(Verdict::PathLenConstraintViolated) => {
            "an authority of the server's certificate has more authorities below it than it may have (pathlen in basicConstraints)"
        }
        Some(Verdict::NameConstraintViolation) => {
            "an authority of the server's certificate may not vouch for its names (nameConstraints)"
        }
        _ => UNUSABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_explanation_says_which() {
        assert!(explain(&CertificateError::Expired).contains("expired"));
        assert!(explain(&CertificateError::NotValidForName).contains("not valid for this host"));
        assert!(explain(&CertificateError::UnknownIssuer).contains("unknown issuer"));
    }
}
