//! Owns the client certificate, whose key never leaves this module, and the messages for a platform that demands
//! another one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, SignatureScheme};

use super::pem::{plain_pem, without_mark};
use crate::core::error::Error;
use crate::core::secret::Secret;

/// The alerts of a server that asked for a certificate and got none, or a wrong one. TLS 1.2 does not have the first; OpenSSL
/// sends the second instead.
pub const CERTIFICATE_ALERTS: &[AlertDescription] = &[
    AlertDescription::CertificateRequired,
    AlertDescription::HandshakeFailure,
    AlertDescription::NoCertificate,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    // Signed by another key than that of the authority of this name, as after the authority was made anew.
    AlertDescription::DecryptError,
    AlertDescription::AccessDenied,
];

/// The options `cert` and `key`, as PEM. Neither is printed, since many users give one file with both in it for each.
#[derive(Clone, Debug, Default)]
pub struct Pem {
    /// The certificate, and those between it and its authority.
    pub cert: Option<Secret>,
    pub key: Option<Secret>,
}

impl Pem {
    /// Reads both, so that a wrong pair is an error at construction.
    pub fn read(&self) -> Result<Identity, Error> {
        let pair = match (&self.cert, &self.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(Arc::new(certified(cert.expose(), key.expose())?)),
            (Some(_), None) => {
                return Err(Error::option("key", "is missing: cert is of use with its key only"));
            }
            (None, Some(_)) => {
                return Err(Error::option("cert", "is missing: key is of use with its cert only"));
            }
        };
        Ok(Identity { pair, was_asked: AtomicBool::default() })
    }
}

fn certified(cert: &str, key: &str) -> Result<CertifiedKey, Error> {
    let refuse_cert = || Error::option("cert", "must hold PEM certificates (-----BEGIN CERTIFICATE----- …)");
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(plain_pem(cert).as_bytes()).collect();
    let chain = chain.map_err(|_| refuse_cert())?;
    if chain.is_empty() {
        return Err(refuse_cert());
    }
    // `ENCRYPTED` is in the label of PKCS#8, and in the first header of the older forms.
    if key.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || key.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(Error::option(
            "key",
            "is encrypted: give it without a passphrase (openssl pkey writes it so)",
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(without_mark(key).as_bytes()).map_err(|_| {
        Error::option("key", "must hold a private key as PEM (-----BEGIN PRIVATE KEY----- …)")
    })?;
    use rustls::InconsistentKeys::KeyMismatch;
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()).map_err(|error| match error
    {
        rustls::Error::InconsistentKeys(KeyMismatch) => {
            Error::option("key", "does not belong to the first certificate of the option cert")
        }
        rustls::Error::InvalidCertificate(_) => {
            Error::option("cert", "must begin with a certificate of X.509 version 3")
        }
        _ => Error::option("key", "must be for RSA (2048 to 4096 bits), P-256, P-384 or Ed25519"),
    })
}

/// The certificate of this client, if it has one, and whether a server has asked for it.
#[derive(Default)]
pub struct Identity {
    pair: Option<Arc<CertifiedKey>>,
    was_asked: AtomicBool,
}

impl Identity {
    pub fn is_some(&self) -> bool {
        self.pair.is_some()
    }

    /// Explains one of the [`CERTIFICATE_ALERTS`]; `None` if it is about something else.
    pub fn complaint(&self) -> Option<&'static str> {
        self.was_asked.load(Ordering::Relaxed).then_some(if self.pair.is_some() {
            "the server does not accept the client certificate of the option cert: check that it is the one that it expects, with those between it and its authority, and its dates"
        } else {
            "the server demands a client certificate: give it in the options cert and key"
        })
    }

    /// A possible reason why a server closed the connection without an alert, after it had asked for a certificate.
    pub fn suspicion(&self) -> &'static str {
        match (self.was_asked.load(Ordering::Relaxed), &self.pair) {
            (false, _) => "",
            (true, None) => {
                " (the server asked for a client certificate, and there is none in the options cert and key)"
            }
            (true, Some(_)) => {
                " (the server asked for a client certificate, and may not accept the one of the option cert)"
            }
        }
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        self.pair.clone()
    }

    fn has_certs(&self) -> bool {
        self.is_some()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_some() { "[client certificate]" } else { "[no client certificate]" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::http::tests::certificates::{pem, self_signed};

    #[test]
    fn a_pair_is_read_and_a_wrong_one_is_refused_by_the_option_that_is_wrong() {
        let [ours, other] = [(); 2].map(|()| self_signed(|_| {}));
        let (cert, key) = (ours.pem(), ours.key_pem());
        let both = format!("\u{feff}{cert}{key}");
        let garbage = |label: &str| pem(label, b"garbage");
        let read = |cert: Option<&str>, key: Option<&str>| {
            let secret = |text: Option<&str>| text.map(|text| Secret::new(text.to_owned()));
            let identity = Pem { cert: secret(cert), key: secret(key) }.read();
            identity
                .map(|identity| identity.is_some())
                .map_err(|error| (error.option.unwrap_or_default(), error.message))
        };
        assert_eq!(read(None, None), Ok(false));
        assert_eq!(read(Some(&cert), Some(&key)), Ok(true));
        assert_eq!(read(Some(&both), Some(&both)), Ok(true));
        for (cert, key, option, words) in [
            (Some(&*cert), None, "key", "is missing"),
            (None, Some(&*key), "cert", "is missing"),
            (Some("garbage"), Some(&*key), "cert", "must hold PEM certificates"),
            (Some(&*key), Some(&*key), "cert", "must hold PEM certificates"),
            (Some(&*garbage("CERTIFICATE")), Some(&*key), "cert", "must begin with a certificate"),
            (Some(&*cert), Some("garbage"), "key", "must hold a private key"),
            (Some(&*cert), Some(&*garbage("PRIVATE KEY")), "key", "must be for RSA"),
            (Some(&*cert), Some(&*garbage("ENCRYPTED PRIVATE KEY")), "key", "is encrypted"),
            (Some(&*cert), Some("Proc-Type: 4,ENCRYPTED"), "key", "is encrypted"),
            (Some(&*cert), Some(&*other.key_pem()), "key", "does not belong to the first certificate"),
        ] {
            let (found, message) = read(cert, key).unwrap_err();
            assert!(found == option && message.contains(words), "{found} {message}");
        }
    }

    #[test]
    fn neither_option_is_shown() {
        let pem = || Some(Secret::new("hunter2".to_owned()));
        let both = Pem { cert: pem(), key: pem() };
        let error = both.read().unwrap_err();
        assert!(!format!("{both:?} {error:?} {:?}", Identity::default()).contains("hunter2"));
    }

    #[test]
    fn an_alert_is_about_the_certificate_only_where_one_was_asked_for() {
        let identity = Identity::default();
        assert_eq!(identity.complaint(), None);
        assert_eq!(identity.suspicion(), "");
        assert!(identity.resolve(&[], &[]).is_none());
        assert!(identity.complaint().unwrap().contains("demands a client certificate"));
        assert!(!CERTIFICATE_ALERTS.contains(&AlertDescription::InternalError));
        assert!(identity.suspicion().contains("asked for a client certificate"));
    }
}
