//! The configured keys and issuer. They answer one question: whose secret is this?

use std::fmt;
use std::sync::Arc;

use dunlin_manifest::env::Clock;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::key::digest;
use super::oidc::{Oidc, OidcOptions};
use super::principal::{Owner, Principal, Scopes};
use super::verifier::{Verifier, mac};
use super::workgroup::Workgroup;

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
    /// The request has no secret, and keys or an issuer are configured.
    #[error("an API key is needed")]
    Missing,
    /// The secret is that of no configured key, and no token that is accepted.
    #[error("an API key is needed")]
    Unknown,
}

/// The configured keys, as hashes, and the issuer of tokens.
#[derive(Default)]
pub struct Keyring {
    pub(super) keys: Vec<Entry>,
    pub(super) oidc: Option<Oidc>,
}

pub(super) struct Entry {
    pub(super) sha256: [u8; 32],
    pub(super) principal: Principal,
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
        Ok(Self { keys: entries, oidc: None })
    }

    /// The same, which also accepts tokens of an issuer.
    #[must_use]
    pub fn with_issuer(self, issuer: Option<&OidcOptions>) -> Self {
        Self { oidc: issuer.cloned().map(Oidc::new), ..self }
    }

    /// Keeps what an earlier keyring has learned from the same issuer.
    pub(crate) fn keep(&mut self, earlier: &Self) {
        if let (Some(oidc), Some(earlier)) = (&mut self.oidc, &earlier.oidc) {
            oidc.keep(earlier);
        }
    }

    /// Whether neither keys nor an issuer are configured, so that no client needs a secret.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.keys.is_empty() && self.oidc.is_none()
    }

    /// The groups of all keys and of tokens, each once.
    pub(crate) fn workgroups(&self) -> Vec<Arc<Workgroup>> {
        let mut groups: Vec<Arc<Workgroup>> = Vec::new();
        let of_keys = self.keys.iter().filter_map(|entry| entry.principal.workgroup.as_ref());
        let of_tokens = self.oidc.iter().flat_map(Oidc::workgroups);
        for group in of_keys.chain(of_tokens) {
            if !groups.contains(group) {
                groups.push(Arc::clone(group));
            }
        }
        groups
    }

    /// The client that shows `secret`: the holder of a key, or a person with a token. A key is looked for first, and costs no
    /// wait. A token may have to wait for the issuer's keys.
    ///
    /// # Errors
    /// See [`AuthError`]. Why a token is refused is in the log, at the level debug.
    pub async fn client(
        &self,
        secret: Option<&str>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Principal, AuthError> {
        let by_key = self.recognise(secret);
        let (Err(AuthError::Unknown), Some(oidc), Some(token)) = (&by_key, &self.oidc, secret)
        else {
            return by_key;
        };
        if !Oidc::is_token(token) {
            return by_key;
        }
        oidc.client(token, clock).await.map_err(|refused| {
            tracing::debug!(%refused, "a token is refused");
            AuthError::Unknown
        })
    }

    /// The client that an earlier keyring let in, as this one knows it; none if it would not let it in. Of a person only the
    /// token knows more than the group, and it is not kept.
    pub(crate) fn still(&self, client: &Principal) -> Option<Principal> {
        let Some(owner) = &client.owner else {
            return self.is_open().then(|| client.clone());
        };
        if !owner.is_person() {
            let entry =
                self.keys.iter().find(|entry| entry.principal.owner.as_ref() == Some(owner));
            return entry.map(|entry| Principal { via: client.via, ..entry.principal.clone() });
        }
        let groups = self.oidc.as_ref()?.workgroups();
        let workgroup = match &client.workgroup {
            None if groups.is_empty() => None,
            None => return None,
            Some(of) => Some(Arc::clone(groups.iter().find(|group| group.name == of.name)?)),
        };
        Some(Principal { workgroup, ..client.clone() })
    }

    /// The holder of the key that is `secret`.
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
    /// treated like the others. Where there is an issuer, they are not: a token is sent as it is.
    pub(crate) fn scram(&self, name: &str) -> Scram {
        let found = self.keys.iter().find(|entry| &*entry.principal.name == name);
        if let Some((entry, verifier)) = found.and_then(|entry| Some((entry, entry.scram.clone()?)))
        {
            return Scram::Known(verifier, entry.principal.clone());
        }
        match self.keys.first() {
            Some(first)
                if self.oidc.is_none() && self.keys.iter().all(|entry| entry.scram.is_some()) =>
            {
                let seed = mac(&first.sha256, format!("nobody {name}").as_bytes());
                Scram::Nobody(Verifier::of_nobody(&seed))
            }
            _ => Scram::NotOffered,
        }
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
pub(super) mod tests {
    use super::super::key::{NewKey, hash_of};
    use super::super::principal::Scope;
    use super::*;

    /// A key that may ask.
    pub(in crate::auth) fn key(name: &str, text: &str) -> KeyOptions {
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
    fn a_client_is_what_the_newest_keyring_says() {
        let (one, other) = (key("ci", "a"), key("bi", "b"));
        let old = Keyring::new(&[one.clone(), other.clone()]).unwrap();
        let client = old.recognise(Some("a")).unwrap();
        assert_eq!(old.still(&client), Some(client.clone()));
        // The name and the scopes of a key may change, and a name may be given to another key.
        let scopes = [Scope::Admin].into_iter().collect();
        let renamed = KeyOptions { name: "nightly".into(), scopes, ..one };
        let new = Keyring::new(&[renamed, KeyOptions { name: "ci".into(), ..other.clone() }]);
        let found = new.unwrap().still(&client).unwrap();
        assert_eq!((&*found.name, found.scopes), ("nightly", scopes));
        assert_eq!(found.owner, client.owner);
        // It was removed.
        assert_eq!(Keyring::new(&[other]).unwrap().still(&client), None);
        assert_eq!(Keyring::new(&[]).unwrap().still(&client), None);
        // There were no keys, and now there are.
        assert_eq!(old.still(&Principal::anyone()), None);
        let open = Keyring::new(&[]).unwrap();
        assert_eq!(open.still(&Principal::anyone()), Some(Principal::anyone()));
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
    fn formatting_shows_no_hash() {
        let options = key("ci", "text");
        let ring = Keyring::new(std::slice::from_ref(&options)).unwrap();
        assert!(!format!("{options:?} {ring:?}").contains(&hash_of("text")));
    }
}
