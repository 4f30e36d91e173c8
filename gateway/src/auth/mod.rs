//! Who may ask: API keys, what they allow, and which queries they see.
//!
//! ```text
//!   secret text ──SHA-256──> compare with every configured hash ──> Principal { name, scopes, owner }
//! ```
//!
//! This module speaks values and knows no protocol: a face (HTTP, later the Postgres wire and Flight SQL) finds
//! the secret in its own kind of request, asks the [`Keyring`], and gives the [`Principal`] on to the core.
//!
//! What it promises:
//! - A key's text is nowhere in the process: the configuration holds its SHA-256, and what a client presents is
//!   hashed at once. A key has 256 random bits, so that a fast hash is enough: there is nothing to guess.
//! - Every configured hash is compared, each in constant time: how long a refusal takes says nothing about a key.
//! - A refusal does not say what was wrong with the secret.

mod key;
mod keyring;
mod principal;

pub use key::{KEY_PREFIX, NewKey, NoRandomBits, hash_of};
pub use keyring::{AuthError, KeyOptions, Keyring, KeyringError};
pub use principal::{Owner, Principal, Scope, Scopes};
