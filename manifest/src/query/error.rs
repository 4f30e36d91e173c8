//! Why a query could not be advanced.

use crate::store::control::StoreError;
use crate::store::create::CreateError;

/// A step failed. The query did not change, and any process may try again.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// A request to the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not known what a create did.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A record that must exist does not.
    #[error("{key} is not there although later records rest on it")]
    Missing {
        /// Its key.
        key: String,
    },
    /// A record does not hold what its inputs determine.
    #[error("{key} does not hold what its inputs give")]
    Broken {
        /// Its key.
        key: String,
    },
    /// The query belongs to another build. This process derives nothing for it.
    #[error("the query was planned by another build")]
    Foreign,
}

impl AdvanceError {
    /// Whether the same step may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Create(error) => error.is_retryable(),
            Self::Missing { .. } | Self::Broken { .. } | Self::Foreign => false,
        }
    }

    /// The key of a record that does not hold what its inputs determine, if this is the error.
    pub(super) fn broken_key(&self) -> Option<&str> {
        match self {
            Self::Broken { key } | Self::Create(CreateError::Conflict { key }) => Some(key),
            _ => None,
        }
    }
}
