//! The configured keys. They answer one question: which key has this secret?

use std::fmt;
use std::sync::Arc;

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::key::digest;
use super::principal::{Owner, Principal, Scopes};
use super::verifier::{HASH, Verifier, mac};
use super::workgroup::Workgroup;

/// Bytes of a code.
const CODE_BYTES: usize = 32;
/// Longest secret that is checked, in bytes. A key has 50.
const MAX_SECRET: usize = 512;

/// A key in the configuration. Its text is not stored.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyOptions {
    /// For people: who uses the key.
    pub name: String,
    /// SHA-256 of the key's text in hex.
    pub sha256: String,
    /// What the key allows.
    pub scopes: Scopes,
    /// A [`Verifier`] of the key, so that clients can show by SCRAM that they know it.
    pub scram: Option<String>,
    /// The group that it belongs to.
    pub workgroup: Option<Arc<Workgroup>>,
}

impl fmt::Debug for KeyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyOptions")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Why keys cannot be used. The messages quote no hash, because a user may have written the key itself in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// A key without a name.
    #[error("a [[gateway.keys]] entry has an empty name")]
    NoName,
    /// Two keys with one name.
    #[error("key {0:?} is named twice in [[gateway.keys]]")]
    NamedTwice(String),
    /// The value that should be a hash is not one.
    #[error(
        "key {0:?}: sha256 is not 64 hex digits; write the hash that `dunlin key new` prints, never the key itself"
    )]
    NotAHash(String),
    /// The value that should be a verifier is not one.
    #[error("key {0:?}: scram is no verifier; write the line that `dunlin key new` prints")]
    NotAVerifier(String),
    /// Two names for one key.
    #[error("keys {0:?} and {1:?} have the same sha256; each key stands once")]
    SameKey(String, String),
    /// A key with no scopes.
    #[error("key {0:?} has no scopes; give it query, admin or both")]
    NoScopes(String),
}

/// Why a client was not recognised. A client sees no difference between the two reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The request has no secret, and keys are configured.
    #[error("an API key is needed")]
    Missing,
    /// The secret is that of no configured key.
    #[error("an API key is needed")]
    Unknown,
}

/// The configured keys, as hashes.
#[derive(Default)]
pub struct Keyring {
    keys: Vec<Entry>,
}

struct Entry {
    sha256: [u8; 32],
    principal: Principal,
    scram: Option<Verifier>,
}

/// How a client of some name can show by SCRAM that it knows a key.
#[derive(Clone, Debug)]
pub(crate) enum Scram {
    /// By this verifier; then it is this client.
    Known(Verifier, Principal),
    /// Not at all, and it does not find out before the end.
    Nobody(Verifier),
    /// It sends its key instead.
    NotOffered,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|entry| &entry.principal.name)).finish()
    }
}

impl Keyring {
    /// A keyring of these keys. Without keys, it accepts every client as [`Principal::anyone`].
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn new(keys: &[KeyOptions]) -> Result<Self, KeyringError> {
        let mut entries: Vec<Entry> = Vec::with_capacity(keys.len());
        for key in keys {
            let name = key.name.trim();
            if name.is_empty() {
                return Err(KeyringError::NoName);
            }
            if entries.iter().any(|entry| &*entry.principal.name == name) {
                return Err(KeyringError::NamedTwice(name.to_owned()));
            }
            let hex = key.sha256.trim().to_ascii_lowercase();
            let sha256 = bytes_of(&hex).ok_or_else(|| KeyringError::NotAHash(name.to_owned()))?;
            if let Some(same) = entries.iter().find(|entry| entry.sha256 == sha256) {
                let first = same.principal.name.to_string();
                return Err(KeyringError::SameKey(first, name.to_owned()));
            }
            if key.scopes.is_empty() {
                return Err(KeyringError::NoScopes(name.to_owned()));
            }
            let owner = Some(Owner::of_key(&hex));
            let workgroup = key.workgroup.clone();
            let (name_of_key, scopes, via) = (name.into(), key.scopes, None);
            let principal = Principal { name: name_of_key, scopes, owner, workgroup, via };
            let scram = key.scram.as_deref().map(|text| {
                Verifier::parse(text).ok_or_else(|| KeyringError::NotAVerifier(name.to_owned()))
            });
            entries.push(Entry { sha256, principal, scram: scram.transpose()? });
        }
        Ok(Self { keys: entries })
    }

    /// Whether no keys are configured, so that no client needs one.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.keys.is_empty()
    }

    /// The groups of all keys, each once.
    pub(crate) fn workgroups(&self) -> Vec<Arc<Workgroup>> {
        let mut groups: Vec<Arc<Workgroup>> = Vec::new();
        for group in self.keys.iter().filter_map(|entry| entry.principal.workgroup.as_ref()) {
            if !groups.contains(group) {
                groups.push(Arc::clone(group));
            }
        }
        groups
    }

    /// The owner of `secret`.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub fn recognise(&self, secret: Option<&str>) -> Result<Principal, AuthError> {
        if self.is_open() {
            return Ok(Principal::anyone());
        }
        let secret = secret.filter(|secret| !secret.is_empty()).ok_or(AuthError::Missing)?;
        if secret.len() > MAX_SECRET {
            return Err(AuthError::Unknown);
        }
        let presented = digest(secret);
        // All hashes are compared, and the index of the match is kept without a branch.
        let mut found = Choice::from(0);
        let mut place = 0u64;
        for (index, entry) in (0u64..).zip(&self.keys) {
            let same = entry.sha256.ct_eq(&presented);
            place.conditional_assign(&index, same);
            found |= same;
        }
        if !bool::from(found) {
            return Err(AuthError::Unknown);
        }
        let entry = usize::try_from(place).ok().and_then(|place| self.keys.get(place));
        entry.map(|entry| entry.principal.clone()).ok_or(AuthError::Unknown)
    }

    /// How a client that calls itself `name` can log in by SCRAM. Where every key has a verifier, names of no key are
    /// treated like the others.
    pub(crate) fn scram(&self, name: &str) -> Scram {
        let found = self.keys.iter().find(|entry| &*entry.principal.name == name);
        if let Some((entry, verifier)) = found.and_then(|entry| Some((entry, entry.scram.clone()?)))
        {
            return Scram::Known(verifier, entry.principal.clone());
        }
        match self.keys.first() {
            Some(first) if self.keys.iter().all(|entry| entry.scram.is_some()) => {
                let seed = mac(&first.sha256, format!("nobody {name}").as_bytes());
                Scram::Nobody(Verifier::of_nobody(&seed))
            }
            _ => Scram::NotOffered,
        }
    }

    /// A signature of `message` that every gateway with the same keys can check. None if the key of the client is not
    /// configured any more.
    pub(crate) fn sign(&self, client: &Principal, message: &[u8]) -> Option<[u8; HASH]> {
        if self.is_open() {
            return Some(mac(&[0; HASH], message));
        }
        let entry = self.keys.iter().find(|entry| entry.principal.owner == client.owner)?;
        Some(mac(&entry.sha256, message))
    }

    /// The client whose signature of `message` begins with `signature`.
    pub(crate) fn signer(&self, message: &[u8], signature: &[u8]) -> Option<Principal> {
        let is_it = |key: &[u8]| {
            let whole = mac(key, message);
            let known = whole.get(..signature.len()).filter(|known| !known.is_empty());
            known.is_some_and(|known| bool::from(known.ct_eq(signature)))
        };
        if self.is_open() {
            return is_it(&[0; HASH]).then(Principal::anyone);
        }
        let entry = self.keys.iter().find(|entry| is_it(&entry.sha256))?;
        Some(entry.principal.clone())
    }
}

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
        let key = KeyOptions { name, sha256, scopes: Scopes::all(), scram: None, workgroup: None };
        let ring = Keyring::new(&[key]).unwrap();
        ring.code_key(&ring.recognise(Some(secret)).unwrap(), purpose).unwrap()
    }

    fn code(&self, version: u8, body: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[version]).update(body);
        hasher.finalize()
    }
}

impl Keyring {
    /// The secret for codes over what is handed to `principal`, for one `purpose`. Nobody can make it who does not know the
    /// configured hash of the principal's key. Without keys there is nothing to protect, and everybody could make it:
    /// then a code only finds damage. None if the key is not configured any more.
    pub(crate) fn code_key(&self, principal: &Principal, purpose: &'static str) -> Option<CodeKey> {
        let Some(owner) = &principal.owner else {
            return self.is_open().then(|| CodeKey(blake3::derive_key(purpose, b"anyone")));
        };
        let entry = self.keys.iter().find(|entry| entry.principal.owner.as_ref() == Some(owner))?;
        Some(CodeKey(blake3::derive_key(purpose, &entry.sha256)))
    }
}

fn bytes_of(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0u8; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::key::{NewKey, hash_of};
    use super::super::principal::Scope;
    use super::*;

    fn key(name: &str, text: &str) -> KeyOptions {
        let scopes = [Scope::Query].into_iter().collect();
        let (name, sha256) = (name.to_owned(), hash_of(text));
        KeyOptions { name, sha256, scopes, scram: None, workgroup: None }
    }

    #[test]
    fn each_key_is_recognised_wherever_it_stands() {
        let keys: Vec<_> = (0..5).map(|_| NewKey::generate().unwrap()).collect();
        let options: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(n, made)| key(&format!("key-{n}"), made.text()))
            .collect();
        let ring = Keyring::new(&options).unwrap();
        for (n, made) in keys.iter().enumerate() {
            let principal = ring.recognise(Some(made.text())).unwrap();
            assert_eq!(&*principal.name, format!("key-{n}"));
            assert_eq!(principal.owner, Some(Owner::of_key(&made.sha256())));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_alike() {
        let made = NewKey::generate().unwrap();
        let ring = Keyring::new(&[key("ci", made.text())]).unwrap();
        let hash = made.sha256();
        let cut = &made.text()[..made.text().len() - 1];
        let longer = format!("{}A", made.text());
        let huge = "x".repeat(1 << 20);
        for wrong in [hash.as_str(), cut, &longer, &huge, "ci", "dunlin_"] {
            assert_eq!(ring.recognise(Some(wrong)), Err(AuthError::Unknown));
        }
        for missing in [None, Some("")] {
            assert_eq!(ring.recognise(missing), Err(AuthError::Missing));
        }
        assert_eq!(AuthError::Missing.to_string(), AuthError::Unknown.to_string());
    }

    #[test]
    fn without_keys_everybody_may_do_everything() {
        let ring = Keyring::new(&[]).unwrap();
        assert!(ring.is_open());
        assert_eq!(ring.recognise(None), Ok(Principal::anyone()));
        assert_eq!(ring.recognise(Some("anything")), Ok(Principal::anyone()));
    }

    #[test]
    fn mistakes_are_named_and_never_quoted() {
        let secret = NewKey::generate().unwrap();
        let pasted = KeyOptions { sha256: secret.text().to_owned(), ..key("ci", "a") };
        let error = Keyring::new(&[pasted]).unwrap_err();
        assert!(error.to_string().contains("dunlin key new"));
        assert!(!error.to_string().contains(secret.text()));
        for (keys, expected) in [
            (vec![key(" ", "a")], KeyringError::NoName),
            (vec![key("a", "a"), key("a", "b")], KeyringError::NamedTwice("a".to_owned())),
            (
                vec![key("a", "a"), key("b", "a")],
                KeyringError::SameKey("a".to_owned(), "b".to_owned()),
            ),
            (
                vec![KeyOptions { scopes: Scopes::default(), ..key("a", "a") }],
                KeyringError::NoScopes("a".to_owned()),
            ),
            (
                vec![KeyOptions { sha256: "+1".repeat(32), ..key("a", "a") }],
                KeyringError::NotAHash("a".to_owned()),
            ),
        ] {
            assert_eq!(Keyring::new(&keys).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_hash_may_be_written_in_capitals_and_the_owner_is_the_same() {
        let mut upper = key("a", "text");
        upper.sha256.make_ascii_uppercase();
        let ring = Keyring::new(&[upper]).unwrap();
        let owner = ring.recognise(Some("text")).unwrap().owner;
        assert_eq!(owner, Some(Owner::of_key(&hash_of("text"))));
    }

    #[test]
    fn a_name_without_a_key_is_treated_as_one_with_a_key_if_every_key_has_a_verifier() {
        let scram = |text: &str| Some(Verifier::of(text).unwrap().text());
        let both = [
            KeyOptions { scram: scram("a"), ..key("a", "a") },
            KeyOptions { scram: scram("b"), ..key("b", "b") },
        ];
        let ring = Keyring::new(&both).unwrap();
        assert!(matches!(ring.scram("b"), Scram::Known(_, client) if &*client.name == "b"));
        let (Scram::Nobody(one), Scram::Nobody(again)) = (ring.scram("c"), ring.scram("c")) else {
            panic!("a name that nobody has is told")
        };
        assert_eq!(one, again);
        let mixed = Keyring::new(&[both[0].clone(), key("b", "b")]).unwrap();
        assert!(matches!(mixed.scram("a"), Scram::Known(..)));
        assert!(matches!(mixed.scram("b"), Scram::NotOffered));
        let wrong = KeyOptions { scram: Some("a secret".to_owned()), ..key("a", "a") };
        let error = Keyring::new(&[wrong]).unwrap_err();
        assert!(!error.to_string().contains("a secret"), "{error}");
    }

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

    #[test]
    fn formatting_shows_no_hash() {
        let options = key("ci", "text");
        let ring = Keyring::new(std::slice::from_ref(&options)).unwrap();
        assert!(!format!("{options:?} {ring:?}").contains(&hash_of("text")));
    }
}
