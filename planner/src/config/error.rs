//! Why a configuration cannot be used.

use dunlin_config::{ReadError, TreeError};
use dunlin_plan::StoreError;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no configuration, or it is not TOML.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A key that is unknown or missing, or has a value of the wrong type.
    #[error(transparent)]
    Key(#[from] ReadError),
    /// A value cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}
