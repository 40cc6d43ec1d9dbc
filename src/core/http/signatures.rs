//! Owns which signatures of certificates and handshakes can be verified: those that ring knows and, by the `ecdsa` crates of
//! RustCrypto, what Node verifies besides: ECDSA on P-521, and with SHA-512.
//!
//! Verifies only, so no secret comes here.

use std::sync::LazyLock;

use ring::digest::{self, SHA256, SHA384, SHA512, digest};
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};

/// What is verified besides, by scheme. TLS 1.3 uses the first one of a scheme; in TLS 1.2 a scheme names no curve.
static BESIDES_RING: [(SignatureScheme, &[&dyn SignatureVerificationAlgorithm]); 3] = [
    (SignatureScheme::ECDSA_NISTP384_SHA384, &[P521_SHA384]),
    (SignatureScheme::ECDSA_NISTP256_SHA256, &[P521_SHA256]),
    (SignatureScheme::ECDSA_NISTP521_SHA512, &[P521_SHA512, P384_SHA512, P256_SHA512]),
];

/// The algorithms for certificates, and those for handshakes by scheme. Ring's come first, so that servers prefer them.
/// rustls wants them for as long as the process lives.
pub static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> = LazyLock::new(|| {
    let by_ring = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let (mut all, mut mapping) = (by_ring.all.to_vec(), by_ring.mapping.to_vec());
    for (scheme, others) in BESIDES_RING {
        all.extend(others);
        match mapping.iter_mut().find(|(known, _)| *known == scheme) {
            Some((_, algorithms)) => *algorithms = [*algorithms, others].concat().leak(),
            None => mapping.push((scheme, others)),
        }
    }
    WebPkiSupportedAlgorithms { all: all.leak(), mapping: mapping.leak() }
});

static P256_SHA512: &dyn SignatureVerificationAlgorithm =
    &Ecdsa { key: alg_id::ECDSA_P256, signature: alg_id::ECDSA_SHA512, digest: &SHA512, verify: verify_p256 };
static P384_SHA512: &dyn SignatureVerificationAlgorithm =
    &Ecdsa { key: alg_id::ECDSA_P384, signature: alg_id::ECDSA_SHA512, digest: &SHA512, verify: verify_p384 };
static P521_SHA256: &dyn SignatureVerificationAlgorithm = &on_p521(alg_id::ECDSA_SHA256, &SHA256);
static P521_SHA384: &dyn SignatureVerificationAlgorithm = &on_p521(alg_id::ECDSA_SHA384, &SHA384);
static P521_SHA512: &dyn SignatureVerificationAlgorithm = &on_p521(alg_id::ECDSA_SHA512, &SHA512);

const fn on_p521(signature: AlgorithmIdentifier, digest: &'static digest::Algorithm) -> Ecdsa {
    Ecdsa { key: alg_id::ECDSA_P521, signature, digest, verify: verify_p521 }
}

/// Takes a key as an uncompressed point, a hash, and a signature in DER. `None` unless the key made that signature.
type Verify = fn(&[u8], &[u8], &[u8]) -> Option<()>;

#[derive(Debug)]
struct Ecdsa {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    digest: &'static digest::Algorithm,
    verify: Verify,
}

impl SignatureVerificationAlgorithm for Ecdsa {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        (self.verify)(public_key, digest(self.digest, message).as_ref(), signature).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

macro_rules! verifier {
    ($name:ident, $curve:ident, $field_bytes:literal) => {
        fn $name(key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
            use $curve::ecdsa::signature::hazmat::PrehashVerifier;
            use $curve::ecdsa::{Signature, VerifyingKey};

            let key = VerifyingKey::from_sec1_bytes(key).ok()?;
            let signature = Signature::from_der(signature).ok()?;
            // The crate refuses a hash of less than half the field's size, as SHA-256 is on P-521.
            let mut padded = [0; $field_bytes];
            let hash = match $field_bytes.checked_sub(hash.len()) {
                Some(start) => {
                    padded[start..].copy_from_slice(hash);
                    &padded
                }
                None => hash,
            };
            key.verify_prehash(hash, &signature).ok()
        }
    };
}

verifier!(verify_p256, p256, 32_usize);
verifier!(verify_p384, p384, 48_usize);
verifier!(verify_p521, p521, 66_usize);

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys, and what OpenSSL signed by them.
    static SAMPLES: [(&dyn SignatureVerificationAlgorithm, &str, &str); 5] = [
        (
            P256_SHA512,
            "040efb091fb722df56e17f0e757fc5776a41d2af37b6fd18d936354597878c6d31d9e1b0a1fe19cf104451d38d3f02005b3f44e5484440ecc1d7c05f43155548c5",
            "304502201cc51bdbede7d39b9328b3b38084e89695c022f7a05bfb85a8ef18321cd97cbb022100a5f05f635ce4fa47803196c2f0362677e041eb127217fbaa442657fc25c67673",
        ),
        (
            P384_SHA512,
            "048507892dfd83cdd746aecbde8668517159cbd88ba2d0b1bacb249f8b3415218c6cc0821626da46ee111457c620cbf5fdbb427767609b2f2801f7a1577e4917e213f87fe160b532958066ab34d744293fe4f1584d8997e916a606f8ecb79b7670",
            "3066023100bb8c13ecb69c75987d7e34fa5b5d80cd1b95cf1654cf459bb4a50dc14b0de659649d47e7d96eb876a0662823a6c9dbae023100e0133632718832d4865eea8c8936f3881cad0329ec84a5ac3870a2d97d8b2dbdd5d20fc796608a04024d5d8e8de8fe80",
        ),
        (
            P521_SHA256,
            "040174f17c0e07ea797effb2d510f0f62c9987c6506fe40a03f72c6c9b440b5c270f1208339b7b970420fded636b6791e599cb172a2a6d9dcfaf619d3c70d1181e14ce0147d1dd308ed28fa23a7e228df95e8dc9d2acf966273e432d10ecab2c159137a3ab3c22331c6e8b4505b6ff4d8faf90b6c2259c09c8ed72962b51968b3558c7fa5a",
            "308187024201ba3b68d4e3ffcec3fc9440d1844e81db380c778909a769f81f151244585c39dd2146911e20f94dc898675435a9a4026b6f8b75234e377fbdd7d91c61dfcba61bd6024131a4cb677fc42aa2007161cc9baf9c6db5290443041abed444be6f95724b3d84b5e72dde2a0e75eb6b8b3aacb673763be79e99299a19aef941c7f918894cc67205",
        ),
        (
            P521_SHA384,
            "0401adbc098f21857ef854c83899dc2f1332a401e9660541605c95deb433d8f65acbe0e3aba365d5dcb1eabe2ab26a5414a43ef26923c52d733a9a148628a83d849ca8000f9b754a47576dd8c6d06a2b4df041079f12659ba569e9e8045776db0af0e257cdd6a1875cfcd65d1fd4322ba1b28418e24fff20841b52cc18e1e892ef5b9f217d",
            "308188024201017a4bf8aab85791aa42c6e3c55db06d22400b4d16f06212c49baeb754afe0a4ebbf9739f7708a127e9201fb908791998fdc879ce409294e6e280287eea99608de024200a5d5d1cc0f46110f72ea1656b0f6bddce8a1a4b3f49dc3418adc2a308b6ed45a8e1ffc6c0149254f3f3db92ec7b059ee9454ba93c63d39f874187f81fdd5c1d3b6",
        ),
        (
            P521_SHA512,
            "040061945a78ffd919c39114ed2cf4653f4cbb2770455c772136e3c0d1d3bd00eb2c7d67672670f247543a90efc53652d616339707c374b225918c8f0503975a2a233e009bb632246dffc98c66bee423c566ad6a9dc2caf8f0f28de2975ca762f22fdb76d1757ec635b5107637865473754af8330269fcd44520b73db8abe52eeb87f2fc4e",
            "308187024153de5438c774be5b28267b99e7e6d300f4494993e0f26dc916553a19a774aac7cba64d6ff5aed4719a932ffbb9584f79a98516ed69d6a1f8124028c837db570c80024201385908f215237d823d62b91fd236eb284a2b560db3b3febb0eaf7b62960fd6dfde3b6bdfa483e7ff6a9e8dcd698d658e4bcbd8f406803a88f706f11881b827c023",
        ),
    ];

    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn encoded(r: &[u8], s: &[u8]) -> Vec<u8> {
        let integer = |number: &[u8]| [&[INTEGER, number.len() as u8], number].concat();
        let numbers = [integer(r), integer(s)].concat();
        [&[SEQUENCE, numbers.len() as u8], numbers.as_slice()].concat()
    }

    #[test]
    fn what_openssl_signed_is_right_and_nothing_else_is() {
        for (algorithm, key, signature) in SAMPLES {
            let (key, signature) = (bytes(key), bytes(signature));
            let verify = |key: &[u8], message: &[u8], signature: &[u8]| {
                algorithm.verify_signature(key, message, signature).is_ok()
            };
            assert!(verify(&key, b"sample", &signature), "{algorithm:?}");
            assert!(!verify(&key, b"Sample", &signature));
            assert!(!verify(&key, b"", &signature));
            for at in (0..signature.len()).step_by(16) {
                let mut other = signature.clone();
                other[at] ^= 1;
                assert!(!verify(&key, b"sample", &other), "byte {at} of the signature");
                assert!(!verify(&key, b"sample", &signature[..at]));
            }
            for at in [0, 1, key.len() / 2, key.len() - 1] {
                let mut other = key.clone();
                other[at] ^= 1;
                assert!(!verify(&other, b"sample", &signature), "byte {at} of the key");
                assert!(!verify(&key[..at], b"sample", &signature));
            }
            assert!(!verify(&key, b"sample", &[signature.as_slice(), &[0]].concat()));
            assert!(!verify(&[key.as_slice(), &[0]].concat(), b"sample", &signature));
        }
    }

    #[test]
    fn no_number_out_of_range_signs_anything() {
        // The order of P-256, of which 0 is another name.
        let order = bytes("00ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
        let key = bytes(SAMPLES[0].1);
        for (r, s) in [(&[0][..], &[0][..]), (&[0], &[1]), (&[1], &[0]), (&[1], &order), (&order, &[1])] {
            assert!(P256_SHA512.verify_signature(&key, b"sample", &encoded(r, s)).is_err());
        }
        let long = [1; 33];
        assert!(P256_SHA512.verify_signature(&key, b"sample", &encoded(&long, &[1])).is_err());
    }

    #[test]
    fn a_signature_has_one_form_only() {
        let key = bytes(SAMPLES[0].1);
        let signature = bytes(SAMPLES[0].2);
        let (r, s) = (&signature[4..36], &signature[38..71]);
        let is_right = |signature: &[u8]| P256_SHA512.verify_signature(&key, b"sample", signature).is_ok();
        assert!(is_right(&encoded(r, s)));
        let zero_before = |number: &[u8]| [&[0], number].concat();
        for form in [
            encoded(&zero_before(r), s),
            encoded(r, &zero_before(s)),
            encoded(r, &s[1..]),
            [&[SEQUENCE, 0x81, signature[1]], &signature[2..]].concat(),
            [&[SEQUENCE, signature[1] + 1, INTEGER, 0x81, 32], &signature[4..]].concat(),
            [&[SEQUENCE, 0x80], &signature[2..], &[0, 0]].concat(),
            [&[SEQUENCE, signature[1] + 3], &signature[2..], &[INTEGER, 1, 1]].concat(),
            encoded(r, &[]),
            vec![],
        ] {
            assert!(!is_right(&form), "{form:?}");
        }
    }

    #[test]
    fn whatever_ring_verifies_stays() {
        let by_ring = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        for algorithm in by_ring.all {
            let same = |own: &&dyn SignatureVerificationAlgorithm| {
                own.signature_alg_id() == algorithm.signature_alg_id()
                    && own.public_key_alg_id() == algorithm.public_key_alg_id()
            };
            assert!(ALGORITHMS.all.iter().any(same), "{algorithm:?}");
        }
        let schemes = by_ring.supported_schemes();
        assert_eq!(ALGORITHMS.supported_schemes()[..schemes.len()], schemes);
    }
    #[test]
    fn every_scheme_of_ecdsa_takes_every_curve_and_its_own_first() {
        use SignatureScheme::{ECDSA_NISTP256_SHA256, ECDSA_NISTP384_SHA384, ECDSA_NISTP521_SHA512};
        let curves = [alg_id::ECDSA_P256, alg_id::ECDSA_P384, alg_id::ECDSA_P521];
        for (scheme, own, signature) in [
            (ECDSA_NISTP256_SHA256, alg_id::ECDSA_P256, alg_id::ECDSA_SHA256),
            (ECDSA_NISTP384_SHA384, alg_id::ECDSA_P384, alg_id::ECDSA_SHA384),
            (ECDSA_NISTP521_SHA512, alg_id::ECDSA_P521, alg_id::ECDSA_SHA512),
        ] {
            let (_, algorithms) = ALGORITHMS.mapping.iter().find(|(known, _)| *known == scheme).unwrap();
            let keys: Vec<_> = algorithms.iter().map(|algorithm| algorithm.public_key_alg_id()).collect();
            assert_eq!(keys[0], own, "{scheme:?}");
            assert!(curves.iter().all(|curve| keys.contains(curve)), "{scheme:?}");
            assert!(algorithms.iter().all(|algorithm| algorithm.signature_alg_id() == signature));
        }
    }
}
