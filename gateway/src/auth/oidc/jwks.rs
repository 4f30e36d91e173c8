//! The public keys of an issuer, as it publishes them (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::signatures::ALGORITHMS;

/// Most keys that are kept. Issuers have two or three.
const MOST_KEYS: usize = 100;

/// A key of an issuer.
#[derive(Debug)]
pub(super) struct IssuerKey {
    id: Option<String>,
    /// The algorithms that it may have signed by.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

/// The keys of an issuer.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<IssuerKey>);

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a document. Keys that are for other purposes, or of kinds that are not known here, are left out, as the standard
    /// asks.
    pub(super) fn parse(document: &[u8]) -> Result<Self, serde_json::Error> {
        let Document { keys } = serde_json::from_slice(document)?;
        let known = keys.into_iter().filter_map(|key| IssuerKey::of(key).or_else(left_out));
        Ok(Self(known.take(MOST_KEYS).collect()))
    }

    /// The key that a token with this header was signed with. A token that names none was signed with the only one.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&IssuerKey> {
        let fits = |key: &&IssuerKey| key.algorithms.contains(&algorithm);
        match (id, self.0.as_slice()) {
            (Some(_), keys) => keys.iter().filter(|key| key.id.as_deref() == id).find(fits),
            (None, [only]) => Some(only).filter(fits),
            (None, _) => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn left_out() -> Option<IssuerKey> {
    tracing::debug!("a key of the issuer is for another purpose, or of an unknown kind");
    None
}

impl IssuerKey {
    fn of(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        if common.public_key_use.as_ref().is_some_and(|it| *it != PublicKeyUse::Signature) {
            return None;
        }
        let family = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa,
            AlgorithmParameters::EllipticCurve(_) => AlgorithmFamily::Ec,
            AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => {
                AlgorithmFamily::Ed
            }
            // A shared secret is no public key.
            _ => return None,
        };
        let is_possible = |algorithm: &Algorithm| match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(it) => match it.curve {
                EllipticCurve::P256 => *algorithm == Algorithm::ES256,
                EllipticCurve::P384 => *algorithm == Algorithm::ES384,
                _ => false,
            },
            _ => algorithm.family() == family,
        };
        let only = common.key_algorithm.map(Algorithm::try_from).transpose().ok()?;
        let algorithms: Vec<_> = ALGORITHMS
            .into_iter()
            .filter(|known| is_possible(known) && only.is_none_or(|only| only == *known))
            .collect();
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        (!algorithms.is_empty()).then(|| Self { id: jwk.common.key_id, algorithms, key })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(keys: &Value) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn point(id: &str, curve: &str) -> Value {
        json!({ "kty": "EC", "crv": curve, "kid": id, "x": "AAAA", "y": "AAAA" })
    }

    #[test]
    fn a_key_is_found_by_its_id_and_used_with_its_own_algorithms_only() {
        let rsa = json!({ "kty": "RSA", "kid": "r", "n": "AAAA", "e": "AQAB" });
        let mut only = rsa.clone();
        (only["kid"], only["alg"]) = (json!("o"), json!("RS256"));
        let keys = set(&json!([rsa, only, point("e", "P-256"), point("f", "P-384")]));
        for (id, algorithm) in [
            ("r", Algorithm::RS256),
            ("r", Algorithm::PS512),
            ("o", Algorithm::RS256),
            ("e", Algorithm::ES256),
            ("f", Algorithm::ES384),
        ] {
            assert!(keys.find(Some(id), algorithm).is_some(), "{id} {algorithm:?}");
        }
        for (id, algorithm) in [
            (Some("o"), Algorithm::RS512),
            (Some("o"), Algorithm::HS256),
            (Some("r"), Algorithm::ES256),
            (Some("e"), Algorithm::ES384),
            (Some("x"), Algorithm::RS256),
            (None, Algorithm::RS256),
        ] {
            assert!(keys.find(id, algorithm).is_none(), "{id:?} {algorithm:?}");
        }
        // A token without an id needs none where there is one key.
        assert!(set(&json!([point("e", "P-256")])).find(None, Algorithm::ES256).is_some());
    }

    #[test]
    fn keys_for_other_purposes_are_left_out_and_the_others_are_kept() {
        let mut encrypts = point("a", "P-256");
        encrypts["use"] = json!("enc");
        let mut signs = point("b", "P-256");
        signs["use"] = json!("sig");
        let keys = set(&json!([
            encrypts,
            signs,
            { "kty": "oct", "kid": "c", "k": "AAAA" },
            { "kty": "RSA", "kid": "d", "n": "AAAA", "e": "AQAB", "alg": "RSA-OAEP" },
            { "kty": "new", "kid": "e" },
            point("f", "P-521"),
            { "kty": "OKP", "crv": "X25519", "kid": "g", "x": "AAAA" },
            "nothing",
        ]));
        assert_eq!(keys.len(), 1);
        assert!(keys.find(Some("b"), Algorithm::ES256).is_some());
        let many: Vec<_> = (0..1_000).map(|n| point(&n.to_string(), "P-256")).collect();
        assert_eq!(set(&json!(many)).len(), MOST_KEYS);
        assert!(KeySet::parse(b"{}").is_err() && KeySet::parse(b"<html>").is_err());
    }
}
