//! Authentication: API keys and tokens of an issuer, what they allow, and which queries their owners can see.
//!
//! ```text
//!   secret text ──SHA-256──> compare with every configured hash ──> Principal { name, scopes, owner }
//!       └──has the form of a token──> see oidc ─────────────────────────┘
//! ```
//!
//! This module works on values and knows no protocol. A protocol (HTTP, Flight SQL, the Postgres protocol)
//! takes the secret from its own kind of request, asks the [`Keyring`], and gives the [`Principal`] to the core.
//!
//! What it promises:
//! - The process does not store a key's text: the configuration holds its SHA-256, and the secret of a request is
//!   hashed at once. A key has 256 random bits, so it cannot be guessed, and a fast hash is enough.
//! - Every configured hash is compared, each in constant time. The duration of a refusal reveals nothing about a key.
//! - A refusal does not say what was wrong with the secret.

mod codes;
mod key;
mod keyring;
mod oidc;
mod principal;
mod verifier;
mod workgroup;

pub(crate) use codes::CodeKey;
pub use key::{KEY_PREFIX, NewKey, NoRandomBits, hash_of};
pub(crate) use keyring::Scram;
pub use keyring::{AuthError, KeyOptions, Keyring, KeyringError};
pub(crate) use oidc::MAX_TOKEN;
pub use oidc::{
    AddressError, GroupClaim, IssuerError, KeysAt, OidcError, OidcOptions, TokenScopes,
};
pub(crate) use principal::{MAY_NOT_WRITE, OWNER_BYTES};
pub use principal::{Owner, Principal, Scope, Scopes, UnknownScope, Via};
pub(crate) use verifier::HASH;
pub use verifier::Verifier;
pub use workgroup::{Daily, Workgroup, WorkgroupError};
