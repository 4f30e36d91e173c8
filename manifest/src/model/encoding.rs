//! How records are encoded as bytes and decoded again.
//!
//! The bytes are canonical: JSON over structs with a fixed order of fields, maps sorted by key. Two processes that
//! derive the same record write the same object, and a record's digest names it.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Format version of the records. A process that reads a record of another version must not act on the query.
pub const RECORD_VERSION: u32 = 11;

/// The bytes are not a record of this version.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not JSON of the record's shape.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The bytes are a record of another version.
    #[error("version {found} instead of {RECORD_VERSION}")]
    Version {
        /// The version in the bytes.
        found: u32,
    },
}

/// The canonical bytes of a record.
#[must_use]
pub fn encode<T: Serialize>(record: &T) -> Bytes {
    // Records are structs of strings and integers, so serialising one cannot fail.
    Bytes::from(serde_json::to_vec(record).unwrap_or_default())
}

/// Reads bytes as a record of this version.
///
/// # Errors
/// The bytes are not a record of this version.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let version: Version = serde_json::from_slice(body)?;
    if version.v != RECORD_VERSION {
        return Err(DecodeError::Version { found: version.v });
    }
    Ok(serde_json::from_slice(body)?)
}

/// BLAKE3 of a record's canonical bytes, in hex.
#[must_use]
pub fn digest<T: Serialize>(record: &T) -> String {
    digest_of(&encode(record))
}

/// BLAKE3 of bytes, in hex.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
