//! Codes over what is handed to a client, so that any gateway knows it again: tickets, handles, cancel keys of Postgres.
//!
//! ```text
//!   holder of a key:  hash of the key ──────────────┐
//!   person:           [gateway.oidc] secret ──owner──┴──> secret of the client ──purpose──> key of a code
//! ```
//! A token says nothing that only gateways know, so a person's secret is made from one that they are given.

use std::fmt;

use subtle::ConstantTimeEq;

use super::keyring::Keyring;
use super::principal::{OWNER_BYTES, Owner, Principal, Scopes};
use super::verifier::{HASH, mac};

/// Bytes of a code.
const CODE_BYTES: usize = 32;

/// A secret that every gateway knows which knows one key, for codes over what is handed to that key's holder.
#[derive(Clone)]
pub(crate) struct CodeKey([u8; 32]);

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeKey").finish_non_exhaustive()
    }
}

impl CodeKey {
    /// `body` as it is handed to the holder of the key: version, code, body. The code is over both others.
    pub(crate) fn seal(&self, version: u8, body: &[u8]) -> Vec<u8> {
        let code = self.code(version, body);
        let mut sealed = Vec::with_capacity(1 + CODE_BYTES + body.len());
        sealed.push(version);
        sealed.extend_from_slice(code.as_bytes());
        sealed.extend_from_slice(body);
        sealed
    }

    /// The body of what was sealed so. None if it has another version, is damaged, or was sealed for another key.
    pub(crate) fn open<'a>(&self, version: u8, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (shown, rest) = sealed.split_first()?;
        let (code, body) = rest.split_at_checked(CODE_BYTES)?;
        let code: [u8; CODE_BYTES] = code.try_into().ok()?;
        // Hashes are compared in constant time.
        let is_it = self.code(version, body) == blake3::Hash::from_bytes(code);
        (*shown == version && is_it).then_some(body)
    }

    /// For the holder of a key with this text.
    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub(crate) fn of_test(secret: &str, purpose: &'static str) -> Self {
        let (name, sha256) = (secret.to_owned(), super::key::hash_of(secret));
        let scopes = Scopes::all();
        let key = super::keyring::KeyOptions { name, sha256, scopes, scram: None, workgroup: None };
        let ring = Keyring::new(&[key]).unwrap();
        ring.code_key(&ring.recognise(Some(secret)).unwrap(), purpose).unwrap()
    }

    fn code(&self, version: u8, body: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[version]).update(body);
        hasher.finalize()
    }
}

/// Whether `signature` is the beginning of what `secret` signs `message` with.
fn has_signed(secret: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let whole = mac(secret, message);
    let known = whole.get(..signature.len()).filter(|known| !known.is_empty());
    known.is_some_and(|known| bool::from(known.ct_eq(signature)))
}

impl Keyring {
    /// What only gateways know of a client. None if its key, or the issuer of its token, is not configured any more. Without
    /// both there is nothing to protect, and everybody could make it: then a code only finds damage.
    fn secret_of(&self, owner: Option<&Owner>) -> Option<[u8; HASH]> {
        match owner {
            None => self.is_open().then_some([0; HASH]),
            Some(owner) if owner.is_person() => {
                self.oidc.as_ref().map(|oidc| oidc.secret_of(owner))
            }
            Some(owner) => {
                let is_it = |known: &Principal| known.owner.as_ref() == Some(owner);
                let entry = self.keys.iter().find(|entry| is_it(&entry.principal))?;
                Some(entry.sha256)
            }
        }
    }

    /// The secret for codes over what is handed to `principal`, for one `purpose`. Nobody can make it who does not know what
    /// is configured. None if the key or issuer is not configured any more.
    pub(crate) fn code_key(&self, principal: &Principal, purpose: &'static str) -> Option<CodeKey> {
        let secret = self.secret_of(principal.owner.as_ref())?;
        Some(CodeKey(blake3::derive_key(purpose, &secret)))
    }

    /// A signature of `message` that every gateway with the same configuration can check. None if the key or issuer of the
    /// client is not configured any more.
    pub(crate) fn sign(&self, client: &Principal, message: &[u8]) -> Option<[u8; HASH]> {
        Some(mac(&self.secret_of(client.owner.as_ref())?, message))
    }

    /// The client whose signature of `message` begins with `signature`: anyone, or the holder of a key. Persons are not
    /// found by their signatures alone, because no gateway has a list of them.
    pub(crate) fn signer(&self, message: &[u8], signature: &[u8]) -> Option<Principal> {
        if self.is_open() {
            return has_signed(&[0; HASH], message, signature).then(Principal::anyone);
        }
        let entry = self.keys.iter().find(|entry| has_signed(&entry.sha256, message, signature))?;
        Some(entry.principal.clone())
    }

    /// Whether it was `client` whose signature of `message` begins with `signature`.
    pub(crate) fn is_signer(&self, client: &Principal, message: &[u8], signature: &[u8]) -> bool {
        let secret = self.secret_of(client.owner.as_ref());
        secret.is_some_and(|secret| has_signed(&secret, message, signature))
    }

    /// The person of this number, if its signature of `message` begins with `signature`. It may do nothing but to see what is
    /// its own.
    pub(crate) fn person(
        &self,
        number: [u8; OWNER_BYTES],
        message: &[u8],
        signature: &[u8],
    ) -> Option<Principal> {
        let owner = Owner::of_person_bytes(number);
        let name = owner.as_str().into();
        let person = Principal {
            name,
            scopes: Scopes::default(),
            owner: Some(owner),
            workgroup: None,
            via: None,
        };
        self.is_signer(&person, message, signature).then_some(person)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::keyring::tests::key;
    use super::*;

    #[test]
    fn a_signature_is_checked_by_every_gateway_with_the_key_and_names_its_client() {
        let (ring, same) = (
            Keyring::new(&[key("a", "a"), key("b", "b")]).unwrap(),
            Keyring::new(&[key("b", "b")]).unwrap(),
        );
        let client = ring.recognise(Some("b")).unwrap();
        let signature = ring.sign(&client, b"this").unwrap();
        for length in [4, 32] {
            assert_eq!(same.signer(b"this", &signature[..length]).unwrap().owner, client.owner);
            assert_eq!(same.signer(b"that", &signature[..length]), None);
        }
        assert_eq!(same.signer(b"this", &[]), None);
        assert_eq!(same.signer(b"this", &[0; 64]), None);
        let other = ring.recognise(Some("a")).unwrap();
        assert_eq!(same.sign(&other, b"this"), None);
        let open = Keyring::default();
        let signature = open.sign(&Principal::anyone(), b"this").unwrap();
        assert_eq!(open.signer(b"this", &signature), Some(Principal::anyone()));
        assert_eq!(ring.signer(b"this", &signature), None);
    }

    #[test]
    fn a_code_is_the_same_on_every_gateway_that_knows_the_key_and_of_no_other_key() {
        let (one, other) = (key("one", "1"), key("other", "2"));
        let here = Keyring::new(&[one.clone(), other.clone()]).unwrap();
        let there = Keyring::new(std::slice::from_ref(&one)).unwrap();
        let mine = here.recognise(Some("1")).unwrap();
        let code = |ring: &Keyring, principal: &Principal, purpose| {
            ring.code_key(principal, purpose).map(|key| key.code(1, b"bytes"))
        };
        let first = code(&here, &mine, "a").unwrap();
        assert_eq!(code(&there, &mine, "a"), Some(first));
        assert_ne!(code(&here, &mine, "b"), Some(first));
        let others = here.recognise(Some("2")).unwrap();
        assert_ne!(code(&here, &others, "a"), Some(first));
        assert_eq!(code(&there, &others, "a"), None, "the key is not configured there");
        assert_eq!(code(&here, &Principal::anyone(), "a"), None);
        let open = Keyring::default();
        assert_eq!(
            code(&open, &Principal::anyone(), "a"),
            code(&Keyring::default(), &Principal::anyone(), "a")
        );
        let shown = format!("{:?}", here.code_key(&mine, "a").unwrap());
        assert_eq!(shown, "CodeKey { .. }");
    }
}
