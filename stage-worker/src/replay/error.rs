//! Why a task of a past query cannot be run again.

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::store::StoreError;
use dunlin_plan::words;

use crate::failure::AttemptError;

/// Why a task cannot be run again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such query.
    #[error(
        "there is no query {0} in this state: it was never written, or its records are deleted"
    )]
    NoSuchQuery(QueryId),
    /// This process may not run it.
    #[error("the query cannot be run again here: {0}")]
    Refused(String),
    /// There is no such task.
    #[error("{0}")]
    NoSuchTask(String),
    /// Something that the task reads is not in the store.
    #[error(
        "{what} is not in the store any more: {key}; what ended queries leave is deleted after its time ([gateway.gc], or the store's lifecycle rules)"
    )]
    Gone {
        /// What it is.
        what: String,
        /// Its key below the state.
        key: String,
    },
    /// An input is gone, or in another version than the query was planned with.
    #[error("{0}")]
    InputChanged(String),
    /// The state cannot be read.
    #[error("the state cannot be read: {0}")]
    State(String),
    /// No folder for the rows.
    #[error(
        "the rows of the task need a folder on this machine, and {folder} cannot be made: {source}"
    )]
    Folder {
        /// The folder.
        folder: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The plan failed, as it may have failed then.
    #[error("the task failed: {0}")]
    Failed(#[source] AttemptError),
}

impl From<StoreError> for ReplayError {
    fn from(error: StoreError) -> Self {
        Self::State(words::explained(&error))
    }
}
