//! Signatures of tokens are checked by `ring`, which this process has already for TLS.
//!
//! `jsonwebtoken` reads tokens and leaves the arithmetic to a provider. Its own two providers would bring a second library
//! of cryptography into the program. This one checks what public keys have signed. It knows no shared secrets (`HS256`), and
//! it signs nothing.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result, new_error};
use jsonwebtoken::signature;
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature as by;

/// The algorithms by which tokens may be signed: those with a public key.
pub(super) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    // They take private keys apart. There are none here.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `ring` check signatures in this process, once.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A process that embeds a gateway may have chosen another provider, which does as well.
        let _ = PROVIDER.install_default();
    });
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(new_error(ErrorKind::UnsupportedAlgorithm))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(new_error(ErrorKind::InvalidAlgorithm));
    }
    let key = Key::of(*algorithm, key)?;
    Ok(Box::new(ByRing { algorithm: *algorithm, key }))
}

/// A public key, and how its signatures are checked.
enum Key {
    Rsa(&'static by::RsaParameters, Vec<u8>, Vec<u8>),
    Point(&'static dyn by::VerificationAlgorithm, Vec<u8>),
}

impl Key {
    fn of(algorithm: Algorithm, key: &DecodingKey) -> Result<Self> {
        let point = |by| Ok(Self::Point(by, key.try_get_as_bytes()?.to_vec()));
        let rsa = |by| match key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                Ok(Self::Rsa(by, number(n).to_vec(), number(e).to_vec()))
            }
            DecodingKeyKind::SecretOrDer(_) => Err(new_error(ErrorKind::InvalidKeyFormat)),
        };
        match algorithm {
            Algorithm::RS256 => rsa(&by::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => rsa(&by::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => rsa(&by::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => rsa(&by::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => rsa(&by::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => rsa(&by::RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => point(&by::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => point(&by::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => point(&by::ED25519),
            _ => Err(new_error(ErrorKind::UnsupportedAlgorithm)),
        }
    }
}

/// A number without zeros in front, which `ring` refuses and some issuers write.
fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

struct ByRing {
    algorithm: Algorithm,
    key: Key,
}

impl signature::Verifier<Vec<u8>> for ByRing {
    fn verify(&self, message: &[u8], shown: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        let checked = match &self.key {
            Key::Rsa(by, n, e) => by::RsaPublicKeyComponents { n, e }.verify(by, message, shown),
            Key::Point(by, point) => by::UnparsedPublicKey::new(*by, point).verify(message, shown),
        };
        checked.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for ByRing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// What was wrong with the form of a token or its signature. The library's own texts quote parts of tokens.
pub(super) fn is_signature(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidSignature)
}
