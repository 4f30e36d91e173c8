//! OpenID Connect: JSON web tokens of a configured issuer, beside API keys.
//!
//! ```text
//!   token ──header──> key of the issuer ──signature──> claims ──iss, aud, exp, nbf──> Principal
//!             signatures  issuer, jwks, web               claims
//! ```
//! People have accounts at their organisation's issuer already, in groups, and their tokens end by themselves. So a gateway
//! needs no list of people.
//!
//! What it promises:
//! - A token is good for one issuer and one audience, only while it lasts, and only by an algorithm with a public key.
//! - A person is the issuer and `sub`. Two tokens of one person are one owner, and no name can be taken over.
//! - Codes for a person's handles are made from the configured secret. So every gateway with the secret checks them, and none
//!   has to remember a token.
//! - No text of a token is in a log or an error.

mod claims;
mod issuer;
mod jwks;
mod options;
mod signatures;
#[cfg(test)]
mod tests;
mod web;

use std::fmt;
use std::sync::Arc;

use dunlin_manifest::env::Clock;
use jsonwebtoken::{Validation, decode, decode_header};

use self::claims::{Claims, Refused, principal};
use self::issuer::Issuer;
pub use self::options::{AddressError, GroupClaim, KeysAt, OidcError, OidcOptions, TokenScopes};
use self::signatures::ALGORITHMS;
use self::web::{Documents, Web};
use super::principal::{Owner, Principal};
use super::workgroup::Workgroup;

/// Longest token, in bytes. Those of people in many groups have a few thousand.
pub(crate) const MAX_TOKEN: usize = 8 << 10;
/// What the root of persons' keys is derived for.
const PURPOSE: &str = "dunlin 2026-11 openid connect persons";

/// The issuer whose tokens are accepted.
pub(super) struct Oidc {
    options: OidcOptions,
    issuer: Arc<Issuer>,
    /// Every person's key is made from it.
    root: [u8; 32],
}

impl fmt::Debug for Oidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oidc").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Why the keys of an issuer cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct IssuerError(issuer::IssuerError);

impl OidcOptions {
    /// Reads the issuer's keys, as a gateway does when the first token comes, and counts those that can be used.
    ///
    /// # Errors
    /// It does not answer, or what it answers cannot be used.
    pub async fn count_keys(&self, clock: &dyn Clock) -> Result<usize, IssuerError> {
        self.count_keys_in(Arc::new(Web::default()), clock).await
    }

    async fn count_keys_in(
        &self,
        documents: Arc<dyn Documents>,
        clock: &dyn Clock,
    ) -> Result<usize, IssuerError> {
        signatures::install();
        let issuer = Issuer::new(self.issuer.clone(), self.keys.clone(), documents);
        issuer.keys(clock).await.map(|keys| keys.len()).map_err(IssuerError)
    }
}

impl Oidc {
    /// The groups that tokens may belong to.
    pub(super) fn workgroups(&self) -> &[Arc<Workgroup>] {
        self.options.workgroups.as_ref().map_or(&[], |by| &by.groups)
    }

    pub(super) fn new(options: OidcOptions) -> Self {
        Self::over(options, Arc::new(Web::default()))
    }

    fn over(options: OidcOptions, documents: Arc<dyn Documents>) -> Self {
        signatures::install();
        let issuer = Issuer::new(options.issuer.clone(), options.keys.clone(), documents);
        let root = blake3::derive_key(PURPOSE, options.secret.as_bytes());
        Self { options, issuer: Arc::new(issuer), root }
    }

    /// Keeps the keys that an earlier configuration knows, if it is the same issuer: it may not answer now.
    pub(super) fn keep(&mut self, earlier: &Self) {
        if self.issuer.is_same(&earlier.issuer) {
            self.issuer = Arc::clone(&earlier.issuer);
        }
    }

    /// Whether a secret has the form of a token.
    pub(super) fn is_token(secret: &str) -> bool {
        secret.starts_with("ey") && secret.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// The client that shows a token.
    pub(super) async fn client(
        &self,
        token: &str,
        clock: &Arc<dyn Clock>,
    ) -> Result<Principal, Refused> {
        if token.len() > MAX_TOKEN {
            return Err(Refused::Long);
        }
        let header = decode_header(token).map_err(|_| Refused::Form)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Refused::Algorithm);
        }
        let found = self.issuer.key(header.kid.as_deref(), header.alg, clock).await;
        let found = found.ok_or(Refused::Key)?;
        let mut validation = Validation::new(header.alg);
        validation.algorithms = found.algorithms;
        // What the token says is looked at below, by the clock of this process.
        (validation.validate_exp, validation.validate_aud) = (false, false);
        validation.required_spec_claims.clear();
        let read = decode::<Claims>(token, &found.key, &validation).map_err(|error| {
            if signatures::is_signature(&error) { Refused::Signature } else { Refused::Form }
        })?;
        principal(&read.claims, &self.options, clock.wall_ms())
    }

    /// The secret for codes of a person, which nobody can make without the configured one.
    pub(super) fn secret_of(&self, owner: &Owner) -> [u8; 32] {
        *blake3::keyed_hash(&self.root, owner.as_str().as_bytes()).as_bytes()
    }
}
