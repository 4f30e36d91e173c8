//! What the protocol needs from a store: a few requests, what they promise, and how they fail.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::view::Listed;

/// Time that one control request may take in all. It is far below the 180 s of `object_store`, because other
/// processes treat a worker that waits minutes for a claim as lost.
pub const REQUEST_BUDGET: Duration = Duration::from_secs(10);

/// Records larger than this are not read. The protocol writes none so large.
pub const MAX_RECORD: u64 = 64 << 20;

/// The result of a create.
#[derive(Debug)]
pub enum Put {
    /// The object exists, with these bytes.
    Created,
    /// The store did not say that it created the object. The key may hold another writer's object, this one, or none.
    /// Only reading it back tells.
    NotCreated,
}

/// An object that was read.
#[derive(Clone, Debug)]
pub struct Got {
    /// Its bytes.
    pub body: Bytes,
    /// Its entity tag.
    pub e_tag: Option<String>,
    /// When the store stamped it, in milliseconds by the store's own clock.
    pub modified_ms: i64,
}

/// What a conditional read found.
#[derive(Clone, Debug)]
pub enum Changed {
    /// The object still has that tag.
    NotModified,
    /// There is no object.
    Missing,
    /// Another version.
    Got(Got),
}

/// A control request failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store refused, or did not answer.
    #[error("{operation} {key}: {source}")]
    Request {
        /// The request.
        operation: &'static str,
        /// The key of the request.
        key: String,
        /// The store's error.
        source: Box<object_store::Error>,
    },
    /// No answer within [`REQUEST_BUDGET`].
    #[error("{operation} {key}: no answer within 10 s")]
    Timeout {
        /// The request.
        operation: &'static str,
        /// The key of the request.
        key: String,
    },
    /// The protocol did not write this record.
    #[error("{key} is not a record of this version: {reason}")]
    Malformed {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Request { source, .. } => !matches!(
                **source,
                object_store::Error::PermissionDenied { .. }
                    | object_store::Error::Unauthenticated { .. }
                    | object_store::Error::NotImplemented { .. }
                    | object_store::Error::NotSupported { .. }
            ),
            Self::Timeout { .. } => true,
            Self::Malformed { .. } => false,
        }
    }
}

/// The requests of the protocol. It needs these promises from a store, and the probe checks them:
///
/// * a create-if-absent of one key has at most one winner, even with other creates at the same time;
/// * an object that was created or put is seen at once by every reader;
/// * a LIST shows every object that was there before it began, and none that was deleted before;
/// * an object's stamp comes from the store's own clock.
#[async_trait]
pub trait ControlStore: Send + Sync + std::fmt::Debug {
    /// Creates `key` unless it exists.
    async fn put_if_absent(&self, key: &str, body: Bytes) -> Result<Put, StoreError>;
    /// Writes a hint: overwrites.
    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError>;
    /// Reads an object; `None` if there is none.
    async fn get(&self, key: &str) -> Result<Option<Got>, StoreError>;
    /// Reads an object, unless it still has this entity tag.
    async fn get_if_changed(&self, key: &str, e_tag: Option<&str>) -> Result<Changed, StoreError>;
    /// All keys below a prefix that ends in `/`, in no order.
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;
    /// Deletes a hint. It is no error if the hint does not exist.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
}
