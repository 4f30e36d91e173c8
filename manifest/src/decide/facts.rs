//! What other decisions rest on: a seal and a manifest, each with its digest.

use std::sync::Arc;

use crate::model::encoding::digest;
use crate::model::records::{Seal, StageManifest};

/// A seal, and the digest of its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// The seal.
    pub seal: Arc<Seal>,
    /// BLAKE3 of its bytes.
    pub digest: String,
}

impl Sealed {
    /// A seal that this process derived. Its bytes are the canonical ones.
    #[must_use]
    pub fn derived(seal: Seal) -> Self {
        let digest = digest(&seal);
        Self { seal: Arc::new(seal), digest }
    }
}

/// A manifest, and its digest, which commits and seals hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The manifest.
    pub manifest: StageManifest,
    /// BLAKE3 of its canonical bytes.
    pub digest: String,
}

impl Decided {
    /// With the digest of its bytes.
    #[must_use]
    pub fn of(manifest: StageManifest) -> Self {
        let digest = digest(&manifest);
        Self { manifest, digest }
    }
}
