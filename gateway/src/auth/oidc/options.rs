//! `[gateway.oidc]`, checked.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use dunlin_planner::gateway_config::OidcConfig;
use url::{Host, Url};

use super::super::principal::{Scope, Scopes, UnknownScope};
use super::super::workgroup::Workgroup;

/// Fewest bytes of the secret: as many as of what is derived from it.
const LEAST_SECRET: usize = 32;
/// Where an issuer describes itself, below its own address.
const DISCOVERY: &str = ".well-known/openid-configuration";

/// Whose tokens are accepted, and what they allow.
#[derive(Clone)]
pub struct OidcOptions {
    /// `iss` of its tokens.
    pub issuer: String,
    /// What must be in `aud` of its tokens.
    pub audience: String,
    /// Where its keys are read.
    pub keys: KeysAt,
    /// What decides about the group of a token. Without it, tokens belong to no group.
    pub workgroups: Option<GroupClaim>,
    /// What tokens allow.
    pub scopes: TokenScopes,
    /// The claim with the name for logs.
    pub name_claim: String,
    pub(super) secret: Arc<str>,
}

/// Where the keys of an issuer are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// At this address.
    Url(Url),
    /// At the address that the document at this address names.
    Discovery(Url),
}

/// What tokens allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenScopes {
    /// All of them the same.
    Fixed(Scopes),
    /// What the claim of this name says.
    Claim(String),
}

/// The claim that names groups of a token, and the groups that there are, the first one first.
#[derive(Clone, Debug)]
pub struct GroupClaim {
    /// The name of the claim.
    pub claim: String,
    /// The groups of the configuration, in its order.
    pub groups: Vec<Arc<Workgroup>>,
}

/// The secret is not printed.
impl fmt::Debug for OidcOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcOptions")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Why `[gateway.oidc]` cannot be used. No message quotes the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// A text that must not be empty.
    #[error("[gateway.oidc] {0} is empty")]
    Empty(&'static str),
    /// An address that no keys may be read from.
    #[error("[gateway.oidc] {key} {why}")]
    Address {
        /// The key of the configuration.
        key: &'static str,
        /// What is wrong with it.
        why: AddressError,
    },
    /// A secret that could be guessed.
    #[error(
        "[gateway.oidc] secret must have at least {LEAST_SECRET} bytes; \
         make one with `openssl rand -base64 32`, the same for all gateways"
    )]
    Secret,
    /// A scope that there is not.
    #[error("[gateway.oidc] scopes: {0}")]
    Scope(#[from] UnknownScope),
    /// Tokens that allow nothing.
    #[error("[gateway.oidc] scopes is empty, so that tokens allow nothing; write [\"query\"]")]
    NoScopes,
    /// No token could belong to a group.
    #[error(
        "[gateway.oidc] workgroup_claim is set, and there are no [[gateway.workgroups]], so that \
         every token would be refused"
    )]
    NoWorkgroups,
}

/// Why no keys may be read from an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is none.
    #[error("is no address; write https://…")]
    Unreadable,
    /// What is read could be changed on its way, and with it who is let in.
    #[error("must begin with https:// (http:// is for loopback only)")]
    Plain,
    /// It has a part that would be lost or logged.
    #[error("must have no user, password or fragment")]
    Parts,
}

/// An address that keys may be read from.
pub(super) fn address(text: &str) -> Result<Url, AddressError> {
    let url = Url::parse(text).map_err(|_| AddressError::Unreadable)?;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).to_canonical().is_loopback(),
        None => return Err(AddressError::Unreadable),
    };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(AddressError::Parts);
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        _ => Err(AddressError::Plain),
    }
}

impl OidcOptions {
    /// The options of a configuration, whose groups are `groups`.
    ///
    /// # Errors
    /// See [`OidcError`].
    pub fn of(config: &OidcConfig, groups: &[Arc<Workgroup>]) -> Result<Self, OidcError> {
        let named = |key: &'static str, text: &str| match text.trim() {
            "" => Err(OidcError::Empty(key)),
            text => Ok(text.to_owned()),
        };
        let read =
            |key, text: &str| address(text.trim()).map_err(|why| OidcError::Address { key, why });
        let issuer = named("issuer", &config.issuer)?;
        let keys = match &config.jwks_url {
            Some(url) => KeysAt::Url(read("jwks_url", url)?),
            None => {
                read("issuer", &issuer)?;
                let text = format!("{}/{DISCOVERY}", issuer.trim_end_matches('/'));
                KeysAt::Discovery(read("issuer", &text)?)
            }
        };
        let scopes = match &config.scopes_claim {
            Some(claim) => TokenScopes::Claim(named("scopes_claim", claim)?),
            None => {
                let scopes: Scopes = config
                    .scopes
                    .iter()
                    .map(|text| text.parse::<Scope>())
                    .collect::<Result<_, _>>()?;
                if scopes.is_empty() {
                    return Err(OidcError::NoScopes);
                }
                TokenScopes::Fixed(scopes)
            }
        };
        let workgroups = match &config.workgroup_claim {
            Some(_) if groups.is_empty() => return Err(OidcError::NoWorkgroups),
            Some(claim) => {
                let claim = named("workgroup_claim", claim)?;
                Some(GroupClaim { claim, groups: groups.to_vec() })
            }
            None => None,
        };
        if config.secret.len() < LEAST_SECRET {
            return Err(OidcError::Secret);
        }
        Ok(Self {
            issuer,
            audience: named("audience", &config.audience)?,
            keys,
            workgroups,
            scopes,
            name_claim: named("name_claim", &config.name_claim)?,
            secret: config.secret.as_str().into(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(more: &Value) -> Result<OidcOptions, OidcError> {
        let mut config = json!({
            "issuer": "https://id.example/realms/data",
            "audience": "dunlin",
            "secret": "0123456789abcdef0123456789abcdef",
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        OidcOptions::of(&serde_json::from_value(config).unwrap(), &[])
    }

    #[test]
    fn three_keys_are_enough_and_the_secret_is_not_printed() {
        let options = read(&json!({})).unwrap();
        let expected = "https://id.example/realms/data/.well-known/openid-configuration";
        assert_eq!(options.keys, KeysAt::Discovery(expected.parse().unwrap()));
        assert_eq!(options.scopes, TokenScopes::Fixed([Scope::Query].into_iter().collect()));
        assert_eq!(options.name_claim, "sub");
        assert!(!format!("{options:?}").contains("0123456789"));
        // `iss` keeps a slash at its end; the address of the document has one slash.
        let options = read(&json!({ "issuer": "https://id.example/" })).unwrap();
        let expected = "https://id.example/.well-known/openid-configuration";
        assert_eq!(options.keys, KeysAt::Discovery(expected.parse().unwrap()));
        assert_eq!(options.issuer, "https://id.example/");
    }

    #[test]
    fn keys_are_read_over_tls_or_from_loopback() {
        for url in ["https://id.example/keys", "http://127.0.0.1:1/keys", "http://[::1]/keys"] {
            let options = read(&json!({ "jwks_url": url })).unwrap();
            assert_eq!(options.keys, KeysAt::Url(url.parse().unwrap()));
        }
        for (url, why) in [
            ("http://id.example/keys", AddressError::Plain),
            ("http://10.0.0.1/keys", AddressError::Plain),
            ("http://localhost.example/keys", AddressError::Plain),
            ("file:///keys", AddressError::Unreadable),
            ("keys", AddressError::Unreadable),
            ("https://user:password@id.example/", AddressError::Parts),
        ] {
            let error = read(&json!({ "jwks_url": url })).unwrap_err();
            assert_eq!(error, OidcError::Address { key: "jwks_url", why }, "{url}");
            let error = read(&json!({ "issuer": url })).unwrap_err();
            assert_eq!(error, OidcError::Address { key: "issuer", why }, "{url}");
        }
        // With an address of keys, the issuer is a name.
        assert!(read(&json!({ "issuer": "us", "jwks_url": "https://id.example/k" })).is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        for (more, error) in [
            (json!({ "issuer": " " }), OidcError::Empty("issuer")),
            (json!({ "audience": "" }), OidcError::Empty("audience")),
            (json!({ "name_claim": "" }), OidcError::Empty("name_claim")),
            (json!({ "secret": "too short" }), OidcError::Secret),
            (json!({ "scopes": [] }), OidcError::NoScopes),
            (json!({ "workgroup_claim": "groups" }), OidcError::NoWorkgroups),
        ] {
            assert_eq!(read(&more).unwrap_err(), error);
        }
        let error = read(&json!({ "scopes": ["root"] })).unwrap_err();
        assert!(error.to_string().contains("scope \"root\" is not known"), "{error}");
        assert!(!OidcError::Secret.to_string().contains("too short"));
    }
}
