//! Why rows cannot be written.

use datafusion::error::DataFusionError;

/// Why rows cannot be written, or not committed. Another attempt would not help.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The folder was begun by another query meanwhile.
    #[error(
        "{target} was begun by another query meanwhile (query {query}); add to it, or choose another place"
    )]
    Exists {
        /// The folder.
        target: String,
        /// Who has it.
        query: String,
    },
    /// The file was written by somebody else meanwhile, or by an attempt of this query that was lost.
    #[error("{target} was written meanwhile; choose another name, or replace it with (OVERWRITE)")]
    Taken {
        /// The file.
        target: String,
    },
    /// A client has cancelled the write.
    #[error("the write was cancelled before it was committed")]
    Cancelled,
    /// A value cannot be the name of a folder.
    #[error(
        "column {column} names folders, and the value {value:?} cannot be a folder's name: {why}"
    )]
    Folder {
        /// The column.
        column: String,
        /// The value.
        value: String,
        /// Why not.
        why: &'static str,
    },
    /// The configuration of this process does not name the store of a write.
    #[error(
        "the query writes to {store}, which the configuration of this process does not name; add its [[writing]] entry"
    )]
    OutOfReach {
        /// The store.
        store: String,
    },
    /// The list of the files would be larger than an object of this kind may be.
    #[error("{files} files are too many for one commit; write larger files, or fewer folders")]
    TooMany {
        /// How many there are.
        files: usize,
    },
    /// What is at the name of the commit is no commit.
    #[error("{path} is not a commit of Dunlin: {why}")]
    NoCommit {
        /// Its path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

impl From<WriteError> for DataFusionError {
    fn from(error: WriteError) -> Self {
        Self::External(Box::new(error))
    }
}
