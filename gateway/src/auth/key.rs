//! Creating keys. This is the only place that holds the text of a key that did not come from a client.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The first characters of every key, so that people and scanners of published code can recognise one.
pub const KEY_PREFIX: &str = "dunlin_";

/// Random bits of a key, in bytes.
const KEY_BYTES: usize = 32;

/// The system cannot give random bits for a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bits")]
pub struct NoRandomBits;

/// A new key. Its debug output does not contain the secret.
pub struct NewKey {
    text: String,
}

impl NewKey {
    /// Creates a key of 256 bits from the system's source of secrets.
    ///
    /// The bits do not come from [`dunlin_manifest::env::Env`], because a replay of a run must not produce the same
    /// secret.
    ///
    /// # Errors
    /// The system gives no random bits.
    pub fn generate() -> Result<Self, NoRandomBits> {
        let mut bits = [0u8; KEY_BYTES];
        let source = rustls::crypto::ring::default_provider().secure_random;
        source.fill(&mut bits).map_err(|_| NoRandomBits)?;
        Ok(Self { text: format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(bits)) })
    }

    /// The text that a client sends. Show it once, to the person who asked for it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The hash that is written into the configuration.
    #[must_use]
    pub fn sha256(&self) -> String {
        hash_of(&self.text)
    }
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").finish_non_exhaustive()
    }
}

/// SHA-256 of a key's text in lower-case hex, as in the configuration.
#[must_use]
pub fn hash_of(text: &str) -> String {
    hex(&digest(text))
}

pub(super) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_256_bits_and_no_two_are_alike() {
        let (one, other) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        let bits = one.text().strip_prefix(KEY_PREFIX).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(bits).unwrap().len(), KEY_BYTES);
        assert_ne!(one.text(), other.text());
        assert_ne!(one.sha256(), other.sha256());
    }

    #[test]
    fn the_hash_is_that_of_the_text() {
        assert_eq!(
            hash_of("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn formatting_a_key_shows_no_secret() {
        let key = NewKey::generate().unwrap();
        assert!(!format!("{key:?}").contains(key.text()));
    }
}
