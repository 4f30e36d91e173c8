//! Why a session or a store cannot be made.

use datafusion::error::DataFusionError;

/// A setting of a query that this engine does not know: the query was planned by another one.
#[derive(Debug, thiserror::Error)]
#[error("{key} = {value}: {source}")]
pub struct SettingError {
    /// Name of the setting.
    pub key: String,
    /// Its value.
    pub value: String,
    /// What the engine said.
    #[source]
    pub source: Box<DataFusionError>,
}

/// A location or the parameters of a store that cannot be used. Trying again does not help.
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
        /// What the client said.
        source: object_store::Error,
    },
    /// The folder of a local state cannot be made.
    #[error("[state] location {folder}: {source}")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system said.
        source: std::io::Error,
    },
}
