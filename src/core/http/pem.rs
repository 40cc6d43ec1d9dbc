//! Owns the forms of PEM that Node reads and rustls's parser does not.

/// Certificates without the byte order mark, and with the label that replaced the old one.
pub fn plain_pem(pem: &str) -> String {
    without_mark(pem)
        .replace("-----BEGIN X509 CERTIFICATE-----", "-----BEGIN CERTIFICATE-----")
        .replace("-----END X509 CERTIFICATE-----", "-----END CERTIFICATE-----")
}

/// The text behind a byte order mark, which is three characters where a file was read as Latin-1.
pub fn without_mark(pem: &str) -> &str {
    pem.strip_prefix('\u{feff}').or_else(|| pem.strip_prefix("\u{ef}\u{bb}\u{bf}")).unwrap_or(pem)
}
