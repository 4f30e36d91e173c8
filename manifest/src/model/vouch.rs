//! Vouching for a query: a root carries a code over all that is in it, and no process runs a query without it.
//!
//! ```text
//!   gateway ──root, and BLAKE3 of it under the key──> store ──> worker: the same code? ─ no ──> the query is left
//! ```
//! Without a secret the key is one that everybody knows, and the code is a checksum: a root that was damaged is run by
//! nobody. With one, whoever cannot make the code cannot make workers run anything, read any file, or run what was made for
//! another query: a root names its plans by their hashes and its inputs by their versions.

use std::fmt;

use crate::model::encoding::encode;
use crate::model::records::Root;

/// What the key is derived for. Another purpose, or another version of it, has another text.
const PURPOSE: &str = "dunlin 2026-11-30 the root of a query";

/// The key of an installation. All its gateways and workers have the same.
#[derive(Clone)]
pub struct RootKey([u8; 32]);

impl RootKey {
    /// The key that follows from a secret text.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(blake3::derive_key(PURPOSE, secret.as_bytes()))
    }

    /// Vouches for a root as it is now.
    pub fn sign(&self, root: &mut Root) {
        root.code = None;
        root.code = Some(self.code(root).to_hex().to_string());
    }

    /// Whether somebody with this key has vouched for the root, as it is.
    #[must_use]
    pub fn vouches(&self, root: &Root) -> bool {
        let Some(code) = root.code.as_deref().and_then(|code| blake3::Hash::from_hex(code).ok())
        else {
            return false;
        };
        // Hashes are compared in constant time.
        self.code(&Root { code: None, ..root.clone() }) == code
    }

    fn code(&self, root: &Root) -> blake3::Hash {
        blake3::keyed_hash(&self.0, &encode(root))
    }
}

/// The key of an installation without a secret.
impl Default for RootKey {
    fn default() -> Self {
        Self::of("")
    }
}

/// Never prints the key.
impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::encoding::decode;

    /// The records of the golden test, of which one is a root.
    const RECORDS: &str = include_str!("../../tests/golden/records.txt");

    #[test]
    fn a_key_vouches_for_what_it_has_signed_and_for_nothing_else() {
        let (ours, theirs) = (RootKey::of("ours"), RootKey::of("theirs"));
        let mut roots = RECORDS.lines().filter_map(|line| line.find('{').map(|at| &line[at..]));
        let mut signed: Root = roots.find_map(|json| decode(json.as_bytes()).ok()).unwrap();
        assert!(!ours.vouches(&signed));
        ours.sign(&mut signed);
        assert!(ours.vouches(&signed) && !theirs.vouches(&signed));
        let again = signed.clone();
        ours.sign(&mut signed);
        assert_eq!(signed, again);
        let mut forged = signed.clone();
        forged.sql.push(' ');
        assert!(!ours.vouches(&forged));
        let mut forged = signed.clone();
        forged.query = "another".to_owned();
        assert!(!ours.vouches(&forged));
        for code in [None, Some(String::new()), Some("00".repeat(32))] {
            assert!(!ours.vouches(&Root { code, ..signed.clone() }));
        }
        assert_eq!(format!("{ours:?}"), "RootKey");
    }
}
