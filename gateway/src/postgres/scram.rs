//! The messages of SCRAM-SHA-256 (RFC 5802), by which a client shows that it knows a key without sending it.
//!
//! ```text
//!   client                                    server
//!     n,,n=,r=<nonce> ──────────────────────────>
//!     <──────────── r=<nonce><more>,s=<salt>,i=4096
//!     c=biws,r=<nonce><more>,p=<proof> ─────────>
//!     <───────────────────────────── v=<signature>
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::failure::{Failure, state};
use crate::auth::{HASH, Verifier};

/// The name of the method.
pub(super) const MECHANISM: &str = "SCRAM-SHA-256";
/// Longest nonce of a client.
const MOST_NONCE: usize = 256;

/// A login that has begun.
#[derive(Debug)]
pub(super) struct Exchange {
    /// What the client says of channel binding, which it must repeat.
    header: String,
    /// The client's first message without that.
    first: String,
    nonce: String,
    /// The server's first message.
    pub(super) challenge: String,
}

fn wrong(what: &str) -> Failure {
    Failure::protocol(format!("a message of SCRAM has no valid {what}"))
}

impl Exchange {
    /// Answers the client's first message. `nonce`: fresh random letters.
    ///
    /// # Errors
    /// A message that is none, or channel binding, which was not offered.
    pub(super) fn begin(message: &str, nonce: &str, verifier: &Verifier) -> Result<Self, Failure> {
        let mut parts = message.splitn(3, ',');
        let (binding, name, first) = (parts.next(), parts.next(), parts.next());
        let (Some(binding), Some(name), Some(first)) = (binding, name, first) else {
            return Err(wrong("header"));
        };
        if !matches!(binding, "n" | "y") {
            return Err(Failure::fatal(
                state::FEATURE_NOT_SUPPORTED,
                "channel binding is not offered",
            )
            .hint("Connect with channel_binding=prefer."));
        }
        // The name is that of the connection; Postgres ignores this one, too.
        let client = first.split(',').find_map(|part| part.strip_prefix("r="));
        let client = client.filter(|nonce| !nonce.is_empty() && nonce.len() <= MOST_NONCE);
        let nonce = format!("{}{nonce}", client.ok_or_else(|| wrong("nonce"))?);
        let salt = STANDARD.encode(&verifier.salt);
        let challenge = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let header = format!("{binding},{name},");
        Ok(Self { header, first: first.to_owned(), nonce, challenge })
    }

    /// Checks the client's second message. None if it does not know the key; else what shows that the server knows it.
    ///
    /// # Errors
    /// A message that is none.
    pub(super) fn finish(
        &self,
        message: &str,
        verifier: &Verifier,
    ) -> Result<Option<String>, Failure> {
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or_else(|| wrong("proof"))?;
        let proof: [u8; HASH] = STANDARD
            .decode(proof)
            .ok()
            .and_then(|proof| proof.try_into().ok())
            .ok_or_else(|| wrong("proof"))?;
        let expected = format!("c={},r={}", STANDARD.encode(&self.header), self.nonce);
        if without_proof != expected {
            return Err(wrong("nonce"));
        }
        let messages = format!("{},{},{without_proof}", self.first, self.challenge);
        if !verifier.accepts(messages.as_bytes(), &proof) {
            return Ok(None);
        }
        Ok(Some(format!("v={}", STANDARD.encode(verifier.signature(messages.as_bytes())))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_example_of_the_rfc_logs_in_and_no_other_proof_does() {
        let text = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        let verifier = Verifier::parse(text).unwrap();
        let first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        let exchange = Exchange::begin(first, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", &verifier).unwrap();
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        assert_eq!(exchange.challenge, format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
        let last = |proof: &str| format!("c=biws,r={nonce},p={proof}");
        let right = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let signature = exchange.finish(&last(right), &verifier).unwrap();
        assert_eq!(signature.unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let wrong = "AHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(exchange.finish(&last(wrong), &verifier).unwrap(), None);
        for message in ["", "p=", "c=biws,r=other,p=AAAA", &last("AAAA"), &last("?")] {
            assert!(exchange.finish(message, &verifier).is_err(), "{message}");
        }
        for message in ["", "n", "n,,", "n,,n=a", "p=tls-server-end-point,,n=a,r=b", "x,,n=,r=b"] {
            assert!(Exchange::begin(message, "x", &verifier).is_err(), "{message}");
        }
    }
}
