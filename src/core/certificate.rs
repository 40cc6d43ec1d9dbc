//! What is wrong with a server's certificate, in words: from the verdict of webpki, and a look at the certificates where the
//! verdict leaves open what it was.
//!
//! Trusts nothing and decides nothing.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, OtherError, RootCertStore};
use webpki::EndEntityCert;

/// What ring takes.
const LEAST_RSA_BITS: usize = 2048;

/// Algorithms by their object identifiers: those that are met, and cannot be verified.
const NAMES: &[(&str, &str)] = &[
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10040.4.3", "DSA with SHA-1"),
    ("1.2.840.10045.2.1", "ECDSA"),
    ("1.2.840.10045.4.1", "ECDSA with SHA-1"),
    ("1.2.840.10045.4.3.1", "ECDSA with SHA-224"),
    ("1.2.840.10045.4.3.2", "ECDSA with SHA-256"),
    ("1.2.840.10045.4.3.3", "ECDSA with SHA-384"),
    ("1.2.840.10045.4.3.4", "ECDSA with SHA-512"),
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.4", "RSA with MD5"),
    ("1.2.840.113549.1.1.5", "RSA with SHA-1"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
    ("1.2.840.113549.1.1.14", "RSA with SHA-224"),
    ("1.3.14.3.2.29", "RSA with SHA-1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.132.0.33", "P-224"),
    ("2.16.840.1.101.3.4.3.1", "DSA with SHA-224"),
    ("2.16.840.1.101.3.4.3.2", "DSA with SHA-256"),
];
const ELLIPTIC: &str = "1.2.840.10045.2.1";
const RSA: &str = "1.2.840.113549.1.1.1";

/// What webpki does not tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// The server's own certificate is all that it sent, and comes from another one.
    Alone,
    /// The certificate may sign others.
    Authority,
    /// An RSA key has so few bits.
    ShortKey(usize),
}

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl std::error::Error for Flaw {}

/// The same error, or what a look at the certificates adds to it. The server's own one comes first.
pub fn look<'a>(
    error: rustls::Error,
    presented: impl IntoIterator<Item = &'a CertificateDer<'a>>,
    roots: &RootCertStore,
) -> rustls::Error {
    let rustls::Error::InvalidCertificate(problem) = &error else { return error };
    let certificates: Vec<_> =
        presented.into_iter().map_while(|der| EndEntityCert::try_from(der).ok()).collect();
    let Some(own) = certificates.first() else { return error };
    let is_self_signed = own.issuer() == own.subject();
    let flaw = match problem {
        CertificateError::UnknownIssuer if !is_self_signed && certificates.len() == 1 => Some(Flaw::Alone),
        CertificateError::BadSignature => {
            let anchors = roots.roots.iter().filter(|root| {
                certificates.iter().any(|certificate| certificate.issuer() == root.subject.as_ref())
            });
            let keys = certificates.iter().filter_map(|certificate| {
                rsa_bits(element(&certificate.subject_public_key_info(), SEQUENCE)?.0)
            });
            let bits = keys.chain(anchors.filter_map(|root| rsa_bits(&root.subject_public_key_info))).min();
            bits.filter(|bits| *bits < LEAST_RSA_BITS).map(Flaw::ShortKey)
        }
        _ if is_authority_as_server(&error) && !is_self_signed => Some(Flaw::Authority),
        _ => None,
    };
    match flaw {
        Some(flaw) => CertificateError::Other(OtherError(Arc::new(flaw))).into(),
        None => error,
    }
}

/// Whether the verdict is that the server's own certificate is marked as an authority.
pub fn is_authority_as_server(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Whether nobody who is trusted vouches for the certificate.
pub fn is_of_unknown_issuer(error: &CertificateError) -> bool {
    match error {
        CertificateError::UnknownIssuer => true,
        CertificateError::Other(other) => matches!(other.0.downcast_ref(), Some(Flaw::Alone)),
        _ => false,
    }
}

/// What is wrong with the certificate, and what to do about it.
pub fn explain(error: &CertificateError) -> Cow<'static, str> {
    use CertificateError as Certificate;
    Cow::Borrowed(match error {
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            "the server's certificate has expired: renew it, or check this machine's clock"
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: check this machine's clock"
        }
        Certificate::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "the server's certificate is not valid for this host, since it has no subject alternative name: a common name (CN) does not count, have it issued anew"
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "the server's certificate is not valid for this host: check baseUrl, or who answers in its place"
        }
        Certificate::UnknownIssuer => {
            "the server's certificate comes from an unknown issuer (self-signed, or a private CA): give that CA in the option ca or in NODE_EXTRA_CA_CERTS"
        }
        Certificate::Revoked => "the server's certificate was revoked",
        Certificate::BadEncoding => "the server's certificate cannot be read",
        Certificate::BadSignature => {
            "a signature of the server's certificate, of one above it or of the handshake is wrong: check who answers in the server's place"
        }
        Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
            "the server's certificate is not for servers (extendedKeyUsage; it may be for clients only): have it issued for serverAuth"
        }
        Certificate::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. } => {
            return unsupported(&algorithm(signature_algorithm_id));
        }
        Certificate::UnsupportedSignatureAlgorithmForPublicKeyContext { public_key_algorithm_id, .. } => {
            return unsupported(&format!("a key of {}", algorithm(public_key_algorithm_id)));
        }
        Certificate::Other(OtherError(other)) => return explain_other(other.as_ref()),
        _ => UNUSABLE,
    })
}

const UNUSABLE: &str = "the server's certificate cannot be used";

fn explain_other(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Cow<'static, str> {
    use webpki::Error as Verdict;
    if let Some(flaw) = error.downcast_ref() {
        return match flaw {
            Flaw::Alone => "the server's certificate comes from an unknown issuer, and is the only one that the server sent: have it send the intermediate certificates too, or, for a private CA, give that CA in the option ca or in NODE_EXTRA_CA_CERTS".into(),
            Flaw::Authority => "the server's certificate is marked as an authority (CA:TRUE in basicConstraints): have it issued as one of a server".into(),
            Flaw::ShortKey(bits) => format!("an RSA key of the server's certificate, or of one above it, has {bits} bits only: have it issued anew with {LEAST_RSA_BITS} bits or more").into(),
        };
    }
    Cow::Borrowed(match error.downcast_ref() {
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
    })
}

fn unsupported(by: &str) -> Cow<'static, str> {
    format!("the server's certificate, or one above it, is signed by {by}, which cannot be verified: have it issued anew, by RSA or ECDSA with SHA-256 or better").into()
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// The algorithm's name, or the curve's: of an `AlgorithmIdentifier`, without its tag and length.
fn algorithm(identifier: &[u8]) -> Cow<'static, str> {
    let (id, parameters) = object_identifier(identifier).unwrap_or_default();
    let curve = object_identifier(parameters).filter(|_| id == ELLIPTIC);
    let id = curve.map_or(id, |(curve, _)| curve);
    match NAMES.iter().find(|(known, _)| *known == id) {
        Some((_, name)) => Cow::Borrowed(name),
        None if id.is_empty() => "an unknown algorithm".into(),
        None => format!("the algorithm {id}").into(),
    }
}

/// In dots, and what follows it.
fn object_identifier(der: &[u8]) -> Option<(String, &[u8])> {
    let (bytes, rest) = element(der, OBJECT_IDENTIFIER)?;
    let mut arcs = Vec::new();
    let mut arc = 0_u32;
    for byte in bytes {
        arc = arc.checked_mul(128)? | u32::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(arc);
            arc = 0;
        }
    }
    let (first, others) = arcs.split_first()?;
    let root = (first / 40).min(2);
    let dotted = others.iter().fold(format!("{root}.{}", first - 40 * root), |id, arc| format!("{id}.{arc}"));
    Some((dotted, rest))
}

/// The bits of an RSA key: of a `SubjectPublicKeyInfo`, without its tag and length.
fn rsa_bits(key: &[u8]) -> Option<usize> {
    let (identifier, rest) = element(key, SEQUENCE)?;
    if object_identifier(identifier)?.0 != RSA {
        return None;
    }
    let (key, _) = element(element(rest, BIT_STRING)?.0.split_first()?.1, SEQUENCE)?;
    let (modulus, _) = element(key, INTEGER)?;
    let start = modulus.iter().position(|byte| *byte != 0)?;
    Some((modulus.len() - start) * 8 - modulus[start].leading_zeros() as usize)
}

/// The content of what DER begins with, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk()?;
    if found != tag {
        return None;
    }
    let (long, rest) = rest.split_at_checked(usize::from(length.saturating_sub(0x80)))?;
    let length = match long.len() {
        0 => usize::from(length),
        1 | 2 => long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_go_by_their_names() {
        let of = |identifier: &[u8]| algorithm(identifier).into_owned();
        assert_eq!(of(&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0]), "RSA with SHA-1");
        let curve = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 10];
        assert_eq!(of(&curve), "secp256k1");
        assert_eq!(of(&[6, 3, 0x2b, 0x65, 0x74]), "the algorithm 1.3.101.116");
        assert_eq!(of(&[6, 2, 0x88, 0x37]), "the algorithm 2.999");
    }

    #[test]
    fn what_is_no_der_is_nothing() {
        for bytes in [
            &[][..],
            &[6],
            &[6, 1],
            &[6, 0],
            &[6, 0x80],
            &[6, 0x84, 1, 1, 1, 1],
            &[6, 5, 255, 255, 255, 255, 255],
        ] {
            assert_eq!(algorithm(bytes), "an unknown algorithm");
            assert_eq!(rsa_bits(bytes), None);
        }
    }

    #[test]
    fn every_explanation_says_which() {
        assert!(explain(&CertificateError::Expired).contains("expired"));
        assert!(explain(&CertificateError::NotValidForName).contains("not valid for this host"));
        assert!(explain(&CertificateError::UnknownIssuer).contains("unknown issuer"));
    }
}
