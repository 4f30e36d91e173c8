//! Why a session or a store cannot be created.

use datafusion::error::DataFusionError;

/// A setting of a query that this engine does not know. The query was planned by another engine version.
#[derive(Debug, thiserror::Error)]
#[error("{key} = {value}: {}", crate::words::sentence(.source))]
pub struct SettingError {
    /// Name of the setting.
    pub key: String,
    /// Its value.
    pub value: String,
    /// The engine's error.
    #[source]
    pub source: Box<DataFusionError>,
}

/// A location or parameter of a store that cannot be used. Trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A value is wrong by itself, or contradicts another one.
    #[error("{0}")]
    Invalid(String),
    /// The store cannot be opened with these parameters.
    #[error("{store} cannot be opened: {source}")]
    Open {
        /// Address of the store.
        store: String,
        /// The error of the store's client.
        source: object_store::Error,
    },
    /// The folder of a local state cannot be created.
    #[error("[state] location {folder}: {source}")]
    Folder {
        /// The folder.
        folder: String,
        /// The error of the system.
        source: std::io::Error,
    },
}
