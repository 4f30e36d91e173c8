//! Why a query could not be moved on.

use crate::store::control::StoreError;
use crate::store::create::CreateError;

/// A step that could not be made. The query is as it was; anyone may try again.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A create that was not settled.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A record that must be there is not.
    #[error("{key} is not there although later records rest on it")]
    Missing {
        /// The key.
        key: String,
    },
}

impl AdvanceError {
    /// Whether the same step may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Create(error) => error.is_retryable(),
            Self::Missing { .. } => false,
        }
    }
}
