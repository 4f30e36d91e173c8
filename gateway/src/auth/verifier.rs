//! What a server needs to check a key by SCRAM-SHA-256 (RFC 5802 and 7677), without the key.
//!
//! ```text
//!   key ──PBKDF2 with a salt──> salted ─┬─HMAC "Client Key"──SHA-256──> stored key
//!                                       └─HMAC "Server Key"───────────> server key
//! ```
//! A verifier is written as Postgres writes it: `SCRAM-SHA-256$4096:<salt>$<stored key>:<server key>`, in base64. Whoever reads
//! it cannot log in with it, and cannot guess the key, which has 256 random bits. With it, one could pretend to be a
//! gateway, as with Postgres's own.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{hmac, pbkdf2};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::key::NoRandomBits;

/// Begins every verifier.
const PREFIX: &str = "SCRAM-SHA-256$";
/// Rounds of the hash. A key cannot be guessed, so more of them protect nothing.
const ITERATIONS: u32 = 4_096;
/// The most rounds that a configuration may name: the client computes them.
const MOST_ITERATIONS: u32 = 1_000_000;
/// Bytes of a hash.
pub(crate) const HASH: usize = 32;

/// What a server needs to check a key by SCRAM.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(crate) iterations: u32,
    pub(crate) salt: Vec<u8>,
    pub(crate) stored_key: [u8; HASH],
    server_key: [u8; HASH],
}

/// Never prints what it holds.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

pub(crate) fn mac(key: &[u8], message: &[u8]) -> [u8; HASH] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut bytes = [0; HASH];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

impl Verifier {
    /// A verifier of a key, with a new salt.
    ///
    /// # Errors
    /// The system gives no random bits.
    pub fn of(key: &str) -> Result<Self, NoRandomBits> {
        let mut salt = vec![0u8; 16];
        let source = rustls::crypto::ring::default_provider().secure_random;
        source.fill(&mut salt).map_err(|_| NoRandomBits)?;
        Ok(Self::with(key, salt, ITERATIONS))
    }

    fn with(key: &str, salt: Vec<u8>, iterations: u32) -> Self {
        let mut salted = [0u8; HASH];
        let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, key.as_bytes(), &mut salted);
        let stored_key = Sha256::digest(mac(&salted, b"Client Key")).into();
        Self { iterations, salt, stored_key, server_key: mac(&salted, b"Server Key") }
    }

    /// A verifier of no key, for a name that nobody has: a client cannot tell it from another one.
    pub(super) fn of_nobody(seed: &[u8]) -> Self {
        let salt = mac(seed, b"salt")[..16].to_vec();
        let [stored_key, server_key] = [mac(seed, b"stored"), mac(seed, b"server")];
        Self { iterations: ITERATIONS, salt, stored_key, server_key }
    }

    /// Reads a verifier as Postgres writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (head, keys) = text.trim().strip_prefix(PREFIX)?.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations = iterations.parse().ok().filter(|n| (1..=MOST_ITERATIONS).contains(n))?;
        let hash = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
        Some(Self {
            iterations,
            salt,
            stored_key: hash(stored_key)?,
            server_key: hash(server_key)?,
        })
    }

    /// The text for a configuration.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{PREFIX}{}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key)
        )
    }

    /// Whether `proof` shows that its sender knows the key, for the messages of this login.
    pub(crate) fn accepts(&self, messages: &[u8], proof: &[u8; HASH]) -> bool {
        let signature = mac(&self.stored_key, messages);
        let mut client_key = [0u8; HASH];
        for (place, byte) in client_key.iter_mut().enumerate() {
            *byte = proof[place] ^ signature[place];
        }
        bool::from(Sha256::digest(client_key).as_slice().ct_eq(&self.stored_key))
    }

    /// Shows the client that the server knows the verifier.
    pub(crate) fn signature(&self, messages: &[u8]) -> [u8; HASH] {
        mac(&self.server_key, messages)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        // RFC 7677, section 3.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::with("pencil", salt, 4_096);
        let messages = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
             r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
             c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let mut proof: [u8; HASH] = proof.try_into().unwrap();
        assert!(verifier.accepts(messages.as_bytes(), &proof));
        let signature = STANDARD.encode(verifier.signature(messages.as_bytes()));
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        proof[0] ^= 1;
        assert!(!verifier.accepts(messages.as_bytes(), &proof));
    }

    #[test]
    fn a_verifier_is_read_as_it_is_written_and_shows_nothing_in_debug() {
        let verifier = Verifier::of("dunlin_x").unwrap();
        assert_eq!(Verifier::parse(&verifier.text()), Some(verifier.clone()));
        assert_ne!(Verifier::of("dunlin_x").unwrap(), verifier);
        assert!(!format!("{verifier:?}").contains(&STANDARD.encode(verifier.stored_key)));
        for text in ["", "SCRAM-SHA-256$4096:a$b:c", "SCRAM-SHA-256$0:AAAA$b:c", "md5abc"] {
            assert_eq!(Verifier::parse(text), None, "{text}");
        }
    }
}
