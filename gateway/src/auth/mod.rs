//! Authentication: API keys, what they allow, and which queries their owners can see.
//!
//! ```text
//!   secret text ──SHA-256──> compare with every configured hash ──> Principal { name, scopes, owner }
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

mod key;
mod keyring;
mod principal;
mod verifier;
mod workgroup;

pub use key::{KEY_PREFIX, NewKey, NoRandomBits, hash_of};
pub use keyring::{AuthError, KeyOptions, Keyring, KeyringError};
pub(crate) use keyring::{CodeKey, Scram};
pub use principal::{Owner, Principal, Scope, Scopes, Via};
pub(crate) use verifier::HASH;
pub use verifier::Verifier;
pub use workgroup::{Daily, Workgroup, WorkgroupError};
