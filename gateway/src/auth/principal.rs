//! The authenticated client: its name for people, what it may do, and which queries are its own.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use dunlin_planner::Grants;
use sha2::{Digest, Sha256};

use super::key::hex;
use super::workgroup::Workgroup;

/// Bytes of an [`Owner`]: enough that no two keys of one installation have the same one.
pub(crate) const OWNER_BYTES: usize = 8;

/// What a client is told whose key or token does not allow to write.
pub(crate) const MAY_NOT_WRITE: &str =
    "this API key or token may read and not write; it needs the scope write";

/// One thing that a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Submit queries; see, fetch, analyse and cancel the client's own queries.
    Query,
    /// Write files: COPY, INSERT and CREATE TABLE AS, where the configuration allows it.
    Write,
    /// See, fetch, analyse and cancel the queries of all clients.
    Admin,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 3] = [Self::Query, Self::Write, Self::Admin];

    /// The scope's name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An unknown scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scope {0:?} is not known; use query, write or admin")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.chars().take(32).collect()))
    }
}

/// What a key allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    query: bool,
    write: bool,
    admin: bool,
}

impl Scopes {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether `scope` is allowed.
    #[must_use]
    pub fn has(self, scope: Scope) -> bool {
        match scope {
            Scope::Query => self.query,
            Scope::Write => self.write,
            Scope::Admin => self.admin,
        }
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut found = Self::default();
        for scope in scopes {
            match scope {
                Scope::Query => found.query = true,
                Scope::Write => found.write = true,
                Scope::Admin => found.admin = true,
            }
        }
        found
    }
}

/// How a query's record names the key or the person that submitted it: 16 hex digits made from the key's hash, or from the
/// issuer's name for the person.
///
/// It is not the key's name: the name may be given to another key later, and that key must not find the queries of
/// the first. It is not the key's hash either: more people can read records than the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    text: Arc<str>,
    kind: Kind,
}

/// What an owner was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Key,
    Person,
}

impl Owner {
    /// The owner for the key with this hash (lower-case hex).
    #[must_use]
    pub fn of_key(sha256: &str) -> Self {
        let digest = Sha256::new().chain_update("owner").chain_update(sha256).finalize();
        Self { text: hex(&digest[..OWNER_BYTES]).into(), kind: Kind::Key }
    }

    /// The owner for a person: what an issuer calls itself (`iss`), and the person (`sub`).
    #[must_use]
    pub fn of_subject(issuer: &str, subject: &str) -> Self {
        // The length tells where the issuer ends. No hash of a key begins like this text.
        let length = u64::try_from(issuer.len()).unwrap_or(u64::MAX).to_be_bytes();
        let text = Sha256::new().chain_update("person").chain_update(length);
        let digest = text.chain_update(issuer).chain_update(subject).finalize();
        Self { text: hex(&digest[..OWNER_BYTES]).into(), kind: Kind::Person }
    }

    /// The owner for a person whose digits were written as bytes.
    pub(crate) fn of_person_bytes(bytes: [u8; OWNER_BYTES]) -> Self {
        Self { text: hex(&bytes).into(), kind: Kind::Person }
    }

    /// The digits of a person as bytes; none for a key.
    pub(crate) fn person_bytes(&self) -> Option<[u8; OWNER_BYTES]> {
        let digits = u64::from_str_radix(&self.text, 16).ok().filter(|_| self.is_person())?;
        Some(digits.to_be_bytes())
    }

    /// Whether it is a person, and not a key.
    pub(crate) fn is_person(&self) -> bool {
        self.kind == Kind::Person
    }

    /// The text in records.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The hash under which an idempotency key of this owner is stored. Clients of two keys may use the same
    /// idempotency key, and must not find each other's queries.
    #[must_use]
    pub fn scoped(&self, idempotency_key: &str) -> String {
        let text = format!("{}:{idempotency_key}", self.as_str());
        hex(&Sha256::digest(text.as_bytes()))
    }
}

/// The client of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The key's name in the configuration, or the person's in its token, for logs.
    pub name: Arc<str>,
    /// What the key or token allows.
    pub scopes: Scopes,
    /// The owner of its queries; `None` if neither keys nor an issuer are configured.
    pub owner: Option<Owner>,
    /// The group whose tables it may read, and whose quotas it uses; `None`: all tables, and no quota.
    pub workgroup: Option<Arc<Workgroup>>,
    /// How it has come, if that is known.
    pub via: Option<Via>,
}

/// How a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    /// The protocol: `http`, `trino`, `flight_sql` or `postgres`.
    pub protocol: &'static str,
    /// Its address, or that of the proxy before the gateway.
    pub address: IpAddr,
}

impl Principal {
    /// Any client, if no keys are configured: everything is allowed, and queries have no owner.
    #[must_use]
    pub fn anyone() -> Self {
        Self {
            name: "anyone".into(),
            scopes: Scopes::all(),
            owner: None,
            workgroup: None,
            via: None,
        }
    }

    /// The same client, and how it has come.
    #[must_use]
    pub(crate) fn by(self, via: Via) -> Self {
        Self { via: Some(via), ..self }
    }

    /// The pool whose workers run its queries, if its workgroup has one.
    pub(crate) fn pool(&self) -> Option<String> {
        self.workgroup.as_ref()?.pool.clone()
    }

    /// The tables that it may name.
    #[must_use]
    pub fn grants(&self) -> Grants {
        self.workgroup.as_ref().map_or_else(Grants::all, |group| group.tables.clone())
    }

    /// Whether this principal may know about a query whose record names `owner`.
    #[must_use]
    pub fn sees(&self, owner: Option<&str>) -> bool {
        self.scopes.has(Scope::Admin)
            || (self.owner.is_some() && self.owner.as_ref().map(Owner::as_str) == owner)
    }

    /// The hash under which an idempotency key (itself a hash) of this principal is stored.
    #[must_use]
    pub fn idempotency_scope(&self, key: String) -> String {
        match &self.owner {
            Some(owner) => owner.scoped(&key),
            None => key,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn principal(sha256: &str, scopes: &[Scope]) -> Principal {
        Principal {
            name: "test".into(),
            scopes: scopes.iter().copied().collect(),
            owner: Some(Owner::of_key(sha256)),
            workgroup: None,
            via: None,
        }
    }

    #[test]
    fn a_query_is_seen_by_its_owner_and_by_admins() {
        let (mine, other) = (principal("aa", &[Scope::Query]), principal("bb", &[Scope::Query]));
        let admin = principal("cc", &[Scope::Admin]);
        let owner = mine.owner.as_ref().map(Owner::as_str);
        assert!(mine.sees(owner));
        assert!(!other.sees(owner));
        assert!(admin.sees(owner));
    }

    #[test]
    fn a_query_without_an_owner_is_seen_by_admins_and_where_there_are_no_keys() {
        assert!(!principal("aa", &[Scope::Query]).sees(None));
        assert!(principal("aa", &[Scope::Admin]).sees(None));
        assert!(Principal::anyone().sees(None));
        assert!(Principal::anyone().sees(Some("0011223344556677")));
    }

    #[test]
    fn an_owner_is_short_and_says_nothing_about_the_key() {
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let owner = Owner::of_key(sha256);
        assert_eq!(owner.as_str().len(), 16);
        assert!(!sha256.contains(owner.as_str()));
        assert_eq!(owner, Owner::of_key(sha256));
    }

    #[test]
    fn a_person_is_told_by_the_issuer_and_the_subject_together() {
        let ada = Owner::of_subject("https://id.example", "ada");
        assert_eq!(ada, Owner::of_subject("https://id.example", "ada"));
        for other in [
            Owner::of_subject("https://id.example", "bob"),
            Owner::of_subject("https://id.example/", "ada"),
            Owner::of_subject("https://id.examplea", "da"),
            Owner::of_key("https://id.exampleada"),
        ] {
            assert_ne!(other.as_str(), ada.as_str());
        }
        let bytes = ada.person_bytes().unwrap();
        assert_eq!(Owner::of_person_bytes(bytes), ada);
        assert_eq!(Owner::of_person_bytes([0; OWNER_BYTES]).as_str(), "0000000000000000");
        assert_eq!(Owner::of_key("aa").person_bytes(), None);
    }

    #[test]
    fn idempotency_keys_are_told_apart_by_owner_and_kept_where_there_are_no_keys() {
        let (one, other) = (principal("aa", &[Scope::Query]), principal("bb", &[Scope::Query]));
        let scoped = |who: &Principal| who.idempotency_scope("00ff".to_owned());
        assert_ne!(scoped(&one), scoped(&other));
        assert_eq!(scoped(&one), scoped(&one));
        assert_eq!(scoped(&one).len(), 64);
        assert_eq!(scoped(&Principal::anyone()), "00ff");
    }

    #[test]
    fn scopes_are_read_by_name() {
        assert_eq!("query".parse::<Scope>().unwrap(), Scope::Query);
        assert_eq!("admin".parse::<Scope>().unwrap(), Scope::Admin);
        assert!("Query".parse::<Scope>().unwrap_err().to_string().contains("Query"));
        assert!(Scopes::default().is_empty());
        assert!(Scopes::all().has(Scope::Admin) && Scopes::all().has(Scope::Query));
    }
}
