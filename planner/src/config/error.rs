//! Why a configuration cannot be used.

use dunlin_config::{ReadError, TreeError};
use dunlin_plan::StoreError;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no configuration, or it is not TOML.
    #[error(transparent)]
    Tree(Box<TreeError>),
    /// A key that is unknown or missing, or has a value of the wrong type.
    #[error(transparent)]
    Key(Box<ReadError>),
    /// A value cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ReadError> for ConfigError {
    fn from(error: ReadError) -> Self {
        Self::Key(Box::new(error))
    }
}

impl From<TreeError> for ConfigError {
    fn from(error: TreeError) -> Self {
        Self::Tree(Box::new(error))
    }
}
